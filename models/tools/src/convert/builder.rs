//! Building ONNX graphs: the few operators that the networks here consist of.

use crate::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// A graph being built. Each method that adds something gives its name.
pub struct Builder(GraphProto);

/// How a convolution walks over its input.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Rows above, columns left, rows below, columns right.
    pub pads: [usize; 4],
    pub group: usize,
}

impl Builder {
    /// A graph with one input of floats.
    pub fn new(name: &str, input: &str, dims: &[usize]) -> Self {
        let input = vec![ValueInfoProto::floats(input, dims)];
        Self(GraphProto { name: name.into(), input, ..Default::default() })
    }

    /// A constant of floats.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        self.0.initializer.push(TensorProto::floats(name, dims, values));
        name.into()
    }

    /// A constant stored as signed bytes and one scale for all of them; the name is that of the floats they stand for.
    pub fn scaled(&mut self, name: &str, dims: &[usize], values: &[i8], scale: f32) -> String {
        let (bytes_name, scale_name) = (format!("{name}.int8"), format!("{name}.scale"));
        self.0.initializer.push(TensorProto::bytes(&bytes_name, dims, values));
        self.0.initializer.push(TensorProto::floats(&scale_name, &[], &[scale]));
        self.node("DequantizeLinear", &[&bytes_name, &scale_name], name, vec![])
    }

    /// A convolution.
    pub fn conv(&mut self, input: &str, weights: &str, bias: &str, output: &str, window: &Window) -> String {
        let ints = |values: &[usize]| values.iter().map(|&value| value as i64).collect::<Vec<_>>();
        let attributes = vec![
            AttributeProto::ints("dilations", &[1, 1]),
            AttributeProto::int("group", window.group as i64),
            AttributeProto::ints("kernel_shape", &ints(&window.kernel)),
            AttributeProto::ints("pads", &ints(&window.pads)),
            AttributeProto::ints("strides", &ints(&window.stride)),
        ];
        self.node("Conv", &[input, weights, bias], output, attributes)
    }

    /// Any operator with one output.
    pub fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> String {
        self.0.node.push(NodeProto::new(op, inputs, output, attributes));
        output.into()
    }

    /// The graph, with one output of floats.
    pub fn finish(mut self, output: &str, dims: &[usize]) -> GraphProto {
        self.0.output.push(ValueInfoProto::floats(output, dims));
        self.0
    }
}
