//! The door on a GPIO chip that is a real device node: relays seen, and contacts moved, from behind the kernel's simulator.
//!
//! Where the kernel has no `gpio-sim`, each of these tests says that it was skipped. `make board-test` runs them on an emulated board
//! whose kernel has it.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::{
    process::{Pid, Signal, kill_process},
    time::{ClockId, clock_gettime},
};
use serde_json::Value;

use crate::support::{
    daemon::{Board, Daemon, eventually, patience},
    gpio_sim::{Chip, Scope},
    photo_path,
};

/// The lines of docs/wiring.md.
const REX: u32 = 5;
const CONTACT: u32 = 6;
const FIRE: u32 = 13;
const STRIKE: u32 = 17;
const ALARM: u32 = 22;

/// What the boards' guards have.
const GUARD_MS: i64 = 2_000;

/// For so long contacts and buttons bounce, at most: 300 ms. On a machine that is waited for longer, longer: it bounces more slowly.
fn debounce() -> Duration {
    patience() / 200
}

/// A board whose lock, button and contacts are lines of a chip. The door is closed and nobody is there.
struct Site {
    board: Board,
    chip: Chip,
}

impl Site {
    /// None where there can be no such chip.
    fn new() -> Option<Self> {
        let chip = Chip::make()?;
        let mut board = Board::with_door(&[photo_path("biden.jpg")]);
        // Commands and wires move this door. Its camera shows a picture that stands still, which costs little.
        for (key, value) in [("rate_fps", 1), ("hold_frames", 1_000_000), ("gap_frames", 0)] {
            board.set(&format!("door.0.camera.{key}"), value);
        }
        board.set("api.listen", "off");
        board.set("guard.patience_ms", GUARD_MS);
        board.set("door.0.pulse_ms", 60_000);
        let mut site = Self { board, chip };
        site.wire("lock", STRIKE);
        site.wire("outputs.alarm", ALARM);
        for (input, line) in [("rex", REX), ("contact", CONTACT)] {
            site.wire(&format!("inputs.{input}"), line);
            site.board.set(&format!("door.0.inputs.{input}.debounce_ms"), debounce().as_millis() as i64);
        }
        // The button closes to ground, against the board's resistor, which the daemon switches on.
        site.board.set("door.0.inputs.rex.active_low", true);
        site.board.set("door.0.inputs.rex.bias", "pull_up");
        Some(site)
    }

    fn wire(&mut self, key: &str, line: u32) {
        let mut settings = toml::toml! { kind = "gpiochip" };
        settings.insert("chip".into(), self.chip.label.clone().into());
        settings.insert("line".into(), format!("GPIO{line}").into());
        self.board.set(&format!("door.0.{key}"), settings);
    }

    /// Starts the daemon and waits until it has read its inputs: a door that is found open is not forced.
    fn start(&self) -> Daemon {
        let daemon = self.board.start();
        eventually("the button's resistor", || self.chip.high(REX).then_some(()));
        thread::sleep(3 * debounce());
        daemon
    }

    /// Somebody presses the button, for long enough.
    fn press(&self) {
        self.chip.pull(REX, false);
        thread::sleep(3 * debounce());
        self.chip.pull(REX, true);
    }

    fn told(&self) -> Vec<Value> {
        self.board.journal().into_iter().filter(|entry| entry["event"] == "door").collect()
    }

    /// Waits until the journal tells of it.
    #[track_caller]
    fn tells(&self, happening: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{happening} in the journal"), || {
            self.told().into_iter().find(|entry| entry["happening"] == happening && is(entry))
        })
    }

    /// A command of the program beside the chip.
    fn gpio(&self, args: &[&str]) -> Vec<String> {
        let all = [&["gpio"], args, &["--chip", &self.chip.label]].concat();
        all.into_iter().map(str::to_owned).collect()
    }
}

/// A loaded or emulated machine may be so much later than it should.
fn late() -> Duration {
    patience() / 6
}

fn time(entry: &Value) -> Timestamp {
    entry["at"].as_str().and_then(|at| at.parse().ok()).unwrap_or_else(|| panic!("no time: {entry}"))
}

#[test]
fn a_command_moves_the_strike_for_the_length_of_its_pulse() {
    let Some(mut site) = Site::new() else { return };
    let pulse = Duration::from_millis(1_500);
    site.board.set("door.0.pulse_ms", 1_500);
    site.board.run(&["check"]).must(
        0,
        &[
            &format!("{} [{}], line 17 (GPIO17), active high", site.chip.name(), site.chip.label),
            "door 'front', alarm: ",
            "line 22 (GPIO22), active high",
            "door 'front', input rex: ",
            "line 5 (GPIO5), active low",
            "door 'front', input contact: ",
            "line 6 (GPIO6), active high",
        ],
    );
    let daemon = site.start();
    assert!(!site.chip.high(STRIKE) && !site.chip.high(ALARM), "nobody has asked yet");
    let list = site.board.run(&["gpio", "list"]).must(0, &["GPIO17  in use by facegate", "GPIO6  in use by facegate"]);
    assert!(list.out.contains(&format!("[{}], 54 lines", site.chip.label)), "{}", list.out);
    site.board.run(&["check"]).must(0, &["lock: not looked at: a running facegate has it"]);

    let scope = site.chip.scope(STRIKE);
    site.board.run(&["door", "unlock", "front"]).must(0, &["unlocked now"]);
    let [on, off] = scope.until(&[true, false])[..] else { panic!("two edges") };
    let (least, most) = on.until(&off);
    assert!(most >= pulse && least < pulse + late(), "on for {least:?} to {most:?}");
    println!("a pulse of {pulse:?} was on the line for {least:?} to {most:?}");

    // What the journal says is what was on the line.
    let edges: Vec<_> = eventually("both edges in the journal", || {
        let edges: Vec<_> = site.board.journal().into_iter().filter(|entry| entry["event"] == "door_edge").collect();
        (edges.len() == 2).then_some(edges)
    });
    assert_eq!((&edges[0]["open"], &edges[1]["open"]), (&true.into(), &false.into()));
    let written = time(&edges[1]).duration_since(time(&edges[0])).unsigned_abs();
    assert!(written + late() >= least && written <= most + late(), "{written:?} in the journal, {least:?} on the line");

    // Hold ends with the daemon.
    site.board.run(&["door", "hold", "front"]).must(0, &[]);
    assert!(site.chip.high(STRIKE), "the answer comes after the edge");
    daemon.stop();
    assert!(!site.chip.high(STRIKE));
}

#[test]
fn the_button_unlocks_the_opening_door_relocks_and_what_bounces_counts_for_nothing() {
    let Some(site) = Site::new() else { return };
    let (daemon, debounce) = (site.start(), debounce());
    let scope = site.chip.scope(STRIKE);

    // The button and the contact bounce, for shorter than counts; on a machine that was held up it may have been longer.
    for line in [REX, CONTACT] {
        for _ in 0..20 {
            let begun = Instant::now();
            for _ in 0..4 {
                site.chip.pull(line, line != REX);
                site.chip.pull(line, line == REX);
            }
            assert!(begun.elapsed() < debounce, "this machine is too slow to bounce");
        }
    }
    thread::sleep(4 * debounce);
    assert_eq!((scope.changes().len(), site.told()), (0, vec![]), "nothing has happened");

    let pressed = Instant::now();
    site.chip.pull(REX, false);
    site.chip.until(STRIKE, true);
    let took = pressed.elapsed();
    assert!(took >= debounce && took < debounce + late(), "unlocked {took:?} after the button was pressed");
    println!("the strike was on {took:?} after the button was pressed, of which {debounce:?} are for its bouncing");
    site.chip.pull(REX, true);
    site.tells("unlocked", |entry| entry["by"] == "rex");
    let opened = Instant::now();
    site.chip.pull(CONTACT, true);
    scope.until(&[true, false]);
    assert!(opened.elapsed() < debounce + late(), "locked {:?} after it opened, not after a minute", opened.elapsed());
    site.tells("opened", |_| true);
    site.chip.pull(CONTACT, false);
    site.tells("closed", |_| true);
    assert!(!site.told().iter().any(|entry| entry["happening"] == "raised"), "{:?}", site.told());
    daemon.stop();
}

#[test]
fn a_door_that_is_forced_or_held_open_moves_the_alarm_relay() {
    let Some(mut site) = Site::new() else { return };
    site.board.set("door.0.controller.held_open_warning_s", 1);
    site.board.set("door.0.controller.held_open_alarm_s", 2);
    site.board.set("door.0.controller.rex_shunt_ms", 0);
    let daemon = site.start();
    let (strike, alarm) = (site.chip.scope(STRIKE), site.chip.scope(ALARM));

    site.chip.pull(CONTACT, true);
    site.chip.until(ALARM, true);
    site.tells("raised", |entry| entry["alarm"] == "forced_open");
    site.chip.pull(CONTACT, false);
    site.chip.until(ALARM, false);
    site.tells("cleared", |entry| entry["alarm"] == "forced_open");
    assert_eq!(strike.changes().len(), 0, "the strike has nothing to do with it");

    site.press();
    site.chip.until(STRIKE, true);
    site.chip.pull(CONTACT, true);
    site.tells("raised", |entry| entry["alarm"] == "held_open");
    site.chip.until(ALARM, true);
    site.chip.pull(CONTACT, false);
    site.chip.until(ALARM, false);
    site.tells("cleared", |entry| entry["alarm"] == "held_open");
    daemon.stop();
    alarm.until(&[true, false, true, false]);
    let forced =
        site.told().iter().filter(|entry| entry["happening"] == "raised" && entry["alarm"] == "forced_open").count();
    assert_eq!(forced, 1, "who was let out forced nothing: {:?}", site.told());
}

#[test]
fn fire_releases_a_fail_safe_door_also_beyond_the_daemons_end() {
    let Some(mut site) = Site::new() else { return };
    site.board.set("door.0.fail", "safe");
    site.wire("inputs.fire", FIRE);
    let mut daemon = site.start();
    assert!(site.chip.high(STRIKE), "locked");
    site.chip.pull(FIRE, true);
    site.chip.until(STRIKE, false);
    site.tells("emergency_began", |entry| entry["released"] == true);
    site.chip.pull(FIRE, false);
    site.chip.until(STRIKE, true);
    site.tells("emergency_ended", |_| true);

    daemon.signal(Signal::KILL);
    site.chip.until(STRIKE, false);
    daemon.wait();
}

#[test]
fn the_strike_rests_after_kill_9_and_where_the_daemon_stands_still() {
    let Some(site) = Site::new() else { return };
    for (signal, words) in
        [(Signal::KILL, "the daemon died; at rest: "), (Signal::STOP, "hung and was killed; at rest: ")]
    {
        let mut daemon = site.start();
        site.board.run(&["door", "unlock", "front"]).must(0, &["unlocked now"]);
        assert!(site.chip.high(STRIKE));
        let begun = Instant::now();
        daemon.signal(signal);
        site.chip.until(STRIKE, false);
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(GUARD_MS.unsigned_abs()) + late(), "at rest {took:?} after {signal:?}");
        println!("at rest {took:?} after {signal:?}");
        let (status, log) = daemon.wait();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
        let said = log.iter().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {log:?}"));
        assert!(said.contains("line 17 (GPIO17)") && said.contains("line 22 (GPIO22)"), "{said}");
        assert!(!site.chip.high(STRIKE) && !site.chip.high(ALARM), "for good");
    }
    let daemon = site.start();
    site.board.run(&["door", "status"]).must(0, &["front: locked"]);
    daemon.stop();
    site.board.run(&["journal", "verify"]).must(0, &["unbroken"]);
}

#[test]
fn a_chip_that_is_unplugged_is_told_and_the_door_works_when_it_is_back() {
    let Some(site) = Site::new() else { return };
    let daemon = site.start();
    site.chip.plug(false);
    daemon.logged(0, "inputs cannot be read");
    for sensor in ["rex", "contact"] {
        site.tells("sensor_fault", |entry| entry["sensor"] == sensor);
    }
    // Whoever asks for the strike meanwhile finds the line gone; it is tried until it is there.
    site.board.run(&["door", "unlock", "front"]);
    daemon.logged(0, "a line of the door failed");
    site.chip.plug(true);
    site.chip.until(STRIKE, true);
    daemon.logged(0, "the lock answers again");
    daemon.logged(0, "inputs can be read again");
    eventually("the button's resistor", || site.chip.high(REX).then_some(()));
    site.chip.pull(CONTACT, true);
    site.chip.until(STRIKE, false);
    site.tells("opened", |_| true);
    daemon.stop();
}

/// `facegate gpio watch`, running.
struct Watch {
    child: Child,
    said: mpsc::Receiver<Value>,
}

impl Watch {
    fn start(site: &Site, args: &[&str]) -> Self {
        let args = site.gpio(&[&["watch"], args].concat());
        let mut child = site.board.command(&args).stdout(Stdio::piped()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (say, said) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // Nobody may be left to hear it.
                let _ = say.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Self { child, said }
    }

    /// The next line of its output; none at its end.
    #[track_caller]
    fn next(&self) -> Option<Value> {
        match self.said.recv_timeout(patience()) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it says nothing more"),
        }
    }

    /// What it says until it has said nothing for so long.
    fn until_quiet(&self, quiet: Duration) -> Vec<Value> {
        std::iter::from_fn(|| self.said.recv_timeout(quiet).ok()).collect()
    }

    /// From here on it does nothing.
    fn stand_still(&self) {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.child.id());
        eventually("it stands still", || std::fs::read_to_string(&stat).ok().filter(|stat| stat.contains(") T ")));
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The clock of the kernel's time stamps, in microseconds.
fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).expect("positive") * 1_000_000 + u64::try_from(now.tv_nsec).expect("positive") / 1_000
}

#[test]
fn what_is_watched_has_the_kernels_times_however_late_it_is_read() {
    let Some(site) = Site::new() else { return };
    let mut watch = Watch::start(&site, &["--line", "GPIO6", "--line", "5", "--count", "6"]);
    for line in ["GPIO6".into(), Value::from(5)] {
        let first = watch.next().expect("the level at the start");
        assert_eq!((&first["line"], &first["active"], &first["first"]), (&line, &false.into(), &true.into()));
    }
    // While nobody reads, so that no time but the kernel's can be right.
    watch.stand_still();
    let moved: Vec<_> =
        [(CONTACT, true), (REX, true), (CONTACT, false), (CONTACT, true), (REX, false), (CONTACT, false)]
            .into_iter()
            .map(|(line, up)| {
                let before = monotonic_us();
                site.chip.pull(line, up);
                let after = monotonic_us();
                thread::sleep(Duration::from_millis(150));
                (line, up, before, after)
            })
            .collect();
    watch.signal(Signal::CONT);
    let mut seen: Vec<_> = std::iter::from_fn(|| watch.next()).collect();
    assert_eq!(seen.len(), 6, "{seen:?}");
    // Those of one line come in order; both lines are read in turn.
    seen.sort_by_key(|edge| edge["monotonic_us"].as_u64());
    for (edge, (line, up, before, after)) in seen.iter().zip(moved) {
        let name = if line == CONTACT { Value::from("GPIO6") } else { Value::from(5) };
        assert_eq!((&edge["line"], &edge["active"], &edge["first"]), (&name, &up.into(), &false.into()), "{seen:?}");
        let at = edge["monotonic_us"].as_u64().expect("a time");
        // The two clocks are compared to within a bracket, and cut to whole microseconds.
        assert!(at + 1_000 >= before && at <= after + 1_000, "{edge}: moved between {before} and {after}");
        println!(
            "{line} {up}: stamped {} us after the wire was moved, within {} us",
            at.saturating_sub(before),
            after - before
        );
    }
    assert!(watch.child.wait().expect("it has ended").success(), "after six changes");
}

#[test]
fn edges_that_the_kernel_lost_are_made_good_by_the_level() {
    let Some(site) = Site::new() else { return };
    let watch = Watch::start(&site, &["--line", "GPIO6"]);
    watch.next().expect("the level at the start");
    watch.stand_still();
    // More than the kernel keeps. Where its own thread is too late for some of them, it tells of fewer.
    for flip in 0..201 {
        site.chip.pull(CONTACT, flip % 2 == 0);
        thread::sleep(Duration::from_millis(2));
    }
    watch.signal(Signal::CONT);
    // Longer than it takes until every level is read again.
    let seen = watch.until_quiet(Duration::from_secs(5));
    for (at, edge) in seen.iter().enumerate() {
        assert_eq!(edge["active"], at % 2 == 0, "an edge changes something: {seen:?}");
    }
    println!("of 201 changes {} were told", seen.len());
    assert!(seen.len() < 201, "the kernel keeps fewer");
    assert_eq!(seen.last().map(|edge| &edge["active"]), Some(&true.into()), "whatever was lost, the end is the truth");
    site.chip.pull(CONTACT, false);
    assert_eq!(watch.next().expect("it goes on")["active"], false);
}

#[test]
fn a_pulse_by_hand_moves_the_line_only_where_that_is_meant() {
    let Some(site) = Site::new() else { return };
    let scope: Scope = site.chip.scope(STRIKE);
    let pulse = |args: &[&str]| site.board.run(&site.gpio(&[&["pulse", "--line", "GPIO17"], args].concat()));
    pulse(&["--ms", "400"]).must(64, &["line 17 (GPIO17)", "not moved", "--yes"]);
    assert_eq!(scope.changes().len(), 0);
    pulse(&["--ms", "400", "--yes"]).must(0, &["line 17 (GPIO17)", "active for 400 ms"]);
    let [on, off] = scope.until(&[true, false])[..] else { panic!("two edges") };
    let (least, most) = on.until(&off);
    let asked = Duration::from_millis(400);
    assert!(most >= asked && least < asked + late(), "on for {least:?} to {most:?}");

    // A line of a door is the daemon's as long as it runs.
    let daemon = site.start();
    pulse(&["--yes"]).must(69, &["line 17 (GPIO17)", "in use by `facegate`"]);
    site.board.run(&site.gpio(&["watch", "--line", "GPIO6"])).must(69, &["in use by `facegate`"]);
    daemon.stop();
    assert_eq!(scope.changes().len(), 2);
}
