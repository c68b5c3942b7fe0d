//! Forced, held open, tampered with; the buzzer and the alarm relay.

use super::*;

#[test]
fn an_opening_without_a_right_is_forced_until_the_door_is_closed() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.run(10_000);
    bench.sense(Sensor::Contact, true);
    bench.must(&[Happening::Opened, raised(Alarm::ForcedOpen)]);
    assert!(bench.last.outputs.alarm && bench.last.outputs.buzzer);
    assert_eq!(bench.door.mode(), Mode::Forced);
    bench.run(100_000);
    let tag = bench.enter();
    bench.run(100_000);
    bench.must(&[unlocked(Cause::Grant, Some(tag)), passed(tag, false), LOCKED]);
    bench.sense(Sensor::Contact, false);
    bench.must(&[Happening::Closed, cleared(Alarm::ForcedOpen)]);
    assert!(!bench.last.outputs.alarm && !bench.last.outputs.buzzer);
}

#[test]
fn an_alarm_that_was_noted_is_followed_by_the_time_to_close() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.run(10_000);
    bench.sense(Sensor::Contact, true);
    bench.command(Command::ResetAlarms);
    bench.told();
    assert_eq!(bench.door.mode(), Mode::Locked);
    bench.run(30_000);
    bench.must(&[raised(Alarm::HeldOpenWarning), raised(Alarm::HeldOpen)]);
    assert_eq!(bench.door.mode(), Mode::HeldOpen);
    bench.command(Command::ResetAlarms);
    bench.must(&[cleared(Alarm::HeldOpenWarning), cleared(Alarm::HeldOpen)]);
    bench.run(20_000);
    bench.must(&[raised(Alarm::HeldOpenWarning)]);
    bench.sense(Sensor::Contact, false);
    bench.must(&[Happening::Closed, cleared(Alarm::HeldOpenWarning)]);
}

#[test]
fn without_the_forced_open_alarm_only_the_time_counts() {
    let mut bench = Bench::new(&setup(|setup| setup.settings.forced_open_alarm = false));
    bench.run(10_000);
    bench.sense(Sensor::Contact, true);
    bench.must(&[Happening::Opened]);
    bench.run(20_000);
    bench.must(&[raised(Alarm::HeldOpenWarning)]);
}

#[test]
fn a_door_that_stands_open_is_warned_of_then_alarmed_then_cleared() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.enter();
    bench.sense(Sensor::Contact, true);
    bench.told();
    bench.run(19_999);
    bench.must(&[]);
    bench.run(1);
    bench.must(&[raised(Alarm::HeldOpenWarning)]);
    assert!(bench.last.outputs.buzzer && !bench.last.outputs.alarm);
    bench.run(9_999);
    bench.must(&[]);
    bench.run(1);
    bench.must(&[raised(Alarm::HeldOpen)]);
    assert!(bench.last.outputs.buzzer && bench.last.outputs.alarm);
    bench.run(1_000_000);
    bench.must(&[]);
    bench.sense(Sensor::Contact, false);
    bench.must(&[Happening::Closed, cleared(Alarm::HeldOpenWarning), cleared(Alarm::HeldOpen)]);
}

#[test]
fn people_who_need_longer_have_longer_to_close() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.grant(Class::Extended, Passage::Entry);
    bench.sense(Sensor::Contact, true);
    bench.told();
    bench.run(39_999);
    bench.must(&[]);
    bench.run(1);
    bench.must(&[raised(Alarm::HeldOpenWarning)]);
}

#[test]
fn somebody_else_who_comes_through_begins_the_time_anew() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.enter();
    bench.sense(Sensor::Contact, true);
    bench.run(25_000);
    bench.told();
    let tag = bench.enter();
    bench.run(3_000);
    bench.must(&[cleared(Alarm::HeldOpenWarning), unlocked(Cause::Grant, Some(tag)), passed(tag, false), LOCKED]);
    bench.run(16_999);
    bench.must(&[]);
    bench.run(1);
    bench.must(&[raised(Alarm::HeldOpenWarning)]);
}

#[test]
fn the_warning_beeps_and_the_alarm_is_steady() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.enter();
    bench.sense(Sensor::Contact, true);
    bench.run(20_000);
    let mut sounded = 0;
    for _ in 0..5_000 {
        sounded += u64::from(bench.last.outputs.buzzer);
        bench.run(1);
    }
    assert_eq!(sounded, 5 * 200, "200 ms of each second");
    bench.run(10_000);
    assert!((0..2_000).all(|_| bench.run(1).outputs.buzzer));

    let mut quiet = Bench::new(&setup(|setup| setup.settings.buzzer_beep_ms = 0));
    quiet.enter();
    quiet.sense(Sensor::Contact, true);
    quiet.run(20_000);
    assert!(!quiet.last.outputs.buzzer && quiet.door.stands(Alarm::HeldOpenWarning));
}

#[test]
fn nobody_holds_a_free_door_open_and_the_time_begins_when_it_ends() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.run(10_000);
    bench.sense(Sensor::Contact, true);
    assert!(bench.door.stands(Alarm::ForcedOpen));
    bench.told();
    bench.on(Input::FreeAccess(true));
    bench.must(&[Happening::FreeAccessBegan, cleared(Alarm::ForcedOpen), unlocked(Cause::FreeAccess, None)]);
    bench.sense(Sensor::Contact, false);
    bench.sense(Sensor::Contact, true);
    bench.run(1_000_000);
    bench.must(&[Happening::Closed, Happening::Opened]);
    bench.on(Input::FreeAccess(false));
    bench.run(20_000);
    bench.must(&[Happening::FreeAccessEnded, LOCKED, raised(Alarm::HeldOpenWarning)]);
}

#[test]
fn a_door_found_open_is_not_forced_but_must_be_closed() {
    let mut door = Controller::new(&setup(|_| {})).expect("valid");
    let mut told = Vec::new();
    door.on(Input::Level { sensor: Sensor::Contact, active: true }, at(1), &mut told);
    door.on(Input::Tick, at(20_031), &mut told);
    assert_eq!(told, [Happening::Opened, raised(Alarm::HeldOpenWarning)]);

    let mut bench = Bench::new(&setup(|_| {}));
    bench.run(10_000);
    bench.on(Input::SensorLost(Sensor::Contact));
    bench.on(Input::Level { sensor: Sensor::Contact, active: true });
    bench.run(1_000);
    bench.must(&[Happening::SensorFault { sensor: Sensor::Contact }]);
    bench.on(Input::SensorFound(Sensor::Contact));
    bench.sense(Sensor::Contact, true);
    bench.must(&[Happening::SensorRestored { sensor: Sensor::Contact }, Happening::Opened]);
}

#[test]
fn a_contact_that_is_lost_cannot_see_who_passes() {
    let mut bench = Bench::new(&setup(|_| {}));
    let first = bench.enter();
    bench.on(Input::SensorLost(Sensor::Contact));
    bench.on(Input::SensorLost(Sensor::Contact));
    let second = bench.enter();
    bench.run(3_500);
    bench.must(&[
        unlocked(Cause::Grant, Some(first)),
        Happening::SensorFault { sensor: Sensor::Contact },
        passed(first, false),
        passed(second, false),
        LOCKED,
    ]);
}

#[test]
fn tampering_is_an_alarm_until_the_housing_is_closed() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.sense(Sensor::Tamper, true);
    assert!(bench.last.outputs.alarm && !bench.last.outputs.strike);
    bench.enter();
    assert!(bench.unlocked(), "people still get in");
    bench.run(3_500);
    bench.told();
    bench.sense(Sensor::Tamper, false);
    bench.must(&[cleared(Alarm::Tamper)]);
    assert!(!bench.last.outputs.alarm);
}
