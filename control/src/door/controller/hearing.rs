//! What a door is told, one kind of input after another.

use super::{Body, Controller, TAGS};
use crate::{
    Class, Moment, Passage,
    door::{Alarm, Cause, Command, FailState, Happening, Input, Refusal, Sensor, common::Ticket},
};

impl Controller {
    pub(super) fn take(&mut self, input: Input, now: Moment, told: &mut Vec<Happening>) {
        match input {
            Input::Grant { tag, class, passage } => {
                self.admit(Ticket { tag: Some(tag), by: Cause::Grant, class, passage }, now, told);
            }
            Input::Level { sensor, active } => self.level(sensor, active, now),
            Input::SensorLost(sensor) => self.sensor_lost(sensor, told),
            Input::SensorFound(sensor) => self.sensor_found(sensor, told),
            Input::Command(command) => self.command(command, now, told),
            Input::FreeAccess(free) if !self.common.ended => self.set_free(Some(free), None, told),
            Input::InterlockFree(free) => {
                if self.common.interlock_free && !free {
                    self.common.interlock_free = false;
                    self.cut(self.rex_ignores_interlock, now, told);
                }
                self.common.interlock_free = free;
            }
            Input::FreeAccess(_) | Input::Tick => {}
            Input::Shutdown => self.shut_down(now, told),
        }
    }

    fn level(&mut self, sensor: Sensor, active: bool, now: Moment) {
        // A line that cannot be read says nothing, whatever its level.
        if !self.wiring.has(sensor) || self.lost[sensor.index()] {
            return;
        }
        let debounce = &mut self.debounce[sensor.index()];
        let changed = debounce.level(active, now);
        match (&mut self.body, sensor) {
            (Body::Door(leaf), Sensor::Contact) => leaf.contact_moves(debounce.tends_to(true), now, &self.common),
            (Body::Turnstile(turnstile), Sensor::PassageEntry) if changed => {
                turnstile.passage_moves(Passage::Entry, debounce.tends_to(true));
            }
            (Body::Turnstile(turnstile), Sensor::PassageExit) if changed => {
                turnstile.passage_moves(Passage::Exit, debounce.tends_to(true));
            }
            _ => {}
        }
    }

    /// A sensor has come to rest at another level.
    pub(super) fn sensed(&mut self, sensor: Sensor, active: bool, now: Moment, told: &mut Vec<Happening>) {
        if self.common.ended && sensor != Sensor::Fire {
            return;
        }
        match (sensor, &mut self.body) {
            (Sensor::Fire, _) => self.review_fire(told),
            (Sensor::Tamper, _) if active => self.common.raise(Alarm::Tamper, now, told),
            (Sensor::Tamper, _) => self.common.clear(&[Alarm::Tamper], told),
            (Sensor::Rex, _) if active => self.request_to_exit(now, told),
            (Sensor::Rex, _) => {}
            (Sensor::Contact, Body::Door(leaf)) => leaf.contact(active, now, &mut self.common, told),
            (Sensor::PassageEntry, Body::Turnstile(turnstile)) => {
                turnstile.passage(Passage::Entry, active, now, &mut self.common, told);
            }
            (Sensor::PassageExit, Body::Turnstile(turnstile)) => {
                turnstile.passage(Passage::Exit, active, now, &mut self.common, told);
            }
            // Refused by `Setup::validate`.
            (Sensor::Contact | Sensor::PassageEntry | Sensor::PassageExit, _) => {}
        }
    }

    fn sensor_lost(&mut self, sensor: Sensor, told: &mut Vec<Happening>) {
        if !self.wiring.has(sensor) || std::mem::replace(&mut self.lost[sensor.index()], true) {
            return;
        }
        told.push(Happening::SensorFault { sensor });
        self.debounce[sensor.index()].forget();
        match (&mut self.body, sensor) {
            (Body::Door(leaf), Sensor::Contact) => leaf.contact_lost(told),
            (Body::Turnstile(turnstile), Sensor::PassageEntry) => turnstile.sensor_lost(Passage::Entry, told),
            (Body::Turnstile(turnstile), Sensor::PassageExit) => turnstile.sensor_lost(Passage::Exit, told),
            _ => {}
        }
        self.review_fire(told);
    }

    fn sensor_found(&mut self, sensor: Sensor, told: &mut Vec<Happening>) {
        if !std::mem::replace(&mut self.lost[sensor.index()], false) {
            return;
        }
        told.push(Happening::SensorRestored { sensor });
        match (&mut self.body, sensor) {
            (Body::Door(leaf), Sensor::Contact) => leaf.contact_found(),
            (Body::Turnstile(turnstile), Sensor::PassageEntry) => turnstile.sensor_found(Passage::Entry),
            (Body::Turnstile(turnstile), Sensor::PassageExit) => turnstile.sensor_found(Passage::Exit),
            _ => {}
        }
        self.review_fire(told);
    }

    /// Whether there is fire, by the input and by what is wrong with it.
    fn review_fire(&mut self, told: &mut Vec<Happening>) {
        let latched = self.common.emergency && self.fire_latches && self.common.releases;
        let emergency = self.fire() || latched;
        if emergency != std::mem::replace(&mut self.common.emergency, emergency) {
            let released = self.common.released_by_fire();
            told.push(if emergency { Happening::EmergencyBegan { released } } else { Happening::EmergencyEnded });
        }
    }

    fn fire(&self) -> bool {
        let input = Sensor::Fire.index();
        self.debounce[input].steady() || (self.lost[input] && self.common.fail == FailState::Safe)
    }

    fn request_to_exit(&mut self, now: Moment, told: &mut Vec<Happening>) {
        if let Body::Door(leaf) = &mut self.body {
            leaf.shunt(now, &self.common);
        }
        if self.rex_unlocks {
            self.admit(Ticket { tag: None, by: Cause::Rex, class: Class::Standard, passage: Passage::Exit }, now, told);
        }
    }

    fn admit(&mut self, ticket: Ticket, now: Moment, told: &mut Vec<Happening>) {
        let rex = ticket.by == Cause::Rex;
        // First of all: whatever else refuses a grant ends it, and the first of two may still be waited for.
        let repeated = ticket.tag.is_some_and(|tag| self.tags.contains(&Some(tag)));
        let refused = repeated
            .then_some(Refusal::Repeated)
            .or_else(|| self.common.refusal(rex && self.rex_in_lockdown, rex && self.rex_ignores_interlock));
        let admitted = refused.map_or_else(
            || match &mut self.body {
                Body::Door(leaf) => leaf.admit(ticket, now, &mut self.common, told),
                Body::Turnstile(turnstile) => turnstile.admit(ticket, now, &self.common),
            },
            Err,
        );
        match admitted {
            Err(why) => told.push(Happening::Refused { by: ticket.by, tag: ticket.tag, why }),
            Ok(then) => {
                if ticket.tag.is_some() {
                    self.tags[self.oldest_tag] = ticket.tag;
                    self.oldest_tag = (self.oldest_tag + 1) % TAGS;
                }
                self.review(now, told);
                told.extend(then);
            }
        }
    }

    fn command(&mut self, command: Command, now: Moment, told: &mut Vec<Happening>) {
        let refuse = |why| Happening::Refused { by: Cause::Command, tag: None, why };
        match command {
            _ if self.common.ended => told.push(refuse(Refusal::Stopped)),
            Command::Unlock { passage } => {
                self.admit(Ticket { tag: None, by: Cause::Command, class: Class::Standard, passage }, now, told);
            }
            Command::Hold => match self.common.refusal(false, false) {
                Some(why) => told.push(refuse(why)),
                None if !std::mem::replace(&mut self.common.hold, true) => told.push(Happening::HoldBegan),
                None => {}
            },
            Command::FreeAccess { on: true } if self.common.lockdown => told.push(refuse(Refusal::Lockdown)),
            Command::FreeAccess { on } => self.set_free(None, Some(on), told),
            Command::Lockdown => {
                if !std::mem::replace(&mut self.common.lockdown, true) {
                    told.push(Happening::LockdownBegan);
                }
                self.release_hold(told);
                self.cut(self.rex_in_lockdown, now, told);
            }
            Command::Release => {
                self.release_hold(told);
                if std::mem::replace(&mut self.common.lockdown, false) {
                    told.push(Happening::LockdownEnded);
                }
            }
            Command::EndEmergency if self.fire() => told.push(refuse(Refusal::Fire)),
            Command::EndEmergency => {
                if std::mem::replace(&mut self.common.emergency, false) {
                    told.push(Happening::EmergencyEnded);
                }
            }
            Command::ResetAlarms => {
                let stood = Alarm::ALL.iter().any(|&alarm| alarm != Alarm::Tamper && self.common.stands(alarm));
                self.common.clear(&Alarm::ALL, told);
                match &mut self.body {
                    Body::Door(leaf) if stood => leaf.reset(now, &self.common),
                    Body::Turnstile(turnstile) if stood => turnstile.reset(now, &self.common),
                    _ => {}
                }
            }
        }
    }

    fn release_hold(&mut self, told: &mut Vec<Happening>) {
        if std::mem::replace(&mut self.common.hold, false) {
            told.push(Happening::HoldEnded);
        }
        self.set_free(None, Some(false), told);
    }

    fn set_free(&mut self, schedule: Option<bool>, command: Option<bool>, told: &mut Vec<Happening>) {
        let was = self.common.free();
        self.common.free_by_schedule = schedule.unwrap_or(self.common.free_by_schedule);
        self.common.free_by_command = command.unwrap_or(self.common.free_by_command);
        match (was, self.common.free()) {
            (false, true) => told.push(Happening::FreeAccessBegan),
            (true, false) => told.push(Happening::FreeAccessEnded),
            _ => {}
        }
    }

    /// Whoever was let in is so no more; a request to exit goes on where it would be heard now, too.
    fn cut(&mut self, keeps_rex: bool, now: Moment, told: &mut Vec<Happening>) {
        match &mut self.body {
            Body::Door(leaf) => leaf.cut(keeps_rex, now, &self.common),
            Body::Turnstile(turnstile) => turnstile.cut(keeps_rex, now, told),
        }
    }

    fn shut_down(&mut self, now: Moment, told: &mut Vec<Happening>) {
        self.common.ended = true;
        match &mut self.body {
            Body::Door(leaf) => leaf.end(told),
            Body::Turnstile(turnstile) => turnstile.end(now, told),
        }
    }
}
