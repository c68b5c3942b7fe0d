//! Who is where: the memory of anti-passback.
//!
//! A passage is noted when it is confirmed. Between the grant and that, it is *pending*: an area that is strict denies a
//! second entry already then, so that two doors never let the same subject in at once. A grant that nobody used is taken
//! back. After a restart what was pending stays so, which denies the place that was left and the one that was to be reached,
//! and every timed denial begins anew: what is not known for sure is taken for what denies.
//!
//! Several grants may be pending for one subject, for doors tell late. None of them is proof that the subject has left: that
//! a face was seen at another door is what anti-passback does not go by. Only a passage is, and it ends what was pending
//! before it.

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
    /// Where the last confirmed passage led; none before the first. Where that is no area, and doors to two areas are
    /// pending, it is the one that is not in `pending`.
    pub place: Option<Place>,
    /// The door of the last grant or passage.
    #[serde(with = "text")]
    pub door: Arc<str>,
    /// The wall clock then, for people to read. Nothing is decided by it.
    pub at: Timestamp,
    /// Where an open door would lead. Of several, the newest that leads to an area: outside denies nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Place>,
    /// When `place` was reached, or counts as reached.
    #[serde(skip)]
    since: Moment,
    /// When the grant that is pending was given.
    #[serde(skip)]
    granted: Moment,
    /// Where the last confirmed passage led, and when.
    #[serde(skip)]
    confirmed: Option<(Place, Moment)>,
    /// Every grant that is pending, oldest first.
    #[serde(skip)]
    open: Vec<Open>,
}

/// A door that was opened, and has not told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    /// None after a restart: nothing more will be heard of it.
    tag: Option<u64>,
    to: Place,
    at: Moment,
}

impl Whereabouts {
    /// As many grants are pending for one subject at most; the oldest go first. Doors tell within seconds.
    const MOST_OPEN: usize = 16;

    fn open(&mut self, open: Open) {
        if self.open.len() == Self::MOST_OPEN {
            self.open.remove(0);
        }
        self.open.push(open);
        self.sum_up();
    }

    /// Says in two places where the subject may be, so that whatever denies is among them. Three areas, one behind the
    /// other within the seconds until a door tells, are more than two places hold: then the one in the middle is left out,
    /// and [`opened`](Self::opened) alone knows of it.
    fn sum_up(&mut self) {
        let confirmed = self.confirmed.clone();
        let area = confirmed.clone().map(|(place, _)| place).filter(|place| *place != Place::Outside);
        let areas =
            || self.open.iter().rev().filter(|open| open.to != Place::Outside && area.as_ref() != Some(&open.to));
        let pending = areas().next().or(self.open.last()).cloned();
        let other = areas().find(|open| area.is_none() && pending.as_ref().is_some_and(|newest| newest.to != open.to));
        let place = other.map(|open| (open.to.clone(), open.at)).or(confirmed);
        // What is timed counts from the newest grant that leads there.
        let again = |place: &Place| self.open.iter().rev().find(|open| open.to == *place).map(|open| open.at);
        self.since = place.as_ref().map_or(self.since, |(place, since)| again(place).unwrap_or(*since));
        self.place = place.map(|(place, _)| place);
        self.granted = pending.as_ref().map_or(self.granted, |newest| newest.at);
        self.pending = pending.map(|newest| newest.to);
    }

    /// When a door to that area was opened last of which it is not known yet whether they went through.
    pub(super) fn opened(&self, area: &str) -> Option<Moment> {
        self.open.iter().rev().find(|open| open.to.area() == Some(area)).map(|open| open.at)
    }

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
            (known.since, known.granted) = (since, since);
            known.confirmed = known.place.clone().map(|place| (place, since));
            known.open = known.pending.iter().map(|to| Open { tag: None, to: to.clone(), at: since }).collect();
            (subject, known)
        });
        Self { people: people.collect(), unreadable: HashSet::new() }
    }

    /// A door opens for somebody; whether they go through is not known yet.
    pub fn granted(&mut self, movement: Movement) -> &Whereabouts {
        let known = self.entry(&movement);
        (known.door, known.at) = (movement.door, movement.at);
        known.open(Open { tag: Some(movement.tag), to: movement.way.to, at: movement.now });
        known
    }

    /// Somebody went through a door.
    pub fn passed(&mut self, movement: Movement) -> &Whereabouts {
        let known = self.entry(&movement);
        // Whatever was granted before has come to its end with it, and from before a restart nothing else is heard.
        let until = known.open.iter().position(|open| open.tag == Some(movement.tag)).map_or(0, |place| place + 1);
        known.open.drain(..until);
        known.open.retain(|open| open.tag.is_some());
        (known.door, known.at) = (movement.door, movement.at);
        known.confirmed = Some((movement.way.to, movement.now));
        known.sum_up();
        known
    }

    /// Nobody went through the door that was opened by this grant. Gives what is known from now on; none where nothing is.
    pub fn unused(&mut self, subject: &str, tag: u64) -> Option<&Whereabouts> {
        let known = self.people.get_mut(subject)?;
        if let Some(place) = known.open.iter().position(|open| open.tag == Some(tag)) {
            known.open.remove(place);
            known.sum_up();
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
            since: movement.now,
            granted: movement.now,
            confirmed: None,
            open: Vec::new(),
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
