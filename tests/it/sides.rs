//! A door with a camera on each side, and pictures of which a part alone counts.

use rustix::process::Signal;

use crate::support::{daemon::Board, photo_path};

const ENROLLED: &str = "obama.jpg";
const GENUINE: &str = "obama2.jpg";
const STRANGER: &str = "biden.jpg";

#[test]
fn a_turnstile_lets_people_in_before_one_camera_and_out_before_the_other() {
    let mut board = Board::with_door(&[photo_path(STRANGER)]);
    board.set("door.0.controller.turnstile", toml::Table::new());
    board.set("door.0.controller.turnstile.passage_timeout_ms", 500);
    board.set("door.0.outputs.exit_lock", toml::toml! { kind = "simulated" edges = "edges-exit" });
    let camera = toml::toml! { source = "replay" rate_fps = 15.0 hold_frames = 10 gap_frames = 13 };
    board.set("door.0.other_side.camera", camera);
    board.set("door.0.other_side.camera.stills", vec![photo_path(GENUINE).display().to_string()]);
    board.enrol("barack", ENROLLED);
    board.run(&["check"]).must(0, &["camera of the other side"]);
    let daemon = board.start();
    board.edge("exit", 0, |edge| edge.energised);
    board.decisions("front", 0, 1, |entry| entry["outcome"] == "denied");
    daemon.stop();
    assert!(!board.edges("front").iter().any(|edge| edge.energised), "nobody was let in");
    let unlocked = board.journal().into_iter().find(|entry| entry["happening"] == "unlocked").expect("it was");
    assert_eq!((&unlocked["lane"], &unlocked["subject"]), (&"exit".into(), &"barack".into()));
}

#[test]
fn a_face_beside_the_lane_is_not_taken_and_a_reload_moves_the_lane() {
    let mut board = Board::with_door(&[photo_path(GENUINE)]);
    // The photograph's face is nowhere near this corner.
    board.set("door.0.region", toml::toml! { left = 0.0 top = 0.9 right = 0.1 bottom = 1.0 });
    board.enrol("barack", ENROLLED);
    let daemon = board.start();
    daemon.ready();
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(!board.journal().iter().any(|entry| entry["event"] == "decision"), "nobody stands in the lane");
    board.set("door.0.region", toml::toml! { left = 0.0 top = 0.0 right = 1.0 bottom = 1.0 });
    daemon.signal(Signal::HUP);
    board.edge("front", 0, |edge| edge.energised);
    daemon.stop();
}
