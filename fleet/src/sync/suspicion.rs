//! Doors that differ, found by their digests.
//!
//! That two doors differ at a moment means nothing: a change is on its way. So what another door had is remembered; where we
//! have had the same since, all is well. Where we have not for a while, buckets are told and compared, and those in which the
//! difference lasts are sent by the broker again.

use std::collections::{BTreeMap, HashMap};

use rand::{Rng, RngExt as _};

use crate::{
    Name,
    document::{BUCKETS, Summary},
    wire::Digest,
};

/// Most roots of others that are kept in mind.
const MAX_ROOTS: usize = 64;

/// What others had and we have not had since.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// Of each door, the root it told last.
    peers: HashMap<Name, u128>,
    /// Roots, and when something is to be done about them.
    roots: HashMap<u128, u64>,
    /// By bucket: what another door has there, and when something is to be done about it.
    buckets: BTreeMap<u8, (u64, u64)>,
    /// The root with which buckets were last told, by us or by a door that has the same, and when.
    told: Option<(u128, u64)>,
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
    /// Takes in another door's digest. `mine`: what we have.
    pub fn hear(&mut self, digest: &Digest, mine: &Summary, now: u64, settle: u64, rng: &mut impl Rng) {
        let theirs = u128::from_le_bytes(digest.root.0);
        self.peers.insert(digest.by.clone(), theirs);
        let root = mine.root();
        if theirs == root {
            self.roots.remove(&theirs);
            if digest.buckets.is_some() {
                self.told = Some((root, now));
            }
            return;
        }
        let due = now + settle + rng.random_range(0..=settle);
        if self.roots.len() < MAX_ROOTS {
            self.roots.entry(theirs).or_insert(due);
        }
        let Some(buckets) = &digest.buckets else { return };
        // Whoever is alone with what it has looks first: most likely it is the one that is wrong.
        let agreeing = self.peers.values().filter(|&&peer| peer == root).count() as u64;
        let due = due + agreeing * 100;
        for bucket in (0..BUCKETS).map(|bucket| bucket as u8) {
            if buckets.get(bucket) != mine.bucket(bucket) {
                self.buckets.entry(bucket).or_insert((buckets.get(bucket), due));
            }
        }
    }

    /// Whether there is anything to look at.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.buckets.is_empty()
    }

    /// Forgets what we have now, and says what is to be done about what has lasted. `again_after`: how long after buckets were
    /// told they are told again.
    pub fn look(&mut self, mine: &Summary, now: u64, again_after: u64) -> Verdict {
        let root = mine.root();
        self.roots.remove(&root);
        self.buckets.retain(|&bucket, (theirs, _)| *theirs != mine.bucket(bucket));
        let lasting = self.roots.len();
        self.roots.retain(|_, due| *due > now);
        let told = self.told.is_some_and(|(told, at)| told == root && now.saturating_sub(at) < again_after);
        let tell = self.roots.len() < lasting && !told;
        if tell {
            self.told = Some((root, now));
        }
        let again: Vec<u8> =
            self.buckets.iter().filter(|(_, (_, due))| *due <= now).map(|(&bucket, _)| bucket).collect();
        again.iter().for_each(|bucket| {
            self.buckets.remove(bucket);
        });
        Verdict { tell, again }
    }

    /// When something that lasts is to be done about, at the earliest.
    pub fn next(&self) -> Option<u64> {
        self.roots.values().copied().chain(self.buckets.values().map(|(_, due)| *due)).min()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
