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
    sample::{PARTS, Row},
};
use crate::{
    error::{Context, Error, Kind, Result},
    widest::widest,
};

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
/// and whose planes are `stride × rows` numbers long. Whatever is beside and below becomes 0.
pub fn write_planes(rgb: &[u8], width: usize, input: &Input, planes: &mut [f32], stride: usize, rows: usize) {
    let norm = Norm::of(input);
    let height = rgb.len() / (width * 3);
    for plane in planes.chunks_exact_mut(stride * rows) {
        let (above, below) = plane.split_at_mut((stride * height).min(stride * rows));
        above.chunks_exact_mut(stride).for_each(|row| row[width..].fill(0.0));
        below.fill(0.0);
    }
    let lines = rgb.chunks_exact(width * 3).map(|row| row.as_chunks::<3>().0);
    let Some([red, green, blue]) = of_colours(input, planes, stride * rows) else {
        for (row, to) in lines.zip(planes.chunks_exact_mut(stride)) {
            for (pixel, to) in row.iter().zip(to) {
                *to = norm.apply(luma(*pixel));
            }
        }
        return;
    };
    let to = red.chunks_exact_mut(stride).zip(green.chunks_exact_mut(stride)).zip(blue.chunks_exact_mut(stride));
    for (row, ((red, green), blue)) in lines.zip(to) {
        normalise_pixels(row, norm, [&mut red[..width], &mut green[..width], &mut blue[..width]]);
    }
}

/// What a network wants done to each colour: `value · slope + shift`.
#[derive(Clone, Copy)]
pub(super) struct Norm {
    slope: f32,
    shift: f32,
}

impl Norm {
    pub(super) fn of(input: &Input) -> Self {
        Self { slope: 1.0 / input.scale, shift: -input.mean / input.scale }
    }

    #[inline(always)]
    pub(super) fn apply(self, value: f32) -> f32 {
        value * self.slope + self.shift
    }
}

/// A network's planes for red, green and blue, `size` numbers each; none where it takes grey.
pub(super) fn of_colours<'p>(input: &Input, planes: &'p mut [f32], size: usize) -> Option<[&'p mut [f32]; 3]> {
    let (first, rest) = planes.split_at_mut_checked(size)?;
    let (second, third) = rest.split_at_mut_checked(size)?;
    match input.colour {
        Colour::Rgb => Some([first, second, third]),
        Colour::Bgr => Some([third, second, first]),
        Colour::Grey => None,
    }
}

widest! {
    /// Normalises a row of pixels into a row of each colour, which are as long.
    fn normalise_pixels(row: &[[u8; 3]], norm: Norm, to: [&mut [f32]; 3]) {
        let n = row.len();
        let [red, green, blue] = to.map(|to| &mut to[..n]);
        let to = red.iter_mut().zip(green).zip(blue);
        for (&[r, g, b], ((red, green), blue)) in row.iter().zip(to) {
            *red = norm.apply(f32::from(r));
            *green = norm.apply(f32::from(g));
            *blue = norm.apply(f32::from(b));
        }
    }
}

widest! {
    /// Normalises a colour's levels into as many numbers.
    fn normalise_levels(levels: &[u8], norm: Norm, to: &mut [f32]) {
        for (to, &level) in to.iter_mut().zip(levels) {
            *to = norm.apply(f32::from(level));
        }
    }
}

widest! {
    /// The same of [`PARTS`] of a level.
    pub(super) fn normalise_parts(parts: &[u16], norm: Norm, to: &mut [f32]) {
        for (to, &parts) in to.iter_mut().zip(parts) {
            *to = norm.apply(f32::from(parts) / f32::from(PARTS));
        }
    }
}

widest! {
    /// Rounds [`PARTS`] of a level to as many levels.
    fn round_parts(parts: &[u16], to: &mut [u8]) {
        for (to, &parts) in to.iter_mut().zip(parts) {
            *to = (parts.wrapping_add(PARTS / 2) / PARTS) as u8;
        }
    }
}

/// A square's levels of red, green and blue, each in a plane of its own, row by row.
pub struct Square {
    side: usize,
    colours: [Vec<u8>; 3],
}

impl Square {
    /// Of `side` pixels both ways. `read` is asked for each row, from the top, in turn; its levels are rounded.
    pub fn read(side: usize, mut read: impl FnMut(usize, &mut Row)) -> Self {
        let mut colours = [0, 1, 2].map(|_| vec![0; side * side]);
        let mut row = Row::new(side);
        for y in 0..side {
            read(y, &mut row);
            for (colour, parts) in colours.iter_mut().zip(&row.0) {
                round_parts(parts, &mut colour[y * side..(y + 1) * side]);
            }
        }
        Self { side, colours }
    }

    /// Turns it into what a mirror shows.
    pub fn mirror(&mut self) {
        for colour in &mut self.colours {
            colour.chunks_exact_mut(self.side).for_each(<[_]>::reverse);
        }
    }

    /// Writes it as normalised planes, which are as large as it is.
    pub fn write(&self, input: &Input, planes: &mut [f32]) {
        let (norm, [red, green, blue]) = (Norm::of(input), &self.colours);
        match of_colours(input, planes, self.side * self.side) {
            Some(to) => {
                for (to, levels) in to.into_iter().zip([red, green, blue]) {
                    normalise_levels(levels, norm, to);
                }
            }
            None => {
                for (to, ((&red, &green), &blue)) in planes.iter_mut().zip(red.iter().zip(green).zip(blue)) {
                    *to = norm.apply(luma([red, green, blue]));
                }
            }
        }
    }

    /// The same, pixel by pixel.
    #[cfg(test)]
    pub fn pixels(&self) -> Vec<[u8; 3]> {
        (0..self.side * self.side).map(|at| self.colours.each_ref().map(|colour| colour[at])).collect()
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
    fn planes_hold_the_pixels_in_order_and_zeros_around_them() {
        let input = Input { width: 4, height: 2, colour: Colour::Bgr, mean: 10.0, scale: 2.0 };
        let rgb = [10, 20, 30, 40, 50, 60];
        let mut planes = [9.0; 24];
        write_planes(&rgb, 2, &input, &mut planes, 4, 2);
        for (plane, pixels) in planes.chunks_exact(8).zip([[10.0, 25.0], [5.0, 20.0], [0.0, 15.0]]) {
            assert_eq!(plane[..2], pixels);
            assert_eq!(plane[2..], [0.0; 6]);
        }
    }

    #[test]
    fn a_square_is_written_as_its_pixels_are_also_from_a_mirror() {
        // Odd, so that some are left over of whatever is done to many at once.
        const SIDE: usize = 37;
        let level = |x: usize, y: usize, colour: usize| (x * 7 + y * 11 + colour * 90) as u8;
        let mut square = Square::read(SIDE, |y, row| {
            for (colour, parts) in row.0.iter_mut().enumerate() {
                for (x, parts) in parts.iter_mut().enumerate() {
                    // Nearly half a level to either side.
                    *parts = u16::from(level(x, y, colour)).wrapping_mul(PARTS).saturating_add(127);
                }
            }
        });
        let pixel = |x: usize, y: usize| [0, 1, 2].map(|colour| level(x, y, colour));
        for mirrored in [false, true] {
            let rgb: Vec<[u8; 3]> = (0..SIDE * SIDE)
                .map(|at| (at % SIDE, at / SIDE))
                .map(|(x, y)| pixel(if mirrored { SIDE - 1 - x } else { x }, y))
                .collect();
            assert_eq!(square.pixels(), rgb);
            for colour in [Colour::Rgb, Colour::Bgr, Colour::Grey] {
                let input = Input { width: SIDE, height: SIDE, colour, mean: 127.5, scale: 128.0 };
                let mut planes = [vec![0.0; colour.planes() * SIDE * SIDE], vec![0.0; colour.planes() * SIDE * SIDE]];
                square.write(&input, &mut planes[0]);
                write_planes(rgb.as_flattened(), SIDE, &input, &mut planes[1], SIDE, SIDE);
                assert_eq!(planes[0], planes[1], "{colour:?}");
            }
            square.mirror();
        }
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
