//! `facegate evaluate` and `calibrate` as a person uses them: what they say of folders good and bad, and what they leave behind.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{
    daemon::{Board, Ended},
    other_pack, photo, photo_path, pictures, without_calibration, without_curve,
};

/// A board with a folder `people`: two pictures of one person and one of another, and what else is named.
fn board(more: &[(&str, &[u8])]) -> Board {
    let board = Board::new();
    board.write("people/Obama/1.jpg", photo("obama.jpg"));
    board.write("people/Obama/2.jpg", photo("obama2.jpg"));
    board.write("people/Biden/1.jpg", photo("biden.jpg"));
    more.iter().for_each(|(name, bytes)| drop(board.write(&format!("people/{name}"), bytes)));
    board
}

fn evaluate(board: &Board, args: &[&str]) -> Ended {
    board.run(&[&["evaluate"], args].concat())
}

/// The report without what depends on the machine.
fn report(ended: Ended) -> Value {
    let mut report = ended.must(0, &[]).json().remove(0);
    report.as_object_mut().expect("an object").remove("time");
    report
}

#[test]
fn a_folder_gives_a_report_in_words_in_json_and_as_a_page() {
    let board = board(&[]);
    evaluate(&board, &["people", "--html", "page.html"]).must(
        0,
        &[
            "3 pictures of 2 people",
            "1 genuine and 2 impostor pairs",
            "FMR 1e-4",
            "threshold 0.60",
            "failure to acquire 0.00 %",
        ],
    );
    let page = std::fs::read_to_string(board.path("page.html")).expect("a page");
    for part in
        ["<svg", "Detection error trade-off", "Error against discard", "How scores are spread", "sha-256", "</html>"]
    {
        assert!(page.to_lowercase().contains(&part.to_lowercase()), "{part} is not in the page");
    }
    for outside in ["http:", "https:", "src=", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "the page asks for something outside of it: {outside}");
    }
    let report = report(evaluate(&board, &["people", "--json"]));
    assert_eq!((&report["images"], &report["subjects"], &report["every_pair"]), (&3.into(), &2.into(), &true.into()));
    assert_eq!(report["rates"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_run_that_was_cut_goes_on_and_ends_as_if_it_had_not_been() {
    let board = board(&[]);
    let whole = report(evaluate(&board, &["people", "--json", "--threads", "1"]));
    let kept = report(evaluate(&board, &["people", "--json", "--resume", "kept", "--threads", "2"]));
    assert_eq!(whole, kept, "threads and the file make no difference");
    let file = board.path("kept");
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let lines = std::fs::read_to_string(&file).expect("text");
    assert_eq!(lines.lines().count(), 4, "a line of what it is, and one a picture");
    // As a kill in the middle of the third picture leaves it.
    std::fs::write(&file, &lines[..lines.len() - 300]).expect("it can be written");
    assert_eq!(whole, report(evaluate(&board, &["people", "--json", "--resume", "kept"])));
    assert_eq!(whole, report(evaluate(&board, &["people", "--json", "--resume", "kept"])), "and once more");
    evaluate(&board, &["people", "--resume", "kept"]).must(0, &["holds templates", "delete it"]);
    evaluate(&board, &["people", "--resume", "people/Obama/1.jpg"]).must(74, &["cannot use people/Obama/1.jpg"]);
}

#[test]
fn a_saved_run_is_shown_again_and_set_beside_another() {
    let board = board(&[]);
    evaluate(&board, &["people", "--save", "a.json"]).must(0, &[]);
    evaluate(&board, &["people", "--enrolled", "frame", "--save", "b.json"]).must(0, &[]);
    let saved = std::fs::read_to_string(board.path("a.json")).expect("text");
    assert!(!saved.contains("Obama") && !saved.contains("Biden"), "a saved run has no names");
    evaluate(&board, &["a.json"]).must(0, &["3 pictures of 2 people"]);
    let beside = report(evaluate(&board, &["a.json", "--against", "b.json", "--json"]))["beside"].clone();
    assert_eq!((&beside["images"], &beside["left_out"]), (&3.into(), &serde_json::json!([0, 0])));
    // The starter pack makes an enrolment as it makes a frame: there is no difference at all.
    for at in beside["differences"].as_array().expect("rates") {
        assert_eq!((at["difference"].as_f64(), &at["interval"]), (Some(0.0), &serde_json::json!([0.0, 0.0])), "{at}");
    }
    evaluate(&board, &["people", "--against", "starter", "--html", "page.html"]).must(0, &["beside pack 'starter'"]);
    assert!(std::fs::read_to_string(board.path("page.html")).expect("a page").contains("Two runs beside each other"));
    evaluate(&board, &["a.json", "--against", "starter"]).must(66, &["another pack needs the photographs"]);
    board.write("c.json", "{}");
    evaluate(&board, &["c.json"]).must(64, &["c.json is no result"]);
}

#[test]
fn what_is_wrong_with_a_folder_is_told_and_the_rest_goes_on() {
    let board = board(&[("Obama/torn.jpg", &photo("obama.jpg")[..2000]), ("stray.jpg", b"no name")]);
    std::fs::create_dir(board.path("people/Nobody")).expect("a folder");
    pictures::save(&image::RgbImage::from_pixel(320, 240, image::Rgb([90; 3])), &board.path("people/Nobody/wall.png"));
    evaluate(&board, &["people"]).must(
        0,
        &[
            "1 files cannot be read as pictures and are left out: Obama/torn.jpg",
            "1 pictures have no face that was found; their comparisons count as not matching: Nobody/wall.png",
            "1 pictures are left out: their names say nobody's name, and they are in nobody's folder: stray.jpg",
            "1 genuine",
        ],
    );
    std::fs::create_dir(board.path("empty")).expect("a folder");
    evaluate(&board, &["empty"]).must(66, &["empty gives no pairs to compare: it has no picture that can be read"]);
    evaluate(&board, &["people/Obama"]).must(66, &["gives no pairs to compare"]);
    evaluate(&board, &["nowhere"]).must(66, &["cannot read nowhere"]);
    board.write("each/A_0001.jpg", photo("obama.jpg"));
    board.write("each/B_0001.jpg", photo("biden.jpg"));
    evaluate(&board, &["each"]).must(66, &["there is but one picture of each person"]);
    board.write("one/A_0001.jpg", photo("obama.jpg"));
    board.write("one/A_0002.jpg", photo("obama2.jpg"));
    evaluate(&board, &["one"]).must(66, &["all pictures are of one person"]);
}

#[test]
fn pairs_and_labels_that_match_nothing_are_counted_and_the_rest_goes_on() {
    let board = board(&[]);
    board.write(
        "pairs.tsv",
        "image_a\timage_b\tsame\nObama/1.jpg\tObama/2.jpg\t1\nObama/1.jpg\tBiden/1.jpg\t0\nObama/1.jpg\tgone.jpg\t0\n",
    );
    board.write("labels.csv", "person,group\nObama,first\nBiden/1.jpg,second\nCarter,frist\n");
    let ended = evaluate(&board, &["people", "--pairs", "pairs.tsv", "--groups", "labels.csv"]);
    ended.must(
        0,
        &[
            "1 genuine and 1 impostor pairs",
            "1 pictures of the list of pairs are not in the folder; their pairs are left out: gone.jpg",
            "1 labels name no person and no picture of the folder: Carter",
            "1 groups are left out: no picture of the folder is of them: frist",
            "first: 2 pictures of 1 people",
            "first with second: FMR",
        ],
    );
    // LFW's own form: two folds of one pair of either sort.
    for (name, file) in
        [("A_0001", "obama.jpg"), ("A_0002", "obama2.jpg"), ("B_0001", "biden.jpg"), ("B_0002", "biden.jpg")]
    {
        board.write(&format!("lfw/{name}.jpg"), photo(file));
    }
    board.write("pairs.txt", "2\t1\nA\t1\t2\nA\t1\tB\t1\nB\t1\t2\nA\t2\tB\t2\n");
    let report = report(evaluate(&board, &["lfw", "--pairs", "pairs.txt", "--json"]));
    assert_eq!((&report["genuine_pairs"], &report["impostor_pairs"]), (&2.into(), &2.into()));
    assert_eq!((report["folds"]["accuracy"].as_f64(), &report["folds"]["folds"][1]["pairs"]), (Some(1.0), &2.into()));
    assert_eq!(report["open_set"], serde_json::json!([]), "a list of pairs is no gallery");

    board.write("bad.csv", "Obama first\n");
    evaluate(&board, &["people", "--groups", "bad.csv"]).must(64, &["bad.csv, line 1", "a tab or comma"]);
    board.write("bad.txt", "a b\n");
    evaluate(&board, &["people", "--pairs", "bad.txt"]).must(64, &["bad.txt, line 1"]);
}

#[test]
fn a_pack_without_a_calibration_can_be_measured_but_runs_no_door() {
    let mut board = board(&[]);
    use_pack(&mut board, without_calibration);
    evaluate(&board, &["people"]).must(0, &["the pack is not calibrated", "FMR 1e-4"]);
    board
        .run(&["enroll", "A", "people/Obama/1.jpg", "--tenant", "main"])
        .must(69, &["has no [recogniser.calibration]", "facegate calibrate"]);
    board.run(&["calibrate", "people", "--data", "three"]).must(66, &["too few to calibrate by"]);
    board.run(&["check"]).must(1, &["has no [recogniser.calibration]", "facegate calibrate"]);
    board.run(&["run"]).must(69, &["has no [recogniser.calibration]"]);
}

#[test]
fn a_calibration_says_what_of_the_folder_it_is_not_made_of() {
    let board = board(&[("Obama/torn.jpg", &photo("obama.jpg")[..2000]), ("stray.jpg", b"no name")]);
    let calibrate = |folder: &str| board.run(&["calibrate", folder, "--data", "ours"]);
    calibrate("people").must(
        66,
        &[
            "note: 1 files cannot be read as pictures and are left out: Obama/torn.jpg",
            "note: 1 pictures are left out: their names say nobody's name, and they are in nobody's folder: stray.jpg",
            "note: 1 people have but one picture",
            "too few to calibrate by",
        ],
    );
    std::fs::create_dir(board.path("empty")).expect("a folder");
    calibrate("empty").must(66, &["empty gives no pairs to compare: it has no picture that can be read"]);
    calibrate("nowhere").must(66, &["cannot read nowhere"]);
}

#[test]
fn tracks_of_which_some_frames_are_torn_are_judged_by_the_others() {
    let board = Board::new();
    std::fs::create_dir(board.path("tracks")).expect("a folder");
    let judge = || evaluate(&board, &["tracks", "--pad"]);
    judge().must(66, &["tracks holds no tracks", "live/"]);
    evaluate(&board, &["nowhere", "--pad"]).must(66, &["cannot read"]);
    board.write("tracks/live/one/1.jpg", photo("obama.jpg"));
    board.write("tracks/live/one/2.jpg", &photo("obama.jpg")[..2000]);
    board.write("tracks/live/one/notes.txt", "no picture");
    std::fs::create_dir_all(board.path("tracks/print/two")).expect("a folder");
    pictures::save(
        &image::RgbImage::from_pixel(320, 240, image::Rgb([90; 3])),
        &board.path("tracks/print/two/wall.png"),
    );
    judge().must(
        0,
        &["1 frames unreadable", "live: BPCER", "of 1 tracks, 0 without a face", "print: APCER", "1 without a face"],
    );
}

#[test]
fn a_door_set_by_a_chance_needs_a_pack_with_a_curve() {
    let mut board = Board::with_door(&[photo_path("obama.jpg")]);
    board.set("door.0.access.false_accept", "1 in 1,000");
    use_pack(&mut board, without_curve);
    board.run(&["check"]).must(
        1,
        &[
            "door 'front', false_accept",
            "the pack's calibration has no curve",
            "facegate calibrate",
            "access.threshold",
        ],
    );
    board.run(&["run"]).must(78, &["the pack's calibration has no curve"]);
}

/// Has the board use the starter pack with another manifest.
fn use_pack(board: &mut Board, change: impl FnOnce(&mut toml::Table)) {
    other_pack(&board.path("models"), "bare", change);
    board.set("models.dir", "models");
    board.set("models.pack", "bare");
}
