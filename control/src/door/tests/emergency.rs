//! Fire goes before everything.

use super::*;

fn everything_against_it(bench: &mut Bench) {
    bench.command(Command::Lockdown);
    bench.on(Input::InterlockFree(false));
    bench.command(Command::Release);
    bench.command(Command::Lockdown);
    bench.command(Command::EndEmergency);
    bench.on(Input::FreeAccess(false));
}

#[test]
fn fire_releases_a_fail_safe_door_whatever_else_is_true() {
    let mut bench = Bench::new(&setup(|setup| setup.fail = FailState::Safe));
    everything_against_it(&mut bench);
    assert!(bench.last.outputs.strike, "energised is locked");
    bench.sense(Sensor::Fire, true);
    assert!(!bench.last.outputs.strike);
    assert_eq!(bench.door.mode(), Mode::Emergency);
    everything_against_it(&mut bench);
    assert!(!bench.last.outputs.strike);
    bench.on(Input::Shutdown);
    assert!(!bench.last.outputs.strike, "even after the end");
    bench.sense(Sensor::Fire, false);
    assert!(bench.last.outputs.strike, "and then it rests");
    bench.sense(Sensor::Fire, true);
    assert!(!bench.last.outputs.strike);
}

#[test]
fn it_locks_again_when_the_fire_panel_is_reset() {
    let mut bench = Bench::new(&setup(|setup| setup.fail = FailState::Safe));
    bench.sense(Sensor::Fire, true);
    bench.run(100_000);
    bench.sense(Sensor::Fire, false);
    bench.must(&[
        Happening::EmergencyBegan { released: true },
        unlocked(Cause::Emergency, None),
        Happening::EmergencyEnded,
        LOCKED,
    ]);
}

#[test]
fn one_that_latches_waits_for_an_operator() {
    let mut bench = Bench::new(&setup(|setup| {
        (setup.fail, setup.settings.fire_latches) = (FailState::Safe, true);
    }));
    bench.sense(Sensor::Fire, true);
    bench.told();
    bench.command(Command::EndEmergency);
    bench.must(&[refused(Cause::Command, None, Refusal::Fire)]);
    bench.sense(Sensor::Fire, false);
    bench.run(1_000_000);
    assert!(bench.unlocked());
    bench.command(Command::EndEmergency);
    bench.must(&[Happening::EmergencyEnded, LOCKED]);
}

#[test]
fn a_fail_secure_door_is_released_only_where_it_is_asked_for() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.sense(Sensor::Fire, true);
    assert!(!bench.unlocked());
    bench.must(&[Happening::EmergencyBegan { released: false }]);
    assert_eq!(bench.door.mode(), Mode::Locked);
    bench.enter();
    assert!(bench.unlocked(), "the fire brigade's key still works");

    let mut bench = Bench::new(&setup(|setup| setup.settings.release_on_fire = Some(true)));
    bench.sense(Sensor::Fire, true);
    assert!(bench.last.outputs.strike);
    bench.on(Input::Shutdown);
    assert!(!bench.last.outputs.strike, "at rest it is as it is without power");
}

#[test]
fn a_fire_input_that_cannot_be_read_is_fire_for_a_fail_safe_door_alone() {
    for (fail, released) in [(FailState::Safe, true), (FailState::Secure, false)] {
        let mut bench = Bench::new(&setup(|setup| {
            (setup.fail, setup.settings.release_on_fire) = (fail, Some(true));
        }));
        bench.on(Input::SensorLost(Sensor::Fire));
        assert_eq!(bench.unlocked(), released);
        bench.on(Input::Level { sensor: Sensor::Fire, active: false });
        bench.run(1_000);
        assert_eq!(bench.unlocked(), released, "what it says now is worth nothing");
        bench.on(Input::SensorFound(Sensor::Fire));
        assert!(!bench.unlocked());
    }
}

#[test]
fn a_loose_wire_does_not_hide_a_fire() {
    let mut bench = Bench::new(&setup(|setup| setup.fail = FailState::Safe));
    for bounce in 0..20 {
        bench.on(Input::Level { sensor: Sensor::Fire, active: bounce % 2 == 0 });
        bench.run(5);
    }
    assert!(bench.told().contains(&Happening::EmergencyBegan { released: true }));
}

#[test]
fn nothing_is_forced_while_people_flee() {
    let mut bench = Bench::new(&setup(|setup| setup.fail = FailState::Safe));
    bench.run(10_000);
    bench.sense(Sensor::Fire, true);
    bench.sense(Sensor::Contact, true);
    bench.run(1_000_000);
    assert!(Alarm::ALL.iter().all(|&alarm| !bench.door.stands(alarm)));
}

#[test]
fn nothing_unlocks_after_the_shutdown() {
    for relay in [FailState::Secure, FailState::Safe] {
        let mut bench = Bench::new(&setup(|setup| setup.fail = relay));
        let tag = bench.enter();
        bench.on(Input::FreeAccess(true));
        bench.told();
        bench.on(Input::Shutdown);
        bench.must(&[nobody(tag), LOCKED]);
        let tag = bench.enter();
        bench.rex();
        bench.command(Command::Hold);
        bench.on(Input::FreeAccess(true));
        bench.sense(Sensor::Contact, true);
        bench.run(1_000_000);
        let rest = relay.rest_energised();
        let dark = Outputs { strike: rest, exit_strike: rest, green: false, red: false, buzzer: false, alarm: false };
        assert_eq!(bench.last.outputs, dark);
        let why = Refusal::Stopped;
        bench.must(&[refused(Cause::Grant, Some(tag), why), refused(Cause::Command, None, why)]);
    }
}
