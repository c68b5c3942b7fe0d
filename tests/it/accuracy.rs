//! The error rates that each pack is shipped for, over faces from outside the project. A detector or an alignment that is off
//! by a pixel shows here at once.

use std::path::PathBuf;

use facegate::vision::{engine::Engine, evaluate, models::Pack};

use crate::support::models_dir;

fn assert_rates(pack: &str, most_at_1e_3: f64, most_at_1e_4: f64) {
    let frames = std::env::var_os("FACEGATE_EVAL").map(|eval| PathBuf::from(eval).join("lfw/frames"));
    let Some(frames) = frames.filter(|frames| frames.is_dir()) else {
        eprintln!("skipped: set FACEGATE_EVAL to a folder with lfw/frames to measure error rates");
        return;
    };
    if !models_dir().join(pack).join("recogniser.onnx").exists() {
        eprintln!("skipped: the pack '{pack}' is not here (models/fetch {pack})");
        return;
    }
    let engine = Engine::load(&Pack::open(&models_dir(), pack).expect("the pack opens")).expect("the networks run");
    let report = evaluate::evaluate(&engine, &frames, 2, || ()).expect("the folder can be evaluated");
    assert_eq!((report.unreadable, report.without_face), (0, 0));
    let rates = [report.rates[0].fnmr, report.rates[1].fnmr];
    assert!(rates[0] <= most_at_1e_3 && rates[1] <= most_at_1e_4, "{report:#?}");
    // The calibration that ships: similarity 0.6 stands for a false match rate of 1 in 10,000.
    let similarity = engine.calibration().similarity(report.rates[1].cosine);
    assert!((similarity - 0.6).abs() < 0.03, "at FMR 1e-4 the similarity is {similarity}");
}

#[test]
fn the_door_pack_keeps_its_error_rates() {
    assert_rates("door", 0.010, 0.024);
}

#[test]
fn the_starter_pack_keeps_its_error_rates() {
    assert_rates("starter", 0.03, 0.07);
}
