//! The command line as a person and as a machine use it: what it says, and its exit statuses.

use crate::support::{
    daemon::Board,
    photo_path,
    pictures::{self, grid},
};

fn path(photo: &str) -> String {
    photo_path(photo).display().to_string()
}

#[test]
fn a_person_is_enrolled_found_verified_listed_and_deleted() {
    let board = Board::new();
    let run = |args: &[&str]| board.run(&[args, &["--tenant", "main"]].concat());
    let (enrolled, again, stranger) = (path("obama.jpg"), path("obama2.jpg"), path("biden.jpg"));

    run(&["search", &again]).must(1, &["nobody"]);
    run(&["verify", "EMP-1", &again]).must(66, &["nobody is enrolled"]);
    run(&["enroll", "EMP-1", &enrolled, "--metadata", r#"{"name":"A B"}"#]).must(0, &["enrolled", "EMP-1", "quality"]);

    run(&["search", &again]).must(0, &["EMP-1"]);
    run(&["search", &stranger]).must(1, &["nobody"]);
    let found = run(&["search", &again, "--json"]).must(0, &[]).json();
    assert_eq!(found[0][0]["subject"], "EMP-1");
    assert_eq!(found[0][0]["metadata"]["name"], "A B");
    assert!(found[0][0]["similarity"].as_f64().is_some_and(|similarity| similarity > 0.6), "{found:?}");

    run(&["verify", "EMP-1", &again]).must(0, &["verified", "similarity"]);
    run(&["verify", "EMP-1", &again, "--threshold", "0.99"]).must(1, &["not verified"]);
    run(&["verify", "EMP-1", &stranger]).must(1, &["not verified"]);

    let listed = run(&["list", "--json"]).must(0, &[]).json();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["subject"], &listed[0]["verification_count"]), (&"EMP-1".into(), &1.into()));
    assert!(listed[0].get("embedding").is_none(), "a template is never printed");
    run(&["list", "--subject", "EMP-2"]).must(0, &[]);

    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    run(&["delete", "--embedding", &id, "--json"]).must(0, &["\"deleted\":1"]);
    run(&["delete", "--embedding", &id]).must(66, &["no"]);
    run(&["delete", "--subject", "EMP-1"]).must(66, &["nobody is enrolled"]);
    run(&["delete", "--all"]).must(0, &["deleted 0"]);
    run(&["search", &again]).must(1, &["nobody"]);
}

#[test]
fn photographs_that_are_no_good_are_refused_with_the_reason_and_nothing_is_stored() {
    let board = Board::new();
    let good = pictures::open("obama.jpg");
    let save = |name: &str, picture: &image::RgbImage| {
        let to = board.path(name);
        pictures::save(picture, &to);
        to.display().to_string()
    };
    let two = grid(&[good.clone(), pictures::open("biden.jpg")], 2, (600, 750));
    let cases = [
        (save("two.png", &two), "face"),
        (save("nobody.png", &image::RgbImage::from_pixel(640, 480, image::Rgb([90; 3]))), "no face"),
        (save("blurred.png", &image::imageops::fast_blur(&good, 14.0)), "hold still"),
        (board.write("text.jpg", "this is no picture").display().to_string(), "format"),
        (
            board
                .write("half.jpg", &std::fs::read(path("obama.jpg")).expect("a photograph")[..90_000])
                .display()
                .to_string(),
            "JPEG",
        ),
    ];
    for (file, said) in &cases {
        board.run(&["enroll", "EMP-1", file, "--tenant", "main"]).must(65, &[said]);
    }
    // A good photograph beside a bad one is not stored either.
    board.run(&["enroll", "EMP-1", &path("obama.jpg"), &cases[1].0, "--tenant", "main"]).must(65, &["nobody.png"]);
    board.run(&["enroll", "EMP-1", "no-such-file.jpg", "--tenant", "main"]).must(66, &["no-such-file.jpg"]);
    assert_eq!(board.run(&["list", "--tenant", "main", "--json"]).must(0, &[]).out, "");
}

#[test]
fn wrong_usage_is_told_from_wrong_configuration() {
    let board = Board::new();
    board.run(&["enrol"]).must(64, &["enroll"]);
    board.run(&["delete", "--tenant", "main"]).must(64, &["--all"]);
    board.run(&["search", &path("obama.jpg"), "--threshold", "1.5", "--tenant", "main"]).must(64, &["0 to 1"]);
    board.run(&["list", "--tenant", "No Spaces"]).must(64, &["a-z"]);
    board.run(&["list"]).must(64, &["--tenant"]);
    board.run(&["enroll", "E", &path("obama.jpg"), "--tenant", "main", "--metadata", "[]"]).must(64, &["JSON object"]);
    let wide = r#"{"card": 99999999999999999999}"#;
    board
        .run(&["enroll", "E", &path("obama.jpg"), "--tenant", "main", "--metadata", wide])
        .must(64, &["64 bits", "as text"]);
    board.run(&["--help"]).must(0, &["Exit status", "enroll"]);
    board.run(&["--version"]).must(0, &[env!("CARGO_PKG_VERSION")]);

    board.write("facegate.toml", "[models]\npakc = \"door\"\n");
    board.run(&["config", "show"]).must(78, &["facegate.toml:2", "did you mean 'pack'"]);
    board.run(&["check"]).must(1, &["FAIL", "did you mean 'pack'"]);
}

#[test]
fn the_configuration_is_shown_as_it_is_in_force() {
    let mut board = Board::with_door(&[photo_path("obama.jpg")]);
    board.set("gallery.keep_active", 3);
    let mut command = board.command(&["config", "show"]);
    command.env("FACEGATE__DOOR__0__PULSE_MS", "4321");
    let shown = crate::support::daemon::finish(command).must(0, &["pulse_ms = 4321", "keep_active = 3"]);
    let read: toml::Table = toml::from_str(&shown.out).expect("it is TOML");
    assert_eq!(read["door"][0]["access"]["votes"].as_integer(), Some(2), "defaults are shown too");
    let json = board.run(&["config", "show", "--json"]).must(0, &[]).json();
    assert_eq!(json[0]["gallery"]["keep_active"], 3);
    let example = board.run(&["config", "example"]).must(0, &["HIGHER IS STRICTER"]);
    toml::from_str::<toml::Table>(&example.out).expect("the example is TOML");
}

#[test]
fn keys_are_shown_once_work_at_once_and_stop_when_revoked() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    let daemon = board.start();
    let made = board.run(&["keys", "add", "main", "--label", "hr", "--json"]).must(0, &[]).json();
    let (id, key) = (made[0]["id"].as_str().expect("an id"), made[0]["key"].as_str().expect("a key"));
    let call = |key: &str| daemon.call("GET", "/v1/face-matching/embeddings", Some(key), None).status;
    assert_eq!(call(key), 200);
    let listed = board.run(&["keys", "list"]).must(0, &[id, "hr", "main"]);
    assert!(!listed.said().contains(key), "a key is shown once");
    board.run(&["keys", "revoke", id]).must(0, &["revoked"]);
    assert_eq!(call(key), 401);
    board.run(&["keys", "revoke", id]).must(66, &["no API key"]);
}

#[test]
fn check_finds_what_is_wrong_and_passes_what_is_right() {
    let mut board = Board::with_door(&[photo_path("obama.jpg")]);
    board.run(&["check"]).must(0, &["pack 'starter'", "store and index agree", "door 'front', camera", "none yet"]);
    let findings = board.run(&["check", "--json"]).must(0, &[]).json();
    assert!(findings.iter().all(|finding| finding["ok"] == true), "{findings:?}");

    board.set("models.pack", "starte");
    board.run(&["check"]).must(1, &["FAIL", "starte", "models list"]);
    board.set("models.pack", "starter");
    let nowhere = toml::toml! {
        source = "v4l"
        device = "no-such-camera"
    };
    board.set("door.0.camera", nowhere);
    board.run(&["check"]).must(1, &["FAIL", "no-such-camera"]);
    board.run(&["models", "list"]).must(0, &["starter", "(in use)", "MIT", "manifest's hashes"]);
}

#[test]
fn the_journal_is_shown_and_proven_and_a_change_in_it_is_found() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    let daemon = board.start();
    board.decisions("front", 0, 1, |decision| decision["outcome"] == "denied");
    daemon.stop();
    board.run(&["journal", "tail"]).must(0, &["started", "denied", "below_threshold", "stopped"]);
    assert_eq!(board.run(&["journal", "tail", "-n", "1", "--json"]).must(0, &[]).json().len(), 1);
    board.run(&["journal", "verify"]).must(0, &["unbroken"]);
    let file = board.path("journal/journal.ndjson");
    let text = std::fs::read_to_string(&file).expect("the journal");
    std::fs::write(&file, text.replacen("below_threshold", "agreed", 1)).expect("it can be written");
    board.run(&["journal", "verify"]).must(1, &["broken in journal.ndjson, line"]);
    board.run(&["check"]).must(1, &["journal", "broken in journal.ndjson, line"]);
}

#[test]
fn the_demo_opens_for_one_and_stays_shut_for_the_other() {
    let board = Board::new();
    let (enrolled, genuine, stranger) = (path("obama.jpg"), path("obama2.jpg"), path("biden.jpg"));
    let models = crate::support::models_dir().canonicalize().expect("the packs").display().to_string();
    let args = [
        "demo",
        "--json",
        "--models",
        &models,
        "--enrolled",
        &enrolled,
        "--genuine",
        &genuine,
        "--stranger",
        &stranger,
    ];
    let lines = board.run(&args).must(0, &[]).json();
    assert!(lines.iter().any(|line| line["granted"] == true && line["latency_ms"].as_f64() > Some(0.0)), "{lines:?}");
    assert!(lines.iter().any(|line| line["relay"] == true && line["latency_ms"].as_f64() > Some(0.0)), "{lines:?}");
    assert!(lines.iter().any(|line| line["granted"] == false), "{lines:?}");
    let missing =
        ["demo", "--models", &models, "--enrolled", &enrolled, "--genuine", &stranger, "--stranger", "nowhere.jpg"];
    board.run(&missing).must(66, &["nowhere.jpg"]);
}
