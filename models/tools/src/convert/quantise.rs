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

/// The scale with the least sum of squared errors, among those at which no value is further than half a step from its byte:
/// from the one that puts the largest value half a step beyond the last byte, to one a third coarser.
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
    let mut best = (f64::INFINITY, (f64::from(largest) / LARGEST) as f32);
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
