//! The relay rests safe: the daemon is killed and hung while the strike is on.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::{fs::OpenOptionsExt, process::ExitStatusExt},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Signal, kill_process};

use crate::support::{
    daemon::{Board, Daemon, Edge, eventually},
    disk::SmallDisk,
    photo_path,
};

/// What [`Board::strike_on`] sets.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// A loaded machine may need so much more than the patience; a relay that nobody puts at rest is on for a minute.
const LOADED: Duration = Duration::from_secs(10);

/// A board whose strike has just gone on, for a minute.
fn strike_on(fail: &str) -> (Board, Daemon, usize) {
    let mut board = Board::with_door(&[photo_path("obama2.jpg")]);
    board.set("door.0.pulse_ms", 60_000);
    board.set("door.0.fail", fail);
    board.set("guard.patience_ms", 1_500);
    board.enrol("barack", "obama.jpg");
    let daemon = board.start();
    board.edge("front", 0, |edge| edge.energised == (fail == "secure"));
    let edges = board.edges("front").len();
    (board, daemon, edges)
}

/// Waits for the rest that comes after the first `seen` edges.
fn rested(board: &Board, seen: usize, fail: &str, since: Instant) -> Edge {
    let rest = board.edge("front", seen, |_| true);
    let took = since.elapsed();
    assert_eq!(rest.energised, fail == "safe", "{rest:?}");
    assert!(took < PATIENCE + LOADED, "at rest after {took:?}");
    rest
}

#[test]
fn after_kill_9_the_guard_puts_the_relay_at_rest() {
    for fail in ["secure", "safe"] {
        let (board, mut daemon, seen) = strike_on(fail);
        let killed = Instant::now();
        daemon.signal(Signal::KILL);
        rested(&board, seen, fail, killed);
        let (status, log) = daemon.wait();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
        assert!(log.iter().any(|line| line.contains("facegate guard: the daemon died; at rest: simulated")), "{log:?}");

        let daemon = board.start();
        daemon.stop();
        board.run(&["journal", "verify"]).must(0, &["unbroken"]);
    }
}

#[test]
fn a_daemon_that_stands_still_is_killed_and_its_relay_put_at_rest() {
    let (board, mut daemon, seen) = strike_on("secure");
    let stopped = Instant::now();
    daemon.signal(Signal::STOP);
    rested(&board, seen, "secure", stopped);
    let (status, log) = daemon.wait();
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "the guard killed it");
    assert!(log.iter().any(|line| line.contains("the daemon hung and was killed; at rest")), "{log:?}");
}

/// Reads from a pipe until there was this word.
fn read_until(pipe: &mut File, word: &str) {
    let mut read = Vec::new();
    eventually(&format!("{word} in the pipe"), || {
        let mut some = [0; 4096];
        if let Ok(count @ 1..) = pipe.read(&mut some) {
            read.extend_from_slice(&some[..count]);
        }
        String::from_utf8_lossy(&read).contains(word).then_some(())
    });
}

#[test]
fn a_door_thread_that_hangs_ends_the_daemon_and_the_relay_rests() {
    let mut board = Board::with_door(&[photo_path("obama2.jpg")]);
    // A relay that hangs: a pipe that is read for as long as the strike is not on. Whoever moves it then waits for ever.
    let fifo = board.path("relay");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo is there");
    assert!(made.success());
    board.set("door.0.lock.edges", fifo.display().to_string());
    board.set("door.0.pulse_ms", 500);
    board.set("guard.patience_ms", 1_500);
    board.enrol("barack", "obama.jpg");
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut relay = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(&fifo).expect("a pipe");
    let mut daemon = board.start();

    read_until(&mut relay, "\"energised\":true");
    // Until the pipe is full; the driver's own lines do not fit in from then on.
    let mut writer = OpenOptions::new().write(true).custom_flags(nonblocking).open(&fifo).expect("a pipe");
    while writer.write(b".").is_ok() {}
    eventually("the daemon's end", || (!daemon.runs()).then_some(()));
    // The guard, too, waits for room, which reading makes.
    read_until(&mut relay, "\"energised\":false");
    let (status, log) = daemon.wait();
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "the guard killed it: {log:?}");
    assert!(log.iter().any(|line| line.contains("a door's thread has not moved")), "{log:?}");
}

#[test]
fn a_guard_that_died_is_replaced_and_one_whose_daemon_ended_well_is_gone() {
    let (board, mut daemon, seen) = strike_on("secure");
    let [first] = daemon.children()[..] else { panic!("one guard: {:?}", daemon.children()) };
    kill_process(first, Signal::KILL).expect("it runs");
    let second = eventually("another guard", || daemon.children().into_iter().find(|other| *other != first));
    assert!(daemon.runs());
    let killed = Instant::now();
    daemon.signal(Signal::KILL);
    rested(&board, seen, "secure", killed);
    daemon.wait();

    let daemon = board.start();
    let [third] = daemon.children()[..] else { panic!("one guard: {:?}", daemon.children()) };
    assert_ne!(third, second);
    let log = daemon.stop();
    assert!(rustix::process::test_kill_process(third).is_err(), "it is gone with its daemon");
    assert!(!log.iter().any(|line| line.contains("facegate guard")), "{log:?}");
}

#[test]
fn rest_puts_every_lock_at_rest_where_nobody_else_does() {
    let mut board = Board::with_door(&[photo_path("obama2.jpg")]);
    board.add_door("back", "main", &[photo_path("obama2.jpg")]);
    board.set("door.1.fail", "safe");
    board.run(&["rest"]).must(0, &["door 'front': at rest", "door 'back': at rest"]);
    assert!(!board.edges("front").last().expect("an edge").energised);
    assert!(board.edges("back").last().expect("an edge").energised);
    // Nobody reads its fire input any more: so it is released.
    board.set("door.1.inputs.fire", toml::toml! { kind = "simulated" level = "fire" });
    board.run(&["rest"]).must(0, &["door 'back': at rest"]);
    assert!(!board.edges("back").last().expect("an edge").energised);
    let nowhere = toml::toml! {
        kind = "gpiochip"
        chip = "no-such-chip"
        line = 1
    };
    board.set("door.0.lock", nowhere);
    board.run(&["rest"]).must(1, &["FAIL", "no-such-chip", "door 'back': at rest"]);
}

#[test]
fn with_a_full_disk_and_a_dead_camera_the_strike_rests_in_time_all_the_same() {
    let mut board = Board::with_door(&[photo_path("biden.jpg")]);
    let camera = toml::toml! { source = "v4l" device = "/dev/no-such-camera" };
    board.set("door.0.camera", camera);
    board.set("door.0.pulse_ms", 1_000);
    board.set("guard.patience_ms", 1_500);
    board.set("gallery.max_mb", 8);
    board.set("gallery.dir", "disk/gallery");
    board.set("journal.dir", "disk/journal");
    let Some(disk) = SmallDisk::mount(board.path("disk")) else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    let mut daemon = board.start();
    disk.fill();
    for _ in 0..2 {
        let seen = board.edges("front").len();
        board.run(&["door", "unlock", "front"]).must(0, &["unlocked now"]);
        let on = board.edge("front", seen, |edge| edge.energised);
        let off = board.edge("front", seen + 1, |edge| !edge.energised);
        let pulse = Duration::from_micros(off.monotonic_us - on.monotonic_us);
        assert!(pulse >= Duration::from_secs(1) && pulse < Duration::from_secs(1) + LOADED, "{pulse:?}");
    }
    board.run(&["door", "unlock", "front"]).must(0, &[]);
    let seen = board.edges("front").len();
    let killed = Instant::now();
    daemon.signal(Signal::KILL);
    rested(&board, seen, "secure", killed);
    daemon.wait();
}
