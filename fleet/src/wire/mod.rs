//! Messages: JSON objects, signed in place ([`sign`]).
//!
//! Each has `v`, the version of its form, and `by`, the device that signed it. Members that are not known are passed over,
//! so that a newer door's status can be read by an older one; but not in commands and vouchers, where one that is not
//! understood may be the one that matters.

mod command;
mod digest;
mod event;
mod sealed;
mod status;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _};

pub use self::{
    command::{Answer, Command, ConfigReport, ConfigState, Order, Outcome},
    digest::{BucketSet, Buckets, Digest},
    event::{Class, Event, Telemetry},
    sealed::{Receipt, Sealed},
    status::{DoorStatus, Progress, Status},
};
use crate::{Name, keys::SecretKey, sign, topic::Topic};

/// The version of a form, 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V1;

/// A message that a device signs.
pub trait Message: Serialize + DeserializeOwned + JsonSchema {
    /// Largest message, signature included, in bytes.
    const LIMIT: usize;

    /// Who signed it, by its own word.
    fn by(&self) -> &Name;
}

/// A message is larger than its kind may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// How many bytes it has.
    pub bytes: usize,
    /// How many it may have.
    pub limit: usize,
}

/// Writes and signs a message.
///
/// # Errors
/// [`TooLarge`] for one that every receiver would refuse.
pub fn write<M: Message>(message: &M, site: &Name, topic: &Topic, key: &SecretKey) -> Result<Vec<u8>, TooLarge> {
    let object = serde_json::to_vec(message).expect("a message has a form in JSON");
    let bytes = sign::sign(key, &topic.of(site), &object);
    if bytes.len() > M::LIMIT {
        return Err(TooLarge { bytes: bytes.len(), limit: M::LIMIT });
    }
    Ok(bytes)
}

/// The largest message that a topic may have, in bytes.
pub const fn limit(topic: &Topic) -> usize {
    match topic {
        Topic::Device(_) => crate::voucher::Voucher::LIMIT,
        Topic::Status(_) => Status::LIMIT,
        Topic::Document(..) => Sealed::LIMIT,
        Topic::Digest(_) => Digest::LIMIT,
        Topic::Event(_) => Event::LIMIT,
        Topic::Telemetry(_) => Telemetry::LIMIT,
        Topic::Command(_) => Command::LIMIT,
        Topic::Answer(_) => Answer::LIMIT,
        Topic::Receipt(..) => Receipt::LIMIT,
        Topic::Config(_) => ConfigReport::LIMIT,
    }
}

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the message has {} bytes; its kind may have {}", self.bytes, self.limit)
    }
}

impl std::error::Error for TooLarge {}

impl Serialize for V1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for V1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(D::Error::custom(format_args!("version {other} is not known, only 1 is"))),
        }
    }
}

impl JsonSchema for V1 {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "V1".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1 })
    }
}

macro_rules! messages {
    ($($name:ident: $limit:expr;)+) => {$(
        impl Message for $name {
            const LIMIT: usize = $limit;

            fn by(&self) -> &Name {
                &self.by
            }
        }
    )+};
}

messages! {
    Status: 16 << 10;
    // What the smallest brokers take (AWS IoT Core: 128 KiB).
    Sealed: 128 << 10;
    Digest: 4 << 10;
    Event: 4 << 10;
    Telemetry: 4 << 10;
    Command: 32 << 10;
    Answer: 8 << 10;
    Receipt: 1 << 10;
    ConfigReport: 4 << 10;
}
