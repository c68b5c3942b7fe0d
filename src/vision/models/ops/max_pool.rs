//! The greatest of each 2×2 pixels.

use tract_onnx::{
    tract_core::ops::{cnn::MaxPool, nn::DataFormat},
    tract_hir::internal::*,
};

use super::planes;

/// Halves height and width; an odd row or column at the end is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MaxPool2x2;

/// What replaces `node`, where it is such a pooling.
pub fn replacing(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let Some(MaxPool { pool_spec: spec, with_index_outputs: None }) = node.op_as::<MaxPool>() else { return Ok(None) };
    let Some([_, height, width]) = planes(model.outlet_fact(node.inputs[0])?) else { return Ok(None) };
    let plain = spec.data_format == DataFormat::NCHW && *spec.dilations() == [1, 1];
    let by_two = *spec.kernel_shape == [2, 2] && *spec.strides() == [2, 2];
    let padding = spec.computed_padding(&[height, width]);
    let halves =
        padding.iter().zip([height, width]).all(|(dim, size)| dim.pad_before == 0 && dim.convoluted == size / 2);
    if !(plain && by_two && halves) || width < 2 {
        return Ok(None);
    }
    TypedModelPatch::replace_single_op(model, node, &node.inputs, MaxPool2x2).map(Some)
}

fn halve(from: &[f32], width: usize, to: &mut [f32]) {
    let greater = |a: f32, b: f32| if a > b { a } else { b };
    let pairs = from.chunks_exact(2 * width);
    for (rows, to) in pairs.zip(to.chunks_exact_mut(width / 2)) {
        let (upper, lower) = rows.split_at(width);
        let squares = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
        for (to, (&[a, b], &[c, d])) in to.iter_mut().zip(squares) {
            *to = greater(greater(a, b), greater(c, d));
        }
    }
}

impl Op for MaxPool2x2 {
    fn name(&self) -> StaticName {
        "MaxPool2x2".into()
    }

    op_as_typed_op!();
}

impl EvalOp for MaxPool2x2 {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let &[_, channels, height, width] = input.shape() else { bail!("planes are pooled, not {input:?}") };
        let mut output = Tensor::zero::<f32>(&[1, channels, height / 2, width / 2])?;
        let planes = input.try_as_plain_ram()?;
        let planes = planes.as_slice::<f32>()?.chunks_exact((height * width).max(1));
        let mut halves = output.try_as_plain_ram_mut()?;
        let halves = halves.as_slice_mut::<f32>()?.chunks_exact_mut((height / 2 * (width / 2)).max(1));
        for (from, to) in planes.zip(halves) {
            halve(from, width, to);
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for MaxPool2x2 {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let Some([channels, height, width]) = planes(inputs[0]) else { bail!("planes of floats are pooled") };
        Ok(tvec!(f32::fact([1, channels, height / 2, width / 2])))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Net, numbers};

    fn pooled(shape: [usize; 4], attributes: &[(&str, &[i64])]) -> Net {
        Net::new(shape).node("MaxPool", &["x"], "y", attributes)
    }

    proptest! {
        #[test]
        fn it_computes_what_tract_computes(
            (shape, input) in (1..4usize, 2..20usize, 2..70usize).prop_flat_map(|(channels, height, width)| {
                (Just([1, channels, height, width]), numbers(channels * height * width))
            })
        ) {
            let operators = pooled(shape, &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])]).agrees(&["y"], &input)?;
            prop_assert!(operators.iter().any(|name| name == "MaxPool2x2"), "{:?}", operators);
        }
    }

    #[test]
    fn other_poolings_stay_tracts() {
        let ours = |attributes: &[(&str, &[i64])]| {
            let input: Vec<f32> = (0..99).map(|n| (n * 31 % 17) as f32).collect();
            let operators = pooled([1, 1, 9, 11], attributes).agrees(&["y"], &input).expect("they agree");
            operators.iter().any(|name| name == "MaxPool2x2")
        };
        let by_two: (&str, &[i64]) = ("strides", &[2, 2]);
        assert!(ours(&[("kernel_shape", &[2, 2]), by_two]));
        assert!(!ours(&[("kernel_shape", &[3, 3]), by_two]), "of 3×3");
        assert!(!ours(&[("kernel_shape", &[2, 2]), ("strides", &[1, 1])]), "of squares that overlap");
        assert!(!ours(&[("kernel_shape", &[2, 2]), by_two, ("pads", &[1, 1, 0, 0])]), "padded");
        assert!(!ours(&[("kernel_shape", &[2, 2]), by_two, ("ceil_mode", &[1])]), "with what is left over");
    }
}
