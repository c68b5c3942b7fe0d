//! Which events wait for the broker.
//!
//! The queue is bounded. Where it is full, the oldest routine event gives way; alarms give way to newer alarms only. What is
//! dropped is counted. Numbers rise by one with every event, also with those that are dropped, so that a receiver sees gaps;
//! events are sent in order, and again after a connection is lost, until the broker has acknowledged them.
//!
//! Events themselves are elsewhere, by their numbers: on the disk. Store what [`Outbox::push`] says in one transaction.

use std::collections::BTreeMap;

use crate::wire::Class;

/// The order of what waits.
#[derive(Clone, Debug)]
pub struct Outbox {
    capacity: usize,
    waiting: BTreeMap<u64, Class>,
    last: u64,
    dropped: u64,
    /// The last that was sent on this connection.
    sent: u64,
}

/// What to do about a new event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Its number.
    pub seq: u64,
    /// Whether it is to be stored: not where it is routine and everything that waits is an alarm.
    pub kept: bool,
    /// This one is to be deleted.
    pub evicted: Option<u64>,
    /// How many were dropped by now.
    pub dropped: u64,
}

impl Outbox {
    /// An empty queue of so many events, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), waiting: BTreeMap::new(), last: 0, dropped: 0, sent: 0 }
    }

    /// The queue as it was stored: what waits, the last number given, how many were dropped. Where the capacity is smaller
    /// now, it shrinks as events are acknowledged or give way.
    pub fn restore(capacity: usize, waiting: impl IntoIterator<Item = (u64, Class)>, last: u64, dropped: u64) -> Self {
        let mut this = Self::new(capacity);
        this.waiting.extend(waiting);
        this.last = last.max(this.waiting.last_key_value().map_or(0, |(&seq, _)| seq));
        this.dropped = dropped;
        this
    }

    /// Takes in an event.
    pub fn push(&mut self, class: Class) -> Pushed {
        self.last += 1;
        let mut pushed = Pushed { seq: self.last, kept: true, evicted: None, dropped: self.dropped };
        if self.waiting.len() >= self.capacity {
            self.dropped += 1;
            pushed.dropped = self.dropped;
            let routine = self.waiting.iter().find(|(_, class)| **class == Class::Routine).map(|(&seq, _)| seq);
            pushed.evicted = match (routine, class) {
                (None, Class::Routine) => {
                    pushed.kept = false;
                    return pushed;
                }
                (Some(routine), _) => Some(routine),
                (None, Class::Alarm) => self.waiting.first_key_value().map(|(&seq, _)| seq),
            };
            pushed.evicted.and_then(|seq| self.waiting.remove(&seq));
        }
        self.waiting.insert(self.last, class);
        pushed
    }

    /// Takes back what was pushed last and could not be stored: `waiting` is what is stored, and so many events are lost. `last` and
    /// `dropped` are what they were before.
    pub fn lose(&mut self, waiting: impl IntoIterator<Item = (u64, Class)>, last: u64, dropped: u64, lost: u64) {
        let sent = self.sent;
        // The numbers are gone with the events, and tell of them.
        *self = Self::restore(self.capacity, waiting, last + lost, dropped + lost);
        self.sent = sent;
    }

    /// The next event to be sent on this connection.
    pub fn next(&self) -> Option<u64> {
        self.waiting.range(self.sent + 1..).next().map(|(&seq, _)| seq)
    }

    /// Takes note that it was handed to the connection.
    pub fn sent(&mut self, seq: u64) {
        self.sent = self.sent.max(seq);
    }

    /// Takes note that the broker has it; whether it is to be deleted.
    pub fn acknowledged(&mut self, seq: u64) -> bool {
        self.waiting.remove(&seq).is_some()
    }

    /// Takes note that the connection is lost: what was not acknowledged is sent again.
    pub fn disconnected(&mut self) {
        self.sent = 0;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The last number given; to be stored.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// How many were dropped in the queue's life; to be stored.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn routine_gives_way_to_alarms_and_the_oldest_first() {
        let mut outbox = Outbox::new(3);
        for class in [Class::Routine, Class::Alarm, Class::Routine] {
            assert_eq!(outbox.push(class).evicted, None);
        }
        assert_eq!(outbox.push(Class::Routine).evicted, Some(1));
        assert_eq!(outbox.push(Class::Alarm).evicted, Some(3));
        assert_eq!(outbox.push(Class::Alarm), Pushed { seq: 6, kept: true, evicted: Some(4), dropped: 3 });
        assert_eq!(
            outbox.push(Class::Routine),
            Pushed { seq: 7, kept: false, evicted: None, dropped: 4 },
            "all are alarms"
        );
        assert_eq!(outbox.push(Class::Alarm).evicted, Some(2), "a newer alarm");
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_in_order() {
        let mut outbox = Outbox::new(10);
        (1..=3).for_each(|seq| assert_eq!(outbox.push(Class::Routine).seq, seq));
        for seq in 1..=2 {
            assert_eq!(outbox.next(), Some(seq));
            outbox.sent(seq);
        }
        assert!(outbox.acknowledged(1) && !outbox.acknowledged(1));
        outbox.disconnected();
        assert_eq!(outbox.next(), Some(2));
        let stored = [(2, Class::Routine), (3, Class::Routine)];
        let restored = Outbox::restore(10, stored, 3, 0);
        assert_eq!((restored.next(), restored.last(), restored.len()), (Some(2), 3, 2));
    }

    #[test]
    fn what_could_not_be_stored_is_counted_and_takes_nobody_s_place() {
        let mut outbox = Outbox::new(2);
        outbox.push(Class::Routine);
        outbox.push(Class::Routine);
        outbox.sent(1);
        let (last, dropped) = (outbox.last(), outbox.dropped());
        assert_eq!(outbox.push(Class::Alarm).evicted, Some(1));
        assert_eq!(outbox.push(Class::Alarm).evicted, Some(2));
        outbox.lose([(1, Class::Routine), (2, Class::Routine)], last, dropped, 2);
        assert_eq!((outbox.len(), outbox.next(), outbox.dropped()), (2, Some(2), 2));
        assert!(outbox.acknowledged(1));
        assert_eq!(outbox.push(Class::Alarm), Pushed { seq: 5, kept: true, evicted: None, dropped: 2 });
    }

    proptest! {
        /// Whatever happens: never more than fit, no alarm is lost while routine waits, and what was dropped is counted.
        #[test]
        fn the_queue_keeps_what_matters(capacity in 1usize..8, steps in prop::collection::vec((0u8..6, any::<bool>()), 1..200)) {
            let mut outbox = Outbox::new(capacity);
            let mut stored = std::collections::BTreeMap::new();
            let (mut pushed, mut acknowledged, mut last_sent) = (0, 0, 0);
            for (what, alarm) in steps {
                match what {
                    0..=2 => {
                        let class = if alarm { Class::Alarm } else { Class::Routine };
                        let done = outbox.push(class);
                        pushed += 1;
                        prop_assert_eq!(done.seq, pushed);
                        if let Some(evicted) = done.evicted {
                            let was = stored.remove(&evicted).expect("only what waits gives way");
                            prop_assert!(was == Class::Routine || stored.values().all(|class| *class == Class::Alarm));
                        }
                        if done.kept {
                            stored.insert(done.seq, class);
                        } else {
                            prop_assert!(class == Class::Routine && stored.values().all(|class| *class == Class::Alarm));
                        }
                    }
                    3 => if let Some(seq) = outbox.next() {
                        prop_assert!(seq > last_sent && stored.contains_key(&seq));
                        outbox.sent(seq);
                        last_sent = seq;
                    },
                    4 => if last_sent > 0 && outbox.acknowledged(last_sent) {
                        stored.remove(&last_sent);
                        acknowledged += 1;
                    },
                    _ => {
                        outbox.disconnected();
                        last_sent = 0;
                        prop_assert_eq!(outbox.next(), stored.keys().next().copied());
                    }
                }
                prop_assert!(outbox.len() <= capacity);
                prop_assert_eq!(outbox.len(), stored.len());
                prop_assert_eq!(pushed, outbox.dropped() + acknowledged + stored.len() as u64);
            }
        }
    }
}
