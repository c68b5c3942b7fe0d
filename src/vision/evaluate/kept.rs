//! The file by which an interrupted run goes on: what each picture gave, a line each.
//!
//! It holds templates, which are biometric data: only its owner may read it, and it is to be deleted when the evaluation is over.
//! What is in it counts for the same bytes of a picture, the same networks, the same templates asked for, and the same build of
//! this program: another build may align differently, and a comparison of two builds would compare one with itself.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions, Permissions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    Options,
    taking::{Outcome, Templates, Time},
};
use crate::{
    error::{Context, Error, Kind, Result},
    vision::{DIMENSION, Embedding, engine::Networks, quality::Quality},
};

/// The first line of such a file.
const HEAD: &str = r#"{"facegate_evaluate":1,"holds":"biometric templates; delete it when the evaluation is over"}"#;

/// What pictures gave, in memory and in the file.
pub struct Kept {
    /// What the networks, the templates and the program are, hashed.
    run: blake3::Hash,
    known: HashMap<String, Record>,
    file: Mutex<File>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Record {
    /// Hash of the picture and the run.
    key: String,
    time: Time,
    #[serde(flatten)]
    outcome: Stored,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Stored {
    NoFace,
    NoTemplate,
    /// Templates as little-endian floats in base64.
    Seen {
        enrolled: String,
        probe: String,
        quality: Quality,
    },
}

impl Kept {
    /// Opens the file or begins it.
    ///
    /// # Errors
    /// [`Kind::Io`] where it cannot be read or written, or is a file of another sort: that is left as it is.
    pub fn open(path: &Path, networks: &Networks, options: &Options) -> Result<Self> {
        let program = std::fs::read("/proc/self/exe").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").into());
        let Options { enrolled, probe, quality, .. } = options;
        let asked = format!("{:?} {enrolled:?} {probe:?} {quality:?}", networks.identity());
        let run = blake3::Hasher::new().update(&program).update(asked.as_bytes()).finalize();
        Self::open_for(path, run).context(Kind::Io, || format!("cannot use {}", path.display()))
    }

    fn open_for(path: &Path, run: blake3::Hash) -> std::io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        if text.is_empty() {
            file.write_all(format!("{HEAD}\n").as_bytes())?;
        } else if text.lines().next() != Some(HEAD) {
            return Err(std::io::Error::new(ErrorKind::InvalidData, "it is no file that --resume wrote"));
        } else if !text.ends_with('\n') {
            // The line at which the run was cut stands alone, and is passed over.
            file.write_all(b"\n")?;
        }
        // It may have been copied here by somebody who did not know what it holds.
        file.set_permissions(Permissions::from_mode(0o600))?;
        let records = text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok());
        let known = records.map(|record| (record.key.clone(), record)).collect();
        Ok(Self { run, known, file: Mutex::new(file) })
    }

    fn key(&self, picture: &[u8]) -> String {
        blake3::keyed_hash(self.run.as_bytes(), picture).to_hex().to_string()
    }

    /// What that picture gave in an earlier run.
    pub fn get(&self, picture: &[u8]) -> Option<(Outcome, Time)> {
        let record = self.known.get(&self.key(picture))?;
        let outcome = match &record.outcome {
            Stored::NoFace => Outcome::NoFace,
            Stored::NoTemplate => Outcome::NoTemplate,
            Stored::Seen { enrolled, probe, quality } => {
                Outcome::Seen(Templates { enrolled: read(enrolled)?, probe: read(probe)? }, quality.clone())
            }
        };
        Some((outcome, record.time))
    }

    /// Writes down what it gave. A file that cannot be read is looked at again at every run.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn add(&self, picture: &[u8], (outcome, time): &(Outcome, Time)) -> Result<()> {
        let outcome = match outcome {
            Outcome::Unreadable => return Ok(()),
            Outcome::NoFace => Stored::NoFace,
            Outcome::NoTemplate => Stored::NoTemplate,
            Outcome::Seen(Templates { enrolled, probe }, quality) => {
                Stored::Seen { enrolled: written(enrolled), probe: written(probe), quality: quality.clone() }
            }
        };
        let record = Record { key: self.key(picture), time: *time, outcome };
        let line = serde_json::to_string(&record)
            .map_err(|error| Error::new(Kind::Internal, "what a picture gave cannot be written down").source(error))?;
        let written = self.file.lock().write_all(format!("{line}\n").as_bytes());
        written.context(Kind::Io, || "cannot write the file of --resume".to_owned())
    }
}

fn written(template: &Embedding) -> String {
    BASE64_STANDARD.encode(template.as_slice().iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// Number for number what was written: a template that were brought to unit length again would not be the same.
fn read(text: &str) -> Option<Embedding> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    let vector: Box<[f32; DIMENSION]> = Box::new(values.try_into().ok()?);
    let norm: f32 = vector.iter().map(|value| value * value).sum();
    ((norm - 1.0).abs() < 1e-3).then_some(Embedding(vector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::quality::Measures;

    fn seen(seed: f32) -> (Outcome, Time) {
        let raw: Vec<f32> = (0..DIMENSION).map(|at| (at as f32 * seed).sin()).collect();
        let enrolled = Embedding::normalised(&raw).unwrap();
        let quality = Quality { score: 0.1 + seed, reasons: Vec::new(), measures: Measures::default() };
        let probe = Embedding::normalised(&raw[..].iter().rev().copied().collect::<Vec<_>>()).unwrap();
        (Outcome::Seen(Templates { enrolled, probe }, quality), Time { decode: 1.5, ..Time::default() })
    }

    fn open(path: &Path, run: &str) -> std::io::Result<Kept> {
        Kept::open_for(path, blake3::hash(run.as_bytes()))
    }

    #[test]
    fn what_was_written_is_read_number_for_number_until_the_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        let kept = open(&path, "run").unwrap();
        for (picture, taken) in [("a", seen(0.3)), ("b", (Outcome::NoFace, Time::default())), ("c", seen(0.7))] {
            kept.add(picture.as_bytes(), &taken).unwrap();
        }
        kept.add(b"broken", &(Outcome::Unreadable, Time::default())).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 100]).unwrap();

        let kept = open(&path, "run").unwrap();
        let (Some((Outcome::Seen(read, quality), time)), (Outcome::Seen(first, graded), _)) =
            (kept.get(b"a"), seen(0.3))
        else {
            panic!("the first is known")
        };
        assert!(read.enrolled == first.enrolled && read.probe == first.probe && quality == graded);
        assert_eq!(time.decode, 1.5);
        assert!(matches!(kept.get(b"b"), Some((Outcome::NoFace, _))));
        assert!(kept.get(b"c").is_none(), "the run was cut in it");
        assert!(kept.get(b"broken").is_none() && kept.get(b"d").is_none());
        kept.add(b"c", &seen(0.7)).unwrap();
        assert!(open(&path, "run").unwrap().get(b"c").is_some(), "what comes after the cut is read");
        assert!(open(&path, "other networks").unwrap().get(b"a").is_none());
    }

    #[test]
    fn a_file_of_another_sort_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter");
        std::fs::write(&path, "Dear all,\n").unwrap();
        assert!(open(&path, "run").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "Dear all,\n");
    }
}
