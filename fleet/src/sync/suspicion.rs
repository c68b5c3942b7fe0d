//! Doors that differ, found by their digests.
//!
//! That two doors differ at a moment means nothing: a change is on its way. So what another door had is remembered; where we
//! had the same shortly before, or have it since, all is well. Where not for a while, buckets are told and compared, and those in
//! which the difference lasts are sent by the broker again.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rand::{Rng, RngExt as _};

use crate::{
    document::{BUCKETS, Summary},
    wire::Digest,
};

/// Most roots of others that are kept in mind.
const MAX_ROOTS: usize = 64;

/// How exactly it is known when we changed, in milliseconds.
const NOTED_EVERY: u64 = 1_000;

/// What others had and we have not had since.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// Roots, and when something is to be done about them.
    roots: HashMap<u128, u64>,
    /// By bucket: what another door has there, and when something is to be done about it.
    buckets: BTreeMap<u8, (u64, u64)>,
    /// The root with which buckets were last told, by us or by a door that has the same, and when.
    told: Option<(u128, u64)>,
    /// How many changes there had been here, and when.
    changes: VecDeque<(u64, u64)>,
}

/// What to do about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Tell our buckets.
    pub tell: bool,
    /// Have the broker send these again.
    pub again: Vec<u8>,
}

impl Suspicion {
    /// Takes note of when we changed.
    pub fn note(&mut self, mine: &Summary, now: u64, settle: u64) {
        match self.changes.back_mut() {
            Some((changes, _)) if *changes == mine.changes() => {}
            Some((changes, at)) if now.saturating_sub(*at) < NOTED_EVERY => *changes = mine.changes(),
            _ => self.changes.push_back((mine.changes(), now)),
        }
        // The first is of before: what ceased to be by then ceased too long ago.
        while self.changes.get(1).is_some_and(|(_, at)| now.saturating_sub(*at) > settle) {
            self.changes.pop_front();
        }
    }

    /// Whether what ceased to be with that change did so within `settle`.
    fn is_recent(&self, left: Option<u64>, now: u64, settle: u64) -> bool {
        let Some(left) = left else { return false };
        let noted = self.changes.iter().find(|(changes, _)| *changes >= left);
        noted.is_none_or(|(_, at)| now.saturating_sub(*at) <= settle)
    }

    /// Takes in another door's digest. `mine`: what we have.
    pub fn hear(&mut self, digest: &Digest, mine: &Summary, now: u64, settle: u64, rng: &mut impl Rng) {
        let theirs = u128::from_le_bytes(digest.root.0);
        let root = mine.root();
        if self.is_recent(mine.root_left(theirs), now, settle) {
            self.roots.remove(&theirs);
            if digest.buckets.is_some() {
                self.buckets.clear();
                if theirs == root {
                    self.told = Some((root, now));
                }
            }
            return;
        }
        let due = now + settle + rng.random_range(0..=settle);
        if self.roots.len() < MAX_ROOTS {
            self.roots.entry(theirs).or_insert(due);
        }
        let Some(buckets) = &digest.buckets else { return };
        // Later than anybody tells its own: where one does who has what we have, most likely it is the other that is wrong, and
        // looks itself.
        let due = due + settle;
        for bucket in (0..BUCKETS).map(|bucket| bucket as u8) {
            if self.is_recent(mine.bucket_left(bucket, buckets.get(bucket)), now, settle) {
                self.buckets.remove(&bucket);
            } else {
                self.buckets.entry(bucket).or_insert((buckets.get(bucket), due));
            }
        }
    }

    /// Whether there is anything to look at.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.buckets.is_empty()
    }

    /// Forgets what we have now, and says what is to be done about what has lasted. Buckets are told once within `again_after`
    /// where nothing has changed, and once within a quarter of that at most.
    pub fn look(&mut self, mine: &Summary, now: u64, settle: u64, again_after: u64) -> Verdict {
        let root = mine.root();
        self.roots.remove(&root);
        self.buckets.retain(|&bucket, (theirs, _)| *theirs != mine.bucket(bucket));
        let due: Vec<u128> = self.roots.iter().filter(|(_, due)| **due <= now).map(|(theirs, _)| *theirs).collect();
        let lasts = due.iter().any(|theirs| !self.is_recent(mine.root_left(*theirs), now, settle));
        due.iter().for_each(|theirs| {
            self.roots.remove(theirs);
        });
        let told = self.told.is_some_and(|(told, at)| {
            now.saturating_sub(at) < if told == root { again_after } else { again_after / 4 }
        });
        let tell = lasts && !told;
        if tell {
            self.told = Some((root, now));
        }
        let due = |(bucket, (theirs, due)): (&u8, &(u64, u64))| {
            (*due <= now).then(|| (*bucket, !self.is_recent(mine.bucket_left(*bucket, *theirs), now, settle)))
        };
        let due: Vec<_> = self.buckets.iter().filter_map(due).collect();
        for (bucket, _) in &due {
            self.buckets.remove(bucket);
        }
        Verdict { tell, again: due.into_iter().filter_map(|(bucket, lasts)| lasts.then_some(bucket)).collect() }
    }

    /// When something that lasts is to be done about, at the earliest.
    pub fn next(&self) -> Option<u64> {
        self.roots.values().copied().chain(self.buckets.values().map(|(_, due)| *due)).min()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
