//! What Home Assistant is told of a device, so that it makes entities of its doors by itself: one discovery message for each
//! device (Home Assistant 2024.11 and later; [its documentation](https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery)).
//!
//! The entities read `status` and `events`, which are plain JSON, by templates. They only read: Home Assistant cannot sign, so
//! no door could know an order of its from anybody else's. A lock's state is therefore a binary sensor, not a `lock`, which
//! would need a topic for commands. Where somebody wants locks, a [`Bridge`] makes them, which signs what Home Assistant asks for.

mod bridge;

pub use self::bridge::{Bridge, Unfit};

use serde_json::{Map, Value, json};

use crate::{Name, topic::Topic};

/// The modes of a door, as `status` has them.
const MODES: [&str; 8] = ["locked", "unlocked", "free_access", "held", "held_open", "forced", "lockdown", "emergency"];

/// The events that become events there: who was let in, and who was not.
const EVENTS: [&str; 2] = ["granted", "denied"];

/// The alarms of a door: code, name, device class.
const ALARMS: [(&str, &str, &str); 5] = [
    ("forced_open", "forced open", "safety"),
    ("held_open", "held open", "problem"),
    ("held_open_warning", "held open, warning", "problem"),
    ("tailgating", "tailgating", "safety"),
    ("tamper", "tamper", "tamper"),
];

/// A device of the fleet.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    pub site: &'a Name,
    pub device: &'a Name,
    /// Which facegate it runs.
    pub version: &'a str,
    /// Which recogniser it has loaded.
    pub model: &'a str,
    pub doors: &'a [Door<'a>],
}

/// One of its doors.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    pub name: &'a str,
    /// Whether a contact tells if it stands open.
    pub contact: bool,
}

impl Device<'_> {
    /// Where the discovery message lies, retained, below Home Assistant's own prefix: `homeassistant` unless it was told otherwise.
    pub fn topic(&self, prefix: &str) -> String {
        topic_of(prefix, self.site, self.device)
    }

    /// The discovery message.
    pub fn discovery(&self) -> Value {
        let id = format!("facegate_{}_{}", self.site, self.device);
        let status = Topic::Status(self.device.clone()).of(self.site);
        let events = Topic::Event(self.device.clone()).of(self.site);
        let mut entities = Map::new();
        // Told also while it is offline, unlike the others.
        let connected = json!({
            "platform": "binary_sensor",
            "unique_id": format!("{id}_connected"),
            "name": "connected",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": status,
            "value_template": "{{ 'ON' if value_json.online else 'OFF' }}",
        });
        entities.insert("connected".into(), connected);
        let enrol_again = json!({
            "platform": "sensor",
            "unique_id": format!("{id}_enrol_again"),
            "name": "to be enrolled again",
            "entity_category": "diagnostic",
            "state_topic": status,
            "value_template": "{{ value_json.needs_enrolling_again | default(0) }}",
        });
        entities.insert("enrol_again".into(), enrol_again);
        for door in self.doors {
            let of = format!("door_{}", hashed(door.name));
            let mut add = |what: &str, mut entity: Value| {
                let key = format!("{of}_{what}");
                entity["unique_id"] = format!("{id}_{key}").into();
                entity["name"] = format!("{} {}", door.name, entity["name"].as_str().unwrap_or_default()).trim().into();
                entities.insert(key, entity);
            };
            let found = door_found(&literal(door.name));
            let flag = |name: &str, class: &str, expression: &str| {
                json!({
                    "platform": "binary_sensor",
                    "name": name,
                    "device_class": class,
                    "state_topic": status,
                    "value_template": format!("{found}{{{{ {expression} }}}}"),
                })
            };
            let known = |member: &str, on: &str, off: &str| {
                format!("'None' if door.{member} is not defined else '{on}' if door.{member} else '{off}'")
            };
            // On means unlocked, as that device class has it.
            add("lock", flag("lock", "lock", &known("locked", "OFF", "ON")));
            if door.contact {
                add("open", flag("", "door", &known("open", "ON", "OFF")));
            }
            let mut camera = flag("camera", "connectivity", &known("camera", "ON", "OFF"));
            camera["entity_category"] = "diagnostic".into();
            add("camera", camera);
            for (code, name, class) in ALARMS {
                add(code, flag(name, class, &format!("'ON' if '{code}' in (door.alarms | default([])) else 'OFF'")));
            }
            let mode = json!({
                "platform": "sensor",
                "name": "mode",
                "device_class": "enum",
                "options": MODES,
                "state_topic": status,
                "value_template": format!("{found}{{{{ door.mode | default('None') }}}}"),
            });
            add("mode", mode);
            let wanted = format!(
                "value_json.door | default('') == {} and value_json.kind in {}",
                literal(door.name),
                json!(EVENTS)
            );
            let event = json!({
                "platform": "event",
                "name": "access",
                "event_types": EVENTS,
                "state_topic": events,
                "value_template": format!(
                    "{{% if {wanted} %}}{{{{ dict(value_json.details | default({{}}), event_type=value_json.kind) | to_json }}}}{{% endif %}}"
                ),
            });
            add("access", event);
        }
        for (key, entity) in &mut entities {
            if key != "connected" {
                entity["availability_topic"] = status.clone().into();
                entity["availability_template"] = "{{ 'online' if value_json.online else 'offline' }}".into();
            }
        }
        let mut message = versioned(&id, &format!("{} {}", self.site, self.device), self.version, entities);
        message["device"]["model"] = format!("door controller, recogniser {}", self.model).into();
        message
    }
}

/// A level of its own for the device, so that a broker's access list can say who may write it.
fn topic_of(prefix: &str, site: &Name, device: &Name) -> String {
    format!("{prefix}/device/facegate_{site}/{device}/config")
}

/// A device with its entities.
fn versioned(id: &str, name: &str, version: &str, entities: Map<String, Value>) -> Value {
    json!({
        "device": { "identifiers": [id], "name": name, "manufacturer": "facegate", "sw_version": version },
        "origin": { "name": "facegate", "sw_version": version },
        "components": entities,
        "qos": 1,
    })
}

/// What stands for a door's name where not every character may.
fn hashed(door: &str) -> String {
    blake3::hash(door.as_bytes()).to_hex()[..16].to_owned()
}

/// The beginning of a template: from there on, `door` is the door of this name (a literal) in a status.
fn door_found(name: &str) -> String {
    format!(
        "{{% set door = value_json.doors | default([]) | selectattr('name', 'eq', {name}) | first | default({{}}) %}}"
    )
}

/// A string as a literal of Jinja, which reads the escapes of JSON.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What Home Assistant's own schemas take (`components/mqtt` of its release 2025.4.4): of every entity, and of each platform
    /// what is required and what is optional beside.
    const COMMON: [&str; 6] =
        ["platform", "unique_id", "name", "entity_category", "availability_topic", "availability_template"];
    const PLATFORMS: [(&str, &[&str], &[&str]); 3] = [
        ("binary_sensor", &["state_topic"], &["device_class", "value_template"]),
        ("sensor", &["state_topic"], &["device_class", "value_template", "options"]),
        ("event", &["state_topic", "event_types"], &["device_class", "value_template"]),
    ];
    const BINARY_CLASSES: [&str; 6] = ["connectivity", "lock", "door", "safety", "problem", "tamper"];

    fn discovery(doors: &[Door<'_>]) -> (String, Value) {
        let (site, device) = ("hq".parse().expect("a name"), "front".parse().expect("a name"));
        let device = Device { site: &site, device: &device, version: "1.2.3", model: "m", doors };
        (device.topic("homeassistant"), device.discovery())
    }

    #[test]
    fn every_entity_has_what_its_platform_takes_and_nothing_else() {
        let doors = [Door { name: "front", contact: true }, Door { name: "it's \"the\" back\\", contact: false }];
        let (topic, message) = discovery(&doors);
        assert_eq!(topic, "homeassistant/device/facegate_hq/front/config");
        assert_eq!(
            message.as_object().expect("an object").keys().collect::<Vec<_>>(),
            ["device", "origin", "components", "qos"]
        );
        let entities = message["components"].as_object().expect("an object");
        assert_eq!(entities.len(), 2 + 10 + 9);
        let mut ids = BTreeSet::new();
        for (key, entity) in entities {
            assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{key}");
            let platform = entity["platform"].as_str().expect("a platform");
            let (_, required, optional) =
                PLATFORMS.into_iter().find(|(name, ..)| *name == platform).expect("a platform that there is");
            let entity = entity.as_object().expect("an object");
            for name in required.iter().chain(&["unique_id", "name"]) {
                assert!(entity.contains_key(*name), "{key}: {name}");
            }
            for name in entity.keys() {
                let name = &name.as_str();
                assert!(COMMON.contains(name) || required.contains(name) || optional.contains(name), "{key}: {name}");
            }
            if platform == "binary_sensor" {
                assert!(BINARY_CLASSES.contains(&entity["device_class"].as_str().expect("a class")), "{key}");
            }
            assert!(ids.insert(entity["unique_id"].as_str().expect("text").to_owned()), "{key} is there twice");
            // Read only.
            assert!(!entity.contains_key("command_topic"));
        }
        assert!(message.to_string().len() < 64 << 10);
    }

    #[test]
    fn a_door_without_a_contact_has_no_entity_for_it() {
        let open = |contact| {
            let (_, message) = discovery(&[Door { name: "front", contact }]);
            let entities = message["components"].as_object().expect("an object").clone();
            entities.values().any(|entity| entity["device_class"] == "door")
        };
        assert!(open(true) && !open(false));
    }
}
