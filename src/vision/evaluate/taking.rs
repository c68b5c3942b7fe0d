//! Pictures through the networks: the templates of each, its quality, and how long it took.

use std::time::Instant;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::{Options, kept::Kept, parallel, people::Picture};
use crate::{
    error::{Error, Kind, Result},
    intake,
    vision::{
        Embedding, Face, Landmarks,
        engine::{Networks, Session},
        quality::{self, Quality},
        template::{Look, Purpose},
    },
};

/// What a picture gave.
#[derive(Clone)]
pub struct Taken {
    /// Whose it is.
    pub subject: usize,
    /// What it is enrolled as, and what it is looked for with. None where there is no face, or none of which a template can be
    /// made: a failure to acquire.
    pub templates: Option<Templates>,
    /// None without a face.
    pub quality: Option<Quality>,
}

impl Taken {
    /// A picture whose quality nobody knows.
    pub fn of(subject: usize, templates: Option<Templates>) -> Self {
        Self { subject, templates, quality: None }
    }
}

/// The two templates of one picture.
#[derive(Clone)]
pub struct Templates {
    pub enrolled: Embedding,
    pub probe: Embedding,
}

/// What became of a picture.
#[derive(Clone)]
pub enum Outcome {
    /// The file cannot be read, or is no picture.
    Unreadable,
    NoFace,
    /// A face whose landmarks are all in one place.
    NoTemplate,
    Seen(Templates, Quality),
}

/// Mean times for one picture in milliseconds. Both templates of a picture are made at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// The mean of several.
    pub fn mean(all: &[Self]) -> Self {
        let of = |part: fn(&Self) -> f64| all.iter().map(part).sum::<f64>() / all.len().max(1) as f64;
        Self {
            decode: of(|time| time.decode),
            detector: of(|time| time.detector),
            landmarks: of(|time| time.landmarks),
            recogniser: of(|time| time.recogniser),
            around: of(|time| time.around),
        }
    }
}

/// A picture that is done.
pub struct Shot {
    pub outcome: Outcome,
    pub time: Time,
    /// The file's hash, by which it is known in another run.
    pub hash: String,
}

/// Every picture through the networks, or out of the file of an earlier run. `progress` is told of each with the number of all.
///
/// # Errors
/// [`Kind::Model`] where a network fails, [`Kind::Io`] where the file cannot be written. A picture that cannot be used is an
/// outcome.
pub fn take(
    networks: &Networks,
    pictures: &[Picture],
    options: &Options,
    progress: impl Fn(usize) + Sync,
) -> Result<Vec<Shot>> {
    let kept = options.resume.as_deref().map(|file| Kept::open(file, networks, options)).transpose()?;
    // A session is made for the first picture that needs one: all may be known.
    parallel::each(
        options.threads,
        pictures.len(),
        || Ok(None),
        |session: &mut Option<Session>, at| {
            let bytes = std::fs::read(&pictures[at].path).unwrap_or_default();
            let known = kept.as_ref().and_then(|kept| kept.get(&bytes));
            let (outcome, time) = match known {
                Some(known) => known,
                None => {
                    if session.is_none() {
                        *session = Some(networks.session()?);
                    }
                    let session = session.as_mut().expect("one was just made where there was none");
                    let taken = one(session, &bytes, options)?;
                    kept.as_ref().map_or(Ok(()), |kept| kept.add(&bytes, &taken))?;
                    taken
                }
            };
            progress(pictures.len());
            Ok(Shot { outcome, time, hash: blake3::hash(&bytes).to_hex()[..16].to_owned() })
        },
    )
}

fn one(session: &mut Session, file: &[u8], options: &Options) -> Result<(Outcome, Time)> {
    let begun = Instant::now();
    let Ok(picture) = intake::decode(file, &intake::Limits::default()) else {
        return Ok((Outcome::Unreadable, Time::default()));
    };
    let decode = begun.elapsed();
    // A door's frame is looked at as a door does.
    let faces = if [options.enrolled, options.probe].contains(&Purpose::Frame) {
        session.detect(&picture)?
    } else {
        session.detect_in_photograph(&picture)?
    };
    let outcome = match main_face(&picture, &faces) {
        None => Outcome::NoFace,
        Some(face) => match templates(session, &picture, &face.landmarks, options) {
            Ok(templates) => Outcome::Seen(templates, quality::assess(&picture, face, &options.quality)),
            Err(error) if error.kind() == Kind::FaceQualityTooLow => Outcome::NoTemplate,
            Err(error) => return Err(error),
        },
    };
    let timings = session.timings();
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let time = Time {
        decode: ms(decode),
        detector: ms(timings.detect_network),
        landmarks: ms(timings.landmarks_network),
        recogniser: ms(timings.embed_network),
        around: ms(timings.around()),
    };
    Ok((outcome, time))
}

/// Both templates of a face; looks that both are made of are taken once.
fn templates(session: &mut Session, picture: &RgbImage, landmarks: &Landmarks, options: &Options) -> Result<Templates> {
    let looks_for = |purpose: Purpose| session.looks(purpose);
    let (enrolled, probe) = (looks_for(options.enrolled), looks_for(options.probe));
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
pub fn main_face<'a>(picture: &RgbImage, faces: &'a [Face]) -> Option<&'a Face> {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let weight = |face: &Face| {
        let off_x = (face.area.left + face.area.width / 2.0) / width - 0.5;
        let off_y = (face.area.top + face.area.height / 2.0) / height - 0.5;
        face.area.size() / (width * height) * (1.0 - 2.0 * off_x.hypot(off_y)).max(0.0)
    };
    faces.iter().max_by(|a, b| weight(a).total_cmp(&weight(b)))
}
