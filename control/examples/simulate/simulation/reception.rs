//! What the daemon does between a recognised face and the door: it asks the rule book, notes for whom a door opens, hears
//! from the door what became of it, and writes that to a disk that is a moment late.

use std::sync::Arc;

use facegate_control::{
    Moment, Passage,
    access::rules::{Allowed, Movement, Presence, Request, Rulebook, Ruling, Whereabouts},
};
use jiff::Timestamp;

use super::{
    house::{self, House, PEOPLE},
    site::DOORS,
};

/// The process's clock, and the one on the wall.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    pub process: Moment,
    pub wall: Timestamp,
}

pub struct Reception {
    book: Rulebook,
    presence: Presence,
    /// Grants of which the doors have not told yet.
    open: Vec<Movement>,
    disk: [Option<Whereabouts>; PEOPLE],
    unsaved: [bool; PEOPLE],
    people: [Arc<str>; PEOPLE],
    doors: [Arc<str>; DOORS],
}

impl Reception {
    pub fn new(house: &House) -> Self {
        Self {
            book: house.rulebook(),
            presence: Presence::default(),
            open: Vec::new(),
            disk: [const { None }; PEOPLE],
            unsaved: [false; PEOPLE],
            people: std::array::from_fn(|who| house::person_name(who).into()),
            doors: std::array::from_fn(|door| house::door_name(door).into()),
        }
    }

    /// Asks the rules, and notes that the door opens where they say yes.
    pub fn admit(&mut self, who: usize, door: usize, passage: Passage, tag: u64, clocks: Clocks) -> Ruling {
        let Clocks { process: now, wall: at } = clocks;
        let (subject, door) = (&self.people[who], &self.doors[door]);
        let ruling =
            self.book.rule(&Request { subject, door, passage, at, now, reader: None, clock_set: true }, &self.presence);
        if let Ruling::Allowed(Allowed { way: Some(way), .. }) = &ruling {
            let (subject, door) = (Arc::clone(subject), Arc::clone(door));
            let movement = Movement { subject, door, way: way.clone(), tag, at, now };
            self.presence.granted(movement.clone());
            self.open.push(movement);
            self.unsaved[who] = true;
        }
        ruling
    }

    /// Somebody went through by that grant.
    pub fn passed(&mut self, tag: u64, clocks: Clocks) {
        if let Some(movement) = self.take(tag) {
            self.note(&movement.subject);
            self.presence.passed(Movement { at: clocks.wall, now: clocks.process, ..movement });
        }
    }

    /// Nobody went through by that grant.
    pub fn unused(&mut self, tag: u64) {
        if let Some(movement) = self.take(tag) {
            self.note(&movement.subject);
            self.presence.unused(&movement.subject, tag);
        }
    }

    /// What the door tells of that grant is not heard.
    pub fn lose(&mut self, tag: u64) {
        self.take(tag);
    }

    pub fn forgive(&mut self, who: usize) {
        self.presence.forgive(&self.people[who]);
        (self.disk[who], self.unsaved[who]) = (None, false);
    }

    pub fn forgive_all(&mut self) {
        self.presence.forgive_all();
        (self.disk, self.unsaved) = ([const { None }; PEOPLE], [false; PEOPLE]);
    }

    pub fn has_unsaved(&self) -> bool {
        self.unsaved.contains(&true)
    }

    /// What was noted reaches the disk.
    pub fn write(&mut self) {
        for who in 0..PEOPLE {
            if std::mem::take(&mut self.unsaved[who]) {
                self.disk[who] = self.presence.get(&self.people[who]).cloned();
            }
        }
    }

    /// Another process takes up what is on the disk, in the form in which it is there.
    pub fn restart(&mut self, now: Moment) {
        let form = |known: &Whereabouts| {
            let json = serde_json::to_string(known).expect("it has a form in JSON");
            serde_json::from_str(&json).expect("its own form")
        };
        let stored = self.people.iter().zip(&self.disk);
        let stored = stored.filter_map(|(name, known)| Some((Arc::clone(name), form(known.as_ref()?))));
        self.presence = Presence::restore(stored, now);
        self.open.clear();
        self.unsaved = [false; PEOPLE];
    }

    fn take(&mut self, tag: u64) -> Option<Movement> {
        let place = self.open.iter().position(|movement| movement.tag == tag)?;
        Some(self.open.remove(place))
    }

    fn note(&mut self, subject: &Arc<str>) {
        let who = self.people.iter().position(|name| name == subject).expect("one of them");
        self.unsaved[who] = true;
    }
}
