//! Two runs over the same pictures beside each other: two packs, two quantisations, two versions of the program.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{
    bootstrap::{interval, resampled},
    comparisons::{Comparisons, RATES},
    saved::Run,
};
use crate::error::{Error, Kind, Result};

/// A run beside another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// What was compared with what, in a few words each: this run, the other.
    pub runs: [String; 2],
    /// Pictures that both runs have; the figures are of these alone.
    pub images: usize,
    pub subjects: usize,
    /// Pictures that only this run has, and only the other.
    pub left_out: [usize; 2],
    /// Failures to acquire among all pictures of this run and of the other.
    pub failures: [usize; 2],
    /// By false match rate, the highest first.
    pub differences: Vec<Difference>,
}

/// The two runs at one false match rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The false match rate that both are set to, each by a threshold of its own.
    pub fmr: f64,
    /// The false matches that this is; under some ten the thresholds are a matter of chance.
    pub false_matches: u64,
    /// FNMR of this run and of the other.
    pub fnmr: [f64; 2],
    /// This run's less the other's: below zero, this one is better.
    pub difference: f64,
    /// Its 95 % interval: both runs over the same resamples of people, thresholds included. An interval with zero in it is no
    /// proof that they differ.
    pub interval: [f64; 2],
}

/// Sets `this` beside `other`.
///
/// # Errors
/// [`Kind::InvalidField`] where they have too little in common, or compared other things.
pub fn beside(this: &Run, other: &Run, threads: usize) -> Result<Beside> {
    if this.comparisons.extent != other.comparisons.extent {
        return Err(Error::new(Kind::InvalidField, "one run compared all pictures, the other a list of pairs")
            .help("run both with the same list, or without one"));
    }
    let (ours, theirs) = (keys(this), keys(other));
    // People are numbered as they come, the same ones alike in both.
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut in_ours = vec![None; this.pictures.len()];
    let mut in_theirs = vec![None; other.pictures.len()];
    for (key, &picture) in &ours {
        let Some(&same) = theirs.get(key) else { continue };
        let count = numbers.len() as u32;
        let number = *numbers.entry(key.person).or_insert(count);
        (in_ours[picture], in_theirs[same]) = (Some(number), Some(number));
    }
    let count = numbers.len();
    let both = [(this, &in_ours), (other, &in_theirs)]
        .map(|(run, of)| run.comparisons.among(count, |picture| of[picture as usize]));
    let everybody = vec![1.0; count];
    let images = in_ours.iter().flatten().count();
    let impostors = both[0].impostors_weight(&everybody);
    if both.iter().any(|comparisons| comparisons.genuine.is_empty()) || impostors < 1.0 {
        return Err(Error::new(
            Kind::InvalidField,
            format!("the two runs have {images} pictures in common, too few to compare"),
        )
        .help("both have to be over the same photographs"));
    }
    let of = |weights: &[f64]| both.each_ref().map(|comparisons: &Comparisons| comparisons.weighted(&RATES, weights));
    let found = of(&everybody);
    let resamples = resampled(threads, count, of);
    let differences = RATES.into_iter().enumerate().map(|(at, fmr)| {
        let fnmr = [found[0][at].1, found[1][at].1];
        let differences = resamples.iter().map(|[ours, theirs]| ours[at].1 - theirs[at].1);
        let false_matches = (fmr * impostors + 1e-9) as u64;
        Difference { fmr, false_matches, fnmr, difference: fnmr[0] - fnmr[1], interval: interval(differences) }
    });
    // Where too few impostors were kept for a rate, nothing is said of it.
    let differences = differences.filter(|difference| difference.difference.is_finite());
    Ok(Beside {
        runs: [this.report.words(), other.report.words()],
        images,
        subjects: count,
        left_out: [this.pictures.len() - images, other.pictures.len() - images],
        failures: [this.report.failures(), other.report.failures()],
        differences: differences.collect(),
    })
}

/// By what a picture is found in the other run: its bytes, whose it is, and which of several such it is.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    picture: &'a str,
    person: &'a str,
    copy: usize,
}

fn keys(run: &Run) -> BTreeMap<Key<'_>, usize> {
    let mut copies: HashMap<(&str, &str), usize> = HashMap::new();
    let pictures = run.pictures.iter().enumerate().map(|(number, picture)| {
        let person = &*run.people[run.comparisons.subject(number as u32)];
        let copy = copies.entry((picture, person)).and_modify(|copies| *copies += 1).or_default();
        (Key { picture, person, copy: *copy }, number)
    });
    pictures.collect()
}
