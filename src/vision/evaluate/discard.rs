//! Error against discard by quality: what is gained where the worst pictures are not taken (ISO/IEC 29794-1's error versus
//! discard characteristic).
//!
//! The threshold stays where it is with all pictures; pictures are discarded by one measure, the worst first, with all their
//! comparisons. A measure that tells which pictures the recogniser will get wrong makes the curve fall. The limits of a quality
//! gate are read off these curves: `value` is the limit that discards that share.

use serde::{Deserialize, Serialize};

use super::{
    bootstrap::{interval, none_seen, resampled},
    comparisons::{Comparisons, Score},
    taking::Taken,
};
use crate::vision::quality::Quality;

/// Shares of the pictures that are discarded.
const SHARES: [f64; 9] = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5];

/// The false match rates over all pictures at whose thresholds the errors are counted.
const AT: [f64; 2] = [1e-3, 1e-4];

/// Which end of a measure is the worse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Worse {
    Low,
    High,
}

/// A measure's name, its worse end, and how it is read.
type Measure = (&'static str, Worse, fn(&Quality) -> f32);

/// The score and what it is made of.
const MEASURES: [Measure; 8] = [
    ("score", Worse::Low, |quality| quality.score),
    ("eye_distance_px", Worse::Low, |quality| quality.measures.eye_distance_px),
    ("sharpness", Worse::Low, |quality| quality.measures.sharpness),
    ("yaw", Worse::High, |quality| quality.measures.yaw.abs()),
    ("pitch", Worse::High, |quality| quality.measures.pitch.abs()),
    ("roll_deg", Worse::High, |quality| quality.measures.roll_deg.abs()),
    ("brightness", Worse::Low, |quality| quality.measures.brightness),
    ("brightness", Worse::High, |quality| quality.measures.brightness),
];

/// What discarding by one measure gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discard {
    /// The measure: `score`, or one of what it is made of.
    pub by: String,
    /// The end from which pictures are discarded.
    pub worse: Worse,
    /// The false match rate over all pictures at whose threshold the errors are counted.
    pub fmr: f64,
    /// That threshold.
    pub cosine: f32,
    /// The least discarded first.
    pub points: Vec<Discarded>,
}

/// What discarding one share gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    /// The share that was to be discarded.
    pub asked: f64,
    /// The share that was: pictures that are alike stay together.
    pub discarded: f64,
    /// The measure of the worst picture that is kept. None where a picture without a face is kept.
    pub value: Option<f32>,
    pub genuine: u64,
    pub false_non_matches: u64,
    pub fnmr: f64,
    pub fnmr_interval: [f64; 2],
    pub false_matches: u64,
}

/// All measures at both thresholds; of those alone that tell pictures apart.
pub fn measure(comparisons: &Comparisons, taken: &[Taken], threads: usize) -> Vec<Discard> {
    let everybody = vec![1.0; comparisons.people];
    let thresholds: Vec<f32> = comparisons.weighted(&AT, &everybody).iter().map(|found| found.0).collect();
    let mut found = Vec::new();
    for (by, worse, of) in MEASURES {
        let sign = if worse == Worse::Low { 1.0 } else { -1.0 };
        // Where there is no face, or no number, there is nothing worse.
        let value = |one: &Taken| one.quality.as_ref().map(of).filter(|value| !value.is_nan());
        let values: Vec<f32> =
            taken.iter().map(|one| value(one).map_or(f32::NEG_INFINITY, |value| sign * value)).collect();
        let mut sorted = values.clone();
        sorted.sort_by(f32::total_cmp);
        if sorted.first() == sorted.last() {
            continue;
        }
        for (fmr, &cosine) in AT.into_iter().zip(&thresholds) {
            let points = SHARES.map(|asked| {
                let least = sorted[((asked * sorted.len() as f64) as usize).min(sorted.len() - 1)];
                let kept = keep(comparisons, cosine, &values, least, threads);
                Discarded { asked, value: kept.value.map(|value| sign * value), ..kept }
            });
            // Where nobody is left to be compared with himself, there is no error to speak of.
            let points = points.into_iter().filter(|point| point.genuine > 0).collect();
            found.push(Discard { by: by.to_owned(), worse, fmr, cosine, points });
        }
    }
    found
}

/// The errors where pictures whose value is less are not there.
fn keep(comparisons: &Comparisons, cosine: f32, values: &[f32], least: f32, threads: usize) -> Discarded {
    let kept = |score: &&Score| values[score.enrolled as usize] >= least && values[score.probe as usize] >= least;
    let genuine: Vec<&Score> = comparisons.genuine.iter().filter(kept).collect();
    let missed: Vec<&Score> = genuine.iter().filter(|same| same.cosine < cosine).copied().collect();
    let near = comparisons.near_impostors.iter().take_while(|near| near.cosine >= cosine);
    let resamples = resampled(threads, comparisons.people, |weights| {
        let sum = |of: &[&Score]| of.iter().map(|score| comparisons.weight_of(score, weights)).sum::<f64>();
        sum(&missed) / sum(&genuine)
    });
    let mut people: Vec<usize> = genuine.iter().map(|same| comparisons.subject(same.probe)).collect();
    people.sort_unstable();
    people.dedup();
    Discarded {
        asked: 0.0,
        discarded: values.iter().filter(|value| **value < least).count() as f64 / values.len() as f64,
        value: Some(least).filter(|value| value.is_finite()),
        genuine: genuine.len() as u64,
        false_non_matches: missed.len() as u64,
        fnmr: missed.len() as f64 / genuine.len() as f64,
        fnmr_interval: if missed.is_empty() { none_seen(people.len() as f64) } else { interval(resamples) },
        false_matches: near.filter(kept).count() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::{
        evaluate::comparisons::tests::{fifty, taken},
        quality::Measures,
    };

    fn with(score: f32, one: Taken) -> Taken {
        Taken { quality: Some(Quality { score, reasons: Vec::new(), measures: Measures::default() }), ..one }
    }

    #[test]
    fn a_score_that_tells_the_bad_pictures_lowers_the_error() {
        // Ten in a hundred comparisons miss, because of five pictures: those of the lowest score.
        let graded = |(at, one): (usize, Taken)| with(if at % 20 == 1 { 0.1 } else { 0.5 + at as f32 * 1e-3 }, one);
        let all: Vec<Taken> = fifty().into_iter().enumerate().map(graded).collect();
        let comparisons = Comparisons::of(&all, 50, 1);
        let curves = measure(&comparisons, &all, 1);
        assert!(curves.iter().all(|curve| curve.by == "score"), "the measures are all alike: {curves:?}");
        assert_eq!(curves.iter().map(|curve| curve.fmr).collect::<Vec<_>>(), AT);
        let fnmr = |asked: f64| curves[0].points.iter().find(|point| point.asked == asked).unwrap();
        assert_eq!((fnmr(0.0).discarded, fnmr(0.0).fnmr), (0.0, 0.1));
        // The five are alike, and stay together until all of them are to go.
        assert_eq!((fnmr(0.02).discarded, fnmr(0.02).fnmr), (0.0, 0.1));
        assert_eq!((fnmr(0.05).discarded, fnmr(0.05).fnmr, fnmr(0.05).genuine), (0.05, 0.0, 90));
        assert_eq!(fnmr(0.05).fnmr_interval, none_seen(45.0));
    }

    #[test]
    fn a_picture_without_a_face_is_the_worst() {
        let mut all: Vec<Taken> = (0..40).map(|n| with(0.2 + n as f32 * 0.01, taken(n / 2, n / 2, 100, 1.0))).collect();
        all[7] = Taken::of(3, None);
        let curves = measure(&Comparisons::of(&all, 20, 1), &all, 1);
        let (first, next) = (curves[0].points[0], curves[0].points[3]);
        assert_eq!((first.value, first.false_non_matches), (None, 2));
        assert_eq!((next.asked, next.false_non_matches), (0.05, 0), "two of forty are gone: {next:?}");
    }
}
