//! What is to be published later, unless somebody else does.

use std::collections::{BTreeSet, HashMap};

use rand::{Rng, RngExt as _};

use crate::{
    Name,
    document::{DocumentKey, Kind},
};

/// What is to be published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Item {
    Document(DocumentKey),
    /// A spent document, to be taken off the broker.
    Clear(Kind, DocumentKey),
    Voucher(Name),
}

/// So many times an hour an item is published with the usual delay. Whoever writes over retained copies makes us do that;
/// beyond this, each time takes twice as long as the one before.
const USUAL: u32 = 8;

const HOUR_MS: u64 = 3_600_000;

/// Most items whose repetitions are counted. Past that, none are forgotten before their hour, and more are not counted.
const MAX_COUNTED: usize = 65_536;

/// Items by the time when they are due.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// When, and the how-manieth: what is due at one time goes out in the order in which it came.
    order: BTreeSet<(u64, u64, Item)>,
    due: HashMap<Item, (u64, u64)>,
    count: u64,
    repeated: HashMap<Item, u32>,
    counted_since: u64,
}

impl Queue {
    /// Puts an item there for a random moment of the next `window` milliseconds; one that waits already stays where it is.
    pub fn later(&mut self, item: Item, now: u64, window: u64, rng: &mut impl Rng) {
        if self.due.contains_key(&item) {
            return;
        }
        if now.saturating_sub(self.counted_since) >= HOUR_MS {
            self.repeated.clear();
            self.counted_since = now;
        }
        let times = match self.repeated.get_mut(&item) {
            Some(times) => {
                *times = times.saturating_add(1);
                *times
            }
            None => {
                if self.repeated.len() < MAX_COUNTED {
                    self.repeated.insert(item.clone(), 1);
                }
                1
            }
        };
        let window = window.saturating_mul(1 << times.saturating_sub(USUAL).min(12)).min(HOUR_MS.max(window));
        self.put(item, now.saturating_add(rng.random_range(0..=window)));
    }

    /// Puts an item there for now.
    pub fn now(&mut self, item: Item, now: u64) {
        self.cancel(&item);
        self.put(item, now);
    }

    fn put(&mut self, item: Item, due: u64) {
        self.count += 1;
        self.due.insert(item.clone(), (due, self.count));
        self.order.insert((due, self.count, item));
    }

    /// Takes an item out: somebody else has published it.
    pub fn cancel(&mut self, item: &Item) {
        if self.due.is_empty() {
            return;
        }
        if let Some((item, (due, count))) = self.due.remove_entry(item) {
            self.order.remove(&(due, count, item));
        }
    }

    /// The next item that is due.
    pub fn pop(&mut self, now: u64) -> Option<Item> {
        if self.next().is_none_or(|due| due > now) {
            return None;
        }
        let (_, _, item) = self.order.pop_first()?;
        self.due.remove(&item);
        Some(item)
    }

    /// When the first is due.
    pub fn next(&self) -> Option<u64> {
        self.order.first().map(|(due, ..)| *due)
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn clear(&mut self) {
        self.order.clear();
        self.due.clear();
    }
}
