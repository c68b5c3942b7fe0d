//! Doors that differ, found by their digests.
//!
//! That two doors differ at a moment means nothing: a change is on its way. So what another door had is remembered; where we
//! had the same shortly before, or have it since, all is well. Where not for a while, buckets are told and compared, and those in
//! which the difference lasts are sent by the broker again.
//!
//! One door that differs makes all others look different from it, and the broker must not have to send everything to all of
//! them. So a door that has the same as others gives the one that differs time to mend itself, and forgets the difference when
//! that one has the same too; and whoever was sent buckets again tells what it has then, which is what the broker keeps: those
//! who have the same need not be sent it as well.

use std::collections::{BTreeMap, HashMap, VecDeque, btree_map::Entry};

use rand::{Rng, RngExt as _};

use crate::{
    Name,
    document::{BUCKETS, Summary},
    wire::Digest,
};

/// Most roots of others that are kept in mind.
const MAX_ROOTS: usize = 64;

/// How exactly it is known when we changed, in milliseconds.
const NOTED_EVERY: u64 = 1_000;

/// So much longer for each door of the site waits a door that others agree with, at most, before the broker sends it buckets
/// again, in milliseconds: being sent a few takes some ten seconds, so one door in ten at most does it before it hears of
/// another's having done it.
const SPREAD_A_DOOR: u64 = 1_000;

/// What others had and we have not had since.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// Roots, and when something is to be done about them.
    roots: HashMap<u128, u64>,
    /// By bucket: what another door has there.
    buckets: BTreeMap<u8, Difference>,
    /// When another door was last heard of that had the same as we.
    agreed: Option<u64>,
    /// The root with which buckets were last told, by us or by a door that has the same, and when.
    told: Option<(u128, u64)>,
    /// How many changes there had been here, and when.
    changes: VecDeque<(u64, u64)>,
}

/// What another door has in a bucket.
#[derive(Debug)]
struct Difference {
    theirs: u64,
    by: Name,
    /// When something is to be done about it.
    due: u64,
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

    /// Takes in another door's digest. `mine`: what we have; `doors`: how many there are of the site.
    pub fn hear(&mut self, digest: &Digest, mine: &Summary, doors: usize, now: u64, settle: u64, rng: &mut impl Rng) {
        let theirs = u128::from_le_bytes(digest.root.0);
        let root = mine.root();
        let alike = self.is_recent(mine.root_left(theirs), now, settle);
        if alike {
            self.agreed = Some(now);
            self.roots.remove(&theirs);
            // What it had was mended.
            self.buckets.retain(|_, difference| difference.by != digest.by);
            if digest.buckets.is_some() && theirs == root {
                self.told(mine, now);
            }
        }
        let soon = now + settle + rng.random_range(0..=settle);
        if !alike && self.roots.len() < MAX_ROOTS {
            self.roots.entry(theirs).or_insert(soon);
        }
        let Some(buckets) = &digest.buckets else { return };
        let checked = digest.checked.unwrap_or_default();
        // Later than anybody tells its own, and where others have what we have, later still: most likely it is the other that
        // is wrong, and looks itself.
        let agreed = self.agreed.is_some_and(|at| now.saturating_sub(at) <= 2 * settle);
        let spread = if agreed { settle + rng.random_range(0..=SPREAD_A_DOOR * doors as u64) } else { 0 };
        for bucket in (0..BUCKETS).map(|bucket| bucket as u8) {
            let (theirs, checked) = (buckets.get(bucket), checked.contains(bucket));
            let recent = self.is_recent(mine.bucket_left(bucket, theirs), now, settle);
            let due = if checked { soon } else { soon + settle + spread };
            match self.buckets.entry(bucket) {
                // Doors that lack the same would keep each other from it: only what the broker keeps says that we are right.
                Entry::Occupied(known) if recent && (checked || known.get().by == digest.by) => {
                    known.remove();
                }
                Entry::Occupied(mut known) if !recent && due < known.get().due => {
                    known.insert(Difference { theirs, by: digest.by.clone(), due });
                }
                Entry::Vacant(place) if !recent => {
                    place.insert(Difference { theirs, by: digest.by.clone(), due });
                }
                _ => {}
            }
        }
    }

    /// Takes note that buckets were told with what we have.
    pub fn told(&mut self, mine: &Summary, now: u64) {
        self.told = Some((mine.root(), now));
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
        self.buckets.retain(|&bucket, difference| difference.theirs != mine.bucket(bucket));
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
            self.told(mine, now);
        }
        let due = self.buckets.iter().filter(|(_, difference)| difference.due <= now);
        let lasts = |(bucket, difference): (&u8, &Difference)| {
            (*bucket, !self.is_recent(mine.bucket_left(*bucket, difference.theirs), now, settle))
        };
        let due: Vec<_> = due.map(lasts).collect();
        for (bucket, _) in &due {
            self.buckets.remove(bucket);
        }
        Verdict { tell, again: due.into_iter().filter_map(|(bucket, lasts)| lasts.then_some(bucket)).collect() }
    }

    /// When something that lasts is to be done about, at the earliest.
    pub fn next(&self) -> Option<u64> {
        self.roots.values().copied().chain(self.buckets.values().map(|difference| difference.due)).min()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
