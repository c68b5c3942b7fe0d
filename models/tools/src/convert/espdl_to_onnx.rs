//! From `.espdl` to ONNX: the weights stay the integers that were published, with their scale; activations become floats.
//!
//! The chips keep images as height, width, channels and weights in blocks of 16 output channels; ONNX has channels first.

use std::collections::HashMap;

use super::builder::{Builder, Window};
use super::espdl::{self, Constant, Network, Node};
use crate::error::{Error, Result};
use crate::onnx::{self, AttributeProto};

/// Values longer than this are refused: no network here comes near it, and broken files ask for anything.
const LONGEST: usize = 1 << 16;

/// Converts a file.
///
/// # Errors
/// Where the file is broken, or holds what is not understood: only the operators of MobileFaceNets are.
pub fn convert(bytes: &[u8]) -> Result<Vec<u8>> {
    let network = espdl::read(bytes)?;
    let &[1, height, width, channels] = network.input.dims.as_slice() else {
        return Err(Error::new(format!("the input's shape {:?} is not that of one image", network.input.dims)));
    };
    let length = |len: i64| usize::try_from(len).ok().filter(|len| (1..=LONGEST).contains(len));
    let shape = [length(channels), length(height), length(width)];
    let [Some(channels), Some(height), Some(width)] = shape else {
        return Err(Error::new(format!("the input's shape {:?} is implausible", network.input.dims)));
    };
    let mut converter = Converter {
        network: &network,
        builder: Builder::new("espdl", network.input.name, &[1, channels, height, width]),
        values: HashMap::from([(network.input.name, ([channels, height, width], network.input.name))]),
    };
    for node in &network.nodes {
        converter.node(node).map_err(|error| error.within(&format!("{} '{}'", node.op, node.output)))?;
    }
    let &([features, height, width], name) = converter.value(network.output)?;
    if (height, width) != (1, 1) {
        return Err(Error::new("the output is an image; a vector was expected"));
    }
    let mut builder = converter.builder;
    let output = builder.node("Flatten", &[name], "embedding", vec![AttributeProto::int("axis", 1)]);
    Ok(onnx::write(builder.finish(&output, &[1, features])))
}

struct Converter<'a> {
    network: &'a Network<'a>,
    builder: Builder,
    /// For each value of the network: its channels, height and width, and its name in the graph.
    values: HashMap<&'a str, ([usize; 3], &'a str)>,
}

impl<'a> Converter<'a> {
    fn value(&self, name: &str) -> Result<&([usize; 3], &'a str)> {
        self.values.get(name).ok_or_else(|| Error::new(format!("'{name}' is used before it is made")))
    }

    fn constant(&self, name: &str) -> Result<&'a Constant<'a>> {
        self.network.constants.get(name).ok_or_else(|| Error::new(format!("there is no constant '{name}'")))
    }

    fn node(&mut self, node: &'a Node<'a>) -> Result<()> {
        if node.text("activation").is_some_and(|activation| activation != "Linear") {
            return Err(Error::new("has an activation in it, which is not understood"));
        }
        if self.values.contains_key(node.output) {
            return Err(Error::new("makes a value that is there already"));
        }
        let made = match (node.op, node.inputs.as_slice()) {
            ("Conv", &[input, weights, bias]) => self.conv(node, input, weights, bias)?,
            ("Gemm", &[input, weights, bias]) => self.gemm(node, input, weights, bias)?,
            ("PRelu", &[input, slopes]) => {
                let &(shape, input) = self.value(input)?;
                let slopes = self.constant(slopes)?;
                if slopes.dims != [shape[0], 1, 1] {
                    return Err(Error::new(format!("slopes of shape {:?} do not fit", slopes.dims)));
                }
                let slopes = self.builder.floats(slopes.name, &slopes.dims, &slopes.floats());
                self.builder.node("PRelu", &[input, &slopes], node.output, vec![]);
                (shape, node.output)
            }
            ("Add", &[left, right]) => {
                let (&(shape, left), &(other, right)) = (self.value(left)?, self.value(right)?);
                if shape != other {
                    return Err(Error::new("adds values of different shapes"));
                }
                self.builder.node("Add", &[left, right], node.output, vec![]);
                (shape, node.output)
            }
            // In front of a Gemm the chips bring channels first and make a vector of it: here channels are first already,
            // and the Gemm becomes a convolution over the whole image.
            ("Transpose", &[input]) if node.ints("perm") == Some(&[0, 3, 1, 2]) => *self.value(input)?,
            ("Flatten", &[input]) if node.int("axis") == Some(1) => *self.value(input)?,
            _ => return Err(Error::new("is not understood")),
        };
        self.values.insert(node.output, made);
        Ok(())
    }

    fn conv(&mut self, node: &'a Node<'a>, input: &str, weights: &str, bias: &str) -> Result<([usize; 3], &'a str)> {
        let &([channels, height, width], input) = self.value(input)?;
        let (weights, bias) = (self.constant(weights)?, self.constant(bias)?);
        let refuse = || Error::new("has settings that are not understood");
        if node.ints("dilations").is_some_and(|dilations| dilations != [1, 1]) {
            return Err(refuse());
        }
        let (kernel, [out, per_group], values) = weights_by_output(weights)?;
        let group = node.int("group").and_then(|group| usize::try_from(group).ok()).ok_or_else(refuse)?;
        if group.checked_mul(per_group) != Some(channels) || (group != 1 && group != out) {
            return Err(Error::new("has weights that do not fit its input"));
        }
        let lengths = |name| -> Option<Vec<usize>> {
            let values = node.ints(name)?.iter().map(|&value| usize::try_from(value).ok().filter(|&value| value < 256));
            values.collect()
        };
        let (Some(&[above, left, below, right]), Some(&[down, across])) =
            (lengths("pads").as_deref(), lengths("strides").as_deref())
        else {
            return Err(refuse());
        };
        let window = Window { kernel, stride: [down, across], pads: [above, left, below, right], group };
        let steps = |len: usize, pads: usize, kernel: usize, stride: usize| {
            (len + pads).checked_sub(kernel)?.checked_div(stride).map(|steps| steps + 1)
        };
        let (Some(rows), Some(columns)) =
            (steps(height, above + below, kernel[0], down), steps(width, left + right, kernel[1], across))
        else {
            return Err(Error::new("is larger than its input"));
        };
        self.window(input, (weights, &[out, per_group, kernel[0], kernel[1]], &values), bias, node.output, &window)?;
        Ok(([out, rows, columns], node.output))
    }

    /// A matrix times an image as a vector, channels first: a convolution as large as the image.
    fn gemm(&mut self, node: &'a Node<'a>, input: &str, weights: &str, bias: &str) -> Result<([usize; 3], &'a str)> {
        let &([channels, height, width], input) = self.value(input)?;
        let (weights, bias) = (self.constant(weights)?, self.constant(bias)?);
        let (kernel, [out, features], values) = weights_by_output(weights)?;
        if kernel != [1, 1] || features != channels * height * width || node.int("transB").is_some_and(|t| t != 0) {
            return Err(Error::new("has weights that do not fit its input"));
        }
        let window = Window { kernel: [height, width], stride: [1, 1], pads: [0; 4], group: 1 };
        self.window(input, (weights, &[out, channels, height, width], &values), bias, node.output, &window)?;
        Ok(([out, 1, 1], node.output))
    }

    fn window(
        &mut self,
        input: &str,
        (weights, dims, values): (&Constant<'_>, &[usize; 4], &[i8]),
        bias: &Constant<'_>,
        output: &str,
        window: &Window,
    ) -> Result<()> {
        if bias.dims != [dims[0]] {
            return Err(Error::new(format!("a bias of shape {:?} does not fit", bias.dims)));
        }
        let weights = self.builder.scaled(weights.name, dims, values, weights.scale());
        let bias = self.builder.floats(bias.name, &bias.dims, &bias.floats());
        self.builder.conv(input, &weights, &bias, output, window);
        Ok(())
    }
}

/// A convolution's weights in ONNX's order: kernel, outputs and inputs (of a group), values.
///
/// The file's shape is height, width, inputs, outputs, and (channels, 1) where each channel is convolved alone; its order is
/// `N16HWC16`: blocks of 16 outputs, in each the rows, columns and inputs, and innermost the 16 outputs.
fn weights_by_output(weights: &Constant<'_>) -> Result<([usize; 2], [usize; 2], Vec<i8>)> {
    let refuse = |what: String| Error::new(format!("weights '{}' {what}", weights.name));
    let &[height, width, inputs, outputs] = weights.dims.as_slice() else {
        return Err(refuse(format!("have the shape {:?}; four lengths were expected", weights.dims)));
    };
    let (out, per_group) = if outputs == 1 { (inputs, 1) } else { (outputs, inputs) };
    if weights.layout != "N16HWC16" || !out.is_multiple_of(16) || out == 0 {
        return Err(refuse(format!("lie in an order that is not understood: {}, {out} outputs", weights.layout)));
    }
    let source = weights.bytes().ok_or_else(|| refuse("are not 8-bit".into()))?;
    let spatial = height * width;
    let mut values = Vec::with_capacity(source.len());
    for output in 0..out {
        for input in 0..per_group {
            for place in 0..spatial {
                values.push(source[(((output / 16) * spatial + place) * per_group + input) * 16 + output % 16]);
            }
        }
    }
    Ok(([height, width], [out, per_group], values))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Field, Fields, flatbuffer, ints, text};
    use super::*;

    fn shape(dims: &[i64]) -> Field {
        let len = |&len: &i64| vec![(0, Field::Table(vec![(1, Field::I64(len))]))];
        let tensor = vec![(1, Field::Table(vec![(0, Field::Tables(dims.iter().map(len).collect()))]))];
        Field::Table(vec![(1, Field::Table(tensor))])
    }

    fn constant(name: &str, dims: &[i64], kind: i32, data: &[u8], exponent: i64, layout: &str) -> Fields {
        let mut data = data.to_vec();
        data.resize(data.len().next_multiple_of(16), 0);
        vec![
            (0, ints(dims)),
            (1, Field::I32(kind)),
            (6, text(name)),
            (7, text(&format!("layout ==> {layout}"))),
            (8, Field::Vector(data.len() / 16, data)),
            (13, ints(&[exponent])),
        ]
    }

    fn attribute(name: &str, value: &[i64]) -> Fields {
        match value {
            &[value] => vec![(0, text(name)), (3, Field::I32(2)), (5, Field::I64(value))],
            values => vec![(0, text(name)), (3, Field::I32(7)), (11, ints(values))],
        }
    }

    fn node(op: &str, inputs: &[&'static str], output: &'static str, attributes: Vec<Fields>) -> Fields {
        vec![
            (0, Field::Texts(inputs.to_vec())),
            (1, Field::Texts(vec![output])),
            (3, text(op)),
            (5, Field::Tables(attributes)),
        ]
    }

    /// A 2×2 image of one channel, a 1×1 convolution to 16 channels, slopes, and a matrix to 16 values.
    fn small() -> Vec<u8> {
        let bytes = |count: u8| (0..count).collect::<Vec<_>>();
        let bias = |first: i32| (0..16).flat_map(|at| (first + at).to_le_bytes()).collect::<Vec<_>>();
        let nodes = vec![
            node(
                "Conv",
                &["in", "w", "b"],
                "c",
                vec![attribute("group", &[1]), attribute("pads", &[0; 4]), attribute("strides", &[1, 1])],
            ),
            node("PRelu", &["c", "s"], "p", vec![]),
            node("Transpose", &["p"], "t", vec![attribute("perm", &[0, 3, 1, 2])]),
            node("Flatten", &["t"], "f", vec![attribute("axis", &[1])]),
            node("Gemm", &["f", "m", "d"], "out", vec![attribute("transB", &[0])]),
        ];
        let matrix = (0..16 * 64).map(|at| (at % 251) as u8).collect::<Vec<_>>();
        let constants = vec![
            constant("w", &[1, 1, 1, 16], 3, &bytes(16), -3, "N16HWC16"),
            constant("b", &[16], 6, &bias(-8), -4, "UNK"),
            constant("s", &[16, 1, 1], 3, &bytes(16), -7, "UNK"),
            constant("m", &[1, 1, 64, 16], 3, &matrix, -2, "N16HWC16"),
            constant("d", &[16], 6, &bias(0), 0, "UNK"),
        ];
        let graph = vec![
            (0, Field::Tables(nodes)),
            (2, Field::Tables(constants)),
            (4, Field::Tables(vec![vec![(0, text("in")), (1, shape(&[1, 2, 2, 1]))]])),
            (5, Field::Tables(vec![vec![(0, text("out")), (1, shape(&[1, 16]))]])),
        ];
        let body = flatbuffer(&vec![(7, Field::Table(graph))]);
        let mut file = b"EDL2\0\0\0\0".to_vec();
        file.extend((body.len() as u32).to_le_bytes());
        file.extend([0; 4]);
        file.extend(body);
        file
    }

    #[test]
    fn a_small_network_is_converted() {
        let (_, graph) = onnx::read(&convert(&small()).unwrap()).unwrap();
        let ops = graph.node.iter().map(|node| node.op_type.as_str()).collect::<Vec<_>>();
        assert_eq!(ops, ["DequantizeLinear", "Conv", "PRelu", "DequantizeLinear", "Conv", "Flatten"]);
        let constant = |name: &str| graph.initializer.iter().find(|constant| constant.name == name).unwrap();
        assert_eq!(constant("w.scale").to_floats().unwrap(), [0.125]);
        assert_eq!(constant("b").to_floats().unwrap()[..2], [-0.5, -0.4375]);
        assert_eq!(constant("s").to_floats().unwrap()[1], 1.0 / 128.0);
        // Feature f, which is channel f / 4 at row and column f % 4, lies at 16·f + output in the file.
        assert_eq!(constant("m.int8").dims, [16, 16, 2, 2]);
        let matrix = &constant("m.int8").raw_data;
        assert_eq!((matrix[0], matrix[1], matrix[64]), (0, 16, 1));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (from, to, said) in [
            (&b"EDL2"[..], &b"EDL1"[..], "does not begin"),
            (b"EDL2\0", b"EDL2\x01", "encrypted"),
            (b"N16HWC16", b"N32HWC32", "order"),
            (b"Flatten", b"Flattex", "is not understood"),
        ] {
            let mut bytes = small();
            let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
            bytes[at..at + from.len()].copy_from_slice(to);
            let error = convert(&bytes).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let bytes = small();
        for len in 0..bytes.len() {
            assert!(convert(&bytes[..len]).is_err(), "cut to {len}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn changed_bytes_never_panic(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
            let mut bytes = small();
            for (at, byte) in changes {
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
            }
            let _ = convert(&bytes);
        }
    }
}
