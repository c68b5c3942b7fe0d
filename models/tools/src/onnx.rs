//! ONNX files: the messages of `onnx.proto` that networks here are made of, and a builder for graphs.
//!
//! Documentation strings, metadata and stored shapes of values between nodes are not kept: they say where a file was made,
//! never what it computes.

use prost::Message;

use crate::error::{Context, Error, Result};

/// A whole file.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer_name: String,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
}

/// Which version of which set of operators the nodes mean.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// Nodes in the order of computation, and the constants that they use.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// One operator applied.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// A setting of a node. Attributes that hold graphs are not among those that we write, and lose them when read.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(float, tag = "2")]
    pub f: f32,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Which of the fields holds: 1 `f`, 2 `i`, 3 `s`, 4 `t`, 6 `floats`, 7 `ints`.
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

/// A constant.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub name: String,
    /// Little-endian, where none of the lists above holds the values.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    /// 1 where the values are in another file, which we refuse.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// An input or output of the graph.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// A length, or the name of one that is not fixed.
#[derive(Clone, PartialEq, Message)]
pub struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub dim_param: Option<String>,
}

/// `TensorProto.data_type` of 32-bit floats.
pub const FLOAT: i32 = 1;
/// `TensorProto.data_type` of signed bytes.
pub const INT8: i32 = 3;
/// The version of the operators in every file that we write; the first where DequantizeLinear has a scale for each channel.
pub const OPSET: i64 = 13;
/// The version of the file format that came with [`OPSET`].
pub const IR_VERSION: i64 = 7;

impl TensorProto {
    /// A constant of floats.
    pub fn floats(name: impl Into<String>, dims: &[usize], values: &[f32]) -> Self {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name: name.into(), dims: lengths(dims), data_type: FLOAT, raw_data, ..Default::default() }
    }

    /// A constant of signed bytes.
    pub fn bytes(name: impl Into<String>, dims: &[usize], values: &[i8]) -> Self {
        let raw_data = values.iter().map(|value| value.cast_unsigned()).collect();
        Self { name: name.into(), dims: lengths(dims), data_type: INT8, raw_data, ..Default::default() }
    }

    /// Its shape.
    ///
    /// # Errors
    /// A length that is negative, or more values than memory can address.
    pub fn shape(&self) -> Result<Vec<usize>> {
        let refuse = || Error::new(format!("constant '{}' has an impossible shape {:?}", self.name, self.dims));
        let shape = self.dims.iter().map(|&len| usize::try_from(len)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| refuse())?;
        shape.iter().try_fold(1usize, |product, &len| product.checked_mul(len)).ok_or_else(refuse)?;
        Ok(shape)
    }

    /// Its values, which must be as many as its shape says.
    ///
    /// # Errors
    /// Where it does not hold 32-bit floats, or not as many.
    pub fn to_floats(&self) -> Result<Vec<f32>> {
        let refuse = |what: &str| Err(Error::new(format!("constant '{}' {what}", self.name)));
        if self.data_type != FLOAT {
            return refuse("does not hold 32-bit floats");
        }
        if self.data_location != 0 {
            return refuse("has its values in another file");
        }
        let (raw, rest) = self.raw_data.as_chunks::<4>();
        let values = match self.float_data.is_empty() {
            true if rest.is_empty() => raw.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            true => return refuse("ends in the middle of a value"),
            false => self.float_data.clone(),
        };
        let expected = self.shape()?.iter().product::<usize>();
        if values.len() != expected {
            return refuse(&format!("holds {} values; its shape has {expected}", values.len()));
        }
        Ok(values)
    }
}

impl AttributeProto {
    /// An attribute with one integer.
    pub fn int(name: &str, i: i64) -> Self {
        Self { name: name.into(), i, kind: 2, ..Default::default() }
    }

    /// An attribute with a list of integers.
    pub fn ints(name: &str, ints: &[i64]) -> Self {
        Self { name: name.into(), ints: ints.to_vec(), kind: 7, ..Default::default() }
    }
}

impl NodeProto {
    /// An operator applied to `inputs`, giving one output.
    pub fn new(op_type: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> Self {
        Self {
            name: output.into(),
            op_type: op_type.into(),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.into()],
            attribute,
            ..Default::default()
        }
    }

    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name == name)
    }
}

impl ValueInfoProto {
    /// An input or output of floats.
    pub fn floats(name: &str, dims: &[usize]) -> Self {
        let dim = |&len: &usize| DimensionProto { dim_value: Some(len as i64), dim_param: None };
        let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
        let tensor = TensorTypeProto { elem_type: FLOAT, shape: Some(shape) };
        Self { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
    }
}

/// Reads a file.
///
/// # Errors
/// Where it is no ONNX file, or has no graph.
pub fn read(bytes: &[u8]) -> Result<(ModelProto, GraphProto)> {
    let mut model = ModelProto::decode(bytes).context(|| "this is no ONNX file")?;
    let graph = model.graph.take().ok_or_else(|| Error::new("this ONNX file has no graph"))?;
    Ok((model, graph))
}

/// Writes a graph whose nodes are of [`OPSET`]. The same graph gives the same bytes.
pub fn write(graph: GraphProto) -> Vec<u8> {
    ModelProto {
        ir_version: IR_VERSION,
        producer_name: "facegate-models".into(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
    }
    .encode_to_vec()
}

fn lengths(dims: &[usize]) -> Vec<i64> {
    dims.iter().map(|&len| len as i64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn small() -> GraphProto {
        GraphProto {
            node: vec![NodeProto::new("Conv", &["x", "w"], "y", vec![AttributeProto::ints("strides", &[2, 2])])],
            name: "small".into(),
            initializer: vec![TensorProto::floats("w", &[2, 1, 1, 1], &[1.5, -2.0])],
            input: vec![ValueInfoProto::floats("x", &[1, 1, 4, 4])],
            output: vec![ValueInfoProto::floats("y", &[1, 2, 2, 2])],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let (model, graph) = read(&write(small())).unwrap();
        assert_eq!(graph, small());
        assert_eq!(model.opset_import[0].version, OPSET);
        assert_eq!(graph.initializer[0].to_floats().unwrap(), [1.5, -2.0]);
    }

    #[test]
    fn constants_that_contradict_their_shape_are_refused() {
        let good = TensorProto::floats("w", &[2], &[1.0, 2.0]);
        for bad in [
            TensorProto { dims: vec![3], ..good.clone() },
            TensorProto { dims: vec![-2], ..good.clone() },
            TensorProto { dims: vec![i64::MAX, i64::MAX], ..good.clone() },
            TensorProto { data_type: INT8, ..good.clone() },
            TensorProto { data_location: 1, ..good.clone() },
            TensorProto { raw_data: vec![0; 7], ..good.clone() },
        ] {
            assert!(bad.to_floats().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_graph_never_a_panic(at in 0usize..200, byte in any::<u8>(), len in 0usize..300) {
            let mut bytes = write(small());
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(len);
            if let Ok((_, graph)) = read(&bytes) {
                for constant in &graph.initializer {
                    let _ = constant.to_floats();
                }
            }
        }
    }
}
