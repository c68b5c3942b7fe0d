//! Whoever is taken to have passed where no sensor sees it, and for whom the way is not open yet.
//!
//! The state machine says so with the grant. But a relay may not take its level, and a card may come too late to a panel: then
//! nobody went through, and rules that take them to be inside would keep them out. So it is told only once the lock has let go,
//! or the card has gone over the wires; and where it never does, that nobody passed.

use facegate_control::{Passage, door::Happening};

use super::output::Output;

/// As many people may be held; of those that are more, it is told at once that they passed.
const ROOM: usize = 16;

/// A door's locks, by lane, and the levels that they are to have.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'a> {
    pub locks: &'a [Option<Output>; 2],
    pub wanted: [bool; 2],
    /// Whether each way has a lane of its own.
    pub turnstile: bool,
}

impl Lanes<'_> {
    /// The lock that lets go for them, and the level that it is to have.
    fn lock(&self, passage: Passage) -> Option<(&Output, bool)> {
        let lane = if self.turnstile { passage as usize } else { Passage::Entry as usize };
        self.locks[lane].as_ref().map(|lock| (lock, self.wanted[lane]))
    }
}

/// Those who are held, in the order in which they were granted.
pub(super) struct Held {
    people: Vec<(u64, Passage)>,
    /// The grants whose cards are under way to a panel.
    carried: Vec<u64>,
}

impl Held {
    pub(super) fn nobody() -> Self {
        Self { people: Vec::with_capacity(ROOM), carried: Vec::with_capacity(ROOM) }
    }

    /// A card goes to the panel for that grant.
    pub(super) fn carry(&mut self, tag: u64) {
        self.carried.push(tag);
    }

    /// It does not, or has arrived. Whoever was held for it is not any more.
    pub(super) fn arrived(&mut self, tag: u64, sent: bool, lanes: Lanes<'_>, told: &mut Vec<Happening>) {
        if let Some(at) = self.carried.iter().position(|&carried| carried == tag) {
            self.carried.remove(at);
        }
        self.people.retain(|&(held, passage)| {
            let waits = held != tag || lanes.lock(passage).is_some();
            if !waits {
                told.push(if sent { passed(tag, passage) } else { nobody_passed(tag, passage) });
            }
            waits
        });
    }

    /// Takes out of what is told, before the locks are moved, who is said to have passed through what has not let go yet.
    pub(super) fn take_in(&mut self, lanes: Lanes<'_>, told: &mut Vec<Happening>) {
        told.retain(|happening| {
            let Happening::Passed { tag: Some(tag), passage, seen: false } = *happening else { return true };
            let waits = match lanes.lock(passage) {
                // Whoever passed while it was open did, also where that is told afterwards.
                Some((lock, wanted)) => wanted != lock.rest && lock.level != Some(wanted),
                None => self.carried.contains(&tag),
            };
            let held = waits && self.people.len() < ROOM;
            if held {
                self.people.push((tag, passage));
            }
            !held
        });
    }

    /// Tells, after the locks were moved, who has passed, and of whom it is known that they cannot have.
    pub(super) fn let_out(&mut self, lanes: Lanes<'_>, told: &mut Vec<Happening>) {
        self.people.retain(|&(tag, passage)| {
            let Some((lock, wanted)) = lanes.lock(passage) else { return true };
            let waits = lock.level != Some(!lock.rest) && wanted != lock.rest;
            if !waits {
                let open = lock.level == Some(!lock.rest);
                told.push(if open { passed(tag, passage) } else { nobody_passed(tag, passage) });
            }
            waits
        });
    }

    /// Nothing is waited for any more. The cards that are under way arrive, as far as anybody knows.
    pub(super) fn end(&mut self, told: &mut Vec<Happening>) {
        told.extend(self.people.drain(..).map(|(tag, passage)| passed(tag, passage)));
    }
}

fn passed(tag: u64, passage: Passage) -> Happening {
    Happening::Passed { tag: Some(tag), passage, seen: false }
}

fn nobody_passed(tag: u64, passage: Passage) -> Happening {
    Happening::NobodyPassed { tag: Some(tag), passage }
}
