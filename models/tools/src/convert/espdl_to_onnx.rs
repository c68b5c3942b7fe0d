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
