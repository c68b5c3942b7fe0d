//! How far a wall clock is believed: schedules and the ends of accesses go by it, and it can be set.
//!
//! What is known without it: how late it was at least (what was recorded was, and so was what this program was made of), and how
//! long the monotonic clock has run since the wall clock was believed. So a clock that is set back is found out: no
//! access that has ended begins anew. One that is set forward is found out once a time server has set it: from
//! then on it has no business to jump. Before, it has: a board without a clock of its own starts with an old time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::office::{JUMP, followed};
use crate::Moment;

/// A two-thousandth of the time since the clock was set by a time server is put down to its gait: 500 ppm, the most that the kernel
/// corrects (`ntp_adjtime(2)`, `MAXFREQ`); 43 s a day. The quartz of a board has a tenth of it.
const DRIFT: u32 = 2_000;

/// What a look at both clocks comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime {
    /// Whether the wall clock is believed.
    pub set: bool,
    /// What it says, or, where that cannot be, the nearest that can.
    pub at: Timestamp,
}

/// Decides whether the wall clock is believed. It is told the time, and asks for none.
#[derive(Clone, Debug)]
pub struct WallTrust {
    /// It is at least this late, by what was known at the start.
    floor: Timestamp,
    /// It is at least this late, whatever was recorded.
    written: Timestamp,
    known: Option<Known>,
}

/// A wall clock that was believed.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// What it said when the monotonic clock read zero, as of `seen`. Follows its gait, never a jump.
    origin: Timestamp,
    seen: Moment,
    /// When it was known to be right last.
    right: Moment,
    /// When a time server set it last, as it says itself.
    by_server: Option<Timestamp>,
}

impl WallTrust {
    /// `recorded` is the newest time of the records that earlier runs left, none where there are none; `written` is when this program
    /// was made.
    pub fn since(recorded: Option<Timestamp>, written: Timestamp) -> Self {
        Self { floor: recorded.unwrap_or(written).max(written), written, known: None }
    }

    /// It is at least this late, by what was known at the start.
    pub fn floor(&self) -> Timestamp {
        self.floor
    }

    /// Looks at both clocks; `by_server` is when a time server set the wall clock last, by whatever clock: none where none has since
    /// the board was started. To be called several times a second.
    ///
    /// Gives the floor that does not count any more, where records turn out to have been made by a clock that was ahead.
    pub fn look(&mut self, now: Moment, wall: Timestamp, by_server: Option<Timestamp>) -> Option<Timestamp> {
        let origin = wall.saturating_sub(signed(now.since_start())).unwrap_or(Timestamp::MIN);
        let new = Known { origin, seen: now, right: now, by_server };
        match &mut self.known {
            // Whoever knows the time says it for the first time: it counts, whatever was thought before.
            known
                if by_server.is_some()
                    && wall >= self.written
                    && known.is_none_or(|known| known.by_server.is_none()) =>
            {
                *known = Some(new);
                if wall < self.floor {
                    return Some(std::mem::replace(&mut self.floor, self.written));
                }
            }
            None if wall >= self.floor => self.known = Some(new),
            None => {}
            Some(known) => {
                let off = origin.duration_since(known.origin);
                if off.unsigned_abs() <= known.slack(now) {
                    if let Some(followed) = followed(known.origin, off, now.since(known.seen)) {
                        (known.origin, known.seen) = (followed, now);
                    }
                    // Without a server nobody ever corrects it.
                    if known.by_server.is_none() || by_server != known.by_server {
                        (known.right, known.by_server) = (now, by_server.or(known.by_server));
                    }
                }
            }
        }
        None
    }

    /// Whether the wall clock is believed to say `wall` at `now`.
    pub fn judge(&self, now: Moment, wall: Timestamp) -> WallTime {
        let (mut least, mut most) = (self.floor, Timestamp::MAX);
        if let Some(known) = self.known {
            let expected = known.origin.saturating_add(signed(now.since_start())).unwrap_or(Timestamp::MAX);
            let slack = signed(known.slack(now));
            least = least.max(expected.saturating_sub(slack).unwrap_or(Timestamp::MIN));
            if known.by_server.is_some() {
                most = expected.saturating_add(slack).unwrap_or(Timestamp::MAX).max(least);
            }
        }
        WallTime { set: (least..=most).contains(&wall), at: wall.clamp(least, most) }
    }
}

impl Known {
    fn slack(&self, now: Moment) -> Duration {
        JUMP + now.since(self.right) / DRIFT
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> Moment {
        Moment::from_start(Duration::from_secs(seconds))
    }

    fn wall(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
    }

    fn trust() -> WallTrust {
        WallTrust::since(None, wall(0))
    }

    /// Lets a clock run that is `ahead` of the even one, a look a minute.
    fn run(trust: &mut WallTrust, seconds: std::ops::Range<u64>, ahead: i64, by_server: bool) {
        for second in seconds.step_by(60) {
            let said = wall(second as i64 + ahead);
            assert_eq!(trust.look(at(second), said, by_server.then_some(said)), None);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_of_what_was() {
        for by_server in [false, true] {
            let mut trust = trust();
            run(&mut trust, 0..19 * DAY, 0, by_server);
            // To the fourth day of the run.
            let now = at(19 * DAY);
            assert_eq!(trust.look(now, wall(4 * DAY as i64), by_server.then_some(wall(0))), None);
            let judged = trust.judge(now, wall(4 * DAY as i64));
            assert!(!judged.set, "{by_server}");
            assert!(judged.at > wall(19 * DAY as i64 - 1_000), "{judged:?}: what had ended stays ended");
            assert!(trust.judge(now, wall(19 * DAY as i64)).set, "until it is set right again");
        }
    }

    #[test]
    fn a_clock_that_a_server_has_set_is_not_believed_to_jump_forward() {
        let mut trust = trust();
        run(&mut trust, 0..DAY, 0, true);
        let night = trust.judge(at(DAY), wall(DAY as i64 + 9 * 3_600));
        assert!(!night.set && night.at < wall(DAY as i64 + 200), "{night:?}");
        run(&mut trust, DAY..2 * DAY, 9 * 3_600, true);
        assert!(!trust.judge(at(2 * DAY), wall(2 * DAY as i64 + 9 * 3_600)).set, "however long it stays so");
        assert!(trust.judge(at(2 * DAY), wall(2 * DAY as i64)).set);
    }

    #[test]
    fn a_clock_that_is_set_for_the_first_time_is_believed_at_once() {
        let mut trust = trust();
        assert!(!trust.judge(at(0), Timestamp::UNIX_EPOCH).set);
        assert_eq!(trust.look(at(0), Timestamp::UNIX_EPOCH, None), None);
        assert!(trust.judge(at(1), wall(5)).set, "by whomever");
        // A board that starts with the time of its last shutdown.
        assert_eq!(trust.look(at(1), wall(5), None), None);
        assert!(trust.judge(at(60), wall(30 * DAY as i64)).set, "by hand");
        assert_eq!(trust.look(at(60), wall(30 * DAY as i64), Some(wall(0))), None, "by a server");
        assert!(trust.judge(at(61), wall(30 * DAY as i64 + 1)).set);
        assert!(!trust.judge(at(61), wall(61)).set);
    }

    #[test]
    fn records_that_a_clock_left_which_was_ahead_do_not_count_once_a_server_says_so() {
        let ahead = wall(40 * 365 * DAY as i64);
        let mut trust = WallTrust::since(Some(ahead), wall(0));
        assert_eq!(trust.look(at(0), wall(100), None), None);
        assert!(!trust.judge(at(0), wall(100)).set, "it may be the clock that is wrong");
        assert_eq!(trust.look(at(1), wall(101), Some(wall(0))), Some(ahead), "told once");
        assert_eq!(trust.judge(at(1), wall(101)), WallTime { set: true, at: wall(101) });
        assert_eq!(trust.look(at(2), wall(102), Some(wall(0))), None);
        assert!(!trust.judge(at(2), wall(-1)).set, "the program was written after that all the same");
    }

    #[test]
    fn what_a_clock_was_ahead_of_in_this_run_does_not_count_either() {
        let mut trust = trust();
        run(&mut trust, 0..3_600, 40 * 365 * DAY as i64, false);
        assert!(!trust.judge(at(3_600), wall(3_600)).set, "nobody says which of the two is right");
        trust.look(at(3_600), wall(3_600), Some(wall(0)));
        assert!(trust.judge(at(3_601), wall(3_601)).set, "now somebody does");
    }

    #[test]
    fn a_quartz_that_ran_alone_for_a_month_is_set_right_again() {
        for drift in [-250, 250] {
            let mut trust = trust();
            run(&mut trust, 0..DAY, 0, true);
            // The server is away: both clocks are the quartz. When it is back it steps the wall clock by 100 ppm of the month.
            let now = 30 * DAY;
            for second in (DAY..now).step_by(600) {
                trust.look(at(second), wall(second as i64), Some(wall(DAY as i64)));
            }
            assert!(trust.judge(at(now), wall(now as i64 + drift)).set, "{drift} s");
            assert!(!trust.judge(at(now), wall(now as i64 + 10 * drift)).set);
        }
    }

    proptest! {
        /// Whatever the clock does after a server set it: what counts as the time is the even clock's, but for the gait.
        #[test]
        fn no_way_of_setting_it_moves_the_time(steps in prop::collection::vec((1u64..600, -100_000i64..100_000), 1..200)) {
            let mut trust = trust();
            trust.look(at(0), wall(0), Some(wall(0)));
            let (mut now, mut minutes) = (0, 0.0);
            for (gap, off) in steps {
                now += gap;
                minutes += gap as f64 / 60.0;
                let (even, said) = (wall(now as i64), wall(now as i64 + off));
                trust.look(at(now), said, Some(said));
                let judged = trust.judge(at(now), said);
                // A second a minute is the gait; the rest is the slack.
                let most = 1.0 + minutes + JUMP.as_secs_f64() + now as f64 / f64::from(DRIFT);
                prop_assert!(judged.at.duration_since(even).as_secs_f64().abs() <= most, "{judged:?} is not {even}");
                prop_assert!(!judged.set || off.unsigned_abs() as f64 <= most);
            }
        }

        /// What counts as the time is never before what was known at the start.
        #[test]
        fn it_is_never_earlier_than_the_floor(looks in prop::collection::vec((0u64..1_000, any::<i32>()), 1..50)) {
            let mut trust = WallTrust::since(Some(wall(50)), wall(0));
            let mut now = 0;
            for (gap, off) in looks {
                now += gap;
                trust.look(at(now), wall(off.into()), None);
                prop_assert!(trust.judge(at(now), wall(off.into())).at >= wall(50));
            }
        }
    }
}
