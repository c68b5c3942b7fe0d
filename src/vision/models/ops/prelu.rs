//! PReLU in one pass and in place, for `tract`.
//!
//! `tract` makes three passes of it, one of them a product broadcast over the channels that takes as long as the convolutions
//! (measured on the MobileFaceNet-512 of the door pack: 9 of 21 ms). Face recognisers are full of it.

use tract_onnx::tract_hir::{
    infer::{InferenceResult, Solver, TensorProxy},
    internal::*,
    ops::expandable::{Expansion, expand},
};

use super::rectify::rectified;

/// Teaches `onnx` to read PRelu as [`ChannelPRelu`].
pub fn register(onnx: &mut tract_onnx::Onnx) {
    onnx.op_register.insert("PRelu", |_, _| Ok((expand(PReluExpansion), vec![])));
}

/// The ONNX operator, until its slopes are known to be constants.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct PReluExpansion;

impl Expansion for PReluExpansion {
    fn name(&self) -> StaticName {
        "PRelu".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        if inputs.len() != 2 || outputs.len() != 1 {
            bail!("a PRelu has two inputs and one output");
        }
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)?;
        Ok(())
    }

    fn wire(&self, name: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let slopes = model.outlet_fact(inputs[1])?.konst.clone();
        let slopes = slopes.with_context(|| format!("the slopes of the PRelu {name} are not constant"))?;
        let input = model.outlet_fact(inputs[0])?;
        let channels = input.shape.get(1).with_context(|| "a PRelu's input has channels".to_string())?.to_usize()?;
        // One for all, or one for each channel: [C, 1, 1] and the like, from the right.
        let dims = slopes.shape();
        let along_channels =
            dims.len() + 1 >= input.rank() && dims.iter().rev().take(input.rank() - 2).all(|&dim| dim == 1);
        if slopes.len() != 1 && !(slopes.len() == channels && along_channels) {
            bail!("the slopes of the PRelu {name} are neither one nor one for each of {channels} channels: {dims:?}");
        }
        let slopes = slopes.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        model.wire_node(name, ChannelPRelu { slopes }, &inputs[..1])
    }
}

/// `x` where it is not negative, `slope · x` where it is; the slopes by turns for the planes of axis 1.
#[derive(Clone, Debug)]
pub struct ChannelPRelu {
    slopes: Vec<f32>,
}

impl ChannelPRelu {
    /// One slope for all channels, or one for each.
    pub fn slopes(&self) -> &[f32] {
        &self.slopes
    }
}

impl PartialEq for ChannelPRelu {
    fn eq(&self, other: &Self) -> bool {
        self.slopes.iter().map(|slope| slope.to_bits()).eq(other.slopes.iter().map(|slope| slope.to_bits()))
    }
}

impl Eq for ChannelPRelu {}

impl Op for ChannelPRelu {
    fn name(&self) -> StaticName {
        "ChannelPRelu".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ChannelPRelu {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        // Takes the memory over where nobody else reads it, which is so in all our networks.
        let mut tensor = input.into_tensor();
        let plane: usize = tensor.shape().iter().skip(2).product();
        let mut plain = tensor.try_as_plain_ram_mut()?;
        let planes = plain.as_slice_mut::<f32>()?.chunks_exact_mut(plane.max(1));
        for (plane, &slope) in planes.zip(self.slopes.iter().cycle()) {
            for value in plane {
                *value = rectified(*value, slope);
            }
        }
        Ok(tvec!(tensor.into_tvalue()))
    }
}

impl TypedOp for ChannelPRelu {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].datum_type.fact(inputs[0].shape.clone())))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::super::testing::Net;

    /// A PRelu over a picture of two planes of 5×5.
    fn net(dims: &[usize], slopes: Vec<f32>) -> (Net, Vec<f32>) {
        let net = Net::new([1, 2, 5, 5]).constant("s", dims, slopes).node("PRelu", &["x", "s"], "y", &[]);
        (net, (0..50).map(|n| (n * 37 % 101) as f32 - 50.0).collect())
    }

    #[test]
    fn it_computes_what_tract_computes() {
        for (dims, slopes) in
            [(vec![2, 1, 1], vec![0.25, -0.5]), (vec![1, 2, 1, 1], vec![1.5, 0.1]), (vec![1], vec![0.3])]
        {
            let (net, input) = net(&dims, slopes);
            let operators = net.agrees(&["y"], &input).expect("they agree");
            assert!(operators.iter().any(|name| name == "ChannelPRelu"), "{operators:?}");
        }
    }

    #[test]
    fn slopes_that_are_not_for_channels_are_refused() {
        let refused = |dims: &[usize], count| {
            let (net, input) = net(dims, vec![0.1; count]);
            net.run(&["y"], &input, true).is_err()
        };
        assert!(refused(&[5], 5), "one for each column");
        assert!(refused(&[2, 5, 5], 50), "one for each pixel");
    }
}
