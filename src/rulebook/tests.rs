use std::{sync::Arc, time::Duration};

use facegate_control::{Passage, access::WallTrust};
use jiff::Timestamp;

use super::*;
use crate::access::rules::Place;

const HOUSE: &str = r#"{
    "schedules": [{"name": "lobby", "zone": "UTC", "week": [{"days": ["mon"], "from": "09:00", "to": "17:00"}]}],
    "areas": [{"name": "hall", "anti_passback": "hard"}],
    "doors": [{"name": "front", "inside": "hall", "free_access": "lobby"}, {"name": "side", "inside": "hall"}],
    "groups": [{"name": "all", "access": [{"doors": ["front", "side"]}]}],
    "subjects": [{"id": "ann", "groups": ["all"]}, {"id": "bob", "groups": ["all"]}]
}"#;

fn house() -> Arc<TenantAccess> {
    let access = TenantAccess::new(Bell::default());
    let rules = serde_json::from_str(HOUSE).expect("rules");
    access.set_book(Rulebook::compile(&rules, &zones).expect("good rules"));
    Arc::new(access)
}

fn monday(time: &str) -> Timestamp {
    format!("2026-11-23T{time}Z").parse().expect("a time")
}

fn pass(subject: &str, passage: Passage, tag: u64) -> Pass<'_> {
    Pass { subject, passage, tag, at: monday("10:00:00"), now: Moment::from_start(Duration::from_secs(tag)) }
}

/// A wall clock that says so at least, once it is set.
fn not_before(floor: Timestamp) -> Arc<Mutex<WallTrust>> {
    Arc::new(Mutex::new(WallTrust::since(None, floor)))
}

fn place(access: &TenantAccess, subject: &str) -> Option<Place> {
    access.whereabouts(subject).and_then(|known| known.place)
}

#[test]
fn who_went_through_is_inside() {
    let access = house();
    let gate = Gate::new(Arc::clone(&access), "front".into());
    assert!(gate.admit(pass("ann", Passage::Entry, 1)).allowed());
    assert_eq!(place(&access, "ann"), None, "the door is not open yet");
    gate.passed(1, monday("10:00:00"), Moment::default());
    assert_eq!(place(&access, "ann"), Some(Place::Area("hall".into())));
    assert_eq!(gate.admit(pass("ann", Passage::Entry, 2)).code(), "already_inside");
    assert!(gate.admit(pass("bob", Passage::Entry, 3)).allowed());
    gate.unused(3);
    assert!(access.whereabouts("bob").is_none(), "the lock failed: nobody went in");
}

#[test]
fn the_door_is_waited_for() {
    let access = house();
    let gate = Gate::new(Arc::clone(&access), "front".into());
    let side = Gate::new(Arc::clone(&access), "side".into());
    assert!(gate.admit(pass("ann", Passage::Entry, 1)).allowed());
    assert_eq!(side.admit(pass("ann", Passage::Entry, 1)).code(), "passage_pending");
    gate.unused(1);
    assert!(side.admit(pass("ann", Passage::Entry, 2)).allowed());
    gate.passed(2, monday("10:00:00"), Moment::default());
    assert_eq!(place(&access, "ann"), None, "that was another door's grant");
    side.passed(2, monday("10:00:00"), Moment::default());
    assert_eq!(place(&access, "ann"), Some(Place::Area("hall".into())));
}

#[test]
fn of_two_doors_that_ask_at_once_a_strict_area_lets_one_open() {
    let access = house();
    for round in 0..200 {
        let subject = if round % 2 == 0 { "ann" } else { "bob" };
        access.forgive(|_| true);
        let opened: usize = std::thread::scope(|scope| {
            let ask = |door: &'static str| {
                let gate = Gate::new(Arc::clone(&access), door.into());
                scope.spawn(move || usize::from(gate.admit(pass(subject, Passage::Entry, 1)).allowed()))
            };
            let asked = [ask("front"), ask("side"), ask("front"), ask("side")];
            asked.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
        });
        assert_eq!(opened, 1);
    }
}

#[test]
fn what_was_noted_is_handed_over_to_be_stored_once() {
    let access = house();
    let gate = Gate::new(Arc::clone(&access), "front".into());
    assert!(access.take_unsaved().is_empty());
    gate.admit(pass("ann", Passage::Entry, 1));
    gate.passed(1, monday("10:00:00"), Moment::default());
    let unsaved = access.take_unsaved();
    assert_eq!(unsaved.len(), 1);
    assert_eq!(unsaved[0].1.as_ref().and_then(|known| known.place.clone()), Some(Place::Area("hall".into())));
    assert!(access.take_unsaved().is_empty());
    access.still_unsaved();
    access.forgive(|subject| subject == "ann");
    assert_eq!(access.take_unsaved(), [("ann".into(), None)], "what is written meanwhile is to be deleted again");
}

#[test]
fn the_store_is_taken_in_once_and_later_only_what_it_lost() {
    let access = house();
    let gate = Gate::new(Arc::clone(&access), "front".into());
    gate.admit(pass("ann", Passage::Entry, 1));
    gate.passed(1, monday("10:00:00"), Moment::default());
    let stored: Vec<_> = access.everybody();
    let after = house();
    after.restore(Stored { whereabouts: stored, ..Stored::default() }, 1, Moment::default());
    assert_eq!(place(&after, "ann"), Some(Place::Area("hall".into())));
    let gate = Gate::new(Arc::clone(&after), "front".into());
    gate.admit(pass("bob", Passage::Entry, 1));
    gate.passed(1, monday("10:00:00"), Moment::default());
    after.restore(Stored::default(), 2, Moment::default());
    assert_eq!(place(&after, "ann"), None, "she is stored no longer: forgiven");
    assert_eq!(place(&after, "bob"), Some(Place::Area("hall".into())), "he is not stored yet");
    assert_eq!(after.take_unsaved().len(), 1);
    after.restore(Stored::default(), 3, Moment::default());
    assert_eq!(gate.admit(pass("bob", Passage::Entry, 2)).code(), "already_inside", "he is being stored");
    after.stored(5);
    after.restore(Stored::default(), 4, Moment::default());
    assert_eq!(
        gate.admit(pass("bob", Passage::Entry, 3)).code(),
        "already_inside",
        "that look was before he was stored"
    );
    after.restore(Stored::default(), 5, Moment::default());
    assert!(gate.admit(pass("bob", Passage::Entry, 4)).allowed(), "he was stored and is no longer: forgiven");
}

#[test]
fn rules_are_an_object_and_nothing_else() {
    assert!(read::<crate::access::rules::Rules>(b" {}").is_ok());
    for other in ["", " ", "[]", " [[], []]", "null", "1", "\"x\"", "{", "[{}"] {
        assert!(read::<crate::access::rules::Rules>(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn free_access_is_the_door_s_schedule() {
    let access = house();
    let gate = Gate::new(Arc::clone(&access), "front".into());
    assert!(
        !gate.free_access_now(Moment::default(), monday("08:59:59"))
            && gate.free_access_now(Moment::default(), monday("09:00:00"))
    );
    assert_eq!(gate.next_free_access_change(monday("09:00:00")), Some(monday("17:00:00")));
    assert!(!Gate::new(Arc::clone(&access), "side".into()).free_access_now(Moment::default(), monday("09:00:00")));
    access.set_book(Rulebook::none());
    assert!(!gate.free_access_now(Moment::default(), monday("09:00:00")));
}

#[test]
fn a_clock_that_is_not_set_holds_no_door_open_and_keeps_nobody_out_who_may_pass_at_any_time() {
    let access = house();
    let gate = Gate::new(Arc::clone(&access), "front".into()).believing(not_before(monday("12:00:00")));
    assert!(!gate.free_access_now(Moment::default(), monday("10:00:00")), "it is noon at least");
    assert!(gate.free_access_now(Moment::default(), monday("12:00:00")));
    assert!(gate.admit(pass("ann", Passage::Entry, 1)).allowed());
}
