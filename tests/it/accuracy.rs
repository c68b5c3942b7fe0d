//! The error rates that each pack is shipped for, over faces from outside the project. A detector or an alignment that is off
//! by a pixel shows here at once.

use std::path::PathBuf;

use facegate::vision::{
    engine::Engine,
    evaluate::{self, Options},
    models::Pack,
};

use crate::support::models_dir;

/// `most` is the highest FNMR at FMR 1e-3, 1e-4 and 1e-5.
fn assert_rates(pack: &str, most: [f64; 3]) {
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
    let report = evaluate::evaluate(&engine, &frames, &Options { threads: 2, ..Options::default() }, || ())
        .expect("the folder can be evaluated");
    assert_eq!((report.unreadable, report.without_face), (0, 0));
    let [_, at_1e_3, at_1e_4, at_1e_5, _] = report.rates[..] else { panic!("{report:#?}") };
    let rates = [at_1e_3, at_1e_4, at_1e_5].map(|rate| rate.fnmr);
    assert!(rates.iter().zip(most).all(|(rate, most)| *rate <= most), "{report:#?}");
    // The calibration that ships: similarity 0.6 stands for a false match rate of 1 in 10,000.
    let similarity = engine.calibration().similarity(at_1e_4.cosine);
    assert!((similarity - 0.6).abs() < 0.01, "at FMR 1e-4 the similarity is {similarity}");
    // Doors that are set by a chance keep it, with the people who are not enrolled as strangers.
    let asked: Vec<_> = report.open_set.iter().map(|open| (open.enrolled, open.one_in)).collect();
    assert_eq!(asked, [(100, 20), (100, 100), (500, 20), (500, 100), (1000, 20), (1000, 100)]);
    for open in &report.open_set {
        let asked = 1.0 / f64::from(open.one_in);
        assert!(open.fpir_range[0] <= asked && asked <= open.fpir_range[1], "not within the draws: {open:?}");
        assert!((asked * 0.5..asked * 1.2).contains(&open.fpir), "{open:?}");
    }
}

#[test]
fn the_door_pack_keeps_its_error_rates() {
    assert_rates("door", [0.0055, 0.013, 0.026]);
}

#[test]
fn the_starter_pack_keeps_its_error_rates() {
    assert_rates("starter", [0.03, 0.07, 0.1]);
}
