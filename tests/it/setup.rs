//! A board's first door by `facegate setup`, and what packages are made with.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use crate::support::{
    daemon::{Board, Ended, finish},
    models_dir, photo_path,
};

fn text(path: &std::path::Path) -> String {
    path.display().to_string()
}

/// A board without a configuration, and the options that answer what has no default.
fn bare() -> (Board, Vec<String>) {
    let board = Board::new();
    fs::remove_file(board.path("facegate.toml")).expect("it was there");
    let models = models_dir().canonicalize().expect("the packs");
    let args = [
        "setup",
        "--no-service",
        "--data",
        &text(&board.path("data")),
        "--models",
        &text(&models),
        "--pack",
        "starter",
    ];
    (board, args.map(str::to_owned).to_vec())
}

fn with(args: &[String], more: &[&str]) -> Vec<String> {
    args.iter().cloned().chain(more.iter().map(|arg| (*arg).to_owned())).collect()
}

#[test]
fn a_door_is_set_up_without_a_question_and_opens() {
    let (board, args) = bare();
    let (photo, snapshot) = (text(&photo_path("obama2.jpg")), text(&board.path("seen.png")));
    let answers = with(
        &args,
        &["--yes", "--json", "--name", "yard", "--camera", &photo, "--lock", "simulated", "--snapshot", &snapshot],
    );
    let said = board.run(&answers).must(0, &[]);
    let lines = said.json();
    assert_eq!((&lines[0]["width"], &lines[0]["height"]), (&640.into(), &480.into()), "{}", said.out);
    assert_eq!(lines[0]["faces"].as_array().map(Vec::len), Some(1), "{}", said.out);
    assert!(lines.iter().any(|line| line["key"].as_str().is_some()), "the first key: {}", said.out);
    assert_eq!(image::open(&snapshot).expect("a picture").width(), 640);
    let mode = fs::metadata(&snapshot).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a person is on it");

    board.run(&["check"]).must(0, &["door 'yard', camera: replay", "store and index agree"]);
    board.enrol("barack", "obama.jpg");
    let mut running = board.command(&["run", "--json"]);
    running.env("FACEGATE__API__LISTEN", "127.0.0.1:0");
    let daemon = board.start_as(running);
    daemon.logged(0, "granted to barack");
    daemon.stop();
}

#[test]
fn a_configuration_is_not_written_over_and_the_old_one_is_kept() {
    let (board, args) = bare();
    let photo = text(&photo_path("obama2.jpg"));
    let answers = with(&args, &["--yes", "--no-key", "--camera", &photo, "--lock", "simulated"]);
    board.run(&answers).must(0, &["written"]);
    let first = fs::read_to_string(board.path("facegate.toml")).expect("it was written");
    board.run(&with(&answers, &["--name", "other"])).must(78, &["there is a configuration already", "--replace"]);
    assert_eq!(fs::read_to_string(board.path("facegate.toml")).expect("it is there"), first);
    board.run(&with(&answers, &["--name", "other", "--replace"])).must(0, &["written"]);
    assert_eq!(fs::read_to_string(board.path("facegate.toml.old")).expect("it was kept"), first);
    board.run(&["config", "show"]).must(0, &["name = \"other\""]);
    // An answer that the daemon would refuse is refused before anything is written.
    board.run(&with(&answers, &["--pulse-ms", "5", "--replace"])).must(78, &["pulse_ms", "100 to 60000"]);
    board.run(&["config", "show"]).must(0, &["name = \"other\""]);
}

#[test]
fn what_was_not_answered_is_named_with_its_option() {
    let (board, args) = bare();
    let photo = text(&photo_path("obama2.jpg"));
    board.run(&with(&args, &["--yes", "--camera", &photo, "--chip", "pinctrl-bcm2711"])).must(64, &["--line"]);
    let nowhere = ["--yes", "--camera", &photo, "--chip", "no-such-chip", "--line", "GPIO17"];
    board.run(&with(&args, &nowhere)).must(69, &["GPIO"]);
    board.run(&with(&args, &["--camera", &photo])).must(64, &["nobody answers", "--yes"]);
    let broken = board.write("broken.jpg", "no picture");
    board.run(&with(&args, &["--yes", "--camera", &text(&broken), "--lock", "simulated"])).must(69, &["broken.jpg"]);
    assert!(!board.path("facegate.toml").exists());
}

/// Runs a command with these lines on standard input.
fn told(mut command: Command, lines: &str) -> Ended {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    command.stdin(Stdio::from(reader));
    writer.write_all(lines.as_bytes()).expect("they fit into a pipe");
    drop(writer);
    finish(command)
}

#[test]
fn questions_are_answered_by_lines_and_empty_ones_take_the_default() {
    let (board, args) = bare();
    let photo = text(&photo_path("biden.jpg"));
    let snapshot = text(&board.path("seen.jpg"));
    // The name, the tenant, whether to look, where to save it, whether to move the relay and whether it did, how it fails.
    let lines = format!("side\n\nyes\n{snapshot}\ny\nyes\nsafe\n");
    let command = board.command(&with(&args, &["--camera", &photo, "--lock", "simulated"]));
    let said = told(command, &lines)
        .must(0, &["What is the door called?", "a face at", "moved", "written", "shown this once"]);
    assert!(said.out.contains("@"), "the picture in letters:\n{}", said.out);
    image::open(&snapshot).expect("a picture");
    board.run(&["config", "show"]).must(0, &["name = \"side\"", "tenant = \"main\"", "fail = \"safe\""]);

    fs::remove_file(board.path("facegate.toml")).expect("it was written");
    let command = board.command(&with(&args, &["--camera", &photo, "--lock", "simulated"]));
    told(command, "side\n\nno\ny\nno\n").must(69, &["the relay did not move", "--active-low"]);
    assert!(!board.path("facegate.toml").exists(), "a door that does not move is not set up");
}

#[test]
fn man_pages_and_completions_tell_every_command() {
    let board = Board::new();
    board.run(&["man", "pages"]).must(0, &[]);
    let pages = |name: &str| fs::read_to_string(board.path("pages").join(name)).unwrap_or_default();
    assert!(pages("facegate.1").contains("door controller"), "{}", pages("facegate.1"));
    for command in ["run", "setup", "check", "enroll", "door-unlock", "rest"] {
        assert!(pages(&format!("facegate-{command}.1")).contains(".TH"), "no page of {command}");
    }
    assert!(!board.path("pages/facegate-guard.1").exists(), "what `run` starts is for nobody to call");
    for shell in ["bash", "zsh", "fish"] {
        board.run(&["completions", shell]).must(0, &["enroll", "lockdown"]);
    }
}
