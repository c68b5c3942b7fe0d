//! Small networks for the tests of operators, run with tract's operators and with ours.

use proptest::prelude::*;
use tract_onnx::{
    pb::{
        AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
        attribute_proto::AttributeType, tensor_proto::DataType,
    },
    tract_core::plan::SimplePlan,
    tract_hir::internal::*,
};

use crate::vision::models::prepare::prepare;

/// A network of one input `x`, put together node by node.
pub struct Net {
    shape: [usize; 4],
    graph: GraphProto,
}

/// What a run gave, and the names of the operators that ran.
pub struct Run {
    pub outputs: Vec<Vec<f32>>,
    pub operators: Vec<String>,
}

impl Net {
    /// Whose input is `shape`: 1, planes, height, width.
    pub fn new(shape: [usize; 4]) -> Self {
        let graph = GraphProto { input: vec![value("x")], ..GraphProto::default() };
        Self { shape, graph }
    }

    /// Adds a node; constants among the inputs are those of [`Net::constant`].
    pub fn node(mut self, kind: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[i64])]) -> Self {
        let attribute = attributes.iter().map(|&(name, ints)| attribute(name, ints)).collect();
        self.graph.node.push(NodeProto {
            name: output.into(),
            op_type: kind.into(),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.into()],
            attribute,
            ..NodeProto::default()
        });
        self
    }

    /// Adds a constant.
    pub fn constant(mut self, name: &str, dims: &[usize], values: Vec<f32>) -> Self {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: DataType::Float as i32,
            float_data: values,
            ..TensorProto::default()
        });
        self
    }

    /// What the network gives for `input`, with our operators where `ours`, else with tract's alone.
    pub fn run(&self, outputs: &[&str], input: &[f32], ours: bool) -> TractResult<Run> {
        let graph = GraphProto { output: outputs.iter().map(|name| value(name)).collect(), ..self.graph.clone() };
        let mut model = ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
            graph: Some(graph),
            ..ModelProto::default()
        };
        prepare(&mut model, self.shape)?;
        let mut onnx = tract_onnx::onnx();
        if ours {
            super::register(&mut onnx);
        }
        let typed = onnx.model_for_proto_model(&model)?.into_typed()?;
        let typed = if ours { super::put_in(typed)? } else { typed };
        let plan = SimplePlan::new(typed.into_optimized()?)?;
        let operators = plan.model().nodes.iter().map(|node| node.op.name().to_string()).collect();
        let given = plan.run(tvec!(Tensor::from_shape(&self.shape, input)?.into()))?;
        let given = given.iter().map(|tensor| Ok(tensor.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()));
        Ok(Run { outputs: given.collect::<TractResult<_>>()?, operators })
    }

    /// Fails unless ours give what tract's give, but for rounding. Gives the operators of ours.
    pub fn agrees(&self, outputs: &[&str], input: &[f32]) -> Result<Vec<String>, TestCaseError> {
        let run = |ours| self.run(outputs, input, ours).map_err(|error| TestCaseError::fail(format!("{error:#}")));
        let (theirs, ours) = (run(false)?, run(true)?);
        prop_assert_eq!(theirs.outputs.len(), ours.outputs.len());
        for (theirs, ours) in theirs.outputs.iter().zip(&ours.outputs) {
            prop_assert_eq!(theirs.len(), ours.len());
            for (theirs, ours) in theirs.iter().zip(ours) {
                let near = 1e-4 * (1.0 + theirs.abs());
                prop_assert!((theirs - ours).abs() <= near, "{} where tract says {}", ours, theirs);
            }
        }
        Ok(ours.operators)
    }
}

/// As many numbers, between -1 and 1.
pub fn numbers(count: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-1.0f32..1.0, count)
}

fn value(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: name.into(), ..ValueInfoProto::default() }
}

/// A list of integers, or one integer where the name is that of a number alone.
fn attribute(name: &str, ints: &[i64]) -> AttributeProto {
    let alone = ["group", "axis", "ceil_mode"].contains(&name);
    let (kind, i, ints) =
        if alone { (AttributeType::Int, ints[0], vec![]) } else { (AttributeType::Ints, 0, ints.to_vec()) };
    AttributeProto { name: name.into(), r#type: kind as i32, i, ints, ..AttributeProto::default() }
}
