//! A lockdown keeps people out and nobody in.

use super::*;

#[test]
fn grants_commands_and_free_access_are_refused() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.command(Command::Lockdown);
    bench.command(Command::Lockdown);
    let tag = bench.enter();
    bench.command(Command::Unlock { passage: Passage::Entry });
    bench.command(Command::Hold);
    bench.command(Command::FreeAccess { on: true });
    bench.on(Input::FreeAccess(true));
    assert!(!bench.unlocked());
    assert_eq!(bench.door.mode(), Mode::Lockdown);
    let operator = refused(Cause::Command, None, Refusal::Lockdown);
    bench.must(&[
        Happening::LockdownBegan,
        refused(Cause::Grant, Some(tag), Refusal::Lockdown),
        operator,
        operator,
        operator,
        Happening::FreeAccessBegan,
    ]);
    bench.command(Command::Release);
    bench.must(&[Happening::LockdownEnded, unlocked(Cause::FreeAccess, None)]);
    assert_eq!(bench.door.mode(), Mode::FreeAccess, "what the schedule says counts again");
}

#[test]
fn it_takes_back_what_was_granted_and_held() {
    for hold in [false, true] {
        let mut bench = Bench::new(&setup(|_| {}));
        bench.enter();
        if hold {
            bench.command(Command::Hold);
        }
        bench.told();
        bench.command(Command::Lockdown);
        assert!(!bench.unlocked());
        assert_eq!(bench.told().contains(&Happening::HoldEnded), hold, "by the lockdown");
        bench.command(Command::Release);
        assert!(!bench.unlocked(), "not given back");
    }
}

#[test]
fn who_opens_as_it_begins_is_not_forcing() {
    let mut bench = Bench::new(&setup(|_| {}));
    let tag = bench.enter();
    bench.run(1_000);
    bench.on(Input::Level { sensor: Sensor::Contact, active: true });
    bench.command(Command::Lockdown);
    bench.run(1_000);
    let expected = [unlocked(Cause::Grant, Some(tag)), Happening::LockdownBegan, LOCKED, Happening::Opened];
    let told = bench.told();
    assert_eq!(told[..4], expected);
    assert_eq!(told[4..], [passed(tag, true)]);
}

#[test]
fn a_request_to_exit_works_unless_it_is_switched_off() {
    for works in [true, false] {
        let mut bench = Bench::new(&setup(|setup| setup.settings.rex_in_lockdown = works));
        bench.command(Command::Lockdown);
        bench.told();
        bench.rex();
        assert_eq!(bench.unlocked(), works);
        if works {
            bench.run(3_000);
            assert!(!bench.unlocked());
            bench.must(&[unlocked(Cause::Rex, None), LOCKED]);
        } else {
            bench.must(&[refused(Cause::Rex, None, Refusal::Lockdown)]);
        }
    }
}

#[test]
fn it_locks_nobody_in_who_has_asked_to_get_out() {
    for works in [true, false] {
        let mut bench = Bench::new(&setup(|setup| setup.settings.rex_in_lockdown = works));
        // Somebody is granted as well, later: that is taken back.
        bench.rex();
        bench.run(1_000);
        let tag = bench.enter();
        bench.command(Command::Lockdown);
        assert_eq!(bench.unlocked(), works);
        bench.run(1_500);
        assert_eq!(bench.unlocked(), works, "as long as the request has");
        bench.run(1_000);
        assert!(!bench.unlocked());
        let told = bench.told();
        assert!(told.contains(&nobody(tag)), "{told:?}");
        assert_eq!(told.iter().filter(|happening| **happening == LOCKED).count(), 1, "{told:?}");
    }
}
