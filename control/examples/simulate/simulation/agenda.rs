//! What is to come at the doors of a site, by time.

use std::{cmp::Reverse, collections::BinaryHeap};

use facegate_control::door::{Input, Sensor};

use super::{Micros, access::Ask};

/// What comes next.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// An input changes its level; the edge may get lost, or arrive twice.
    Wire(Sensor, bool),
    /// The level as it is, told again.
    Resync(Sensor),
    Input(Input),
    /// Somebody stands before a camera of a door that goes by rules.
    Ask(Ask),
    /// Somebody is forgiven where they are, or everybody.
    Forgive(Option<usize>),
    /// The process ends, in order or not, and another begins.
    Restart {
        in_order: bool,
    },
    /// The wall clock is set, by so many hours.
    WallJump(i64),
    /// Somebody looks at the wall clock and the schedule.
    Schedule,
    /// The next thing that people or faults do at this door.
    Next,
}

/// By time, then in the order in which they were made.
#[derive(Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<(Micros, u64, usize, Slot)>>,
    sequence: u64,
}

impl Agenda {
    pub fn add(&mut self, at: Micros, door: usize, act: Act) {
        self.sequence += 1;
        self.heap.push(Reverse((at, self.sequence, door, Slot(act))));
    }

    /// When the next act is due.
    pub fn next_at(&self) -> Option<Micros> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next act, and its door.
    pub fn pop(&mut self) -> Option<(usize, Act)> {
        self.heap.pop().map(|Reverse((_, _, door, Slot(act)))| (door, act))
    }
}

/// An act in the agenda, which is ordered by the time alone.
#[derive(Clone, Copy)]
struct Slot(Act);

impl PartialEq for Slot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Slot {}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slot {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}
