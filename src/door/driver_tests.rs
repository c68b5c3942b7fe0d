use std::{sync::atomic::AtomicU64, time::Instant};

use facegate_control::door::{Alarm, Cause, Refusal, Sensor};
use jiff::Timestamp;

use super::*;
use crate::{
    clock::{SimulatedClock, SystemClock},
    door::{
        FailState, InputSettings, InputsSettings, Lock, LockSettings, Simulated, SimulatedEdges, SimulatedInput,
        SimulatedSettings, WiegandSettings,
    },
};

#[path = "held_tests.rs"]
mod held;

const MS: Duration = Duration::from_millis(1);

fn settings(fail: FailState) -> Settings {
    Settings { fail, pulse_ms: 200, ..Settings::default() }
}

fn start(fail: FailState, clock: &Arc<dyn Clock>) -> (Driver, SimulatedEdges) {
    let lock = Simulated::open(&SimulatedSettings::default(), fail.rest_energised(), Arc::clone(clock)).expect("opens");
    let edges = lock.edges();
    (Driver::start(&settings(fail), Hardware::only(Box::new(lock)), None, Arc::clone(clock)).expect("starts"), edges)
}

fn grant(tag: u64, at: Moment) -> Grant {
    Grant { tag, class: Class::Standard, passage: Passage::Entry, card: None, at }
}

fn next(driver: &Driver) -> Edge {
    loop {
        if let Report::Edge(edge) = driver.reports().recv_timeout(Duration::from_secs(10)).expect("an edge") {
            return edge;
        }
    }
}

/// What has been reported and not read.
fn edges(driver: &Driver) -> Vec<Edge> {
    driver
        .reports()
        .try_iter()
        .filter_map(|report| if let Report::Edge(edge) = report { Some(edge) } else { None })
        .collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
        thread::sleep(MS);
    }
}

/// A lock that does as it is told, badly.
#[derive(Clone, Default)]
struct Bad {
    /// The level it has.
    energised: Arc<AtomicBool>,
    /// As many calls fail.
    failures: Arc<AtomicU64>,
    panics: Arc<AtomicU64>,
    /// Each call takes this many milliseconds.
    slow: Arc<AtomicU64>,
}

impl Lock for Bad {
    fn set(&mut self, energised: bool) -> Result<()> {
        thread::sleep(MS * self.slow.load(Ordering::SeqCst) as u32);
        let took =
            |count: &AtomicU64| count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        assert!(!took(&self.panics), "this lock panics");
        if took(&self.failures) {
            return Err(lock_error("this lock fails"));
        }
        self.energised.store(energised, Ordering::SeqCst);
        Ok(())
    }

    fn describe(&self) -> String {
        "a bad lock".into()
    }
}

fn start_bad(lock: &Bad, clock: &Arc<dyn Clock>) -> Driver {
    Driver::start(&settings(FailState::Secure), Hardware::only(Box::new(lock.clone())), None, Arc::clone(clock))
        .expect("starts")
}

fn system() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

#[test]
fn a_grant_pulses_the_relay_and_its_tag_comes_back() {
    for fail in [FailState::Secure, FailState::Safe] {
        let clock = system();
        let (driver, edges) = start(fail, &clock);
        let rest = fail.rest_energised();
        assert_eq!(edges.energised(), rest, "at rest from the start");
        let asked = clock.now();
        driver.grant(grant(42, asked)).expect("heard");
        let opened = next(&driver);
        assert_eq!((opened.energised, opened.open, opened.tag), (!rest, true, Some(42)));
        let locked = next(&driver);
        assert_eq!((locked.energised, locked.open, locked.tag), (rest, false, None));
        let pulse = locked.at.since(opened.at);
        assert!(pulse >= 190 * MS && pulse < Duration::from_secs(5), "a pulse of about 200 ms: {pulse:?}");
        driver.stop().expect("rests");
        assert!(!driver.health().open && driver.health().healthy);
    }
}

#[test]
fn a_grant_while_open_prolongs_without_an_edge() {
    let time = SimulatedClock::new(Timestamp::UNIX_EPOCH);
    let clock: Arc<dyn Clock> = Arc::new(time.clone());
    let (driver, _) = start(FailState::Secure, &clock);
    driver.grant(grant(1, clock.now())).expect("heard");
    assert_eq!(next(&driver).tag, Some(1));
    time.advance(150 * MS);
    driver.grant(grant(2, clock.now())).expect("heard");
    eventually("the grant is taken", || driver.grants.is_empty());
    thread::sleep(20 * MS);
    time.advance(199 * MS);
    thread::sleep(120 * MS);
    assert!(edges(&driver).is_empty(), "still open, 349 ms after the first grant");
    time.advance(1_000 * MS);
    assert!(!next(&driver).open);
}

#[test]
fn stop_and_drop_leave_the_relay_at_rest_at_once() {
    for fail in [FailState::Secure, FailState::Safe] {
        for dropped in [false, true] {
            let clock = system();
            let (driver, edges) = start(fail, &clock);
            driver.grant(grant(1, clock.now())).expect("heard");
            assert!(next(&driver).open);
            let begun = Instant::now();
            if !dropped {
                driver.stop().expect("rests");
                driver.stop().expect("twice does no harm");
                let error = driver.grant(grant(2, clock.now())).expect_err("stopped");
                assert_eq!(error.kind(), Kind::NotReady);
            }
            drop(driver);
            assert!(begun.elapsed() < 250 * MS, "took {:?}", begun.elapsed());
            assert_eq!(edges.energised(), fail.rest_energised());
        }
    }
}

#[test]
fn a_lock_that_fails_is_asked_again_and_reported() {
    let (clock, lock) = (system(), Bad::default());
    let driver = start_bad(&lock, &clock);
    lock.failures.store(1, Ordering::SeqCst);
    driver.grant(grant(7, clock.now())).expect("heard");
    assert_eq!(next(&driver).tag, Some(7), "opened at the second attempt");
    let health = driver.health();
    assert_eq!((health.healthy, health.errors, health.last_error.as_deref()), (true, 1, Some("this lock fails")));
    lock.failures.store(3, Ordering::SeqCst);
    eventually("it fails to lock", || !driver.health().healthy);
    assert!(!next(&driver).open, "locked in the end");
    assert!(!lock.energised.load(Ordering::SeqCst));
    assert_eq!(driver.health().errors, 4);
}

#[test]
fn a_command_is_answered_with_what_came_of_it() {
    let (clock, lock) = (system(), Bad::default());
    let driver = start_bad(&lock, &clock);
    let ask = |command| {
        let heard = driver.command(command).expect("heard").recv_timeout(Duration::from_secs(10)).expect("answered");
        (heard.refused, heard.mode, heard.works)
    };
    assert_eq!(ask(Command::Lockdown), (None, Mode::Lockdown, true));
    assert_eq!(ask(Command::Hold), (Some(Refusal::Lockdown), Mode::Lockdown, true));
    assert_eq!(ask(Command::Release), (None, Mode::Locked, true));
    lock.failures.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(ask(Command::Hold), (None, Mode::Held, false), "the relay has not followed");
}

#[test]
fn a_pulse_that_a_broken_lock_missed_does_not_come_late() {
    let (clock, lock) = (system(), Bad::default());
    let driver = start_bad(&lock, &clock);
    lock.failures.store(u64::MAX, Ordering::SeqCst);
    driver.grant(grant(7, clock.now())).expect("heard");
    eventually("it fails", || driver.health().errors > 0);
    thread::sleep(250 * MS);
    lock.failures.store(0, Ordering::SeqCst);
    assert!(!next(&driver).open, "the first thing that works is locking");
}

#[test]
fn a_panic_leaves_the_relay_at_rest_and_the_door_goes_on() {
    let (clock, lock) = (system(), Bad::default());
    let driver = start_bad(&lock, &clock);
    driver.grant(grant(1, clock.now())).expect("heard");
    assert!(next(&driver).open);
    lock.panics.store(1, Ordering::SeqCst);
    // At the pulse's end, setting the lock panics once.
    assert!(!next(&driver).open);
    assert!(!lock.energised.load(Ordering::SeqCst));
    assert_eq!(driver.health().last_error.as_deref(), Some("the door's thread panicked"));
    driver.grant(grant(2, clock.now())).expect("heard");
    assert_eq!(next(&driver).tag, Some(2), "the door goes on");
    lock.panics.store(1, Ordering::SeqCst);
    driver.stop().expect("rests in spite of a panic while stopping");
    assert!(!lock.energised.load(Ordering::SeqCst));
}

#[test]
fn a_lock_that_hangs_blocks_nobody_and_old_grants_open_nothing() {
    let (clock, lock) = (system(), Bad::default());
    let driver = start_bad(&lock, &clock);
    lock.slow.store(1_500, Ordering::SeqCst);
    let begun = Instant::now();
    driver.grant(grant(0, clock.now())).expect("heard");
    eventually("the lock hangs", || driver.grants.is_empty());
    let heard = (1..=20).filter(|&tag| driver.grant(grant(tag, clock.now())).is_ok()).count();
    assert_eq!(heard, GRANTS);
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody waited");
    let error = driver.stop().expect_err("it hangs");
    assert!(error.message().contains("did not come to rest within 200 ms"), "{error}");
    drop(driver);

    let time = SimulatedClock::new(Timestamp::UNIX_EPOCH);
    time.advance(5_000 * MS);
    let clock: Arc<dyn Clock> = Arc::new(time);
    let driver = start_bad(&Bad::default(), &clock);
    driver.grant(grant(1, clock.now() - 1_001 * MS)).expect("heard");
    eventually("it is refused", || driver.health().refused == 1);
    assert!(edges(&driver).is_empty());
}

#[test]
fn a_lock_that_cannot_rest_does_not_start() {
    let lock = Bad::default();
    lock.failures.store(1, Ordering::SeqCst);
    let error =
        Driver::start(&Settings::default(), Hardware::only(Box::new(lock)), None, system()).err().expect("refused");
    assert_eq!(error.to_string(), "the lock of door `door` (a bad lock) cannot be put at rest: this lock fails");
}

#[test]
fn what_was_given_up_on_is_not_obeyed_later_save_a_lockdown() {
    let (clock, lock) = (system(), Bad::default());
    let driver = start_bad(&lock, &clock);
    let hang = || {
        lock.slow.store(1_300, Ordering::SeqCst);
        driver.grant(grant(clock.now().since_start().as_micros() as u64, clock.now())).expect("heard");
        eventually("the lock hangs", || driver.grants.is_empty());
        thread::sleep(50 * MS);
    };
    hang();
    let [hold, reset] = [Command::Hold, Command::ResetAlarms].map(|command| driver.command(command).expect("heard"));
    lock.slow.store(0, Ordering::SeqCst);
    let answer = |heard: Receiver<Heard>| heard.recv_timeout(Duration::from_secs(10)).expect("answered");
    assert_eq!(answer(hold).refused, Some(Refusal::Late));
    let reset = answer(reset);
    assert_eq!(reset.refused, Some(Refusal::Late));
    assert_ne!(reset.mode, Mode::Held);
    eventually("locked", || !driver.health().open);
    hang();
    let lockdown = driver.command(Command::Lockdown).expect("heard");
    lock.slow.store(0, Ordering::SeqCst);
    let lockdown = answer(lockdown);
    assert_eq!((lockdown.refused, lockdown.mode), (None, Mode::Lockdown));
}

#[test]
fn what_is_heard_too_late_to_be_answered_in_time_is_not_obeyed() {
    for (waited, refused) in [(750, None), (850, Some(Refusal::Late))] {
        let (time, lock) = (SimulatedClock::new(Timestamp::UNIX_EPOCH), Bad::default());
        let clock: Arc<dyn Clock> = Arc::new(time.clone());
        let driver = start_bad(&lock, &clock);
        lock.slow.store(1_300, Ordering::SeqCst);
        driver.grant(grant(1, clock.now())).expect("heard");
        eventually("the lock hangs", || driver.grants.is_empty());
        thread::sleep(50 * MS);
        let hold = driver.command(Command::Hold).expect("heard");
        time.advance(waited * MS);
        lock.slow.store(0, Ordering::SeqCst);
        let heard = hold.recv_timeout(Duration::from_secs(10)).expect("answered");
        assert_eq!(heard.refused, refused, "after {waited} ms");
    }
}

/// A driver with everything simulated, its inputs in files, in a folder of its own.
struct Wired {
    driver: Driver,
    strike: SimulatedEdges,
    signals: Vec<SimulatedEdges>,
    folder: tempfile::TempDir,
}

impl Wired {
    fn new(fail: FailState, change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(fail, None, Box::new(|_| None), change)
    }

    /// `lock` may put another lock in the place of the simulated one.
    fn with(
        fail: FailState,
        place: Option<Place>,
        lock: Box<dyn FnOnce(Simulated) -> Option<Box<dyn Lock>>>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let input = |name: &str| {
            let level = folder.path().join(name);
            Some(InputSettings::Simulated(SimulatedInput { level, debounce_ms: 10 }))
        };
        let inputs = InputsSettings {
            rex: input("rex"),
            contact: input("contact"),
            fire: input("fire"),
            ..InputsSettings::default()
        };
        let mut settings = Settings { inputs, ..settings(fail) };
        settings.controller.opening_grace_ms = 0;
        change(&mut settings);
        let clock = system();
        let simulated = |rest| {
            let line = Simulated::open(&SimulatedSettings::default(), rest, Arc::clone(&clock)).expect("opens");
            (line.edges(), line)
        };
        let (strike, line) = simulated(fail.rest_energised());
        let (signals, lines): (Vec<_>, Vec<_>) = (0..4).map(|_| simulated(false)).unzip();
        let spare = Simulated::open(&SimulatedSettings::default(), false, Arc::clone(&clock)).expect("opens");
        let mut hardware = Hardware::only(lock(spare).unwrap_or_else(|| Box::new(line)));
        let mut lines = lines.into_iter().map(|line| Some(Box::new(line) as Box<dyn Lock>));
        let mut line = || lines.next().flatten();
        (hardware.green, hardware.red, hardware.buzzer, hardware.alarm) = (line(), line(), line(), line());
        let hardware = hardware.with_inputs(&settings, &clock).expect("simulated inputs open");
        let driver = Driver::start(&settings, hardware, place, clock).expect("starts");
        Self { driver, strike, signals, folder }
    }

    fn write(&self, input: &str, level: &str) {
        std::fs::write(self.folder.path().join(input), level).expect("written");
    }

    fn grant(&self, tag: u64) {
        let now = self.driver.beat.now();
        self.driver.grant(grant(tag, now)).expect("heard");
    }

    /// Waits until that has happened; gives everything since the last time.
    #[track_caller]
    fn until(&self, awaited: Happening) -> Vec<Happening> {
        let mut seen = Vec::new();
        loop {
            match self.driver.reports().recv_timeout(Duration::from_secs(10)) {
                Ok(Report::Happened { happening, .. }) => seen.push(happening),
                Ok(Report::Edge(_) | Report::Card { .. }) => continue,
                Err(_) => panic!("never: {awaited:?}, but {seen:?}"),
            }
            if seen.last() == Some(&awaited) {
                return seen;
            }
        }
    }
}

#[test]
fn the_contact_relocks_and_every_signal_follows() {
    let wired = Wired::new(FailState::Secure, |settings| settings.pulse_ms = 60_000);
    let levels = || wired.signals.iter().map(SimulatedEdges::energised).collect::<Vec<_>>();
    eventually("red", || levels() == [false, true, false, false]);
    wired.grant(9);
    let unlocked = Happening::Unlocked { lane: Passage::Entry, by: Cause::Grant, tag: Some(9) };
    wired.until(unlocked);
    eventually("green", || levels() == [true, false, false, false]);
    assert_eq!(wired.driver.health().mode, Mode::Unlocked);
    wired.write("contact", "1");
    let passed = Happening::Passed { tag: Some(9), passage: Passage::Entry, seen: true };
    let seen = wired.until(Happening::Locked { lane: Passage::Entry });
    assert_eq!(seen, [Happening::Opened, passed, Happening::Locked { lane: Passage::Entry }]);
    eventually("the strike rests", || !wired.strike.energised());
    wired.write("contact", "0");
    wired.until(Happening::Closed);
    wired.write("contact", "1");
    wired.until(Happening::Raised { alarm: Alarm::ForcedOpen });
    eventually("the alarm", || levels() == [false, true, true, true]);
    wired.driver.command(Command::ResetAlarms).expect("heard");
    wired.until(Happening::Cleared { alarm: Alarm::ForcedOpen });
    wired.driver.stop().expect("rests");
    assert_eq!(levels(), [false; 4], "everything is dark at the end");
}

#[test]
fn a_broken_wire_is_told_and_a_broken_fire_input_is_fire() {
    let wired = Wired::new(FailState::Safe, |_| {});
    wired.write("fire", "cut");
    wired.until(Happening::SensorFault { sensor: Sensor::Fire });
    eventually("released", || !wired.strike.energised());
    assert!(!wired.driver.health().inputs_healthy);
    wired.write("fire", "0");
    wired.until(Happening::SensorRestored { sensor: Sensor::Fire });
    eventually("locked", || wired.strike.energised());
    eventually("all inputs are well", || wired.driver.health().inputs_healthy);
    wired.write("fire", "1");
    wired.until(Happening::EmergencyBegan { released: true });
    wired.driver.command(Command::Lockdown).expect("heard");
    wired.driver.stop().expect("ends");
    assert!(!wired.strike.energised(), "fire goes before the rest at the end, too");
}

#[test]
fn a_panic_forgets_neither_a_lockdown_nor_a_fire() {
    let lock = Bad::default();
    let bad = lock.clone();
    let wired = Wired::with(FailState::Safe, None, Box::new(move |_| Some(Box::new(bad))), |_| {});
    wired.write("fire", "1");
    wired.until(Happening::EmergencyBegan { released: true });
    wired.driver.command(Command::Lockdown).expect("heard");
    wired.until(Happening::LockdownBegan);
    // The end of the fire would lock it, and that panics once.
    lock.panics.store(1, Ordering::SeqCst);
    wired.write("fire", "0");
    eventually("it panicked", || wired.driver.health().errors > 0);
    eventually("locked", || lock.energised.load(Ordering::SeqCst));
    eventually("in lockdown", || wired.driver.health().mode == Mode::Lockdown);
    wired.grant(1);
    let refused = Happening::Refused { by: Cause::Grant, tag: Some(1), why: Refusal::Lockdown };
    wired.until(refused);
    wired.write("fire", "1");
    eventually("released", || !lock.energised.load(Ordering::SeqCst));
    // Whatever panics next: at no moment is it locked again.
    lock.panics.store(1, Ordering::SeqCst);
    wired.driver.command(Command::Release).expect("heard");
    wired.until(Happening::LockdownEnded);
    thread::sleep(100 * MS);
    assert!(!lock.energised.load(Ordering::SeqCst));
}

#[test]
fn of_an_airlock_one_door_opens() {
    let names = ["outer".to_owned(), "inner".to_owned()];
    let interlock = Interlock::new(&["outer", "inner"], &[("airlock", &names)]).expect("valid");
    let interlock = Arc::new(Mutex::new(interlock));
    let [outer, inner] = [0, 1].map(|door| {
        let place = Some(Place { interlock: Arc::clone(&interlock), door });
        Wired::with(FailState::Secure, place, Box::new(|_| None), |_| {})
    });
    outer.grant(1);
    outer.until(Happening::Unlocked { lane: Passage::Entry, by: Cause::Grant, tag: Some(1) });
    inner.grant(2);
    inner.until(Happening::Refused { by: Cause::Grant, tag: Some(2), why: Refusal::Interlock });
    outer.write("contact", "1");
    outer.until(Happening::Opened);
    thread::sleep(300 * MS);
    inner.grant(3);
    inner.until(Happening::Refused { by: Cause::Grant, tag: Some(3), why: Refusal::Interlock });
    outer.write("contact", "0");
    outer.until(Happening::Closed);
    eventually("the inner door opens", || {
        inner.grant(4 + inner.driver.beat.now().since_start().as_micros() as u64);
        thread::sleep(20 * MS);
        inner.strike.energised()
    });
    assert!(!outer.strike.energised());
}

/// Prints how long a grant takes to the relay's edge: `cargo nextest run --run-ignored only --no-capture -E 'test(/how_long/)'`.
#[test]
#[ignore = "a measurement, which wants a quiet machine"]
fn how_long_a_grant_takes_to_the_edge() {
    let wired = Wired::new(FailState::Secure, |settings| settings.pulse_ms = 60_000);
    let mut took: Vec<_> = (0..5_000)
        .map(|tag| {
            let at = wired.driver.beat.now();
            wired.driver.grant(grant(tag, at)).expect("heard");
            let edge = next(&wired.driver);
            assert!(edge.open && edge.tag == Some(tag));
            wired.driver.command(Command::Lockdown).expect("heard");
            assert!(!next(&wired.driver).open);
            wired.driver.command(Command::Release).expect("heard");
            wired.until(Happening::LockdownEnded);
            edge.at.since(at)
        })
        .collect();
    took.sort();
    println!("{} grants: median {:?}, p99 {:?}, longest {:?}", took.len(), took[2_500], took[4_950], took[4_999]);
}

#[test]
fn free_access_ends_where_nobody_says_any_more_that_it_lasts() {
    let simulated = SimulatedClock::new(Timestamp::UNIX_EPOCH);
    let clock: Arc<dyn Clock> = Arc::new(simulated.clone());
    let (driver, edges) = start(FailState::Secure, &clock);
    driver.free_access(true).expect("heard");
    assert!(next(&driver).open);
    for _ in 0..5 {
        simulated.advance(Duration::from_secs(50));
        driver.free_access(true).expect("heard");
        // The thread comes round four times a second.
        thread::sleep(300 * MS);
        assert!(edges.energised(), "it lasts");
    }
    simulated.advance(Duration::from_secs(61));
    let locked = next(&driver);
    assert!(!locked.open && !edges.energised());
    driver.free_access(true).expect("heard");
    assert!(next(&driver).open, "somebody keeps the hours again");
    driver.stop().expect("rests");
}
