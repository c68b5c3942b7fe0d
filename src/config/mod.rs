//! The typed tree of the configuration file.
//!
//! One TOML file, read by [`Config::load`]. A key that is not known is refused with its place and the nearest known one;
//! a value out of its range is refused with the range. Any value can be overridden by an environment variable (see
//! [`sources`]). In a fleet another configuration may be [ordered] over the file from afar. It holds no secrets: keys live hashed in the store, master keys in files of their own.

mod ordered;
mod sources;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use facegate_control::{CardFormat, Passage, door::Interlock};
use serde::{Deserialize, Serialize};

pub use self::ordered::compose;
use crate::{
    access::{self, PadPolicy, Policy},
    api, camera, door,
    error::{Error, Kind, Result},
    fleet,
    gallery::{self, TenantId},
    guard, journal,
    vision::{quality, region::Region, track::RAREST},
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
    pub journal: journal::Settings,
    #[serde(default)]
    pub api: api::Settings,
    #[serde(default)]
    pub guard: guard::Settings,
    /// The site whose doors know the same people; none: this board shares nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<fleet::Settings>,
    /// The doors of this board, each with its camera and its lock. At least one.
    #[serde(default, rename = "door", skip_serializing_if = "Vec::is_empty")]
    pub doors: Vec<Doorway>,
    /// Groups of doors of which only one may be open or unlocked at a time.
    #[serde(default, rename = "interlock", skip_serializing_if = "Vec::is_empty")]
    pub interlocks: Vec<InterlockGroup>,
    /// Where it comes from; none where it was only read.
    #[serde(skip)]
    pub origin: Option<Origin>,
}

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The device's own file.
    pub path: PathBuf,
    /// Its digest, as the fleet tells it.
    pub own: String,
    /// What the fleet ordered over it and is in force.
    pub revision: Option<String>,
    /// Why what the fleet ordered is not in force, where it should be.
    pub fault: Option<String>,
}

/// Doors of which only one may be open or unlocked at a time: an airlock.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InterlockGroup {
    /// For messages.
    pub name: String,
    /// The names of two doors or more.
    pub doors: Vec<String>,
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

/// A door: who may pass, seen by which camera, through which lock.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Doorway {
    /// 1 to 64 characters, different from every other door's.
    pub name: String,
    /// The tenant whose subjects may pass.
    pub tenant: TenantId,
    /// Which way people go whom the camera sees; those before the camera of the other side go the other way. The rules of
    /// access tell entry from exit.
    #[serde(default)]
    pub passage: Passage,
    /// For how long a grant unlocks the door, 100 to 60,000 ms.
    #[serde(default = "default_pulse_ms")]
    pub pulse_ms: u64,
    /// What the door does without power.
    #[serde(default)]
    pub fail: door::FailState,
    pub camera: camera::Settings,
    /// Where people stand in its picture who want to pass.
    #[serde(default)]
    pub region: Region,
    /// A second camera, on the door's other side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_side: Option<OtherSide>,
    #[serde(default)]
    pub lock: door::LockSettings,
    /// How the door behaves.
    #[serde(default)]
    pub controller: facegate_control::door::Settings,
    /// What tells it: contact, button, fire panel.
    #[serde(default)]
    pub inputs: door::InputsSettings,
    /// What it drives beside the lock.
    #[serde(default)]
    pub outputs: door::OutputsSettings,
    /// The output to the panel of which this door is the reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wiegand: Option<door::WiegandSettings>,
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
        door::Settings {
            name: self.name.clone(),
            pulse_ms: self.pulse_ms,
            fail: self.fail,
            lock: self.lock.clone(),
            controller: self.controller.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            wiegand: self.wiegand.clone(),
        }
    }

    /// How it sends cards, where it is the reader of a panel.
    pub fn reader(&self) -> Option<CardFormat> {
        self.wiegand.as_ref().map(|wiegand| wiegand.bits)
    }

    /// Its cameras: which way people go whom each sees, and where they stand in its picture.
    pub fn sides(&self) -> impl Iterator<Item = (Passage, &camera::Settings, Region)> {
        let other = self.other_side.as_ref().map(|side| (self.passage.other(), &side.camera, side.region));
        std::iter::once((self.passage, &self.camera, self.region)).chain(other)
    }
}

/// The camera on the other side of a door: of a turnstile, or where people are recognised both ways.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OtherSide {
    pub camera: camera::Settings,
    /// Where people stand in its picture who want to pass.
    #[serde(default)]
    pub region: Region,
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
    ///
    /// What the fleet ordered over the file is in force in its place, where it can be.
    pub fn load(path: &Path) -> Result<Self> {
        let (own, text) = Self::load_own(path)?;
        let Some(settings) = &own.fleet else { return Ok(own) };
        let mut origin = own.origin.clone();
        let ordered = fleet::configuring::in_force(&settings.dir, &fleet::configuring::digest(&text));
        let composed = ordered.and_then(|ordered| {
            let composed = ordered.map(|ordered| Ok((Self::over(&text, &ordered.config)?, ordered.name)));
            composed.transpose()
        });
        // The device's own file is better than no door.
        let (config, revision, fault) = match composed {
            Ok(Some((config, revision))) => (config, Some(revision), None),
            Ok(None) => (own, None, None),
            Err(error) => (own, None, Some(error.to_string())),
        };
        if let Some(origin) = &mut origin {
            (origin.revision, origin.fault) = (revision, fault);
        }
        Ok(Self { origin, ..config })
    }

    /// Reads the device's own file, whatever the fleet ordered. Gives its text, too.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_own(path: &Path) -> Result<(Self, String)> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(Kind::Config, format!("cannot read the configuration {}", path.display()))
                .source(error)
                .help("name one with --config, or write one: `facegate config example > facegate.toml`")
        })?;
        let mut config = Self::parse(&text, &path.display().to_string(), std::env::vars())?;
        let own = fleet::configuring::digest(&text);
        config.origin = Some(Origin { path: path.to_owned(), own, revision: None, fault: None });
        Ok((config, text))
    }

    /// What is in force where `ordered` is ordered over a device's own file.
    ///
    /// # Errors
    /// As [`compose`].
    pub fn over(own: &str, ordered: &str) -> Result<Self> {
        compose(own, ordered, &std::env::vars().collect::<Vec<_>>())
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
        self.journal.validate()?;
        self.fleet.as_ref().map_or(Ok(()), fleet::Settings::validate)?;
        let mut names = HashSet::new();
        let mut lines: Vec<(door::NamedLine, String)> = Vec::new();
        let mut cameras = HashMap::new();
        for door in &self.doors {
            let place = |error: Error| error.within(&format!("door '{}'", door.name.escape_debug()));
            if !names.insert(&door.name) {
                return Err(Error::new(Kind::Config, format!("two doors are called '{}'", door.name))
                    .help("give each [[door]] a name of its own"));
            }
            for (user, line) in lines_of(door) {
                let user = format!("door '{}', {user}", door.name.escape_debug());
                if let Some((same, other)) = lines.iter().find(|(other, _)| other.is(&line)) {
                    let named = &line.name;
                    let also =
                        if same.name == *named { String::new() } else { format!(", which is also {}", same.name) };
                    let message = format!("{other} and {user} are on the same line, {named}{also}");
                    return Err(Error::new(Kind::Config, message).help("give each of them a line of its own"));
                }
                lines.push((line, user));
            }
            door.settings().validate().map_err(place)?;
            for (_, camera, _) in door.sides() {
                camera.validate().map_err(place)?;
                let Some(device) = camera.device() else { continue };
                if let Some(other) = cameras.insert(device.clone(), &door.name) {
                    let other = other.escape_debug();
                    return Err(place(
                        Error::new(Kind::Config, format!("its camera, {device}, is also that of door '{other}'")).help(
                            "give each door, and each side of one, a camera of its own: one cannot be opened twice",
                        ),
                    ));
                }
            }
            door.region.validate("region").map_err(place)?;
            if let Some(side) = &door.other_side {
                side.region.validate("other_side.region").map_err(place)?;
            }
            door.access.validate().map_err(|fault| place(fault.into()))?;
            for (_, camera, _) in door.sides() {
                door.access.validate_at(camera.rate_fps()).map_err(|fault| place(fault.into()))?;
                can_follow(&door.access, camera.rate_fps()).map_err(place)?;
            }
            door.quality.validate().map_err(place)?;
        }
        self.interlock()?;
        Ok(())
    }

    /// Which doors keep each other shut, by their places in the list.
    ///
    /// # Errors
    /// [`Kind::Config`]: a group that names a door that there is not, or fewer than two.
    pub fn interlock(&self) -> Result<Interlock> {
        let doors: Vec<_> = self.doors.iter().map(|door| door.name.as_str()).collect();
        let groups: Vec<_> = self.interlocks.iter().map(|group| (group.name.as_str(), &group.doors[..])).collect();
        Ok(Interlock::new(&doors, &groups)?)
    }
}

/// Refuses a camera that shows everybody once only, as somebody new each time, where one frame does not let anybody in.
fn can_follow(access: &Policy, rate_fps: f32) -> Result<()> {
    let of_several = access.votes > 1 || access.liveness == PadPolicy::Required;
    if !of_several || rate_fps * RAREST.as_secs_f32() >= 1.0 {
        return Ok(());
    }
    let (most, why) =
        (RAREST.as_secs_f32(), if access.votes > 1 { "votes is above 1" } else { "liveness is required" });
    Err(Error::new(
        Kind::Config,
        format!(
            "camera.rate_fps is {rate_fps}, but a face is followed from one frame to the next for {most} s at most, and access.{why}: \
             the door could never open"
        ),
    )
    .help(format!("set rate_fps to {:.2} or more", (100.0 / most).ceil() / 100.0)))
}

/// Every line of hardware that a door has, and for what.
fn lines_of(door: &Doorway) -> Vec<(String, door::NamedLine)> {
    let lock = door.lock.line().map(|line| ("[door.lock]".into(), line));
    let outputs = door.outputs.wired().filter_map(|(key, output)| Some((format!("outputs.{key}"), output.line()?)));
    let inputs =
        door.inputs.wired().filter_map(|(sensor, input)| Some((format!("inputs.{}", sensor.key()), input.line()?)));
    let wires = door.wiegand.iter().flat_map(door::WiegandSettings::wired);
    let wires = wires.filter_map(|(key, wire)| Some((key.to_owned(), wire.line()?)));
    lock.into_iter().chain(outputs).chain(inputs).chain(wires).collect()
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
        let bare = parse(&bare).unwrap();
        assert_eq!(bare.doors[0].access, door.access);
        assert_eq!(bare.doors[0].settings(), door.settings());
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
                "[[door]]\nname = \"{name}\"\ntenant = \"t\"\ncamera = {{ source = \"v4l\", device = \"/dev/{name}\" }}\n\
                 lock = {{ kind = \"gpiochip\", chip = \"c\", line = \"{line}\" }}\n"
            )
        };
        assert!(parse(&(door("a", "GPIO17") + &door("b", "GPIO27"))).is_ok());
        assert!(parse(&(door("a", "GPIO17") + &door("a", "GPIO27"))).unwrap_err().to_string().contains("called 'a'"));
        assert!(parse(&(door("a", "GPIO17") + &door("b", "GPIO17"))).unwrap_err().to_string().contains("same line"));
    }
    const AIRLOCK: &str = "[[door]]\nname = \"a\"\ntenant = \"t\"\ncamera = { source = \"v4l\", device = \"/dev/video0\" }\n\
        [[door]]\nname = \"b\"\ntenant = \"t\"\ncamera = { source = \"v4l\", device = \"/dev/video1\" }\n";

    #[test]
    fn two_uses_of_a_line_are_refused_with_both_places() {
        let inputs = |door: &str| {
            format!(
                "[door.lock]\nkind = \"gpiochip\"\nchip = \"c\"\nline = \"{door}\"\n\
                 [door.inputs]\ncontact = {{ kind = \"gpiochip\", chip = \"c\", line = 7 }}\n\
                 [door.outputs]\ngreen = {{ kind = \"rppal\", pin = 22 }}\n"
            )
        };
        let one = AIRLOCK.replacen("[[door]]\nname = \"b\"", &(inputs("X") + "[[door]]\nname = \"b\""), 1);
        assert!(parse(&one).is_ok(), "{:?}", parse(&one));
        for (more, first, second, line) in [
            (inputs("X"), "door 'a', [door.lock]", "door 'b', [door.lock]", "c `X`"),
            (inputs("Y"), "door 'a', outputs.green", "door 'b', outputs.green", "BCM 22"),
            (
                "[door.inputs]\nrex = { kind = \"gpiochip\", chip = \"c\", line = 7 }\n".into(),
                "door 'a', inputs.contact",
                "door 'b', inputs.rex",
                "c 7",
            ),
            (
                "[door.lock]\nkind = \"rppal\"\npin = 9\n[door.outputs]\nred = { kind = \"rppal\", pin = 9 }\n".into(),
                "door 'b', [door.lock]",
                "door 'b', outputs.red",
                "BCM 9",
            ),
        ] {
            let error = parse(&(one.clone() + &more)).expect_err(first);
            let said = error.to_string();
            assert!([first, second, line, "same line"].iter().all(|word| said.contains(word)), "{said}");
            assert!(error.advice().is_some_and(|help| help.contains("a line of its own")));
        }
    }

    #[test]
    fn a_pin_that_is_named_in_two_ways_is_one_line() {
        let of_chip = "[door.lock]\nkind = \"gpiochip\"\nchip = \"pinctrl-bcm2711\"\nline = \"GPIO17\"\n";
        let pin = |pin: u8| format!("[door.inputs]\nrex = {{ kind = \"rppal\", pin = {pin} }}\n");
        let with = |more: &str| {
            parse(&AIRLOCK.replacen("[[door]]\nname = \"b\"", &format!("{more}[[door]]\nname = \"b\""), 1))
        };
        assert!(with(&(of_chip.to_owned() + &pin(18))).is_ok());
        let said = with(&(of_chip.to_owned() + &pin(17))).expect_err("one pin").to_string();
        assert!(said.contains("same line, BCM 17, which is also pinctrl-bcm2711 `GPIO17`"), "{said}");
    }

    #[test]
    fn a_camera_that_two_doors_or_two_sides_would_open_is_refused() {
        let twice = AIRLOCK.replace("/dev/video1", "/dev/video0");
        let said = parse(&twice).expect_err("one camera").to_string();
        assert!(said.contains("door 'b': its camera, /dev/video0, is also that of door 'a'"), "{said}");
        let side = "[door.other_side.camera]\nsource = \"v4l\"\ndevice = \"/dev/video1\"\n";
        assert!(parse(&(AIRLOCK.to_owned() + side)).expect_err("its own").to_string().contains("that of door 'b'"));
    }

    #[test]
    fn a_door_that_could_never_open_is_refused() {
        let with = |rate: u32, votes: u32| {
            let camera = format!("device = \"/dev/video1\", rate_fps = {rate}");
            let doors = AIRLOCK.replace("device = \"/dev/video1\"", &camera);
            parse(&format!("{doors}[door.access]\nvotes = {votes}\nwindow = 30\n"))
        };
        assert!(with(15, 30).is_ok(), "{:?}", with(15, 30));
        let error = with(10, 30).expect_err("29 frames take 2.9 s, and a vote lasts 2 s");
        let said = error.to_string();
        assert!(said.contains("door 'b': access.votes is 30") && said.contains("could never open"), "{said}");
        assert!(error.advice().is_some_and(|help| help.contains("rate_fps")));
    }

    #[test]
    fn a_camera_too_slow_to_follow_a_face_is_refused_where_one_frame_is_not_enough() {
        let with = |rate: f32, access: &str| {
            let camera = format!("source = \"replay\", stills = [\"one.jpg\"], rate_fps = {rate:?}");
            let doors = AIRLOCK.replace("source = \"v4l\", device = \"/dev/video1\"", &camera);
            assert_ne!(doors, AIRLOCK);
            parse(&format!("{doors}[door.access]\nvote_age_ms = 60000\n{access}"))
        };
        for access in ["votes = 2\n", "votes = 1\nliveness = \"required\"\n"] {
            assert!(with(0.72, access).is_ok(), "{:?}", with(0.72, access));
            let error = with(0.7, access).expect_err("too slow");
            assert!(error.to_string().contains("door 'b': camera.rate_fps is 0.7"), "{error}");
            assert!(error.advice().is_some_and(|help| help.contains("0.72")), "{:?}", error.advice());
        }
        assert!(with(0.1, "votes = 1\n").is_ok(), "one frame lets in");
    }

    #[test]
    fn an_interlock_names_doors_that_there_are() {
        let with = |doors: &str| parse(&format!("{AIRLOCK}[[interlock]]\nname = \"lobby\"\ndoors = {doors}\n"));
        let interlock = with("[\"a\", \"b\"]").unwrap().interlock().unwrap();
        assert!(interlock.concerns(0) && interlock.concerns(1));
        for (doors, words) in [("[\"a\", \"c\"]", "'lobby' names the door 'c'"), ("[\"a\"]", "fewer than two")] {
            let error = with(doors).expect_err(words);
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.advice().is_some());
        }
    }
}
