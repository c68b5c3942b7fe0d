//! A configuration that was ordered from afar: what of it counts, and what stays as it is in the device's own file.
//!
//! What is [fixed](FIXED) at the device may be left out of what is ordered, and must be the same where it is not. Fixed is
//!
//! - who the device is, and by which keys: the device would be another one, or could be had to read any file as a key;
//! - where data lie, and any other file that is read or written;
//! - who can reach the API: that is the business of whoever knows the network;
//! - the guard, and which doors there are with their wiring: that a lock is on a wrong line shows nowhere but at the door, so that
//!   nothing would go back by itself.
//!
//! The broker can be ordered: where it is a wrong one, that shows, and the old one is back.

use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Config, sources};
use crate::error::{Error, Kind, Result};

/// What an order cannot change.
const FIXED: [&[&str]; 17] = [
    &["fleet", "site"],
    &["fleet", "device"],
    &["fleet", "dir"],
    &["fleet", "ca"],
    &["fleet", "certificate"],
    &["fleet", "key"],
    &["fleet", "user"],
    &["fleet", "password_file"],
    &["fleet", "clock"],
    &["models", "dir"],
    &["gallery", "dir"],
    &["journal", "dir"],
    &["api", "listen"],
    &["api", "socket"],
    &["api", "tls"],
    &["api", "cors_origins"],
    &["guard"],
];

/// The same of each door.
const FIXED_OF_DOORS: [&[&str]; 15] = [
    &["fail"],
    &["lock"],
    &["inputs"],
    &["outputs"],
    &["wiegand"],
    &["camera", "source"],
    &["camera", "stills"],
    &["camera", "url"],
    &["camera", "user"],
    &["camera", "password_file"],
    &["other_side", "camera", "source"],
    &["other_side", "camera", "stills"],
    &["other_side", "camera", "url"],
    &["other_side", "camera", "user"],
    &["other_side", "camera", "password_file"],
];

/// Whether a camera is one, or a replay: its other keys depend on it.
const SOURCES: [&[&str]; 2] = [&["camera", "source"], &["other_side", "camera", "source"]];

/// What may be left out although it is not fixed: without it the device could not come back.
const KEPT: [&[&str]; 2] = [&["fleet", "broker"], &["fleet", "protocol"]];

/// The configuration that is in force where `ordered` is ordered over the device's own file `own`.
///
/// # Errors
/// [`Kind::Config`]: it is no TOML, a key is unknown, a value is out of its range, or something fixed is to be changed.
pub fn compose(own: &str, ordered: &str, environment: &[(String, String)]) -> Result<Config> {
    let origin = "what is ordered";
    let base = Config::parse(own, "the device's own file", environment.iter().cloned())?;
    let table = |text: &str| sources::table(text, origin);
    let (own, mut new) = (table(own)?, table(ordered)?);
    FIXED.iter().chain(&KEPT).for_each(|path| fill(&own, &mut new, path));
    let named = |table: &Table, name: &str| {
        doors(table)
            .and_then(|doors| doors.iter().position(|door| door.get("name").and_then(Value::as_str) == Some(name)))
    };
    // Before it is read: what is filled in below is of these doors and cameras, and would be wrong of others.
    if names(&own) != names(&new) {
        return Err(refused("which doors there are"));
    }
    for door in &base.doors {
        let (Some(from), Some(to)) = (named(&own, &door.name), named(&new, &door.name)) else { continue };
        let Some(from) = doors(&own).and_then(|doors| doors[from].as_table()) else { continue };
        let to = new.get_mut("door").and_then(Value::as_array_mut).and_then(|doors| doors[to].as_table_mut());
        let Some(to) = to else { continue };
        if let Some(path) = SOURCES.iter().find(|path| other(from, to, path)) {
            return Err(refused(&format!("door '{}': {}", door.name.escape_debug(), path.join("."))));
        }
        FIXED_OF_DOORS.iter().for_each(|path| fill(from, to, path));
    }
    let new: Config = sources::read_table(new, origin, environment.iter().cloned())?;
    new.validate().map_err(|error| error.within(origin))?;
    unchanged(&base, &new)?;
    Ok(new)
}

fn refused(what: &str) -> Error {
    Error::new(Kind::Config, format!("{what} cannot be changed from afar"))
        .help("leave it out, or change it in the device's own file (docs/fleet.md)")
}

fn names(table: &Table) -> Vec<&str> {
    let doors = doors(table).into_iter().flatten();
    let mut names: Vec<_> = doors.filter_map(|door| door.get("name").and_then(Value::as_str)).collect();
    names.sort_unstable();
    names
}

/// Whether a value is given in both, and not the same.
fn other(own: &Table, new: &Table, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match (own.get(*first), new.get(*first)) {
        (Some(Value::Table(own)), Some(Value::Table(new))) if !rest.is_empty() => other(own, new, rest),
        (Some(own), Some(new)) => rest.is_empty() && own != new,
        _ => false,
    }
}

fn doors(table: &Table) -> Option<&Vec<Value>> {
    table.get("door").and_then(Value::as_array)
}

/// Takes over a value that is not given.
fn fill(own: &Table, new: &mut Table, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(value) = own.get(*first) else { return };
    match (rest.is_empty(), value) {
        (true, value) => drop(new.entry(*first).or_insert_with(|| value.clone())),
        (false, Value::Table(own)) => {
            // A section that there would not be without it is no section: its value has a default.
            let has = own.get(rest[0]).is_some();
            let below = match has {
                true => Some(new.entry(*first).or_insert_with(|| Table::new().into())),
                false => new.get_mut(*first),
            };
            if let Some(Value::Table(below)) = below {
                fill(own, below, rest);
            }
        }
        (false, _) => {}
    }
}

/// Refuses to change what is fixed. Compares what is in force: a default that is written out is the same.
fn unchanged(base: &Config, new: &Config) -> Result<()> {
    let json = |config: &Config| serde_json::to_value(config).unwrap_or_default();
    let (old, now) = (json(base), json(new));
    let at = |value: &Json, path: &[&str]| {
        path.iter().try_fold(value, |value, key| value.get(key)).cloned().filter(|value| !value.is_null())
    };
    for path in FIXED {
        if at(&old, path) != at(&now, path) {
            return Err(refused(&path.join(".")));
        }
    }
    let names = |config: &Config| {
        let mut names: Vec<_> = config.doors.iter().map(|door| door.name.clone()).collect();
        names.sort();
        names
    };
    if names(base) != names(new) {
        return Err(refused("which doors there are"));
    }
    for old in &base.doors {
        let Some(now) = new.doors.iter().find(|door| door.name == old.name) else { continue };
        let json = |door| serde_json::to_value(door).unwrap_or_default();
        let (name, old, now) = (&old.name, json(old), json(now));
        if let Some(path) = FIXED_OF_DOORS.iter().find(|path| at(&old, path) != at(&now, path)) {
            return Err(refused(&format!("door '{}': {}", name.escape_debug(), path.join("."))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "rtsp")]
    use crate::camera;

    const OWN: &str = "[gallery]\ndir = \"g\"\n[fleet]\nsite = \"hq\"\ndevice = \"front\"\nbroker = \"b:8883\"\nclock = \"always\"\n\
        [api]\nsocket = \"s\"\n[[door]]\nname = \"front\"\ntenant = \"main\"\n\
        camera = { source = \"replay\", stills = [\"a.jpg\"] }\nlock = { kind = \"simulated\", edges = \"e\" }\n";

    fn over(ordered: &str) -> Result<Config> {
        compose(OWN, ordered, &[])
    }

    const DOOR: &str = "[[door]]\nname = \"front\"\ntenant = \"main\"\n";

    #[test]
    fn what_is_fixed_may_be_left_out_and_all_else_is_as_ordered() {
        let new = over(&format!("[gallery]\nkeep_active = 7\n{DOOR}pulse_ms = 700\ncamera = {{ rate_fps = 5.0 }}\n"))
            .unwrap();
        let own = Config::parse(OWN, "t", std::iter::empty()).unwrap();
        assert_eq!((&new.fleet, &new.gallery.dir, &new.api.socket), (&own.fleet, &own.gallery.dir, &own.api.socket));
        assert_eq!((new.gallery.keep_active, new.doors[0].pulse_ms), (7, 700));
        assert_eq!(new.doors[0].lock, own.doors[0].lock);
        let new = over(&format!("[fleet]\nbroker = \"other:1\"\n{DOOR}camera = {{}}\n")).unwrap();
        assert_eq!(new.fleet.map(|fleet| fleet.broker).as_deref(), Some("other:1"));
        // Defaults written out, and the device's own file as it is, change nothing.
        assert!(over(&format!("guard = {{ enabled = true }}\n{DOOR}camera = {{}}\nfail = \"secure\"\n")).is_ok());
        assert!(over(OWN).is_ok());
    }

    #[test]
    fn what_is_fixed_cannot_be_changed() {
        let door = format!("{DOOR}camera = {{}}\n");
        for (ordered, words) in [
            (format!("[fleet]\nsite = \"other\"\n{door}"), "fleet.site cannot be changed"),
            (
                format!("[fleet]\nkey = \"/etc/shadow\"\ncertificate = \"c\"\n{door}"),
                "fleet.certificate cannot be changed",
            ),
            (format!("[fleet]\nclock = \"never\"\n{door}"), "fleet.clock cannot be changed"),
            (format!("[gallery]\ndir = \"/tmp\"\n{door}"), "gallery.dir cannot be changed"),
            (format!("[api]\nlisten = \"0.0.0.0:80\"\n{door}"), "api.listen cannot be changed"),
            (format!("[api]\ncors_origins = [\"https://x.example\"]\n{door}"), "api.cors_origins cannot be changed"),
            (format!("[guard]\nenabled = false\n{door}"), "guard cannot be changed"),
            (String::new(), "which doors there are"),
            (door.replace("front", "back"), "which doors there are"),
            (format!("{door}fail = \"safe\"\n"), "door 'front': fail"),
            (format!("{door}lock = {{ kind = \"simulated\", edges = \"f\" }}\n"), "door 'front': lock"),
            (format!("{DOOR}camera = {{ stills = [\"b.jpg\"] }}\n"), "door 'front': camera.stills"),
            (
                format!("{DOOR}camera = {{ source = \"v4l\", device = \"/dev/video0\" }}\n"),
                "door 'front': camera.source",
            ),
        ] {
            let error = over(&ordered).err().unwrap_or_else(|| panic!("{ordered} is taken"));
            assert!(error.to_string().contains(words), "{error} for {ordered}");
        }
    }

    #[cfg(feature = "rtsp")]
    #[test]
    fn a_network_cameras_address_and_password_are_the_devices_own() {
        let camera = "source = \"rtsp\", url = \"rtsp://camera/2\", user = \"door\", password_file = \"p\"";
        let own = OWN.replace("source = \"replay\", stills = [\"a.jpg\"]", camera);
        let new =
            compose(&own, &format!("{DOOR}camera = {{ rate_fps = 5.0 }}\n"), &[]).expect("the rate may be ordered");
        let camera::Settings::Rtsp(kept) = &new.doors[0].camera else { panic!("another camera") };
        assert_eq!((kept.url.as_str(), kept.rate_fps), ("rtsp://camera/2", 5.0));
        for (key, value) in [("url", "rtsp://other/2"), ("user", "root"), ("password_file", "/etc/shadow")] {
            let error = compose(&own, &format!("{DOOR}camera = {{ {key} = \"{value}\" }}\n"), &[]).err();
            let words = error.map(|error| error.to_string()).unwrap_or_else(|| panic!("{key} is taken"));
            assert!(words.contains(&format!("camera.{key} cannot be changed")), "{words}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_key() {
        for (ordered, words) in [
            ("[gallery", "what is ordered:1"),
            ("[gallery]\nkeep_actve = 3", "keep_actve"),
            ("[gallery]\nkeep_active = 0", "keep_active"),
        ] {
            let error = over(&format!("{ordered}\n{DOOR}camera = {{}}\n")).expect_err(ordered);
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
