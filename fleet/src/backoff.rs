//! When to try the broker again: full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): a
//! random time out of a window that doubles with every failure. The first window grows with the number of doors, so that a
//! broker that restarts is not run over by all of them at once. Unlike there, no door tries twice within a second.

use std::time::Duration;

use rand::{Rng, RngExt as _};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(120);

/// So much of the first window a door: 100 connections a second.
const A_DOOR: Duration = Duration::from_millis(10);

/// How long a connection must have held for the next failure to count as the first.
pub const HELD: Duration = Duration::from_secs(60);

/// The waiting of one device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait now, after one more failure, on a site of so many doors. At most two minutes, or the time that lets
    /// all doors in at 100 a second where that is longer; after the first failure at least a second.
    pub fn next(&mut self, doors: usize, rng: &mut impl Rng) -> Duration {
        let first = FIRST.max(A_DOOR.saturating_mul(u32::try_from(doors).unwrap_or(u32::MAX)));
        let window = first.saturating_mul(1 << self.failures.min(16)).min(LONGEST.max(first));
        let least = if self.failures == 0 { Duration::ZERO } else { FIRST };
        self.failures = self.failures.saturating_add(1);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(rng.random_range(ms(least)..=ms(window)))
    }

    /// Takes note that a connection ended which had lasted so long.
    pub fn ended(&mut self, lasted: Duration) {
        if lasted >= HELD {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn a_thousand_doors_come_back_over_ten_seconds() {
        let mut rng = chacha20::ChaCha8Rng::seed_from_u64(1);
        let mut seconds = [0; 11];
        for _ in 0..1000 {
            seconds[Backoff::default().next(1000, &mut rng).as_secs() as usize] += 1;
        }
        assert!(seconds[..10].iter().all(|&doors| (60..140).contains(&doors)), "{seconds:?}");
    }

    #[test]
    fn a_connection_that_held_is_a_new_beginning_and_one_that_did_not_is_none() {
        let mut rng = chacha20::ChaCha8Rng::seed_from_u64(1);
        let mut backoff = Backoff { failures: 20 };
        backoff.ended(Duration::from_secs(59));
        assert!((0..100).any(|_| backoff.next(1, &mut rng) > Duration::from_secs(60)));
        backoff.ended(HELD);
        assert!(backoff.next(1, &mut rng) <= FIRST);
    }

    proptest! {
        #[test]
        fn it_waits_within_its_window(failures in 0u32..100, doors in 0usize..100_000, seed: u64) {
            let mut backoff = Backoff { failures };
            let wait = backoff.next(doors, &mut chacha20::ChaCha8Rng::seed_from_u64(seed));
            prop_assert!(wait <= LONGEST.max(A_DOOR * doors as u32));
            prop_assert!(failures == 0 || wait >= FIRST);
        }
    }
}
