//! Liveness at a door: the real daemon, whose camera is shown pictures of somebody who is enrolled.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use facegate::vision::{engine::Engine, models::Pack, pad};
use serde_json::Value;

use crate::support::{
    daemon::{Board, Daemon, eventually},
    http::{connect, everything},
    models_dir, other_pack, photo_path, without_liveness,
};

const ENROLLED: &str = "obama.jpg";
const SHOWN: &str = "obama2.jpg";

fn board(policy: &str, stills: &[PathBuf]) -> Board {
    let mut board = Board::with_door(stills);
    board.set("door.0.access.liveness", policy);
    // Each still comes into view for ten frames, of which a busy machine drops some.
    board.set("door.0.access.liveness_frames", 4);
    board.enrol("barack", ENROLLED);
    board
}

/// The page that Prometheus reads.
fn metrics(daemon: &Daemon) -> String {
    let mut stream = connect(daemon.api.expect("the API is on"));
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it is taken");
    String::from_utf8_lossy(&everything(&mut stream)).into_owned()
}

fn opened(board: &Board) -> bool {
    board.edges("front").iter().any(|edge| edge.energised)
}

/// The frames of each kind of attack that we make from that photograph, by its name.
fn attacks(folder: &Path) -> Vec<(String, Vec<PathBuf>)> {
    let photographs = folder.join("photographs");
    std::fs::create_dir_all(&photographs).expect("a folder");
    std::fs::copy(photo_path(SHOWN), photographs.join(SHOWN)).expect("a photograph");
    let engine = Engine::load(&Pack::open(&models_dir(), "starter").expect("the pack opens")).expect("it runs");
    let made = folder.join("made");
    pad::make(&engine, &photographs, &made, || ()).expect("attacks are made");
    let sorted = |folder: &Path| {
        let mut paths: Vec<_> = std::fs::read_dir(folder).expect("it is there").flatten().map(|e| e.path()).collect();
        paths.sort();
        paths
    };
    let kinds = sorted(&made).into_iter();
    kinds
        .map(|kind| (kind.file_name().expect("a name").to_string_lossy().into_owned(), sorted(&sorted(&kind)[0])))
        .collect()
}

#[test]
fn a_photograph_before_the_camera_opens_no_door_that_requires_liveness() {
    let board = board("required", &[photo_path(SHOWN)]);
    let daemon = board.start();
    let denied = board.decisions("front", 0, 2, |decision| decision["reason"] == "liveness_failed");
    let page = metrics(&daemon);
    daemon.stop();
    for decision in &denied {
        assert_eq!((&decision["outcome"], &decision["subject"]), (&"denied".into(), &"barack".into()));
        let liveness = &decision["liveness"];
        let reasons = liveness["reasons"].as_array().expect("reasons");
        assert!(reasons.contains(&"frozen_picture".into()) && liveness["score"].as_f64() < Some(0.5), "{decision}");
        assert!(liveness["frames"].as_u64() >= Some(4), "{decision}");
    }
    assert!(!opened(&board));
    assert!(page.contains("facegate_door_liveness_total{door=\"front\",outcome=\"live\"} 0"), "{page}");
    board.run(&["journal", "tail"]).must(0, &["liveness_failed"]);
}

#[test]
fn advice_is_written_down_and_keeps_nobody_out() {
    let board = board("advisory", &[photo_path(SHOWN)]);
    let daemon = board.start();
    board.decisions("front", 0, 1, |decision| decision["outcome"] == "granted");
    let advice =
        eventually("advice in the journal", || board.journal().into_iter().find(|entry| entry["event"] == "liveness"));
    daemon.stop();
    assert_eq!((&advice["subject"], &advice["passed"]), (&"barack".into(), &false.into()), "{advice}");
    assert!(advice["liveness"]["reasons"].as_array().is_some_and(|all| !all.is_empty()), "{advice}");
    assert!(opened(&board));
    let decided = |entry: &Value| entry["event"] == "decision" && entry.get("liveness").is_some();
    assert!(!board.journal().iter().any(decided), "no decision waits for advice");
    board.run(&["journal", "tail"]).must(0, &["does not look alive"]);
}

#[test]
fn without_the_policy_nobody_asks() {
    let board = board("off", &[photo_path(SHOWN)]);
    let daemon = board.start();
    board.decisions("front", 0, 1, |decision| decision["outcome"] == "granted");
    let page = metrics(&daemon);
    daemon.stop();
    assert!(page.contains("facegate_door_stage_seconds_count{door=\"front\",stage=\"liveness\"} 0"), "{page}");
    assert!(!board.journal().iter().any(|entry| entry["event"] == "liveness" || entry.get("liveness").is_some()));
}

/// What is fed in instead of a camera's frames, in the whole daemon. Which frames a busy machine drops is a matter of chance, so prints and
/// screens that move are shown to a door's loop frame by frame in `attacks.rs`, every kind.
#[test]
fn stills_and_loops_of_ours_do_not_open_the_door() {
    let folder = tempfile::tempdir().expect("a folder");
    for (kind, frames) in attacks(folder.path()) {
        if !["still", "loop"].contains(&&*kind) {
            continue;
        }
        let mut board = board("required", &frames);
        board.set("door.0.access.liveness_frames", 8);
        board.set("door.0.camera.hold_frames", 1);
        board.set("door.0.camera.gap_frames", 0);
        // Frames that are alike would not be looked at otherwise, and nothing decided.
        board.set("door.0.motion.gate", false);
        let daemon = board.start();
        let told = |decision: &Value| decision["outcome"] == "granted" || decision["reason"] == "liveness_failed";
        let first = board.decisions("front", 0, 1, told);
        daemon.stop();
        assert!(first[0]["outcome"] == "denied" && !opened(&board), "{kind}: {:?}", board.journal());
    }
}

#[test]
fn a_pack_that_cannot_tell_is_told_at_the_start_and_by_check() {
    let mut board = board("off", &[photo_path(SHOWN)]);
    other_pack(&board.path("models"), "blind", without_liveness);
    board.set("models.pack", "blind");
    board.set("models.dir", "models");
    board.run(&["check"]).must(0, &["no door asks for it"]);
    for (key, place) in [
        ("door.0.access.liveness", "door 'front': access.liveness"),
        ("api.recognition.enrolment.liveness", "api.recognition"),
    ] {
        board.set(key, "required");
        board.run(&["check"]).must(1, &[place, "no network that judges it", "liveness"]);
        board.run(&["run"]).must(78, &[place]);
        board.set(key, "off");
    }
}
