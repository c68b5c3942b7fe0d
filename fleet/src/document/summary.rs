use std::collections::VecDeque;

use super::{BUCKETS, DocumentKey, Hash};

/// How many changes back a summary knows what it was.
const HISTORY: usize = 512;

/// What a door has, in 4 kB: of each bucket the exclusive or of its documents' hashes. It knows also what it was before the
/// last changes, since others may have heard of them earlier or later.
#[derive(Clone, Debug)]
pub struct Summary {
    buckets: [u128; BUCKETS],
    root: u128,
    count: u64,
    changes: u64,
    /// Before each of the last changes: the root, and the bucket that changed.
    before: VecDeque<(u128, u8, u64)>,
}

impl Default for Summary {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], root: 0, count: 0, changes: 0, before: VecDeque::new() }
    }
}

impl Summary {
    /// Follows a document that changed from `old` to `new` ([`Document::hash`](super::Document::hash)); `None` where nothing
    /// of it lives, or where there is none.
    pub fn change(&mut self, key: &DocumentKey, old: Option<Hash>, new: Option<Hash>) {
        if old == new {
            return;
        }
        if self.before.len() == HISTORY {
            self.before.pop_front();
        }
        self.before.push_back((self.root, key.bucket(), self.bucket(key.bucket())));
        let change = old.map_or(0, |hash| hash.0) ^ new.map_or(0, |hash| hash.0);
        self.buckets[usize::from(key.bucket())] ^= change;
        self.root ^= change;
        self.changes += 1;
        self.count = self.count + u64::from(new.is_some()) - u64::from(old.is_some());
    }

    /// The exclusive or of all documents' hashes. Two doors with the same root have, but for one chance in 2^128, the same
    /// documents.
    pub const fn root(&self) -> u128 {
        self.root
    }

    /// How many documents there are of which something lives.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// A bucket's hash, shortened: enough to tell where two doors differ.
    pub const fn bucket(&self, bucket: u8) -> u64 {
        self.buckets[bucket as usize] as u64
    }

    /// How many changes there were.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// The number of the change by which the root ceased to be this; `u64::MAX` where it is. `None`: it was not, as far back
    /// as is known.
    pub fn root_left(&self, root: u128) -> Option<u64> {
        if self.root == root {
            return Some(u64::MAX);
        }
        self.left(|(before, ..)| *before == root)
    }

    /// The same of a bucket's hash.
    pub fn bucket_left(&self, bucket: u8, hash: u64) -> Option<u64> {
        if self.bucket(bucket) == hash {
            return Some(u64::MAX);
        }
        self.left(|(_, at, before)| *at == bucket && *before == hash)
    }

    fn left(&self, is_it: impl Fn(&(u128, u8, u64)) -> bool) -> Option<u64> {
        let ago = self.before.iter().rev().position(is_it)? as u64;
        Some(self.changes - ago)
    }
}
