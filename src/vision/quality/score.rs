//! One number for a picture of a face: how likely it is to be recognised.
//!
//! Measured, not felt: photographs of LFW, as they are and made worse (blurred, moved, darkened, glaring, noisy, small, compressed), were each
//! compared with the others of their person, with the pack `door` at similarity 0.6; the score is the share that matched, as a
//! logistic function of what can be measured. `docs/quality.md` has the figures, `tests/it/accuracy/quality.rs` the fit.

use super::{Measures, Reason};

/// An impairment, and how it worsens the odds of a miss.
pub struct Term {
    pub reason: Reason,
    /// What it counts, from where on, and in which steps: for people.
    pub counts: &'static str,
    /// By how many steps what was measured is beyond what does no harm, below 0 where it is not.
    steps: fn(&Measures) -> f32,
    /// What each step adds to the natural logarithm of the odds, 0 or more; fitted over the people of LFW's first fold.
    pub weight: f32,
}

impl Term {
    /// By how many steps what was measured is beyond what does no harm: 0 to 8. What is no number is as bad as can be.
    pub fn beyond(&self, measures: &Measures) -> f32 {
        let steps = (self.steps)(measures);
        if steps.is_nan() { MOST } else { steps.clamp(0.0, MOST) }
    }

    /// What it adds to the logarithm of the odds.
    fn harm(&self, measures: &Measures) -> f32 {
        self.weight * self.beyond(measures)
    }
}

/// The natural logarithm of the odds of a miss where nothing is wrong with a picture: about one in twenty.
pub const AT_BEST: f32 = -3.0;

/// No term is worse than so many of its steps: beyond that nothing was measured.
const MOST: f32 = 8.0;

/// All that the score counts.
pub const TERMS: [Term; 9] = [
    Term {
        reason: Reason::TooBlurred,
        counts: "sharpness below 0.42, by 0.1",
        steps: |m| (0.42 - m.sharpness) / 0.1,
        weight: 0.95,
    },
    Term {
        reason: Reason::TooBlurred,
        counts: "sharpness below 0.33, by 0.05",
        steps: |m| (0.33 - m.sharpness) / 0.05,
        weight: 1.30,
    },
    Term {
        reason: Reason::TooNoisy,
        counts: "grain above 0.1, by 0.1",
        steps: |m| (m.grain - 0.1) / 0.1,
        weight: 0.21,
    },
    Term {
        reason: Reason::TooNoisy,
        counts: "grain above 0.3, by 0.1",
        steps: |m| (m.grain - 0.3) / 0.1,
        weight: 0.50,
    },
    Term {
        reason: Reason::TooSmall,
        counts: "eyes less than 24 pixels apart, by halves",
        steps: |m| (24.0 / m.eye_distance_px).log2(),
        weight: 0.06,
    },
    Term {
        reason: Reason::TurnedAway,
        counts: "yaw beyond 0.2, by 0.1",
        steps: |m| (m.yaw.abs() - 0.2) / 0.1,
        weight: 0.41,
    },
    Term {
        reason: Reason::TurnedAway,
        counts: "pitch beyond 0.12, by 0.1",
        steps: |m| (m.pitch.abs() - 0.12) / 0.1,
        weight: 0.48,
    },
    Term {
        reason: Reason::TooBright,
        counts: "glare above 0.15, by 0.2",
        steps: |m| (m.glare - 0.15) / 0.2,
        weight: 0.98,
    },
    Term {
        reason: Reason::TooDark,
        counts: "brightness below 35, by halves",
        steps: |m| (35.0 / m.brightness).log2(),
        weight: 1.16,
    },
];

/// The score, 0 to 1, and what lowers it most, where anything does.
pub fn score(measures: &Measures) -> (f32, Option<Reason>) {
    let harm = |term: &Term| term.harm(measures);
    let odds = AT_BEST + TERMS.iter().map(harm).sum::<f32>();
    let worst = Reason::ALL
        .into_iter()
        .map(|reason| (TERMS.iter().filter(|term| term.reason == reason).map(harm).sum::<f32>(), reason));
    let worst = worst.filter(|(harm, _)| *harm > 0.0).max_by(|a, b| a.0.total_cmp(&b.0));
    (1.0 / (1.0 + odds.exp()), worst.map(|(_, reason)| reason))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: Measures = Measures {
        eye_distance_px: 60.0,
        sharpness: 0.5,
        yaw: 0.05,
        pitch: 0.02,
        roll_deg: 0.0,
        brightness: 130.0,
        grain: 0.04,
        glare: 0.0,
    };

    #[test]
    fn a_good_picture_scores_high_and_what_is_wrong_is_named() {
        let (best, nothing) = score(&GOOD);
        assert!((0.95..0.96).contains(&best) && nothing.is_none());
        for (worse, reason) in [
            (Measures { sharpness: 0.28, ..GOOD }, Reason::TooBlurred),
            (Measures { grain: 0.6, ..GOOD }, Reason::TooNoisy),
            (Measures { brightness: 8.0, ..GOOD }, Reason::TooDark),
            (Measures { glare: 0.9, ..GOOD }, Reason::TooBright),
            (Measures { yaw: -0.7, ..GOOD }, Reason::TurnedAway),
            (Measures { sharpness: f32::NAN, ..GOOD }, Reason::TooBlurred),
        ] {
            let (low, worst) = score(&worse);
            assert!(low < 0.75 && worst == Some(reason), "{worse:?}: {low}, {worst:?}");
        }
    }

    proptest! {
        /// Worse in one respect is never better.
        #[test]
        fn the_score_falls_with_each_impairment(
            sharpness in 0f32..1.0, grain in 0f32..2.0, glare in 0f32..1.0, brightness in 0f32..255.0, yaw in -1f32..1.0, less in 0f32..1.0,
        ) {
            let here = Measures { sharpness, grain, glare, brightness, yaw, ..GOOD };
            let worse = [
                Measures { sharpness: sharpness * less, ..here },
                Measures { grain: grain + less, ..here },
                Measures { glare: glare + less, ..here },
                Measures { brightness: brightness * less, ..here },
                Measures { yaw: yaw + less * yaw.signum(), ..here },
            ];
            for worse in worse {
                prop_assert!(score(&worse).0 <= score(&here).0 + 1e-6);
            }
            prop_assert!((0.0..=1.0).contains(&score(&here).0));
        }
    }
}
