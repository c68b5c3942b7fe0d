use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use jiff::Timestamp;

use super::*;
use crate::{
    clock::{SimulatedClock, SystemClock},
    door::{Simulated, SimulatedEdges, SimulatedSettings},
};

const MS: Duration = Duration::from_millis(1);

fn settings(fail: FailState) -> Settings {
    Settings { fail, pulse_ms: 200, ..Settings::default() }
}

fn start(fail: FailState, clock: &Arc<dyn Clock>) -> (Driver, SimulatedEdges) {
    let lock = Simulated::open(&SimulatedSettings::default(), fail.rest_energised(), Arc::clone(clock)).expect("opens");
    let edges = lock.edges();
    (Driver::start(&settings(fail), Box::new(lock), Arc::clone(clock)).expect("starts"), edges)
}

fn next(driver: &Driver) -> Edge {
    driver.edges().recv_timeout(Duration::from_secs(10)).expect("an edge")
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
    Driver::start(&settings(FailState::Secure), Box::new(lock.clone()), Arc::clone(clock)).expect("starts")
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
        driver.grant(42, asked).expect("heard");
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
    driver.grant(1, clock.now()).expect("heard");
    assert_eq!(next(&driver).tag, Some(1));
    time.advance(150 * MS);
    driver.grant(2, clock.now()).expect("heard");
    eventually("the grant is taken", || driver.grants.is_empty());
    thread::sleep(20 * MS);
    time.advance(199 * MS);
    thread::sleep(120 * MS);
    assert!(driver.edges().is_empty(), "still open, 349 ms after the first grant");
    time.advance(1_000 * MS);
    assert!(!next(&driver).open);
}

#[test]
fn stop_and_drop_leave_the_relay_at_rest_at_once() {
    for fail in [FailState::Secure, FailState::Safe] {
        for dropped in [false, true] {
            let clock = system();
            let (driver, edges) = start(fail, &clock);
            driver.grant(1, clock.now()).expect("heard");
            assert!(next(&driver).open);
            let begun = Instant::now();
            if !dropped {
                driver.stop().expect("rests");
                driver.stop().expect("twice does no harm");
                let error = driver.grant(2, clock.now()).expect_err("stopped");
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
    driver.grant(7, clock.now()).expect("heard");
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
fn a_pulse_that_a_broken_lock_missed_does_not_come_late() {
    let (clock, lock) = (system(), Bad::default());
    let driver = start_bad(&lock, &clock);
    lock.failures.store(u64::MAX, Ordering::SeqCst);
    driver.grant(7, clock.now()).expect("heard");
    eventually("it fails", || driver.health().errors > 0);
    thread::sleep(250 * MS);
    lock.failures.store(0, Ordering::SeqCst);
    assert!(!next(&driver).open, "the first thing that works is locking");
}

#[test]
fn a_panic_leaves_the_relay_at_rest_and_the_door_goes_on() {
    let (clock, lock) = (system(), Bad::default());
    let driver = start_bad(&lock, &clock);
    driver.grant(1, clock.now()).expect("heard");
    assert!(next(&driver).open);
    lock.panics.store(1, Ordering::SeqCst);
    // At the pulse's end, setting the lock panics once.
    assert!(!next(&driver).open);
    assert!(!lock.energised.load(Ordering::SeqCst));
    assert_eq!(driver.health().last_error.as_deref(), Some("the door's thread panicked"));
    driver.grant(2, clock.now()).expect("heard");
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
    driver.grant(0, clock.now()).expect("heard");
    eventually("the lock hangs", || driver.grants.is_empty());
    let heard = (1..=20).filter(|&tag| driver.grant(tag, clock.now()).is_ok()).count();
    assert_eq!(heard, GRANTS);
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody waited");
    let error = driver.stop().expect_err("it hangs");
    assert!(error.message().contains("did not come to rest within 200 ms"), "{error}");
    drop(driver);

    let time = SimulatedClock::new(Timestamp::UNIX_EPOCH);
    time.advance(5_000 * MS);
    let clock: Arc<dyn Clock> = Arc::new(time);
    let driver = start_bad(&Bad::default(), &clock);
    driver.grant(1, clock.now() - 1_001 * MS).expect("heard");
    eventually("it is refused", || driver.health().refused == 1);
    assert!(driver.edges().is_empty());
}

#[test]
fn a_lock_that_cannot_rest_does_not_start() {
    let lock = Bad::default();
    lock.failures.store(1, Ordering::SeqCst);
    let error = Driver::start(&Settings::default(), Box::new(lock), system()).err().expect("refused");
    assert_eq!(error.to_string(), "the lock of door `door` (a bad lock) cannot be put at rest: this lock fails");
}
