//! The quality gate over faces from outside the project.

use std::path::PathBuf;

use facegate::vision::{
    engine::Engine,
    models::Pack,
    quality::{Limits, assess},
};
use image::imageops::blur;

use crate::support::models_dir;

/// What `docs/quality.md` says of the gate, with the program's own measures.
#[test]
fn the_quality_gate_lets_good_photographs_pass_and_blurred_ones_not() {
    let frames = std::env::var_os("FACEGATE_EVAL").map(|eval| PathBuf::from(eval).join("lfw/frames"));
    let Some(frames) = frames.filter(|frames| frames.is_dir()) else {
        eprintln!("skipped: set FACEGATE_EVAL to a folder with lfw/frames to measure quality");
        return;
    };
    let Ok(pack) = Pack::open(&models_dir(), "door") else {
        eprintln!("skipped: the pack 'door' is not here (models/fetch door)");
        return;
    };
    let engine = Engine::load(&pack).expect("the networks run");
    let mut session = engine.session().expect("the networks run");
    let mut files: Vec<_> =
        std::fs::read_dir(frames).expect("it is there").flatten().map(|entry| entry.path()).collect();
    files.sort();
    let (door, enrolment) = (Limits::door().score, Limits::enrolment().score);
    let mut scores = [0.0, 2.0, 3.0, 4.0].map(|sigma| (sigma, Vec::new()));
    for file in files.iter().step_by(16) {
        let picture = image::open(file).expect("a photograph").into_rgb8();
        for (sigma, scores) in &mut scores {
            let blurred = if *sigma > 0.0 { blur(&picture, *sigma) } else { picture.clone() };
            let faces = session.detect(&blurred).expect("the networks run");
            scores.extend(faces.first().map(|face| assess(&blurred, face, &Limits::door()).score));
        }
    }
    let passing = |at: usize, limit: f32| {
        let (_, scores) = &scores[at];
        scores.iter().filter(|score| **score >= limit).count() as f64 / scores.len() as f64
    };
    assert!(passing(0, door) > 0.99 && passing(0, enrolment) > 0.97, "{}", passing(0, enrolment));
    let enrolled = [1, 2, 3].map(|at| passing(at, enrolment));
    assert!((0.6..0.95).contains(&enrolled[0]) && enrolled[1] < 0.4 && enrolled[2] < 0.1, "{enrolled:?}");
    assert!(passing(1, door) > 0.97 && passing(3, door) < 0.95, "{} {}", passing(1, door), passing(3, door));
}
