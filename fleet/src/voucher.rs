//! What the site says about a device: that this key is that device's, and what it may do.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Name,
    keys::{PublicKey, SecretKey},
    sign,
    topic::Topic,
    wire::V1,
};

/// What a device may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A door's daemon: shares what it knows, tells what happens, obeys.
    Door,
    /// Somebody who runs doors: enrols, writes rules, opens and locks.
    Operator,
    /// Somebody who runs devices: what an operator may, and restart and configure.
    Admin,
    /// Somebody who watches.
    Observer,
}

impl Role {
    /// Whether a device of this role may publish there, where the topic is its own or everybody's.
    pub const fn may_publish(self, topic: &Topic) -> bool {
        match topic {
            // The site's own word.
            Topic::Device(_) => false,
            Topic::Document(..) => matches!(self, Self::Door | Self::Operator | Self::Admin),
            Topic::Command(_) => matches!(self, Self::Operator | Self::Admin),
            Topic::Status(_) => true,
            Topic::Digest(_)
            | Topic::Event(_)
            | Topic::Telemetry(_)
            | Topic::Answer(_)
            | Topic::Receipt(..)
            | Topic::Config(_) => matches!(self, Self::Door),
        }
    }
}

/// The site's word for a device, at `devices/{device}`, signed with the site's key. The one issued last counts; a revoked key
/// never counts again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Voucher {
    /// The version of this form.
    pub v: V1,
    /// Whose it is.
    pub device: Name,
    /// The key that its messages are signed with.
    pub key: PublicKey,
    /// What it may do.
    pub role: Role,
    /// When this was written, in milliseconds since 1970: a later one takes its place.
    pub issued: u64,
    /// Messages before this are refused by doors whose clock can be relied on. Milliseconds since 1970.
    pub not_before: u64,
    /// And from this on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// The key is not trusted any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
}

impl Voucher {
    /// Largest message, in bytes.
    pub const LIMIT: usize = 1024;

    /// The signed message for the voucher's topic.
    pub fn sign(&self, site: &Name, key: &SecretKey) -> Vec<u8> {
        let object = serde_json::to_vec(self).expect("a voucher has a form in JSON");
        sign::sign(key, &Topic::Device(self.device.clone()).of(site), &object)
    }
}

/// A voucher as the site signed it, so that it can be stored and published again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// What it says.
    pub voucher: Voucher,
    /// The signed message.
    pub message: Arc<[u8]>,
}
