//! How often a pack is wrong: every picture of a folder of known people through the whole pipeline, every pair compared.
//!
//! Read downwards: [`people`] says whose picture is which, [`taking`] makes templates of them ([`kept`] keeps those, for a run that
//! is interrupted), [`comparisons`] compares them, all or a list of [`pairs`], and [`report`] says what follows: [`curves`],
//! [`discard`] by quality, [`folds`], [`groups`], an [`open_set`]; [`bootstrap`] has the intervals. [`saved`] runs are set beside
//! each other by [`difference`], and [`scale`] makes a pack's calibration.

pub mod bootstrap;
pub mod comparisons;
pub mod curves;
pub mod difference;
pub mod discard;
pub mod folds;
pub mod groups;
mod kept;
pub mod open_set;
pub mod pairs;
pub mod parallel;
pub mod people;
pub mod report;
pub mod saved;
pub mod scale;
pub mod taking;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use comparisons::Comparisons;
pub use comparisons::RATES;
use groups::Labels;
use pairs::{Listed, Pair};
pub use report::Report;
use report::{Note, Shortcomings};
use saved::{Run, pseudonym};
use taking::{Outcome, Shot, Taken, Time};

use super::{
    engine::{Engine, Identity, Networks},
    models::{AtThreshold, Calibration},
    quality,
    template::Purpose,
};
use crate::error::{Error, Kind, Result};

/// What is compared with what.
#[derive(Clone, Debug)]
pub struct Options {
    /// How a picture's template is made where it is enrolled.
    pub enrolled: Purpose,
    /// How it is made where it is looked for.
    pub probe: Purpose,
    /// Only files of these names, where given.
    pub among: Option<HashSet<String>>,
    /// Only these pairs, where given; else all.
    pub pairs: Option<Vec<Listed>>,
    /// Names of people or of pictures, and their groups.
    pub groups: Vec<(String, String)>,
    /// By what a picture's quality is judged.
    pub quality: quality::Limits,
    /// The file by which an interrupted run goes on. It holds templates.
    pub resume: Option<PathBuf>,
    /// Threads that run the networks.
    pub threads: usize,
}

impl Default for Options {
    /// All photographs looked for among enrolments, on one thread.
    fn default() -> Self {
        Self {
            enrolled: Purpose::Enrolment,
            probe: Purpose::Probe,
            among: None,
            pairs: None,
            groups: Vec::new(),
            quality: quality::Limits::enrolment(),
            resume: None,
            threads: 1,
        }
    }
}

/// Templates and comparisons of a folder of pictures.
pub struct Measured {
    identity: Identity,
    purposes: [Purpose; 2],
    people: Vec<String>,
    pictures: Vec<String>,
    short: Shortcomings,
    time: Time,
    taken: Vec<Taken>,
    pairs: Option<Vec<Pair>>,
    labels: Option<Labels>,
    comparisons: Comparisons,
    threads: usize,
}

/// Runs the pipeline over the folder's JPEG and PNG files: those called `Name_0001.jpg`, and those in folders named after
/// people. `progress` is told of each picture that is done, with the number of all.
///
/// # Errors
/// As [`measure`].
pub fn evaluate(engine: &Engine, folder: &Path, options: &Options, progress: impl Fn(usize) + Sync) -> Result<Report> {
    Ok(measure(engine, folder, options, progress)?.report(Some(engine.calibration())))
}

/// What [`evaluate`] reports on, for any scale of similarity or none.
///
/// # Errors
/// [`Kind::NotFound`] where the folder cannot be read or gives no pair of either sort; [`Kind::Model`] where a network fails.
/// A picture that cannot be used, a pair or a label whose picture is not there is counted, and the rest goes on.
pub fn measure(
    networks: &Networks,
    folder: &Path,
    options: &Options,
    progress: impl Fn(usize) + Sync,
) -> Result<Measured> {
    let mut people = people::list(folder, options.among.as_ref())?;
    let mut notes = vec![
        Note::of(
            "pictures are left out: their names say nobody's name, and they are in nobody's folder",
            &people.unlabelled,
        ),
        Note::of("folders are left out: they cannot be read", &people.closed),
    ];
    let unlabelled = people.unlabelled.len();
    let pairs = options.pairs.as_ref().map(|listed| {
        let (pairs, missing) = pairs::among(listed, &people);
        notes.push(Note::of("pictures of the list of pairs are not in the folder; their pairs are left out", &missing));
        pairs
    });
    let pairs = pairs.map(|pairs| only_named(&mut people, pairs));
    let shots = taking::take(networks, &people.pictures, options, progress)?;
    let labels = (!options.groups.is_empty()).then(|| {
        let (labels, unknown, empty) = Labels::of(&options.groups, &people);
        notes.push(Note::of("labels name no person and no picture of the folder", &unknown));
        notes.push(Note::of("groups are left out: no picture of the folder is of them", &empty));
        labels
    });

    let named = |of: fn(&Outcome) -> bool| -> Vec<String> {
        let all = people.pictures.iter().zip(&shots).filter(|(_, shot)| of(&shot.outcome));
        all.map(|(picture, _)| picture.name.clone()).collect()
    };
    let unreadable = named(|outcome| matches!(outcome, Outcome::Unreadable));
    let without_face = named(|outcome| matches!(outcome, Outcome::NoFace));
    let without_template = named(|outcome| matches!(outcome, Outcome::NoTemplate));
    notes.push(Note::of("files cannot be read as pictures and are left out", &unreadable));
    notes
        .push(Note::of("pictures have no face that was found; their comparisons count as not matching", &without_face));
    notes.push(Note::of("faces give no template; their comparisons count as not matching", &without_template));
    let time = Time::mean(&shots.iter().map(|shot| shot.time).collect::<Vec<_>>());

    // Only what was read takes part; the numbers of pairs and labels follow.
    let readable: Vec<usize> =
        (0..shots.len()).filter(|&at| !matches!(shots[at].outcome, Outcome::Unreadable)).collect();
    let mut number = vec![None; shots.len()];
    readable.iter().enumerate().for_each(|(now, &before)| number[before] = Some(now));
    let pairs: Option<Vec<Pair>> = pairs.map(|pairs| {
        let moved = |pair: Pair| Some(Pair { enrolled: number[pair.enrolled]?, probe: number[pair.probe]?, ..pair });
        pairs.into_iter().filter_map(moved).collect()
    });
    let labels = labels.map(|labels| labels.kept(&readable));
    let pictures = readable.iter().map(|&at| shots[at].hash.clone()).collect();
    let taken: Vec<Taken> = people
        .pictures
        .iter()
        .zip(shots)
        .filter_map(|(picture, Shot { outcome, .. })| match outcome {
            Outcome::Unreadable => None,
            Outcome::NoFace | Outcome::NoTemplate => Some(Taken::of(picture.subject, None)),
            Outcome::Seen(templates, quality) => {
                Some(Taken { quality: Some(quality), ..Taken::of(picture.subject, Some(templates)) })
            }
        })
        .collect();
    if let Some(labels) = &labels {
        notes.push(Note::number("pictures have no label and are in no group", labels.unlabelled()));
    }
    let alone = people.names.len() - people_with_several(&taken, people.names.len());
    if pairs.is_none() {
        notes.push(Note::number("people have but one picture: they are impostors only", alone));
    }
    let comparisons = match &pairs {
        Some(pairs) => Comparisons::of_pairs(&taken, people.names.len(), pairs, options.threads),
        None => Comparisons::of(&taken, people.names.len(), options.threads),
    };
    check(&comparisons, &taken, people.names.len(), folder)?;
    Ok(Measured {
        identity: networks.identity().clone(),
        purposes: [options.enrolled, options.probe],
        people: people.names.iter().map(|name| pseudonym(name)).collect(),
        pictures,
        short: Shortcomings {
            unreadable: unreadable.len(),
            unlabelled,
            without_face: without_face.len(),
            without_template: without_template.len(),
            notes: notes.into_iter().flatten().collect(),
        },
        time,
        taken,
        pairs,
        labels,
        comparisons,
        threads: options.threads,
    })
}

/// Leaves only the pictures of which a pair speaks, and their people.
fn only_named(people: &mut people::People, pairs: Vec<Pair>) -> Vec<Pair> {
    let named: BTreeSet<usize> = pairs.iter().flat_map(|pair| [pair.enrolled, pair.probe]).collect();
    let number: BTreeMap<usize, usize> = named.iter().enumerate().map(|(now, &before)| (before, now)).collect();
    let (mut at, mut names, mut persons) = (0, Vec::new(), BTreeMap::new());
    people.pictures.retain_mut(|picture| {
        at += 1;
        let kept = named.contains(&(at - 1));
        if kept {
            picture.subject = *persons.entry(picture.subject).or_insert_with_key(|&person| {
                names.push(people.names[person].clone());
                names.len() - 1
            });
        }
        kept
    });
    people.names = names;
    pairs
        .into_iter()
        .map(|pair| Pair { enrolled: number[&pair.enrolled], probe: number[&pair.probe], ..pair })
        .collect()
}

fn people_with_several(taken: &[Taken], people: usize) -> usize {
    let mut counts = vec![0; people];
    taken.iter().for_each(|one| counts[one.subject] += 1);
    counts.into_iter().filter(|count| *count > 1).count()
}

/// Refuses comparisons from which nothing can be said.
fn check(comparisons: &Comparisons, taken: &[Taken], people: usize, folder: &Path) -> Result<()> {
    let (genuine, impostors) = comparisons.counts();
    if genuine > 0 && impostors > 0 {
        return Ok(());
    }
    let why = match (taken.len(), people, genuine) {
        (0, ..) => "it has no picture that can be read",
        (_, 1, _) => "all pictures are of one person",
        (_, _, 0) => "there is but one picture of each person, so nobody can be compared with himself",
        _ => "no two people are compared",
    };
    Err(Error::new(Kind::NotFound, format!("{} gives no pairs to compare: {why}", folder.display())).help(
        "at least two people and one with two pictures are needed, named like Name_0001.jpg or in folders named after the people",
    ))
}

impl Measured {
    /// What was found, with similarities by that scale where there is one.
    pub fn report(&self, scale: Option<&Calibration>) -> Report {
        report::of(self, scale)
    }

    /// What of the folder was left out or counts as a miss, in words.
    pub fn notes(&self) -> &[Note] {
        &self.short.notes
    }

    /// The scale that these comparisons give.
    ///
    /// # Errors
    /// As [`scale::fit`].
    pub fn scale(&self) -> Result<Calibration> {
        let (genuine, impostors) = self.comparisons.counts();
        let scale = scale::fit(&self.comparisons.rates(), impostors / 2)?;
        let thresholds = self.at_thresholds(&scale);
        Ok(Calibration { genuine_pairs: Some(genuine / 2), impostor_pairs: Some(impostors / 2), thresholds, ..scale })
    }

    /// What the thresholds of a manifest mean here, in that scale.
    pub fn at_thresholds(&self, scale: &Calibration) -> Vec<AtThreshold> {
        let all = report::at_thresholds(&self.comparisons, scale, &report::MANIFEST_THRESHOLDS);
        all.iter().map(|at| at.plain()).collect()
    }

    /// The run as it is saved.
    pub fn run(self, report: Report) -> Run {
        Run { report, comparisons: self.comparisons, people: self.people, pictures: self.pictures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::evaluate::{comparisons::tests::fifty, difference::beside};

    /// The fifty's run, the pictures of which are called by their numbers.
    fn run(taken: Vec<Taken>) -> Run {
        let people = (0..50).map(|person| pseudonym(&person.to_string())).collect();
        let pictures = (0..taken.len()).map(|at| format!("picture {at}")).collect();
        let identity = Identity { pack: "p".into(), model: "m".into(), networks: Vec::new() };
        let short =
            Shortcomings { unreadable: 0, unlabelled: 0, without_face: 0, without_template: 0, notes: Vec::new() };
        let comparisons = Comparisons::of(&taken, 50, 1);
        let purposes = [Purpose::Enrolment, Purpose::Probe];
        let (time, pairs, labels, threads) = (Time::default(), None, None, 1);
        let measured =
            Measured { identity, purposes, people, pictures, short, time, taken, pairs, labels, comparisons, threads };
        let report = measured.report(Some(&Calibration::at(0.3)));
        measured.run(report)
    }

    #[test]
    fn a_saved_run_is_read_as_it_was_and_differs_from_itself_by_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.json");
        let saved = run(fifty());
        saved.save(&file).unwrap();
        let read = Run::load(&file, 1).unwrap();
        assert_eq!(read.report, saved.report);
        assert_eq!(read.comparisons.rates(), saved.comparisons.rates());
        let same = beside(&saved, &read, 1).unwrap();
        assert_eq!((same.images, same.subjects, same.left_out), (100, 50, [0, 0]));
        assert!(same.differences.iter().all(|at| at.difference == 0.0 && at.interval == [0.0, 0.0]), "{same:?}");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("\"facegate_result\":1", "\"facegate_result\":2")).unwrap();
        assert!(Run::load(&file, 1).err().unwrap().to_string().contains("form 2"));
        std::fs::write(&file, text.replacen("\"picture 99\"", "", 1)).unwrap();
        assert!(Run::load(&file, 1).is_err());
    }

    #[test]
    fn a_run_that_knows_everybody_is_better_and_only_common_pictures_count() {
        // The same pictures, but everybody's second one is like the first; and two of them are not there.
        let better = (0..100).map(|at| comparisons::tests::taken(at / 2, at / 2, 100, 1.0));
        let mut better = run(better.take(98).collect());
        better.people.reverse();
        better.comparisons = better.comparisons.among(50, |picture| Some(49 - picture / 2));
        let found = beside(&better, &run(fifty()), 2).unwrap();
        assert_eq!((found.images, found.subjects, found.left_out), (98, 49, [0, 2]));
        let at = found.differences[1];
        assert_eq!(at.fnmr, [0.0, 10.0 / 98.0], "people are told by name, not by number: {at:?}");
        assert!(at.difference < 0.0 && at.interval[0] < at.interval[1] && at.interval[1] <= 0.0, "{at:?}");
        let other = Run { pictures: vec!["none".into(); 100], ..run(fifty()) };
        assert_eq!(beside(&better, &other, 1).unwrap_err().kind(), Kind::InvalidField);
    }
}
