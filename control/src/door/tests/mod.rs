//! What a door does, case by case, and its properties over random days.

mod alarms;
mod emergency;
mod leaf;
mod lockdown;
mod properties;
mod settings;
mod turnstile;

use std::time::Duration;

use super::*;
use crate::{Class, Moment, Passage};

pub(super) const SETTLE: Duration = Duration::from_millis(30);

/// A door with its inputs, and a clock that is moved by hand.
pub(super) struct Bench {
    pub door: Controller,
    pub now: u64,
    /// What happened since it was asked for last.
    told: Vec<Happening>,
    pub last: Step,
    next_tag: u64,
}

pub(super) fn at(ms: u64) -> Moment {
    Moment::from_start(Duration::from_millis(ms))
}

/// Everything that a door has, wired.
pub(super) fn wired(sensors: &[Sensor]) -> Wiring {
    sensors.iter().fold(Wiring::default(), |wiring, &sensor| wiring.with(sensor, SETTLE))
}

/// A door with every input, 3 s of pulse, and what `change` makes of it.
pub(super) fn setup(change: impl FnOnce(&mut Setup)) -> Setup {
    let wiring = wired(&[Sensor::Rex, Sensor::Contact, Sensor::Tamper, Sensor::Fire]);
    let mut setup = Setup { fail: FailState::Secure, pulse_ms: 3_000, wiring, settings: Settings::default() };
    change(&mut setup);
    setup
}

/// A turnstile with every input, 1 s of pulse, and what `change` makes of it.
pub(super) fn turnstile(change: impl FnOnce(&mut Setup)) -> Setup {
    setup(|setup| {
        setup.pulse_ms = 1_000;
        setup.settings.extended_pulse_ms = 2_000;
        setup.settings.turnstile = Some(TurnstileSettings::default());
        setup.wiring = wired(&[Sensor::Rex, Sensor::Fire, Sensor::PassageEntry, Sensor::PassageExit]);
        change(setup);
    })
}

impl Bench {
    pub fn new(setup: &Setup) -> Self {
        let mut door = Controller::new(setup).expect("valid");
        let last = door.on(Input::Tick, at(0), &mut Vec::new());
        let mut bench = Self { door, now: 0, told: Vec::new(), last, next_tag: 1 };
        for sensor in Sensor::ALL {
            bench.on(Input::Level { sensor, active: false });
        }
        bench
    }

    pub fn on(&mut self, input: Input) -> Step {
        self.last = self.door.on(input, at(self.now), &mut self.told);
        self.last
    }

    /// Lets the time run, with a tick whenever the door asks for one.
    pub fn run(&mut self, ms: u64) -> Step {
        let end = self.now + ms;
        while let Some(due) = self.last.deadline.filter(|&due| due <= at(end)) {
            self.now = u64::try_from(due.since_start().as_millis()).expect("short");
            let step = self.on(Input::Tick);
            assert!(step.deadline.is_none_or(|later| later > due), "a deadline that does not pass: {due:?}");
        }
        self.now = end;
        self.on(Input::Tick)
    }

    /// A new grant; gives its tag.
    pub fn grant(&mut self, class: Class, passage: Passage) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        self.on(Input::Grant { tag, class, passage });
        tag
    }

    pub fn enter(&mut self) -> u64 {
        self.grant(Class::Standard, Passage::Entry)
    }

    /// An input changes and becomes steady.
    pub fn sense(&mut self, sensor: Sensor, active: bool) {
        self.on(Input::Level { sensor, active });
        self.run(SETTLE.as_millis() as u64);
    }

    /// A press of the request-to-exit button.
    pub fn rex(&mut self) {
        self.sense(Sensor::Rex, true);
        self.sense(Sensor::Rex, false);
    }

    pub fn command(&mut self, command: Command) {
        self.on(Input::Command(command));
    }

    /// What happened since it was asked for last.
    pub fn told(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.told)
    }

    /// Panics unless exactly that has happened since it was asked for last.
    #[track_caller]
    pub fn must(&mut self, expected: &[Happening]) {
        assert_eq!(self.told(), expected, "at {} ms", self.now);
    }

    pub fn unlocked(&self) -> bool {
        self.door.is_unlocked()
    }
}

pub(super) const LOCKED: Happening = Happening::Locked { lane: Passage::Entry };

pub(super) fn unlocked(by: Cause, tag: Option<u64>) -> Happening {
    Happening::Unlocked { lane: Passage::Entry, by, tag }
}

pub(super) fn passed(tag: u64, seen: bool) -> Happening {
    Happening::Passed { tag: Some(tag), passage: Passage::Entry, seen }
}

pub(super) fn nobody(tag: u64) -> Happening {
    Happening::NobodyPassed { tag: Some(tag), passage: Passage::Entry }
}

pub(super) fn raised(alarm: Alarm) -> Happening {
    Happening::Raised { alarm }
}

pub(super) fn cleared(alarm: Alarm) -> Happening {
    Happening::Cleared { alarm }
}

pub(super) fn refused(by: Cause, tag: Option<u64>, why: Refusal) -> Happening {
    Happening::Refused { by, tag, why }
}
