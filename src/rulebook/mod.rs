//! What a door asks: the rules in force for its tenant, and who is where. All of it in memory.
//!
//! The door's thread loads a snapshot of the rules, decides, and notes the passage; it never waits for a disk. The rules
//! change by another snapshot in the place of this one. What was noted is written by another thread, woken by [`Bell`], and
//! after a restart the store gives it back ([`Noted`] is the memory of one tenant).

mod gate;
mod item;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

pub use self::{
    gate::{Gate, Pass},
    item::Item,
};
use crate::{
    access::rules::{Allowed, Explanation, Movement, Presence, Request, Rulebook, Ruling, Whereabouts},
    clock::Moment,
};

/// Finds a time zone: that of the system where it has one of this name, else the one that came with the program.
pub fn zones(name: &str) -> Option<jiff::tz::TimeZone> {
    jiff::tz::TimeZone::get(name).ok()
}

/// Reads rules, or one thing of them, as people write them: a JSON object. (A list of values in the order of the fields would
/// do for the parser, and an empty list for empty rules, which let nobody in.)
///
/// # Errors
/// What the parser says, with the key and the place.
pub fn read<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    if json.trim_ascii_start().first().is_some_and(|&first| first != b'{') {
        let wanted = serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(json);
        return wanted.and_then(|map| serde_json::from_value(map.into()));
    }
    serde_json::from_slice(json)
}

/// Wakes the thread that stores what was noted. Rung by whoever notes; several rings are one.
#[derive(Clone, Debug)]
pub struct Bell {
    ring: Sender<()>,
    heard: Receiver<()>,
}

impl Default for Bell {
    fn default() -> Self {
        let (ring, heard) = bounded(1);
        Self { ring, heard }
    }
}

impl Bell {
    /// Rings it. Never waits.
    pub fn ring(&self) {
        // Full: it has been rung and not been heard yet.
        let _ = self.ring.try_send(());
    }

    /// Waits for a ring, no longer than `patience`; whether there was one.
    pub fn wait(&self, patience: Duration) -> bool {
        self.heard.recv_timeout(patience).is_ok()
    }
}

/// What somebody was noted as, to be stored: none where nothing is known of them any more.
pub type Note = (Arc<str>, Option<Whereabouts>);

/// Where the subjects of a tenant are, as the store has it.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub whereabouts: Vec<(Arc<str>, Whereabouts)>,
    /// Of whom something is stored that cannot be read.
    pub unreadable: Vec<Arc<str>>,
}

/// A tenant's rules and who of its subjects is where.
#[derive(Debug)]
pub struct TenantAccess {
    book: ArcSwap<Rulebook>,
    noted: Mutex<Noted>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct Noted {
    presence: Presence,
    /// Whose whereabouts have changed since they were stored.
    unsaved: HashSet<Arc<str>>,
    /// Whose whereabouts somebody is storing.
    saving: HashSet<Arc<str>>,
    /// Whose were stored, by which transaction: a look at the store may be older.
    saved: HashMap<Arc<str>, usize>,
    /// Whether what the store knows has been taken in.
    restored: bool,
}

impl TenantAccess {
    /// A tenant without rules, of whose subjects nothing is known.
    pub fn new(bell: Bell) -> Self {
        Self { book: ArcSwap::from_pointee(Rulebook::none()), noted: Mutex::default(), bell }
    }

    /// The rules in force.
    pub fn book(&self) -> Arc<Rulebook> {
        self.book.load_full()
    }

    /// Puts other rules in force.
    pub fn set_book(&self, book: Rulebook) {
        self.book.store(Arc::new(book));
    }

    /// What the door would decide, and why. Nothing is noted.
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let book = self.book.load();
        book.explain(request, &self.noted.lock().presence)
    }

    /// What the rules say. Nothing is noted.
    pub fn rule(&self, request: &Request<'_>) -> Ruling {
        let book = self.book.load();
        book.rule(request, &self.noted.lock().presence)
    }

    /// Decides, and where somebody may pass from one area to another notes that a door opens for them. Gives that movement:
    /// it is to be told whether they went through.
    ///
    /// Ruling and noting are one step: of two doors that ask at once, a strict area lets one open.
    pub fn admit(&self, request: &Request<'_>, tag: u64) -> (Ruling, Option<Movement>) {
        let book = self.book.load();
        let mut noted = self.noted.lock();
        let ruling = book.rule(request, &noted.presence);
        let Ruling::Allowed(Allowed { way: Some(way), .. }) = &ruling else { return (ruling, None) };
        let movement = Movement {
            subject: request.subject.into(),
            door: request.door.into(),
            way: way.clone(),
            tag,
            at: request.at,
            now: request.now,
        };
        noted.unsaved.insert(Arc::clone(&movement.subject));
        noted.presence.granted(movement.clone());
        drop(noted);
        self.bell.ring();
        (ruling, Some(movement))
    }

    /// Notes that somebody went through.
    pub fn passed(&self, movement: Movement) {
        let mut noted = self.noted.lock();
        noted.unsaved.insert(Arc::clone(&movement.subject));
        noted.presence.passed(movement);
        drop(noted);
        self.bell.ring();
    }

    /// Notes that nobody went through the door that this grant opened.
    pub fn unused(&self, subject: &str, tag: u64) {
        let mut noted = self.noted.lock();
        noted.presence.unused(subject, tag);
        noted.unsaved.insert(subject.into());
        drop(noted);
        self.bell.ring();
    }

    /// What is known of somebody.
    pub fn whereabouts(&self, subject: &str) -> Option<Whereabouts> {
        self.noted.lock().presence.get(subject).cloned()
    }

    /// Whether something is stored of somebody that cannot be read.
    pub fn is_unreadable(&self, subject: &str) -> bool {
        self.noted.lock().presence.is_unreadable(subject)
    }

    /// Of how many anything is known.
    pub fn known(&self) -> usize {
        self.noted.lock().presence.len()
    }

    /// How many are to be stored whom nobody stores yet.
    #[cfg(test)]
    pub fn unsaved(&self) -> usize {
        self.noted.lock().unsaved.len()
    }

    /// Everybody of whom anything is known, by name.
    #[cfg(test)]
    pub fn everybody(&self) -> Vec<(Arc<str>, Whereabouts)> {
        let mut all: Vec<_> = {
            let noted = self.noted.lock();
            noted.presence.iter().map(|(subject, known)| (Arc::clone(subject), known.clone())).collect()
        };
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Forgets where those are of whom `is` is true.
    pub(crate) fn forgive(&self, is: impl Fn(&str) -> bool) {
        // The names are judged without the lock: the door must not wait for it.
        let names: Vec<Arc<str>> = {
            let noted = self.noted.lock();
            let known = noted.presence.iter().map(|(subject, _)| subject);
            known.chain(noted.presence.unreadable()).map(Arc::clone).collect()
        };
        for name in names.into_iter().filter(|name| is(name)) {
            let mut noted = self.noted.lock();
            noted.presence.forgive(&name);
            // Somebody may be writing what was known until now: it is to be deleted again.
            noted.unsaved.insert(name);
        }
        self.bell.ring();
    }

    /// Takes in what the store knows. Only the first time: from then on this is newer than the store. Later, whoever is no longer
    /// stored has been forgiven by somebody whose word did not reach us; unless it is being stored, or was by a transaction after
    /// `seen`, which is that of the look at the store.
    pub(crate) fn restore(&self, stored: Stored, seen: usize, now: Moment) {
        let Stored { whereabouts: stored, unreadable } = stored;
        let mut noted = self.noted.lock();
        if !noted.restored {
            // What was noted before is newer than what is stored.
            let before = std::mem::take(&mut noted.presence);
            let known: HashMap<_, _> =
                before.iter().map(|(subject, known)| (Arc::clone(subject), known.clone())).collect();
            let stored = stored.into_iter().filter(|(subject, _)| !known.contains_key(subject));
            noted.presence = Presence::restore(stored.chain(known.clone()), now);
            unreadable.into_iter().for_each(|subject| noted.presence.set_unreadable(subject));
            noted.restored = true;
            return;
        }
        let stored: HashSet<_> = stored.into_iter().map(|(subject, _)| subject).chain(unreadable).collect();
        let gone: Vec<_> = noted
            .presence
            .iter()
            .filter(|(subject, _)| !stored.contains(*subject))
            .filter(|(subject, _)| !noted.unsaved.contains(*subject) && !noted.saving.contains(*subject))
            .filter(|(subject, _)| noted.saved.get(*subject).is_none_or(|&by| by <= seen))
            .map(|(subject, _)| Arc::clone(subject))
            .collect();
        for subject in gone {
            noted.presence.forgive(&subject);
        }
        noted.saved.retain(|_, by| *by > seen);
    }

    /// What was noted since it was stored last, for somebody who stores it: one at a time, who says afterwards that it is
    /// [`stored`](Self::stored) or [`still_unsaved`](Self::still_unsaved).
    pub(crate) fn take_unsaved(&self) -> Vec<Note> {
        let mut noted = self.noted.lock();
        let unsaved = std::mem::take(&mut noted.unsaved);
        noted.saving.extend(unsaved.iter().map(Arc::clone));
        unsaved
            .into_iter()
            .map(|subject| {
                let known = noted.presence.get(&subject).cloned();
                (subject, known)
            })
            .collect()
    }

    /// What was taken was stored by this transaction.
    pub(crate) fn stored(&self, by: usize) {
        let mut noted = self.noted.lock();
        let saving = std::mem::take(&mut noted.saving);
        noted.saved.extend(saving.into_iter().map(|subject| (subject, by)));
    }

    /// What was taken could not be stored: it is to be tried again.
    pub(crate) fn still_unsaved(&self) {
        let mut noted = self.noted.lock();
        let saving = std::mem::take(&mut noted.saving);
        noted.unsaved.extend(saving);
    }
}
