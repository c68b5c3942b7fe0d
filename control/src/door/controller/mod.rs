//! One door: inputs and the time in, levels and what happened out.

mod hearing;

use std::time::Duration;

use super::{
    Alarm, Cause, FailState, Happening, Input, Mode, Outputs, Sensor, Setup, Step, Wiring,
    common::{Common, Unlocked},
    debounce::Debounce,
    leaf::Leaf,
    settings::Times,
    turnstile::Turnstile,
};
use crate::{Fault, Moment, Passage};

/// As many tags are remembered, so that a repeated grant is known for what it is.
const TAGS: usize = 8;

/// The two lanes of a turnstile; a door has the first alone.
const LANES: [Passage; 2] = [Passage::Entry, Passage::Exit];

#[derive(Clone, Debug)]
enum Body {
    Door(Leaf),
    Turnstile(Turnstile),
}

/// The state machine of a door or a turnstile.
///
/// It comes up locked, with no memory of anybody. What it does depends on the inputs and their times alone, not on how often
/// [`Input::Tick`] comes: whatever fell due since the last input is done first, each thing at its own time and in order.
#[derive(Clone, Debug)]
pub struct Controller {
    common: Common,
    body: Body,
    wiring: Wiring,
    debounce: [Debounce; Sensor::ALL.len()],
    lost: [bool; Sensor::ALL.len()],
    rex_unlocks: bool,
    rex_in_lockdown: bool,
    rex_ignores_interlock: bool,
    fire_latches: bool,
    tags: [Option<u64>; TAGS],
    oldest_tag: usize,
    /// The lanes as they were told.
    unlocked: [bool; 2],
    now: Moment,
}

impl Controller {
    /// A locked door.
    ///
    /// # Errors
    /// As [`Setup::validate`].
    pub fn new(setup: &Setup) -> Result<Self, Fault> {
        setup.validate()?;
        let (settings, wiring) = (&setup.settings, setup.wiring);
        let releases = setup.fail == FailState::Safe || settings.release_on_fire == Some(true);
        Ok(Self {
            common: Common::new(setup.fail, Times::new(setup), releases),
            body: match &settings.turnstile {
                None => Body::Door(Leaf::new(wiring.has(Sensor::Contact))),
                Some(turnstile) => {
                    Body::Turnstile(Turnstile::new(turnstile, LANES.map(|lane| wiring.has(Sensor::passage(lane)))))
                }
            },
            wiring,
            debounce: Sensor::ALL
                .map(|sensor| Debounce::new(wiring.settle(sensor).unwrap_or(Duration::ZERO), sensor == Sensor::Fire)),
            lost: [false; Sensor::ALL.len()],
            rex_unlocks: settings.rex_unlocks,
            rex_in_lockdown: settings.rex_in_lockdown,
            rex_ignores_interlock: settings.rex_ignores_interlock,
            fire_latches: settings.fire_latches,
            tags: [None; TAGS],
            oldest_tag: 0,
            unlocked: [false; 2],
            now: Moment::default(),
        })
    }

    /// Takes in an input at `now`, and appends to `told` what happened.
    pub fn on(&mut self, input: Input, now: Moment, told: &mut Vec<Happening>) -> Step {
        let now = now.max(self.now);
        self.advance(now, told);
        self.take(input, now, told);
        self.review(now, told);
        // What is due at once, such as an input without debouncing.
        self.advance(now, told);
        let (outputs, buzzer_due) = self.outputs();
        Step { outputs, deadline: self.due().into_iter().chain(buzzer_due).min() }
    }

    /// What the door is like.
    pub fn mode(&self) -> Mode {
        let common = &self.common;
        if common.released_by_fire() {
            Mode::Emergency
        } else if common.lockdown {
            Mode::Lockdown
        } else if common.stands(Alarm::ForcedOpen) {
            Mode::Forced
        } else if common.stands(Alarm::HeldOpen) {
            Mode::HeldOpen
        } else {
            match common.stands_unlocked() {
                Some(Cause::Hold) => Mode::Held,
                Some(_) => Mode::FreeAccess,
                None if self.is_unlocked() => Mode::Unlocked,
                None => Mode::Locked,
            }
        }
    }

    /// Whether a lock has let go.
    pub fn is_unlocked(&self) -> bool {
        LANES.iter().any(|&lane| self.lane(lane).is_some())
    }

    /// Whether the contact says that the door is open.
    pub fn is_open(&self) -> bool {
        matches!(&self.body, Body::Door(leaf) if leaf.is_open())
    }

    /// Locked, and closed for certain as far as it can know: what an [`Interlock`](super::Interlock) asks.
    pub fn is_secure(&self) -> bool {
        !self.is_unlocked()
            && match &self.body {
                Body::Door(leaf) => leaf.is_closed() && !self.lost[Sensor::Contact.index()],
                Body::Turnstile(turnstile) => turnstile.is_idle(),
            }
    }

    /// Whether that alarm stands.
    pub fn stands(&self, alarm: Alarm) -> bool {
        self.common.stands(alarm)
    }

    fn lane(&self, lane: Passage) -> Option<Unlocked> {
        match &self.body {
            Body::Door(leaf) if lane == Passage::Entry => leaf.unlocked(&self.common),
            Body::Door(_) => None,
            Body::Turnstile(turnstile) => turnstile.unlocked(lane, &self.common),
        }
    }

    fn outputs(&self) -> (Outputs, Option<Moment>) {
        let rest = self.common.fail.rest_energised();
        let unlocked = self.is_unlocked();
        let (buzzer, due) = self.common.buzzer(self.now);
        let outputs = Outputs {
            strike: self.lane(Passage::Entry).is_some() != rest,
            exit_strike: self.lane(Passage::Exit).is_some() != rest,
            green: unlocked && !self.common.ended,
            red: !unlocked && !self.common.ended,
            buzzer,
            alarm: self.common.alarm(),
        };
        (outputs, due)
    }

    /// When the state changes by itself.
    fn due(&self) -> Option<Moment> {
        let body = match &self.body {
            Body::Door(leaf) => leaf.due(&self.common),
            Body::Turnstile(turnstile) => turnstile.due(&self.common),
        };
        self.debounce.iter().filter_map(Debounce::due).chain(body).min()
    }

    /// Lets the time run up to `now`, from one thing that is due to the next.
    fn advance(&mut self, now: Moment, told: &mut Vec<Happening>) {
        while let Some(due) = self.due().filter(|&due| due <= now) {
            let due = due.max(self.now);
            self.now = due;
            for sensor in Sensor::ALL {
                if let Some(active) = self.debounce[sensor.index()].settle(due) {
                    self.sensed(sensor, active, due, told);
                    self.review(due, told);
                }
            }
            match &mut self.body {
                Body::Door(leaf) => leaf.expire(due, &mut self.common, told),
                Body::Turnstile(turnstile) => turnstile.expire(due, &mut self.common, told),
            }
            self.review(due, told);
        }
        self.now = now;
    }

    /// Tells what the locks did, after anything that may have moved them.
    fn review(&mut self, now: Moment, told: &mut Vec<Happening>) {
        match &mut self.body {
            Body::Door(leaf) => leaf.review(now, &mut self.common, told),
            Body::Turnstile(turnstile) => turnstile.review(now, &mut self.common, told),
        }
        for lane in LANES {
            let unlocked = self.lane(lane);
            if unlocked.is_some() != std::mem::replace(&mut self.unlocked[lane as usize], unlocked.is_some()) {
                told.push(match unlocked {
                    Some((by, tag)) => Happening::Unlocked { lane, by, tag },
                    None => Happening::Locked { lane },
                });
            }
        }
    }
}
