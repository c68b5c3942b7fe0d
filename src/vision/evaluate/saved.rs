//! A run that was saved: its report, and its comparisons number by number, so that another run can be compared with it.
//!
//! It holds no template and no name: people are known by a hash of their names, pictures by one of their bytes. Who has the
//! names can make those hashes too, so it is a pseudonym, not anonymity.

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{
    Report,
    comparisons::{Comparisons, Extent, Score},
    report::Note,
};
use crate::error::{Context, Error, Kind, Result};

/// The form of such a file.
const FORMAT: u32 = 1;

/// A run.
#[derive(Clone)]
pub struct Run {
    pub report: Report,
    pub(super) comparisons: Comparisons,
    /// By person.
    pub(super) people: Vec<String>,
    /// By picture.
    pub(super) pictures: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    facegate_result: u32,
    report: Report,
    every_pair: bool,
    people: Vec<String>,
    pictures: Vec<String>,
    /// The person of each picture.
    subjects: Vec<u32>,
    /// Enrolled, probe and cosine: twelve bytes each, the lowest first, in base64.
    genuine: String,
    /// The same of the impostors that came nearest to matching; all of them where pairs were listed.
    near_impostors: String,
    genuine_scores: Vec<u64>,
    impostor_scores: Vec<u64>,
}

/// By what a name is known in a saved run.
pub fn pseudonym(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex()[..16].to_owned()
}

impl Run {
    /// Writes it down.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let Comparisons { extent, subjects, genuine, near_impostors, scores, .. } = &self.comparisons;
        // What is left out is told by its number here, not by its name.
        let notes = self.report.notes.iter().map(|note| Note { first: Vec::new(), ..note.clone() }).collect();
        let stored = Stored {
            facegate_result: FORMAT,
            report: Report { notes, ..self.report.clone() },
            every_pair: *extent == Extent::All,
            people: self.people.clone(),
            pictures: self.pictures.clone(),
            subjects: subjects.clone(),
            genuine: packed(genuine),
            near_impostors: packed(near_impostors),
            genuine_scores: scores.genuine.clone(),
            impostor_scores: scores.impostors.clone(),
        };
        let text = serde_json::to_string(&stored)
            .map_err(|error| Error::new(Kind::Internal, "a result cannot be written as JSON").source(error))?;
        std::fs::write(path, text + "\n").context(Kind::Io, || format!("cannot write {}", path.display()))
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where there is no such file, [`Kind::InvalidField`] where it is none that was saved.
    pub fn load(path: &Path, threads: usize) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).context(Kind::NotFound, || format!("cannot read {}", path.display()))?;
        Self::parse(&text, threads).map_err(|what| {
            Error::new(Kind::InvalidField, format!("{} is no result that this facegate reads: {what}", path.display()))
                .help("`facegate evaluate FOLDER --save FILE` writes one")
        })
    }

    fn parse(text: &str, threads: usize) -> Result<Self, String> {
        let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if stored.facegate_result != FORMAT {
            return Err(format!("it is of form {}, not {FORMAT}", stored.facegate_result));
        }
        let (people, pictures) = (stored.people.len(), stored.pictures.len());
        let extent = if stored.every_pair { Extent::All } else { Extent::Listed };
        let mut comparisons = Comparisons::empty(extent, stored.subjects, people, threads);
        let sound = comparisons.subjects.len() == pictures
            && comparisons.subjects.iter().all(|&person| (person as usize) < people)
            && stored.genuine_scores.len() == comparisons.scores.genuine.len()
            && stored.impostor_scores.len() == comparisons.scores.impostors.len();
        let scores = |text: &str| unpacked(text).filter(|all| all.iter().all(|one| one.is_of(pictures)));
        let (genuine, near) = (scores(&stored.genuine), scores(&stored.near_impostors));
        let (Some(genuine), Some(near), true) = (genuine, near, sound) else {
            return Err("its comparisons are not those of its pictures".into());
        };
        (comparisons.genuine, comparisons.near_impostors) = (genuine, near);
        comparisons.scores.genuine = stored.genuine_scores;
        comparisons.scores.impostors = stored.impostor_scores;
        let comparisons = comparisons.finish();
        Ok(Self { report: stored.report, comparisons, people: stored.people, pictures: stored.pictures })
    }
}

impl Score {
    fn is_of(&self, pictures: usize) -> bool {
        (self.enrolled as usize) < pictures && (self.probe as usize) < pictures && (-1.0..=1.0).contains(&self.cosine)
    }
}

fn packed(scores: &[Score]) -> String {
    let bytes = scores.iter().flat_map(|score| {
        [score.enrolled.to_le_bytes(), score.probe.to_le_bytes(), score.cosine.to_le_bytes()].concat()
    });
    BASE64_STANDARD.encode(bytes.collect::<Vec<u8>>())
}

fn unpacked(text: &str) -> Option<Vec<Score>> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let (scores, rest) = bytes.as_chunks::<12>();
    let scores = scores.iter().map(|bytes| {
        let [enrolled, probe, cosine] = *bytes.as_chunks::<4>().0 else { return None };
        let (enrolled, probe) = (u32::from_le_bytes(enrolled), u32::from_le_bytes(probe));
        Some(Score { enrolled, probe, cosine: f32::from_le_bytes(cosine) })
    });
    rest.is_empty().then(|| scores.collect())?
}
