//! Locks for Home Assistant, by way of a device of the site that signs for it.
//!
//! Home Assistant cannot sign, and doors obey nobody who does not. A bridge is a device with the role `operator`: it listens on
//! topics of its own, which the broker's access list leaves to Home Assistant, and orders what it hears by signed commands like any
//! other operator. Doors know nothing of it; the site can revoke it; what it may do ends where an operator's rights end.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{door_found, hashed, literal, versioned};
use crate::{
    Name,
    keys::Session,
    topic::Topic,
    wire::{Order, Status},
};

/// Most devices whose doors are locks.
const DEVICES: usize = 1024;

/// What a bridge knows.
#[derive(Debug)]
pub struct Bridge {
    site: Name,
    device: Name,
    version: &'static str,
    known: BTreeMap<Name, Known>,
}

#[derive(Debug)]
struct Known {
    online: bool,
    session: Session,
    doors: Vec<String>,
}

/// Why something that Home Assistant sent is not ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It was kept by the broker: nobody is there who has just asked for it.
    Kept,
    /// There is no such door.
    Unknown,
    /// The device is not connected: nothing waits for it.
    Offline,
    /// It is neither `LOCK` nor `UNLOCK`.
    Word,
}

impl Bridge {
    /// The bridge that this device of the site is.
    pub const fn new(site: Name, device: Name, version: &'static str) -> Self {
        Self { site, device, version, known: BTreeMap::new() }
    }

    /// Where Home Assistant may write: below this alone the bridge listens.
    pub fn filter(&self) -> String {
        format!("{}/+/+/set", self.base())
    }

    fn base(&self) -> String {
        format!("facegate-bridge/{}/{}", self.site, self.device)
    }

    /// Takes in how a device is; whether the discovery message is another one than before.
    pub fn status(&mut self, status: &Status) -> bool {
        if status.by == self.device || (self.known.len() >= DEVICES && !self.known.contains_key(&status.by)) {
            return false;
        }
        let doors: Vec<_> = status.doors.iter().map(|door| door.name.clone()).collect();
        let known = self.known.get(&status.by);
        // Its last will names no doors: they are still there.
        let doors = match known {
            Some(known) if !status.online => known.doors.clone(),
            _ => doors,
        };
        let other = known.is_none_or(|known| known.doors != doors);
        self.known.insert(status.by.clone(), Known { online: status.online, session: status.session, doors });
        other
    }

    /// What came on a topic of Home Assistant's, as an order to a device, for the connection that it has now.
    ///
    /// # Errors
    /// [`Unfit`]
    pub fn order(&self, topic: &str, payload: &[u8], kept: bool) -> Result<(Name, Order, Session), Unfit> {
        if kept {
            return Err(Unfit::Kept);
        }
        let rest = topic.strip_prefix(&self.base()).and_then(|rest| rest.strip_prefix('/')).ok_or(Unfit::Unknown)?;
        let mut parts = rest.split('/');
        let (Some(device), Some(door), Some("set"), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Unfit::Unknown);
        };
        let device: Name = device.parse().map_err(|_| Unfit::Unknown)?;
        let known = self.known.get(&device).ok_or(Unfit::Unknown)?;
        let door = known.doors.iter().find(|name| hashed(name) == door).ok_or(Unfit::Unknown)?.clone();
        let order = match payload {
            b"UNLOCK" => Order::Unlock { door: Some(door), exit: false },
            // Back to what schedules and people say: a lockdown is more than somebody means who locks a door.
            b"LOCK" => Order::Release { door: Some(door) },
            _ => return Err(Unfit::Word),
        };
        if !known.online {
            return Err(Unfit::Offline);
        }
        Ok((device, order, known.session))
    }

    /// Where the discovery message lies, retained.
    pub fn topic(&self, prefix: &str) -> String {
        super::topic_of(prefix, &self.site, &self.device)
    }

    /// The discovery message: a lock for each door that is known.
    pub fn discovery(&self) -> Value {
        let id = format!("facegate_{}_{}", self.site, self.device);
        let online = |device: &Name| {
            let template = "{{ 'online' if value_json.online else 'offline' }}";
            json!({ "topic": Topic::Status(device.clone()).of(&self.site), "value_template": template })
        };
        let mut locks = Map::new();
        for (device, known) in &self.known {
            for door in &known.doors {
                let key = format!("{device}_{}", hashed(door)).replace('-', "_m_");
                let found = door_found(&literal(door));
                let lock = json!({
                    "platform": "lock",
                    "unique_id": format!("{id}_{key}"),
                    "name": format!("{device} {door}"),
                    "state_topic": Topic::Status(device.clone()).of(&self.site),
                    "value_template": format!(
                        "{found}{{{{ 'None' if door.locked is not defined else 'LOCKED' if door.locked else 'UNLOCKED' }}}}"
                    ),
                    "command_topic": format!("{}/{device}/{}/set", self.base(), hashed(door)),
                    "qos": 1,
                    // Nothing that was asked for is asked for again by the broker.
                    "retain": false,
                    "optimistic": false,
                    "availability_mode": "all",
                    "availability": [online(device), online(&self.device)],
                });
                locks.insert(key, lock);
            }
        }
        versioned(&id, &format!("{} locks by {}", self.site, self.device), self.version, locks)
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kept => "it was kept by the broker, which may be long ago",
            Self::Unknown => "there is no such door",
            Self::Offline => "the device is not connected, and nothing waits for it",
            Self::Word => "it is neither LOCK nor UNLOCK",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{DoorStatus, V1};

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn status(by: &str, online: bool, session: u8, doors: &[&str]) -> Status {
        let doors = doors.iter().map(|door| DoorStatus {
            name: (*door).into(),
            mode: "locked".into(),
            locked: true,
            open: None,
            camera: true,
            alarms: Vec::new(),
        });
        Status {
            v: V1,
            by: name(by),
            online,
            at: 0,
            session: Session([session; 16]),
            version: "1".into(),
            model: None,
            doors: doors.collect(),
            needs_enrolling_again: 0,
            filling: None,
        }
    }

    fn command_topic(bridge: &Bridge) -> String {
        let message = bridge.discovery();
        let lock = message["components"].as_object().expect("an object").values().next().expect("a lock").clone();
        lock["command_topic"].as_str().expect("a topic").to_owned()
    }

    #[test]
    fn what_home_assistant_asks_for_is_ordered_for_the_connection_that_there_is() {
        let mut bridge = Bridge::new(name("hq"), name("home"), "1");
        assert!(bridge.status(&status("front", true, 1, &["main \"door\""])));
        assert!(!bridge.status(&status("front", true, 2, &["main \"door\""])), "the same doors");
        assert!(!bridge.status(&status("home", true, 3, &["none of its own"])));
        let topic = command_topic(&bridge);
        let (device, order, session) = bridge.order(&topic, b"UNLOCK", false).expect("an order");
        assert_eq!((device, session), (name("front"), Session([2; 16])));
        assert_eq!(order, Order::Unlock { door: Some("main \"door\"".into()), exit: false });
        assert!(matches!(bridge.order(&topic, b"LOCK", false), Ok((_, Order::Release { .. }, _))));
        assert_eq!(bridge.order(&topic, b"UNLOCK", true), Err(Unfit::Kept));
        assert_eq!(bridge.order(&topic, b"unlock", false), Err(Unfit::Word));
        for other in [topic.replace("front", "back"), topic.replace("hq", "hp"), format!("{topic}/x"), String::new()] {
            assert_eq!(bridge.order(&other, b"UNLOCK", false), Err(Unfit::Unknown), "{other}");
        }
        // Its last will takes no lock away, and no order.
        assert!(!bridge.status(&status("front", false, 2, &[])));
        assert_eq!(bridge.order(&topic, b"UNLOCK", false), Err(Unfit::Offline));
    }

    /// As Home Assistant's own schema of a lock has them (release 2025.4.4).
    #[test]
    fn a_lock_has_what_its_platform_takes_and_nothing_else() {
        const KEYS: [&str; 11] = [
            "platform",
            "unique_id",
            "name",
            "state_topic",
            "value_template",
            "command_topic",
            "qos",
            "retain",
            "optimistic",
            "availability_mode",
            "availability",
        ];
        let mut bridge = Bridge::new(name("hq"), name("home"), "1");
        bridge.status(&status("front", true, 1, &["a", "b"]));
        bridge.status(&status("back", true, 1, &["a"]));
        let message = bridge.discovery();
        let locks = message["components"].as_object().expect("an object");
        assert_eq!(locks.len(), 3);
        for lock in locks.values() {
            assert_eq!(lock.as_object().expect("an object").keys().collect::<Vec<_>>(), KEYS);
            assert_eq!(lock["retain"], false);
        }
    }
}
