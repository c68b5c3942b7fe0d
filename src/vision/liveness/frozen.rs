//! Frames that come again. A sensor's noise makes every frame of a camera another one, even of a wall; a still that is fed in
//! instead of a camera's picture, or a video in a loop, gives the same frames again.

use super::{Cue, Glimpse, LivenessCheck, Recent, samples};

/// A face is remembered by its brightness at so many places, both ways.
const PLACES: u32 = 32;

/// Two frames are the same where they differ by no more than so many grey levels in the mean: well below the noise of any
/// sensor, whose quantised steps alone make a third of a level.
const SAME: f32 = 0.05;

/// Frames needed to tell.
const LEAST: u32 = 3;

/// Grabbers and drivers that double a camera's frames (from 15 to 30 a second) make every second one the same as that before it. More than
/// that is no camera's doing.
const DOUBLED: f32 = 0.5;

/// So many frames that were there earlier, with others between, are a loop: no sensor gives one again, and one might be chance.
const RETURNED: u32 = 2;

/// Looks for frames that were there before.
#[derive(Default)]
pub struct Frozen {
    before: Recent<Vec<f32>>,
    frames: u32,
    /// The same as the frame before.
    doubled: u32,
    /// The same as an earlier one.
    returned: u32,
}

impl LivenessCheck for Frozen {
    fn cue(&self) -> Cue {
        Cue::FrozenPicture
    }

    fn see(&mut self, glimpse: &Glimpse<'_>) {
        let seen = samples(glimpse.picture, glimpse.face.area, PLACES);
        if seen.is_empty() {
            return;
        }
        self.frames = self.frames.saturating_add(1);
        match self.before.iter().rev().position(|before| same(before, &seen)) {
            Some(0) => self.doubled = self.doubled.saturating_add(1),
            Some(_) => self.returned = self.returned.saturating_add(1),
            None => {}
        }
        self.before.push(seen);
    }

    fn live(&self) -> Option<f32> {
        let frozen = self.doubled as f32 / self.frames.max(1) as f32 > DOUBLED || self.returned >= RETURNED;
        (self.frames >= LEAST).then_some(if frozen { 0.0 } else { 1.0 })
    }
}

fn same(a: &[f32], b: &[f32]) -> bool {
    let apart: f32 = a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum();
    a.len() == b.len() && apart <= SAME * a.len() as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::testing::{face, glimpses, noise, picture, shapes, show},
        *,
    };

    fn live(seeds: impl IntoIterator<Item = u32>, levels: f32) -> Option<f32> {
        let mut frozen = Frozen::default();
        let frames = seeds
            .into_iter()
            .map(|seed| (picture(|x, y| shapes(x as f32, y as f32) + noise(seed, x, y, levels)), face()));
        show(frames, |glimpse| frozen.see(glimpse));
        frozen.live()
    }

    #[test]
    fn a_still_is_frozen_and_two_frames_tell_nothing() {
        let mut frozen = Frozen::default();
        let mut told = Vec::new();
        glimpses(4, |_, glimpse| {
            frozen.see(glimpse);
            told.push(frozen.live());
        });
        assert_eq!(told, [None, None, Some(0.0), Some(0.0)]);
    }

    #[test]
    fn a_loop_is_frozen_and_doubled_frames_are_not() {
        assert_eq!(live((0..30).map(|frame| frame % 7), 2.0), Some(0.0));
        assert_eq!(live((0..6).map(|frame| frame % 4), 2.0), Some(0.0));
        assert_eq!(live((0..30).map(|frame| frame / 2), 2.0), Some(1.0));
        assert_eq!(live([1, 1, 2], 2.0), Some(1.0));
    }

    proptest! {
        #[test]
        fn the_least_noise_of_a_sensor_is_enough(seed in 0u32..1_000_000, levels in 0.6f32..8.0) {
            prop_assert_eq!(live((0..6).map(|frame| seed + frame), levels), Some(1.0));
        }
    }
}
