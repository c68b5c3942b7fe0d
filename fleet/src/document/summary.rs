use super::{BUCKETS, DocumentKey, Hash};

/// What a door has, in 4 kB: of each bucket the exclusive or of its documents' hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    buckets: [u128; BUCKETS],
    count: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], count: 0 }
    }
}

impl Summary {
    /// Follows a document that changed from `old` to `new` ([`Document::hash`](super::Document::hash)); `None` where there is none.
    pub fn change(&mut self, key: &DocumentKey, old: Option<Hash>, new: Option<Hash>) {
        let bucket = &mut self.buckets[usize::from(key.bucket())];
        *bucket ^= old.map_or(0, |hash| hash.0) ^ new.map_or(0, |hash| hash.0);
        self.count = self.count + u64::from(new.is_some()) - u64::from(old.is_some());
    }

    /// The exclusive or of all documents' hashes. Two doors with the same root have, but for one chance in 2^128, the same
    /// documents.
    pub fn root(&self) -> u128 {
        self.buckets.iter().fold(0, |root, bucket| root ^ bucket)
    }

    /// How many documents there are of which something lives.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// A bucket's hash, shortened: enough to tell where two doors differ.
    pub fn bucket(&self, bucket: u8) -> u64 {
        self.buckets[usize::from(bucket)] as u64
    }
}
