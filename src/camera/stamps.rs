//! When a frame was captured, by what the driver says of it.
//!
//! A frame may have waited in the driver's buffers: while this process stood still they were filled and stayed so, and who takes one out
//! then holds a picture of somebody who has gone. Drivers stamp frames by the kernel's monotonic clock. What cannot be true is not believed, since a
//! camera whose every picture is taken for old would be a door that never opens.

use std::time::Duration;

/// From this age on a frame is suspected to have waited.
const OLD: Duration = Duration::from_secs(1);

/// What one stream's stamps are worth. All times are those of the kernel's monotonic clock.
#[derive(Debug)]
pub(super) struct Stamps {
    /// Nothing of this stream was captured before.
    begun: Duration,
    /// As many frames may have waited at once.
    buffers: u32,
    /// Old ones, one after the other.
    old: u32,
}

impl Stamps {
    /// For a stream that begins at `begun` and has so many buffers.
    pub fn new(begun: Duration, buffers: u32) -> Self {
        Self { begun, buffers, old: 0 }
    }

    /// How long before `now` the frame was captured that has this stamp. Nothing where it has none, or one that cannot be true: from
    /// before the stream, from the future, or of one more old frame in a row than can have waited.
    pub fn age(&mut self, stamp: Option<Duration>, now: Duration) -> Duration {
        let age =
            stamp.filter(|stamp| *stamp >= self.begun).and_then(|stamp| now.checked_sub(stamp)).unwrap_or_default();
        if age < OLD {
            self.old = 0;
            return age;
        }
        self.old = self.old.saturating_add(1);
        if self.old <= self.buffers { age } else { Duration::ZERO }
    }

    /// Whether the stamps are just now not believed for being old one after the other; for the log.
    pub fn wrong(&self) -> bool {
        self.old > self.buffers
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUFFERS: u32 = 4;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_waited_while_the_process_stood_still_is_as_old_as_it_is() {
        let mut stamps = Stamps::new(ms(1_000), BUFFERS);
        assert_eq!(stamps.age(Some(ms(2_000)), ms(2_010)), ms(10));
        // It stood still for a minute, with every buffer filled at its beginning.
        for frame in 0..u64::from(BUFFERS) {
            assert_eq!(stamps.age(Some(ms(2_040 + 40 * frame)), ms(62_000)), ms(59_960 - 40 * frame));
        }
        assert_eq!(stamps.age(Some(ms(62_010)), ms(62_020)), ms(10));
        assert!(!stamps.wrong());
    }

    #[test]
    fn a_camera_whose_clock_is_wrong_is_as_good_as_one_without() {
        let mut stamps = Stamps::new(ms(1_000), BUFFERS);
        for (stamp, why) in [(None, "none"), (Some(ms(999)), "before the stream"), (Some(ms(9_001)), "the future")] {
            assert_eq!(stamps.age(stamp, ms(9_000)), Duration::ZERO, "{why}");
        }
        // It goes slow, until every frame seems old.
        let ages: Vec<_> =
            (0..100).map(|frame| stamps.age(Some(ms(9_000 + 10 * frame)), ms(20_000 + 40 * frame))).collect();
        assert!(ages[..BUFFERS as usize].iter().all(|age| *age > OLD), "as many may have waited");
        assert!(ages[BUFFERS as usize..].iter().all(Duration::is_zero), "no more than that");
        assert!(stamps.wrong());
        assert_eq!(stamps.age(Some(ms(30_000)), ms(30_001)), ms(1), "it was set right");
        assert!(!stamps.wrong());
    }

    proptest! {
        #[test]
        fn no_more_old_frames_in_a_row_than_buffers_and_none_older_than_the_stream(
            begun in 0u64..10_000,
            frames in prop::collection::vec((0u64..20_000, 0u64..20_000), 1..200),
        ) {
            let mut stamps = Stamps::new(ms(begun), BUFFERS);
            let mut row = 0;
            for (stamp, now) in frames {
                let age = stamps.age(Some(ms(stamp)), ms(now));
                prop_assert!(age <= ms(now.saturating_sub(begun)));
                prop_assert!(age.is_zero() || age == ms(now - stamp));
                row = if age >= OLD { row + 1 } else { 0 };
                prop_assert!(row <= BUFFERS);
            }
        }
    }
}
