//! What a door and a turnstile have in common.

use std::time::Duration;

use super::{Alarm, Cause, FailState, Happening, Refusal, settings::Times};
use crate::{Class, Moment, Passage};

/// Somebody who may pass once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    pub tag: Option<u64>,
    pub by: Cause,
    pub class: Class,
    pub passage: Passage,
}

impl Ticket {
    pub(super) fn passed(&self, seen: bool) -> Happening {
        Happening::Passed { tag: self.tag, passage: self.passage, seen }
    }

    pub(super) fn nobody_passed(&self) -> Happening {
        Happening::NobodyPassed { tag: self.tag, passage: self.passage }
    }
}

/// Which way somebody may pass, who that is, and why.
pub(super) type Unlocked = (Cause, Option<u64>);

/// The state that does not depend on what kind of door it is.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub fail: FailState,
    pub times: Times,
    pub ended: bool,
    pub lockdown: bool,
    pub hold: bool,
    pub free_by_schedule: bool,
    pub free_by_command: bool,
    pub interlock_free: bool,
    /// Fire, or not yet ended since.
    pub emergency: bool,
    /// Whether the door lets go in an emergency.
    pub releases: bool,
    /// By [`Alarm`]'s index.
    standing_alarms: [bool; Alarm::ALL.len()],
    /// Since when the buzzer warns.
    warned_at: Moment,
}

impl Common {
    pub(super) fn new(fail: FailState, times: Times, releases: bool) -> Self {
        Self {
            fail,
            times,
            ended: false,
            lockdown: false,
            hold: false,
            free_by_schedule: false,
            free_by_command: false,
            interlock_free: true,
            emergency: false,
            releases,
            standing_alarms: [false; Alarm::ALL.len()],
            warned_at: Moment::default(),
        }
    }

    pub(super) fn free(&self) -> bool {
        self.free_by_schedule || self.free_by_command
    }

    pub(super) fn released_by_fire(&self) -> bool {
        // A fail-secure door that has come to rest is locked, as it is without power.
        self.emergency && self.releases && !(self.ended && self.fail == FailState::Secure)
    }

    /// Why the door stands unlocked for everybody, if it does.
    pub(super) fn stands_unlocked(&self) -> Option<Cause> {
        if self.released_by_fire() {
            Some(Cause::Emergency)
        } else if self.ended || self.lockdown || !self.interlock_free {
            None
        } else if self.hold {
            Some(Cause::Hold)
        } else {
            self.free().then_some(Cause::FreeAccess)
        }
    }

    pub(super) fn stands(&self, alarm: Alarm) -> bool {
        self.standing_alarms[alarm as usize]
    }

    pub(super) fn raise(&mut self, alarm: Alarm, now: Moment, told: &mut Vec<Happening>) {
        if !self.stands(alarm) {
            self.standing_alarms[alarm as usize] = true;
            if alarm == Alarm::HeldOpenWarning {
                self.warned_at = now;
            }
            told.push(Happening::Raised { alarm });
        }
    }

    pub(super) fn clear(&mut self, alarms: &[Alarm], told: &mut Vec<Happening>) {
        for &alarm in alarms {
            if self.stands(alarm) {
                self.standing_alarms[alarm as usize] = false;
                told.push(Happening::Cleared { alarm });
            }
        }
    }

    /// Raises what is due for something that stands open since then.
    pub(super) fn watch_open(&mut self, since: Moment, more: Duration, now: Moment, told: &mut Vec<Happening>) {
        for (alarm, after) in self.held_open() {
            if since + after + more <= now {
                self.raise(alarm, now, told);
            }
        }
    }

    /// When the next alarm comes for something that stands open since then.
    pub(super) fn open_due(&self, since: Moment, more: Duration) -> Option<Moment> {
        self.held_open().filter(|(alarm, _)| !self.stands(*alarm)).map(|(_, after)| since + after + more).min()
    }

    fn held_open(&self) -> impl Iterator<Item = (Alarm, Duration)> + use<> {
        let both = [(Alarm::HeldOpenWarning, self.times.warning), (Alarm::HeldOpen, self.times.alarm)];
        both.into_iter().filter_map(|(alarm, after)| Some((alarm, after?)))
    }

    /// Whether the alarm relay is on.
    pub(super) fn alarm(&self) -> bool {
        !self.ended && Alarm::ALL.iter().any(|&alarm| alarm != Alarm::HeldOpenWarning && self.stands(alarm))
    }

    /// Whether the buzzer sounds, and until when.
    pub(super) fn buzzer(&self, now: Moment) -> (bool, Option<Moment>) {
        let Times { beep, pause, .. } = self.times;
        if self.alarm() {
            return (true, None);
        }
        if self.ended || !self.stands(Alarm::HeldOpenWarning) || beep.is_zero() {
            return (false, None);
        }
        if pause.is_zero() {
            return (true, None);
        }
        let period = beep + pause;
        let into = now.since(self.warned_at).as_nanos() % period.as_nanos();
        // Less than a period, so it fits.
        let into = Duration::from_nanos(u64::try_from(into).unwrap_or_default());
        let sounds = into < beep;
        (sounds, Some(now + (if sounds { beep } else { period }).saturating_sub(into)))
    }

    /// Why somebody is not let in now, if so.
    pub(super) fn refusal(&self, ignores_lockdown: bool, ignores_interlock: bool) -> Option<Refusal> {
        if self.ended {
            Some(Refusal::Stopped)
        } else if self.lockdown && !ignores_lockdown {
            Some(Refusal::Lockdown)
        } else if !self.interlock_free && !ignores_interlock {
            Some(Refusal::Interlock)
        } else {
            None
        }
    }
}
