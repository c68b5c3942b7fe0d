use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A street, a hall behind it and a vault within; a side door leads into the hall too.
pub(super) fn house(hall: &str, vault: &str) -> Rulebook {
    book(&rules(&format!(
        r#"{{
            "areas": [{{"name": "hall", {hall}}}, {{"name": "vault", {vault}}}, {{"name": "yard"}}],
            "doors": [{{"name": "front", "inside": "hall"}}, {{"name": "side", "inside": "hall"}},
                      {{"name": "vault", "outside": "hall", "inside": "vault"}}, {{"name": "hatch", "inside": "vault"}},
                      {{"name": "shed"}}, {{"name": "gate", "inside": "yard"}}],
            "groups": [{{"name": "all", "access": [{{"doors": ["front", "side", "vault", "hatch", "shed", "gate"]}}]}}],
            "subjects": [{{"id": "ann", "groups": ["all"]}}, {{"id": "bob", "groups": ["all"]}},
                         {{"id": "guard", "groups": ["all"], "anti_passback_exempt": true}}]
        }}"#
    )))
}

pub(super) const HARD: &str = r#""anti_passback": "hard", "exit_without_entry": "deny""#;
const SOFT: &str = r#""anti_passback": "soft""#;
pub(super) const TIMED: &str = r#""anti_passback": "timed", "minutes": 10, "exit_without_entry": "allow""#;

/// A tenant's doors at work.
pub(super) struct Doors {
    book: Rulebook,
    pub(super) presence: Presence,
    pub(super) seconds: u64,
    wall: Timestamp,
    tag: u64,
}

impl Doors {
    pub(super) fn new(book: Rulebook) -> Self {
        Self { book, presence: Presence::default(), seconds: 0, wall: time("2026-11-23T10:00:00Z"), tag: 0 }
    }

    pub(super) fn ask(&self, subject: &str, door: &str, passage: Passage) -> Ruling {
        let now = moment(self.seconds);
        let request = Request { subject, door, passage, at: self.wall, now, reader: None, clock_set: true };
        let ruling = self.book.rule(&request, &self.presence);
        assert_eq!(self.book.explain(&request, &self.presence).code, ruling.code());
        ruling
    }

    fn movement(&self, subject: &str, door: &str, way: Way) -> Movement {
        Movement {
            subject: subject.into(),
            door: door.into(),
            way,
            tag: self.tag,
            at: self.wall,
            now: moment(self.seconds),
        }
    }

    /// Grants if the rules do; the movement is to be confirmed.
    pub(super) fn grant(&mut self, subject: &str, door: &str, passage: Passage) -> (Ruling, Option<Movement>) {
        let ruling = self.ask(subject, door, passage);
        let Ruling::Allowed(Allowed { way: Some(way), .. }) = &ruling else { return (ruling, None) };
        self.tag += 1;
        let movement = self.movement(subject, door, way.clone());
        self.presence.granted(movement.clone());
        (ruling, Some(movement))
    }

    /// Grants and passes, where the rules allow it: the ruling's code, and its flag's.
    fn pass(&mut self, subject: &str, door: &str, passage: Passage) -> (&'static str, Option<&'static str>) {
        let (ruling, movement) = self.grant(subject, door, passage);
        if let Some(movement) = movement {
            self.presence.passed(movement);
        }
        let flag = match &ruling {
            Ruling::Allowed(allowed) => allowed.flag.map(RuleReason::code),
            Ruling::Denied(_) => None,
        };
        (ruling.code(), flag)
    }

    pub(super) fn enter(&mut self, subject: &str, door: &str) -> (&'static str, Option<&'static str>) {
        self.pass(subject, door, Passage::Entry)
    }

    pub(super) fn leave(&mut self, subject: &str, door: &str) -> (&'static str, Option<&'static str>) {
        self.pass(subject, door, Passage::Exit)
    }

    pub(super) fn restart(&mut self) {
        let stored: Vec<_> = self
            .presence
            .iter()
            .map(|(subject, known)| {
                let json = serde_json::to_string(known).expect("it has a form in JSON");
                (subject.clone(), serde_json::from_str(&json).expect("its own form"))
            })
            .collect();
        self.seconds = 5;
        self.presence = Presence::restore(stored, moment(self.seconds));
    }
}

pub(super) const YES: (&str, Option<&str>) = ("allowed", None);

#[test]
fn hard_denies_whoever_is_inside_at_every_door_of_the_area() {
    let mut doors = Doors::new(house(HARD, HARD));
    assert_eq!(doors.enter("ann", "front"), YES);
    assert_eq!(doors.enter("ann", "front"), ("already_inside", None));
    assert_eq!(doors.enter("ann", "side"), ("already_inside", None));
    assert_eq!(doors.enter("bob", "side"), YES, "somebody else is somebody else");
    assert_eq!(doors.enter("ann", "shed"), YES, "a door without areas asks nothing");
    assert_eq!(doors.leave("ann", "side"), YES);
    assert_eq!(doors.enter("ann", "front"), YES);
    // No time ends it, and no wall clock.
    doors.seconds += 1_000_000;
    doors.wall = time("2035-01-01T00:00:00Z");
    assert_eq!(doors.enter("ann", "front"), ("already_inside", None));
    doors.restart();
    assert_eq!(doors.enter("ann", "front"), ("already_inside", None));
}

#[test]
fn from_area_to_area_only_by_the_doors_between_them() {
    let mut doors = Doors::new(house(HARD, HARD));
    assert_eq!(doors.enter("ann", "vault"), YES, "nothing is known of her: the first passage is in order");
    assert_eq!(doors.enter("ann", "front"), ("elsewhere", None));
    assert_eq!(doors.leave("ann", "front"), ("exit_without_entry", None));
    assert_eq!(doors.leave("ann", "vault"), YES);
    assert_eq!(doors.leave("ann", "front"), YES);
    assert_eq!(doors.leave("ann", "front"), ("exit_without_entry", None));
    assert_eq!(
        doors.enter("ann", "vault"),
        ("exit_without_entry", None),
        "she would leave the hall without being there"
    );
    assert_eq!(doors.enter("ann", "hatch"), YES);
    assert_eq!(doors.enter("ann", "side"), ("elsewhere", None));
}

#[test]
fn soft_lets_in_and_flags() {
    let mut doors = Doors::new(house(SOFT, SOFT));
    assert_eq!(doors.enter("ann", "front"), YES);
    assert_eq!(doors.enter("ann", "side"), ("allowed", Some("already_inside")));
    assert_eq!(doors.leave("ann", "side"), YES);
    assert_eq!(doors.leave("ann", "side"), ("allowed", Some("exit_without_entry")));
    assert_eq!(doors.enter("ann", "vault"), ("allowed", Some("exit_without_entry")));
    assert_eq!(doors.enter("ann", "front"), ("allowed", Some("elsewhere")));
}

#[test]
fn timed_denies_for_its_minutes_by_the_monotonic_clock_alone() {
    let mut doors = Doors::new(house(TIMED, TIMED));
    assert_eq!(doors.enter("ann", "front"), YES);
    doors.wall = time("2036-01-01T00:00:00Z");
    assert_eq!(doors.enter("ann", "side"), ("too_soon", None), "a wall clock that jumps opens nothing");
    doors.seconds += 599;
    assert_eq!(doors.enter("ann", "side"), ("too_soon", None));
    doors.wall = time("1990-01-01T00:00:00Z");
    doors.seconds += 1;
    assert_eq!(doors.enter("ann", "side"), YES, "and holds nothing");
    doors.seconds += 1;
    assert_eq!(doors.leave("ann", "side"), YES);
    assert_eq!(doors.enter("ann", "side"), YES, "whoever has left may come in again");
    doors.seconds += 590;
    doors.restart();
    assert_eq!(doors.enter("ann", "front"), ("too_soon", None), "after a restart the minutes begin anew");
    doors.seconds += 599;
    assert_eq!(doors.enter("ann", "front"), ("too_soon", None), "when it is over, not when the clock began");
    doors.seconds += 1;
    assert_eq!(doors.enter("ann", "front"), YES);
}

#[test]
fn between_grant_and_passage_no_other_door_opens() {
    for strict in [HARD, TIMED] {
        let mut doors = Doors::new(house(strict, HARD));
        let (first, movement) = doors.grant("ann", "front", Passage::Entry);
        assert!(first.allowed());
        assert!(!doors.ask("ann", "side", Passage::Entry).allowed());
        let movement = movement.expect("it leads somewhere");
        assert!(doors.presence.unused("ann", movement.tag).is_none(), "nothing is known of her any more");
        assert!(doors.ask("ann", "side", Passage::Entry).allowed(), "nobody went in by the front");
    }
}

#[test]
fn a_grant_that_is_not_used_leaves_things_as_they_were() {
    let mut doors = Doors::new(house(HARD, HARD));
    doors.enter("ann", "front");
    let (_, movement) = doors.grant("ann", "front", Passage::Exit);
    let tag = movement.expect("outside is a place").tag;
    assert!(doors.presence.unused("ann", tag + 7).is_some_and(|known| known.pending.is_some()), "another grant's end");
    assert!(doors.presence.unused("ann", tag).is_some_and(|known| known.pending.is_none()));
    assert_eq!(doors.enter("ann", "side"), ("already_inside", None));
    assert_eq!(doors.leave("ann", "side"), YES);
}

#[test]
fn a_restart_between_grant_and_passage_denies_both_places() {
    let mut doors = Doors::new(house(HARD, HARD));
    doors.grant("ann", "front", Passage::Entry);
    doors.restart();
    assert_eq!(doors.enter("ann", "side"), ("passage_pending", None), "perhaps she went in");
    assert_eq!(doors.leave("ann", "side"), YES, "perhaps she did");
    assert_eq!(doors.enter("ann", "side"), YES);
    doors.grant("ann", "front", Passage::Exit);
    doors.restart();
    assert_eq!(doors.enter("ann", "side"), ("already_inside", None), "perhaps she did not go out");
    assert_eq!(doors.leave("ann", "side"), YES);
    assert_eq!(doors.enter("ann", "side"), YES);
}

#[test]
fn whoever_is_forgiven_may_pass_anywhere_once() {
    let mut doors = Doors::new(house(HARD, HARD));
    doors.enter("ann", "front");
    doors.enter("bob", "front");
    assert!(doors.presence.forgive("ann") && !doors.presence.forgive("ann"));
    assert_eq!(doors.enter("ann", "side"), YES);
    assert_eq!(doors.enter("ann", "side"), ("already_inside", None));
    assert_eq!(doors.presence.forgive_all(), 2);
    assert!(doors.presence.is_empty());
    assert_eq!(doors.leave("bob", "vault"), YES);
}

#[test]
fn whoever_is_exempt_is_noted_and_never_held() {
    let mut doors = Doors::new(house(HARD, HARD));
    for _ in 0..3 {
        assert_eq!(doors.enter("guard", "front"), YES);
    }
    let place = doors.presence.get("guard").and_then(|known| known.place.clone());
    assert_eq!(place.as_ref().and_then(Place::area), Some("hall"));
}

#[test]
fn an_area_that_is_gone_from_the_rules_holds_nobody() {
    let mut doors = Doors::new(house(HARD, HARD));
    doors.presence.passed(doors.movement("ann", "old", Way { from: Place::Outside, to: Place::Area("attic".into()) }));
    assert_eq!(doors.enter("ann", "front"), YES);
    doors.presence.passed(doors.movement("bob", "old", Way { from: Place::Outside, to: Place::Area("attic".into()) }));
    assert_eq!(doors.leave("bob", "front"), YES);
}

#[derive(Clone, Debug)]
enum Act {
    Ask { subject: usize, door: usize, exit: bool, uses: bool },
    Late,
    Restart,
    WallJump(i64),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0usize..2, 0usize..4, any::<bool>(), prop::bool::weighted(0.7))
            .prop_map(|(subject, door, exit, uses)| Act::Ask { subject, door, exit, uses }),
        4 => Just(Act::Late),
        1 => Just(Act::Restart),
        1 => (-1_000_000i64..1_000_000).prop_map(Act::WallJump),
        2 => (0u64..100_000).prop_map(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is granted, used, left unused, confirmed late, lost in a restart or displaced by a jumping clock: between
    /// two passages of one subject into a hard area there is always one out of it.
    #[test]
    fn nobody_gets_into_a_hard_area_twice(acts in prop::collection::vec(act(), 1..80)) {
        let mut doors = Doors::new(house(HARD, HARD));
        // Where everybody really is: the truth that the memory may lag behind.
        let mut really: HashMap<&str, Place> = HashMap::new();
        let mut underway: Vec<(&str, Movement)> = Vec::new();
        for act in acts {
            match act {
                Act::Ask { subject, door, exit, uses } => {
                    let subject = ["ann", "bob"][subject];
                    let door = ["front", "side", "vault", "hatch"][door];
                    let passage = if exit { Passage::Exit } else { Passage::Entry };
                    let (_, Some(movement)) = doors.grant(subject, door, passage) else { continue };
                    if uses {
                        if let Some(area) = movement.way.to.area() {
                            let here = really.get(subject).and_then(Place::area);
                            prop_assert_ne!(here, Some(area), "{} got into {} twice", subject, area);
                        }
                        really.insert(subject, movement.way.to.clone());
                        // The door tells of it at once, or a while later.
                        underway.push((subject, movement));
                    } else {
                        doors.presence.unused(subject, movement.tag);
                    }
                }
                Act::Late => {
                    for (_, movement) in underway.drain(..) {
                        doors.presence.passed(movement);
                    }
                }
                Act::Restart => {
                    doors.restart();
                    // What was under way is never told.
                    underway.clear();
                }
                Act::WallJump(hours) => doors.wall = time("2026-11-23T10:00:00Z") + jiff::SignedDuration::from_hours(hours),
                Act::Wait(seconds) => doors.seconds += seconds,
            }
            // A person stands at one door at a time: before they ask anywhere else, the door has told or the daemon died.
            if underway.len() > 1 {
                for (_, movement) in underway.drain(..) {
                    doors.presence.passed(movement);
                }
            }
        }
    }
}
