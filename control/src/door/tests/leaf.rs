//! One door: pulses, relocking, who passed.

use super::*;

#[test]
fn a_grant_unlocks_for_one_pulse_in_both_fail_states() {
    for (fail, rest) in [(FailState::Secure, false), (FailState::Safe, true)] {
        let mut bench = Bench::new(&setup(|setup| setup.fail = fail));
        assert_eq!((bench.last.outputs.strike, bench.last.deadline), (rest, None));
        let tag = bench.enter();
        assert_eq!((bench.last.outputs.strike, bench.last.deadline), (!rest, Some(at(3_000))));
        assert!(bench.last.outputs.green && !bench.last.outputs.red);
        assert!(bench.run(2_999).outputs.strike != rest);
        let step = bench.run(1);
        assert_eq!((step.outputs.strike, step.outputs.green, step.outputs.red), (rest, false, true));
        bench.must(&[unlocked(Cause::Grant, Some(tag)), LOCKED]);
        bench.run(500);
        bench.must(&[nobody(tag)]);
        assert_eq!(bench.last.deadline, None, "nothing is due any more");
    }
}

#[test]
fn a_second_grant_prolongs_and_never_shortens() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.grant(Class::Extended, Passage::Entry);
    bench.run(1_000);
    bench.enter();
    assert!(bench.run(6_999).outputs.strike, "8 s for somebody who needs them");
    assert!(!bench.run(1).outputs.strike);
    bench.enter();
    bench.run(2_000);
    bench.enter();
    assert!(bench.run(2_999).outputs.strike);
    assert!(!bench.run(1).outputs.strike);
}

#[test]
fn a_grant_that_is_delivered_twice_is_one() {
    let mut bench = Bench::new(&setup(|_| {}));
    let grant = Input::Grant { tag: 7, class: Class::Standard, passage: Passage::Entry };
    bench.on(grant);
    bench.run(2_000);
    bench.on(grant);
    assert!(!bench.run(1_000).outputs.strike, "not prolonged");
    bench.on(grant);
    assert!(!bench.unlocked());
    let again = refused(Cause::Grant, Some(7), Refusal::Repeated);
    bench.must(&[unlocked(Cause::Grant, Some(7)), again, LOCKED, again]);
}

#[test]
fn opening_relocks_a_strike_and_says_who_passed() {
    let mut bench = Bench::new(&setup(|_| {}));
    let tag = bench.enter();
    bench.run(1_000);
    bench.sense(Sensor::Contact, true);
    assert!(!bench.last.outputs.strike && bench.door.is_open());
    bench.must(&[unlocked(Cause::Grant, Some(tag)), Happening::Opened, passed(tag, true), LOCKED]);
    bench.run(3_000);
    bench.sense(Sensor::Contact, false);
    bench.must(&[Happening::Closed]);
    assert!(bench.door.is_secure());
}

#[test]
fn with_relock_on_close_a_magnet_waits_for_the_leaf() {
    let mut bench = Bench::new(&setup(|setup| setup.settings.relock = Relock::OnClose));
    bench.enter();
    bench.run(2_900);
    bench.sense(Sensor::Contact, true);
    bench.run(10_000);
    assert!(bench.unlocked(), "the pulse is over, but the door stands open");
    bench.sense(Sensor::Contact, false);
    assert!(!bench.unlocked());
    // One that is never closed is locked when the alarm comes.
    bench.enter();
    bench.sense(Sensor::Contact, true);
    bench.run(29_999);
    assert!(bench.unlocked());
    bench.run(1);
    assert!(!bench.unlocked() && bench.door.stands(Alarm::HeldOpen));
}

#[test]
fn with_relock_on_close_somebody_granted_while_it_is_open_still_gets_in() {
    let mut bench = Bench::new(&setup(|setup| setup.settings.relock = Relock::OnClose));
    bench.enter();
    bench.sense(Sensor::Contact, true);
    bench.run(1_000);
    bench.enter();
    bench.run(500);
    bench.sense(Sensor::Contact, false);
    assert!(bench.unlocked(), "the second has not come yet");
    bench.run(2_469);
    assert!(bench.unlocked());
    bench.run(1);
    assert!(!bench.unlocked(), "one pulse after the second grant");
}

#[test]
fn with_relock_at_end_the_door_does_not_matter() {
    let mut bench = Bench::new(&setup(|setup| setup.settings.relock = Relock::AtEnd));
    bench.enter();
    bench.sense(Sensor::Contact, true);
    bench.sense(Sensor::Contact, false);
    assert!(bench.run(2_939).outputs.strike);
    assert!(!bench.run(1).outputs.strike);
}

#[test]
fn without_a_contact_a_pulse_is_all_there_is_and_a_passage_is_assumed() {
    let mut bench = Bench::new(&setup(|setup| setup.wiring = Wiring::default()));
    let tag = bench.enter();
    bench.on(Input::Level { sensor: Sensor::Contact, active: true });
    bench.run(3_000);
    bench.must(&[unlocked(Cause::Grant, Some(tag)), passed(tag, false), LOCKED]);
    assert!(bench.door.is_secure());
}

#[test]
fn two_who_are_granted_before_the_door_opens_both_pass() {
    let mut bench = Bench::new(&setup(|_| {}));
    let tags: Vec<_> = (0..5).map(|_| bench.enter()).collect();
    let full = refused(Cause::Grant, Some(tags[4]), Refusal::Busy);
    bench.must(&[unlocked(Cause::Grant, Some(tags[0])), full]);
    bench.sense(Sensor::Contact, true);
    let told = bench.told();
    assert_eq!(told[1..5], [0, 1, 2, 3].map(|at| passed(tags[at], true)));
    let late = bench.enter();
    assert!(bench.told().contains(&passed(late, false)), "through the open door");
}

#[test]
fn bounces_are_one_opening_and_a_glitch_is_none() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.enter();
    for active in [true, false, true, false, true] {
        bench.on(Input::Level { sensor: Sensor::Contact, active });
        bench.run(7);
    }
    bench.run(100);
    let opened = bench.told().iter().filter(|happening| **happening == Happening::Opened).count();
    assert_eq!(opened, 1);
    bench.on(Input::Level { sensor: Sensor::Contact, active: false });
    bench.run(29);
    bench.on(Input::Level { sensor: Sensor::Contact, active: true });
    bench.run(1_000);
    bench.must(&[]);
}

#[test]
fn an_opening_at_the_last_moment_is_by_right_and_counts() {
    let mut bench = Bench::new(&setup(|setup| setup.settings.opening_grace_ms = 0));
    let tag = bench.enter();
    bench.run(2_990);
    bench.sense(Sensor::Contact, true);
    bench.must(&[unlocked(Cause::Grant, Some(tag)), LOCKED, Happening::Opened, passed(tag, true)]);
}

#[test]
fn a_request_to_exit_unlocks_by_its_edge_and_a_stuck_button_holds_nothing() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.sense(Sensor::Rex, true);
    assert!(bench.unlocked());
    bench.run(3_000);
    assert!(!bench.unlocked(), "still pressed, and locked");
    bench.must(&[unlocked(Cause::Rex, None), LOCKED]);
    bench.run(5_000);
    bench.sense(Sensor::Contact, true);
    assert!(bench.door.stands(Alarm::ForcedOpen), "and it shunts nothing for long");
}

#[test]
fn a_handle_shunts_the_contact_and_leaves_the_lock_alone() {
    let mut bench = Bench::new(&setup(|setup| setup.settings.rex_unlocks = false));
    bench.rex();
    assert!(!bench.unlocked());
    bench.run(4_000);
    bench.sense(Sensor::Contact, true);
    bench.must(&[Happening::Opened]);
    assert!(!bench.door.stands(Alarm::ForcedOpen));
}

#[test]
fn an_operator_unlocks_holds_and_releases() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.command(Command::Unlock { passage: Passage::Entry });
    bench.run(3_000);
    bench.must(&[unlocked(Cause::Command, None), LOCKED]);
    bench.command(Command::Hold);
    bench.command(Command::Hold);
    assert_eq!(bench.door.mode(), Mode::Held);
    bench.run(10_000_000);
    assert!(bench.unlocked());
    bench.command(Command::Release);
    bench.must(&[Happening::HoldBegan, unlocked(Cause::Hold, None), Happening::HoldEnded, LOCKED]);
    assert_eq!(bench.door.mode(), Mode::Locked);
}

#[test]
fn free_access_is_the_schedules_or_the_operators() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.on(Input::FreeAccess(true));
    bench.on(Input::FreeAccess(true));
    bench.command(Command::FreeAccess { on: true });
    assert_eq!(bench.door.mode(), Mode::FreeAccess);
    bench.on(Input::FreeAccess(false));
    assert!(bench.unlocked(), "the operator's stands");
    let tag = bench.enter();
    bench.command(Command::FreeAccess { on: false });
    bench.must(&[Happening::FreeAccessBegan, unlocked(Cause::FreeAccess, None), Happening::FreeAccessEnded]);
    assert!(bench.unlocked(), "somebody was granted a moment ago");
    bench.run(3_500);
    bench.must(&[LOCKED, nobody(tag)]);
}

#[test]
fn an_interlock_refuses_and_takes_back() {
    let mut bench = Bench::new(&setup(|_| {}));
    bench.on(Input::InterlockFree(false));
    let tag = bench.enter();
    bench.rex();
    bench.command(Command::Hold);
    assert!(!bench.unlocked());
    let why = Refusal::Interlock;
    bench.must(&[
        refused(Cause::Grant, Some(tag), why),
        refused(Cause::Rex, None, why),
        refused(Cause::Command, None, why),
    ]);
    bench.on(Input::InterlockFree(true));
    let tag = bench.enter();
    assert!(bench.unlocked() && !bench.door.is_secure());
    bench.on(Input::InterlockFree(false));
    assert!(!bench.unlocked(), "the other door was forced");
    bench.run(500);
    bench.must(&[unlocked(Cause::Grant, Some(tag)), LOCKED, nobody(tag)]);
    bench.on(Input::FreeAccess(true));
    assert!(!bench.unlocked());
    bench.on(Input::InterlockFree(true));
    assert!(bench.unlocked());

    let mut bench = Bench::new(&setup(|setup| setup.settings.rex_ignores_interlock = true));
    bench.on(Input::InterlockFree(false));
    bench.rex();
    assert!(bench.unlocked());

    // The other door lets somebody else out meanwhile.
    for ignores in [true, false] {
        let mut bench = Bench::new(&setup(|setup| setup.settings.rex_ignores_interlock = ignores));
        bench.rex();
        bench.on(Input::InterlockFree(false));
        assert_eq!(bench.unlocked(), ignores);
        bench.run(3_000);
        assert!(!bench.unlocked());
    }
}

#[test]
fn a_door_that_opens_or_whose_contact_is_lost_is_not_secure() {
    let mut bench = Bench::new(&setup(|_| {}));
    assert!(bench.door.is_secure());
    bench.on(Input::Level { sensor: Sensor::Contact, active: true });
    assert!(!bench.door.is_secure(), "from its first edge on");
    bench.on(Input::Level { sensor: Sensor::Contact, active: false });
    assert!(bench.door.is_secure());
    bench.on(Input::SensorLost(Sensor::Contact));
    assert!(!bench.door.is_secure());
}
