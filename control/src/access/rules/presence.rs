//! Who is where: the memory of anti-passback.
//!
//! A passage is noted when it is confirmed. Between the grant and that, it is *pending*: an area that is strict denies a
//! second entry already then, so that two doors never let the same subject in at once. A grant that nobody used is taken
//! back. After a restart what was pending stays so, which denies the place that was left and the one that was to be reached,
//! and every timed denial begins anew: what is not known for sure is taken for what denies.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Moment;

/// Where somebody is, as far as doors have told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In none of the areas.
    Outside,
    /// In the area of this name.
    Area(#[serde(with = "text")] Arc<str>),
}

impl Place {
    /// The area's name; none outside.
    pub fn area(&self) -> Option<&str> {
        match self {
            Self::Outside => None,
            Self::Area(name) => Some(name),
        }
    }
}

/// What a passage leads from and to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub from: Place,
    pub to: Place,
}

/// What is known of one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whereabouts {
    /// Where the last confirmed passage led; none before the first.
    pub place: Option<Place>,
    /// The door of the last grant or passage.
    #[serde(with = "text")]
    pub door: Arc<str>,
    /// The wall clock then, for people to read. Nothing is decided by it.
    pub at: Timestamp,
    /// Where an open door would lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Place>,
    /// The grant that is pending; none after a restart: nothing more will be heard of it.
    #[serde(skip)]
    tag: Option<u64>,
    /// When `place` was reached, or counts as reached.
    #[serde(skip)]
    since: Moment,
    /// When the grant that is pending was given.
    #[serde(skip)]
    granted: Moment,
}

impl Whereabouts {
    /// How long ago `place` was reached.
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.since)
    }

    /// How long ago the pending grant was given.
    pub fn pending_age(&self, now: Moment) -> Duration {
        now.since(self.granted)
    }
}

/// A grant or a passage, as the memory takes it in.
#[derive(Clone, Debug)]
pub struct Movement {
    /// Who.
    pub subject: Arc<str>,
    /// Through which door.
    pub door: Arc<str>,
    /// From where to where.
    pub way: Way,
    /// Tells this grant from others.
    pub tag: u64,
    /// The wall clock.
    pub at: Timestamp,
    /// The monotonic clock.
    pub now: Moment,
}

/// Who is where. Empty: nobody has been seen, and everybody's first passage is in order.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    people: HashMap<Arc<str>, Whereabouts>,
    /// Of whom something is stored that cannot be read.
    unreadable: HashSet<Arc<str>>,
}

impl Presence {
    /// What was stored, taken up again at `now`: every timed denial begins anew, and what was pending stays so until the
    /// subject's next passage.
    pub fn restore(stored: impl IntoIterator<Item = (Arc<str>, Whereabouts)>, now: Moment) -> Self {
        Self::restore_since(stored, |_| now)
    }

    /// The same, with `since` to say when each place was reached. For explanations where no door is at hand: the stored wall
    /// clock is good enough for those, and for nothing that opens a door.
    pub fn restore_since(
        stored: impl IntoIterator<Item = (Arc<str>, Whereabouts)>,
        since: impl Fn(&Whereabouts) -> Moment,
    ) -> Self {
        let people = stored.into_iter().map(|(subject, mut known)| {
            let since = since(&known);
            (known.since, known.granted, known.tag) = (since, since, None);
            (subject, known)
        });
        Self { people: people.collect(), unreadable: HashSet::new() }
    }

    /// A door opens for somebody; whether they go through is not known yet.
    pub fn granted(&mut self, movement: Movement) -> &Whereabouts {
        let known = self.entry(&movement);
        if known.pending.as_ref() == Some(&movement.way.from) {
            // They stand where another door led that has not told yet: so they went through it.
            (known.place, known.since) = (known.pending.take(), known.granted);
        }
        known.pending = Some(movement.way.to);
        (known.tag, known.granted) = (Some(movement.tag), movement.now);
        (known.door, known.at) = (movement.door, movement.at);
        known
    }

    /// Somebody went through a door.
    pub fn passed(&mut self, movement: Movement) -> &Whereabouts {
        let known = self.entry(&movement);
        // A grant from before a restart ends with whatever passage is seen first.
        if known.tag.is_none_or(|tag| tag == movement.tag) {
            known.pending = None;
        }
        (known.place, known.since) = (Some(movement.way.to), movement.now);
        (known.door, known.at) = (movement.door, movement.at);
        known
    }

    /// Nobody went through the door that was opened by this grant. Gives what is known from now on; none where nothing is.
    pub fn unused(&mut self, subject: &str, tag: u64) -> Option<&Whereabouts> {
        let known = self.people.get_mut(subject)?;
        if known.tag == Some(tag) {
            known.pending = None;
        }
        if known.place.is_none() && known.pending.is_none() {
            self.people.remove(subject);
        }
        self.people.get(subject)
    }

    /// Something is stored of somebody that cannot be read: areas that keep count deny them until they are forgiven.
    pub fn set_unreadable(&mut self, subject: Arc<str>) {
        self.unreadable.insert(subject);
    }

    /// Whether something is stored of them that cannot be read.
    pub fn is_unreadable(&self, subject: &str) -> bool {
        self.unreadable.contains(subject)
    }

    /// Of whom something is stored that cannot be read.
    pub fn unreadable(&self) -> impl Iterator<Item = &Arc<str>> {
        self.unreadable.iter()
    }

    /// Forgets where somebody is: their next passage is in order wherever it is. Whether anything was known.
    pub fn forgive(&mut self, subject: &str) -> bool {
        let unreadable = self.unreadable.remove(subject);
        self.people.remove(subject).is_some() || unreadable
    }

    /// Forgets where everybody is; how many they were.
    pub fn forgive_all(&mut self) -> usize {
        std::mem::take(self).people.len()
    }

    /// What is known of somebody.
    pub fn get(&self, subject: &str) -> Option<&Whereabouts> {
        self.people.get(subject)
    }

    /// Everybody of whom anything is known, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Whereabouts)> {
        self.people.iter()
    }

    /// Of how many anything is known.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether nothing is known of anybody.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    fn entry(&mut self, movement: &Movement) -> &mut Whereabouts {
        self.people.entry(Arc::clone(&movement.subject)).or_insert_with(|| Whereabouts {
            place: None,
            door: Arc::clone(&movement.door),
            at: movement.at,
            pending: None,
            tag: Some(movement.tag),
            since: movement.now,
            granted: movement.now,
        })
    }
}

/// A shared text as a plain one.
mod text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        Ok(String::deserialize(deserializer)?.into())
    }
}
