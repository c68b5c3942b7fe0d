//! The arithmetic of 3×3 convolutions, in the widest instructions that the processor has.
//!
//! [`convolve()`] takes a plane as one long row, so that narrow planes cost no more than wide ones: the neighbour to the left of a
//! row's first pixel is then the last pixel of the row above, and what it adds is multiplied by a mask of zero there. Eleven
//! multiplications instead of nine, and no special case at the edges.

use super::rectify::rectified;
use crate::widest::widest;

/// What a plane is convolved with, row by row, and what is added.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub weights: [f32; 9],
    pub bias: f32,
    /// Of the rectifier after it.
    pub slope: f32,
}

/// Where a pixel has neighbours to the left and to the right: 1, or 0 where it has none.
#[derive(Debug)]
pub struct Masks {
    left: Vec<f32>,
    right: Vec<f32>,
}

impl Masks {
    /// For `rows` rows of `width` pixels in one.
    pub fn new(width: usize, rows: usize) -> Self {
        let but = |edge: usize| (0..width * rows).map(|at| if at % width == edge { 0.0 } else { 1.0 }).collect();
        Self { left: but(0), right: but(width - 1) }
    }
}

widest! {
    /// Convolves as many pixels as `to` holds and rectifies what comes of it. `rows` are those above, at and below them, each
    /// from the neighbour to the left of the first pixel to the one to the right of the last.
    pub fn convolve(rows: [&[f32]; 3], masks: &Masks, kernel: &Kernel, to: &mut [f32]) {
        let add = multiply_add::<FUSED>;
        let n = to.len();
        let [[a, b, c], [d, e, f], [g, h, i]] = rows.map(|row| [&row[..n], &row[1..][..n], &row[2..][..n]]);
        let (left, right) = (&masks.left[..n], &masks.right[..n]);
        let Kernel { weights: w, bias, slope } = kernel.clone();
        for at in 0..n {
            let western = add(w[6], g[at], add(w[3], d[at], w[0] * a[at]));
            let eastern = add(w[8], i[at], add(w[5], f[at], w[2] * c[at]));
            let middle = add(w[7], h[at], add(w[4], e[at], add(w[1], b[at], bias)));
            to[at] = rectified(add(western, left[at], add(eastern, right[at], middle)), slope);
        }
    }
}

widest! {
    /// Adds to each of `sums` nine pixels by their weights: the first nine to the first, those one further to the next.
    pub fn accumulate(pixels: [&[f32]; 9], weights: &[f32; 9], sums: &mut [f32]) {
        let add = multiply_add::<FUSED>;
        let n = sums.len();
        let [a, b, c, d, e, f, g, h, i] = pixels.map(|pixels| &pixels[..n]);
        let w = *weights;
        for at in 0..n {
            let upper = add(w[2], c[at], add(w[1], b[at], add(w[0], a[at], sums[at])));
            let middle = add(w[5], f[at], add(w[4], e[at], add(w[3], d[at], upper)));
            sums[at] = add(w[8], i[at], add(w[7], h[at], add(w[6], g[at], middle)));
        }
    }
}

widest! {
    /// Rectifies `from` into `to`, which is as long.
    pub fn rectify(from: &[f32], slope: f32, to: &mut [f32]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = rectified(from, slope);
        }
    }
}

widest! {
    /// Rectifies the first, the third and so on of `from` into `one`, the others into `other`.
    pub fn rectify_by_turns(from: &[f32], slope: f32, one: &mut [f32], other: &mut [f32]) {
        let (pairs, alone) = from.as_chunks::<2>();
        let (one, last) = one.split_at_mut(pairs.len());
        for ((one, other), pair) in one.iter_mut().zip(&mut other[..pairs.len()]).zip(pairs) {
            *one = rectified(pair[0], slope);
            *other = rectified(pair[1], slope);
        }
        if let (&[alone], [last, ..]) = (alone, last) {
            *last = rectified(alone, slope);
        }
    }
}

/// `a · b + sum`; in one step where the processor is known to have it, since elsewhere that would be a call of a function.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, sum: f32) -> f32 {
    if FUSED { a.mul_add(b, sum) } else { a * b + sum }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::testing::numbers, *};

    proptest! {
        // By themselves they run the one or the other, as the processor is.
        #[test]
        fn with_wide_vectors_and_without_the_same_comes_out(
            width in 1..40usize,
            pixels in numbers(500),
            weights in numbers(11),
        ) {
            let near = |one: &[f32], other: &[f32]| one.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-5);
            let (masks, count) = (Masks::new(width, 5), 5 * width);
            let kernel = Kernel { weights: *weights.first_chunk().expect("eleven"), bias: weights[9], slope: weights[10] };
            let rows = [0, 1, 2].map(|row| &pixels[row * width..]);
            let (mut one, mut other) = (vec![0.0; count], vec![0.0; count]);
            convolve(rows, &masks, &kernel, &mut one);
            convolve::plain(rows, &masks, &kernel, &mut other);
            prop_assert!(near(&one, &other));

            let nine = std::array::from_fn(|at| &pixels[at * 7..]);
            accumulate(nine, &kernel.weights, &mut one);
            accumulate::plain(nine, &kernel.weights, &mut other);
            prop_assert!(near(&one, &other));
        }
    }
}
