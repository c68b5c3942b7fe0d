//! Time: a monotonic clock for everything that measures, a wall clock for records and schedules.
//!
//! The two never mix. A wall clock that jumps by a year opens no door and holds none open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serializer;

pub use facegate_control::Moment;

/// Where the daemon gets its time from.
pub trait Clock: Send + Sync {
    /// Monotonic: never goes back, not set by anybody.
    fn now(&self) -> Moment;

    /// The wall clock, UTC. May jump.
    fn wall(&self) -> Timestamp;

    /// When a time server set the wall clock last, by whatever it said; none where none is known to have since the board was started.
    fn set_by_server(&self) -> Option<Timestamp> {
        None
    }
}

/// When systemd-timesyncd set the system's clock last: `systemd-time-wait-sync.service(8)` names the file. Who keeps the time by
/// other means has none.
pub fn set_by_server() -> Option<Timestamp> {
    let file = std::fs::metadata("/run/systemd/timesync/synchronized").ok()?;
    file.modified().ok()?.try_into().ok()
}

/// This program was written after that: a wall clock before it is not set, as on a board that has none of its own.
pub const WRITTEN: Timestamp = Timestamp::constant(1_793_491_200, 0); // 2026-11-01

/// When a thread last came round, so that others see whether it moves. Clones share it.
#[derive(Clone)]
pub struct Beat {
    /// Milliseconds since the clock's start.
    at: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

impl Beat {
    /// A thread that comes round just now.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let beat = Self { at: Arc::default(), clock };
        beat.note();
        beat
    }

    /// The thread comes round.
    pub fn note(&self) {
        let now = self.clock.now().since_start().as_millis();
        self.at.store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Now, by its clock.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// For how long it has not.
    pub fn still(&self) -> Duration {
        let last = Moment::from_start(Duration::from_millis(self.at.load(Ordering::Relaxed)));
        self.clock.now().since(last)
    }
}

/// Tells a time to the microsecond, always with six decimals: some clients read times by a fixed pattern.
pub(crate) fn microseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

/// As [`microseconds`], and `null` where there is none.
pub(crate) fn microseconds_or_null<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => microseconds(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic zero is now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment::from_start(self.start.elapsed())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn set_by_server(&self) -> Option<Timestamp> {
        set_by_server()
    }
}

/// A clock that moves only when told to. Clones share their time.
#[derive(Clone, Debug)]
pub struct SimulatedClock {
    state: Arc<Mutex<(Moment, Timestamp)>>,
    by_server: Arc<Mutex<Option<Timestamp>>>,
}

impl SimulatedClock {
    /// Starts at monotonic zero and the given wall time.
    pub fn new(wall: Timestamp) -> Self {
        Self { state: Arc::new(Mutex::new((Moment::default(), wall))), by_server: Arc::default() }
    }

    /// Lets both clocks run on by `by`.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock();
        state.0 = state.0 + by;
        state.1 = state.1.checked_add(by).unwrap_or(Timestamp::MAX);
    }

    /// Sets the wall clock alone, as an operator or NTP would.
    pub fn set_wall(&self, wall: Timestamp) {
        self.state.lock().1 = wall;
    }

    /// Sets the wall clock as a time server does, which says so.
    pub fn set_wall_by_server(&self, wall: Timestamp) {
        self.set_wall(wall);
        *self.by_server.lock() = Some(wall);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Moment {
        self.state.lock().0
    }

    fn wall(&self) -> Timestamp {
        self.state.lock().1
    }

    fn set_by_server(&self) -> Option<Timestamp> {
        *self.by_server.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_come_round_is_still() {
        let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
        let beat = Beat::new(Arc::new(clock.clone()));
        clock.advance(Duration::from_secs(3));
        assert_eq!(beat.still(), Duration::from_secs(3));
        beat.clone().note();
        assert_eq!(beat.still(), Duration::ZERO);
    }

    #[test]
    fn a_jump_of_the_wall_clock_leaves_the_monotonic_clock_alone() {
        let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_secs(5));
        clock.set_wall(Timestamp::MAX);
        assert_eq!(clock.now(), Moment::from_start(Duration::from_secs(5)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.wall(), Timestamp::MAX);
    }
}
