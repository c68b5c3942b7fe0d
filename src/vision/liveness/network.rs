//! What the pack's networks say of a face in one picture, and of a track.

use image::RgbImage;

use super::{Cue, Glimpse, LivenessCheck, Recent};
use crate::{
    error::{Error, Kind, Result},
    vision::{
        Rect,
        models::{Input, Liveness, Network, NetworkState},
        picture::{Scaler, write_planes},
    },
};

/// What the networks say of a track: the median of what they say of its newest frames, each counted by its quality.
///
/// The median, since one frame that is blurred or half hidden may be judged anyhow; and an attack that looks alive in every
/// third frame is one.
#[derive(Default)]
pub struct Networks {
    /// Scores and weights.
    frames: Recent<(f32, f32)>,
}

/// What a frame counts at least, however bad it is.
const LEAST_WEIGHT: f32 = 0.05;

impl LivenessCheck for Networks {
    fn cue(&self) -> Cue {
        Cue::Network
    }

    fn see(&mut self, glimpse: &Glimpse<'_>) {
        if let Some(score) = glimpse.network.filter(|score| score.is_finite()) {
            self.frames.push((score.clamp(0.0, 1.0), glimpse.quality.max(LEAST_WEIGHT)));
        }
    }

    fn live(&self) -> Option<f32> {
        let mut frames: Vec<_> = self.frames.iter().copied().collect();
        frames.sort_by(|a, b| a.0.total_cmp(&b.0));
        let half = frames.iter().map(|(_, weight)| weight).sum::<f32>() / 2.0;
        let mut below = 0.0;
        let reached = |(_, weight): &&(f32, f32)| {
            below += weight;
            below >= half
        };
        // The lower of two in the middle: what is unclear does not speak for life.
        frames.iter().find(reached).map(|(score, _)| *score)
    }
}

/// One thread's use of one liveness network.
pub struct LivenessState {
    input: Input,
    how: Liveness,
    state: NetworkState,
}

impl LivenessState {
    /// # Errors
    /// [`Kind::Model`].
    pub fn new(network: &Network, input: Input, how: Liveness) -> Result<Self> {
        Ok(Self { input, how, state: network.state()? })
    }

    /// The network's share for a living face, 0 to 1.
    ///
    /// # Errors
    /// [`Kind::Model`] where the network fails or has no such output.
    pub fn score(&mut self, picture: &RgbImage, face: Rect, scaler: &mut Scaler) -> Result<f32> {
        let Input { width, height, .. } = self.input;
        let area = surroundings(face, self.how.crop_scale, picture.width() as f32, picture.height() as f32);
        let scaled = scaler.scale(picture, area, width, height)?;
        let input = &self.input;
        let outputs = self.state.run(|planes| write_planes(scaled, width, input, planes, width, height))?;
        let shares = softmax(outputs.first().map_or(&[][..], Vec::as_slice));
        let live = shares.get(self.how.live_index).copied().filter(|share| share.is_finite());
        live.ok_or_else(|| Error::new(Kind::Model, "the liveness network has no such output as live_index"))
    }
}

/// The face's box scaled about its centre, no larger than the picture, shifted back inside it, never padded: how the
/// networks' training crops were made (minivision-ai/Silent-Face-Anti-Spoofing).
fn surroundings(face: Rect, scale: f32, width: f32, height: f32) -> Rect {
    let scale = scale.min(width / face.width).min(height / face.height);
    let (wide, high) = (face.width * scale, face.height * scale);
    Rect {
        left: (face.left + (face.width - wide) / 2.0).clamp(0.0, (width - wide).max(0.0)),
        top: (face.top + (face.height - high) / 2.0).clamp(0.0, (height - high).max(0.0)),
        width: wide,
        height: high,
    }
}

/// Shares that add up to 1. Outputs that are shares already are left as they are.
fn softmax(outputs: &[f32]) -> Vec<f32> {
    let sum: f32 = outputs.iter().sum();
    if (sum - 1.0).abs() < 1e-3 && outputs.iter().all(|v| (0.0..=1.0).contains(v)) {
        return outputs.to_vec();
    }
    let most = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = outputs.iter().map(|v| (v - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|v| v / sum).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::testing::glimpses, *};

    fn live(scores: &[(f32, f32)]) -> Option<f32> {
        let mut networks = Networks::default();
        glimpses(scores.len(), |at, glimpse| {
            let (score, quality) = scores[at];
            networks.see(&Glimpse { network: Some(score), quality, ..*glimpse });
        });
        networks.live()
    }

    #[test]
    fn one_odd_frame_changes_little_and_bad_frames_count_less() {
        assert_eq!(live(&[]), None);
        assert_eq!(live(&[(0.9, 1.0), (0.01, 1.0), (0.95, 1.0)]), Some(0.9));
        assert_eq!(live(&[(0.1, 1.0), (0.2, 1.0), (0.99, 1.0)]), Some(0.2), "nor does one frame that looks alive");
        assert_eq!(live(&[(0.1, 0.1), (0.2, 0.1), (0.99, 0.9)]), Some(0.99));
        assert_eq!(live(&[(0.1, 1.0), (0.9, 1.0)]), Some(0.1), "what is unclear does not speak for life");
        assert_eq!(live(&[(f32::NAN, 1.0)]), None);
    }

    proptest! {
        #[test]
        fn a_track_s_score_is_one_of_its_frames_and_half_of_them_by_weight_are_no_higher(
            scores in prop::collection::vec((0f32..1.0, 0f32..1.0), 1..20),
        ) {
            let median = live(&scores).expect("there are frames");
            prop_assert!(scores.iter().any(|(score, _)| *score == median));
            let weight = |all: &[(f32, f32)]| all.iter().map(|(_, quality)| quality.max(LEAST_WEIGHT)).sum::<f32>();
            let no_higher: Vec<_> = scores.iter().copied().filter(|(score, _)| *score <= median).collect();
            prop_assert!(weight(&no_higher) >= weight(&scores) / 2.0 - 1e-4);
        }

        #[test]
        fn surroundings_lie_within_the_picture(left in -50f32..300.0, top in -50f32..300.0, size in 4f32..400.0, scale in 1f32..5.0) {
            let area = surroundings(Rect { left, top, width: size, height: size }, scale, 320.0, 240.0);
            prop_assert!(area.left >= 0.0 && area.top >= 0.0);
            prop_assert!(area.left + area.width <= 320.01 && area.top + area.height <= 240.01);
            prop_assert!((area.width - area.height).abs() < 0.01);
        }
    }

    #[test]
    fn shares_add_up() {
        assert_eq!(softmax(&[0.25, 0.75]), [0.25, 0.75]);
        let shares = softmax(&[2.0, 1.0, 900.0]);
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-6 && shares[2] > 0.99);
    }
}
