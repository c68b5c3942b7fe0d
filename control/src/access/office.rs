//! Free access by schedule, and a wall clock that cannot be relied on.
//!
//! Schedules go by the wall clock, and a wall clock can be set: by mistake, by a time server, by whoever wants in. A clock
//! that jumps must not unlock a door for everybody. So free access begins only where the schedule was seen closed on a clock
//! that has run evenly since, or where the daemon started within its hours.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::Moment;

/// A wall clock that differs by more than this from where it should be has jumped. More than a leap second or what a time
/// server corrects in a day, less than would be worth stealing.
pub const JUMP: Duration = Duration::from_secs(120);

/// So much a minute is put down to the clock's own gait: 1 s, a hundred times what a poor quartz loses.
const GAIT: Duration = Duration::from_secs(1);

/// Tells a wall clock that jumps from one that runs, and one that is set from one that is not yet.
#[derive(Clone, Debug, Default)]
pub struct WallWatch {
    /// It is at least this late: a wall clock before that is not set. None: any is.
    floor: Option<Timestamp>,
    /// The wall clock when the monotonic one read zero, as it was known at `seen`.
    origin: Option<Timestamp>,
    seen: Moment,
}

impl WallWatch {
    /// One that waits for a clock that is not set yet: until it says `floor` at least, it has not run at all, and when it does
    /// that is no jump.
    pub fn since(floor: Timestamp) -> Self {
        Self { floor: Some(floor), ..Self::default() }
    }

    /// Looks at both clocks. Where the wall clock has jumped since the last look, gives by how much: forward is positive.
    pub fn look(&mut self, now: Moment, wall: Timestamp) -> Option<SignedDuration> {
        let zero = SignedDuration::try_from(now.since_start()).unwrap_or(SignedDuration::MAX);
        // A clock beyond the end of time has jumped for certain; saturating keeps it comparable.
        let origin = wall.saturating_sub(zero).unwrap_or(Timestamp::MIN);
        let Some(before) = self.origin else {
            if self.floor.is_some_and(|floor| wall < floor) {
                return None;
            }
            (self.origin, self.seen) = (Some(origin), now);
            return None;
        };
        let off = origin.duration_since(before);
        if off.unsigned_abs() > JUMP {
            (self.origin, self.seen) = (Some(origin), now);
            return Some(off);
        }
        if let Some(followed) = followed(before, off, now.since(self.seen)) {
            (self.origin, self.seen) = (Some(followed), now);
        }
        None
    }
}

/// Follows the gait of a clock that is `off` from where it was `before`, and no faster: many small steps are as bad as one large
/// one. None where too little time went by for a step.
pub(super) fn followed(before: Timestamp, off: SignedDuration, time: Duration) -> Option<Timestamp> {
    let most = SignedDuration::try_from(GAIT.mul_f64(time.as_secs_f64() / 60.0)).unwrap_or(SignedDuration::MAX);
    let step = off.clamp(-most, most);
    (!step.is_zero() || off.is_zero()).then(|| before.saturating_add(step).unwrap_or(before))
}

/// Whether one door stands open for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeAccess {
    trusted: bool,
}

impl Default for FreeAccess {
    /// A door whose daemon starts within office hours is in free access.
    fn default() -> Self {
        Self { trusted: true }
    }
}

impl FreeAccess {
    /// Takes in what the schedule says now, and whether the wall clock has jumped since the last time. Gives whether the door
    /// is in free access.
    pub fn update(&mut self, scheduled: bool, jumped: bool) -> bool {
        if jumped {
            self.trusted = false;
        } else if !scheduled {
            self.trusted = true;
        }
        scheduled && self.trusted
    }

    /// Whether the schedule says free access and the door does not, because the clock jumped.
    pub fn withheld(&self, scheduled: bool) -> bool {
        scheduled && !self.trusted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_start(Duration::from_secs(seconds))
    }

    fn wall(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
    }

    #[test]
    fn a_clock_that_is_set_after_the_start_has_not_jumped_and_one_that_is_set_again_has() {
        let mut watch = WallWatch::since(wall(0));
        assert_eq!(watch.look(at(1), Timestamp::UNIX_EPOCH), None);
        assert_eq!(watch.look(at(2), wall(1_000)), None, "it was set");
        assert_eq!(watch.look(at(3), wall(1_001)), None);
        assert!(watch.look(at(4), Timestamp::UNIX_EPOCH).is_some_and(|jump| jump.is_negative()));
    }

    #[test]
    fn a_jump_is_told_once_and_then_the_new_time_is_the_time() {
        let mut watch = WallWatch::default();
        assert_eq!(watch.look(at(5), wall(5)), None, "the first look has nothing to compare");
        assert_eq!(watch.look(at(6), wall(6)), None);
        let year = 365 * 86_400;
        assert_eq!(watch.look(at(7), wall(7 + year)), Some(SignedDuration::from_secs(year)));
        assert_eq!(watch.look(at(8), wall(8 + year)), None);
        assert_eq!(watch.look(at(9), wall(9)), Some(SignedDuration::from_secs(-year)));
        assert_eq!(watch.look(at(10), Timestamp::MAX).map(|jump| jump.is_positive()), Some(true));
        assert_eq!(watch.look(at(11), Timestamp::MIN).map(|jump| jump.is_negative()), Some(true));
    }

    #[test]
    fn a_clock_that_is_corrected_a_little_every_day_has_not_jumped() {
        let mut watch = WallWatch::default();
        for day in 0..400 {
            assert_eq!(watch.look(at(day * 86_400), wall(day as i64 * 86_400 + day as i64 * 8)), None, "8 s a day");
        }
    }

    #[test]
    fn many_small_steps_are_a_jump_in_the_end() {
        let mut watch = WallWatch::default();
        let jumps = (0..1_000).filter(|&second| watch.look(at(second), wall(second as i64 * 3)).is_some()).count();
        assert!(jumps >= 10, "2,000 s stolen, 2 s at a time: {jumps} jumps");
    }

    #[test]
    fn free_access_that_a_jump_brings_is_withheld_until_the_schedule_was_seen_closed() {
        let mut door = FreeAccess::default();
        assert!(door.update(true, false), "the daemon starts in office hours");
        assert!(!door.update(false, false));
        assert!(!door.update(true, true), "somebody sets the clock to noon");
        assert!(!door.update(true, false) && door.withheld(true));
        assert!(!door.update(false, false));
        assert!(door.update(true, false), "the next morning");
        assert!(!door.update(true, true), "a jump within the hours ends it too: what they are is not known");
    }

    proptest! {
        /// Free access: the schedule says so, and going back in time there is no jump before a look at which it said no, or
        /// the start.
        #[test]
        fn nothing_opens_by_a_jump(looks in prop::collection::vec((any::<bool>(), prop::bool::weighted(0.2)), 1..200)) {
            let mut door = FreeAccess::default();
            for (place, &(scheduled, jumped)) in looks.iter().enumerate() {
                let mut back = looks[..=place].iter().rev().take_while(|(scheduled, jumped)| *scheduled || *jumped);
                let jumps = back.any(|(_, jumped)| *jumped);
                prop_assert_eq!(door.update(scheduled, jumped), scheduled && !jumps);
            }
        }

        /// Whatever the clock does, a look never panics, and a jump is never told of a clock that runs evenly.
        #[test]
        fn an_even_clock_never_jumps(start in -377_705_023_000i64..253_402_200_000, gaps in prop::collection::vec(0u64..100_000, 1..50)) {
            let mut watch = WallWatch::default();
            let (mut now, begun) = (0, Timestamp::from_second(start).expect("in range"));
            for gap in gaps {
                now += gap;
                let wall = begun.saturating_add(SignedDuration::from_secs(now as i64)).expect("a duration");
                if wall < Timestamp::MAX {
                    prop_assert_eq!(watch.look(at(now), wall), None);
                }
            }
        }
    }
}
