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
    let (width, height) = (picture.width() as i32, picture.height() as i32);
    let pixels = picture.as_raw().as_chunks::<3>().0;
    let slope = 1.0 / input.scale;
    let shift = -input.mean / input.scale;
    let order = match input.colour {
        Colour::Rgb | Colour::Grey => [0, 1, 2],
        Colour::Bgr => [2, 1, 0],
    };
    let pixel = |x: i32, y: i32| -> [u8; 3] {
        if (0..width).contains(&x) && (0..height).contains(&y) { pixels[(y * width + x) as usize] } else { [0; 3] }
    };
    for y in 0..SIZE {
        for x in 0..SIZE {
            let from = back.apply(Point { x: x as f32, y: y as f32 });
            // Far outside is outside; the bound keeps the conversion below exact.
            let (column, row) = (from.x.floor().clamp(-2.0, 1e6), from.y.floor().clamp(-2.0, 1e6));
            let (right, below) = ((from.x - column).clamp(0.0, 1.0), (from.y - row).clamp(0.0, 1.0));
            let (column, row) = (column as i32, row as i32);
            let inside = column >= 0 && row >= 0 && column + 1 < width && row + 1 < height;
            let corners = if inside {
                let at = (row * width + column) as usize;
                let under = at + width as usize;
                [pixels[at], pixels[at + 1], pixels[under], pixels[under + 1]]
            } else {
                [pixel(column, row), pixel(column + 1, row), pixel(column, row + 1), pixel(column + 1, row + 1)]
            };
            let weights = [(1.0 - right) * (1.0 - below), right * (1.0 - below), (1.0 - right) * below, right * below];
            let mix = |channel: usize| -> f32 {
                corners.iter().zip(weights).map(|(corner, weight)| f32::from(corner[channel]) * weight).sum()
            };
            let at = y * SIZE + x;
            if input.colour == Colour::Grey {
                let grey: f32 = corners.iter().zip(weights).map(|(corner, weight)| luma(*corner) * weight).sum();
                planes[at] = grey * slope + shift;
            } else {
                for (plane, &channel) in order.iter().enumerate() {
                    planes[plane * SIZE * SIZE + at] = mix(channel) * slope + shift;
                }
            }
        }
    }
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
