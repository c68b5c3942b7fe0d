//! What a door may and must do, stated plainly and apart from its state machine: from what it was told, and when.
//!
//! Every rule is checked after each input, and again for the moment before the next one, so that nothing can be late either.

use facegate_control::{
    Class, Passage,
    door::{
        Alarm, Cause, Command, Controller, FailState, Happening, Input, Mode, Refusal, Relock, Sensor, Setup, Step,
    },
};

use super::{Micros, wires::Wires};

/// Somebody who was granted, and for whom neither a passage nor its absence was told yet.
struct Awaited {
    tag: u64,
    extended: bool,
    until: Micros,
}

pub struct DoorRules {
    setup: Setup,
    wires: Wires,
    hold: bool,
    /// The same as it was told.
    held: bool,
    free: [bool; 2],
    lockdown: bool,
    interlock_free: bool,
    ended: bool,
    /// Released by fire, as it was told and found to be right.
    released: bool,
    /// It stays so until an operator ends it.
    latched: bool,
    /// Somebody was let in until then, and by the newest admissions alone until then.
    until: Micros,
    granted_until: Micros,
    opened_since_granted: bool,
    /// Whether the opening that is not steady yet began by right.
    opening_by_right: Option<bool>,
    locked_at: Option<Micros>,
    shunted_until: Micros,
    /// The door has been open since, and should not be.
    open_since: Option<Micros>,
    allowance: Micros,
    forced: bool,
    tampered: bool,
    stood: bool,
    awaited: Vec<Awaited>,
    tags: Vec<u64>,
    /// Since the last check.
    opened: u32,
    closed: u32,
    passed_seen: Vec<u64>,
    last: Option<(Step, Micros)>,
    unlocked: bool,
}

const MS: Micros = 1_000;
const S: Micros = 1_000_000;

impl DoorRules {
    pub fn new(setup: &Setup) -> Self {
        Self {
            setup: setup.clone(),
            wires: Wires::new(setup),
            hold: false,
            held: false,
            free: [false; 2],
            lockdown: false,
            interlock_free: true,
            ended: false,
            released: false,
            latched: false,
            until: 0,
            granted_until: 0,
            opened_since_granted: false,
            opening_by_right: None,
            locked_at: None,
            shunted_until: 0,
            open_since: None,
            allowance: 0,
            forced: false,
            tampered: false,
            stood: false,
            awaited: Vec::new(),
            tags: Vec::new(),
            opened: 0,
            closed: 0,
            passed_seen: Vec::new(),
            last: None,
            unlocked: false,
        }
    }

    fn releases(&self) -> bool {
        self.setup.fail == FailState::Safe || self.setup.settings.release_on_fire == Some(true)
    }

    fn stands_open(&self) -> bool {
        let operated = (self.hold || self.free[0] || self.free[1]) && !self.lockdown && self.interlock_free;
        let by_fire = self.released && !(self.ended && self.setup.fail == FailState::Secure);
        by_fire || (operated && !self.ended)
    }

    /// The first rule: a door is unlocked where somebody was let in, where it stands unlocked, and nowhere else.
    fn must_be_unlocked(&self, now: Micros) -> bool {
        self.stands_open() || now < self.until
    }

    fn by_right(&self, now: Micros) -> bool {
        let grace = self.setup.settings.opening_grace_ms * MS;
        self.must_be_unlocked(now)
            || now < self.shunted_until
            || self.locked_at.is_some_and(|locked| now < locked + grace)
    }

    /// Looks at the moment before an input.
    pub fn before(&mut self, now: Micros, door: &Controller) {
        if let Some((step, at)) = self.last.filter(|(_, at)| *at < now) {
            let now = at.max(now - 1);
            self.settle(now);
            self.check_levels(step, door, now);
        }
    }

    /// Takes in an input and what the door said to it.
    pub fn heard(&mut self, input: Input, told: &[Happening], now: Micros) {
        self.settle(now);
        if let Input::Level { sensor: Sensor::Contact, active } = input {
            let found = !self.wires.of(Sensor::Contact).heard;
            let changed = self.wires.hear(input, now);
            self.wires.note_heard(Sensor::Contact);
            let open = self.wires.of(Sensor::Contact).steady;
            if changed {
                self.opening_by_right = (active && !open).then(|| found || self.by_right(now));
            }
        } else {
            self.wires.hear(input, now);
        }
        match input {
            Input::Grant { tag, class, .. } => self.granted(tag, class, told, now),
            Input::SensorLost(Sensor::Contact) => {
                self.opening_by_right = None;
            }
            Input::Command(command) if !self.ended => self.command(command, told, now),
            Input::FreeAccess(on) if !self.ended => self.free[0] = on,
            Input::InterlockFree(free) => {
                if self.interlock_free && !free {
                    self.cut(now);
                }
                self.interlock_free = free;
            }
            Input::Shutdown => {
                self.ended = true;
                self.until = 0;
            }
            _ => {}
        }
        self.stand(now);
        self.settle(now);
    }

    fn cut(&mut self, now: Micros) {
        self.until = self.until.min(now);
    }

    fn refusal(&self, rex: bool) -> Option<Refusal> {
        let settings = &self.setup.settings;
        match () {
            () if self.ended => Some(Refusal::Stopped),
            () if self.lockdown && !(rex && settings.rex_in_lockdown) => Some(Refusal::Lockdown),
            () if !(self.interlock_free || (rex && settings.rex_ignores_interlock)) => Some(Refusal::Interlock),
            () => None,
        }
    }

    fn let_in(&mut self, class: Class, now: Micros) -> Micros {
        let pulse = match class {
            Class::Standard => self.setup.pulse_ms,
            Class::Extended => self.setup.settings.extended_pulse_ms.max(self.setup.pulse_ms),
        };
        let end = now + pulse * MS;
        let base = if now < self.until { self.granted_until } else { 0 };
        (self.until, self.granted_until) = (self.until.max(end), base.max(end));
        self.opened_since_granted = false;
        end
    }

    fn granted(&mut self, tag: u64, class: Class, told: &[Happening], now: Micros) {
        let refused = told.iter().find_map(|happening| match happening {
            Happening::Refused { by: Cause::Grant, tag: Some(other), why } if *other == tag => Some(*why),
            _ => None,
        });
        let repeated = self.tags.iter().rev().take(8).any(|&other| other == tag);
        let mut expected = if repeated { Some(Refusal::Repeated) } else { self.refusal(false) };
        let contact = self.wires.of(Sensor::Contact);
        let sees = self.setup.wiring.has(Sensor::Contact) && !contact.lost;
        let waits = sees && !contact.steady;
        if expected.is_none() && waits && self.awaited.len() >= 4 {
            expected = Some(Refusal::Busy);
        }
        assert_eq!(refused, expected, "the grant {tag} was answered wrongly");
        if expected.is_some() {
            return;
        }
        self.tags.push(tag);
        let end = self.let_in(class, now);
        let extended = class == Class::Extended;
        let until = end + (self.setup.settings.opening_grace_ms + 10_000) * MS;
        self.awaited.push(Awaited { tag, extended, until });
        // They may all pass for as long as it is unlocked for any of them.
        let until = self.awaited.iter().map(|awaited| awaited.until).max().unwrap_or(until);
        self.awaited.iter_mut().for_each(|awaited| awaited.until = until);
        if self.open_since.is_some() && !self.held_open(self.setup.settings.held_open_alarm_s, now) {
            self.open_since = Some(now);
            let more = if extended { self.setup.settings.extended_held_open_s * S } else { 0 };
            self.allowance = self.allowance.max(more);
        }
    }

    fn command(&mut self, command: Command, told: &[Happening], now: Micros) {
        let refused = told.iter().any(|happening| matches!(happening, Happening::Refused { by: Cause::Command, .. }));
        match command {
            Command::Unlock { .. } => {
                assert_eq!(refused, self.refusal(false).is_some());
                if !refused {
                    self.let_in(Class::Standard, now);
                }
            }
            Command::Hold => {
                assert_eq!(refused, self.refusal(false).is_some());
                self.hold |= !refused;
            }
            Command::FreeAccess { on } => self.free[1] = on && !self.lockdown,
            Command::Lockdown => {
                (self.lockdown, self.hold, self.free[1]) = (true, false, false);
                self.cut(now);
            }
            Command::Release => (self.lockdown, self.hold, self.free[1]) = (false, false, false),
            Command::EndEmergency => self.latched = false,
            Command::ResetAlarms => {
                let settings = &self.setup.settings;
                let open = self.held_open(settings.held_open_warning_s, now)
                    || self.held_open(settings.held_open_alarm_s, now)
                    || self.forced;
                if open && self.wires.of(Sensor::Contact).steady && !self.stands_open() {
                    self.open_since = Some(now);
                }
                (self.forced, self.tampered) = (false, false);
            }
        }
    }

    /// Lets every input settle that is due.
    fn settle(&mut self, now: Micros) {
        while let Some(settled) = self.wires.settle(now) {
            let (active, at) = (settled.active, settled.at);
            match settled.sensor {
                _ if self.ended => {}
                Sensor::Tamper => self.tampered = active,
                Sensor::Rex if active => {
                    let settings = &self.setup.settings;
                    self.shunted_until = self.shunted_until.max(at + settings.rex_shunt_ms * MS);
                    if settings.rex_unlocks && self.refusal(true).is_none() {
                        self.let_in(Class::Standard, at);
                    }
                }
                Sensor::Contact if active => self.contact_opened(settled.from, at),
                Sensor::Contact => self.contact_closed(at),
                _ => {}
            }
            self.stand(at);
        }
    }

    fn contact_opened(&mut self, from: Micros, now: Micros) {
        self.opened += 1;
        // Where a pulse ends in the same moment, the opening was first.
        let moment = if from < now { now - 1 } else { now };
        let by_right = self.by_right(moment);
        let by_right = by_right || self.opening_by_right.take().unwrap_or(false);
        self.opening_by_right = None;
        if !by_right && self.setup.settings.forced_open_alarm {
            self.forced = true;
            return;
        }
        let extended = self.awaited.iter().any(|awaited| awaited.extended);
        self.allowance = if extended { self.setup.settings.extended_held_open_s * S } else { 0 };
        self.open_since = (!self.stands_open()).then_some(now);
        self.passed_seen.extend(self.awaited.iter().map(|awaited| awaited.tag));
        if moment < self.until {
            self.opened_since_granted = true;
            match self.setup.settings.relock {
                Relock::OnOpen => self.until = now,
                Relock::OnClose => {
                    let alarm = self.setup.settings.held_open_alarm_s;
                    let longest = if alarm == 0 { 60 } else { alarm } * S + self.allowance;
                    self.until = self.until.max(now + longest);
                }
                Relock::AtEnd => {}
            }
        }
    }

    fn contact_closed(&mut self, now: Micros) {
        self.closed += 1;
        (self.open_since, self.forced) = (None, false);
        if self.setup.settings.relock == Relock::OnClose && now < self.until {
            self.until = if self.opened_since_granted { now } else { self.granted_until };
        }
    }

    /// Whoever stands unlocked is neither forced nor held open; when that ends, an open door is given its time.
    fn stand(&mut self, now: Micros) {
        let stands = self.stands_open();
        if stands {
            (self.forced, self.open_since) = (false, None);
        } else if self.stood && self.wires.of(Sensor::Contact).steady {
            (self.open_since, self.allowance) = (Some(now), 0);
        }
        self.stood = stands;
    }

    fn held_open(&self, after_s: u64, now: Micros) -> bool {
        after_s > 0 && self.open_since.is_some_and(|since| since + after_s * S + self.allowance <= now)
    }

    /// Checks what the door said and is.
    pub fn after(&mut self, step: Step, told: &[Happening], door: &Controller, now: Micros) {
        let (mut opened, mut closed) = (0, 0);
        for happening in told {
            match *happening {
                Happening::EmergencyBegan { released } => {
                    assert!(self.wires.may_be_fire(self.setup.fail, now), "an emergency without fire");
                    self.released = self.releases();
                    assert!(released == self.released || self.ended);
                }
                Happening::EmergencyEnded => self.released = false,
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
        self.latched |= self.released && self.setup.settings.fire_latches;
        self.check_levels(step, door, now);
        self.last = Some((step, now));
    }

    fn resolved(&mut self, tag: u64) {
        let place = self.awaited.iter().position(|awaited| awaited.tag == tag);
        self.awaited.swap_remove(place.unwrap_or_else(|| panic!("{tag} was not awaited any more")));
    }

    fn check_fire(&self, told: &[Happening], now: Micros) {
        let (fail, latches) = (self.setup.fail, self.setup.settings.fire_latches);
        if self.releases() {
            assert!(self.released || !self.wires.must_be_fire(fail, now), "fire, and the door is not released");
            assert!(self.released || !self.latched, "an emergency that was to last has ended");
            let may = self.wires.may_be_fire(fail, now) || latches;
            assert!(may || !self.released, "released without fire");
            let ended = told.contains(&Happening::EmergencyEnded);
            assert!(!ended || !self.wires.must_be_fire(fail, now), "the emergency ended while there is fire");
        }
    }

    fn check_levels(&self, step: Step, door: &Controller, now: Micros) {
        let (outputs, settings) = (step.outputs, &self.setup.settings);
        let rest = self.setup.fail.rest_energised();
        let unlocked = outputs.strike != rest;
        assert_eq!(unlocked, self.must_be_unlocked(now), "unlocked, or locked, without a cause");
        assert_eq!(unlocked, self.unlocked, "the strike and what was told of it differ");
        assert_eq!(outputs.exit_strike, rest);
        assert_eq!(self.held, self.hold, "a hold that was not told");
        assert_eq!((outputs.green, outputs.red), (unlocked && !self.ended, !unlocked && !self.ended));
        assert!(self.awaited.iter().all(|awaited| now < awaited.until), "nobody said who passed");
        if self.ended {
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
        assert_eq!(door.mode() == Mode::Emergency, self.released);
        assert_eq!(door.mode() == Mode::Lockdown, self.lockdown && !self.released);
    }

    /// What an interlock asks of the other doors.
    pub fn is_shut(&self) -> bool {
        !self.unlocked && !self.wires.of(Sensor::Contact).steady
    }

    /// Whether it may be unlocked although another door of its group is open: fire, and whoever wants out.
    pub fn ignores_interlock(&self) -> bool {
        self.stands_open() && self.released || self.setup.settings.rex_ignores_interlock
    }

    pub fn is_unlocked(&self) -> bool {
        self.unlocked
    }
}
