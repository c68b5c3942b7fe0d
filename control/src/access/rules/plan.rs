//! The compiled rules: names turned into numbers, so that a decision takes as long as the subject has groups.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    document::{AntiPassback, Strictness},
    hours::Hours,
};
use crate::{Card, Class, Passage};

/// Everything but the subjects.
#[derive(Debug)]
pub(super) struct Plan {
    pub hours: Vec<Hours>,
    pub areas: Vec<AreaPlan>,
    pub doors: Vec<DoorPlan>,
    pub interlocks: Vec<InterlockPlan>,
    pub groups: Vec<Arc<str>>,
    pub group_numbers: HashMap<Arc<str>, u32>,
    pub door_numbers: HashMap<Arc<str>, u32>,
    pub area_numbers: HashMap<Arc<str>, u32>,
}

impl Plan {
    pub fn door(&self, name: &str) -> Option<&DoorPlan> {
        self.doors.get(*self.door_numbers.get(name)? as usize)
    }

    pub fn area(&self, name: &str) -> Option<&AreaPlan> {
        self.areas.get(*self.area_numbers.get(name)? as usize)
    }

    pub fn area_at(&self, number: Option<u32>) -> Option<&AreaPlan> {
        self.areas.get(number? as usize)
    }

    pub fn hours_at(&self, number: Option<u32>) -> Option<&Hours> {
        self.hours.get(number? as usize)
    }
}

/// An area.
#[derive(Debug)]
pub(super) struct AreaPlan {
    pub name: Arc<str>,
    pub anti_passback: AntiPassback,
    /// For how long a second entry is denied, where that is timed.
    pub window: Duration,
    pub exit_without_entry: Strictness,
}

/// A door.
#[derive(Debug)]
pub(super) struct DoorPlan {
    pub name: Arc<str>,
    pub free_access: Option<u32>,
    pub outside: Option<u32>,
    pub inside: Option<u32>,
    /// By group.
    pub grants: Vec<Grant>,
}

impl DoorPlan {
    /// What lets a group pass this door, one way or the other.
    pub fn grants_of(&self, group: u32) -> &[Grant] {
        let from = self.grants.partition_point(|grant| grant.group < group);
        let rest = self.grants.get(from..).unwrap_or_default();
        rest.get(..rest.partition_point(|grant| grant.group == group)).unwrap_or_default()
    }
}

/// That a group may pass a door.
#[derive(Debug)]
pub(super) struct Grant {
    pub group: u32,
    /// None: always.
    pub schedule: Option<u32>,
    /// None: both ways.
    pub passage: Option<Passage>,
}

/// Doors of which only one may be open.
#[derive(Debug)]
pub(super) struct InterlockPlan {
    pub name: Arc<str>,
    pub doors: Vec<u32>,
}

/// A subject.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub groups: Box<[u32]>,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
    pub class: Class,
    pub active: bool,
    pub exempt: bool,
    pub card: Option<Card>,
}

type Shard = HashMap<Arc<str>, Person>;

/// All subjects, in parts that snapshots share: a change copies one part of 256.
#[derive(Clone, Debug)]
pub(super) struct People {
    shards: Vec<Arc<Shard>>,
    /// Kept within the snapshot, so that it costs nothing to ask.
    len: usize,
}

impl People {
    const SHARDS: usize = 256;

    pub fn new() -> Self {
        Self { shards: (0..Self::SHARDS).map(|_| Arc::default()).collect(), len: 0 }
    }

    pub fn get(&self, subject: &str) -> Option<&Person> {
        self.shards.get(Self::shard(subject))?.get(subject)
    }

    pub fn insert(&mut self, subject: Arc<str>, person: Person) {
        if let Some(shard) = self.shards.get_mut(Self::shard(&subject)) {
            self.len += usize::from(Arc::make_mut(shard).insert(subject, person).is_none());
        }
    }

    pub fn remove(&mut self, subject: &str) -> bool {
        let Some(shard) = self.shards.get_mut(Self::shard(subject)) else { return false };
        let removed = shard.contains_key(subject) && Arc::make_mut(shard).remove(subject).is_some();
        self.len -= usize::from(removed);
        removed
    }

    pub fn len(&self) -> usize {
        self.len
    }

    fn shard(subject: &str) -> usize {
        // Which part somebody is in need not be secret: each part is a map with a seed of its own.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(subject);
        usize::from(hash as u8)
    }
}
