//! From a state dict of MiniFASNet (V1, V2 and their SE variants) to ONNX.
//!
//! The architecture, after minivision-ai/Silent-Face-Anti-Spoofing: a MobileFaceNet with thin bottlenecks. Two 3×3
//! convolutions, then stages of bottlenecks (1×1, depthwise 3×3, 1×1; all with batch normalisation, all but the last with
//! PReLU), of which the first of each halves the image and the others add their input; in SE variants the last of a stage
//! weighs its channels (squeeze and excitation) before that. Then 1×1, depthwise over the whole image, and two matrices with
//! a batch normalisation between them. Widths are read from the file; normalisations are folded into what is before them.

use super::builder::{Builder, Window};
use super::normalisation::Normalisation;
use super::torch::{self, StateDict};
use crate::error::{Error, Result};
use crate::onnx::{self, AttributeProto};

/// Rows and columns of the images that these networks were trained on.
const SIDE: usize = 80;
/// The epsilon of torch's batch normalisations.
const EPSILON: f32 = 1e-5;
/// More classes than this no such network has.
const MOST_CLASSES: usize = 16;

/// Converts a file.
///
/// # Errors
/// Where it is no state dict, or not one of these networks.
pub fn convert(bytes: &[u8]) -> Result<Vec<u8>> {
    let state = torch::read(bytes)?;
    let mut network = Network { state, graph: Builder::new("minifasnet", "input", &[1, 3, SIDE, SIDE]) };
    let x = network.conv("conv1", Value { name: "input".into(), channels: 3, side: SIDE }, 3, 2, Kind::Full)?;
    let mut x = network.conv("conv2_dw", x, 3, 1, Kind::Depthwise)?;
    for (first, others, count) in [("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2)] {
        x = network.bottleneck(first, x, 2)?;
        for at in 0..count {
            x = network.residual(&format!("{others}.model.{at}"), x)?;
        }
    }
    let x = network.conv("conv_6_sep", x, 1, 1, Kind::Full)?;
    let side = x.side;
    let x = network.convolution("conv_6_dw", x, side, (1, 0), Kind::Depthwise)?;
    network.finish(&x)
}

/// A value of the graph: an image.
#[derive(Clone)]
struct Value {
    name: String,
    channels: usize,
    side: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Every output channel sees every input channel.
    Full,
    /// Every channel by itself.
    Depthwise,
}

struct Network<'a> {
    state: StateDict<'a>,
    graph: Builder,
}

impl Network<'_> {
    fn floats(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>> {
        self.state.floats(&format!("module.{name}"), dims)
    }

    /// How many rows the tensor of that name has.
    fn rows(&self, name: &str) -> Result<usize> {
        let rows = self.state.shape(&format!("module.{name}")).and_then(|shape| shape.first()).copied();
        rows.filter(|&rows| rows > 0).ok_or_else(|| Error::new(format!("the state dict has no tensor '{name}'")))
    }

    /// A convolution and its normalisation as one. `step` is stride and padding.
    fn convolution(&mut self, name: &str, x: Value, kernel: usize, step: (usize, usize), kind: Kind) -> Result<Value> {
        self.normalised(name, (&format!("{name}.conv"), &format!("{name}.bn")), x, kernel, step, kind)
    }

    fn normalised(
        &mut self,
        name: &str,
        (conv, norm): (&str, &str),
        x: Value,
        kernel: usize,
        (stride, padding): (usize, usize),
        kind: Kind,
    ) -> Result<Value> {
        let channels = self.rows(&format!("{conv}.weight"))?;
        let (group, per_group) = if kind == Kind::Full { (1, x.channels) } else { (x.channels, 1) };
        if !channels.is_multiple_of(group) {
            return Err(Error::new(format!("'{name}' does not fit what is before it")));
        }
        let dims = [channels, per_group, kernel, kernel];
        let weights = self.floats(&format!("{conv}.weight"), &dims)?;
        let (weights, bias) = self.fold(norm, &weights, channels)?;
        let side = (x.side + 2 * padding).checked_sub(kernel).map(|steps| steps / stride + 1);
        let side = side.ok_or_else(|| Error::new(format!("'{name}' is larger than what is before it")))?;
        let weights = self.graph.floats(&format!("{conv}.weight"), &dims, &weights);
        let bias = self.graph.floats(&format!("{conv}.bias"), &[channels], &bias);
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], pads: [padding; 4], group };
        let name = self.graph.conv(&x.name, &weights, &bias, name, &window);
        Ok(Value { name, channels, side })
    }

    fn fold(&self, norm: &str, weights: &[f32], channels: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let column = |part: &str| self.floats(&format!("{norm}.{part}"), &[channels]);
        Normalisation {
            gamma: &column("weight")?,
            beta: &column("bias")?,
            mean: &column("running_mean")?,
            variance: &column("running_var")?,
            epsilon: EPSILON,
        }
        .fold(weights, &vec![0.0; channels])
        .ok_or_else(|| Error::new(format!("the normalisation '{norm}' does not fit")))
    }

    /// A convolution that keeps the image's size at stride 1, its normalisation, and PReLU.
    fn conv(&mut self, name: &str, x: Value, kernel: usize, stride: usize, kind: Kind) -> Result<Value> {
        let x = self.convolution(name, x, kernel, (stride, kernel / 2), kind)?;
        let slopes = self.floats(&format!("{name}.prelu.weight"), &[x.channels])?;
        let slopes = self.graph.floats(&format!("{name}.prelu.weight"), &[x.channels, 1, 1], &slopes);
        let name = self.graph.node("PRelu", &[&x.name, &slopes], &format!("{name}.prelu"), vec![]);
        Ok(Value { name, ..x })
    }

    fn bottleneck(&mut self, name: &str, x: Value, stride: usize) -> Result<Value> {
        let x = self.conv(&format!("{name}.conv"), x, 1, 1, Kind::Full)?;
        let x = self.conv(&format!("{name}.conv_dw"), x, 3, stride, Kind::Depthwise)?;
        self.convolution(&format!("{name}.project"), x, 1, (1, 0), Kind::Full)
    }

    fn residual(&mut self, name: &str, x: Value) -> Result<Value> {
        let before = x.clone();
        let mut x = self.bottleneck(name, x, 1)?;
        if x.channels != before.channels {
            return Err(Error::new(format!("'{name}' gives {} channels for {}", x.channels, before.channels)));
        }
        let weigh = format!("{name}.se_module");
        if self.state.shape(&format!("module.{weigh}.fc1.weight")).is_some() {
            x = self.weigh(&weigh, x)?;
        }
        let name = self.graph.node("Add", &[&before.name, &x.name], &format!("{name}.add"), vec![]);
        Ok(Value { name, ..x })
    }

    /// Squeeze and excitation: each channel times a weight that comes from the means of all.
    fn weigh(&mut self, name: &str, x: Value) -> Result<Value> {
        let part = |part: &str| format!("{name}.{part}");
        let mean = self.graph.node("GlobalAveragePool", &[&x.name], &part("mean"), vec![]);
        let mean = Value { name: mean, channels: x.channels, side: 1 };
        let few = self.normalised(&part("fc1"), (&part("fc1"), &part("bn1")), mean, 1, (1, 0), Kind::Full)?;
        let few = Value { name: self.graph.node("Relu", &[&few.name], &part("relu"), vec![]), ..few };
        let all = self.normalised(&part("fc2"), (&part("fc2"), &part("bn2")), few, 1, (1, 0), Kind::Full)?;
        if all.channels != x.channels {
            return Err(Error::new(format!("'{name}' gives {} weights for {} channels", all.channels, x.channels)));
        }
        let weight = self.graph.node("Sigmoid", &[&all.name], &part("sigmoid"), vec![]);
        let name = self.graph.node("Mul", &[&x.name, &weight], &part("product"), vec![]);
        Ok(Value { name, ..x })
    }

    /// The two matrices with the normalisation between them, which are one matrix and a bias; and the softmax.
    fn finish(mut self, x: &Value) -> Result<Vec<u8>> {
        let (inner, classes) = (self.rows("linear.weight")?, self.rows("prob.weight")?);
        if x.side != 1 || classes > MOST_CLASSES {
            return Err(Error::new("the last matrices are not those of a MiniFASNet"));
        }
        let first = self.floats("linear.weight", &[inner, x.channels])?;
        let last = self.floats("prob.weight", &[classes, inner])?;
        let (first, shift) = self.fold("bn", &first, inner)?;
        let row = |class: usize| last[class * inner..(class + 1) * inner].iter().map(|&weight| f64::from(weight));
        let mut matrix = Vec::new();
        for class in 0..classes {
            for column in 0..x.channels {
                let column = first.iter().skip(column).step_by(x.channels).map(|&weight| f64::from(weight));
                matrix.push(row(class).zip(column).map(|(a, b)| a * b).sum::<f64>() as f32);
            }
        }
        let shift = |class| row(class).zip(&shift).map(|(a, &b)| a * f64::from(b)).sum::<f64>() as f32;
        let bias = (0..classes).map(shift).collect::<Vec<_>>();
        let matrix = self.graph.floats("prob.weight", &[classes, x.channels], &matrix);
        let bias = self.graph.floats("prob.bias", &[classes], &bias);
        let flat = self.graph.node("Flatten", &[&x.name], "flat", vec![AttributeProto::int("axis", 1)]);
        let transposed = vec![AttributeProto::int("transB", 1)];
        let logits = self.graph.node("Gemm", &[&flat, &matrix, &bias], "logits", transposed);
        let output = self.graph.node("Softmax", &[&logits], "prob", vec![AttributeProto::int("axis", 1)]);
        Ok(onnx::write(self.graph.finish(&output, &[1, classes])))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::super::testing::state_dict;
    use super::*;

    /// A network of that architecture with two channels everywhere, and squeeze and excitation in the last of each stage.
    fn small() -> Vec<u8> {
        let mut tensors = Vec::new();
        let mut add = |name: String, dims: &[usize], value: f32| {
            let values = (0..dims.iter().product()).map(|at: usize| value + at as f32 / 8.0).collect();
            tensors.push((format!("module.{name}"), dims.to_vec(), values));
        };
        let norm = |add: &mut dyn FnMut(String, &[usize], f32), name: &str| {
            for (part, value) in [("weight", 1.0), ("bias", 0.5), ("running_mean", 0.25), ("running_var", 4.0)] {
                add(format!("{name}.{part}"), &[2], value);
            }
        };
        let conv = |add: &mut dyn FnMut(String, &[usize], f32), name: &str, dims: [usize; 4], slopes: bool| {
            add(format!("{name}.conv.weight"), &dims, -0.5);
            norm(add, &format!("{name}.bn"));
            if slopes {
                add(format!("{name}.prelu.weight"), &[2], 0.1);
            }
        };
        let bottleneck = |add: &mut dyn FnMut(String, &[usize], f32), name: &str| {
            conv(add, &format!("{name}.conv"), [2, 2, 1, 1], true);
            conv(add, &format!("{name}.conv_dw"), [2, 1, 3, 3], true);
            conv(add, &format!("{name}.project"), [2, 2, 1, 1], false);
        };
        conv(&mut add, "conv1", [2, 3, 3, 3], true);
        conv(&mut add, "conv2_dw", [2, 1, 3, 3], true);
        for (first, others, count) in [("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2)] {
            bottleneck(&mut add, first);
            (0..count).for_each(|at| bottleneck(&mut add, &format!("{others}.model.{at}")));
            let weigh = format!("{others}.model.{}.se_module", count - 1);
            for (matrix, normed) in [("fc1", "bn1"), ("fc2", "bn2")] {
                add(format!("{weigh}.{matrix}.weight"), &[2, 2, 1, 1], 0.25);
                norm(&mut add, &format!("{weigh}.{normed}"));
            }
        }
        conv(&mut add, "conv_6_sep", [2, 2, 1, 1], true);
        conv(&mut add, "conv_6_dw", [2, 1, 5, 5], false);
        add("linear.weight".into(), &[2, 2], 1.0);
        norm(&mut add, "bn");
        add("prob.weight".into(), &[3, 2], -1.0);
        state_dict(&tensors)
    }

    static SMALL: LazyLock<Vec<u8>> = LazyLock::new(small);

    #[test]
    fn a_small_network_is_converted() {
        let (_, graph) = onnx::read(&convert(&SMALL).unwrap()).unwrap();
        let count = |op: &str| graph.node.iter().filter(|node| node.op_type == op).count();
        // 4 outside of bottlenecks, 3 in each of 15, 2 in each squeeze; an addition in each that does not halve the image.
        assert_eq!((count("Conv"), count("PRelu"), count("Add"), count("Mul")), (4 + 45 + 6, 3 + 30, 12, 3));
        assert_eq!(graph.node.last().unwrap().op_type, "Softmax");
        let constant = |name: &str| graph.initializer.iter().find(|c| c.name == name).unwrap().to_floats().unwrap();
        // linear is [[1, 1.125], [1.25, 1.375]]; the normalisation's factors are 1/√4 and 1.125/√4.125, its shifts
        // 0.5 − 0.25·factor and 0.625 − 0.375·factor; prob's first row is [−1, −0.875].
        let factors = [1.0 / 4.00001f64.sqrt(), 1.125 / 4.12501f64.sqrt()];
        let expected = -factors[0] - 0.875 * 1.25 * factors[1];
        assert!((f64::from(constant("prob.weight")[0]) - expected).abs() < 1e-6);
        let expected = -(0.5 - 0.25 * factors[0]) - 0.875 * (0.625 - 0.375 * factors[1]);
        assert!((f64::from(constant("prob.bias")[0]) - expected).abs() < 1e-6);
    }

    #[test]
    fn what_is_cut_short_or_of_another_kind_is_refused() {
        for len in (0..SMALL.len()).step_by(7) {
            assert!(convert(&SMALL[..len]).is_err(), "cut to {len}");
        }
        let zip = convert(b"PK\x03\x04").unwrap_err();
        assert!(zip.to_string().contains("zip"), "{zip}");
        let name = b"module.conv_6_sep.prelu.weight";
        let mut other = SMALL.clone();
        let at = other.windows(name.len()).position(|window| window == name).unwrap();
        other[at] = b'M';
        assert!(convert(&other).unwrap_err().to_string().contains("has no tensor 'module.conv_6_sep.prelu.weight'"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn changed_bytes_never_panic(changes in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..6)) {
            let mut bytes = SMALL.clone();
            for (at, byte) in changes {
                let at = at as usize % bytes.len();
                bytes[at] = byte;
            }
            let _ = convert(&bytes);
        }
    }
}
