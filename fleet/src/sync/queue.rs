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

/// So many times an hour a document is published with the usual delay. Whoever writes over retained copies makes us do that;
/// beyond this, each time takes twice as long as the one before. Vouchers never take longer: while the broker has the one that a
/// revoked key was vouched for with, whoever is new believes it. They are small, and each door publishes one about once within its
/// usual delay.
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
        let window = match item {
            Item::Voucher(_) => window,
            Item::Document(_) | Item::Clear(..) => self.slowed(&item, now, window),
        };
        self.put(item, now.saturating_add(rng.random_range(0..=window)));
    }

    /// Counts an item, and makes its delay longer where it has come too often.
    fn slowed(&mut self, item: &Item, now: u64, window: u64) -> u64 {
        if now.saturating_sub(self.counted_since) >= HOUR_MS {
            self.repeated.clear();
            self.counted_since = now;
        }
        let times = match self.repeated.get_mut(item) {
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
        window.saturating_mul(1 << times.saturating_sub(USUAL).min(12)).min(HOUR_MS.max(window))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// How long an item waits at most, each time that somebody makes us publish it, so many times.
    fn longest(item: &Item, times: usize) -> u64 {
        let (mut queue, mut rng, mut now, mut longest) = (Queue::default(), rand::rng(), 1_000, 0);
        for _ in 0..times {
            queue.later(item.clone(), now, 2_000, &mut rng);
            let due = queue.next().expect("it waits");
            longest = longest.max(due - now);
            now = due;
            assert_eq!(queue.pop(now).as_ref(), Some(item));
        }
        longest
    }

    #[test]
    fn whoever_writes_over_a_document_is_answered_ever_later_and_over_a_voucher_as_soon_as_ever() {
        let document = Item::Document(DocumentKey::from_bytes([7; 16]));
        assert!(longest(&document, 30) > 10_000);
        let voucher = Item::Voucher("front".parse().expect("a name"));
        assert!(longest(&voucher, 2_000) <= 2_000);
    }
}
