//! How a door behaves, and the ranges of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Sensor;
use crate::{Class, Fault};

/// What a door does without power, and therefore how its relay rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailState {
    /// Fail-secure, stays locked: de-energised is locked, a pulse energises.
    #[default]
    Secure,
    /// Fail-safe, unlocks: energised is locked, a pulse de-energises.
    Safe,
}

impl FailState {
    /// Whether the relay is energised while the door is locked.
    pub const fn rest_energised(self) -> bool {
        matches!(self, Self::Safe)
    }
}

/// When a door locks again after somebody was let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relock {
    /// As soon as the door opens: for strikes, whose bolt the closing door pushes aside.
    #[default]
    OnOpen,
    /// When the door has closed again: for magnets and motor locks. A door that stays open is locked when the held-open
    /// alarm comes.
    OnClose,
    /// When the pulse is over, whatever the door does.
    AtEnd,
}

/// How a door behaves: `[door.controller]`. Every key has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The strike time of people who need longer, 100 to 120,000 ms. Never less than `pulse_ms`. Default 8,000.
    pub extended_pulse_ms: u64,
    /// When the door locks again. Default `on_open`. It needs a door contact; without one every pulse runs to its end.
    pub relock: Relock,
    /// An opening so soon after the door has locked was by right: a leaf needs a moment to move its contact. 0 to 5,000 ms.
    /// Default 500.
    pub opening_grace_ms: u64,
    /// Whether an opening without a right to it is an alarm. Default true.
    pub forced_open_alarm: bool,
    /// The buzzer warns of a door that has stood open for so long, 0 (never) to 3,600 s. Default 20.
    pub held_open_warning_s: u64,
    /// The alarm comes for a door that has stood open for so long, 0 (never) to 3,600 s. Default 30.
    pub held_open_alarm_s: u64,
    /// Both come so much later for people who need longer, 0 to 3,600 s. Default 20.
    pub extended_held_open_s: u64,
    /// Whether a request to exit unlocks the door. False where a handle opens it mechanically. Default true.
    pub rex_unlocks: bool,
    /// For so long after a request to exit an opening is by right, 0 to 60,000 ms. Default 5,000.
    pub rex_shunt_ms: u64,
    /// Whether a request to exit unlocks in lockdown. Default true: a lockdown keeps people out and nobody in.
    pub rex_in_lockdown: bool,
    /// Whether a request to exit unlocks although another door of an interlock group is open. Default false.
    pub rex_ignores_interlock: bool,
    /// Whether the fire input unlocks the door. A fail-safe door is always released; a fail-secure one, by default, not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_on_fire: Option<bool>,
    /// Whether a door released by fire stays so until an operator ends the emergency. Default false: the fire panel latches.
    pub fire_latches: bool,
    /// The warning buzzer sounds for so long, 0 (silent) to 10,000 ms. Default 200.
    pub buzzer_beep_ms: u64,
    /// And is silent for so long, 0 (a steady tone) to 10,000 ms. Default 800.
    pub buzzer_pause_ms: u64,
    /// Where it is there, this is a turnstile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turnstile: Option<TurnstileSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            extended_pulse_ms: 8_000,
            relock: Relock::OnOpen,
            opening_grace_ms: 500,
            forced_open_alarm: true,
            held_open_warning_s: 20,
            held_open_alarm_s: 30,
            extended_held_open_s: 20,
            rex_unlocks: true,
            rex_shunt_ms: 5_000,
            rex_in_lockdown: true,
            rex_ignores_interlock: false,
            release_on_fire: None,
            fire_latches: false,
            buzzer_beep_ms: 200,
            buzzer_pause_ms: 800,
            turnstile: None,
        }
    }
}

/// What makes a door a turnstile: `[door.controller.turnstile]`. Every key has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TurnstileSettings {
    /// A grant that nobody has used for so long is void, 500 to 60,000 ms. Never less than the strike time. Default 5,000.
    pub passage_timeout_ms: u64,
    /// The least time between two pulses, so that the turnstile counts two, 50 to 5,000 ms. Default 300.
    pub gap_ms: u64,
    /// As many people may wait for their pulse while another passes, 0 to 4. Default 2.
    pub queue: u8,
    /// Somebody who passes without a grant so soon after another followed that one, 0 to 10,000 ms; later it is forced.
    /// Default 1,500.
    pub tailgating_window_ms: u64,
    /// For how long a passage without a grant sounds the alarm, 1 to 600 s. Default 10.
    pub alarm_s: u64,
}

impl Default for TurnstileSettings {
    fn default() -> Self {
        Self { passage_timeout_ms: 5_000, gap_ms: 300, queue: 2, tailgating_window_ms: 1_500, alarm_s: 10 }
    }
}

/// For how long each input must be steady to count; none where it is not wired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wiring([Option<Duration>; Sensor::ALL.len()]);

impl Wiring {
    /// The same with this input wired.
    #[must_use]
    pub const fn with(mut self, sensor: Sensor, settle: Duration) -> Self {
        self.0[sensor.index()] = Some(settle);
        self
    }

    /// For how long that input must be steady; none where it is not wired.
    pub const fn settle(&self, sensor: Sensor) -> Option<Duration> {
        self.0[sensor.index()]
    }

    /// Whether that input is there.
    pub const fn has(&self, sensor: Sensor) -> bool {
        self.settle(sensor).is_some()
    }
}

/// Everything that a [`Controller`](super::Controller) is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setup {
    pub fail: FailState,
    /// The usual strike time, 100 to 60,000 ms.
    pub pulse_ms: u64,
    pub wiring: Wiring,
    pub settings: Settings,
}

impl Setup {
    /// Refuses what is out of its range or contradicts itself; the fault names the key, the value and the range.
    pub fn validate(&self) -> Result<(), Fault> {
        range("door.pulse_ms", self.pulse_ms, 100, 60_000, "milliseconds")?;
        self.settings.validate(self.fail)?;
        if !self.wiring.has(Sensor::Fire) {
            let asked = [
                ("release_on_fire", self.settings.release_on_fire == Some(true)),
                ("fire_latches", self.settings.fire_latches),
            ];
            if let Some((key, _)) = asked.iter().find(|(_, asked)| *asked) {
                return Err(Fault::new(
                    format!(
                        "door.controller.{key} is true, but the door hears of no fire: there is no door.inputs.fire"
                    ),
                    format!("wire the fire panel and name its line as `fire` under [door.inputs], or remove {key}"),
                ));
            }
        }
        for sensor in Sensor::ALL {
            let Some(settle) = self.wiring.settle(sensor) else { continue };
            let key = format!("door.inputs.{}.debounce_ms", sensor.key());
            range(&key, u64::try_from(settle.as_millis()).unwrap_or(u64::MAX), 0, 5_000, "milliseconds")?;
            let of_a_turnstile = matches!(sensor, Sensor::PassageEntry | Sensor::PassageExit);
            if of_a_turnstile && self.settings.turnstile.is_none() {
                return Err(Fault::new(
                    format!("door.inputs.{} is the sensor of a turnstile, but this is a door", sensor.key()),
                    "add [door.controller.turnstile], or wire the door contact as `contact`",
                ));
            }
            if sensor == Sensor::Contact && self.settings.turnstile.is_some() {
                return Err(Fault::new(
                    "door.inputs.contact is the contact of a door, but this is a turnstile",
                    "wire the turnstile's sensors as `passage_entry` and `passage_exit`, or remove \
                     [door.controller.turnstile]",
                ));
            }
        }
        Ok(())
    }
}

impl Settings {
    fn validate(&self, fail: FailState) -> Result<(), Fault> {
        for (key, value, least, most, unit) in [
            ("extended_pulse_ms", self.extended_pulse_ms, 100, 120_000, "milliseconds"),
            ("opening_grace_ms", self.opening_grace_ms, 0, 5_000, "milliseconds"),
            ("held_open_warning_s", self.held_open_warning_s, 0, 3_600, "seconds; 0 is never"),
            ("held_open_alarm_s", self.held_open_alarm_s, 0, 3_600, "seconds; 0 is never"),
            ("extended_held_open_s", self.extended_held_open_s, 0, 3_600, "seconds"),
            ("rex_shunt_ms", self.rex_shunt_ms, 0, 60_000, "milliseconds"),
            ("buzzer_beep_ms", self.buzzer_beep_ms, 0, 10_000, "milliseconds; 0 is silent"),
            ("buzzer_pause_ms", self.buzzer_pause_ms, 0, 10_000, "milliseconds; 0 is a steady tone"),
        ] {
            range(&format!("door.controller.{key}"), value, least, most, unit)?;
        }
        let (warning, alarm) = (self.held_open_warning_s, self.held_open_alarm_s);
        if warning > 0 && alarm > 0 && warning >= alarm {
            return Err(Fault::new(
                format!("door.controller.held_open_warning_s is {warning}, but the alarm comes after {alarm} s"),
                "set held_open_warning_s below held_open_alarm_s, or one of them to 0 (never)",
            ));
        }
        if fail == FailState::Safe && self.release_on_fire == Some(false) {
            return Err(Fault::new(
                "door.controller.release_on_fire is false, but the door is fail-safe, and fire always releases it",
                "remove release_on_fire; a door that is to stay locked in a fire needs a fail-secure lock",
            ));
        }
        let Some(turnstile) = &self.turnstile else { return Ok(()) };
        for (key, value, least, most, unit) in [
            ("passage_timeout_ms", turnstile.passage_timeout_ms, 500, 60_000, "milliseconds"),
            ("gap_ms", turnstile.gap_ms, 50, 5_000, "milliseconds"),
            ("queue", turnstile.queue.into(), 0, 4, "people"),
            ("tailgating_window_ms", turnstile.tailgating_window_ms, 0, 10_000, "milliseconds"),
            ("alarm_s", turnstile.alarm_s, 1, 600, "seconds"),
        ] {
            range(&format!("door.controller.turnstile.{key}"), value, least, most, unit)?;
        }
        Ok(())
    }
}

fn range(key: &str, value: u64, least: u64, most: u64, unit: &str) -> Result<(), Fault> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let (section, name) = key.rsplit_once('.').unwrap_or(("door", key));
    Err(Fault::new(
        format!("{key} is {value}, but must be {least} to {most} ({unit})"),
        format!("set {name} under [{section}] to a value in that range"),
    ))
}

/// The settings as the machines use them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub pulse: Duration,
    pub extended_pulse: Duration,
    pub relock: Relock,
    pub grace: Duration,
    pub forced_open_alarm: bool,
    pub warning: Option<Duration>,
    pub alarm: Option<Duration>,
    pub extended_held: Duration,
    pub rex_shunt: Duration,
    pub beep: Duration,
    pub pause: Duration,
}

impl Times {
    pub(super) fn new(setup: &Setup) -> Self {
        let settings = &setup.settings;
        let (ms, seconds) = (Duration::from_millis, Duration::from_secs);
        let some = |s: u64| (s > 0).then(|| seconds(s));
        Self {
            pulse: ms(setup.pulse_ms),
            extended_pulse: ms(settings.extended_pulse_ms.max(setup.pulse_ms)),
            relock: settings.relock,
            grace: ms(settings.opening_grace_ms),
            forced_open_alarm: settings.forced_open_alarm,
            warning: some(settings.held_open_warning_s),
            alarm: some(settings.held_open_alarm_s),
            extended_held: seconds(settings.extended_held_open_s),
            rex_shunt: ms(settings.rex_shunt_ms),
            beep: ms(settings.buzzer_beep_ms),
            pause: ms(settings.buzzer_pause_ms),
        }
    }

    pub(super) fn pulse(&self, class: Class) -> Duration {
        match class {
            Class::Standard => self.pulse,
            Class::Extended => self.extended_pulse,
        }
    }
}
