use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::V1;
use crate::{Name, keys::Nonce};

/// Something happened, at `events/{device}`. Delivered at least once, in order per device: `queue` and `seq` tell one that
/// is delivered again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The version of this form.
    pub v: V1,
    /// The device.
    pub by: Name,
    /// The life of the device's queue: random, new where the queue was lost.
    pub queue: Nonce,
    /// Counts the queue's events from 1. A number that never comes was dropped.
    pub seq: u64,
    /// The wall clock when it happened, milliseconds since 1970.
    pub at: u64,
    /// How much it matters.
    pub class: Class,
    /// What happened, by its code in snake case: `granted`, `forced`.
    pub kind: String,
    /// At which of the device's doors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<String>,
    /// How many events the queue has dropped in its life, up to this one.
    #[serde(default)]
    pub dropped: u64,
    /// More about it, by kind.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

/// How much an event matters: what is routine is dropped before an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// What happens every day.
    Routine,
    /// What somebody should look at.
    Alarm,
}

/// Figures of a device, at `telemetry/{device}`, every few minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Telemetry {
    /// The version of this form.
    pub v: V1,
    /// The device.
    pub by: Name,
    /// The wall clock, milliseconds since 1970.
    pub at: u64,
    /// Figures by name, in the units that their names end with: `uptime_seconds`, `events_dropped_total`.
    pub figures: BTreeMap<String, f64>,
}
