//! A pack's similarity scale out of what was measured.

use super::comparisons::Comparisons;
use crate::{
    error::{Error, Kind, Result},
    vision::models::{Calibration, Rate},
};

/// The rate that similarity 0.6 stands for.
const ANCHOR: f64 = 1e-4;

/// The scale that these rates give; `impostor_pairs` is for the words. It says nothing yet of data, date and thresholds.
///
/// # Errors
/// [`Kind::NotFound`] where there are too few pictures to tell the rate that the scale hangs on.
pub fn fit(rates: &[Rate], impostor_pairs: u64) -> Result<Calibration> {
    let anchor = rates.iter().find(|rate| rate.fmr == ANCHOR && rate.is_borne());
    let anchor = anchor.filter(|rate| rate.cosine > 0.0 && rate.cosine < 1.0).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("{impostor_pairs} pairs of different people are too few to calibrate by"))
            .help("50,000 or more are needed: photographs of some 320 people")
    })?;
    // Rounded as they are written, so that what is shown is what is stored.
    let rounded = |value: f32| (value * 1e4).ceil() / 1e4;
    let mut points = rates.to_vec();
    points.iter_mut().for_each(|point| point.cosine = rounded(point.cosine));
    points.dedup_by(|next, point| next.cosine <= point.cosine);
    Ok(Calibration { points, ..Calibration::at(rounded(anchor.cosine)) }.marked())
}

/// The scale of these comparisons, without intervals: for measuring with, not for a manifest.
pub fn quick(comparisons: &Comparisons, rates: &[f64]) -> Result<Calibration> {
    let everybody = vec![1.0; comparisons.people];
    let impostors = comparisons.impostors_weight(&everybody);
    let found = comparisons.weighted(rates, &everybody);
    let rates: Vec<Rate> = rates
        .iter()
        .zip(found)
        .map(|(&fmr, (cosine, fnmr))| {
            let false_matches = (fmr * impostors + 1e-9) as u64;
            Rate { fmr, false_matches, cosine, fnmr, fnmr_interval: [0.0, 1.0] }
        })
        .collect();
    fit(&rates, impostors as u64 / 2)
}
