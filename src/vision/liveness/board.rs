//! A face that moves as a flat board does. Whatever a picture is printed on or shown on, all its points move from one frame to
//! another by one homography of the plane. A head is no plane: its nose stands before its eyes, so what moves sideways or turns
//! shows more or less of each cheek; and a face moves within itself.
//!
//! Somebody who only comes nearer, or keeps the very same side to the camera, moves nearly as a plane does too: nothing is told
//! before the face has moved sideways, and only of residuals near what the measuring itself leaves.

use super::{Cue, Glimpse, LivenessCheck, Recent, median, ramp};
use crate::vision::{
    Point,
    align::{self, Similarity},
    picture::luma,
};

/// How far a face has to have moved sideways since it was looked at, in widths of the face.
const MOVED: f32 = 0.35;

/// Measurements needed to tell.
const LEAST: usize = 2;

/// What a plane leaves unexplained, in pixels of the aligned face (whose eyes are 35 apart), and what is surely no plane. Set with
/// pictures moved by us, flat and over a relief: see `docs/liveness.md`.
const FLAT: f32 = 0.12;
const DEEP: f32 = 0.32;

/// Points that are followed: in rows and columns, so many pixels apart, about the middle of the face.
const GRID: usize = 7;
const STEP: usize = 9;
const FIRST: (usize, usize) = (29, 42);

/// What is compared around a point, and how far from it it is looked for, each way.
const PATCH: i32 = 5;
const REACH: i32 = 4;

/// A patch with less contrast than so many grey levels has nothing to be followed by; points needed for a plane's eight numbers to
/// leave anything unexplained.
const CONTRAST: f32 = 6.0;
const POINTS: usize = 14;

/// Follows points of the face whenever it has moved.
#[derive(Default)]
pub struct Board {
    reference: Option<(Grey, Point)>,
    residuals: Recent<f32>,
}

impl LivenessCheck for Board {
    fn cue(&self) -> Cue {
        Cue::FlatBoard
    }

    fn see(&mut self, glimpse: &Glimpse<'_>) {
        let area = &glimpse.face.area;
        let here = Point { x: area.left + area.width / 2.0, y: area.top + area.height / 2.0 };
        let Some((before, there)) = &self.reference else {
            self.reference = Grey::of(glimpse).map(|grey| (grey, here));
            return;
        };
        let moved = (here.x - there.x).hypot(here.y - there.y) / area.width.max(1.0);
        if moved.is_nan() || moved < MOVED {
            return;
        }
        let Some(now) = Grey::of(glimpse) else { return };
        if let Some(residual) = unexplained(before, &now) {
            self.residuals.push(residual);
        }
        self.reference = Some((now, here));
    }

    fn live(&self) -> Option<f32> {
        if self.residuals.len() < LEAST {
            return None;
        }
        median(self.residuals.iter().copied()).map(|residual| ramp(residual, FLAT, DEEP))
    }
}

/// The aligned face's brightness, row by row.
struct Grey(Vec<f32>);

impl Grey {
    fn of(glimpse: &Glimpse<'_>) -> Option<Self> {
        let back = align::to_template(&glimpse.face.landmarks)?.inverse();
        let (width, height) = glimpse.picture.dimensions();
        let pixels = glimpse.picture.as_raw().as_chunks::<3>().0;
        let at = |x: i64, y: i64| {
            let (x, y) = (x.clamp(0, i64::from(width) - 1), y.clamp(0, i64::from(height) - 1));
            pixels.get((y * i64::from(width) + x) as usize).map_or(0.0, |pixel| luma(*pixel))
        };
        let places = (0..align::SIZE * align::SIZE).map(|place| (place % align::SIZE, place / align::SIZE));
        let seen = places.map(|(x, y)| {
            let Point { x, y } = Similarity::apply(&back, Point { x: x as f32, y: y as f32 });
            let (column, row, across, down) = (x.floor() as i64, y.floor() as i64, x - x.floor(), y - y.floor());
            let upper = at(column, row) * (1.0 - across) + at(column + 1, row) * across;
            let lower = at(column, row + 1) * (1.0 - across) + at(column + 1, row + 1) * across;
            upper * (1.0 - down) + lower * down
        });
        Some(Self(seen.collect()))
    }

    fn at(&self, x: i32, y: i32) -> f32 {
        let inside = |at: i32| at.clamp(0, align::SIZE as i32 - 1) as usize;
        self.0[inside(y) * align::SIZE + inside(x)]
    }

    /// The patch around a point, without its mean; none where it has too little contrast.
    fn patch(&self, x: i32, y: i32) -> Vec<f32> {
        let mut patch: Vec<_> = (-PATCH..=PATCH)
            .flat_map(|dy| (-PATCH..=PATCH).map(move |dx| (dx, dy)))
            .map(|(dx, dy)| self.at(x + dx, y + dy))
            .collect();
        let mean = patch.iter().sum::<f32>() / patch.len() as f32;
        patch.iter_mut().for_each(|value| *value -= mean);
        patch
    }
}

/// Where the point of `before` is in `now`; none where nothing there is like it.
fn follow(before: &Grey, now: &Grey, x: i32, y: i32) -> Option<(f64, f64)> {
    let patch = before.patch(x, y);
    let energy: f32 = patch.iter().map(|value| value * value).sum();
    if energy < CONTRAST * CONTRAST * patch.len() as f32 {
        return None;
    }
    let differs = |dx: i32, dy: i32| -> f32 {
        let other = now.patch(x + dx, y + dy);
        patch.iter().zip(&other).map(|(a, b)| (a - b) * (a - b)).sum()
    };
    let ways = (-REACH..=REACH).flat_map(|dy| (-REACH..=REACH).map(move |dx| (dx, dy)));
    let (least, dx, dy) = ways.map(|(dx, dy)| (differs(dx, dy), dx, dy)).min_by(|a, b| a.0.total_cmp(&b.0))?;
    if least > 0.5 * energy || dx.abs() == REACH || dy.abs() == REACH {
        return None;
    }
    // The lowest point of a parabola through three.
    let between = |left: f32, right: f32| {
        let bend = left + right - 2.0 * least;
        if bend > 0.0 { f64::from((left - right) / (2.0 * bend)).clamp(-0.5, 0.5) } else { 0.0 }
    };
    let across = between(differs(dx - 1, dy), differs(dx + 1, dy));
    let down = between(differs(dx, dy - 1), differs(dx, dy + 1));
    Some((f64::from(dx) + across, f64::from(dy) + down))
}

/// How far off the points are, in pixels of the aligned face and in the median, from where the best homography brings them; none
/// where too few can be followed.
fn unexplained(before: &Grey, now: &Grey) -> Option<f32> {
    let grid = (0..GRID * GRID).map(|at| (FIRST.0 + at % GRID * STEP, FIRST.1 + at / GRID * STEP));
    let middle = align::SIZE as f64 / 2.0;
    let pairs: Vec<Pair> = grid
        .filter_map(|(x, y)| {
            let (dx, dy) = follow(before, now, x as i32, y as i32)?;
            // About the middle and of unit size, as the equations like it.
            let from = ((x as f64 - middle) / middle, (y as f64 - middle) / middle);
            Some(Pair { from, to: (from.0 + dx / middle, from.1 + dy / middle) })
        })
        .collect();
    if pairs.len() < POINTS {
        return None;
    }
    // Twice: the second time without what was followed wrongly.
    let first = residuals(&pairs, &homography(&pairs)?);
    let limit = 3.0 * median(first.iter().map(|away| *away as f32))?.max(1e-4);
    let kept: Vec<_> =
        pairs.iter().zip(&first).filter(|(_, away)| **away as f32 <= limit).map(|(pair, _)| *pair).collect();
    if kept.len() < POINTS {
        return None;
    }
    let away = residuals(&kept, &homography(&kept)?);
    let residual = median(away.iter().map(|away| (away * middle) as f32))?;
    residual.is_finite().then_some(residual)
}

#[derive(Clone, Copy)]
struct Pair {
    from: (f64, f64),
    to: (f64, f64),
}

fn residuals(pairs: &[Pair], h: &[f64; 8]) -> Vec<f64> {
    let away = |Pair { from: (x, y), to }: &Pair| {
        let below = h[6] * x + h[7] * y + 1.0;
        ((h[0] * x + h[1] * y + h[2]) / below - to.0).hypot((h[3] * x + h[4] * y + h[5]) / below - to.1)
    };
    pairs.iter().map(away).collect()
}

/// The homography that brings the pairs' points nearest to each other, by linear least squares (the direct linear transform with
/// its last number set to 1; Hartley and Zisserman 2004, 4.1). None where they do not tell.
fn homography(pairs: &[Pair]) -> Option<[f64; 8]> {
    let mut normal = [[0.0; 9]; 8];
    for Pair { from: (x, y), to: (u, v) } in pairs.iter().copied() {
        for (row, value) in
            [([x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y], u), ([0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y], v)]
        {
            for (i, a) in row.iter().enumerate() {
                for (j, b) in row.iter().enumerate() {
                    normal[i][j] += a * b;
                }
                normal[i][8] += a * value;
            }
        }
    }
    solve(normal)
}

/// Gauss and Jordan, with pivots.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot = (column..8).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, pivot);
        let lead = rows[column];
        if lead[column].is_nan() || lead[column].abs() < 1e-12 {
            return None;
        }
        for (at, row) in rows.iter_mut().enumerate() {
            if at != column {
                let times = row[column] / lead[column];
                row.iter_mut().zip(lead).for_each(|(value, lead)| *value -= times * lead);
            }
        }
    }
    Some(std::array::from_fn(|at| rows[at][8] / rows[at][at]))
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use proptest::prelude::*;

    use super::{
        super::testing::{face, picture, shapes, show},
        *,
    };
    use crate::vision::Face;

    /// A frame of the scene, moved by so many pixels, with the face's box and points moved along.
    fn frame(shift: f32, back: impl Fn(f32, f32) -> (f32, f32)) -> (RgbImage, Face) {
        let mut face = face();
        face.area.left += shift;
        face.landmarks.iter_mut().for_each(|point| point.x += shift);
        let seen = picture(|x, y| {
            let (x, y) = back(x as f32 - shift, y as f32);
            // Of more contrast than the shapes have, or too few patches could be followed.
            120.0 + 2.5 * (shapes(x, y) - 120.0)
        });
        (seen, face)
    }

    const SHIFTS: [f32; 3] = [-40.0, 0.0, 40.0];

    fn live(motion: impl Fn(f32) -> Box<dyn Fn(f32, f32) -> (f32, f32)>) -> Option<f32> {
        let mut board = Board::default();
        let frames = SHIFTS.iter().map(|&shift| frame(shift, motion(shift / 40.0)));
        show(frames, |glimpse| board.see(glimpse));
        board.live()
    }

    #[test]
    fn what_moves_as_one_plane_is_flat_and_a_relief_is_not() {
        // Turned, tilted away, larger: all of it a homography.
        let tilted = |turn: f32| -> Box<dyn Fn(f32, f32) -> (f32, f32)> {
            Box::new(move |x, y| {
                let (u, v) = ((x - 96.0) / 96.0, (y - 80.0) / 80.0);
                let below = 1.0 + 0.05 * turn * u;
                (96.0 + 96.0 * (u + 0.02 * turn * v) / below, 80.0 + 80.0 * v / below)
            })
        };
        let flat = live(tilted).expect("it moved");
        // A head: what stands out moves by more than what lies behind.
        let relief = |turn: f32| -> Box<dyn Fn(f32, f32) -> (f32, f32)> {
            Box::new(move |x, y| {
                let (u, v) = ((x - 96.0) / 40.0, (y - 88.0) / 48.0);
                (x + 3.0 * turn * (-(u * u + v * v) * 3.0).exp(), y)
            })
        };
        let deep = live(relief).expect("it moved");
        // On either side of what a door asks for, unless it is told otherwise.
        assert!(flat < 0.5 && deep > 0.7, "flat {flat}, deep {deep}");
    }

    #[test]
    fn who_stands_still_or_only_comes_nearer_is_not_judged() {
        let mut board = Board::default();
        let frames = (0..12).map(|number| frame(0.4 * number as f32, |x: f32, y: f32| (x, y)));
        show(frames, |glimpse| board.see(glimpse));
        assert_eq!(board.live(), None);
    }

    proptest! {
        #[test]
        fn a_homography_is_found_from_its_own_points(h in prop::array::uniform8(-0.2f64..0.2)) {
            let h = [1.0 + h[0], h[1], h[2], h[3], 1.0 + h[4], h[5], h[6], h[7]];
            let spread = |at: i32| f64::from(at % 5 - 2) / 2.0;
            let pairs: Vec<_> = (0..25).map(|at| {
                let (x, y) = (spread(at), spread(at / 5));
                let below = h[6] * x + h[7] * y + 1.0;
                let to = ((h[0] * x + h[1] * y + h[2]) / below, (h[3] * x + h[4] * y + h[5]) / below);
                Pair { from: (x, y), to }
            }).collect();
            let found = homography(&pairs).expect("they tell");
            prop_assert!(residuals(&pairs, &found).iter().all(|away| *away < 1e-9));
        }

        #[test]
        fn points_in_one_place_or_without_number_tell_nothing(x in -1f64..1.0) {
            let alike = |from, to| homography(&[Pair { from, to }; 30]);
            prop_assert!(alike((x, x), (x, x)).is_none());
            prop_assert!(alike((f64::NAN, x), (x, x)).is_none());
        }
    }
}
