//! Two ways, one pulse a person.

use super::*;

const EXIT: Passage = Passage::Exit;

fn lane(lane: Passage, tag: u64) -> Happening {
    Happening::Unlocked { lane, by: Cause::Grant, tag: Some(tag) }
}

fn locked(lane: Passage) -> Happening {
    Happening::Locked { lane }
}

fn relays(step: Step) -> (bool, bool) {
    (step.outputs.strike, step.outputs.exit_strike)
}

/// Somebody goes through.
fn walk(bench: &mut Bench, passage: Passage) {
    bench.sense(Sensor::passage(passage), true);
    bench.run(300);
    bench.sense(Sensor::passage(passage), false);
}

#[test]
fn each_way_has_its_relay_and_a_passage_ends_the_grant() {
    for fail in [FailState::Secure, FailState::Safe] {
        let mut bench = Bench::new(&turnstile(|setup| setup.fail = fail));
        let rest = fail.rest_energised();
        let tag = bench.enter();
        assert_eq!(relays(bench.last), (!rest, rest));
        bench.run(200);
        walk(&mut bench, Passage::Entry);
        assert_eq!(relays(bench.last), (rest, rest));
        bench.must(&[lane(Passage::Entry, tag), passed(tag, true), LOCKED]);
        bench.run(10_000);
        let tag = bench.grant(Class::Standard, EXIT);
        assert_eq!(relays(bench.last), (rest, !rest));
        walk(&mut bench, EXIT);
        let out = Happening::Passed { tag: Some(tag), passage: EXIT, seen: true };
        bench.must(&[lane(EXIT, tag), out, locked(EXIT)]);
        bench.run(1_000);
        assert!(bench.door.is_secure());
    }
}

#[test]
fn the_relay_is_on_for_its_pulse_and_the_grant_for_its_time() {
    let mut bench = Bench::new(&turnstile(|_| {}));
    let tag = bench.enter();
    assert!(bench.run(999).outputs.strike);
    assert!(!bench.run(1).outputs.strike);
    bench.run(3_000);
    walk(&mut bench, Passage::Entry);
    bench.must(&[lane(Passage::Entry, tag), LOCKED, passed(tag, true)]);
    bench.run(1_000);
    let tag = bench.grant(Class::Extended, Passage::Entry);
    assert!(bench.run(1_999).outputs.strike);
    bench.run(3_000);
    bench.must(&[lane(Passage::Entry, tag), LOCKED]);
    bench.run(1);
    bench.must(&[nobody(tag)]);
    bench.run(10_000);
    walk(&mut bench, Passage::Entry);
    bench.must(&[raised(Alarm::ForcedOpen)]);
}

#[test]
fn two_people_get_two_pulses_with_a_gap() {
    let mut bench = Bench::new(&turnstile(|_| {}));
    let (first, second, third, fourth) =
        (bench.enter(), bench.enter(), bench.grant(Class::Standard, EXIT), bench.enter());
    bench.must(&[lane(Passage::Entry, first), refused(Cause::Grant, Some(fourth), Refusal::Busy)]);
    bench.sense(Sensor::PassageEntry, true);
    bench.must(&[passed(first, true), LOCKED]);
    assert_eq!(relays(bench.run(299)), (false, false));
    assert_eq!(relays(bench.run(1)), (true, false));
    bench.sense(Sensor::PassageEntry, false);
    bench.sense(Sensor::PassageEntry, true);
    bench.must(&[lane(Passage::Entry, second), passed(second, true), LOCKED]);
    bench.run(300);
    bench.must(&[lane(EXIT, third)]);
    bench.on(Input::Grant { tag: third, class: Class::Standard, passage: EXIT });
    bench.must(&[refused(Cause::Grant, Some(third), Refusal::Repeated)]);
}

#[test]
fn who_waits_may_follow_before_the_pulse() {
    let mut bench = Bench::new(&turnstile(|_| {}));
    let (first, second) = (bench.enter(), bench.enter());
    walk(&mut bench, Passage::Entry);
    bench.told();
    let mut bench = Bench::new(&turnstile(|setup| {
        setup.settings.turnstile = Some(TurnstileSettings { gap_ms: 2_000, ..TurnstileSettings::default() });
    }));
    assert_eq!((bench.enter(), bench.enter()), (first, second));
    walk(&mut bench, Passage::Entry);
    walk(&mut bench, Passage::Entry);
    bench.must(&[lane(Passage::Entry, first), passed(first, true), LOCKED, passed(second, true)]);
    bench.run(10_000);
    bench.must(&[]);
}

#[test]
fn who_follows_without_a_grant_is_tailgating_and_later_it_is_forced() {
    let mut bench = Bench::new(&turnstile(|_| {}));
    bench.enter();
    walk(&mut bench, Passage::Entry);
    bench.told();
    bench.run(500);
    walk(&mut bench, Passage::Entry);
    bench.must(&[raised(Alarm::Tailgating)]);
    assert!(bench.last.outputs.alarm && bench.last.outputs.buzzer);
    bench.run(2_000);
    walk(&mut bench, EXIT);
    bench.must(&[raised(Alarm::ForcedOpen)]);
    bench.run(10_000);
    bench.must(&[cleared(Alarm::Tailgating), cleared(Alarm::ForcedOpen)]);
    assert!(!bench.last.outputs.alarm);
}

#[test]
fn an_alarm_lasts_while_somebody_stands_there_and_is_raised_once() {
    let mut bench = Bench::new(&turnstile(|_| {}));
    bench.sense(Sensor::PassageExit, true);
    bench.run(15_000);
    bench.must(&[raised(Alarm::ForcedOpen)]);
    bench.run(15_000);
    bench.must(&[raised(Alarm::HeldOpenWarning), raised(Alarm::HeldOpen)]);
    bench.sense(Sensor::PassageExit, false);
    bench.must(&[cleared(Alarm::HeldOpenWarning), cleared(Alarm::HeldOpen), cleared(Alarm::ForcedOpen)]);
    bench.sense(Sensor::PassageExit, true);
    bench.sense(Sensor::PassageExit, false);
    bench.must(&[raised(Alarm::ForcedOpen)]);
    bench.command(Command::ResetAlarms);
    bench.must(&[cleared(Alarm::ForcedOpen)]);
}

#[test]
fn who_passes_the_wrong_way_does_not_use_the_grant() {
    let mut bench = Bench::new(&turnstile(|_| {}));
    let tag = bench.enter();
    walk(&mut bench, EXIT);
    bench.must(&[lane(Passage::Entry, tag), raised(Alarm::ForcedOpen)]);
    assert!(bench.last.outputs.strike);
    walk(&mut bench, Passage::Entry);
    bench.must(&[passed(tag, true), LOCKED]);
}

#[test]
fn a_passage_that_begins_in_the_last_moment_counts() {
    let mut bench = Bench::new(&turnstile(|_| {}));
    let tag = bench.enter();
    bench.run(4_990);
    walk(&mut bench, Passage::Entry);
    bench.must(&[lane(Passage::Entry, tag), LOCKED, passed(tag, true)]);
}

#[test]
fn a_request_to_exit_opens_the_way_out() {
    let mut bench = Bench::new(&turnstile(|_| {}));
    bench.command(Command::Lockdown);
    bench.rex();
    assert_eq!(relays(bench.last), (false, true));
    walk(&mut bench, EXIT);
    let out = Happening::Passed { tag: None, passage: EXIT, seen: true };
    bench.must(&[
        Happening::LockdownBegan,
        Happening::Unlocked { lane: EXIT, by: Cause::Rex, tag: None },
        out,
        locked(EXIT),
    ]);
}

#[test]
fn lockdown_empties_the_queue_and_fire_opens_both_ways() {
    let mut bench = Bench::new(&turnstile(|setup| setup.fail = FailState::Safe));
    let (first, second) = (bench.enter(), bench.enter());
    bench.command(Command::Lockdown);
    bench.must(&[lane(Passage::Entry, first), Happening::LockdownBegan, nobody(first), nobody(second), LOCKED]);
    bench.run(10_000);
    bench.must(&[]);
    bench.sense(Sensor::Fire, true);
    assert_eq!(relays(bench.last), (false, false), "de-energised is open");
    walk(&mut bench, Passage::Entry);
    walk(&mut bench, EXIT);
    assert!(Alarm::ALL.iter().all(|&alarm| !bench.door.stands(alarm)));
}

#[test]
fn in_free_access_nobody_is_an_alarm_and_who_is_granted_is_still_told() {
    let mut bench = Bench::new(&turnstile(|_| {}));
    bench.on(Input::FreeAccess(true));
    assert_eq!(relays(bench.last), (true, true));
    walk(&mut bench, Passage::Entry);
    let tag = bench.enter();
    bench.told();
    walk(&mut bench, Passage::Entry);
    bench.must(&[passed(tag, true)]);
}

#[test]
fn without_a_sensor_or_with_a_lost_one_a_passage_is_assumed() {
    let mut bench = Bench::new(&turnstile(|setup| setup.wiring = Wiring::default()));
    let tag = bench.enter();
    bench.run(1_000);
    bench.must(&[lane(Passage::Entry, tag), passed(tag, false), LOCKED]);
    bench.run(300);
    assert!(bench.door.is_secure());

    let mut bench = Bench::new(&turnstile(|_| {}));
    let first = bench.enter();
    bench.on(Input::SensorLost(Sensor::PassageEntry));
    bench.run(5_300);
    let second = bench.enter();
    bench.run(1_300);
    bench.must(&[
        lane(Passage::Entry, first),
        Happening::SensorFault { sensor: Sensor::PassageEntry },
        passed(first, false),
        LOCKED,
        lane(Passage::Entry, second),
        passed(second, false),
        LOCKED,
    ]);
}
