//! What a door was told of its inputs, and what it must make of that: the plain statement of debouncing.

use facegate_control::door::{FailState, Input, Sensor, Setup};

use super::Micros;

#[derive(Clone, Copy, Default)]
pub struct Wire {
    settle: Option<Micros>,
    raw: bool,
    changed: Micros,
    pub steady: bool,
    pub lost: bool,
    /// Heard of since the start, or since it was lost.
    pub heard: bool,
    /// When it was last active.
    active_at: Option<Micros>,
    /// It was lost while it may have been active, and nobody has said since that it is not.
    doubtful: bool,
    /// Since when it has not been at rest at inactive.
    restless: Option<Micros>,
}

/// All inputs of one door.
pub struct Wires([Wire; 6]);

/// A level that has become steady, and when.
pub struct Settled {
    pub sensor: Sensor,
    pub active: bool,
    pub at: Micros,
    /// When the wire came to that level.
    pub from: Micros,
}

impl Wires {
    pub fn new(setup: &Setup) -> Self {
        Self(Sensor::ALL.map(|sensor| Wire {
            settle: setup.wiring.settle(sensor).map(|settle| settle.as_micros() as Micros),
            ..Wire::default()
        }))
    }

    pub fn of(&self, sensor: Sensor) -> &Wire {
        &self.0[sensor.index()]
    }

    /// Takes in what the door is told. True where the level on the wire of that sensor has changed.
    pub fn hear(&mut self, input: Input, now: Micros) -> bool {
        match input {
            Input::Level { sensor, active } => {
                let wire = &mut self.0[sensor.index()];
                if wire.settle.is_none() || wire.lost {
                    return false;
                }
                if wire.raw || active || std::mem::take(&mut wire.doubtful) {
                    wire.active_at = Some(now);
                }
                if wire.raw == active {
                    return false;
                }
                let settled = now - wire.changed >= wire.settle.unwrap_or(0);
                wire.restless = wire.restless.filter(|_| wire.raw || !settled).or(active.then_some(now));
                (wire.raw, wire.changed) = (active, now);
                true
            }
            Input::SensorLost(sensor) => {
                let wire = &mut self.0[sensor.index()];
                if let Some(settle) = wire.settle.filter(|_| !wire.lost) {
                    wire.doubtful |= wire.raw || wire.active_at.is_some_and(|at| now < at + settle);
                    (wire.raw, wire.lost, wire.heard, wire.restless) = (wire.steady, true, false, None);
                }
                false
            }
            Input::SensorFound(sensor) => {
                self.0[sensor.index()].lost = false;
                false
            }
            _ => false,
        }
    }

    pub fn note_heard(&mut self, sensor: Sensor) {
        let wire = &mut self.0[sensor.index()];
        wire.heard |= !wire.lost;
    }

    /// The next level that is steady by `now`, oldest first: one that has not changed for the debouncing time.
    pub fn settle(&mut self, now: Micros) -> Option<Settled> {
        let (at, sensor) = Sensor::ALL
            .into_iter()
            .filter_map(|sensor| {
                let wire = self.of(sensor);
                (wire.raw != wire.steady).then_some((wire.changed + wire.settle?, sensor))
            })
            .min_by_key(|(at, _)| *at)?;
        if at > now {
            return None;
        }
        let wire = &mut self.0[sensor.index()];
        wire.steady = wire.raw;
        Some(Settled { sensor, active: wire.raw, at, from: wire.changed })
    }

    /// Fire for certain: steady, or without rest for twice as long, or a fail-safe door's input that cannot be read.
    pub fn must_be_fire(&self, fail: FailState, now: Micros) -> bool {
        let fire = self.of(Sensor::Fire);
        let settle = fire.settle.unwrap_or(0);
        let rests = !fire.raw && now - fire.changed >= settle;
        let chatters = fire.restless.is_some_and(|since| since + 2 * settle <= now) && !rests;
        fire.steady || chatters || (fire.lost && fail == FailState::Safe)
    }

    /// Fire perhaps: that, or an input that has been active a moment ago.
    pub fn may_be_fire(&self, fail: FailState, now: Micros) -> bool {
        let fire = self.of(Sensor::Fire);
        let settle = fire.settle.unwrap_or(0);
        self.must_be_fire(fail, now) || fire.raw || fire.doubtful || fire.active_at.is_some_and(|at| now < at + settle)
    }
}
