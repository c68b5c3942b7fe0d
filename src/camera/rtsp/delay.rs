//! How late frames come, seen from their time stamps and their arrival alone. Pure.

use std::time::Duration;

/// Clocks of cameras and boards differ by less than that part: what is gained by it is drift, not delay.
const DRIFT: f64 = 0.001;

/// How long frames took, against that frame of the stream which took the least.
///
/// The time that the quickest one took is not known, and not counted: what is seen is what has piled up since. Times are in seconds,
/// arrival and time stamp each from any start of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delay {
    /// Of the quickest frame: arrival less time stamp, and when that was last looked at.
    quickest: Option<(f64, f64)>,
}

impl Delay {
    /// A frame has come.
    pub fn came(&mut self, arrived: f64, stamped: f64) {
        let took = arrived - stamped;
        let quickest = match self.quickest {
            Some((quickest, seen)) => (quickest + DRIFT * (arrived - seen).max(0.0)).min(took),
            None => took,
        };
        self.quickest = Some((quickest, arrived));
    }

    /// How old a frame is `now`, beyond what the quickest was when it came.
    pub fn age(&self, now: f64, stamped: f64) -> Duration {
        let quickest = self.quickest.map_or(now - stamped, |(quickest, _)| quickest);
        Duration::try_from_secs_f64(now - stamped - quickest).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How old a frame is when it comes.
    fn age(delay: &mut Delay, arrived: f64, stamped: f64) -> Duration {
        delay.came(arrived, stamped);
        delay.age(arrived, stamped)
    }

    #[test]
    fn a_stream_that_piles_up_is_late_by_what_has_piled_up() {
        let mut delay = Delay::default();
        for frame in 0..50 {
            assert_eq!(
                age(&mut delay, 7.0 + f64::from(frame) / 25.0, 3000.0 + f64::from(frame) / 25.0),
                Duration::ZERO
            );
        }
        let late = age(&mut delay, 9.0 + 3.0, 3002.0).as_secs_f64();
        assert!((late - 3.0).abs() < 0.01, "{late}");
        assert_eq!(age(&mut delay, 12.1, 3005.1), Duration::ZERO, "it has caught up");
    }

    #[test]
    fn of_what_came_at_once_the_newest_is_the_measure() {
        let mut delay = Delay::default();
        assert_eq!(delay.age(5.0, 5.0), Duration::ZERO, "nothing has come yet");
        for frame in 0..50 {
            delay.came(0.0, f64::from(frame) / 25.0);
        }
        assert!(delay.age(0.0, 0.0) > Duration::from_millis(1900), "the oldest of them");
        assert_eq!(delay.age(0.0, 49.0 / 25.0), Duration::ZERO);
        assert!(delay.age(0.5, 49.0 / 25.0) > Duration::from_millis(490), "it ages while it waits");
    }

    proptest! {
        #[test]
        fn clocks_that_drift_are_never_late(parts in -0.0005f64..0.0005, jitter in proptest::collection::vec(0.0f64..0.2, 1..200)) {
            let mut delay = Delay::default();
            for (at, jitter) in jitter.iter().enumerate() {
                // A frame every 10 minutes, for up to 33 hours.
                let stamped = at as f64 * 600.0;
                let late = age(&mut delay, stamped * (1.0 + parts) + jitter, stamped);
                prop_assert!(late < Duration::from_millis(600), "{late:?}");
            }
        }

        #[test]
        fn nothing_that_is_stamped_panics(stamps in proptest::collection::vec((any::<f64>(), any::<f64>()), 0..20)) {
            let mut delay = Delay::default();
            for (arrived, stamped) in stamps {
                age(&mut delay, arrived, stamped);
            }
        }
    }
}
