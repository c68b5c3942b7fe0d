//! The threshold that a door's chance of a false accept asks for, with so many people enrolled. One place for all: doors and `check`
//! go by it, and an evaluation tries what it promises.

use serde::Serialize;

use crate::{
    access::Policy,
    error::{Error, Kind, Result},
    vision::models::{Calibration, Support},
};

/// What [`Policy::false_accept`] comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Strictness {
    /// The chance that is asked for.
    pub false_accept: String,
    /// Embeddings that it is derived for: those enrolled, rounded up.
    pub enrolled: usize,
    /// The false match rate that one comparison may have.
    pub fmr: f64,
    /// The threshold, a similarity: what that rate asks for, or the policy's own where that is higher.
    pub threshold: f32,
    pub support: Support,
}

impl Strictness {
    /// What the policy comes to; none where it asks for no chance.
    ///
    /// # Errors
    /// [`Kind::Config`] where it asks for one and the pack has no curve.
    pub fn of(policy: &Policy, scale: &Calibration, enrolled: usize) -> Result<Option<Self>> {
        let Some(chance) = policy.false_accept else { return Ok(None) };
        let enrolled = rounded_up(enrolled);
        let Some((fmr, needed)) = policy.comparison_rate(enrolled).and_then(|fmr| Some((fmr, scale.needed(fmr)?)))
        else {
            return Err(Error::new(
                Kind::Config,
                "access.false_accept is set, but the pack's calibration has no curve",
            )
            .help("run `facegate calibrate` over photographs of people, or set access.threshold alone"));
        };
        Ok(Some(Self {
            false_accept: chance.to_string(),
            enrolled,
            fmr,
            threshold: needed.similarity.max(policy.threshold),
            support: needed.support,
        }))
    }

    /// In words, for the log and for `check`.
    pub fn describe(&self) -> String {
        let Self { false_accept, enrolled, fmr, threshold, support } = self;
        let reservation = support.reservation();
        format!(
            "{false_accept} with up to {enrolled} embeddings: threshold {threshold:.3} (FMR {fmr:.1e}{reservation})"
        )
    }
}

/// The next of ten steps in each power of ten: a threshold that moved with every single enrolment would void the votes of
/// whoever stands before the door. A quarter more people ask for no more than a hair's breadth of similarity.
fn rounded_up(enrolled: usize) -> usize {
    let tenths = (enrolled.max(1) as f64).log10() * 10.0;
    (10f64.powf((tenths - 1e-9).ceil() / 10.0).round() as usize).max(enrolled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vision::models::Rate;

    fn scale() -> Calibration {
        let point = |fmr: f64, cosine| Rate { fmr, false_matches: 100, cosine, fnmr: 0.0, fnmr_interval: [0.0; 2] };
        Calibration { points: vec![point(1e-2, 0.18), point(1e-4, 0.29), point(1e-5, 0.34)], ..Calibration::at(0.29) }
    }

    fn policy(chance: &str) -> Policy {
        Policy { false_accept: Some(chance.parse().unwrap()), ..Policy::default() }
    }

    proptest! {
        #[test]
        fn more_people_never_lower_the_threshold(a in 0usize..2_000_000, b in 0usize..2_000_000) {
            let at = |enrolled| Strictness::of(&policy("1 in 1000"), &scale(), enrolled).unwrap().unwrap();
            let (few, many) = (at(a.min(b)), at(a.max(b)));
            prop_assert!(few.threshold <= many.threshold);
            prop_assert!(many.enrolled >= a.max(b) && many.enrolled <= a.max(b).max(1) * 4 / 3 + 1);
        }
    }

    #[test]
    fn it_never_lowers_the_policys_own_threshold_and_says_what_bears_it() {
        let of = |chance, enrolled| Strictness::of(&policy(chance), &scale(), enrolled).unwrap().unwrap();
        // 1 in 10 with nobody enrolled asks for less than 0.6.
        assert_eq!(of("1 in 10", 0).threshold, 0.6);
        let hundred = of("1 in 1000", 100);
        assert!((hundred.fmr - 1e-3 * 2.0 / 3.0 / 100.0).abs() < 1e-12);
        assert_eq!(hundred.support, Support::Extrapolated);
        assert!(hundred.threshold > 0.62, "{hundred:?}");
        assert_eq!(of("1 in 1000000", 1000).support, Support::Guessed);
    }

    #[test]
    fn a_pack_without_a_curve_is_told() {
        let flat = Calibration { points: Vec::new(), ..scale() };
        assert_eq!(Strictness::of(&policy("1 in 1000"), &flat, 5).unwrap_err().kind(), Kind::Config);
        assert!(Strictness::of(&Policy::default(), &flat, 5).unwrap().is_none());
    }
}
