//! What is done to a network between the disk and `tract`.
//!
//! On disk weights are int8 with a scale for each output channel, or floats. `tract` would run the former slowly or, in
//! places, wrongly, and leaves batch normalisation beside depthwise convolutions. So, in order: constants become
//! initialisers, quantised ones floats; batch normalisation is folded into the convolution before it; stored shapes are
//! dropped and the input's is fixed. PReLU is read by [`super::ops`].
//!
//! Each step is a function of the graph alone and leaves what the network computes as it was, within float rounding.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

use crate::error::{Error, Kind, Result};

/// Does all steps. `shape` is that of the input: 1, planes, height, width.
pub fn prepare(model: &mut ModelProto, shape: [usize; 4]) -> Result<()> {
    let graph = model.graph.as_mut().ok_or_else(|| refuse("holds no graph"))?;
    constants_to_initialisers(graph);
    dequantise(graph)?;
    fold_batch_norm(graph)?;
    fix_shapes(graph, shape)
}

fn refuse(what: impl Into<String>) -> Error {
    Error::new(Kind::Model, what.into())
}

fn constants_to_initialisers(graph: &mut GraphProto) {
    let (constants, nodes) = std::mem::take(&mut graph.node).into_iter().partition(|node| {
        node.op_type == "Constant" && node.output.len() == 1 && attribute(node, "value").is_some_and(|a| a.t.is_some())
    });
    graph.node = nodes;
    let constants: Vec<NodeProto> = constants;
    graph.initializer.extend(constants.into_iter().filter_map(|node| {
        let name = node.output.into_iter().next()?;
        let value = node.attribute.into_iter().find(|a| a.name == "value")?.t?;
        Some(TensorProto { name, ..value })
    }));
}

/// Turns each DequantizeLinear of a constant into the floats that it gives: `(q − zero) · scale`, one scale for all or one
/// for each index of the axis (default 1).
fn dequantise(graph: &mut GraphProto) -> Result<()> {
    let constants = Constants::of(graph);
    let mut made = Vec::new();
    let mut kept = Vec::new();
    for node in &graph.node {
        let quantised = (node.op_type == "DequantizeLinear").then(|| constants.get(node.input.first()?)).flatten();
        let Some(quantised) = quantised else {
            kept.push(node.clone());
            continue;
        };
        let missing = || refuse(format!("{}: the scale is not a constant", node.name));
        let scales = floats(node.input.get(1).and_then(|name| constants.get(name)).ok_or_else(missing)?)?;
        let values = integers(quantised)?;
        let zeros = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => integers(constants.get(name).ok_or_else(missing)?)?,
            None => vec![0],
        };
        let (axis_len, inner) = if scales.len() == 1 {
            (1, values.len().max(1))
        } else {
            let axis = attribute(node, "axis").map_or(1, |a| a.i);
            let rank = quantised.dims.len() as i64;
            let axis = if axis < 0 { axis + rank } else { axis };
            let len = usize::try_from(axis).ok().and_then(|axis| quantised.dims.get(axis)).copied();
            let len = len.filter(|&len| len as usize == scales.len());
            let len = len.ok_or_else(|| refuse(format!("{}: the scales do not fit the axis", node.name)))?;
            (len as usize, quantised.dims[axis as usize + 1..].iter().product::<i64>().max(1) as usize)
        };
        if zeros.len() != 1 && zeros.len() != scales.len() {
            return Err(refuse(format!("{}: the zero points do not fit the scales", node.name)));
        }
        let of = |list_len: usize, index: usize| if list_len == 1 { 0 } else { index / inner % axis_len };
        let data = values
            .iter()
            .enumerate()
            .map(|(index, &value)| (value - zeros[of(zeros.len(), index)]) as f32 * scales[of(scales.len(), index)]);
        let output = node.output.first().cloned().unwrap_or_default();
        made.push(float_tensor(output, quantised.dims.clone(), data.collect()));
    }
    graph.node = kept;
    graph.initializer.extend(made);
    drop_unused_constants(graph);
    Ok(())
}

/// Folds a batch normalisation into the convolution before it: with `k = γ / √(σ² + ε)` for each output channel, weights
/// become `w·k` and the bias `(b − μ)·k + β` (Ioffe and Szegedy 2015, with the statistics fixed).
fn fold_batch_norm(graph: &mut GraphProto) -> Result<()> {
    let constants = Constants::of(graph);
    let uses = uses(graph);
    let by_output: HashMap<String, usize> =
        graph.node.iter().enumerate().flat_map(|(at, node)| node.output.iter().map(move |o| (o.clone(), at))).collect();
    let mut gone = HashSet::new();
    let mut made = Vec::new();
    for at in 0..graph.node.len() {
        let norm = graph.node[at].clone();
        if norm.op_type != "BatchNormalization" || norm.input.len() != 5 {
            continue;
        }
        let Some(&before) = by_output.get(&norm.input[0]) else { continue };
        let conv = &graph.node[before];
        if conv.op_type != "Conv" || uses.get(&norm.input[0]) != Some(&1) {
            continue;
        }
        let constant = |name: &String| constants.get(name).map(floats).transpose();
        let Some(weights) = constants.get(&conv.input[1]) else { continue };
        let [Some(gamma), Some(beta), Some(mean), Some(variance)] = [
            constant(&norm.input[1])?,
            constant(&norm.input[2])?,
            constant(&norm.input[3])?,
            constant(&norm.input[4])?,
        ] else {
            continue;
        };
        let channels = gamma.len();
        let bias = match conv.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => match constant(name)? {
                Some(bias) => bias,
                None => continue,
            },
            None => vec![0.0; channels],
        };
        let mut values = floats(weights)?;
        let fits = [beta.len(), mean.len(), variance.len(), bias.len()].iter().all(|&len| len == channels);
        if !fits || channels == 0 || values.len() % channels != 0 {
            return Err(refuse(format!("{}: the normalisation does not fit the convolution", norm.name)));
        }
        let epsilon = attribute(&norm, "epsilon").map_or(1e-5, |a| a.f);
        let k: Vec<f32> = (0..channels).map(|c| gamma[c] / (variance[c] + epsilon).sqrt()).collect();
        let each = values.len() / channels;
        for (index, value) in values.iter_mut().enumerate() {
            *value *= k[index / each];
        }
        let bias = (0..channels).map(|c| (bias[c] - mean[c]) * k[c] + beta[c]).collect();
        let (weights_name, bias_name) =
            (format!("{}.folded.weight", norm.output[0]), format!("{}.folded.bias", norm.output[0]));
        made.push(float_tensor(weights_name.clone(), weights.dims.clone(), values));
        made.push(float_tensor(bias_name.clone(), vec![channels as i64], bias));
        let conv = &mut graph.node[before];
        conv.input.truncate(1);
        conv.input.extend([weights_name, bias_name]);
        conv.output = vec![norm.output[0].clone()];
        gone.insert(at);
    }
    let mut at = 0;
    graph.node.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
    graph.initializer.extend(made);
    drop_unused_constants(graph);
    Ok(())
}

fn fix_shapes(graph: &mut GraphProto, shape: [usize; 4]) -> Result<()> {
    let constants: HashSet<_> = graph.initializer.iter().map(|tensor| tensor.name.clone()).collect();
    graph.value_info.clear();
    graph.input.retain(|input| !constants.contains(&input.name));
    let [input] = &mut graph.input[..] else {
        return Err(refuse(format!("has {} inputs; one is needed", graph.input.len())));
    };
    let dims =
        shape.map(|len| Dimension { value: Some(dimension::Value::DimValue(len as i64)), ..Dimension::default() });
    let tensor =
        type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim: dims.to_vec() }) };
    input.r#type.get_or_insert_default().value = Some(type_proto::Value::TensorType(tensor));
    for output in &mut graph.output {
        output.r#type = None;
    }
    Ok(())
}

/// The constants of a graph by name.
struct Constants(HashMap<String, TensorProto>);

impl Constants {
    fn of(graph: &GraphProto) -> Self {
        Self(graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor.clone())).collect())
    }

    fn get(&self, name: &String) -> Option<&TensorProto> {
        self.0.get(name)
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// How often each value is read, by nodes or as an output.
fn uses(graph: &GraphProto) -> HashMap<String, usize> {
    let mut uses = HashMap::new();
    let read = graph.node.iter().flat_map(|node| &node.input).chain(graph.output.iter().map(|output| &output.name));
    for name in read {
        *uses.entry(name.clone()).or_default() += 1;
    }
    uses
}

fn drop_unused_constants(graph: &mut GraphProto) {
    let uses = uses(graph);
    graph.initializer.retain(|tensor| uses.contains_key(&tensor.name));
}

fn float_tensor(name: String, dims: Vec<i64>, float_data: Vec<f32>) -> TensorProto {
    TensorProto { name, dims, data_type: DataType::Float as i32, float_data, ..TensorProto::default() }
}

fn element_count(tensor: &TensorProto) -> Result<usize> {
    tensor
        .dims
        .iter()
        .try_fold(1usize, |all, &dim| all.checked_mul(usize::try_from(dim).ok()?))
        .ok_or_else(|| refuse(format!("the constant {} has impossible dimensions", tensor.name)))
}

fn counted<T>(tensor: &TensorProto, values: Vec<T>) -> Result<Vec<T>> {
    if values.len() == element_count(tensor)? {
        Ok(values)
    } else {
        Err(refuse(format!("the constant {} is shorter or longer than its dimensions", tensor.name)))
    }
}

fn floats(tensor: &TensorProto) -> Result<Vec<f32>> {
    if tensor.data_type != DataType::Float as i32 {
        return Err(refuse(format!("the constant {} is not of floats", tensor.name)));
    }
    let raw = tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    counted(tensor, if tensor.float_data.is_empty() { raw.collect() } else { tensor.float_data.clone() })
}

fn integers(tensor: &TensorProto) -> Result<Vec<i32>> {
    let raw = &tensor.raw_data;
    let values = match DataType::try_from(tensor.data_type) {
        Ok(_) if raw.is_empty() => tensor.int32_data.clone(),
        Ok(DataType::Int8) => raw.iter().map(|&b| i32::from(b.cast_signed())).collect(),
        Ok(DataType::Uint8) => raw.iter().map(|&b| i32::from(b)).collect(),
        Ok(DataType::Int32) => raw.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        _ => return Err(refuse(format!("the constant {} is not of int8, uint8 or int32", tensor.name))),
    };
    counted(tensor, values)
}

#[cfg(test)]
mod tests {
    use tract_onnx::{
        pb::{AttributeProto, ValueInfoProto, attribute_proto::AttributeType},
        prelude::{Framework, InferenceModelExt, Tensor, tvec},
        tract_core::plan::SimplePlan,
    };

    use super::*;

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        let input = inputs.iter().map(|&name| name.to_owned()).collect();
        NodeProto {
            name: output.into(),
            op_type: op.into(),
            input,
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    fn model(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> ModelProto {
        let value = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
        let graph = GraphProto {
            node: nodes,
            initializer: constants,
            input: vec![value("x")],
            output: vec![value("y")],
            ..GraphProto::default()
        };
        ModelProto {
            ir_version: 8,
            opset_import: vec![tract_onnx::pb::OperatorSetIdProto { domain: String::new(), version: 13 }],
            graph: Some(graph),
            ..ModelProto::default()
        }
    }

    fn run(model: &ModelProto, numbers: &[f32], shape: [usize; 4]) -> Vec<f32> {
        let plan = tract_onnx::onnx().model_for_proto_model(model).unwrap().into_optimized().unwrap();
        let input = Tensor::from_shape(&shape, numbers).unwrap();
        let outputs = SimplePlan::new(plan).unwrap().run(tvec!(input.into())).unwrap();
        outputs[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
    }

    /// What the network gives with only its input's shape fixed, and what it gives prepared.
    fn before_and_after(original: &ModelProto, channels: usize) -> (Vec<f32>, Vec<f32>, Vec<String>) {
        let shape = [1, channels, 5, 5];
        let numbers: Vec<f32> = (0..channels * 25).map(|n| ((n * 37 % 101) as f32 - 50.0) / 25.0).collect();
        let mut plain = original.clone();
        fix_shapes(plain.graph.as_mut().unwrap(), shape).unwrap();
        let mut prepared = original.clone();
        prepare(&mut prepared, shape).unwrap();
        let ops = prepared.graph.as_ref().unwrap().node.iter().map(|node| node.op_type.clone()).collect();
        (run(&plain, &numbers, shape), run(&prepared, &numbers, shape), ops)
    }

    fn assert_same(before: &[f32], after: &[f32]) {
        assert_eq!(before.len(), after.len());
        for (a, b) in before.iter().zip(after) {
            assert!((a - b).abs() < 1e-4, "{a} became {b}");
        }
    }

    fn ramp(from: f32, step: f32, len: usize) -> Vec<f32> {
        (0..len).map(|n| from + step * n as f32).collect()
    }

    #[test]
    fn batch_normalisation_goes_into_a_depthwise_convolution() {
        let mut conv = node("Conv", &["x", "w"], "c");
        conv.attribute.push(AttributeProto {
            name: "group".into(),
            r#type: AttributeType::Int as i32,
            i: 3,
            ..AttributeProto::default()
        });
        let norm = node("BatchNormalization", &["c", "g", "b", "m", "v"], "y");
        let constants = vec![
            float_tensor("w".into(), vec![3, 1, 3, 3], ramp(-1.0, 0.07, 27)),
            float_tensor("g".into(), vec![3], ramp(0.5, 0.5, 3)),
            float_tensor("b".into(), vec![3], ramp(-0.2, 0.3, 3)),
            float_tensor("m".into(), vec![3], ramp(0.1, 0.1, 3)),
            float_tensor("v".into(), vec![3], ramp(0.4, 0.9, 3)),
        ];
        let (before, after, ops) = before_and_after(&model(vec![conv, norm], constants), 3);
        assert_same(&before, &after);
        assert_eq!(ops, ["Conv"]);
    }

    #[test]
    fn a_convolution_that_somebody_else_reads_keeps_its_normalisation_apart() {
        let nodes = vec![
            node("Conv", &["x", "w"], "c"),
            node("BatchNormalization", &["c", "g", "g", "g", "g"], "n"),
            node("Add", &["c", "n"], "y"),
        ];
        let constants = vec![
            float_tensor("w".into(), vec![2, 2, 1, 1], ramp(0.1, 0.4, 4)),
            float_tensor("g".into(), vec![2], ramp(0.5, 0.5, 2)),
        ];
        let (before, after, ops) = before_and_after(&model(nodes, constants), 2);
        assert_same(&before, &after);
        assert!(ops.contains(&"BatchNormalization".into()));
    }

    fn quantised(dims: Vec<i64>, bytes: Vec<i8>) -> TensorProto {
        let raw_data = bytes.into_iter().map(|b| b.cast_unsigned()).collect();
        TensorProto { name: "q".into(), dims, data_type: DataType::Int8 as i32, raw_data, ..TensorProto::default() }
    }

    #[test]
    fn int8_weights_become_floats_per_channel_and_per_tensor() {
        for (scales, axis) in [(vec![0.5], None), (vec![0.5, 0.01], Some(0)), (vec![0.5, 0.01, 2.0], Some(-3))] {
            let mut dequantise = node("DequantizeLinear", &["q", "s"], "w");
            dequantise.attribute.extend(axis.map(|i| AttributeProto {
                name: "axis".into(),
                r#type: AttributeType::Int as i32,
                i,
                ..AttributeProto::default()
            }));
            let dims = if scales.len() == 1 { vec![] } else { vec![scales.len() as i64] };
            let mut graph = model(
                vec![dequantise, node("Conv", &["x", "w"], "y")],
                vec![
                    quantised(vec![2, 3, 1, 1], vec![1, -2, 3, -128, 127, 0]),
                    float_tensor("s".into(), dims, scales.clone()),
                ],
            )
            .graph
            .unwrap();
            super::dequantise(&mut graph).unwrap();
            assert_eq!(graph.node.len(), 1);
            assert_eq!(graph.initializer.len(), 1, "what nobody reads is dropped");
            let scale = |n: usize| match scales.len() {
                1 => scales[0],
                2 => scales[n / 3],
                _ => scales[n % 3],
            };
            let expected: Vec<f32> =
                [1.0, -2.0, 3.0, -128.0, 127.0, 0.0].iter().enumerate().map(|(n, v)| v * scale(n)).collect();
            assert_eq!(floats(&graph.initializer[0]).unwrap(), expected);
        }
    }

    #[test]
    fn scales_that_do_not_fit_and_short_constants_are_refused() {
        let graph = |tensor: TensorProto, scales: usize| {
            let scale = float_tensor("s".into(), vec![scales as i64], vec![1.0; scales]);
            model(vec![node("DequantizeLinear", &["q", "s"], "w"), node("Conv", &["x", "w"], "y")], vec![tensor, scale])
                .graph
                .unwrap()
        };
        assert!(dequantise(&mut graph(quantised(vec![2, 3], vec![0; 6]), 2)).is_err(), "axis 1 has 3, not 2");
        assert!(dequantise(&mut graph(quantised(vec![2, 3], vec![0; 5]), 1)).is_err());
        assert!(dequantise(&mut graph(quantised(vec![2, -3], vec![0; 6]), 1)).is_err());
    }
}
