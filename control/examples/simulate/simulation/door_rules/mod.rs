//! What a door may and must do, stated plainly and apart from its state machine: from what it was told, and when.
//!
//! Every rule is checked after each input, and again for the moment before the next one, so that nothing can be late either.

mod checks;

use facegate_control::{
    Class,
    door::{Cause, Command, Controller, Happening, Input, Refusal, Relock, Sensor, Setup, Step},
};

use super::{Micros, common::Common};

/// Somebody who was granted, and for whom neither a passage nor its absence was told yet.
struct Awaited {
    tag: u64,
    extended: bool,
    until: Micros,
}

pub struct DoorRules {
    common: Common,
    /// A hold as it was told.
    held: bool,
    /// It stays so until an operator ends it.
    latched: bool,
    /// Somebody was let in until then, and by the newest admissions alone until then.
    until: Micros,
    granted_until: Micros,
    /// And by a request to exit.
    rex_until: Micros,
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
            common: Common::new(setup),
            held: false,
            latched: false,
            until: 0,
            granted_until: 0,
            rex_until: 0,
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
            opened: 0,
            closed: 0,
            passed_seen: Vec::new(),
            last: None,
            unlocked: false,
        }
    }

    /// The first rule: a door is unlocked where somebody was let in, where it stands unlocked, and nowhere else.
    fn must_be_unlocked(&self, now: Micros) -> bool {
        self.common.stands_open() || now < self.until
    }

    fn by_right(&self, now: Micros) -> bool {
        let grace = self.common.setup.settings.opening_grace_ms * MS;
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
            let found = !self.common.wires.of(Sensor::Contact).heard;
            let changed = self.common.wires.hear(input, now);
            self.common.wires.note_heard(Sensor::Contact);
            let open = self.common.wires.of(Sensor::Contact).steady;
            if changed {
                self.opening_by_right = (active && !open).then(|| found || self.by_right(now));
            }
        } else {
            self.common.wires.hear(input, now);
        }
        let refused = told.iter().any(|happening| matches!(happening, Happening::Refused { by: Cause::Command, .. }));
        match input {
            Input::Grant { tag, class, .. } => self.granted(tag, class, told, now),
            Input::SensorLost(Sensor::Contact) => self.opening_by_right = None,
            Input::Command(command) if !self.common.ended => self.command(command, refused, now),
            Input::InterlockFree(false) if self.common.interlock_free => {
                self.cut(self.common.setup.settings.rex_ignores_interlock, now);
            }
            Input::Shutdown => self.until = 0,
            _ => {}
        }
        self.common.hear(input, refused);
        self.stand(now);
        self.settle(now);
    }

    /// Locks, but for whoever has asked to get out and is let out all the same.
    fn cut(&mut self, keeps_rex: bool, now: Micros) {
        if keeps_rex && now < self.until.min(self.rex_until) {
            (self.until, self.granted_until, self.opened_since_granted) = (self.rex_until, self.rex_until, false);
        } else {
            self.until = self.until.min(now);
        }
    }

    fn refusal(&self, rex: bool) -> Option<Refusal> {
        let settings = &self.common.setup.settings;
        match () {
            () if self.common.ended => Some(Refusal::Stopped),
            () if self.common.lockdown && !(rex && settings.rex_in_lockdown) => Some(Refusal::Lockdown),
            () if !(self.common.interlock_free || (rex && settings.rex_ignores_interlock)) => Some(Refusal::Interlock),
            () => None,
        }
    }

    fn let_in(&mut self, class: Class, now: Micros) -> Micros {
        let pulse = match class {
            Class::Standard => self.common.setup.pulse_ms,
            Class::Extended => self.common.setup.settings.extended_pulse_ms.max(self.common.setup.pulse_ms),
        };
        let end = now + pulse * MS;
        let base = if now < self.until { self.granted_until } else { 0 };
        if now >= self.until {
            self.rex_until = 0;
        }
        (self.until, self.granted_until) = (self.until.max(end), base.max(end));
        self.opened_since_granted = false;
        end
    }

    fn granted(&mut self, tag: u64, class: Class, told: &[Happening], now: Micros) {
        let refused = told.iter().find_map(|happening| match happening {
            Happening::Refused { by: Cause::Grant, tag: Some(other), why } if *other == tag => Some(*why),
            _ => None,
        });
        let repeated = self.common.repeated(tag);
        let mut expected = if repeated { Some(Refusal::Repeated) } else { self.refusal(false) };
        let contact = self.common.wires.of(Sensor::Contact);
        let sees = self.common.setup.wiring.has(Sensor::Contact) && !contact.lost;
        let waits = sees && !contact.steady;
        if expected.is_none() && waits && self.awaited.len() >= 4 {
            expected = Some(Refusal::Busy);
        }
        assert_eq!(refused, expected, "the grant {tag} was answered wrongly");
        if expected.is_some() {
            return;
        }
        self.common.tags.push(tag);
        let end = self.let_in(class, now);
        let extended = class == Class::Extended;
        let until = end + (self.common.setup.settings.opening_grace_ms + 10_000) * MS;
        self.awaited.push(Awaited { tag, extended, until });
        // They may all pass for as long as it is unlocked for any of them.
        let until = self.awaited.iter().map(|awaited| awaited.until).max().unwrap_or(until);
        self.awaited.iter_mut().for_each(|awaited| awaited.until = until);
        if self.open_since.is_some() && !self.held_open(self.common.setup.settings.held_open_alarm_s, now) {
            self.open_since = Some(now);
            let more = if extended { self.common.setup.settings.extended_held_open_s * S } else { 0 };
            self.allowance = self.allowance.max(more);
        }
    }

    fn command(&mut self, command: Command, refused: bool, now: Micros) {
        match command {
            Command::Unlock { .. } => {
                assert_eq!(refused, self.refusal(false).is_some());
                if !refused {
                    self.let_in(Class::Standard, now);
                }
            }
            Command::Hold => assert_eq!(refused, self.refusal(false).is_some()),
            Command::Lockdown => self.cut(self.common.setup.settings.rex_in_lockdown, now),
            Command::FreeAccess { .. } | Command::Release => {}
            Command::EndEmergency => self.latched = false,
            Command::ResetAlarms => {
                let settings = &self.common.setup.settings;
                let open = self.held_open(settings.held_open_warning_s, now)
                    || self.held_open(settings.held_open_alarm_s, now)
                    || self.forced;
                if open && self.common.wires.of(Sensor::Contact).steady && !self.common.stands_open() {
                    self.open_since = Some(now);
                }
                (self.forced, self.tampered) = (false, false);
            }
        }
    }

    /// Lets every input settle that is due.
    fn settle(&mut self, now: Micros) {
        while let Some(settled) = self.common.wires.settle(now) {
            let (active, at) = (settled.active, settled.at);
            match settled.sensor {
                _ if self.common.ended => {}
                Sensor::Tamper => self.tampered = active,
                Sensor::Rex if active => {
                    let settings = &self.common.setup.settings;
                    self.shunted_until = self.shunted_until.max(at + settings.rex_shunt_ms * MS);
                    if settings.rex_unlocks && self.refusal(true).is_none() {
                        let end = self.let_in(Class::Standard, at);
                        self.rex_until = self.rex_until.max(end);
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
        if !by_right && self.common.setup.settings.forced_open_alarm {
            self.forced = true;
            return;
        }
        let extended = self.awaited.iter().any(|awaited| awaited.extended);
        self.allowance = if extended { self.common.setup.settings.extended_held_open_s * S } else { 0 };
        self.open_since = (!self.common.stands_open()).then_some(now);
        self.passed_seen.extend(self.awaited.iter().map(|awaited| awaited.tag));
        if moment < self.until {
            self.opened_since_granted = true;
            match self.common.setup.settings.relock {
                Relock::OnOpen => self.until = now,
                Relock::OnClose => {
                    let alarm = self.common.setup.settings.held_open_alarm_s;
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
        if self.common.setup.settings.relock == Relock::OnClose && now < self.until {
            self.until = if self.opened_since_granted { now } else { self.granted_until };
        }
    }

    /// Whoever stands unlocked is neither forced nor held open; when that ends, an open door is given its time.
    fn stand(&mut self, now: Micros) {
        let stands = self.common.stands_open();
        if stands {
            (self.forced, self.open_since) = (false, None);
        } else if self.stood && self.common.wires.of(Sensor::Contact).steady {
            (self.open_since, self.allowance) = (Some(now), 0);
        }
        self.stood = stands;
    }

    fn held_open(&self, after_s: u64, now: Micros) -> bool {
        after_s > 0 && self.open_since.is_some_and(|since| since + after_s * S + self.allowance <= now)
    }

    /// What an interlock asks of the other doors.
    pub fn is_shut(&self) -> bool {
        !self.unlocked && !self.common.wires.of(Sensor::Contact).steady
    }

    /// Whether it may be unlocked although another door of its group is open: fire, and whoever wants out.
    pub fn ignores_interlock(&self) -> bool {
        self.common.stands_open() && self.common.released || self.common.setup.settings.rex_ignores_interlock
    }

    pub fn is_unlocked(&self) -> bool {
        self.unlocked
    }
}
