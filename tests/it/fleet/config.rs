//! Another configuration, ordered from afar: kept where the device comes back with it, and rolled back by itself where it does
//! not.

use std::{
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use facegate_fleet::{
    Name,
    open::Body,
    wire::{ConfigReport, ConfigState, Event},
};
use serde_json::Value;

use super::site::Site;
use crate::support::{
    daemon::{Board, Daemon, Ended, eventually},
    photo_path,
};

fn front() -> Name {
    "front".parse().expect("a name")
}

/// A site with one door that is online.
fn running() -> (Site, Board, Daemon) {
    let site = Site::new();
    let mut board = Board::with_door(&[photo_path("biden.jpg")]);
    site.join(&mut board, "front", "door");
    let daemon = board.start();
    daemon.ready();
    eventually("the door is online", || {
        site.console().status(&front()).is_ok_and(|status| status.online).then_some(())
    });
    (site, board, daemon)
}

/// What may be ordered: what is fixed at the device is left out.
const DOOR: &str = "[[door]]\nname = \"front\"\ntenant = \"main\"\naccess = { cooldown_ms = 0 }\n\
    camera = { rate_fps = 15.0, hold_frames = 10, gap_frames = 13 }\n";

fn order(site: &Site, revision: &str, config: &str, more: &[&str]) -> Ended {
    let file = site.office.write("ordered.toml", config).display().to_string();
    let mut args = vec!["fleet", "set-config", "front", &file, "--revision", revision];
    args.extend(more);
    site.office.run(&args)
}

/// `door.pulse_ms` as it is in force on the board.
fn pulse(board: &Board) -> Value {
    board.run(&["config", "show", "--json"]).must(0, &[]).json()[0]["door"][0]["pulse_ms"].clone()
}

/// What the broker keeps of which configuration the device runs.
fn reported(site: &Site, state: ConfigState) -> ConfigReport {
    eventually(&format!("{state:?} at config/front"), || {
        let kept = site.console().gather(&["config/front"]).expect("the broker is reached");
        kept.into_iter().find_map(|opened| match opened.body {
            Body::Config(report) if report.state == state => Some(*report),
            _ => None,
        })
    })
}

/// The device's events of this kind.
fn events(site: &Site, kind: &'static str) -> Receiver<Event> {
    let mut console = site.console();
    console.gather(&["events/+"]).expect("the broker is reached");
    let (say, said) = channel();
    thread::spawn(move || {
        while let Ok(next) = console.next(Duration::from_secs(60)) {
            if let Some(Body::Event(event)) = next.map(|opened| opened.body)
                && event.kind == kind
                && say.send(*event).is_err()
            {
                return;
            }
        }
    });
    said
}

#[test]
fn an_ordered_configuration_is_kept_where_the_door_comes_back_and_a_wrong_one_is_refused() {
    let (site, board, mut daemon) = running();
    let own = std::fs::read_to_string(board.path("facegate.toml")).expect("a file");
    for (config, words) in [
        (format!("{DOOR}pulse_ms = 1\n"), "pulse_ms"),
        (format!("{DOOR}plse_ms = 500\n"), "plse_ms"),
        (format!("[gallery]\ndir = \"elsewhere\"\n{DOOR}"), "gallery.dir cannot be changed from afar"),
        (format!("[models]\npack = \"nonsense\"\n{DOOR}"), "nonsense"),
        ("[[door".to_owned(), "what is ordered"),
    ] {
        order(&site, "wrong", &config, &[]).must(1, &["failed", words]);
    }
    assert_eq!(reported(&site, ConfigState::Kept).revision, None);
    let session = site.console().status(&front()).expect("it is known").session;

    order(&site, "r1", &format!("{DOOR}pulse_ms = 777\n"), &[]).must(0, &["revision r1 is kept"]);
    assert_ne!(site.console().status(&front()).expect("it is known").session, session, "it has started anew");
    assert_eq!(pulse(&board), 777);
    assert_eq!(reported(&site, ConfigState::Kept).revision.as_deref(), Some("r1"));
    eventually("the journal has it", || {
        let kept = |entry: &Value| entry["order"] == "set_config" && entry["outcome"] == "kept";
        board.journal().iter().any(kept).then_some(())
    });
    assert_eq!(std::fs::read_to_string(board.path("facegate.toml")).expect("a file"), own, "the file stays as it is");

    // It outlasts whatever ends the daemon.
    assert!(daemon.runs());
    drop(daemon);
    let daemon = board.start();
    daemon.logged(0, "the configuration that the fleet ordered is in force");
    assert_eq!(pulse(&board), 777);
    board.run(&["check"]).must(0, &["revision r1 is in force", "of the site hq", "takes this device"]);
    daemon.stop();
    // Whoever is at the device has the last word.
    board.write("facegate.toml", format!("{own}\n# changed\n"));
    let daemon = board.start();
    assert_eq!(pulse(&board), 300);
    eventually("the file is in force", || (reported(&site, ConfigState::Kept).revision.is_none()).then_some(()));
    drop(daemon);
}

#[test]
fn a_configuration_that_cuts_the_door_off_is_rolled_back_and_the_door_says_so() {
    let (site, board, daemon) = running();
    let told = events(&site, "config_rolled_back");
    let config = format!("[fleet]\nbroker = \"localhost:1\"\n{DOOR}pulse_ms = 777\n");
    let ended = order(&site, "cut-off", &config, &["--seconds", "10"]);
    ended.must(1, &["failed", "revision cut-off is rolled back", "within 10 s"]);
    let event = told.recv_timeout(Duration::from_secs(30)).expect("an event");
    assert_eq!(event.details["revision"], "cut-off");
    let report = reported(&site, ConfigState::RolledBack);
    assert_eq!(report.revision.as_deref(), Some("cut-off"));
    assert!(report.why.is_some_and(|why| why.contains("within 10 s")));
    assert_eq!(pulse(&board), 300);
    // The next one is taken.
    order(&site, "good", DOOR, &[]).must(0, &["revision good is kept"]);
    drop(daemon);
}

#[test]
fn a_door_that_dies_while_it_tries_a_configuration_starts_with_the_old_one() {
    let (site, board, daemon) = running();
    let office =
        site.office.write("ordered.toml", format!("[fleet]\nbroker = \"localhost:1\"\n{DOOR}pulse_ms = 777\n"));
    let args =
        ["fleet", "set-config", "front", &office.display().to_string(), "--revision", "deadly", "--seconds", "600"];
    let mut command = site.office.command(&args);
    let mut waiting = command.spawn().expect("the program starts");
    daemon.logged(0, "the configuration that the fleet ordered is in force");
    assert_eq!(pulse(&board), 777);
    // As a power cut.
    drop(daemon);
    let daemon = board.start();
    assert_eq!(pulse(&board), 300);
    let report = reported(&site, ConfigState::RolledBack);
    assert_eq!(report.revision.as_deref(), Some("deadly"));
    // Whoever ordered it hears of it.
    assert_eq!(waiting.wait().expect("it ends").code(), Some(1));
    drop(daemon);
}
