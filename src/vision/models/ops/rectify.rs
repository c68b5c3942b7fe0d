//! Rectifiers: ReLU and PReLU as one slope for each channel, by which what is negative is multiplied.

use tract_onnx::{
    tract_core::ops::binary::TypedBinOp,
    tract_hir::internal::{Tensor, TypedModel, TypedNode},
};

use super::{floats, prelu::ChannelPRelu};

/// `value` where it is not negative, `slope · value` where it is: with a slope of 1 as it was, with 0 a ReLU.
#[inline(always)]
pub fn rectified(value: f32, slope: f32) -> f32 {
    if value < 0.0 { slope * value } else { value }
}

/// The slopes, one for each of `channels`, where the node is a rectifier of its first input alone.
pub fn slopes(model: &TypedModel, node: &TypedNode, channels: usize) -> Option<Vec<f32>> {
    if let Some(prelu) = node.op_as::<ChannelPRelu>() {
        let slopes = prelu.slopes();
        return (slopes.len() == 1 || slopes.len() == channels)
            .then(|| slopes.iter().cycle().take(channels).copied().collect());
    }
    // tract reads Relu as the maximum of its input and a constant zero.
    let maximum = node.op_as::<TypedBinOp>()?;
    let &[input, floor] = &*node.inputs else { return None };
    let floor = model.outlet_fact(floor).ok()?.konst.as_deref()?;
    let alike = model.outlet_fact(input).ok()?.shape == node.outputs[0].fact.shape;
    (maximum.0.name() == "Max" && alike && is_zero(floor)).then(|| vec![0.0; channels])
}

fn is_zero(constant: &Tensor) -> bool {
    floats(constant).is_ok_and(|values| values.iter().all(|&value| value == 0.0))
}
