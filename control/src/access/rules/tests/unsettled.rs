//! Several doors were opened for one subject, and have not told yet what became of it.

use super::{
    passback::{Doors, HARD, TIMED, YES, house},
    *,
};

const OFF: &str = r#""anti_passback": "off""#;

impl Doors {
    /// Grants, and nothing is heard of it yet.
    #[track_caller]
    fn open(&mut self, subject: &str, door: &str, passage: Passage) -> Movement {
        let (ruling, movement) = self.grant(subject, door, passage);
        movement.unwrap_or_else(|| panic!("{} at door {door}", ruling.code()))
    }

    #[track_caller]
    fn denied(&self, subject: &str, door: &str, code: &str) {
        assert_eq!(self.ask(subject, door, Passage::Entry).code(), code, "at door {door}");
    }
}

#[test]
fn a_face_at_another_door_is_no_proof_of_having_left() {
    for vault in [HARD, OFF] {
        let mut doors = Doors::new(house(HARD, vault));
        assert_eq!(doors.enter("ann", "front"), YES);
        let out = doors.open("ann", "front", Passage::Exit);
        let hatch = doors.open("ann", "hatch", Passage::Entry);
        doors.denied("ann", "side", "already_inside");
        doors.presence.unused("ann", hatch.tag);
        doors.denied("ann", "side", "already_inside");
        doors.presence.unused("ann", out.tag);
        doors.denied("ann", "side", "already_inside");
        assert_eq!(doors.leave("ann", "side"), YES);
        assert_eq!(doors.enter("ann", "side"), YES);
    }
}

#[test]
fn a_grant_to_one_area_does_not_hide_the_one_to_another() {
    let mut doors = Doors::new(house(HARD, OFF));
    let front = doors.open("ann", "front", Passage::Entry);
    let hatch = doors.open("ann", "hatch", Passage::Entry);
    doors.denied("ann", "side", "already_inside");
    doors.presence.unused("ann", hatch.tag);
    doors.denied("ann", "side", "passage_pending");
    doors.presence.unused("ann", front.tag);
    assert_eq!(doors.enter("ann", "side"), YES, "nobody went anywhere");
}

#[test]
fn two_more_doors_opened_do_not_hide_the_first() {
    for (counts, code) in [(HARD, "passage_pending"), (TIMED, "too_soon")] {
        let mut doors = Doors::new(house(counts, OFF));
        let front = doors.open("ann", "front", Passage::Entry);
        doors.open("ann", "hatch", Passage::Entry);
        doors.open("ann", "gate", Passage::Entry);
        doors.denied("ann", "side", code);
        doors.presence.unused("ann", front.tag);
        assert!(doors.ask("ann", "side", Passage::Entry).allowed(), "nobody went in there");
    }
}

#[test]
fn what_was_pending_at_a_restart_outlasts_a_grant_that_is_not_used() {
    for door in ["hatch", "front"] {
        let mut doors = Doors::new(house(HARD, OFF));
        doors.open("ann", "front", Passage::Entry);
        doors.restart();
        let passage = if door == "front" { Passage::Exit } else { Passage::Entry };
        let unused = doors.open("ann", door, passage);
        doors.presence.unused("ann", unused.tag);
        doors.denied("ann", "side", "passage_pending");
        assert_eq!(doors.leave("ann", "front"), YES);
        assert_eq!(doors.enter("ann", "side"), YES, "that was a passage");
    }
}

#[test]
fn a_passage_ends_what_was_granted_before_it_and_nothing_else() {
    let mut doors = Doors::new(house(HARD, HARD));
    let entry = doors.open("ann", "front", Passage::Entry);
    let exit = doors.open("ann", "side", Passage::Exit);
    doors.denied("ann", "side", "passage_pending");
    doors.presence.passed(entry.clone());
    assert!(
        doors.presence.get("ann").is_some_and(|known| known.pending == Some(Place::Outside)),
        "still on the way out"
    );
    doors.presence.passed(exit.clone());
    assert_eq!(doors.enter("ann", "side"), YES);

    let mut doors = Doors::new(house(HARD, HARD));
    doors.open("ann", "front", Passage::Entry);
    let exit = doors.open("ann", "side", Passage::Exit);
    doors.presence.passed(exit);
    assert!(doors.presence.get("ann").is_some_and(|known| known.pending.is_none()), "she cannot be going in any more");
    assert_eq!(doors.enter("ann", "side"), YES);
}

#[test]
fn timed_counts_from_the_newest_grant() {
    let mut doors = Doors::new(house(TIMED, HARD));
    assert_eq!(doors.enter("ann", "front"), YES);
    doors.seconds += 600;
    let again = doors.open("ann", "side", Passage::Entry);
    doors.seconds += 599;
    doors.denied("ann", "front", "too_soon");
    doors.presence.unused("ann", again.tag);
    assert!(doors.ask("ann", "front", Passage::Entry).allowed(), "nobody came in a second time");
}

#[test]
fn whoever_is_never_told_of_does_not_grow_for_ever() {
    let mut doors = Doors::new(house(OFF, OFF));
    for _ in 0..10_000 {
        doors.open("ann", "front", Passage::Entry);
    }
    assert!(format!("{:?}", doors.presence.get("ann")).len() < 4_000);
}

#[test]
fn where_whoever_is_exempt_was_last_keeps_them_out_of_nothing_even_unread() {
    let mut doors = Doors::new(house(HARD, HARD));
    for subject in ["ann", "guard"] {
        doors.presence.set_unreadable(subject.into());
    }
    doors.denied("ann", "front", "rule_unreadable");
    assert!(doors.ask("guard", "front", Passage::Entry).allowed());
    assert_eq!(doors.enter("guard", "front"), YES);
}
