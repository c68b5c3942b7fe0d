//! The door as a pure state machine. No I/O, no clock, no thread.
//!
//! It answers with levels, not with edges: what the relay is to be at from now on, and when to ask again. Whoever drives
//! the relay repeats a level that did not take, and can lose no edge.

use std::time::Duration;

use super::FailState;
use crate::clock::Moment;

/// What happens to a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody may pass.
    Grant,
    /// Time has passed.
    Tick,
    /// The daemon ends: back to rest, and no grant is heard any more.
    Shutdown,
}

/// What the door is to be from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The relay's level.
    pub energised: bool,
    /// When to come again with [`Event::Tick`], where the door is open.
    pub deadline: Option<Moment>,
}

/// One door: locked at rest, unlocked for one pulse after each grant.
#[derive(Clone, Debug)]
pub struct Door {
    fail: FailState,
    pulse: Duration,
    open_until: Option<Moment>,
    ended: bool,
}

impl Door {
    /// A door at rest.
    pub fn new(fail: FailState, pulse: Duration) -> Self {
        Self { fail, pulse, open_until: None, ended: false }
    }

    /// Takes in an event. A grant while the door is open lets it stay open for a whole pulse from `now`; it never makes it
    /// lock sooner.
    pub fn on(&mut self, event: Event, now: Moment) -> Step {
        self.open_until = self.open_until.filter(|&until| now < until);
        match event {
            Event::Tick => {}
            Event::Grant if self.ended => {}
            Event::Grant => self.open_until = self.open_until.max(Some(now + self.pulse)),
            Event::Shutdown => {
                self.ended = true;
                self.open_until = None;
            }
        }
        Step { energised: self.is_open() != self.fail.rest_energised(), deadline: self.open_until }
    }

    /// Whether the door is unlocked.
    pub fn is_open(&self) -> bool {
        self.open_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_start(Duration::from_millis(ms))
    }

    const PULSE: Duration = Duration::from_millis(3_000);

    #[test]
    fn a_grant_opens_for_one_pulse_in_both_fail_states() {
        for (fail, rest) in [(FailState::Secure, false), (FailState::Safe, true)] {
            let mut door = Door::new(fail, PULSE);
            assert_eq!(door.on(Event::Tick, at(0)), Step { energised: rest, deadline: None });
            assert_eq!(door.on(Event::Grant, at(10)), Step { energised: !rest, deadline: Some(at(3_010)) });
            assert_eq!(door.on(Event::Tick, at(3_009)).energised, !rest);
            assert_eq!(door.on(Event::Tick, at(3_010)), Step { energised: rest, deadline: None });
        }
    }

    #[test]
    fn a_second_grant_prolongs() {
        let mut door = Door::new(FailState::Secure, PULSE);
        door.on(Event::Grant, at(0));
        assert_eq!(door.on(Event::Grant, at(2_000)).deadline, Some(at(5_000)));
    }

    #[test]
    fn nothing_opens_after_the_shutdown() {
        let mut door = Door::new(FailState::Secure, PULSE);
        door.on(Event::Grant, at(0));
        assert_eq!(door.on(Event::Shutdown, at(1)), Step { energised: false, deadline: None });
        assert_eq!(door.on(Event::Grant, at(2)), Step { energised: false, deadline: None });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        /// Against the plainest statement of the rule: open exactly where some grant before the shutdown lies less than a
        /// pulse ago.
        #[test]
        fn open_exactly_within_a_pulse_of_a_grant(
            events in prop::collection::vec((prop_oneof![
                8 => Just(Event::Grant), 8 => Just(Event::Tick), 1 => Just(Event::Shutdown),
            ], 0u64..2_000), 1..80),
            pulse in 100u64..4_000,
            safe: bool,
        ) {
            let fail = if safe { FailState::Safe } else { FailState::Secure };
            let mut door = Door::new(fail, Duration::from_millis(pulse));
            let (mut now, mut grants, mut ended, mut deadline) = (0, Vec::new(), false, None::<Moment>);
            for (event, gap) in events {
                now += gap;
                match event {
                    Event::Grant if !ended => grants.push(now),
                    Event::Shutdown => ended = true,
                    _ => {}
                }
                let step = door.on(event, at(now));
                let open = !ended && grants.iter().any(|grant| now - grant < pulse);
                prop_assert_eq!(door.is_open(), open);
                prop_assert_eq!(step.energised, open != safe);
                prop_assert_eq!(step.deadline.is_some(), open);
                if let Some(until) = step.deadline {
                    prop_assert!(until > at(now) && until <= at(now + pulse));
                    if let (Event::Grant | Event::Tick, Some(before)) = (event, deadline) && before > at(now) {
                        prop_assert!(until >= before, "never shortened");
                    }
                    let mut later = door.clone();
                    prop_assert_eq!(later.on(Event::Tick, until).energised, safe, "at rest by its deadline");
                }
                deadline = step.deadline;
            }
        }
    }
}
