//! What is wired to a door: its part of the configuration.

use std::{path::PathBuf, time::Duration};

use facegate_control::door::{Sensor, Wiring};
use serde::{Deserialize, Serialize};

use super::{Bias, Line, LockSettings};
use crate::error::{Error, Kind, Result};

/// The inputs of a door: `[door.inputs]`. What is not there is not wired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputsSettings {
    /// Request to exit; active: somebody wants out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rex: Option<InputSettings>,
    /// The door contact; active: the door is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<InputSettings>,
    /// The tamper switch; active: the housing is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tamper: Option<InputSettings>,
    /// The fire panel; active: fire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fire: Option<InputSettings>,
    /// A turnstile's sensor for people who come in; active: somebody stands in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passage_entry: Option<InputSettings>,
    /// A turnstile's sensor for people who go out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passage_exit: Option<InputSettings>,
}

impl InputsSettings {
    /// Those that are wired.
    pub fn wired(&self) -> impl Iterator<Item = (Sensor, &InputSettings)> {
        let all = [
            (Sensor::Rex, &self.rex),
            (Sensor::Contact, &self.contact),
            (Sensor::Tamper, &self.tamper),
            (Sensor::Fire, &self.fire),
            (Sensor::PassageEntry, &self.passage_entry),
            (Sensor::PassageExit, &self.passage_exit),
        ];
        all.into_iter().filter_map(|(sensor, input)| Some((sensor, input.as_ref()?)))
    }

    /// What the state machine has to know of them.
    pub fn wiring(&self) -> Wiring {
        self.wired().fold(Wiring::default(), |wiring, (sensor, input)| wiring.with(sensor, input.debounce()))
    }
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputSettings {
    Simulated(SimulatedInput),
    Gpiochip(GpiochipInput),
    Rppal(RppalInput),
}

impl InputSettings {
    /// For how long its level must be steady to count.
    pub fn debounce(&self) -> Duration {
        Duration::from_millis(match self {
            Self::Simulated(input) => input.debounce_ms,
            Self::Gpiochip(input) => input.debounce_ms,
            Self::Rppal(input) => input.debounce_ms,
        })
    }

    pub(super) fn validate(&self, key: &str) -> Result<()> {
        let empty = |what: &str, meant: &str| {
            Err(Error::new(Kind::Config, format!("door.inputs.{key}.{what} is empty, but must be {meant}"))
                .help(format!("set {what} of {key} under [door.inputs]")))
        };
        match self {
            Self::Gpiochip(input) if input.chip.is_empty() => {
                empty("chip", "a chip's label, such as \"pinctrl-bcm2711\", name or path")
            }
            Self::Gpiochip(input) if input.line == Line::Name(String::new()) => {
                empty("line", "a line's name, such as \"GPIO27\", or its offset")
            }
            Self::Simulated(input) if input.level.as_os_str().is_empty() => empty("level", "a file's name"),
            _ => Ok(()),
        }
    }
}

/// No hardware: a file that holds the level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedInput {
    /// The file: `1` is active; `0`, nothing, or no such file is not; anything else is a broken wire.
    pub level: PathBuf,
    /// For how long the level must be steady to count, 0 to 5,000 ms. Default 30.
    #[serde(default = "default_debounce_ms")]
    pub debounce_ms: u64,
}

/// A line of a GPIO character device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpiochipInput {
    /// As for a lock.
    pub chip: String,
    /// As for a lock.
    pub line: Line,
    /// Whether a low level is active. Default false.
    #[serde(default)]
    pub active_low: bool,
    /// The line's resistor. Default: left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<Bias>,
    /// For how long the level must be steady to count, 0 to 5,000 ms. Default 30.
    #[serde(default = "default_debounce_ms")]
    pub debounce_ms: u64,
}

/// A pin of a Raspberry Pi, by its registers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RppalInput {
    /// The BCM number (27 for GPIO27), not the place on the header.
    pub pin: u8,
    /// Whether a low level is active. Default false.
    #[serde(default)]
    pub active_low: bool,
    /// The pin's resistor. Default: disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<Bias>,
    /// For how long the level must be steady to count, 0 to 5,000 ms. Default 30.
    #[serde(default = "default_debounce_ms")]
    pub debounce_ms: u64,
}

fn default_debounce_ms() -> u64 {
    30
}

/// The outputs of a door beside its lock: `[door.outputs]`. What is not there is not wired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputsSettings {
    /// A turnstile's relay for people who go out. It rests as the door's lock does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_lock: Option<LockSettings>,
    /// On while the door is unlocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub green: Option<LockSettings>,
    /// On while it is locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub red: Option<LockSettings>,
    /// Warns of a door that stands open, and sounds with every alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buzzer: Option<LockSettings>,
    /// The alarm relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<LockSettings>,
}

impl OutputsSettings {
    /// Those that are wired, by key.
    pub fn wired(&self) -> impl Iterator<Item = (&'static str, &LockSettings)> {
        let all = [
            ("exit_lock", &self.exit_lock),
            ("green", &self.green),
            ("red", &self.red),
            ("buzzer", &self.buzzer),
            ("alarm", &self.alarm),
        ];
        all.into_iter().filter_map(|(key, output)| Some((key, output.as_ref()?)))
    }
}
