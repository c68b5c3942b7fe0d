//! From a picture to a face's embedding. Knows no tenant, no door and no clock.
//!
//! Read downwards: [`detect`] finds faces and their five landmarks, [`track`] tells which face of this frame is which of
//! the last, [`quality`] says whether a face is worth recognising, [`refine`] finds its landmarks again,
//! more exactly, [`align`] brings it to 112×112, the recogniser makes the unit vector, [`template`] says of how many of them a
//! template is the mean, [`liveness`] scores whether a living person was seen. [`engine`] holds a pack's networks and is what the
//! rest of the crate talks to; [`models`] reads packs, checks their hashes and prepares networks for `tract`.

pub mod agreement;
pub mod align;
pub mod detect;
pub mod engine;
pub mod evaluate;
pub mod landmarks;
pub mod liveness;
pub mod models;
pub mod motion;
pub mod pad;
pub mod picture;
pub mod quality;
pub mod refine;
pub mod region;
pub mod sample;
pub mod template;
pub mod track;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// Length of every embedding, in numbers.
pub const DIMENSION: usize = 512;

/// A point of a picture in pixels; (0, 0) is the top left corner of the top left pixel, x grows right, y down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub x: f32,
    pub y: f32,
}

/// An upright rectangle in pixels, in the coordinates of [`Point`]. May reach beyond the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, utoipa::ToSchema, Deserialize)]
pub struct Rect {
    pub left: f32,
    pub top: f32,
    pub width: f32,
    pub height: f32,
}

impl Rect {
    /// Its area in square pixels.
    pub fn size(&self) -> f32 {
        self.width * self.height
    }

    /// What of it lies within a picture of that size; without width or height where nothing does.
    #[must_use]
    pub fn within(&self, width: f32, height: f32) -> Self {
        let (left, top) = (self.left.clamp(0.0, width), self.top.clamp(0.0, height));
        let (right, bottom) =
            ((self.left + self.width).clamp(left, width), (self.top + self.height).clamp(top, height));
        Self { left, top, width: right - left, height: bottom - top }
    }
}

/// The five points of a face, in the order of the ArcFace template: the eye at the picture's left, the eye at its right,
/// the tip of the nose, the mouth's corner at the left, the one at the right.
pub type Landmarks = [Point; 5];

/// A face found in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// Where it is.
    pub area: Rect,
    /// The detector's confidence, 0 to 1.
    pub confidence: f32,
    pub landmarks: Landmarks,
}

/// A face's template: [`DIMENSION`] finite numbers of unit length.
///
/// `Debug` does not print the numbers: a template never reaches a log.
#[derive(Clone, PartialEq)]
pub struct Embedding(Box<[f32; DIMENSION]>);

impl Drop for Embedding {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl Embedding {
    /// Brings `raw` to unit length. `None` where the length is not [`DIMENSION`], a number is not finite, or the vector is
    /// so short (norm under 1e-6) that it has no direction.
    pub fn normalised(raw: &[f32]) -> Option<Self> {
        let mut vector: Box<[f32; DIMENSION]> = Box::new(raw.try_into().ok()?);
        let norm = vector.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        if !norm.is_finite() || norm < 1e-6 {
            return None;
        }
        for value in vector.iter_mut() {
            *value = (f64::from(*value) / norm) as f32;
        }
        Some(Self(vector))
    }

    /// The mean direction of several. `None` of none, or of such as cancel each other out.
    pub fn mean<'a>(all: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut sum = [0.0; DIMENSION];
        for one in all {
            sum.iter_mut().zip(one.0.iter()).for_each(|(sum, value)| *sum += value);
        }
        let mean = Self::normalised(&sum);
        sum.zeroize();
        mean
    }

    /// The cosine of the angle between the two, −1 to 1; exactly 1 for the same vector.
    pub fn cosine(&self, other: &Self) -> f32 {
        cosine(&self.0, &other.0)
    }

    /// The numbers.
    pub fn as_slice(&self) -> &[f32; DIMENSION] {
        &self.0
    }
}

/// The same of the numbers of two templates.
pub(crate) fn cosine(ours: &[f32; DIMENSION], theirs: &[f32; DIMENSION]) -> f32 {
    // Sixteen sums side by side: one after the other is all that floats allow the compiler otherwise.
    let mut sums = [0.0; 16];
    for (a, b) in ours.as_chunks::<16>().0.iter().zip(theirs.as_chunks::<16>().0) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    cosine_of(sums.iter().sum())
}

/// The cosine that the inner product of two templates stands for. Both are rounded, so that of a vector with itself it is some
/// units in the last place off 1; what is as near as that is the same.
pub(crate) fn cosine_of(product: f32) -> f32 {
    if product > 1.0 - 1e-6 { 1.0 } else { product.max(-1.0) }
}

impl std::fmt::Debug for Embedding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Embedding(…)")
    }
}
