//! A door's part of the configuration.

use std::{fmt, path::PathBuf};

use facegate_control::door::{Controller, FailState, Setup};
use serde::{Deserialize, Serialize};

use super::{InputsSettings, OutputsSettings, Relay, WiegandSettings};
use crate::error::{Error, Kind, Result};

/// A door and its lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What the door is called in logs and in the journal, 1 to 64 bytes without control characters. Default `door`.
    pub name: String,
    /// For how long a grant keeps the door unlocked, 100 to 60,000 ms. Default 3,000. A grant while it is open lets it stay
    /// open for a whole pulse from then on.
    pub pulse_ms: u64,
    /// What the door does without power. Default `secure`.
    pub fail: FailState,
    /// What moves the bolt. Default: simulated.
    pub lock: LockSettings,
    /// How the door behaves.
    pub controller: facegate_control::door::Settings,
    /// What it is told by: a contact, a button, the fire panel.
    pub inputs: InputsSettings,
    /// What it drives beside the lock: lamps, a buzzer, an alarm.
    pub outputs: OutputsSettings,
    /// The output to the panel of which this door is the reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wiegand: Option<WiegandSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "door".into(),
            pulse_ms: 3_000,
            fail: FailState::Secure,
            lock: LockSettings::default(),
            controller: Default::default(),
            inputs: InputsSettings::default(),
            outputs: OutputsSettings::default(),
            wiegand: None,
        }
    }
}

impl Settings {
    /// Refuses values out of their range; the error names the key, the value and the range.
    pub fn validate(&self) -> Result<()> {
        let refuse = |key: &str, value: String, range: &str| {
            Err(Error::new(Kind::Config, format!("door.{key} is {value}, but must be {range}"))
                .help(format!("set {key} under [door] to a value in that range")))
        };
        if !(1..=64).contains(&self.name.len()) || self.name.chars().any(char::is_control) {
            return refuse("name", format!("{:?}", self.name), "1 to 64 bytes without control characters");
        }
        if self.lock == LockSettings::None && self.wiegand.is_none() {
            return Err(Error::new(Kind::Config, "door.lock is none, but the door has no [door.wiegand] either")
                .help("name the lock's line; or, where a panel keeps the relay, the wires to that panel"));
        }
        let outputs = self.outputs.wired().map(|(key, line)| (format!("outputs.{key}"), line));
        let wires = self.wiegand.iter().flat_map(WiegandSettings::wired).map(|(key, line)| (key.to_owned(), line));
        let others: Vec<_> = outputs.chain(wires).collect();
        if let Some((key, _)) = others.iter().find(|(_, line)| **line == LockSettings::None) {
            return Err(Error::new(Kind::Config, format!("door.{key} is none")).help("leave out what is not wired"));
        }
        if let Some(wiegand) = &self.wiegand {
            wiegand.validate("door.wiegand")?;
        }
        for (key, line) in [("lock".to_owned(), &self.lock)].into_iter().chain(others) {
            let LockSettings::Gpiochip(GpiochipSettings { chip, line, .. }) = line else { continue };
            if chip.is_empty() {
                let range = "a chip's label, such as \"pinctrl-bcm2711\", name or path";
                return refuse(&format!("{key}.chip"), "empty".into(), range);
            }
            if *line == Line::Name(String::new()) {
                let range = "a line's name, such as \"GPIO17\", or its offset";
                return refuse(&format!("{key}.line"), "empty".into(), range);
            }
        }
        for (sensor, input) in self.inputs.wired() {
            input.validate(sensor.key())?;
        }
        if self.outputs.exit_lock.is_some() && self.controller.turnstile.is_none() {
            return Err(Error::new(Kind::Config, "door.outputs.exit_lock is a turnstile's, but this is a door")
                .help("add [door.controller.turnstile], or remove exit_lock"));
        }
        Controller::new(&self.setup())?;
        Ok(())
    }

    /// Every output, by key, and how it is left where no daemon drives it: at rest. A fail-safe door with a fire input is
    /// released instead, since nobody reads that input any more.
    pub fn relays(&self) -> impl Iterator<Item = (&'static str, Relay)> {
        let rest = self.fail.rest_energised() && self.inputs.fire.is_none();
        let outputs = self.outputs.wired().map(move |(key, lock)| (key, lock, rest && key == "exit_lock"));
        // A wire that is left within a pulse is not at rest.
        let wires = self.wiegand.iter().flat_map(WiegandSettings::wired).map(|(key, wire)| (key, wire, false));
        let all = [("lock", &self.lock, rest)].into_iter().chain(outputs).chain(wires);
        all.filter(|(_, lock, _)| **lock != LockSettings::None)
            .map(|(key, lock, rest)| (key, Relay { lock: lock.clone(), rest }))
    }

    /// What the state machine is made of.
    pub fn setup(&self) -> Setup {
        Setup {
            fail: self.fail,
            pulse_ms: self.pulse_ms,
            wiring: self.inputs.wiring(),
            settings: self.controller.clone(),
        }
    }
}

/// What moves the bolt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LockSettings {
    /// None: a panel keeps the relay, and the door sends it cards (`[door.wiegand]`).
    None,
    Simulated(SimulatedSettings),
    Gpiochip(GpiochipSettings),
    Rppal(RppalSettings),
}

impl Default for LockSettings {
    fn default() -> Self {
        Self::Simulated(SimulatedSettings::default())
    }
}

/// No hardware.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedSettings {
    /// A file to which a JSON line is appended at each edge: `energised`, `at` (RFC 3339) and `monotonic_us` (since the
    /// daemon's start). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges: Option<PathBuf>,
}

impl LockSettings {
    /// Whether something of it outlives the process: hardware, or a file of edges.
    pub fn leaves_traces(&self) -> bool {
        !matches!(self, Self::None | Self::Simulated(SimulatedSettings { edges: None }))
    }
}

/// A line of a GPIO character device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpiochipSettings {
    /// The chip's label (`pinctrl-bcm2711`), which is looked for first, or its name (`gpiochip0`) or path.
    pub chip: String,
    /// The line's name (`"GPIO17"`) or offset (`17`).
    pub line: Line,
    /// Whether the relay is energised by a low level. Default false.
    #[serde(default)]
    pub active_low: bool,
    /// The line's resistor. Default: left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<Bias>,
    /// How the line is driven. Default `push_pull`.
    #[serde(default)]
    pub drive: Drive,
}

/// A pin of a Raspberry Pi.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RppalSettings {
    /// The BCM number (17 for GPIO17), not the place on the header.
    pub pin: u8,
    /// Whether the relay is energised by a low level. Default false.
    #[serde(default)]
    pub active_low: bool,
}

/// How a line is named: a number is an offset, a text is a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a line's name, such as \"GPIO17\", or its offset, such as 17")]
pub enum Line {
    Offset(u32),
    Name(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(offset) => write!(f, "{offset}"),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}

/// A line's resistor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    PullUp,
    PullDown,
    Disabled,
}

impl From<Bias> for gpiocdev::line::Bias {
    fn from(bias: Bias) -> Self {
        match bias {
            Bias::PullUp => Self::PullUp,
            Bias::PullDown => Self::PullDown,
            Bias::Disabled => Self::Disabled,
        }
    }
}

/// How a line is driven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drive {
    /// High and low.
    #[default]
    PushPull,
    /// Low only; floats when high.
    OpenDrain,
    /// High only; floats when low.
    OpenSource,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn every_kind_of_lock_parses_and_prints_again() {
        for text in [
            "",
            "fail = \"safe\"\n[lock]\nkind = \"simulated\"\nedges = \"edges.ndjson\"",
            "[lock]\nkind = \"gpiochip\"\nchip = \"pinctrl-bcm2711\"\nline = \"GPIO17\"\nbias = \"pull_down\"",
            "[lock]\nkind = \"gpiochip\"\nchip = \"gpiochip0\"\nline = 17\nactive_low = true\ndrive = \"open_drain\"",
            "name = \"yard\"\npulse_ms = 500\n[lock]\nkind = \"rppal\"\npin = 17",
            "[controller]\nrelock = \"on_close\"\n[controller.turnstile]\nqueue = 0\n[outputs]\nexit_lock = { kind = \"simulated\" }",
            "[lock]\nkind = \"none\"\n[wiegand]\nbits = 34\nd0 = { kind = \"rppal\", pin = 5 }\nd1 = { kind = \"simulated\" }",
            "[inputs]\nrex = { kind = \"gpiochip\", chip = \"c\", line = 5, active_low = true, bias = \"pull_up\" }\n\
             contact = { kind = \"rppal\", pin = 22, debounce_ms = 0 }\nfire = { kind = \"simulated\", level = \"fire\" }",
        ] {
            let settings = parse(text).expect(text);
            settings.validate().expect(text);
            assert_eq!(parse(&toml::to_string(&settings).expect("prints")).expect("its own print"), settings);
        }
    }

    #[test]
    fn unknown_and_missing_keys_are_refused_by_name() {
        for (text, word) in [
            ("puls_ms = 3", "puls_ms"),
            ("[lock]\nkind = \"gpiochip\"\nchip = \"x\"\nlines = 4", "lines"),
            ("[lock]\nkind = \"gpiochip\"\nline = 4", "chip"),
            ("[lock]\nkind = \"gpiochip\"\nchip = \"x\"\nline = -4", "offset"),
            ("[lock]\nkind = \"relay\"", "relay"),
            ("[lock]\nkind = \"simulated\"\npin = 4", "pin"),
            ("fail = \"open\"", "open"),
            ("[inputs]\nbell = { kind = \"rppal\", pin = 2 }", "bell"),
            ("[inputs]\nrex = { kind = \"rppal\", pin = 2, bounce = 3 }", "bounce"),
            ("[outputs]\nblue = { kind = \"rppal\", pin = 2 }", "blue"),
            ("[controller]\nrelock = \"never\"", "never"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_key_value_and_range() {
        for (text, words) in [
            ("pulse_ms = 99", ["door.pulse_ms", "99", "100 to 60000"]),
            ("pulse_ms = 60001", ["door.pulse_ms", "60001", "100 to 60000"]),
            ("name = \"\"", ["door.name", "\"\"", "1 to 64"]),
            ("[lock]\nkind = \"gpiochip\"\nchip = \"\"\nline = 4", ["door.lock.chip", "empty", "label"]),
            ("[lock]\nkind = \"gpiochip\"\nchip = \"x\"\nline = \"\"", ["door.lock.line", "empty", "offset"]),
            (
                "[outputs]\nred = { kind = \"gpiochip\", chip = \"\", line = 4 }",
                ["door.outputs.red.chip", "empty", "label"],
            ),
            (
                "[inputs]\nrex = { kind = \"gpiochip\", chip = \"\", line = 4 }",
                ["door.inputs.rex.chip", "empty", "label"],
            ),
            (
                "[inputs]\nrex = { kind = \"gpiochip\", chip = \"x\", line = \"\" }",
                ["door.inputs.rex.line", "empty", "offset"],
            ),
            (
                "[inputs]\nrex = { kind = \"rppal\", pin = 4, debounce_ms = 5001 }",
                ["inputs.rex.debounce_ms", "5001", "0 to 5000"],
            ),
            ("[controller]\nheld_open_alarm_s = 3601", ["door.controller.held_open_alarm_s", "3601", "0 to 3600"]),
            ("[outputs]\nexit_lock = { kind = \"simulated\" }", ["door.outputs.exit_lock", "turnstile", "door"]),
            ("[lock]\nkind = \"none\"", ["door.lock", "none", "[door.wiegand]"]),
            ("[outputs]\ngreen = { kind = \"none\" }", ["door.outputs.green", "is", "none"]),
            (
                "[wiegand]\nd0 = { kind = \"none\" }\nd1 = { kind = \"rppal\", pin = 4 }",
                ["door.wiegand.d0", "is", "none"],
            ),
        ] {
            let error = parse(text).expect(text).validate().expect_err(text);
            assert!(words.iter().all(|word| error.message().contains(word)), "{error}");
        }
    }
}
