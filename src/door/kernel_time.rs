//! The kernel's time stamps as moments of our clock.
//!
//! The kernel stamps a line's edge with `CLOCK_MONOTONIC`, in nanoseconds since a zero of its own. Our clock counts the same
//! time from another zero (`Instant` is that clock on Linux), so that one constant lies between the two. It is found once:
//! read the kernel's clock, ours, and the kernel's again, several times, and take the narrowest. The later reading of the
//! kernel's clock is taken for the moment of ours, so that a moment comes out too early by at most the width of that
//! bracket (below a microsecond, as a rule), and never too late: an edge never lies in the future.

use std::{sync::Arc, time::Duration};

use rustix::time::{ClockId, clock_gettime};

use crate::clock::{Clock, Moment};

/// As many brackets are tried.
const TRIES: usize = 16;

/// What lies between the kernel's monotonic clock and ours.
pub struct KernelTime {
    clock: Arc<dyn Clock>,
    /// The kernel's time at our clock's zero; may be negative for a simulated clock.
    zero_ns: i128,
}

impl KernelTime {
    /// Finds the constant.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::measured(clock, monotonic_ns)
    }

    pub(super) fn measured(clock: Arc<dyn Clock>, mut kernel_ns: impl FnMut() -> u64) -> Self {
        let bracket = |_| {
            let before = kernel_ns();
            let ours = clock.now();
            let after = kernel_ns();
            (after.saturating_sub(before), i128::from(after) - nanos(ours))
        };
        let narrowest = (0..TRIES).map(bracket).min_by_key(|bracket| bracket.0);
        let zero_ns = narrowest.map_or(0, |bracket| bracket.1);
        Self { clock, zero_ns }
    }

    /// The moment of a time stamp. One that lies in the future is now, one from before our clock's zero is that zero.
    pub fn moment(&self, kernel_ns: u64) -> Moment {
        let since_start = u64::try_from((i128::from(kernel_ns) - self.zero_ns).max(0)).unwrap_or(u64::MAX);
        Moment::from_start(Duration::from_nanos(since_start)).min(self.clock.now())
    }

    /// The kernel's time at a moment, in nanoseconds.
    pub fn kernel_ns(&self, moment: Moment) -> u64 {
        u64::try_from((nanos(moment) + self.zero_ns).max(0)).unwrap_or(u64::MAX)
    }
}

fn nanos(moment: Moment) -> i128 {
    i128::try_from(moment.since_start().as_nanos()).unwrap_or(i128::MAX)
}

/// The kernel's monotonic clock.
fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(nanos).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{SimulatedClock, SystemClock};

    proptest! {
        /// However long the readings take: early by at most the narrowest bracket, late never.
        #[test]
        fn a_moment_is_never_late_and_hardly_early(
            gaps in prop::collection::vec(0u64..5_000, 2 * TRIES..=2 * TRIES),
            zero in 0u64..1_000_000_000_000,
            age in 0u64..1_000_000,
        ) {
            let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
            let start = 1_000_000u64;
            clock.advance(Duration::from_nanos(start));
            let (ours, mut at) = (clock.clone(), 0);
            // Each reading of the kernel's clock first lets some time pass.
            let kernel = || {
                ours.advance(Duration::from_nanos(gaps[at]));
                at += 1;
                zero + ours.now().since_start().as_nanos() as u64
            };
            let time = KernelTime::measured(Arc::new(clock.clone()), kernel);
            let narrowest = gaps.chunks(2).map(|gap| gap[1]).min().unwrap_or_default();
            let truth = clock.now().since_start().as_nanos() as u64 - age;
            let found = time.moment(zero + truth).since_start().as_nanos() as u64;
            prop_assert!(found <= truth && truth - found <= narrowest, "{found} for {truth}, bracket {narrowest}");
            let there = time.kernel_ns(Moment::from_start(Duration::from_nanos(truth)));
            prop_assert!(there >= zero + truth && there - (zero + truth) <= narrowest);
        }
    }

    #[test]
    fn the_future_is_now_and_the_time_before_us_our_zero() {
        let clock = SystemClock::new();
        let time = KernelTime::new(Arc::new(clock));
        assert_eq!(time.moment(0), Moment::default());
        let now = time.clock.now();
        let future = time.moment(u64::MAX);
        assert!(now <= future && future <= time.clock.now());
    }

    #[test]
    fn it_is_the_same_clock_as_ours() {
        let time = KernelTime::new(Arc::new(SystemClock::new()));
        for _ in 0..100 {
            let before = time.clock.now();
            let stamped = monotonic_ns();
            let after = time.clock.now();
            let moment = time.moment(stamped);
            assert!(moment <= after);
            // The bracket's width is the scheduler's business; a wrong offset would be off by hours.
            assert!(before.since(moment) < Duration::from_secs(1));
        }
    }
}
