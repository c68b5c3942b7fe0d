//! The picture of a face that is kept with an enrolment: upright, small, and without a word of what the file told beside it.

use image::{RgbImage, imageops};

use super::{Limits, decode, jpeg};
use crate::{error::Result, vision::Rect};

/// Longest side, in pixels: enough to tell a person by.
const SIDE: u32 = 480;

/// Of JPEG, 1 to 100.
const QUALITY: u8 = 85;

/// How much is shown around the face, as a part of its box's size: hair, ears and shoulders.
const AROUND: f32 = 0.6;

/// A JPEG of the face at `area` (in pixels of the upright picture) and what is around it, at most 480 pixels a side. It is made
/// of pixels alone: where and when and with what the photograph was taken is not in it.
///
/// # Errors
/// Those of [`decode`]; [`Kind::Internal`](crate::error::Kind::Internal) where the JPEG cannot be written.
pub fn portrait(file: &[u8], limits: &Limits, area: &Rect) -> Result<Vec<u8>> {
    let image = decode(file, limits)?;
    let (left, top, width, height) = frame(image.dimensions(), area);
    let cut = imageops::crop_imm(&image, left, top, width, height).to_image();
    drop(image);
    jpeg::encode(&shrunk(cut), QUALITY)
}

fn shrunk(image: RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    let longest = width.max(height);
    if longest <= SIDE {
        return image;
    }
    let part = |length: u32| ((u64::from(length) * u64::from(SIDE) / u64::from(longest)) as u32).max(1);
    imageops::resize(&image, part(width), part(height), imageops::FilterType::Triangle)
}

/// Left, top, width and height of what is kept: within the picture, and never empty.
fn frame((width, height): (u32, u32), area: &Rect) -> (u32, u32, u32, u32) {
    let span = |from: f32, length: f32, most: u32| {
        // A cast of a float saturates, and one of what is no number is 0.
        let first = ((from - AROUND * length).max(0.0) as u32).min(most.saturating_sub(1));
        let last = ((from + length * (1.0 + AROUND)).max(0.0) as u32).clamp(first + 1, most.max(first + 1));
        (first, last - first)
    };
    let (left, wide) = span(area.left, area.width, width);
    let (top, high) = span(area.top, area.height, height);
    (left, top, wide, high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_frame_is_within_the_picture_wherever_the_face_is(
            (width, height) in (1u32..5_000, 1u32..5_000),
            (left, top, wide, high) in (-9e3f32..9e3, -9e3f32..9e3, 0f32..9e3, 0f32..9e3),
        ) {
            let area = Rect { left, top, width: wide, height: high };
            let (left, top, wide, high) = frame((width, height), &area);
            prop_assert!(wide > 0 && high > 0 && left + wide <= width && top + high <= height);
        }
    }

    #[test]
    fn a_small_jpeg_of_pixels_alone_is_made() {
        let image = RgbImage::from_fn(1_600, 1_200, |x, y| image::Rgb([x as u8, y as u8, 99]));
        let mut file = std::io::Cursor::new(Vec::new());
        image.write_to(&mut file, image::ImageFormat::Png).expect("a picture");
        let area = Rect { left: 200.0, top: 100.0, width: 900.0, height: 1_000.0 };
        let jpeg = portrait(file.get_ref(), &Limits::default(), &area).expect("it is whole");
        let back = decode(&jpeg, &Limits::default()).expect("a JPEG");
        assert_eq!(back.width().max(back.height()), SIDE);
        assert!(!jpeg.windows(4).any(|part| part == b"Exif"));
    }
}
