//! A picture read between its pixels: bilinear interpolation, black outside.
//!
//! Whole coordinates are the centres of pixels, as in `cv2.warpAffine`, with which the networks were trained.

use image::RgbImage;

/// Colours are given in so many parts of a level: 0 to 255 × 256.
pub const PARTS: u16 = 256;

/// What was read of a row of points: red, green and blue, each in a row of its own, so that what is done to a colour is done to many
/// points at once.
pub struct Row(pub [Vec<u16>; 3]);

impl Row {
    /// Of so many points, black.
    pub fn new(points: usize) -> Self {
        Self([0, 1, 2].map(|_| vec![0; points]))
    }

    fn len(&self) -> usize {
        self.0[0].len()
    }
}

/// A picture to be read between its pixels.
pub struct Source<'a> {
    pixels: &'a [[u8; 3]],
    width: usize,
    height: usize,
}

impl<'a> Source<'a> {
    /// The picture, read so.
    pub fn new(picture: &'a RgbImage) -> Self {
        Self::of(picture.as_raw(), picture.width() as usize, picture.height() as usize)
    }

    /// RGB pixels of that width and height, row by row.
    pub fn of(rgb: &'a [u8], width: usize, height: usize) -> Self {
        Self { pixels: rgb.as_chunks::<3>().0, width, height }
    }

    /// The colours of evenly spaced points, the first at `from`, in [`PARTS`] of a level. Exact to 1/256 of a
    /// pixel; OpenCV's are to 1/32.
    pub fn read_row(&self, from: (f32, f32), step: (f32, f32), row: &mut Row) {
        let at = |point: usize| (from.0 + step.0 * point as f32, from.1 + step.1 * point as f32);
        // A row is a straight line: where both its ends are inside, all of it is.
        if self.has_around(at(0)) && self.has_around(at(row.len().saturating_sub(1))) {
            self.read_inside(from, step, row);
            return;
        }
        for point in 0..row.len() {
            for (colour, value) in row.0.iter_mut().zip(self.anywhere(at(point))) {
                colour[point] = (value * f32::from(PARTS)) as u16;
            }
        }
    }

    /// Whether the four pixels around the point lie in the picture, with room for the rounding of what lies between two such
    /// points.
    fn has_around(&self, (x, y): (f32, f32)) -> bool {
        let fits = |at: f32, length: usize| at >= 0.05 && at <= length as f32 - 1.05;
        fits(x, self.width) && fits(y, self.height)
    }

    /// [`Source::read_row`] where all of it is inside: whole numbers of 1/65536 of a pixel, weights of 1/256. Several colours are
    /// mixed side by side in one word; no lane of it overflows, and so nothing else does.
    fn read_inside(&self, from: (f32, f32), step: (f32, f32), Row([red, green, blue]): &mut Row) {
        const BYTES: u64 = 0x00ff_00ff_00ff;
        let fixed = |value: f32| (f64::from(value) * 65536.0) as i64;
        let (mut x, mut y) = (fixed(from.0), fixed(from.1));
        let (across, down) = (fixed(step.0), fixed(step.1));
        let (bytes, stride) = (self.pixels.as_flattened(), self.width * 3);
        for ((to_red, to_green), to_blue) in red.iter_mut().zip(green).zip(blue) {
            let (column, line) = ((x >> 16) as usize, (y >> 16) as usize);
            let (right, below) = ((x >> 8) as u64 & 255, (y >> 8) as u64 & 255);
            // What a lane borrows of the next one where the other is less, the sum gives back.
            let mix =
                |one: u64, other: u64, share: u64| (one << 8).wrapping_add(other.wrapping_sub(one).wrapping_mul(share));
            let at = line.wrapping_mul(stride).wrapping_add(column.wrapping_mul(3));
            let (upper, lower) = (two_from(bytes, at), two_from(bytes, at.wrapping_add(stride)));
            // In sixteen bits each, from the lowest: red, blue and the green to the right; green, the red and the blue to the right.
            let even = mix(upper & BYTES, lower & BYTES, below);
            let odd = mix(upper >> 8 & BYTES, lower >> 8 & BYTES, below);
            let red_blue =
                mix(even & 0xffff | (even & 0xffff_0000) << 16, odd >> 16 & 0xffff | (odd & 0xffff_0000_0000), right);
            let green = mix(odd & 0xffff, even >> 32, right);
            (*to_red, *to_green, *to_blue) = ((red_blue >> 8) as u16, (green >> 8) as u16, (red_blue >> 40) as u16);
            (x, y) = (x.wrapping_add(across), y.wrapping_add(down));
        }
    }

    /// The colour at any point, 0 to 255, also outside.
    fn anywhere(&self, (x, y): (f32, f32)) -> [f32; 3] {
        // Far outside is outside; the bound keeps the conversions exact. `as` takes NaN to 0.
        let (left, above) = (x.floor().clamp(-2.0, 1e6), y.floor().clamp(-2.0, 1e6));
        let (right, below) = ((x - left).clamp(0.0, 1.0), (y - above).clamp(0.0, 1.0));
        let (column, row) = (left as i32, above as i32);
        let corners = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(across, down)| self.pixel(column + across, row + down));
        let [a, b, c, d] = corners.map(|corner| corner.map(f32::from));
        [0, 1, 2].map(|channel| {
            let upper = a[channel] + (b[channel] - a[channel]) * right;
            let lower = c[channel] + (d[channel] - c[channel]) * right;
            upper + (lower - upper) * below
        })
    }

    /// The pixel, black outside the picture.
    fn pixel(&self, column: i32, row: i32) -> [u8; 3] {
        let inside = (0..self.width as i32).contains(&column) && (0..self.height as i32).contains(&row);
        if !inside {
            return [0; 3];
        }
        let at = row as usize * self.width + column as usize;
        self.pixels.get(at).copied().unwrap_or_default()
    }
}

/// The pixel that begins there and the one to its right, red in the lowest byte; what is above them are others.
#[inline(always)]
fn two_from(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => last_two(bytes, at),
    }
}

/// The same of the picture's last two.
#[cold]
fn last_two(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).unwrap_or_default().iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The way for rows that are inside is no more than a short cut.
        #[test]
        fn inside_both_ways_are_one(from in (0f32..17.0, 0f32..13.0), to in (0f32..17.0, 0f32..13.0), seed in any::<u8>()) {
            let picture = RgbImage::from_fn(17, 13, |x, y| image::Rgb([seed ^ (x * 15) as u8, (y * 19) as u8, (x * y) as u8]));
            let source = Source::new(&picture);
            let step = ((to.0 - from.0) / 20.0, (to.1 - from.1) / 20.0);
            let mut row = Row::new(21);
            source.read_row(from, step, &mut row);
            for at in 0..row.len() {
                let point = (from.0 + step.0 * at as f32, from.1 + step.1 * at as f32);
                let colour = row.0.each_ref().map(|colour| colour[at]);
                for (sum, exact) in colour.iter().zip(source.anywhere(point)) {
                    // Two neighbours differ by 255 at most, so 1/256 of a pixel both ways makes two levels.
                    prop_assert!((f32::from(*sum) / f32::from(PARTS) - exact).abs() < 2.1, "{colour:?} at {point:?}");
                }
            }
        }
    }

    #[test]
    fn a_row_is_read_between_the_pixels() {
        let picture = RgbImage::from_fn(8, 8, |x, y| image::Rgb([(x * 10) as u8, (y * 10) as u8, 255]));
        let mut row = Row::new(4);
        Source::new(&picture).read_row((1.0, 2.5), (1.5, 0.0), &mut row);
        let levels = row.0.map(|colour| colour.iter().map(|value| value / PARTS).collect::<Vec<_>>());
        assert_eq!(levels, [vec![10, 25, 40, 55], vec![25; 4], vec![255; 4]]);
    }
}
