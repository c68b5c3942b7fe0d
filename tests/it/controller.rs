//! The door itself behind the whole daemon: contact, request to exit, fire, alarms, all through its lines.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    daemon::{Board, Daemon, eventually},
    photo_path,
};

const ENROLLED: &str = "obama.jpg";
const GENUINE: &str = "obama2.jpg";
const STRANGER: &str = "biden.jpg";

/// A board whose door has every input, in files of their names, and an alarm relay.
fn board(shown: &str) -> Board {
    let mut board = Board::with_door(&[photo_path(shown)]);
    for input in ["rex", "contact", "tamper", "fire"] {
        let settings = toml::toml! { kind = "simulated" debounce_ms = 20 };
        board.set(&format!("door.0.inputs.{input}"), settings);
        board.set(&format!("door.0.inputs.{input}.level"), input);
    }
    board.set("door.0.outputs.alarm", toml::toml! { kind = "simulated" edges = "edges-alarm" });
    board.set("door.0.outputs.green", toml::toml! { kind = "simulated" edges = "edges-green" });
    board
}

/// Starts it and waits until its inputs have been read once: a door that is found open is not forced.
fn start(board: &Board) -> Daemon {
    let daemon = board.start();
    std::thread::sleep(Duration::from_millis(300));
    daemon
}

fn told(board: &Board) -> Vec<Value> {
    board.journal().into_iter().filter(|entry| entry["event"] == "door").collect()
}

/// Waits until the journal tells of it, beyond the first `seen` entries of the door.
#[track_caller]
fn until(board: &Board, seen: usize, happening: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("{happening} in the journal"), || {
        told(board).into_iter().skip(seen).find(|entry| entry["happening"] == happening && is(entry))
    })
}

#[track_caller]
fn alarm(board: &Board, happening: &str, alarm: &str) {
    until(board, 0, happening, |entry| entry["alarm"] == alarm);
}

fn energised(board: &Board, line: &str) -> Option<bool> {
    board.edges(line).last().map(|edge| edge.energised)
}

fn press(board: &Board, input: &str) {
    board.write(input, "1");
    std::thread::sleep(Duration::from_millis(150));
    board.write(input, "0");
}

#[test]
fn the_opening_door_relocks_and_the_journal_says_who_passed() {
    let mut board = board(GENUINE);
    board.set("door.0.pulse_ms", 60_000);
    board.enrol("barack", ENROLLED);
    let daemon = start(&board);
    board.edge("front", 0, |edge| edge.energised);
    board.write("contact", "1");
    let passed = until(&board, 0, "passed", |_| true);
    assert_eq!(
        (&passed["subject"], &passed["seen"], &passed["passage"]),
        (&"barack".into(), &true.into(), &"entry".into())
    );
    assert!(passed["tag"].is_null(), "{passed}");
    let unlocked = until(&board, 0, "unlocked", |_| true);
    assert_eq!((&unlocked["by"], &unlocked["subject"]), (&"grant".into(), &"barack".into()));
    let on = board.edges("front").iter().position(|edge| edge.energised).expect("it was waited for");
    let off = board.edge("front", on + 1, |edge| !edge.energised);
    let pulse = Duration::from_micros(off.monotonic_us - board.edges("front")[on].monotonic_us);
    assert!(pulse < Duration::from_secs(50), "long before the pulse was over: {pulse:?}");
    board.run(&["journal", "tail"]).must(0, &["unlocked for somebody who was granted (barack)", "passed (barack)"]);
    daemon.stop();
    board.run(&["journal", "verify"]).must(0, &["unbroken"]);
}

#[test]
fn a_door_held_open_is_warned_of_then_alarmed_then_cleared() {
    let mut board = board(STRANGER);
    board.set("door.0.controller.held_open_warning_s", 1);
    board.set("door.0.controller.held_open_alarm_s", 2);
    let daemon = start(&board);
    press(&board, "rex");
    until(&board, 0, "unlocked", |entry| entry["by"] == "rex");
    board.write("contact", "1");
    alarm(&board, "raised", "held_open_warning");
    alarm(&board, "raised", "held_open");
    eventually("the alarm relay", || energised(&board, "alarm").filter(|&on| on));
    board.write("contact", "0");
    alarm(&board, "cleared", "held_open_warning");
    alarm(&board, "cleared", "held_open");
    eventually("the alarm relay rests", || energised(&board, "alarm").filter(|&on| !on));
    daemon.stop();
    let raised = told(&board).iter().filter(|entry| entry["happening"] == "raised").count();
    assert_eq!(raised, 2, "each once: {:?}", told(&board));
    assert!(!told(&board).iter().any(|entry| entry["alarm"] == "forced_open"));
}

#[test]
fn a_door_that_is_forced_is_an_alarm_until_it_is_closed() {
    let board = board(STRANGER);
    let daemon = start(&board);
    board.write("contact", "1");
    alarm(&board, "raised", "forced_open");
    let line = daemon.logged(0, "ALARM: forced open");
    assert_eq!(line["level"], "WARN");
    eventually("the alarm relay", || energised(&board, "alarm").filter(|&on| on));
    board.write("contact", "0");
    alarm(&board, "cleared", "forced_open");
    daemon.stop();
    assert!(!board.edges("front").iter().any(|edge| edge.energised), "the strike has nothing to do with it");
}

#[test]
fn a_request_to_exit_is_one_pulse() {
    let board = board(STRANGER);
    let daemon = start(&board);
    board.write("rex", "1");
    board.edge("front", 0, |edge| edge.energised);
    board.edge("front", 2, |edge| !edge.energised);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(board.edges("front").len(), 3, "a stuck button holds nothing open");
    assert_eq!(board.edges("green").iter().map(|edge| edge.energised).collect::<Vec<_>>(), [false, true, false]);
    daemon.stop();
}

#[test]
fn fire_releases_a_fail_safe_door_also_beyond_the_end() {
    let mut board = board(STRANGER);
    board.set("door.0.fail", "safe");
    let daemon = start(&board);
    assert_eq!(energised(&board, "front"), Some(true), "locked");
    board.write("fire", "1");
    board.edge("front", 0, |edge| !edge.energised);
    until(&board, 0, "emergency_began", |entry| entry["released"] == true);
    board.write("fire", "0");
    board.edge("front", 2, |edge| edge.energised);
    until(&board, 0, "emergency_ended", |_| true);
    board.write("fire", "a cut wire");
    until(&board, 0, "sensor_fault", |entry| entry["sensor"] == "fire");
    board.edge("front", 3, |edge| !edge.energised);
    daemon.stop();
    assert_eq!(energised(&board, "front"), Some(false), "released, with nobody left to see the fire's end");
}

#[test]
fn sigterm_rests_the_strike_and_darkens_the_lamps() {
    let mut board = board(STRANGER);
    board.set("door.0.pulse_ms", 60_000);
    let mut daemon = start(&board);
    press(&board, "rex");
    board.edge("front", 0, |edge| edge.energised);
    eventually("the lamp", || energised(&board, "green").filter(|&on| on));
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.wait();
    assert_eq!(status.code(), Some(0), "{}", log.join("\n"));
    assert_eq!((energised(&board, "front"), energised(&board, "green")), (Some(false), Some(false)));
    let journal = board.journal();
    assert_eq!(journal.last().expect("entries")["event"], "stopped");
    assert_eq!(told(&board).last().expect("entries")["happening"], "locked");
}

#[test]
fn of_an_airlock_one_door_opens_at_a_time() {
    let mut board = board(STRANGER);
    board.add_door("inner", "main", &[photo_path(STRANGER)]);
    board.set("door.1.inputs.rex", toml::toml! { kind = "simulated" level = "inner-rex" });
    let group = toml::toml! { name = "airlock" doors = ["front", "inner"] };
    board.set("interlock", vec![toml::Value::from(group)]);
    let daemon = start(&board);
    board.write("contact", "1");
    until(&board, 0, "opened", |_| true);
    std::thread::sleep(Duration::from_millis(200));
    press(&board, "inner-rex");
    until(&board, 0, "refused", |entry| entry["door"] == "inner" && entry["why"] == "interlock");
    board.write("contact", "0");
    until(&board, 0, "closed", |_| true);
    std::thread::sleep(Duration::from_millis(200));
    press(&board, "inner-rex");
    board.edge("inner", 0, |edge| edge.energised);
    daemon.stop();
}
