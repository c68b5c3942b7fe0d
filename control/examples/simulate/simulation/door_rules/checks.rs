//! What a door said and is, against what it was told.

use facegate_control::{
    Passage,
    door::{Alarm, Controller, Happening, Mode, Step},
};

use super::{super::Micros, DoorRules};

impl DoorRules {
    /// Checks what the door said and is.
    pub fn after(&mut self, step: Step, told: &[Happening], door: &Controller, now: Micros) {
        let (mut opened, mut closed) = (0, 0);
        for happening in told {
            match *happening {
                Happening::EmergencyBegan { .. } | Happening::EmergencyEnded => {
                    self.common.told_of_fire(*happening, now);
                }
                Happening::HoldBegan => assert!(!std::mem::replace(&mut self.held, true)),
                Happening::HoldEnded => assert!(std::mem::replace(&mut self.held, false)),
                Happening::Opened => opened += 1,
                Happening::Closed => closed += 1,
                Happening::Locked { lane } => {
                    assert_eq!((lane, self.unlocked), (Passage::Entry, true));
                    (self.unlocked, self.locked_at) = (false, Some(now));
                }
                Happening::Unlocked { lane, .. } => {
                    assert_eq!((lane, self.unlocked), (Passage::Entry, false));
                    self.unlocked = true;
                }
                Happening::Passed { tag: Some(tag), seen, .. } => {
                    self.resolved(tag);
                    assert!(!seen || self.passed_seen.contains(&tag), "{tag} was seen to pass, and the door is shut");
                    self.passed_seen.retain(|&other| other != tag);
                }
                Happening::NobodyPassed { tag: Some(tag), .. } => self.resolved(tag),
                _ => {}
            }
        }
        self.stand(now);
        assert_eq!((opened, closed), (self.opened, self.closed), "the contact was told wrongly");
        (self.opened, self.closed) = (0, 0);
        assert!(self.passed_seen.is_empty(), "{:?} passed, and it was not told", self.passed_seen);
        self.check_fire(told, now);
        self.latched |= self.common.released && self.common.setup.settings.fire_latches;
        self.check_levels(step, door, now);
        self.last = Some((step, now));
    }

    fn resolved(&mut self, tag: u64) {
        let place = self.awaited.iter().position(|awaited| awaited.tag == tag);
        self.awaited.swap_remove(place.unwrap_or_else(|| panic!("{tag} was not awaited any more")));
    }

    fn check_fire(&self, told: &[Happening], now: Micros) {
        self.common.check_fire(now);
        let (fail, latches) = (self.common.setup.fail, self.common.setup.settings.fire_latches);
        if self.common.releases() {
            let (wires, released) = (&self.common.wires, self.common.released);
            assert!(released || !self.latched, "an emergency that was to last has ended");
            assert!(!released || latches || wires.may_be_fire(fail, now), "released without fire");
            let ended = told.contains(&Happening::EmergencyEnded);
            assert!(!ended || !wires.must_be_fire(fail, now), "the emergency ended while there is fire");
        }
    }

    pub(super) fn check_levels(&self, step: Step, door: &Controller, now: Micros) {
        let (outputs, settings) = (step.outputs, &self.common.setup.settings);
        let rest = self.common.setup.fail.rest_energised();
        let unlocked = outputs.strike != rest;
        assert_eq!(unlocked, self.must_be_unlocked(now), "unlocked, or locked, without a cause");
        assert_eq!(unlocked, self.unlocked, "the strike and what was told of it differ");
        assert_eq!(outputs.exit_strike, rest);
        assert_eq!(self.held, self.common.hold, "a hold that was not told");
        assert_eq!((outputs.green, outputs.red), (unlocked && !self.common.ended, !unlocked && !self.common.ended));
        assert!(self.awaited.iter().all(|awaited| now < awaited.until), "nobody said who passed");
        if self.common.ended {
            assert!(!outputs.alarm && !outputs.buzzer);
            return;
        }
        let warning = self.held_open(settings.held_open_warning_s, now);
        let held = self.held_open(settings.held_open_alarm_s, now);
        for (alarm, stands) in [
            (Alarm::HeldOpenWarning, warning),
            (Alarm::HeldOpen, held),
            (Alarm::ForcedOpen, self.forced),
            (Alarm::Tamper, self.tampered),
            (Alarm::Tailgating, false),
        ] {
            assert_eq!(door.stands(alarm), stands, "{alarm:?}");
        }
        let alarm = held || self.forced || self.tampered;
        assert_eq!(outputs.alarm, alarm);
        assert!(if alarm { outputs.buzzer } else { warning || !outputs.buzzer });
        assert_eq!(door.mode() == Mode::Emergency, self.common.released);
        assert_eq!(door.mode() == Mode::Lockdown, self.common.lockdown && !self.common.released);
    }
}
