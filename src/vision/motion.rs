//! Whether anything moved: what keeps an idle door cool. A frame like those before it is not searched for faces.

use std::time::Duration;

use image::RgbImage;

use super::picture::luma;
use crate::clock::Moment;

/// The picture is seen as a grid of so many cells across and down.
const GRID: (u32, u32) = (32, 24);

/// Pixels that are looked at in each cell, across and down: enough to average a sensor's noise away.
const SAMPLES: (u32, u32) = (6, 6);

/// A cell has changed when its brightness differs by so many grey levels (of 255) from what is usual there.
const CHANGE: f32 = 7.0;

/// So many changed cells are motion: a face at the far end of a lane covers about as many.
const CELLS: usize = 5;

/// How fast what is usual follows what is seen, for each frame.
const ADAPTATION: f32 = 0.08;

/// Frames are searched for so long after the last motion or face.
const HOLD: Duration = Duration::from_millis(1500);

/// A frame is searched at least so often, so that nobody who stands still is missed for long.
const AT_LEAST_EVERY: Duration = Duration::from_secs(2);

/// Decides which frames are worth searching.
#[derive(Debug, Default)]
pub struct Gate {
    usual: Vec<f32>,
    open_until: Option<Moment>,
    last_open: Option<Moment>,
}

impl Gate {
    /// Whether the frame is worth searching: something moves or has just moved, or the last search was long ago.
    pub fn moved(&mut self, picture: &RgbImage, now: Moment) -> bool {
        let seen = grid(picture);
        if self.usual.len() != seen.len() {
            self.usual.clone_from(&seen);
            self.open_until = Some(now + HOLD);
        }
        let mut changed = 0;
        for (usual, seen) in self.usual.iter_mut().zip(&seen) {
            changed += usize::from((seen - *usual).abs() > CHANGE);
            *usual += ADAPTATION * (seen - *usual);
        }
        if changed >= CELLS {
            self.open_until = Some(now + HOLD);
        }
        let due = self.last_open.is_none_or(|last| now.since(last) >= AT_LEAST_EVERY);
        let open = due || self.open_until.is_some_and(|until| now <= until);
        if open {
            self.last_open = Some(now);
        }
        open
    }

    /// Keeps on searching for a while: somebody is in view.
    pub fn keep_open(&mut self, now: Moment) {
        self.open_until = Some(now + HOLD);
    }
}

/// The mean brightness of each cell, 0 to 255, from a sample of its pixels.
fn grid(picture: &RgbImage) -> Vec<f32> {
    let (width, height) = picture.dimensions();
    let pixels = picture.as_raw().as_chunks::<3>().0;
    let place = |cell: u32, sample: u32, cells: u32, samples: u32, len: u32| {
        u64::from(cell * samples + sample) * u64::from(len) / u64::from(cells * samples)
    };
    let mut cells = Vec::with_capacity((GRID.0 * GRID.1) as usize);
    for row in 0..GRID.1 {
        for column in 0..GRID.0 {
            let mut sum = 0.0;
            for down in 0..SAMPLES.1 {
                let line = place(row, down, GRID.1, SAMPLES.1, height) * u64::from(width);
                for across in 0..SAMPLES.0 {
                    let at = line + place(column, across, GRID.0, SAMPLES.0, width);
                    sum += pixels.get(at as usize).map_or(0.0, |pixel| luma(*pixel));
                }
            }
            cells.push(sum / (SAMPLES.0 * SAMPLES.1) as f32);
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_start(Duration::from_millis(ms))
    }

    /// An empty corridor as a noisy sensor sees it: brightness with a spread of ±`noise`.
    fn scene(brightness: u8, noise: u32, seed: u32) -> RgbImage {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        RgbImage::from_fn(640, 480, |_, _| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            image::Rgb([(u32::from(brightness) + state % (2 * noise + 1) - noise) as u8; 3])
        })
    }

    fn settle(gate: &mut Gate) -> u64 {
        for frame in 0..40 {
            gate.moved(&scene(100, 12, frame), at(u64::from(frame) * 100));
        }
        4000
    }

    #[test]
    fn a_noisy_still_scene_is_searched_only_now_and_then() {
        let mut gate = Gate::default();
        let from = settle(&mut gate);
        let searched =
            (0..100).filter(|&n| gate.moved(&scene(100, 12, 500 + n), at(from + u64::from(n) * 100))).count();
        assert_eq!(searched, 5, "once in two seconds");
    }

    #[test]
    fn somebody_who_comes_in_and_a_light_that_goes_on_open_the_gate() {
        for change in [0, 1] {
            let mut gate = Gate::default();
            let from = settle(&mut gate);
            assert!(!gate.moved(&scene(100, 12, 78), at(from + 100)));
            let mut picture = scene(if change == 0 { 100 } else { 140 }, 12, 79);
            if change == 0 {
                for (x, y) in (300..400).flat_map(|x| (200..320).map(move |y| (x, y))) {
                    picture.put_pixel(x, y, image::Rgb([130; 3]));
                }
            }
            assert!(gate.moved(&picture, at(from + 200)));
            assert!(gate.moved(&scene(100, 12, 80), at(from + 1000)), "it stays open for a while");
        }
    }

    #[test]
    fn a_face_in_view_keeps_the_gate_open() {
        let mut gate = Gate::default();
        let from = settle(&mut gate);
        gate.keep_open(at(from));
        assert!(gate.moved(&scene(100, 12, 3), at(from + 1400)));
        assert!(!gate.moved(&scene(100, 12, 4), at(from + 1600)));
    }

    #[test]
    fn a_camera_that_changes_its_size_does_no_harm() {
        let mut gate = Gate::default();
        for (width, height) in [(640, 480), (1, 1), (0, 0), (7, 900)] {
            gate.moved(&RgbImage::new(width, height), at(0));
        }
    }
}
