//! Depthwise convolutions whose output is as large as the input, each plane in its own place.

use std::sync::Arc;

use tract_onnx::tract_hir::internal::*;

use super::{
    convolution::Convolution,
    stencil::{self, Kernel, Masks},
};

/// Pixels that are convolved at once: what is read and written for them stays in the first cache of a small ARM core.
const BAND: usize = 2048;

/// One convolution, with rectifiers before and after it.
#[derive(Clone, Debug)]
pub struct Depthwise {
    channels: Arc<[Channel]>,
    /// Of as many rows as are convolved at once.
    masks: Arc<Masks>,
    rows: usize,
    height: usize,
    width: usize,
}

/// What is done to one plane.
#[derive(Debug)]
struct Channel {
    before: f32,
    kernel: Kernel,
}

impl Depthwise {
    /// Whether it is such a convolution.
    pub fn fits(convolution: &Convolution) -> bool {
        convolution.groups == convolution.input[0]
            && convolution.input == convolution.output
            && convolution.strides == [1, 1]
            && convolution.border == [1, 1]
    }

    /// Of what [`Depthwise::fits`].
    pub fn new(of: &Convolution) -> Self {
        let channel = |at: usize| Channel {
            before: of.before[at],
            kernel: Kernel { weights: of.weights[at], bias: of.bias[at], slope: of.after[at] },
        };
        let [channels, height, width] = of.input;
        let rows = (BAND / width).clamp(1, height);
        let masks = Arc::new(Masks::new(width, rows));
        Self { channels: (0..channels).map(channel).collect(), masks, rows, height, width }
    }

    fn convolve(&self, planes: &mut [f32]) {
        let (width, rows, pixels) = (self.width, self.rows, self.height * self.width);
        // A plane with a row of zeros above and below, and one zero more at either end.
        let mut bordered = vec![0.0; pixels + 2 * width + 2];
        for (plane, channel) in planes.chunks_exact_mut(pixels).zip(&*self.channels) {
            stencil::rectify(plane, channel.before, &mut bordered[width + 1..][..pixels]);
            for (band, to) in plane.chunks_mut(rows * width).enumerate() {
                let around = [0, 1, 2].map(|row| &bordered[(band * rows + row) * width..]);
                stencil::convolve(around, &self.masks, &channel.kernel, to);
            }
        }
    }
}

impl PartialEq for Depthwise {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.channels, &other.channels)
    }
}

impl Eq for Depthwise {}

impl Op for Depthwise {
    fn name(&self) -> StaticName {
        "Depthwise3x3".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Depthwise {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        // Takes the memory over where nobody else reads it.
        let mut tensor = args_1!(inputs).into_tensor();
        self.convolve(tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?);
        Ok(tvec!(tensor.into_tvalue()))
    }
}

impl TypedOp for Depthwise {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}
