//! How much one of many may hold at a time of what all of them need: a network of the connections, a tenant of the places for
//! uploads.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;

type Held<K> = Arc<Mutex<HashMap<K, usize>>>;

/// Who holds how many. There are as many entries as there are holders.
pub(super) struct Shares<K> {
    most: usize,
    held: Held<K>,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// Each may hold `most` at a time.
    pub(super) fn new(most: usize) -> Self {
        Self { most, held: Held::default() }
    }

    /// One more for `whose`, until it is dropped; none where that holds all that it may.
    pub(super) fn take(&self, whose: K) -> Option<Share<K>> {
        let mut held = self.held.lock();
        let count = held.get(&whose).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        held.insert(whose.clone(), count + 1);
        Some(Share { whose, held: Arc::clone(&self.held) })
    }
}

/// One that is held.
pub(super) struct Share<K: Eq + Hash> {
    whose: K,
    held: Held<K>,
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        match held.get_mut(&self.whose) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(&self.whose)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holds_so_many_and_no_more_whatever_the_others_hold() {
        let shares = Shares::new(2);
        let first = shares.take("one").expect("there is room");
        let second = shares.take("one").expect("and for another");
        assert!(shares.take("one").is_none(), "it holds all that it may");
        let other = shares.take("other").expect("that is another's");
        drop(first);
        let third = shares.take("one").expect("one came back");
        assert!(shares.take("one").is_none());
        drop((second, third, other));
        assert!(shares.held.lock().is_empty(), "nobody is remembered who holds nothing");
    }
}
