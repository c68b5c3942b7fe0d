//! How often a pack is wrong: every picture of a folder of known people through the whole pipeline, every pair compared.

mod comparisons;
mod open_set;
mod people;

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub use comparisons::RATES;
use comparisons::{Comparisons, Taken, Templates};
use image::RgbImage;
pub use open_set::OpenSet;
use parking_lot::Mutex;
use serde::Serialize;

use super::{
    Embedding, Face, Landmarks,
    engine::{Engine, Session, Timings},
    models::{AtThreshold, Calibration, Rate},
    template::{Look, Purpose},
};
use crate::{
    error::{Error, Kind, Result},
    intake,
};

/// Thresholds that are reported.
const THRESHOLDS: [f32; 6] = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// What was found over a folder of pictures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The recogniser's name.
    pub model: String,
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
    /// Pairs of pictures of one person. Each is compared both ways, either enrolled and the other looked for.
    pub genuine_pairs: u64,
    /// Pairs of pictures of two people.
    pub impostor_pairs: u64,
    /// By threshold, the lowest first, in the pack's present scale.
    pub thresholds: Vec<AtThreshold>,
    /// Strangers before doors that ask for a chance of a false accept; empty where the pack has no curve.
    pub open_set: Vec<OpenSet>,
    /// Mean time of each stage for one picture, on one of the threads.
    pub time: Time,
    /// By false match rate, the highest first.
    pub rates: Vec<Rate>,
}

/// Mean times for one picture in milliseconds. Both templates of a picture are made at once.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Time {
    pub decode: f64,
    /// The detector's network, in the picture and in crops of the face.
    pub detector: f64,
    /// The network for landmarks, where the detector gives none.
    pub landmarks: f64,
    /// The recogniser, once for each look at the face.
    pub recogniser: f64,
    /// Everything around the networks.
    pub around: f64,
}

impl Time {
    fn of(pictures: usize, decode: Duration, timings: &[Timings]) -> Self {
        let mean = |sum: Duration| sum.as_secs_f64() * 1e3 / pictures.max(1) as f64;
        let of = |part: fn(&Timings) -> Duration| mean(timings.iter().map(part).sum());
        Self {
            decode: mean(decode),
            detector: of(|timings| timings.detect_network),
            landmarks: of(|timings| timings.landmarks_network),
            recogniser: of(|timings| timings.embed_network),
            around: of(Timings::around),
        }
    }
}

/// Templates and comparisons of a folder of pictures.
pub struct Measured {
    model: String,
    subjects: usize,
    unreadable: usize,
    unlabelled: usize,
    without_face: usize,
    time: Time,
    taken: Vec<Taken>,
    comparisons: Comparisons,
}

impl Measured {
    /// What was found, with similarities by that scale.
    pub fn report(&self, scale: &Calibration) -> Report {
        let (genuine, impostors) = self.comparisons.counts();
        Report {
            model: self.model.clone(),
            images: self.taken.len(),
            subjects: self.subjects,
            unreadable: self.unreadable,
            unlabelled: self.unlabelled,
            without_face: self.without_face,
            genuine_pairs: genuine / 2,
            impostor_pairs: impostors / 2,
            thresholds: at_thresholds(&self.comparisons, scale),
            open_set: open_set::measure(&self.taken, self.subjects, scale),
            time: self.time,
            rates: RATES.iter().map(|&fmr| self.comparisons.rate(fmr)).collect(),
        }
    }
}

/// What is compared with what.
#[derive(Clone, Debug)]
pub struct Options {
    /// How a picture's template is made where it is enrolled.
    pub enrolled: Purpose,
    /// How it is made where it is looked for.
    pub probe: Purpose,
    /// Only files of these names, where given.
    pub among: Option<HashSet<String>>,
    /// Threads that run the networks.
    pub threads: usize,
}

impl Default for Options {
    /// A photograph looked for among enrolments, on one thread.
    fn default() -> Self {
        Self { enrolled: Purpose::Enrolment, probe: Purpose::Probe, among: None, threads: 1 }
    }
}

/// Runs the pipeline over the folder's JPEG and PNG files: those called `Name_0001.jpg`, and those in folders named after
/// people. `progress` is told of each picture that is done.
///
/// # Errors
/// [`Kind::NotFound`] where the folder cannot be read or gives no pair of either sort; [`Kind::Model`] where a network fails.
/// A picture that cannot be read is counted.
pub fn evaluate(engine: &Arc<Engine>, folder: &Path, options: &Options, progress: impl Fn() + Sync) -> Result<Report> {
    Ok(measure(engine, folder, options, progress)?.report(engine.calibration()))
}

/// What [`evaluate`] reports on, for any scale of similarity.
///
/// # Errors
/// As there.
pub fn measure(engine: &Arc<Engine>, folder: &Path, options: &Options, progress: impl Fn() + Sync) -> Result<Measured> {
    let people = people::list(folder, options.among.as_ref())?;
    let pictures = &people.pictures;
    let next = AtomicUsize::new(0);
    let results = Mutex::new(vec![Outcome::Unreadable; pictures.len()]);
    let work = || -> Result<(Duration, Vec<Timings>)> {
        let mut session = engine.session()?;
        let (mut decoding, mut timings) = (Duration::ZERO, Vec::new());
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&at| at < pictures.len()) {
            let bytes = std::fs::read(&pictures[at].path).unwrap_or_default();
            let begun = Instant::now();
            if let Ok(picture) = intake::decode(&bytes, &intake::Limits::default()) {
                decoding += begun.elapsed();
                let faces = session.detect(&picture)?;
                let outcome = match main_face(&picture, &faces) {
                    Some(face) => Outcome::Seen(templates(&mut session, &picture, &face.landmarks, options)?),
                    None => Outcome::NoFace,
                };
                timings.push(*session.timings());
                results.lock()[at] = outcome;
            }
            progress();
        }
        Ok((decoding, timings))
    };
    let times = thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a worker panicked"))))
            .collect::<Result<Vec<_>>>()
    })?;
    let results = results.into_inner();
    let unreadable = results.iter().filter(|r| matches!(r, Outcome::Unreadable)).count();
    let without_face = results.iter().filter(|r| matches!(r, Outcome::NoFace)).count();
    let taken: Vec<Taken> = pictures
        .iter()
        .zip(results)
        .filter_map(|(picture, outcome)| {
            let templates = match outcome {
                Outcome::Unreadable => return None,
                Outcome::NoFace => None,
                Outcome::Seen(templates) => Some(templates),
            };
            Some(Taken { subject: picture.subject, templates })
        })
        .collect();
    let comparisons = Comparisons::of(&taken, people.subjects);
    let (genuine, impostors) = comparisons.counts();
    if genuine == 0 || impostors == 0 {
        return Err(Error::new(Kind::NotFound, format!("{} gives no pairs to compare", folder.display())).help(
            "at least two people and one with two pictures are needed, named like Name_0001.jpg or in folders named after \
             the people",
        ));
    }
    let timings: Vec<_> = times.iter().flat_map(|time| time.1.iter().copied()).collect();
    Ok(Measured {
        model: engine.model_id().to_owned(),
        subjects: people.subjects,
        unreadable,
        unlabelled: people.unlabelled,
        without_face,
        time: Time::of(taken.len(), times.iter().map(|time| time.0).sum(), &timings),
        taken,
        comparisons,
    })
}

#[derive(Clone)]
enum Outcome {
    Unreadable,
    NoFace,
    Seen(Templates),
}

fn at_thresholds(comparisons: &Comparisons, scale: &Calibration) -> Vec<AtThreshold> {
    let at = THRESHOLDS.iter().filter_map(|&threshold| {
        let (false_matches, fmr, fnmr) = comparisons.at(scale.cosine(threshold))?;
        Some(AtThreshold { threshold, false_matches, fmr, fnmr })
    });
    at.collect()
}

/// Both templates of a face; looks that both are made of are taken once.
fn templates(session: &mut Session, picture: &RgbImage, landmarks: &Landmarks, options: &Options) -> Result<Templates> {
    let (enrolled, probe) = (session.looks(options.enrolled), session.looks(options.probe));
    let mut looks = enrolled.to_vec();
    looks.extend(probe.iter().filter(|look| !enrolled.contains(look)));
    let seen = session.look(picture, landmarks, &looks)?;
    let mean = |of: &[Look]| {
        let among = looks.iter().zip(&seen).filter(|(look, _)| of.contains(look)).map(|(_, seen)| seen);
        Embedding::mean(among).ok_or_else(|| Error::new(Kind::Model, "the recogniser's looks at a face cancel out"))
    };
    Ok(Templates { enrolled: mean(enrolled)?, probe: mean(probe)? })
}

/// The face that a picture is of: large and in the middle.
fn main_face<'a>(picture: &RgbImage, faces: &'a [Face]) -> Option<&'a Face> {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let weight = |face: &Face| {
        let off_x = (face.area.left + face.area.width / 2.0) / width - 0.5;
        let off_y = (face.area.top + face.area.height / 2.0) / height - 0.5;
        face.area.size() / (width * height) * (1.0 - 2.0 * off_x.hypot(off_y)).max(0.0)
    };
    faces.iter().max_by(|a, b| weight(a).total_cmp(&weight(b)))
}
