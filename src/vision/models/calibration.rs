//! What ties a recogniser's cosines to error rates.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The similarity at which every pack's false match rate is 1 in 10,000. From the REST contract.
const SIMILARITY_AT_FMR_1E_4: f32 = 0.6;

/// A point of the curve that fewer false matches stand behind is not gone by: its cosine is a matter of chance.
const LEAST_FALSE_MATCHES: u64 = 10;

/// How far below the lowest measured rate the curve is taken to go on; beyond, it is a guess.
const EXTRAPOLATED_AT_MOST: f64 = 10.0;

/// What ties cosines to error rates: at `cosine`, the false match rate was measured to be `fmr`. `facegate calibrate` makes one.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The false match rate, 1e-4: the one that similarity 0.6 stands for.
    pub fmr: f64,
    /// The cosine at which it was measured, above 0 and below 1.
    pub cosine: f32,
    /// On which data, for people.
    pub data: String,
    /// The day on which it was measured, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Pairs of photographs of one person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genuine_pairs: Option<u64>,
    /// Pairs of photographs of two people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impostor_pairs: Option<u64>,
    /// The lowest false match rate that ten false matches or more stand behind: what is asked for below it is extrapolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_to: Option<f64>,
    /// How far below that the curve is taken to go on as it did; what is asked for below this is a guess.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extrapolated_to: Option<f64>,
    /// The curve, the highest false match rate first. Without it no door can be set by the chance of a false accept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Rate>,
    /// The rates at some thresholds, the lowest first: of a photograph that is looked for among enrolments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<AtThreshold>,
    /// The same of a single frame of a door, which is one look at a face where a photograph may be the mean of two. A door that asks
    /// for several frames is another matter: most misses of one are made good by the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<AtThreshold>,
}

/// The price of a false match rate.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The false match rate that was asked for.
    pub fmr: f64,
    /// How many comparisons of two people may match then. Under some ten, the cosine is a matter of chance.
    pub false_matches: u64,
    /// The least cosine at which no more of them match.
    pub cosine: f32,
    /// The share of comparisons of one person below it.
    pub fnmr: f64,
    /// The 95 % interval of `fnmr`: bootstrap over subjects, threshold included.
    pub fnmr_interval: [f64; 2],
}

/// What a threshold was measured to mean.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AtThreshold {
    /// The least similarity that counts, 0 to 1. Higher is stricter.
    pub threshold: f32,
    /// How many comparisons of two people matched. Under some ten, `fmr` is a matter of chance.
    pub false_matches: u64,
    /// Their share of all such comparisons.
    pub fmr: f64,
    /// The share of comparisons of one person that did not match.
    pub fnmr: f64,
}

/// What data stand behind a false match rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// It lies between points that were measured.
    Measured,
    /// It lies below the lowest that was measured, by no more than a factor of ten.
    Extrapolated,
    /// It lies farther below: a guess, though on the strict side where the curve falls off as such curves do.
    Guessed,
}

impl Support {
    /// What is to be said of a rate that stands on it, after a comma: nothing where it was measured.
    pub fn reservation(self) -> &'static str {
        match self {
            Self::Measured => "",
            Self::Extrapolated => ", extrapolated from what was measured",
            Self::Guessed => ", far below what was measured: the chance is not known to be kept",
        }
    }
}

/// What a false match rate asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Needed {
    /// The least cosine, at most 1.
    pub cosine: f32,
    /// The same as a threshold, 0 to 1.
    pub similarity: f32,
    pub support: Support,
}

impl Rate {
    /// Whether enough false matches stand behind it that its cosine is no matter of chance.
    pub fn is_borne(&self) -> bool {
        self.false_matches >= LEAST_FALSE_MATCHES
    }
}

impl Calibration {
    /// A scale of which nothing is known but the cosine at which the false match rate is 1 in 10,000.
    pub fn at(cosine: f32) -> Self {
        Self {
            fmr: 1e-4,
            cosine,
            data: String::new(),
            date: None,
            genuine_pairs: None,
            impostor_pairs: None,
            measured_to: None,
            extrapolated_to: None,
            points: Vec::new(),
            thresholds: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// The same, with where its curve ends being measured and where it ends being taken to go on.
    #[must_use]
    pub fn marked(self) -> Self {
        let measured_to = self.points.iter().filter(|point| point.is_borne()).map(|point| point.fmr).reduce(f64::min);
        Self { measured_to, extrapolated_to: measured_to.map(|fmr| fmr / EXTRAPOLATED_AT_MOST), ..self }
    }

    /// The similarity of two embeddings at this cosine: 0 to 1, monotone; 0 at 0 and below, 0.6 where the false match rate
    /// is 1 in 10,000, 1 at 1; straight lines between. 0 for a cosine that is not a number.
    pub fn similarity(&self, cosine: f32) -> f32 {
        if cosine.is_nan() || cosine <= 0.0 {
            0.0
        } else if cosine < self.cosine {
            cosine / self.cosine * SIMILARITY_AT_FMR_1E_4
        } else {
            let above = (cosine.min(1.0) - self.cosine) / (1.0 - self.cosine);
            (SIMILARITY_AT_FMR_1E_4 + above * (1.0 - SIMILARITY_AT_FMR_1E_4)).min(1.0)
        }
    }

    /// The least cosine that has this similarity; the inverse of [`Calibration::similarity`]. Below every cosine for 0, since
    /// a threshold of 0 takes all.
    pub fn cosine(&self, similarity: f32) -> f32 {
        if similarity <= 0.0 {
            -1.0
        } else if similarity < SIMILARITY_AT_FMR_1E_4 {
            similarity / SIMILARITY_AT_FMR_1E_4 * self.cosine
        } else {
            let above = (similarity.min(1.0) - SIMILARITY_AT_FMR_1E_4) / (1.0 - SIMILARITY_AT_FMR_1E_4);
            self.cosine + above * (1.0 - self.cosine)
        }
    }

    /// What keeps the false match rate of one comparison at `fmr` or below. None where there is no curve.
    ///
    /// Between two points the logarithm of the rate is taken to be linear in the cosine, and below the lowest one to go on as
    /// it did before it: the tail of such scores falls off ever faster, so that the truth is rather below. A rate above the
    /// highest point asks for that point's cosine.
    pub fn needed(&self, fmr: f64) -> Option<Needed> {
        let mut borne = self.points.iter().filter(|point| point.is_borne());
        let mut upper = borne.next()?;
        let mut lower = borne.next()?;
        if fmr >= upper.fmr {
            return Some(self.need(f64::from(upper.cosine), Support::Measured));
        }
        for next in borne {
            if fmr >= lower.fmr {
                break;
            }
            (upper, lower) = (lower, next);
        }
        let support = match fmr {
            measured if measured >= lower.fmr => Support::Measured,
            near if near * EXTRAPOLATED_AT_MOST >= lower.fmr * (1.0 - 1e-9) => Support::Extrapolated,
            _ => Support::Guessed,
        };
        let (from, to) = (f64::from(upper.cosine), f64::from(lower.cosine));
        let share = (upper.fmr / fmr).ln() / (upper.fmr / lower.fmr).ln();
        Some(self.need(from + (to - from) * share, support))
    }

    fn need(&self, cosine: f64, support: Support) -> Needed {
        let cosine = cosine.min(1.0) as f32;
        Needed { cosine, similarity: self.similarity(cosine), support }
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if !(self.cosine > 0.0 && self.cosine < 1.0) || self.fmr != 1e-4 {
            return Err("needs fmr = 1e-4 and a cosine between 0 and 1");
        }
        let sound = |point: &Rate| point.fmr > 0.0 && point.fmr < 1.0 && point.cosine > -1.0 && point.cosine < 1.0;
        let falls = |pair: &[Rate]| pair[0].fmr > pair[1].fmr && pair[0].cosine < pair[1].cosine;
        if !self.points.iter().all(sound) || !self.points.windows(2).all(falls) {
            return Err("points take rates that fall, between 0 and 1, at cosines that rise, between -1 and 1");
        }
        let marked = self.clone().marked();
        let agrees = |told: Option<f64>, follows: Option<f64>| match (told, follows) {
            (None, _) => true,
            (Some(told), Some(follows)) => (told / follows - 1.0).abs() < 1e-6,
            (Some(_), None) => false,
        };
        if !agrees(self.measured_to, marked.measured_to) || !agrees(self.extrapolated_to, marked.extrapolated_to) {
            return Err("measured_to and extrapolated_to are not what the false matches of its points bear");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calibration(cosine: f32) -> Calibration {
        Calibration::at(cosine)
    }

    fn curve() -> Calibration {
        let point =
            |fmr: f64, cosine, false_matches| Rate { fmr, false_matches, cosine, fnmr: 0.0, fnmr_interval: [0.0; 2] };
        let points = vec![
            point(1e-2, 0.18, 9000),
            point(1e-3, 0.24, 900),
            point(1e-4, 0.29, 90),
            point(1e-5, 0.34, 10),
            point(1e-6, 0.36, 1),
        ];
        Calibration { points, ..calibration(0.29) }
    }

    proptest! {
        #[test]
        fn similarity_is_monotone_and_inverted_by_cosine(at in 0.05f32..0.95, a in -1.0f32..1.0, b in -1.0f32..1.0) {
            let scale = calibration(at);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(scale.similarity(low) <= scale.similarity(high));
            prop_assert!((0.0..=1.0).contains(&scale.similarity(a)));
            if a > 0.0 {
                prop_assert!((scale.cosine(scale.similarity(a)) - a).abs() < 1e-5);
            }
        }

        #[test]
        fn a_lower_rate_never_asks_for_less(a in -12f64..0.0, b in -12f64..0.0) {
            let needed = |exponent: f64| curve().needed(10f64.powf(exponent)).unwrap();
            let (strict, mild) = (needed(a.min(b)), needed(a.max(b)));
            prop_assert!(strict.cosine >= mild.cosine && strict.similarity >= mild.similarity);
            prop_assert!(strict.similarity <= 1.0);
        }
    }

    #[test]
    fn fixed_points() {
        let scale = calibration(0.287);
        assert_eq!(scale.similarity(-1.0), 0.0);
        assert_eq!(scale.similarity(f32::NAN), 0.0);
        assert!((scale.similarity(0.287) - 0.6).abs() < 1e-6);
        assert_eq!(scale.similarity(1.0), 1.0);
        assert!((scale.cosine(0.6) - 0.287).abs() < 1e-6);
    }

    #[test]
    fn the_curve_goes_through_its_points_and_on_where_too_few_matches_bear_it() {
        let curve = curve();
        for (fmr, cosine, support) in [
            (0.5, 0.18, Support::Measured),
            (1e-2, 0.18, Support::Measured),
            (1e-3, 0.24, Support::Measured),
            (10f64.powf(-3.5), 0.265, Support::Measured),
            (1e-4, 0.29, Support::Measured),
            (1e-5, 0.34, Support::Measured),
            // One false match bears nothing: not the point at 0.36.
            (1e-6, 0.39, Support::Extrapolated),
            (1e-7, 0.44, Support::Guessed),
            (1e-30, 1.0, Support::Guessed),
        ] {
            let needed = curve.needed(fmr).unwrap();
            assert!((needed.cosine - cosine).abs() < 1e-5 && needed.support == support, "{fmr}: {needed:?}");
        }
        assert!((curve.needed(1e-4).unwrap().similarity - 0.6).abs() < 1e-5);
        assert_eq!(calibration(0.3).needed(1e-4), None);
        let marked = curve.marked();
        assert_eq!((marked.measured_to, marked.check()), (Some(1e-5), Ok(())));
        assert!(Calibration { measured_to: Some(1e-6), ..marked }.check().is_err(), "one false match bears nothing");
    }
}
