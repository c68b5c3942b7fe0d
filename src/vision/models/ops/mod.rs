//! Operators of our own for `tract`, where its take several times as long: see `docs/measurements.md`.
//!
//! PReLU is read as [`prelu`] from the ONNX file on. The others take the place of tract's in the typed graph, before tract
//! chooses kernels and layouts: convolutions of 3×3, be they [`depthwise`] or [`halving`], with the rectifiers beside them; 2×2
//! [`max_pool`]ing; the [`softmax`] of pairs. What fits none of them stays tract's. Each computes what tract's computes,
//! within float rounding.

mod convolution;
mod depthwise;
mod halving;
mod max_pool;
mod prelu;
mod rectify;
mod softmax;
mod stencil;
#[cfg(test)]
mod testing;

use tract_onnx::tract_hir::internal::*;

/// Teaches `onnx` to read operators as ours.
pub fn register(onnx: &mut tract_onnx::Onnx) {
    prelu::register(onnx);
}

/// Puts our operators where tract's are.
pub fn put_in(mut model: TypedModel) -> TractResult<TypedModel> {
    // Biases are reshaped constants up to here.
    model.prop_consts()?;
    for rule in [convolution::replacing, max_pool::replacing, softmax::replacing] {
        // Nodes are never renumbered by a patch; what it made itself is not looked at.
        for id in 0..model.nodes.len() {
            if let Some(patch) = rule(&model, &model.nodes[id])? {
                patch.apply(&mut model)?;
            }
        }
    }
    model.compact()?;
    Ok(model)
}

/// How many planes there are, their height and width, of floats as `[1, C, H, W]`; `None` for anything else.
fn planes(fact: &TypedFact) -> Option<[usize; 3]> {
    let shape = fact.shape.as_concrete()?;
    match *shape {
        [1, planes, height, width] if fact.datum_type == f32::datum_type() => Some([planes, height, width]),
        _ => None,
    }
}

/// The floats of a constant.
fn floats(constant: &Tensor) -> TractResult<Vec<f32>> {
    Ok(constant.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}
