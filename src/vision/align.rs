//! A face brought to the place where recognisers expect it.

use image::RgbImage;

use super::{
    Landmarks, Point,
    models::{Colour, Input},
    picture::luma,
};

/// Where the five points lie in a face of 112×112 pixels: the template that ArcFace networks are trained with (Deng et al.
/// 2019; as in InsightFace's `face_align`).
const TEMPLATE: Landmarks = [
    Point { x: 38.2946, y: 51.6963 },
    Point { x: 73.5318, y: 51.5014 },
    Point { x: 56.0252, y: 71.7366 },
    Point { x: 41.5493, y: 92.3655 },
    Point { x: 70.7299, y: 92.2041 },
];

/// The template's size in pixels, both ways.
pub const SIZE: usize = 112;

/// A rotation, uniform scaling and shift: `x' = a·x − b·y + dx`, `y' = b·x + a·y + dy`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    pub a: f32,
    pub b: f32,
    pub dx: f32,
    pub dy: f32,
}

impl Similarity {
    /// Where the point goes.
    pub fn apply(&self, point: Point) -> Point {
        Point { x: self.a * point.x - self.b * point.y + self.dx, y: self.b * point.x + self.a * point.y + self.dy }
    }

    /// The transform that undoes this one.
    pub fn inverse(&self) -> Self {
        let squared = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / squared, -self.b / squared);
        Self { a, b, dx: b * self.dy - a * self.dx, dy: -b * self.dx - a * self.dy }
    }
}

/// The similarity that brings the five points nearest to the template, in the sense of least squares. `None` where they
/// are not finite or (nearly) all in one place.
///
/// In the plane Umeyama's solution (1991) without reflection has a closed form: with both sets of points as complex numbers
/// about their means, `a + ib = Σ p̄·q / Σ |p|²`.
pub fn to_template(points: &Landmarks) -> Option<Similarity> {
    let mean = |points: &Landmarks| {
        let sum = points.iter().fold((0f64, 0f64), |sum, p| (sum.0 + f64::from(p.x), sum.1 + f64::from(p.y)));
        (sum.0 / 5.0, sum.1 / 5.0)
    };
    let (from, to) = (mean(points), mean(&TEMPLATE));
    let (mut real, mut imaginary, mut spread) = (0.0, 0.0, 0.0);
    for (p, q) in points.iter().zip(&TEMPLATE) {
        let (px, py) = (f64::from(p.x) - from.0, f64::from(p.y) - from.1);
        let (qx, qy) = (f64::from(q.x) - to.0, f64::from(q.y) - to.1);
        real += px * qx + py * qy;
        imaginary += px * qy - py * qx;
        spread += px * px + py * py;
    }
    // Less than a pixel's spread is no face.
    if spread.is_nan() || spread <= 1.0 || spread.is_infinite() {
        return None;
    }
    let (a, b) = (real / spread, imaginary / spread);
    let found = Similarity {
        a: a as f32,
        b: b as f32,
        dx: (to.0 - a * from.0 + b * from.1) as f32,
        dy: (to.1 - b * from.0 - a * from.1) as f32,
    };
    let turns = f64::from(found.a).hypot(f64::from(found.b));
    (turns.is_normal() && found.dx.is_finite() && found.dy.is_finite()).then_some(found)
}

/// Writes the aligned face as normalised planes of 112×112 into `planes`: bilinear interpolation, black outside the picture.
/// Points are in the convention of `cv2.warpAffine`, with which the networks were trained: whole coordinates are the centres
/// of pixels.
pub fn warp(picture: &RgbImage, to_template: &Similarity, input: &Input, planes: &mut [f32]) {
    let back = to_template.inverse();
    let source =
        Source { pixels: picture.as_raw().as_chunks::<3>().0, width: picture.width(), height: picture.height() };
    let slope = 1.0 / input.scale;
    let shift = -input.mean / input.scale;
    for y in 0..SIZE {
        let from = back.apply(Point { x: 0.0, y: y as f32 });
        let at = |x: usize| (from.x + back.a * x as f32, from.y + back.b * x as f32);
        // A row is a straight line: where both its ends are inside, all of it is.
        let inside = source.has_around(at(0)) && source.has_around(at(SIZE - 1));
        let mut row = [[0.0; 3]; SIZE];
        for (x, rgb) in row.iter_mut().enumerate() {
            *rgb = if inside { source.within(at(x)) } else { source.anywhere(at(x)) };
        }
        let place = y * SIZE..(y + 1) * SIZE;
        if input.colour == Colour::Grey {
            for (to, rgb) in planes[place].iter_mut().zip(row) {
                *to = luma(rgb) * slope + shift;
            }
            continue;
        }
        let (first, rest) = planes.split_at_mut(SIZE * SIZE);
        let (second, third) = rest.split_at_mut(SIZE * SIZE);
        let (red, blue) = if input.colour == Colour::Rgb { (first, third) } else { (third, first) };
        let to = red[place.clone()].iter_mut().zip(&mut second[place.clone()]).zip(&mut blue[place]);
        for (((red, green), blue), rgb) in to.zip(row) {
            *red = rgb[0] * slope + shift;
            *green = rgb[1] * slope + shift;
            *blue = rgb[2] * slope + shift;
        }
    }
}

/// A picture to be read between its pixels.
struct Source<'a> {
    pixels: &'a [[u8; 3]],
    width: u32,
    height: u32,
}

impl Source<'_> {
    /// Whether the four pixels around the point lie in the picture, with room for the rounding of what lies between two such
    /// points.
    fn has_around(&self, (x, y): (f32, f32)) -> bool {
        let fits = |at: f32, length: u32| at >= 0.01 && at <= length as f32 - 1.01;
        fits(x, self.width) && fits(y, self.height)
    }

    /// The colour at a point, 0 to 255, from the four pixels around it, which lie in the picture.
    #[inline]
    fn within(&self, (x, y): (f32, f32)) -> [f32; 3] {
        // Neither is negative, so this is the floor.
        let (column, row) = (x as u32, y as u32);
        let at = row as usize * self.width as usize + column as usize;
        let under = at + self.width as usize;
        match (self.pixels.get(at..at + 2), self.pixels.get(under..under + 2)) {
            (Some(&[a, b]), Some(&[c, d])) => mixed([a, b, c, d], x - column as f32, y - row as f32),
            _ => [0.0; 3],
        }
    }

    /// The colour at any point, also outside.
    fn anywhere(&self, (x, y): (f32, f32)) -> [f32; 3] {
        // Far outside is outside; the bound keeps the conversions exact. `as` takes NaN to 0.
        let (left, above) = (x.floor().clamp(-2.0, 1e6), y.floor().clamp(-2.0, 1e6));
        let (right, below) = ((x - left).clamp(0.0, 1.0), (y - above).clamp(0.0, 1.0));
        let (column, row) = (left as i32, above as i32);
        let corners = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(across, down)| self.pixel(column + across, row + down));
        mixed(corners, right, below)
    }

    /// The pixel, black outside the picture.
    fn pixel(&self, column: i32, row: i32) -> [u8; 3] {
        let inside = (0..self.width as i32).contains(&column) && (0..self.height as i32).contains(&row);
        if !inside {
            return [0; 3];
        }
        let at = row as usize * self.width as usize + column as usize;
        self.pixels.get(at).copied().unwrap_or_default()
    }
}

/// Linear interpolation between the pixels at the upper left, upper right, lower left and lower right; `right` and `below` are
/// how far the point is from the first, 0 to 1.
#[inline]
fn mixed(corners: [[u8; 3]; 4], right: f32, below: f32) -> [f32; 3] {
    let [a, b, c, d] = corners.map(|corner| corner.map(f32::from));
    let mix = |channel: usize| {
        let upper = a[channel] + (b[channel] - a[channel]) * right;
        let lower = c[channel] + (d[channel] - c[channel]) * right;
        upper + (lower - upper) * below
    };
    [mix(0), mix(1), mix(2)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn far(a: Point, b: Point) -> f32 {
        (a.x - b.x).hypot(a.y - b.y)
    }

    proptest! {
        #[test]
        fn a_known_similarity_is_recovered(turn in -3.1f32..3.1, scale in 0.1f32..20.0, dx in -900f32..900.0, dy in -900f32..900.0) {
            let placed = Similarity { a: scale * turn.cos(), b: scale * turn.sin(), dx, dy };
            let found = to_template(&TEMPLATE.map(|point| placed.apply(point))).expect("the points are apart");
            for point in TEMPLATE {
                prop_assert!(far(found.apply(placed.apply(point)), point) < 0.01);
            }
        }

        #[test]
        fn inverse_undoes(a in 0.1f32..5.0, b in -5f32..5.0, dx in -99f32..99.0, dy in -99f32..99.0, x in 0f32..99.0, y in 0f32..99.0) {
            let there = Similarity { a, b, dx, dy };
            let point = Point { x, y };
            prop_assert!(far(there.inverse().apply(there.apply(point)), point) < 0.02);
        }

        #[test]
        fn no_points_make_warp_panic(points in prop::array::uniform5((-1e7f32..1e7, -1e7f32..1e7)), width in 1u32..9, height in 1u32..9) {
            let points = points.map(|(x, y)| Point { x, y });
            if let Some(found) = to_template(&points) {
                let input = Input { width: SIZE, height: SIZE, colour: Colour::Rgb, mean: 0.0, scale: 1.0 };
                let mut planes = vec![0.0; 3 * SIZE * SIZE];
                warp(&RgbImage::from_pixel(width, height, image::Rgb([255; 3])), &found, &input, &mut planes);
                prop_assert!(planes.iter().all(|v| (0.0..=255.01).contains(v)));
            }
        }
    }

    proptest! {
        /// The way for points whose neighbours are all there is no more than a short cut.
        #[test]
        fn inside_both_ways_are_one(x in 0f32..1.0, y in 0f32..1.0, seed in any::<u8>()) {
            let picture = RgbImage::from_fn(17, 13, |x, y| image::Rgb([seed ^ (x * 15) as u8, (y * 19) as u8, (x * y) as u8]));
            let source = Source { pixels: picture.as_raw().as_chunks::<3>().0, width: 17, height: 13 };
            let point = (0.01 + x * 15.98, 0.01 + y * 11.98);
            if source.has_around(point) {
                prop_assert_eq!(source.within(point), source.anywhere(point));
            }
        }
    }

    #[test]
    fn points_in_one_place_or_nowhere_are_refused() {
        assert_eq!(to_template(&[Point { x: 5.0, y: 5.0 }; 5]), None);
        let mut points = TEMPLATE;
        points[2].x = f32::NAN;
        assert_eq!(to_template(&points), None);
        points[2].x = f32::INFINITY;
        assert_eq!(to_template(&points), None);
    }

    #[test]
    fn the_template_itself_is_left_as_it_is() {
        let picture = RgbImage::from_fn(112, 112, |x, y| image::Rgb([x as u8, y as u8, 7]));
        let found = to_template(&TEMPLATE).unwrap();
        let input = Input { width: SIZE, height: SIZE, colour: Colour::Bgr, mean: 0.0, scale: 1.0 };
        let mut planes = vec![0.0; 3 * SIZE * SIZE];
        warp(&picture, &found, &input, &mut planes);
        assert!((planes[50 * SIZE + 20] - 7.0).abs() < 1e-3);
        assert!((planes[SIZE * SIZE + 50 * SIZE + 20] - 50.0).abs() < 1e-3);
        assert!((planes[2 * SIZE * SIZE + 50 * SIZE + 20] - 20.0).abs() < 1e-3);
    }
}
