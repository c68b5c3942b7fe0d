//! A face brought to the place where recognisers expect it.

use image::RgbImage;

use super::{
    Landmarks, Point, Rect,
    models::Input,
    picture::{Norm, Scaler, Square, luma, normalise_parts, of_colours},
    sample::{PARTS, Row, Source},
};
use crate::error::{Error, Kind, Result};

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

/// The middle of the template: the mean of its points.
const MIDDLE: Point = Point { x: 56.02618, y: 71.9009 };

/// Up to so many of the picture's pixels to one of the template's, both ways, a face is read from the picture as it is. A point is
/// the mean of the four pixels around it: where there are more to a point, the others would be passed over, and their noise not
/// averaged out. Picked on the first fold of LFW alone, as it is and enlarged: `docs/accuracy.md`.
const READ_AS_IT_IS: f32 = 1.5;

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

    /// This transform, then an enlargement by `times` that brings the template's middle to the middle of a square of `side`
    /// pixels. For a transform to the template.
    #[must_use]
    pub fn enlarged(&self, times: f32, side: usize) -> Self {
        let middle = side as f32 / 2.0;
        Self {
            a: self.a * times,
            b: self.b * times,
            dx: (self.dx - MIDDLE.x) * times + middle,
            dy: (self.dy - MIDDLE.y) * times + middle,
        }
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

/// The template's points under [`Similarity::enlarged`].
pub fn enlarged_template(times: f32, side: usize) -> Landmarks {
    let as_is = Similarity { a: 1.0, b: 0.0, dx: 0.0, dy: 0.0 };
    TEMPLATE.map(|point| as_is.enlarged(times, side).apply(point))
}

/// The square of `side` pixels to which `placed` brings the picture: bilinear interpolation, black outside of the picture; what
/// becomes smaller is shrunk first.
///
/// # Errors
/// [`Kind::ImageUndecodable`] where nothing of the square lies within the picture.
pub fn crop(picture: &RgbImage, placed: &Similarity, side: usize, scaler: &mut Scaler) -> Result<Square> {
    let (source, back) = source(picture, placed, side, 1.0, scaler)?
        .ok_or_else(|| Error::new(Kind::ImageUndecodable, "a face lies outside the picture"))?;
    Ok(Square::read(side, |y, row| {
        let from = back.apply(Point { x: 0.0, y: y as f32 });
        source.read_row((from.x, from.y), (back.a, back.b), row);
    }))
}

/// What a square of `side` pixels is read from to which `placed` brings the picture, and where its points lie in that: the picture
/// itself, or, where a pixel of the square is more than `most` of the picture's wide, the picture shrunk so much first, so that every
/// pixel has its part in the mean. None where the picture is to be shrunk and nothing of the square lies within it.
///
/// # Errors
/// Those of [`Scaler::scale`].
fn source<'p>(
    picture: &'p RgbImage,
    placed: &Similarity,
    side: usize,
    most: f32,
    scaler: &'p mut Scaler,
) -> Result<Option<(Source<'p>, Similarity)>> {
    let back = placed.inverse();
    let shrinks = back.a.hypot(back.b);
    if shrinks <= most {
        return Ok(Some((Source::new(picture), back)));
    }
    let Some((area, width, height)) = covered(&back, side, shrinks, picture) else { return Ok(None) };
    // A pixel's place is its centre's, which is half a pixel from its corner on both scales.
    let moved = |shift: f32, from: f32| (shift + 0.5 - from) / shrinks - 0.5;
    let back = Similarity {
        a: back.a / shrinks,
        b: back.b / shrinks,
        dx: moved(back.dx, area.left),
        dy: moved(back.dy, area.top),
    };
    Ok(Some((Source::of(scaler.scale(picture, area, width, height)?, width, height), back)))
}

/// The part of the picture that a square of `side` pixels is made of, and its size when it has shrunk so much. None where they
/// have nothing in common.
fn covered(back: &Similarity, side: usize, shrinks: f32, picture: &RgbImage) -> Option<(Rect, usize, usize)> {
    let last = side as f32;
    let corners = [(0.0, 0.0), (last, 0.0), (0.0, last), (last, last)].map(|(x, y)| back.apply(Point { x, y }));
    // What is not finite cannot be clamped.
    if !corners.iter().all(|point| point.x.is_finite() && point.y.is_finite()) {
        return None;
    }
    let bounds = |of: fn(&Point) -> f32, length: u32| {
        let (least, most) =
            corners.iter().map(of).fold((f32::MAX, f32::MIN), |(low, high), at| (low.min(at), high.max(at)));
        let room = 2.0 * shrinks;
        let from = (least - room).clamp(0.0, length as f32);
        let pixels = (((most + room).clamp(from, length as f32) - from) / shrinks).floor();
        // Whole pixels of the smaller picture; what is cut off at the picture's edge is less than one of them.
        (pixels >= 1.0).then_some((from, pixels))
    };
    let (left, width) = bounds(|point| point.x, picture.width())?;
    let (top, height) = bounds(|point| point.y, picture.height())?;
    let area = Rect { left, top, width: width * shrinks, height: height * shrinks };
    Some((area, width as usize, height as usize))
}

/// A face that lies where the recogniser expects it.
pub struct Aligned<'p> {
    /// What it is read from, and where the template's points lie in that; none where the face lies outside the picture.
    from: Option<(Source<'p>, Similarity)>,
}

impl<'p> Aligned<'p> {
    /// The face that `to_template` brings to the template; what becomes much smaller is shrunk now.
    ///
    /// # Errors
    /// Those of [`Scaler::scale`].
    pub fn of(picture: &'p RgbImage, to_template: &Similarity, scaler: &'p mut Scaler) -> Result<Self> {
        Ok(Self { from: source(picture, to_template, SIZE, READ_AS_IT_IS, scaler)? })
    }

    /// Writes it as normalised planes of 112×112 into `planes`, as in a mirror where `mirrored`: bilinear interpolation, black outside
    /// the picture.
    pub fn write(&self, mirrored: bool, input: &Input, planes: &mut [f32]) {
        let norm = Norm::of(input);
        let mut row = Row::new(SIZE);
        for y in 0..SIZE {
            if let Some((source, back)) = &self.from {
                let from = back.apply(Point { x: 0.0, y: y as f32 });
                source.read_row((from.x, from.y), (back.a, back.b), &mut row);
            }
            if mirrored {
                row.0.iter_mut().for_each(|colour| colour.reverse());
            }
            let place = y * SIZE..(y + 1) * SIZE;
            match of_colours(input, planes, SIZE * SIZE) {
                Some(to) => {
                    for (to, parts) in to.into_iter().zip(&row.0) {
                        normalise_parts(parts, norm, &mut to[place.clone()]);
                    }
                }
                None => {
                    for (at, to) in planes[place].iter_mut().enumerate() {
                        *to = norm.apply(luma(row.0.each_ref().map(|parts| f32::from(parts[at]) / f32::from(PARTS))));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vision::models::Colour;

    fn write(picture: &RgbImage, to_template: &Similarity, mirrored: bool, input: &Input, planes: &mut [f32]) {
        let mut scaler = Scaler::default();
        Aligned::of(picture, to_template, &mut scaler).unwrap().write(mirrored, input, planes);
    }

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
        fn no_points_make_alignment_fail(points in prop::array::uniform5((-1e7f32..1e7, -1e7f32..1e7)), width in 1u32..9, height in 1u32..9) {
            let points = points.map(|(x, y)| Point { x, y });
            if let Some(found) = to_template(&points) {
                let input = Input { width: SIZE, height: SIZE, colour: Colour::Rgb, mean: 0.0, scale: 1.0 };
                let mut planes = vec![0.0; 3 * SIZE * SIZE];
                let picture = RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
                write(&picture, &found, false, &input, &mut planes);
                prop_assert!(planes.iter().all(|v| (0.0..=255.01).contains(v)));
                if let Ok(square) = crop(&picture, &found.enlarged(2.8, 32), 32, &mut Scaler::default()) {
                    prop_assert_eq!(square.pixels().len(), 32 * 32);
                }
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
        write(&picture, &found, false, &input, &mut planes);
        assert!((planes[50 * SIZE + 20] - 7.0).abs() < 1e-3);
        assert!((planes[SIZE * SIZE + 50 * SIZE + 20] - 50.0).abs() < 1e-3);
        assert!((planes[2 * SIZE * SIZE + 50 * SIZE + 20] - 20.0).abs() < 1e-3);
    }
    #[test]
    fn mirrored_is_the_same_from_right_to_left() {
        let picture = RgbImage::from_fn(90, 70, |x, y| image::Rgb([(x * 2) as u8, (y * 3) as u8, (x ^ y) as u8]));
        let placed = Similarity { a: 1.3, b: 0.2, dx: 3.0, dy: -9.0 };
        let input = Input { width: SIZE, height: SIZE, colour: Colour::Rgb, mean: 127.5, scale: 127.5 };
        let (mut plain, mut mirrored) = (vec![0.0; 3 * SIZE * SIZE], vec![0.0; 3 * SIZE * SIZE]);
        write(&picture, &placed, false, &input, &mut plain);
        write(&picture, &placed, true, &input, &mut mirrored);
        assert_ne!(plain, mirrored);
        mirrored.chunks_exact_mut(SIZE).for_each(<[f32]>::reverse);
        assert_eq!(plain, mirrored);
    }

    #[test]
    fn a_crop_that_shrinks_is_a_mean_and_one_that_does_not_is_the_picture() {
        // Lines of one pixel, black and white: shrunk threefold they are grey, whatever point is looked at.
        let lines = RgbImage::from_fn(300, 300, |x, _| image::Rgb([if x % 2 == 0 { 255 } else { 0 }; 3]));
        let shrunk = |turn: f32| Similarity { a: turn.cos() / 3.0, b: turn.sin() / 3.0, dx: 2.0, dy: 3.0 };
        for turn in [0.0, 0.5] {
            let shrunk = crop(&lines, &shrunk(turn), 80, &mut Scaler::default()).unwrap().pixels();
            let inside = |at: usize| (20..60).contains(&(at % 80)) && (40..60).contains(&(at / 80));
            let mut inside = shrunk.iter().enumerate().filter(|(at, _)| inside(*at)).flat_map(|(_, pixel)| pixel);
            assert!(inside.all(|grey| (100..=155).contains(grey)), "turned by {turn}");
        }
        let same = crop(&lines, &Similarity { a: 1.0, b: 0.0, dx: 0.0, dy: 0.0 }, 80, &mut Scaler::default()).unwrap();
        assert!(same.pixels().chunks(80).all(|row| row.as_flattened() == &lines.as_raw()[..240]));
    }

    #[test]
    fn a_crop_that_shrinks_keeps_every_point_at_its_place() {
        // A colour that tells its place.
        let picture = RgbImage::from_fn(250, 250, |x, y| image::Rgb([x as u8, y as u8, 0]));
        for (shrinks, turn) in [(1.05, 0.3), (1.7, -0.4), (3.0, 0.0), (4.4, 1.2)] {
            let placed = Similarity { a: f32::cos(turn) / shrinks, b: f32::sin(turn) / shrinks, dx: 9.3, dy: 4.2 };
            let back = placed.inverse();
            let pixels = crop(&picture, &placed, 60, &mut Scaler::default()).unwrap().pixels();
            let mut seen = 0;
            for (at, pixel) in pixels.iter().enumerate() {
                let from = back.apply(Point { x: (at % 60) as f32, y: (at / 60) as f32 });
                // Away from the edge, where there is nothing to take a mean over.
                if [from.x, from.y].iter().all(|at| (10.0..239.0).contains(at)) {
                    seen += 1;
                    let away = (f32::from(pixel[0]) - from.x).abs().max((f32::from(pixel[1]) - from.y).abs());
                    assert!(away < 1.1, "{shrinks} {turn}: {pixel:?} for {from:?}");
                }
            }
            assert!(seen > 200, "{shrinks} {turn}: {seen}");
        }
    }

    #[test]
    fn a_large_face_is_a_mean_of_all_its_pixels() {
        // Black and white dots: every fourth pixel, both ways, tells nothing of what lies between.
        let dots = RgbImage::from_fn(600, 600, |x, y| image::Rgb([if (x + y) % 2 == 0 { 255 } else { 0 }; 3]));
        let input = Input { width: SIZE, height: SIZE, colour: Colour::Rgb, mean: 0.0, scale: 1.0 };
        for (shrinks, turn) in [(1.6, 0.1), (4.0, 0.0), (4.0, 0.6)] {
            let placed = Similarity { a: f32::cos(turn) / shrinks, b: f32::sin(turn) / shrinks, dx: 0.0, dy: 0.0 };
            let mut planes = vec![0.0; 3 * SIZE * SIZE];
            write(&dots, &placed, false, &input, &mut planes);
            let back = placed.inverse();
            let inside = (0..SIZE * SIZE).filter(|at| {
                let from = back.apply(Point { x: (at % SIZE) as f32, y: (at / SIZE) as f32 });
                [from.x, from.y].iter().all(|at| (12.0..588.0).contains(at))
            });
            let levels: Vec<f32> = inside.map(|at| planes[at]).collect();
            assert!(levels.len() > 2000);
            assert!(
                levels.iter().all(|level| (90.0..=165.0).contains(level)),
                "shrunk {shrinks} times, turned by {turn}"
            );
        }
    }

    #[test]
    fn a_crop_of_nothing_is_an_error() {
        let picture = RgbImage::new(50, 50);
        let outside = Similarity { a: 0.5, b: 0.0, dx: 900.0, dy: 0.0 };
        assert_eq!(
            crop(&picture, &outside, 32, &mut Scaler::default()).err().map(|error| error.kind()),
            Some(Kind::ImageUndecodable)
        );
    }

    #[test]
    fn the_middle_is_the_templates_and_enlarging_keeps_it_in_the_middle() {
        let mean =
            TEMPLATE.iter().fold(Point::default(), |sum, p| Point { x: sum.x + p.x / 5.0, y: sum.y + p.y / 5.0 });
        assert!(far(mean, MIDDLE) < 1e-3);
        let enlarged = enlarged_template(2.8, 320);
        let mean =
            enlarged.iter().fold(Point::default(), |sum, p| Point { x: sum.x + p.x / 5.0, y: sum.y + p.y / 5.0 });
        assert!(far(mean, Point { x: 160.0, y: 160.0 }) < 1e-2);
        assert!((far(enlarged[0], enlarged[1]) / far(TEMPLATE[0], TEMPLATE[1]) - 2.8).abs() < 1e-3);
    }
}
