//! Convolutions that halve height and width: depthwise ones, and those of a network's first layer, which mix a few planes.
//!
//! Every second row and column is taken apart first, so that neighbours in the output read neighbours. Like that a picture is
//! in four parts, by whether row and column are even or odd, and all nine pixels around an output have one place in theirs.

use std::sync::Arc;

use tract_onnx::tract_hir::internal::*;

use super::{convolution::Convolution, stencil};

/// Pixels of an output that are computed at once: the parts of a few planes stay in the caches of a small ARM core.
const BAND: usize = 512;

/// One convolution, with rectifiers before and after it.
#[derive(Clone)]
pub struct Halving(Arc<Convolution>);

impl Halving {
    /// Of any convolution with strides of two.
    pub fn new(convolution: Convolution) -> Self {
        Self(Arc::new(convolution))
    }

    fn convolve(&self, from: &[f32], to: &mut [f32]) {
        let Convolution { groups, input: [planes, ..], output: [made, high, wide], .. } = *self.0;
        let rows = (BAND / wide).clamp(1, high);
        let mut parts: Vec<Parts> = (0..planes / groups).map(|_| Parts::new(rows, wide)).collect();
        let mut sums = vec![0.0; parts[0].sums()];
        for group in 0..groups {
            for first in (0..high).step_by(rows) {
                self.take_apart(from, group, first, &mut parts);
                for channel in group * made / groups..(group + 1) * made / groups {
                    self.sum(channel, &parts, &mut sums);
                    let band =
                        to[(channel * high + first) * wide..].chunks_exact_mut(wide).take(rows.min(high - first));
                    // Rows of sums are one longer than those of the output.
                    for (to, sums) in band.zip(sums.chunks(wide + 1)) {
                        stencil::rectify(&sums[..wide], self.0.after[channel], to);
                    }
                }
            }
        }
    }

    /// Takes apart what the outputs of a group from row `first` on are made of.
    fn take_apart(&self, from: &[f32], group: usize, first: usize, parts: &mut [Parts]) {
        let Convolution { input: [_, height, width], border, ref before, .. } = *self.0;
        let begin = group * parts.len();
        let planes = from.chunks_exact(height * width).zip(before).skip(begin);
        for (parts, (plane, &slope)) in parts.iter_mut().zip(planes) {
            parts.take_apart(plane, width, border, first, slope);
        }
    }

    fn sum(&self, channel: usize, parts: &[Parts], sums: &mut [f32]) {
        sums.fill(self.0.bias[channel]);
        for (parts, weights) in parts.iter().zip(&self.0.weights[channel * parts.len()..]) {
            stencil::accumulate(parts.around(), weights, sums);
        }
    }
}

/// The four parts of a band of one plane, one after the other: of even rows the even columns and the odd ones, then of odd rows.
/// Rows and columns are counted from the border on.
struct Parts {
    pixels: Vec<f32>,
    /// Of a part: one row and one column more than the output has.
    rows: usize,
    width: usize,
}

impl Parts {
    /// For outputs of so many rows and columns.
    fn new(rows: usize, width: usize) -> Self {
        let (rows, width) = (rows + 1, width + 1);
        Self { pixels: vec![0.0; 4 * rows * width], rows, width }
    }

    /// How many sums lie between the first of a band and the last: rows as wide as a part's, but for the end of the last.
    fn sums(&self) -> usize {
        (self.rows - 1) * self.width - 1
    }

    /// Takes what the outputs from row `first` on are around.
    fn take_apart(&mut self, plane: &[f32], width: usize, [above, left]: [usize; 2], first: usize, slope: f32) {
        let size = self.rows * self.width;
        for odd in 0..2 {
            let (even_columns, odd_columns) = self.pixels[2 * odd * size..][..2 * size].split_at_mut(size);
            let rows = even_columns.chunks_exact_mut(self.width).zip(odd_columns.chunks_exact_mut(self.width));
            for (row, (even, odd_columns)) in rows.enumerate() {
                let row = (2 * (first + row) + odd).checked_sub(above);
                let Some(from) = row.and_then(|row| plane.get(row * width..(row + 1) * width)) else {
                    even.fill(0.0);
                    odd_columns.fill(0.0);
                    continue;
                };
                // What the border is, and what lies beyond the plane's end, stays zero from the beginning.
                let from = &from[..width.min(2 * self.width - left)];
                if left == 0 {
                    stencil::rectify_by_turns(from, slope, even, odd_columns);
                } else {
                    stencil::rectify_by_turns(from, slope, odd_columns, &mut even[1..]);
                }
            }
        }
    }

    /// The nine pixels around the first output; those around the next are one further.
    fn around(&self) -> [&[f32]; 9] {
        std::array::from_fn(|at| {
            let (row, column) = (at / 3, at % 3);
            let part = row % 2 * 2 + column % 2;
            &self.pixels[(part * self.rows + row / 2) * self.width + column / 2..]
        })
    }
}

impl std::fmt::Debug for Halving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl PartialEq for Halving {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Halving {}

impl Op for Halving {
    fn name(&self) -> StaticName {
        "Halving3x3".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Halving {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let [planes, height, width] = self.0.output;
        let mut output = Tensor::zero::<f32>(&[1, planes, height, width])?;
        let from = input.try_as_plain_ram()?;
        self.convolve(from.as_slice::<f32>()?, output.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?);
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Halving {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [planes, height, width] = self.0.output;
        Ok(tvec!(f32::fact([1, planes, height, width])))
    }

    as_op!();
}
