//! A door's question to the rules, between "this is she" and "open".

use std::{collections::VecDeque, sync::Arc};

use facegate_control::{
    CardFormat, Passage,
    access::{WallTime, WallTrust},
};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::TenantAccess;
use crate::{
    access::rules::{Movement, Request, Ruling},
    clock::Moment,
};

/// Grants that are not confirmed yet are no more than these; the oldest go first, and stay noted as open.
const MOST_OPEN: usize = 256;

/// Somebody who stands before a door.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    pub subject: &'a str,
    pub passage: Passage,
    /// Tells this grant from others of the same door.
    pub tag: u64,
    /// The wall clock, for schedules.
    pub at: Timestamp,
    /// The monotonic clock, for everything that is measured.
    pub now: Moment,
}

/// One door's way to its tenant's rules.
#[derive(Debug)]
pub struct Gate {
    access: Arc<TenantAccess>,
    door: Arc<str>,
    /// How it sends cards, where it is the reader of a panel.
    reader: Option<CardFormat>,
    /// How far the wall clock is believed; none: whatever it says.
    wall: Option<Arc<Mutex<WallTrust>>>,
    open: Mutex<VecDeque<Movement>>,
}

impl Gate {
    /// A gate for the door of this name, which has a lock of its own.
    pub fn new(access: Arc<TenantAccess>, door: Arc<str>) -> Self {
        Self { access, door, reader: None, wall: None, open: Mutex::default() }
    }

    /// The same for a door that, where there is a `reader`, sends cards to a panel.
    #[must_use]
    pub fn sending(self, reader: Option<CardFormat>) -> Self {
        Self { reader, ..self }
    }

    /// The same where the wall clock is believed so far.
    #[must_use]
    pub fn believing(self, wall: Arc<Mutex<WallTrust>>) -> Self {
        Self { wall: Some(wall), ..self }
    }

    /// Asks the rules. Where the answer is yes, it is noted that the door opens for the subject, until it is said that they
    /// [`passed`](Self::passed) or that the grant was [`unused`](Self::unused). Waits for no disk.
    pub fn admit(&self, pass: Pass<'_>) -> Ruling {
        let Pass { subject, passage, tag, at, now } = pass;
        // Whose access had ended does not come back with a clock that went back.
        let WallTime { set: clock_set, at } = self.judge(now, at);
        let request = Request { subject, door: &self.door, passage, at, now, reader: self.reader, clock_set };
        let (ruling, movement) = self.access.admit(&request, tag);
        if let Some(movement) = movement {
            let mut open = self.open.lock();
            if open.len() >= MOST_OPEN {
                open.pop_front();
            }
            open.push_back(movement);
        }
        ruling
    }

    /// Somebody went through by the grant of this tag.
    pub fn passed(&self, tag: u64, at: Timestamp, now: Moment) {
        if let Some(movement) = self.take(tag) {
            self.access.passed(Movement { at, now, ..movement });
        }
    }

    /// Nobody went through by the grant of this tag.
    pub fn unused(&self, tag: u64) {
        if let Some(movement) = self.take(tag) {
            self.access.unused(&movement.subject, tag);
        }
    }

    /// Whether the door is to stand open for everybody at this time of the wall clock; never while that is not believed.
    pub fn free_access_now(&self, now: Moment, at: Timestamp) -> bool {
        self.judge(now, at).set && self.access.book().free_access(&self.door, at)
    }

    fn judge(&self, now: Moment, at: Timestamp) -> WallTime {
        self.wall.as_ref().map_or(WallTime { set: true, at }, |wall| wall.lock().judge(now, at))
    }

    /// When that changes for the first time after `at`; none within 400 days. Rules that change in between may change it.
    pub fn next_free_access_change(&self, at: Timestamp) -> Option<Timestamp> {
        self.access.book().next_free_access_change(&self.door, at)
    }

    /// The interlock groups of the rules: a name each, and the doors of which only one may be open at a time.
    pub fn interlocks(&self) -> Vec<(String, Vec<String>)> {
        let book = self.access.book();
        book.interlocks().map(|(name, doors)| (name.into(), doors.into_iter().map(Into::into).collect())).collect()
    }

    fn take(&self, tag: u64) -> Option<Movement> {
        let mut open = self.open.lock();
        let place = open.iter().position(|movement| movement.tag == tag)?;
        open.remove(place)
    }
}
