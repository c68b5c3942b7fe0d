//! Tests of the gallery as a whole, on the real LMDB and the real FAISS.

mod access;
mod crash;
mod damage;
mod fleet;
mod following;
mod full;
mod model;
mod pages;
mod photographs;
mod requests;
mod sealing;
mod speed;
mod subjects;
mod tenants;
mod transfer;
mod usage;

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::*;
use crate::{
    clock::SimulatedClock,
    vision::{DIMENSION, Embedding},
};

const MODEL: &str = "test-recogniser-1";

/// A folder in memory where there is such a thing: the tests are not about the disk's speed.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(dir) = tempfile::tempdir_in(memory)
    {
        return dir;
    }
    tempfile::tempdir().unwrap()
}

fn settings(dir: &Path) -> Settings {
    Settings {
        dir: dir.join("gallery"),
        max_mb: 128,
        keep_active: 3,
        max_metadata_bytes: 4096,
        keep_photographs: false,
    }
}

fn clock() -> SimulatedClock {
    SimulatedClock::new("2026-11-20T08:00:00Z".parse::<Timestamp>().unwrap())
}

fn open(dir: &Path) -> Gallery {
    Gallery::open(&settings(dir), MODEL, Arc::new(clock())).unwrap()
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn subject(name: &str) -> SubjectId {
    name.parse().unwrap()
}

/// A template's numbers before they are made one long, from −1 to 1: Marsaglia's xorshift, the same for the same seed.
pub(super) fn numbers(seed: u64) -> [f32; DIMENSION] {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// A face: the same for the same seed, nearly orthogonal for another.
fn face(seed: u64) -> Embedding {
    Embedding::normalised(&numbers(seed.wrapping_add(1))).unwrap()
}

fn new(name: &str, seed: u64) -> NewEnrolment {
    NewEnrolment {
        subject: subject(name),
        embedding: face(seed),
        quality_score: 0.75,
        liveness_score: None,
        source: None,
        metadata: None,
        photograph: None,
    }
}

fn with_metadata(mut enrolment: NewEnrolment, bytes: usize) -> NewEnrolment {
    enrolment.metadata = Some(Map::from_iter([("note".to_owned(), Value::String("x".repeat(bytes)))]));
    enrolment
}

/// The test binary, running one of its tests as another process that knows it is meant.
fn child(test: &str, dir: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, dir);
    command
}

const CHILD: &str = "FACEGATE_TEST_CHILD_OF";

/// Where the process that started this one wants it to work, if it did.
fn as_child() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD).map(Into::into)
}

#[track_caller]
fn assert_sound(gallery: &Gallery) {
    let report = gallery.check().unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
}
