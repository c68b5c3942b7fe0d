//! What the checks' tests look at.

use image::{Rgb, RgbImage};

use super::Glimpse;
use crate::vision::{Face, Point, Rect};

/// A face of 96 pixels in the middle of a picture of 192 × 160.
pub fn face() -> Face {
    let area = Rect { left: 48.0, top: 32.0, width: 96.0, height: 96.0 };
    let points = [(32.8, 44.3), (63.0, 44.2), (48.0, 61.5), (35.6, 79.2), (60.6, 79.0)];
    let landmarks = points.map(|(x, y)| Point { x: x + area.left, y: y + area.top });
    Face { area, confidence: 0.9, landmarks }
}

/// Noise without a pattern, of so many grey levels either way.
pub fn noise(seed: u32, x: u32, y: u32, levels: f32) -> f32 {
    let mut hash = seed.wrapping_mul(0x9e37_79b9) ^ x.wrapping_mul(0x85eb_ca6b) ^ y.wrapping_mul(0xc2b2_ae35);
    for _ in 0..3 {
        hash = (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d);
    }
    ((hash >> 8) as f32 / (1 << 23) as f32 - 1.0) * levels
}

/// A picture that is made of a brightness for each place.
pub fn picture(brightness: impl Fn(u32, u32) -> f32) -> RgbImage {
    RgbImage::from_fn(192, 160, |x, y| Rgb([brightness(x, y).clamp(0.0, 255.0) as u8; 3]))
}

/// Something with soft shapes of every size, as a face has.
pub fn shapes(x: f32, y: f32) -> f32 {
    let wave = |size: f32, turn: f32| ((x * turn.cos() + y * turn.sin()) / size).sin() * size.min(14.0);
    120.0 + wave(14.0, 0.3) + wave(9.0, 1.9) + wave(6.0, 2.6) + wave(4.0, 1.1) + wave(21.0, 0.9)
}

/// The same frame so many times.
pub fn glimpses(count: usize, mut see: impl FnMut(usize, &Glimpse<'_>)) {
    let (picture, face) = (picture(|x, y| shapes(x as f32, y as f32)), face());
    for at in 0..count {
        see(at, &Glimpse { picture: &picture, face: &face, quality: 0.8, network: None });
    }
}

/// Frames one after the other.
pub fn show(frames: impl IntoIterator<Item = (RgbImage, Face)>, mut see: impl FnMut(&Glimpse<'_>)) {
    for (picture, face) in frames {
        see(&Glimpse { picture: &picture, face: &face, quality: 0.8, network: None });
    }
}
