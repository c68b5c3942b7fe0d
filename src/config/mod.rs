//! The typed tree of the configuration file.
//!
//! One TOML file, read by [`Config::load`]. A key that is not known is refused with its place and the nearest known one;
//! a value out of its range is refused with the range. Any value can be overridden by an environment variable (see
//! [`sources`]). It holds no secrets: keys live hashed in the store, master keys in files of their own.

mod sources;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    access, api, camera, door,
    error::{Error, Kind, Result},
    gallery::{self, TenantId},
    guard,
    vision::quality,
};

/// A commented example with every key at its default; `facegate config example` prints it.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Everything the daemon is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub models: Models,
    #[serde(default)]
    pub gallery: gallery::Settings,
    #[serde(default)]
    pub journal: Journal,
    #[serde(default)]
    pub api: api::Settings,
    #[serde(default)]
    pub guard: guard::Settings,
    /// The doors of this board, each with its camera and its lock. At least one.
    #[serde(default, rename = "door", skip_serializing_if = "Vec::is_empty")]
    pub doors: Vec<Doorway>,
}

/// Which networks are used.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// The folder that holds one folder a pack.
    pub dir: PathBuf,
    /// The pack's name: `starter`, `door` or one's own.
    pub pack: String,
}

impl Default for Models {
    fn default() -> Self {
        Self { dir: "models".into(), pack: "starter".into() }
    }
}

/// Where decisions are recorded.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// The folder of the journal's files; made where it is missing.
    pub dir: PathBuf,
}

impl Default for Journal {
    fn default() -> Self {
        Self { dir: "data/journal".into() }
    }
}

/// A door: who may pass, seen by which camera, through which lock.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Doorway {
    /// 1 to 64 characters, different from every other door's.
    pub name: String,
    /// The tenant whose subjects may pass.
    pub tenant: TenantId,
    /// For how long a grant unlocks the door, 100 to 60,000 ms.
    #[serde(default = "default_pulse_ms")]
    pub pulse_ms: u64,
    /// What the door does without power.
    #[serde(default)]
    pub fail: door::FailState,
    pub camera: camera::Settings,
    #[serde(default)]
    pub lock: door::LockSettings,
    /// When a face is let in.
    #[serde(default)]
    pub access: access::Policy,
    /// What a face must be like to be recognised at all.
    #[serde(default = "quality::Limits::door")]
    pub quality: quality::Limits,
    #[serde(default)]
    pub motion: Motion,
}

impl Doorway {
    /// What the door's driver is told.
    pub fn settings(&self) -> door::Settings {
        door::Settings { name: self.name.clone(), pulse_ms: self.pulse_ms, fail: self.fail, lock: self.lock.clone() }
    }
}

fn default_pulse_ms() -> u64 {
    door::Settings::default().pulse_ms
}

/// Looking only when something moves, which is what keeps an idle door cool.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Motion {
    /// Off: every frame is searched for faces.
    pub gate: bool,
}

impl Default for Motion {
    fn default() -> Self {
        Self { gate: true }
    }
}

impl Config {
    /// Reads the file at `path`, lets the environment override it and checks every value.
    ///
    /// # Errors
    /// [`Kind::Config`]: the file cannot be read, a key is unknown, a value has the wrong type or is out of its range. The
    /// error names the place.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(Kind::Config, format!("cannot read the configuration {}", path.display()))
                .source(error)
                .help("name one with --config, or write one: `facegate config example > facegate.toml`")
        })?;
        Self::parse(&text, &path.display().to_string(), std::env::vars())
    }

    /// Reads `text`, said to come from `origin`, with the overrides among `environment`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, origin: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let config: Self = sources::read(text, origin, environment)?;
        config.validate().map_err(|error| error.within(origin))?;
        Ok(config)
    }

    /// The configuration as TOML, every value as it is in force.
    ///
    /// # Errors
    /// [`Kind::Internal`] where a value has no form in TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self)
            .map_err(|error| Error::new(Kind::Internal, "cannot write the configuration as TOML").source(error))
    }

    fn validate(&self) -> Result<()> {
        self.gallery.validate()?;
        self.api.validate()?;
        self.guard.validate()?;
        let mut names = HashSet::new();
        let mut lines = HashSet::new();
        for door in &self.doors {
            let place = |error: Error| error.within(&format!("door '{}'", door.name.escape_debug()));
            if !names.insert(&door.name) {
                return Err(Error::new(Kind::Config, format!("two doors are called '{}'", door.name))
                    .help("give each [[door]] a name of its own"));
            }
            if let Some(line) = line_of(&door.lock)
                && !lines.insert(line.clone())
            {
                return Err(Error::new(Kind::Config, format!("two doors drive the same line, {line}"))
                    .help("give each door's [door.lock] a line of its own"));
            }
            door.settings().validate().map_err(place)?;
            door.camera.validate().map_err(place)?;
            door.access.validate().map_err(|fault| place(fault.into()))?;
            door.quality.validate().map_err(place)?;
        }
        Ok(())
    }
}

/// What a lock drives, where that is hardware.
fn line_of(lock: &door::LockSettings) -> Option<String> {
    match lock {
        door::LockSettings::Simulated(_) => None,
        door::LockSettings::Gpiochip(line) => Some(format!("{} {}", line.chip, line.line)),
        door::LockSettings::Rppal(pin) => Some(format!("BCM {}", pin.pin)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text, "test.toml", std::iter::empty())
    }

    #[test]
    fn the_example_is_the_default() {
        let example = parse(EXAMPLE).expect("the example is valid");
        assert_eq!(example.doors.len(), 1);
        let mut without_doors = example.clone();
        without_doors.doors.clear();
        assert_eq!(without_doors.to_toml().unwrap(), parse("").unwrap().to_toml().unwrap());
        let door = &example.doors[0];
        let bare = format!(
            "[[door]]\nname = \"{}\"\ntenant = \"{}\"\n[door.camera]\nsource = \"v4l\"\ndevice = \"/dev/video0\"\n",
            door.name, door.tenant
        );
        assert_eq!(parse(&bare).unwrap().doors[0].access, door.access);
    }

    #[test]
    fn what_is_printed_is_read_back_the_same() {
        let printed = parse(EXAMPLE).unwrap().to_toml().unwrap();
        assert_eq!(parse(&printed).unwrap().to_toml().unwrap(), printed);
    }

    #[test]
    fn a_misspelt_key_is_refused_with_the_near_miss_and_its_place() {
        let error = parse("[models]\npakc = \"door\"\n").unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("test.toml:2"), "{error}");
        assert!(error.advice().unwrap_or_default().contains("'pack'"), "{error:?}");
    }

    #[test]
    fn two_doors_on_one_line_or_of_one_name_are_refused() {
        let door = |name: &str, line: &str| {
            format!(
                "[[door]]\nname = \"{name}\"\ntenant = \"t\"\ncamera = {{ source = \"v4l\", device = \"/dev/video0\" }}\n\
                 lock = {{ kind = \"gpiochip\", chip = \"c\", line = \"{line}\" }}\n"
            )
        };
        assert!(parse(&(door("a", "GPIO17") + &door("b", "GPIO27"))).is_ok());
        assert!(parse(&(door("a", "GPIO17") + &door("a", "GPIO27"))).unwrap_err().to_string().contains("called 'a'"));
        assert!(parse(&(door("a", "GPIO17") + &door("b", "GPIO17"))).unwrap_err().to_string().contains("same line"));
    }
}
