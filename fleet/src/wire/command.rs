use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::V1;
use crate::{
    Name,
    keys::{Nonce, Session},
    voucher::Role,
};

/// Something that a device is to do, at `commands/{device}`. [`Inbox`](crate::command::Inbox) decides whether it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The version of this form.
    pub v: V1,
    /// Who orders.
    pub by: Name,
    /// As whom: the role that its voucher gives it.
    pub role: Role,
    /// To whom.
    pub to: Name,
    /// The sender's name for it, 1 to 64 bytes: answers carry it.
    pub id: String,
    /// Told apart from its repetition by this.
    pub nonce: Nonce,
    /// The connection that it is for, as the device's status told it: a command that was queued for another one is refused.
    pub session: Session,
    /// The sender's wall clock, milliseconds since 1970.
    pub issued: u64,
    /// From when on it is not to be obeyed any more, milliseconds since 1970.
    pub expires: u64,
    /// What to do.
    pub order: Order,
}

impl Command {
    /// Longest [`id`](Self::id), in bytes.
    pub const MAX_ID: usize = 64;
}

/// What a device may be ordered. `door` names one of its doors; without it, all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Unlock for one pulse.
    Unlock {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        door: Option<String>,
        /// On a turnstile, the other way.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        exit: bool,
    },
    /// Lock, and stay locked for everybody.
    Lockdown {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        door: Option<String>,
    },
    /// Back to what schedules and people say.
    Release {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        door: Option<String>,
    },
    /// Stand open for everybody.
    FreeAccess {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        door: Option<String>,
    },
    /// End free access that was ordered.
    EndFreeAccess {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        door: Option<String>,
    },
    /// Enrol whoever stands before the camera.
    Enrol {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        door: Option<String>,
        tenant: String,
        subject: String,
        /// How long to wait for a face that is good enough, 1 to 120 s.
        seconds: u16,
        /// The groups of the tenant's rules that the subject is in from then on, besides those that it is in, at most 64.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<String>,
    },
    /// Put the access rules of a document in the place of all that a tenant has. A document that is too long for one command
    /// comes in parts, which are nothing until the last has come.
    SetRules {
        tenant: String,
        /// The document, JSON, or this part of it, at most 16 KiB.
        rules: String,
        /// Which part this is, from 1: they come in order.
        part: u16,
        /// How many there are, at most 256.
        parts: u16,
    },
    /// Read the configuration again.
    Reload {},
    /// Blink, so that somebody finds the device.
    Identify {
        /// 1 to 3600 s.
        seconds: u16,
    },
    /// Restart the daemon.
    Restart {},
    /// Run another configuration. The old one comes back by itself where the device does not reach the broker, or its doors do
    /// not work, with the new one in time ([`trial`](crate::trial)). What is fixed at the device may be left out.
    SetConfig {
        /// What the sender calls it, 1 to 64 bytes.
        revision: String,
        /// The configuration, TOML, at most 16 KiB.
        config: String,
        /// How long the device may take to come back, 10 to 3600 s.
        seconds: u16,
    },
}

impl Order {
    /// Its name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unlock { .. } => "unlock",
            Self::Lockdown { .. } => "lockdown",
            Self::Release { .. } => "release",
            Self::FreeAccess { .. } => "free_access",
            Self::EndFreeAccess { .. } => "end_free_access",
            Self::Enrol { .. } => "enrol",
            Self::SetRules { .. } => "set_rules",
            Self::Reload {} => "reload",
            Self::Identify { .. } => "identify",
            Self::Restart {} => "restart",
            Self::SetConfig { .. } => "set_config",
        }
    }
}

/// What became of a command, at `answers/{device}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// The version of this form.
    pub v: V1,
    /// The device.
    pub by: Name,
    /// Whose command it was, by its own word.
    pub to: Name,
    /// The command's own.
    pub id: String,
    /// The wall clock, milliseconds since 1970.
    pub at: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Why not, by its code in snake case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same, or more, in words; at most 1,024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was begun; another answer follows.
    Begun,
    /// It was not believed, or is not allowed: nothing was done.
    Refused,
    /// It was tried, and failed.
    Failed,
}

/// Which configuration a device runs, at `config/{device}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigReport {
    /// The version of this form.
    pub v: V1,
    /// The device.
    pub by: Name,
    /// The wall clock, milliseconds since 1970.
    pub at: u64,
    /// The revision it was ordered, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Whether it stays.
    pub state: ConfigState,
    /// The BLAKE3 of what is in force: of the revision as it was ordered, or of the device's own file; 64 hexadecimal digits.
    pub digest: String,
    /// Why the revision does not stay, in words; at most 1,024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Whether a configuration stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigState {
    /// It is tried: the one before comes back where the device does not reach the broker.
    Trying,
    /// It stays.
    Kept,
    /// It did not work: the one before is back.
    RolledBack,
}
