//! The pure core: token buckets, and a table of them that never grows beyond its bound.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Time in which one token comes back; not zero.
    pub(super) interval: Duration,
    /// Most tokens; at least one.
    pub(super) burst: u32,
}

/// What came of a try to take a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// Most tokens that the bucket holds.
    pub(super) limit: u32,
    /// Whole tokens that are left.
    pub(super) remaining: u32,
    /// Time until the bucket is full again.
    pub(super) reset: Duration,
    /// Where there was no token: time until there is one.
    pub(super) refused: Option<Duration>,
}

/// A bucket is one number: when it will be full again, as time since the table's start. One that is full is no row at all.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at: Duration,
}

impl Bucket {
    fn take(&mut self, pace: Pace, now: Duration) -> Quota {
        let whole = pace.interval.saturating_mul(pace.burst);
        let mut owed = self.full_at.saturating_sub(now);
        let after = owed.saturating_add(pace.interval);
        let refused = (after > whole).then(|| after.saturating_sub(whole));
        if refused.is_none() {
            owed = after;
            self.full_at = now.saturating_add(owed);
        }
        let left = whole.saturating_sub(owed).as_nanos() / pace.interval.as_nanos().max(1);
        let remaining = u32::try_from(left).unwrap_or(pace.burst);
        Quota { limit: pace.burst, remaining, reset: owed, refused }
    }
}

/// The buckets of many sources, `most` at a time.
#[derive(Debug)]
pub(super) struct Table<K> {
    pace: Pace,
    most: usize,
    buckets: HashMap<K, Bucket>,
}

impl<K: Clone + Eq + Hash> Table<K> {
    pub(super) fn new(pace: Pace, most: usize) -> Self {
        Self { pace, most: most.max(1), buckets: HashMap::new() }
    }

    /// Takes a token of `source`. `now` is the time since any fixed start; where it goes back, nothing is given back early.
    pub(super) fn take(&mut self, source: &K, now: Duration) -> Quota {
        if let Some(bucket) = self.buckets.get_mut(source) {
            return bucket.take(self.pace, now);
        }
        self.make_room(now);
        let mut bucket = Bucket { full_at: now };
        let quota = bucket.take(self.pace, now);
        self.buckets.insert(source.clone(), bucket);
        quota
    }

    /// Forgets who has all tokens back, which changes nothing for them; and where that is nobody, whoever is nearest to it:
    /// they gain least. Whoever has used up the most is remembered longest.
    fn make_room(&mut self, now: Duration) {
        if self.buckets.len() < self.most {
            return;
        }
        self.buckets.retain(|_, bucket| bucket.full_at > now);
        if self.buckets.len() < self.most {
            return;
        }
        let nearest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.full_at).map(|(source, _)| source.clone());
        if let Some(source) = nearest {
            self.buckets.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pace(per_s: u32, burst: u32) -> Pace {
        Pace { interval: Duration::from_secs(1) / per_s, burst }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_is_granted_then_one_call_for_each_interval() {
        let mut table = Table::new(pace(10, 3), 8);
        let left: Vec<_> = (0..3).map(|_| table.take(&"a", ms(5)).remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = table.take(&"a", ms(5));
        assert_eq!(refused, Quota { limit: 3, remaining: 0, reset: ms(300), refused: Some(ms(100)) });
        assert_eq!(table.take(&"a", ms(104)).refused, Some(ms(1)));
        assert_eq!(table.take(&"a", ms(105)).refused, None);
        assert!(table.take(&"a", ms(105)).refused.is_some());
        assert_eq!(table.take(&"b", ms(105)).refused, None, "another source has tokens of its own");
    }

    #[test]
    fn a_flood_of_new_sources_does_not_make_room_for_the_one_that_used_up_its_tokens() {
        let mut table = Table::new(pace(1, 5), 4);
        for _ in 0..5 {
            assert!(table.take(&0, ms(0)).refused.is_none());
        }
        for source in 1..1_000 {
            assert!(table.take(&source, ms(0)).refused.is_none());
        }
        assert!(table.take(&0, ms(0)).refused.is_some());
    }

    /// Calls in order of time: who, and how long after the one before.
    fn calls() -> impl Strategy<Value = Vec<(u8, u64)>> {
        prop::collection::vec((0u8..12, 0u64..400), 1..300)
    }

    proptest! {
        #[test]
        fn nobody_ever_gets_more_than_the_burst_and_what_came_back_since(
            calls in calls(), per_s in 1u32..50, burst in 1u32..20,
        ) {
            let mut table = Table::new(pace(per_s, burst), 100);
            let mut granted: HashMap<u8, Vec<Duration>> = HashMap::new();
            let mut now = Duration::ZERO;
            for (source, later) in calls {
                now += ms(later);
                let quota = table.take(&source, now);
                prop_assert!(quota.remaining <= quota.limit && quota.limit == burst);
                prop_assert!(quota.refused.is_none() || quota.remaining == 0);
                if quota.refused.is_none() {
                    granted.entry(source).or_default().push(now);
                }
            }
            for times in granted.values() {
                for (first, begin) in times.iter().enumerate() {
                    for (count, end) in (1u32..).zip(&times[first..]) {
                        let earned = (*end - *begin).as_secs_f64() * f64::from(per_s);
                        prop_assert!(f64::from(count) <= f64::from(burst) + earned + 1e-6);
                    }
                }
            }
        }

        #[test]
        fn whoever_waits_as_long_as_told_is_served(calls in calls(), per_s in 1u32..50, burst in 1u32..20) {
            let mut table = Table::new(pace(per_s, burst), 100);
            let mut now = Duration::ZERO;
            for (source, later) in calls {
                now += ms(later);
                if let Some(wait) = table.take(&source, now).refused {
                    prop_assert!(wait > Duration::ZERO && wait <= pace(per_s, burst).interval);
                    now += wait;
                    prop_assert_eq!(table.take(&source, now).refused, None);
                }
            }
        }

        #[test]
        fn there_are_never_more_sources_than_the_bound(calls in calls(), most in 1usize..8) {
            let mut table = Table::new(pace(2, 4), most);
            let mut now = Duration::ZERO;
            for (source, later) in calls {
                now += ms(later);
                table.take(&source, now);
                prop_assert!(table.buckets.len() <= most);
            }
        }

        #[test]
        fn forgetting_who_is_full_changes_no_answer(calls in calls()) {
            // With room for all 12 sources and with room for no more than are not full: the same answers.
            let (mut roomy, mut swept) = (Table::new(pace(5, 4), 100), Table::new(pace(5, 4), 12));
            let mut now = Duration::ZERO;
            for (source, later) in calls {
                now += ms(later);
                swept.buckets.retain(|_, bucket| bucket.full_at > now);
                prop_assert_eq!(roomy.take(&source, now), swept.take(&source, now));
            }
        }
    }
}
