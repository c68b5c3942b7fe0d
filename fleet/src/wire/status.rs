use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::V1;
use crate::{Name, keys::Session};

/// How a device is, at `status/{device}`: published at its connection, at changes, and by the broker as its last will.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The version of this form.
    pub v: V1,
    /// The device.
    pub by: Name,
    /// Whether it is connected. The last will says no.
    pub online: bool,
    /// Its wall clock when this was signed, milliseconds since 1970. The last will was signed at the connection.
    pub at: u64,
    /// This connection: a command names it, or is refused.
    pub session: Session,
    /// Which facegate it runs.
    pub version: String,
    /// Which recogniser it has loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its doors, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doors: Vec<DoorStatus>,
    /// How many subjects have embeddings, and none of the loaded recogniser's: they need enrolling again.
    #[serde(default)]
    pub needs_enrolling_again: u64,
    /// How far it has filled itself, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filling: Option<Progress>,
}

/// How one door of a device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoorStatus {
    /// Its name in the device's configuration, 1 to 64 bytes.
    pub name: String,
    /// Its mode: `normal`, `held`, `free_access`, `lockdown`, `emergency`.
    pub mode: String,
    /// Whether its lock is locked.
    pub locked: bool,
    /// Whether it stands open, where there is a contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// Whether its cameras deliver frames.
    pub camera: bool,
    /// Alarms that sound, by their codes, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
}

/// How far a door has filled itself from what the broker keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Documents that were taken in.
    pub documents: u64,
    /// How many there are, as far as is known from other doors' digests.
    pub of: u64,
}
