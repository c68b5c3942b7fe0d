//! What was found over a folder of pictures, in the terms of ISO/IEC 19795-1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Measured,
    comparisons::{Comparisons, Extent},
    curves::{self, Bar, Point},
    difference::Beside,
    discard::{self, Discard},
    folds::{self, Folds},
    groups::{self, Groups},
    open_set::{self, Identification, OpenSet},
    taking::Time,
};
use crate::vision::{
    engine::Identity,
    models::{AtThreshold, Calibration, Rate},
    template::Purpose,
};

/// Thresholds that are reported.
const THRESHOLDS: [f32; 13] = [0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9];

/// Those of them that stand in a manifest.
pub const MANIFEST_THRESHOLDS: [f32; 6] = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// So many names stand in a note; the rest is a number.
const NAMES: usize = 5;

/// What was found. Failures to acquire count as comparisons that do not match: with them, FMR and FNMR are what the standard calls
/// the generalised rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of the program.
    pub version: String,
    /// The recogniser's name.
    pub model: String,
    /// The networks.
    pub networks: Identity,
    /// How pictures were made into templates where they were enrolled, and where they were looked for.
    pub enrolled: Purpose,
    pub probe: Purpose,
    /// Whether all pictures were compared with all others, each pair both ways; else a list of pairs.
    pub every_pair: bool,
    /// Pictures that were read.
    pub images: usize,
    /// Different people among them.
    pub subjects: usize,
    /// Pictures that could not be read.
    pub unreadable: usize,
    /// Pictures that are left out because their names say nobody's name.
    pub unlabelled: usize,
    /// Pictures in which no face was found; each of their comparisons counts as one that does not match.
    pub without_face: usize,
    /// Pictures with a face of which no template can be made; they count in the same way.
    pub without_template: usize,
    /// Failure to acquire (FTA): the share of pictures that were read and gave no template.
    pub failure_to_acquire: f64,
    /// Pictures that the gate for enrolments would refuse as they are configured, by reason; a picture may have several.
    pub refused: BTreeMap<String, usize>,
    /// How many pictures that are, those without a face with them: failure to enrol (FTE).
    pub failure_to_enrol: usize,
    /// What was left out, and why.
    pub notes: Vec<Note>,
    /// Pairs of pictures of one person; each compared both ways where all pictures are.
    pub genuine_pairs: u64,
    /// Pairs of pictures of two people.
    pub impostor_pairs: u64,
    /// Where FMR and FNMR are alike (EER). None where the curve does not reach such a point.
    pub equal_error_rate: Option<f64>,
    /// By false match rate, the highest first.
    pub rates: Vec<Rate>,
    /// Whether the pack is calibrated; what is told in similarities is empty where it is not.
    pub calibrated: bool,
    /// By threshold, the lowest first, in the pack's present scale.
    pub thresholds: Vec<AtSimilarity>,
    /// How scores are spread, the lowest first.
    pub histogram: Vec<Bar>,
    /// FNMR against FMR, the lowest threshold first.
    pub det: Vec<Point>,
    /// Accuracy over the folds of a list of pairs.
    pub folds: Option<Folds>,
    /// Error against discard by quality.
    pub discard: Vec<Discard>,
    /// What a false positive identification rate costs, by gallery size.
    pub identification: Vec<Identification>,
    /// Strangers before doors that ask for a chance of a false accept; empty where the pack has no curve.
    pub open_set: Vec<OpenSet>,
    /// The same with the curve of one half of the people tried on the other half.
    pub held_back: Vec<OpenSet>,
    /// Differences between groups, where there are labels.
    pub groups: Vec<Groups>,
    /// Mean time of each stage for one picture, on one of the threads.
    pub time: Time,
    /// This run beside another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// What a threshold was measured to mean, with intervals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtSimilarity {
    /// The least similarity that counts, 0 to 1. Higher is stricter.
    pub threshold: f32,
    pub cosine: f32,
    /// How many comparisons of two people matched. Under some ten, `fmr` is a matter of chance.
    pub false_matches: u64,
    pub fmr: f64,
    pub fmr_interval: [f64; 2],
    pub fnmr: f64,
    pub fnmr_interval: [f64; 2],
}

impl AtSimilarity {
    /// As it stands in a manifest.
    pub fn plain(&self) -> AtThreshold {
        let Self { threshold, false_matches, fmr, fnmr, .. } = *self;
        AtThreshold { threshold, false_matches, fmr, fnmr }
    }
}

/// Something that was left out, or counts otherwise than one may think.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub count: usize,
    /// What is so many.
    pub what: String,
    /// The first of them.
    pub first: Vec<String>,
}

impl Note {
    /// None of nothing.
    pub fn of(what: &str, names: &[String]) -> Option<Self> {
        let first = names.iter().take(NAMES).cloned().collect();
        (!names.is_empty()).then(|| Self { count: names.len(), what: what.to_owned(), first })
    }

    /// Without names; none of nothing.
    pub fn number(what: &str, count: usize) -> Option<Self> {
        (count > 0).then(|| Self { count, what: what.to_owned(), first: Vec::new() })
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.count, self.what)?;
        match self.first.len() {
            0 => Ok(()),
            all if all == self.count => write!(f, ": {}", self.first.join(", ")),
            _ => write!(f, ": {}, …", self.first.join(", ")),
        }
    }
}

/// What of a folder could not be used.
pub struct Shortcomings {
    pub unreadable: usize,
    pub unlabelled: usize,
    pub without_face: usize,
    pub without_template: usize,
    pub notes: Vec<Note>,
}

impl Report {
    /// Pictures that gave no template.
    pub fn failures(&self) -> usize {
        self.without_face + self.without_template
    }

    /// The run in a few words.
    pub fn words(&self) -> String {
        let purpose = |purpose: Purpose| format!("{purpose:?}").to_lowercase();
        let (pack, probe, enrolled) = (&self.networks.pack, purpose(self.probe), purpose(self.enrolled));
        format!("pack '{pack}' ({}), facegate {}, {probe} against {enrolled}", self.model, self.version)
    }
}

/// The errors at those similarities that can be told.
pub fn at_thresholds(comparisons: &Comparisons, scale: &Calibration, thresholds: &[f32]) -> Vec<AtSimilarity> {
    let at = thresholds.iter().filter_map(|&threshold| {
        let cosine = scale.cosine(threshold);
        let errors = comparisons.at(cosine)?;
        Some(AtSimilarity {
            threshold,
            cosine,
            false_matches: errors.false_matches,
            fmr: errors.fmr,
            fmr_interval: errors.fmr_interval,
            fnmr: errors.fnmr,
            fnmr_interval: errors.fnmr_interval,
        })
    });
    at.collect()
}

/// What follows from what was measured.
pub fn of(measured: &Measured, scale: Option<&Calibration>) -> Report {
    let Measured { identity, short, taken, comparisons, threads, .. } = measured;
    let (people, threads) = (measured.people.len(), *threads);
    let every_pair = comparisons.extent == Extent::All;
    let (genuine, impostors) = comparisons.counts();
    let ways = if every_pair { 2 } else { 1 };
    let mut refused = BTreeMap::new();
    let mut failure_to_enrol = 0;
    for one in taken {
        let reasons = one.quality.as_ref().map_or(&[][..], |quality| &quality.reasons);
        failure_to_enrol += usize::from(one.templates.is_none() || !reasons.is_empty());
        reasons.iter().for_each(|reason| *refused.entry(reason.code().to_owned()).or_insert(0) += 1);
    }
    let det = comparisons.scores.det();
    // Where a list says what is compared, galleries of one's own making are none of its business.
    let open = |of: &dyn Fn() -> Vec<OpenSet>| if every_pair { of() } else { Vec::new() };
    Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        model: identity.model.clone(),
        networks: identity.clone(),
        enrolled: measured.purposes[0],
        probe: measured.purposes[1],
        every_pair,
        images: taken.len(),
        subjects: people,
        unreadable: short.unreadable,
        unlabelled: short.unlabelled,
        without_face: short.without_face,
        without_template: short.without_template,
        failure_to_acquire: (short.without_face + short.without_template) as f64 / taken.len() as f64,
        refused,
        failure_to_enrol,
        notes: short.notes.clone(),
        genuine_pairs: genuine / ways,
        impostor_pairs: impostors / ways,
        equal_error_rate: curves::equal_error_rate(&det),
        rates: comparisons.rates(),
        calibrated: scale.is_some(),
        thresholds: scale.map_or_else(Vec::new, |scale| at_thresholds(comparisons, scale, &THRESHOLDS)),
        histogram: comparisons.scores.histogram(),
        det,
        folds: measured.pairs.as_deref().and_then(|pairs| folds::measure(comparisons, pairs)),
        discard: discard::measure(comparisons, taken, threads),
        identification: if every_pair { open_set::identification(taken, people, threads) } else { Vec::new() },
        open_set: open(&|| scale.map_or_else(Vec::new, |scale| open_set::at_doors(taken, people, scale, threads))),
        held_back: open(&|| open_set::held_back(taken, comparisons, threads)),
        groups: measured
            .labels
            .as_ref()
            .map_or_else(Vec::new, |labels| groups::measure(comparisons, taken, labels, threads)),
        time: measured.time,
        beside: None,
    }
}
