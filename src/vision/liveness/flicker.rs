//! Light that comes and goes on the face alone. A screen's backlight is switched some hundred times a second, and a camera that
//! exposes for less catches it at another moment with each frame; the wall behind it stays as it is. Lamps flicker too, but on
//! everything.

use super::{Cue, Glimpse, LivenessCheck, Recent, median, ramp, samples, scaled};

/// Frames needed to tell.
const LEAST: usize = 8;

/// Changes from frame to frame of the face's light in that of its surroundings, of which no less and no more is alive.
const STEADY: f32 = 0.02;
const FLICKERS: f32 = 0.06;

/// The part of the face's box that is looked at, so that hair and wall at its edges do not count; and how far the surroundings
/// reach.
const INNER: f32 = 0.6;
const OUTER: f32 = 2.0;

/// Looks at the face's light against its surroundings'.
#[derive(Default)]
pub struct Flicker {
    /// Logarithms.
    ratios: Recent<f32>,
}

impl LivenessCheck for Flicker {
    fn cue(&self) -> Cue {
        Cue::ScreenFlicker
    }

    fn see(&mut self, glimpse: &Glimpse<'_>) {
        let area = &glimpse.face.area;
        let mean = |by| {
            let seen = samples(glimpse.picture, scaled(area, by), 24);
            (!seen.is_empty()).then(|| seen.iter().sum::<f32>() / seen.len() as f32)
        };
        let (Some(face), Some(whole), Some(around)) = (mean(INNER), mean(1.0), mean(OUTER)) else { return };
        // What the face's box has of the larger one's area is taken out of it.
        let share = 1.0 / (OUTER * OUTER);
        let around = (around - share * whole) / (1.0 - share);
        self.ratios.push(((face + 1.0) / (around.max(0.0) + 1.0)).ln());
    }

    fn live(&self) -> Option<f32> {
        let ratios: Vec<_> = self.ratios.iter().copied().collect();
        if ratios.len() < LEAST {
            return None;
        }
        // Against both neighbours' mean: what grows or fades steadily is somebody who walks.
        let jumps = ratios.windows(3).map(|three| (three[1] - (three[0] + three[2]) / 2.0).abs());
        median(jumps).map(|jump| ramp(jump, FLICKERS, STEADY))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::testing::{face, noise, picture, shapes, show},
        *,
    };

    /// What is told of frames whose face has this gain and whose whole picture has that one.
    fn live(count: u32, on_face: impl Fn(u32) -> f32, on_all: impl Fn(u32) -> f32) -> Option<f32> {
        let (mut flicker, face) = (Flicker::default(), face());
        let inside = |x: u32, y: u32| (48..144).contains(&x) && (32..128).contains(&y);
        let frames = (0..count).map(|at| {
            let gain = |x, y| on_all(at) * if inside(x, y) { on_face(at) } else { 1.0 };
            (picture(|x, y| shapes(x as f32, y as f32) * gain(x, y) + noise(at, x, y, 3.0)), face)
        });
        show(frames, |glimpse| flicker.see(glimpse));
        flicker.live()
    }

    fn beat(at: u32) -> f32 {
        1.0 + 0.1 * (at as f32 * 2.1).sin()
    }

    #[test]
    fn a_screen_flickers_and_a_lamp_or_a_step_forward_does_not() {
        assert_eq!(live(7, beat, |_| 1.0), None, "too few frames");
        assert!(live(12, beat, |_| 1.0) < Some(0.3));
        assert_eq!(live(12, |_| 1.0, beat), Some(1.0), "a lamp lights the wall, too");
        assert_eq!(live(12, |at| 0.7 + 0.05 * at as f32, |_| 1.0), Some(1.0), "somebody walks into the light");
    }

    proptest! {
        #[test]
        fn more_flicker_never_looks_more_alive(weaker in 0f32..0.2, stronger in 0f32..0.2) {
            let of = |strength: f32| live(10, |at| 1.0 + strength * if at % 2 == 0 { 1.0 } else { -1.0 }, |_| 1.0);
            let (weaker, stronger) = (weaker.min(stronger), weaker.max(stronger));
            prop_assert!(of(stronger) <= of(weaker).map(|live| live + 0.05));
        }
    }
}
