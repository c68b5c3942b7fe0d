//! The softmax of pairs, which a detector's "face or not" is, thousands of times.

use tract_onnx::{
    tract_core::ops::nn::{Softmax, SoftmaxKind},
    tract_hir::internal::*,
};

/// `1 / (1 + e^(b − a))` and the same the other way round, along the last axis.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PairSoftmax;

/// What replaces `node`, where it is such a softmax.
pub fn replacing(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(Softmax { axes, quant_output_dt: None, kind: SoftmaxKind::Softmax }) = node.op_as::<Softmax>() else {
        return Ok(None);
    };
    let fact = model.outlet_fact(node.inputs[0])?;
    let of_pairs = fact.shape.as_concrete().is_some_and(|shape| shape.last() == Some(&2));
    if !of_pairs || fact.datum_type != f32::datum_type() || **axes != [fact.rank() - 1] {
        return Ok(None);
    }
    TypedModelPatch::replace_single_op(model, node, &node.inputs, PairSoftmax).map(Some)
}

impl Op for PairSoftmax {
    fn name(&self) -> StaticName {
        "PairSoftmax".into()
    }

    op_as_typed_op!();
}

impl EvalOp for PairSoftmax {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut tensor = args_1!(inputs).into_tensor();
        for pair in tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.as_chunks_mut::<2>().0 {
            let [a, b] = *pair;
            // Far apart, one power is infinite and its share rightly nothing.
            *pair = [1.0 / (1.0 + (b - a).exp()), 1.0 / (1.0 + (a - b).exp())];
        }
        Ok(tvec!(tensor.into_tvalue()))
    }
}

impl TypedOp for PairSoftmax {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Net;

    fn ours(shape: [usize; 4], axis: i64, input: &[f32]) -> Result<bool, TestCaseError> {
        let operators = Net::new(shape).node("Softmax", &["x"], "y", &[("axis", &[axis])]).agrees(&["y"], input)?;
        Ok(operators.iter().any(|name| name == "PairSoftmax"))
    }

    proptest! {
        #[test]
        fn it_computes_what_tract_computes(input in prop::collection::vec(-200.0f32..200.0, 2 * 3 * 5)) {
            prop_assert!(ours([1, 3, 5, 2], 3, &input)?);
            prop_assert!(ours([1, 3, 5, 2], -1, &input)?);
            prop_assert!(!ours([1, 2, 3, 5], 1, &input)?, "pairs along another axis");
            prop_assert!(!ours([1, 2, 5, 3], 3, &input)?, "triples");
        }
    }
}
