use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::V1;
use crate::{
    Name,
    document::{BUCKETS, Summary},
    keys::Root,
};

/// What a door has, so that others notice where they differ. At `digests/{device}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Digest {
    /// The version of this form.
    pub v: V1,
    /// The door.
    pub by: Name,
    /// The wall clock at the door, milliseconds since 1970.
    pub at: u64,
    /// How many documents it has.
    pub documents: u64,
    /// The exclusive or of all their hashes.
    pub root: Root,
    /// The same of each bucket, where somebody differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<Buckets>,
    /// In which of them it has just been sent again what the broker keeps, and has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<BucketSet>,
}

/// Of each of the 256 buckets the exclusive or of its documents' hashes, the lower 64 bits of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets(Box<[u64; BUCKETS]>);

impl Buckets {
    /// Those of a summary.
    pub fn of(summary: &Summary) -> Self {
        Self(Box::new(std::array::from_fn(|bucket| summary.bucket(bucket as u8))))
    }

    /// One of them.
    pub fn get(&self, bucket: u8) -> u64 {
        self.0[usize::from(bucket)]
    }
}

/// Some of the 256 buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketSet([u8; BUCKETS / 8]);

impl BucketSet {
    /// Takes a bucket in.
    pub fn insert(&mut self, bucket: u8) {
        self.0[usize::from(bucket / 8)] |= 1 << (bucket % 8);
    }

    /// Whether a bucket is one of them.
    pub fn contains(&self, bucket: u8) -> bool {
        self.0[usize::from(bucket / 8)] & 1 << (bucket % 8) != 0
    }
}

impl Serialize for Buckets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|bucket| bucket.to_le_bytes()).collect();
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Buckets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes =
            URL_SAFE_NO_PAD.decode(Cow::<str>::deserialize(deserializer)?.as_ref()).map_err(D::Error::custom)?;
        if bytes.len() != 8 * BUCKETS {
            return Err(D::Error::custom("there are not 256 buckets"));
        }
        let mut buckets = Box::new([0; BUCKETS]);
        for (bucket, bytes) in buckets.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *bucket = u64::from_le_bytes(*bytes);
        }
        Ok(Self(buckets))
    }
}

impl JsonSchema for Buckets {
    fn schema_name() -> Cow<'static, str> {
        "Buckets".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[A-Za-z0-9_-]{2731}$",
            "description": "256 little-endian numbers of 64 bits in base64url without padding, by bucket."
        })
    }
}

impl Serialize for BucketSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for BucketSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes =
            URL_SAFE_NO_PAD.decode(Cow::<str>::deserialize(deserializer)?.as_ref()).map_err(D::Error::custom)?;
        bytes.try_into().map(Self).map_err(|_| D::Error::custom("there are not 256 bits"))
    }
}

impl JsonSchema for BucketSet {
    fn schema_name() -> Cow<'static, str> {
        "BucketSet".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[A-Za-z0-9_-]{43}$",
            "description": "256 bits in base64url without padding, the lowest of the first byte for bucket 0."
        })
    }
}
