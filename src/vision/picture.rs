//! Pictures into what networks are fed: a part of a picture, scaled, as planes of normalised numbers.

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};
use image::RgbImage;

use super::{
    Rect,
    models::{Colour, Input},
};
use crate::error::{Context, Error, Kind, Result};

/// Scales parts of pictures; keeps its buffers from call to call.
#[derive(Default)]
pub struct Scaler {
    resizer: Resizer,
    scaled: Vec<u8>,
}

impl Scaler {
    /// The part `area` of the picture as `width` × `height` RGB pixels, row by row. What of `area` lies outside the picture is
    /// cut off first. Smaller pictures are made by averaging, larger ones by linear interpolation.
    ///
    /// # Errors
    /// [`Kind::ImageUndecodable`] where nothing of `area` lies within the picture.
    pub fn scale(&mut self, picture: &RgbImage, area: Rect, width: usize, height: usize) -> Result<&[u8]> {
        let cut = area.within(picture.width() as f32, picture.height() as f32);
        if cut.size() <= 0.0 {
            return Err(Error::new(Kind::ImageUndecodable, "a face lies outside the picture"));
        }
        self.scaled.resize(width * height * 3, 0);
        let failed = || "a part of a picture cannot be scaled";
        // Typed: else the scaling of every kind of pixel there is would be compiled here, which takes minutes.
        let source = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.as_raw())
            .context(Kind::ImageUndecodable, failed)?;
        let mut target = TypedImage::<U8x3>::from_buffer(width as u32, height as u32, &mut self.scaled)
            .context(Kind::Internal, failed)?;
        // In doubles, a sum of two rounded numbers may lie beyond the edge.
        let (left, top) = (f64::from(cut.left), f64::from(cut.top));
        let wide = f64::from(cut.width).min(f64::from(picture.width()) - left);
        let high = f64::from(cut.height).min(f64::from(picture.height()) - top);
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(left, top, wide, high);
        self.resizer.resize_typed(&source, &mut target, &options).context(Kind::ImageUndecodable, failed)?;
        Ok(&self.scaled)
    }
}

/// Writes `rgb`, `width` pixels a row, as normalised planes into the top left of `planes`, whose rows are `stride` numbers
/// and whose planes are `stride × rows` numbers long.
pub fn write_planes(rgb: &[u8], width: usize, input: &Input, planes: &mut [f32], stride: usize, rows: usize) {
    let slope = 1.0 / input.scale;
    let shift = -input.mean / input.scale;
    let (first, second, third) = match input.colour {
        Colour::Rgb => (0, 1, 2),
        Colour::Bgr => (2, 1, 0),
        Colour::Grey => {
            for (row, to) in rgb.chunks_exact(width * 3).zip(planes.chunks_exact_mut(stride)) {
                for (pixel, to) in row.as_chunks::<3>().0.iter().zip(to) {
                    *to = luma(*pixel) * slope + shift;
                }
            }
            return;
        }
    };
    let size = stride * rows;
    let (a, rest) = planes.split_at_mut(size);
    let (b, c) = rest.split_at_mut(size);
    let lines = a.chunks_exact_mut(stride).zip(b.chunks_exact_mut(stride)).zip(c.chunks_exact_mut(stride));
    for (row, ((a, b), c)) in rgb.chunks_exact(width * 3).zip(lines) {
        let to = a.iter_mut().zip(b).zip(c);
        for (pixel, ((a, b), c)) in row.as_chunks::<3>().0.iter().zip(to) {
            *a = f32::from(pixel[first]) * slope + shift;
            *b = f32::from(pixel[second]) * slope + shift;
            *c = f32::from(pixel[third]) * slope + shift;
        }
    }
}

/// Brightness of a colour, 0 to 255 as its parts: ITU-R BT.601.
pub fn luma<T: Into<f32>>([red, green, blue]: [T; 3]) -> f32 {
    0.299 * red.into() + 0.587 * green.into() + 0.114 * blue.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_part_that_ends_at_the_edge_is_scaled_however_it_is_rounded(left in 0f32..96.0, top in 0f32..96.0) {
            let picture = RgbImage::new(97, 97);
            let area = Rect { left, top, width: 97.0 - left, height: 97.0 - top };
            prop_assert!(Scaler::default().scale(&picture, area, 8, 8).is_ok());
        }
    }

    #[test]
    fn planes_hold_the_pixels_in_order_and_leave_the_padding() {
        let input = Input { width: 4, height: 2, colour: Colour::Bgr, mean: 10.0, scale: 2.0 };
        let rgb = [10, 20, 30, 40, 50, 60];
        let mut planes = [9.0; 24];
        write_planes(&rgb, 2, &input, &mut planes, 4, 2);
        assert_eq!(planes[..4], [10.0, 25.0, 9.0, 9.0]);
        assert_eq!(planes[8..12], [5.0, 20.0, 9.0, 9.0]);
        assert_eq!(planes[16..20], [0.0, 15.0, 9.0, 9.0]);
        assert_eq!(planes[4], 9.0);
    }

    #[test]
    fn a_part_outside_the_picture_is_an_error_and_an_overhanging_one_is_cut() {
        let picture = RgbImage::from_fn(8, 8, |x, _| image::Rgb([x as u8 * 10; 3]));
        let mut scaler = Scaler::default();
        let outside = Rect { left: 20.0, top: 0.0, width: 4.0, height: 4.0 };
        assert!(scaler.scale(&picture, outside, 4, 4).is_err());
        let over = Rect { left: 4.0, top: 0.0, width: 40.0, height: 4.0 };
        assert_eq!(scaler.scale(&picture, over, 4, 4).unwrap()[..3], [40, 40, 40]);
    }
}
