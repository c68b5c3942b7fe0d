//! An input that bounces into one that does not: by time, whatever the rate of its edges.

use std::time::Duration;

use crate::Moment;

/// One input. A level counts once it has been steady for the time of `settle`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Debounce {
    settle: Duration,
    /// Whether an input that never comes to rest counts as active. Only the fire input: a loose wire must not hide a fire.
    chatter_is_active: bool,
    raw: bool,
    steady: bool,
    /// Since when `raw` has been what it is.
    since: Moment,
    /// Since when the input has not been at rest at the steady level.
    restless: Option<Moment>,
}

impl Debounce {
    pub(super) fn new(settle: Duration, chatter_is_active: bool) -> Self {
        Self { settle, chatter_is_active, raw: false, steady: false, since: Moment::default(), restless: None }
    }

    /// The level that counts.
    pub(super) fn steady(&self) -> bool {
        self.steady
    }

    /// Whether it may be about to change to that level.
    pub(super) fn tends_to(&self, active: bool) -> bool {
        self.raw == active && self.steady != active
    }

    /// Takes in the level on the wire. Says whether it differs from the one before.
    pub(super) fn level(&mut self, active: bool, now: Moment) -> bool {
        if active == self.raw {
            return false;
        }
        (self.raw, self.since) = (active, now);
        if active != self.steady {
            self.restless.get_or_insert(now);
        } else if !self.chatter_is_active {
            self.restless = None;
        }
        true
    }

    /// What was on the wire is not known any more: only the steady level is left.
    pub(super) fn forget(&mut self) {
        (self.raw, self.restless) = (self.steady, None);
    }

    /// When the input settles, unless its level changes before.
    pub(super) fn due(&self) -> Option<Moment> {
        let restless = self.restless?;
        let settled = self.since + self.settle;
        Some(if self.chatter_is_active && !self.steady { settled.min(restless + 2 * self.settle) } else { settled })
    }

    /// Settles where that is due. The answer is the steady level where it has changed.
    pub(super) fn settle(&mut self, now: Moment) -> Option<bool> {
        self.due().filter(|&due| due <= now)?;
        let level = if self.since + self.settle <= now { self.raw } else { true };
        self.restless = (level != self.raw).then_some(now);
        if level == self.steady {
            return None;
        }
        self.steady = level;
        Some(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_millis(50);

    fn at(ms: u64) -> Moment {
        Moment::from_start(Duration::from_millis(ms))
    }

    #[test]
    fn a_level_counts_once_it_has_been_steady_for_long_enough() {
        let mut input = Debounce::new(SETTLE, false);
        assert!(input.level(true, at(100)));
        assert!(!input.level(true, at(120)), "a repeated level changes nothing, and prolongs nothing");
        assert_eq!((input.due(), input.settle(at(149))), (Some(at(150)), None));
        assert_eq!(input.settle(at(150)), Some(true));
        assert_eq!((input.due(), input.steady()), (None, true));
    }

    #[test]
    fn a_bounce_begins_the_wait_anew_and_a_glitch_is_nothing() {
        let mut input = Debounce::new(SETTLE, false);
        for (ms, level) in [(0, true), (10, false), (20, true)] {
            input.level(level, at(ms));
        }
        assert_eq!(input.due(), Some(at(70)));
        input.level(false, at(30));
        assert_eq!((input.due(), input.settle(at(1_000))), (None, None));
    }

    #[test]
    fn chatter_on_the_fire_input_is_fire_and_one_glitch_is_not() {
        for (period, fire) in [(7u64, true), (49, true), (5_000, false)] {
            let mut input = Debounce::new(SETTLE, true);
            let mut active = false;
            for edge in 0..40 {
                let now = 1_000 + edge * period;
                while let Some(due) = input.due().filter(|&due| due <= at(now)) {
                    active |= input.settle(due) == Some(true);
                }
                // Active for 5 ms, then quiet for the rest of the period.
                input.level(true, at(now));
                input.level(false, at(now + 5));
            }
            assert_eq!(active, fire, "a glitch each {period} ms");
        }
    }

    #[test]
    fn without_a_time_it_settles_at_once() {
        let mut input = Debounce::new(Duration::ZERO, false);
        input.level(true, at(3));
        assert_eq!((input.due(), input.settle(at(3))), (Some(at(3)), Some(true)));
    }
}
