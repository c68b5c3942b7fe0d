//! From float weights to signed bytes: a quarter of the size on disk.
//!
//! Weights of convolutions and matrix products become `byte · scale`, with one scale for each output channel and no zero
//! point; biases and slopes stay floats. A DequantizeLinear before each use gives the floats back.

use std::collections::{HashMap, HashSet};

use super::normalisation::Normalisation;
use crate::error::{Error, Result};
use crate::onnx::{self, AttributeProto, GraphProto, NodeProto, OPSET, TensorProto};

/// The largest byte that is used; its negative is the smallest.
const LARGEST: f64 = 127.0;
/// How many scales are tried for a channel.
const TRIED: u32 = 256;

/// Operators that mean the same from version 9 of the operator set to [`OPSET`], as the networks here use them.
const UNCHANGED: &[&str] = &[
    "Add",
    "BatchNormalization",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "Mul",
    "PRelu",
    "Relu",
    "Reshape",
    "Sigmoid",
];

/// Quantises the weights of a float network.
///
/// # Errors
/// Where it is no ONNX file, or has operators whose meaning changed before [`OPSET`], or weights that are not finite.
pub fn convert(bytes: &[u8]) -> Result<Vec<u8>> {
    let (model, mut graph) = onnx::read(bytes)?;
    for set in &model.opset_import {
        if !set.domain.is_empty() || !(9..=OPSET).contains(&set.version) {
            let set = format!("{}{}", set.domain, set.version);
            return Err(Error::new(format!("operators of set {set}; those of ONNX 9 to {OPSET} are understood")));
        }
    }
    if let Some(node) = graph.node.iter().find(|node| !UNCHANGED.contains(&node.op_type.as_str())) {
        return Err(Error::new(format!("the operator {} is not understood", node.op_type)));
    }
    fold_normalisations(&mut graph)?;
    quantise(&mut graph)?;
    Ok(onnx::write(graph))
}

/// Each constant's place in the list, by name.
fn places(graph: &GraphProto) -> HashMap<String, usize> {
    graph.initializer.iter().enumerate().map(|(at, constant)| (constant.name.clone(), at)).collect()
}

fn quantise(graph: &mut GraphProto) -> Result<()> {
    let places = places(graph);
    let mut done = HashSet::new();
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in std::mem::take(&mut graph.node) {
        let weights = node.input.get(1).and_then(|name| places.get(name)).copied();
        if let (Some(axis), Some(at)) = (output_axis(&node), weights) {
            let name = graph.initializer[at].name.clone();
            let floats = format!("{name}.floats");
            if done.insert(at) {
                let scale = format!("{name}.scale");
                let scales = quantise_constant(&mut graph.initializer[at], axis)?;
                graph.initializer.push(TensorProto::floats(&scale, &[scales.len()], &scales));
                let axis = vec![AttributeProto::int("axis", axis as i64)];
                nodes.push(NodeProto::new("DequantizeLinear", &[&name, &scale], &floats, axis));
            }
            node.input[1] = floats;
        }
        nodes.push(node);
    }
    graph.node = nodes;
    Ok(())
}

/// Along which axis of a node's weights its output channels lie, if it is one whose weights are quantised.
fn output_axis(node: &NodeProto) -> Option<usize> {
    match node.op_type.as_str() {
        "Conv" => Some(0),
        "Gemm" if node.attribute("transB").is_some_and(|transposed| transposed.i != 0) => Some(0),
        "Gemm" => Some(1),
        _ => None,
    }
}

/// Turns a constant of floats into signed bytes; gives the scales along the axis.
fn quantise_constant(constant: &mut TensorProto, axis: usize) -> Result<Vec<f32>> {
    let (values, shape) = (constant.to_floats()?, constant.shape()?);
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::new(format!("constant '{}' holds something that is no number", constant.name)));
    }
    let Some(&channels) = shape.get(axis) else {
        return Err(Error::new(format!("constant '{}' has the shape {shape:?}: too few lengths", constant.name)));
    };
    let inner = shape[axis + 1..].iter().product::<usize>();
    let channel_of = |index: usize| index / inner % channels;
    let mut by_channel = vec![Vec::new(); channels];
    for (index, &value) in values.iter().enumerate() {
        by_channel[channel_of(index)].push(value);
    }
    let scales = by_channel.iter().map(|values| best_scale(values)).collect::<Vec<_>>();
    let bytes = values.iter().enumerate().map(|(index, &value)| to_byte(value, scales[channel_of(index)]));
    *constant = TensorProto::bytes(&constant.name, &shape, &bytes.collect::<Vec<_>>());
    Ok(scales)
}

/// The byte that stands best for the value.
fn to_byte(value: f32, scale: f32) -> i8 {
    // In range by the clamp. Rounding is exact, so this is the same on every machine.
    (f64::from(value) / f64::from(scale)).round_ties_even().clamp(-LARGEST, LARGEST) as i8
}

/// The scale with the least sum of squared errors among the usual one, which puts the largest value on the last byte, and
/// others at which no value is further than half a step from its byte: from the one that puts the largest value half a step
/// beyond the last byte, to one a third coarser.
fn best_scale(values: &[f32]) -> f32 {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    // Channels that are zero, or so small that their scale would lose digits, stand as zeros.
    if largest < f32::MIN_POSITIVE * 1024.0 {
        return 1.0;
    }
    let finest = f64::from(largest) / (LARGEST + 0.5);
    let error = |scale: f32| {
        let errors = values.iter().map(|&value| f64::from(value) - f64::from(to_byte(value, scale)) * f64::from(scale));
        errors.map(|error| error * error).sum::<f64>()
    };
    let usual = (f64::from(largest) / LARGEST) as f32;
    let mut best = (error(usual), usual);
    for step in 0..TRIED {
        // The first is a hair coarser than the limit, so that rounding the scale cannot push a value out.
        let scale = (finest * (1.0 + 1e-6 + f64::from(step) / f64::from(3 * TRIED))) as f32;
        let error = error(scale);
        if error < best.0 {
            best = (error, scale);
        }
    }
    best.1
}

/// Folds each batch normalisation into the convolution before it, where nothing else uses that convolution's output: with
/// `k = γ / √(σ² + ε)` for each output channel, weights become `w·k` and the bias `(b − μ)·k + β`.
fn fold_normalisations(graph: &mut GraphProto) -> Result<()> {
    while let Some(at) = graph.node.iter().position(|node| node.op_type == "BatchNormalization") {
        let norm = graph.node[at].clone();
        let [input, parameters @ ..] = norm.input.as_slice() else { return Err(unfoldable(&norm)) };
        let uses = graph.node.iter().flat_map(|node| &node.input).filter(|name| *name == input).count();
        let is_output = graph.output.iter().any(|output| output.name == *input);
        let before = graph.node.iter().position(|node| node.op_type == "Conv" && node.output == [input.clone()]);
        let (Some(before), 1, false, [_, _, _, _]) = (before, uses, is_output, parameters) else {
            return Err(unfoldable(&norm));
        };
        let places = places(graph);
        let floats = |name: &String| places.get(name).map(|&at| graph.initializer[at].to_floats()).transpose();
        let mut columns = Vec::new();
        for name in parameters {
            columns.push(floats(name)?.ok_or_else(|| unfoldable(&norm))?);
        }
        let conv = &graph.node[before];
        let (weights, shape, bias) = match conv.input.as_slice() {
            [_, weights, bias @ ..] => {
                let &at = places.get(weights).ok_or_else(|| unfoldable(&norm))?;
                let constant = &graph.initializer[at];
                let bias = bias.first().map(floats).transpose()?.flatten();
                (constant.to_floats()?, constant.shape()?, bias)
            }
            _ => return Err(unfoldable(&norm)),
        };
        let channels = shape.first().copied().unwrap_or_default();
        let epsilon = norm.attribute("epsilon").map_or(1e-5, |epsilon| epsilon.f);
        let bias = bias.unwrap_or_else(|| vec![0.0; channels]);
        let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(|at| columns[at].as_slice());
        let norm_of = Normalisation { gamma, beta, mean, variance, epsilon };
        let (weights, bias) = norm_of.fold(&weights, &bias).ok_or_else(|| unfoldable(&norm))?;
        let (weights_name, bias_name) = (format!("{}.weights", norm.name), format!("{}.bias", norm.name));
        let (weights_name, bias_name) = (format!("{at}{weights_name}"), format!("{at}{bias_name}"));
        graph.initializer.push(TensorProto::floats(&weights_name, &shape, &weights));
        graph.initializer.push(TensorProto::floats(&bias_name, &[channels], &bias));
        let conv = &mut graph.node[before];
        conv.input.truncate(1);
        conv.input.extend([weights_name, bias_name]);
        conv.output = norm.output;
        graph.node.remove(at);
    }
    let used = graph.node.iter().flat_map(|node| node.input.iter().cloned()).collect::<HashSet<_>>();
    graph.initializer.retain(|constant| used.contains(&constant.name));
    Ok(())
}

fn unfoldable(norm: &NodeProto) -> Error {
    Error::new(format!("the batch normalisation '{}' cannot be folded into a convolution before it", norm.name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::onnx::ValueInfoProto;

    fn model(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> Vec<u8> {
        onnx::write(GraphProto {
            node: nodes,
            initializer: constants,
            input: vec![ValueInfoProto::floats("x", &[1, 2, 4, 4])],
            output: vec![ValueInfoProto::floats("y", &[1, 2, 4, 4])],
            ..Default::default()
        })
    }

    fn constant<'a>(graph: &'a GraphProto, name: &str) -> &'a TensorProto {
        graph.initializer.iter().find(|constant| constant.name == name).expect("the constant is there")
    }

    /// What the weights `w` became: the values that they stand for, and the scales.
    fn dequantised(graph: &GraphProto, inner: usize, channels: usize) -> (Vec<f32>, Vec<f32>) {
        let scales = constant(graph, "w.scale").to_floats().unwrap();
        let bytes = &constant(graph, "w").raw_data;
        let value = |(at, byte): (usize, &u8)| f32::from(byte.cast_signed()) * scales[at / inner % channels];
        (bytes.iter().enumerate().map(value).collect(), scales)
    }

    proptest! {
        #[test]
        fn no_weight_is_further_than_half_a_step_from_its_byte(
            weights in proptest::collection::vec(prop_oneof![-1f32..1.0, -1e-30f32..1e-30, -1e30f32..1e30, Just(0.0)], 18 * 3)
        ) {
            let convolution = NodeProto::new("Conv", &["x", "w"], "y", vec![]);
            let bytes = model(vec![convolution], vec![TensorProto::floats("w", &[3, 2, 3, 3], &weights)]);
            let made = convert(&bytes).unwrap();
            prop_assert_eq!(&made, &convert(&bytes).unwrap(), "the same in, the same out");
            let (_, graph) = onnx::read(&made).unwrap();
            let (values, scales) = dequantised(&graph, 18, 3);
            for (channel, scale) in scales.iter().enumerate() {
                let of = |values: &[f32]| values[channel * 18..][..18].to_vec();
                let (weights, values) = (of(&weights), of(&values));
                let largest = weights.iter().fold(0f32, |largest, weight| largest.max(weight.abs()));
                let error = |values: &[f32]| {
                    weights.iter().zip(values).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>()
                };
                for (weight, value) in weights.iter().zip(&values) {
                    // A channel of almost nothing stands as zeros.
                    let step = if largest < 1e-34 { 1e-34 } else { f64::from(*scale) };
                    let off = (f64::from(*weight) - f64::from(*value)).abs();
                    prop_assert!(off <= step * 0.50001, "{} stands for {}, step {}", value, weight, scale);
                }
                let usual = largest / 127.0;
                if usual > 1e-34 {
                    let rounded = weights.iter().map(|weight| (weight / usual).round() * usual).collect::<Vec<_>>();
                    let rounding = (f64::from(largest) * 1e-6).powi(2);
                    prop_assert!(error(&values) <= error(&rounded) * 1.000_01 + rounding, "worse than the usual scale");
                }
            }
        }

        #[test]
        fn garbage_is_an_error_or_a_network_never_a_panic(at in 0usize..400, byte in any::<u8>(), len in 0usize..500) {
            let nodes = vec![
                NodeProto::new("Conv", &["x", "w", "b"], "c", vec![]),
                NodeProto::new("BatchNormalization", &["c", "b", "b", "b", "b"], "y", vec![]),
            ];
            let mut bytes =
                model(nodes, vec![TensorProto::floats("w", &[2, 2, 1, 1], &[1.0; 4]), TensorProto::floats("b", &[2], &[1.0; 2])]);
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(len);
            let _ = convert(&bytes);
        }
    }

    #[test]
    fn the_axis_of_a_matrix_is_that_of_its_outputs() {
        let weights = TensorProto::floats("w", &[2, 3], &[1.0, 2.0, 4.0, 1.0, 2.0, 4.0]);
        let plain = NodeProto::new("Gemm", &["x", "w"], "y", vec![]);
        let transposed = NodeProto::new("Gemm", &["x", "w"], "y", vec![AttributeProto::int("transB", 1)]);
        for (node, axis, channels) in [(plain, 1, 3), (transposed, 0, 2)] {
            let (_, graph) = onnx::read(&convert(&model(vec![node], vec![weights.clone()])).unwrap()).unwrap();
            assert_eq!(graph.node[0].op_type, "DequantizeLinear");
            assert_eq!(graph.node[0].attribute("axis").unwrap().i, axis);
            assert_eq!(constant(&graph, "w.scale").dims, [channels]);
            let (values, _) = dequantised(&graph, if axis == 1 { 1 } else { 3 }, channels as usize);
            for (value, weight) in values.iter().zip(weights.to_floats().unwrap()) {
                assert!((value - weight).abs() < 0.02, "{value} for {weight}");
            }
        }
    }

    #[test]
    fn weights_used_twice_are_quantised_once_and_biases_stay() {
        let nodes = vec![
            NodeProto::new("Conv", &["x", "w", "b"], "m", vec![]),
            NodeProto::new("Conv", &["m", "w", "b"], "y", vec![]),
        ];
        let constants =
            vec![TensorProto::floats("w", &[2, 2, 1, 1], &[1.0; 4]), TensorProto::floats("b", &[2], &[0.3, 0.7])];
        let (_, graph) = onnx::read(&convert(&model(nodes, constants)).unwrap()).unwrap();
        let ops = graph.node.iter().map(|node| node.op_type.as_str()).collect::<Vec<_>>();
        assert_eq!(ops, ["DequantizeLinear", "Conv", "Conv"]);
        assert_eq!(constant(&graph, "b").to_floats().unwrap(), [0.3, 0.7]);
    }

    #[test]
    fn normalisations_are_folded_first() {
        let column = |name: &str, value: f32| TensorProto::floats(name, &[2], &[value; 2]);
        let nodes = vec![
            NodeProto::new("Conv", &["x", "w"], "c", vec![]),
            NodeProto::new("BatchNormalization", &["c", "gamma", "beta", "mean", "variance"], "y", vec![]),
        ];
        let constants = vec![
            TensorProto::floats("w", &[2, 1, 1, 1], &[1.0, -3.0]),
            column("gamma", 2.0),
            column("beta", 0.5),
            column("mean", 1.0),
            column("variance", 4.0 - 1e-5),
        ];
        let (_, graph) = onnx::read(&convert(&model(nodes.clone(), constants.clone())).unwrap()).unwrap();
        assert_eq!(graph.node.len(), 2, "a DequantizeLinear and a convolution");
        let convolution = &graph.node[1];
        assert_eq!(convolution.output, ["y"]);
        // The factor is 2/√4 = 1: the weights stay, the bias is 0 − 1 + 0.5.
        assert_eq!(constant(&graph, &convolution.input[2]).to_floats().unwrap(), [-0.5, -0.5]);

        let mut used_twice = nodes;
        used_twice.push(NodeProto::new("Add", &["c", "y"], "z", vec![]));
        assert!(convert(&model(used_twice, constants)).unwrap_err().to_string().contains("cannot be folded"));
    }

    #[test]
    fn what_may_mean_something_else_is_refused() {
        let softmax = model(vec![NodeProto::new("Softmax", &["x"], "y", vec![])], vec![]);
        assert!(convert(&softmax).unwrap_err().to_string().contains("Softmax"));
        let weights = TensorProto::floats("w", &[1, 1, 1, 1], &[f32::NAN]);
        let convolution = NodeProto::new("Conv", &["x", "w"], "y", vec![]);
        assert!(convert(&model(vec![convolution], vec![weights])).unwrap_err().to_string().contains("no number"));
    }
}
