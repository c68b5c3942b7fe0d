//! A record: an enrolment as bytes.
//!
//! Three parts. What changes (state and counts), what never changes (the associated data of the seal) and what is sealed.
//! Numbers are little-endian.
//!
//! | offset | bytes | |
//! | --- | --- | --- |
//! | 0 | 1 | version of this layout, 1 |
//! | 1 | 1 | 1 where active, else 0 |
//! | 2 | 8 | verification count, u64 |
//! | 10 | 8 | last verification, microseconds since 1970, i64; `i64::MIN` for none |
//! | 18 | 4 | tenant number, u32 |
//! | 22 | 8 | internal id, u64 |
//! | 30 | 16 | embedding id |
//! | 46 | 4 | slot of its secret, u32 |
//! | 50 | 8 | made at, microseconds since 1970, i64 |
//! | 58 | 4 | quality score, f32 |
//! | 62 | 4 | liveness score, f32; NaN for none |
//! | 66 | 1 | length of the model's id |
//! | 67 | 2 | length of the subject's id |
//! | 69 | … | model, subject |
//! | then | … | sealed: 512 × f16, length of the source u16 (`0xffff` for none), source, metadata as JSON (empty for none) |
//!
//! With a short subject and no metadata that is some 1,160 bytes: three to a page of 4 KiB.

use half::f16;
use jiff::Timestamp;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{
    ids::{EmbeddingId, SubjectId},
    types::Enrolment,
};
use crate::{
    error::{Error, Kind, Result},
    vision::{DIMENSION, Embedding},
};

const VERSION: u8 = 1;
const FIXED: usize = 18;
const NAMES: usize = 69;
/// Bytes of a template.
pub(super) const VECTOR_BYTES: usize = 2 * DIMENSION;
const NO_SOURCE: u16 = u16::MAX;

/// The part of a record that anybody with the database file can read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub active: bool,
    pub verification_count: u64,
    /// Microseconds since 1970.
    pub last_verified: Option<i64>,
    pub tenant: u32,
    pub id: u64,
    pub embedding: EmbeddingId,
    pub slot: u32,
    /// Microseconds since 1970.
    pub created: i64,
    pub quality: f32,
    pub liveness: Option<f32>,
    pub model: String,
    pub subject: SubjectId,
}

/// The part of a record that is sealed.
pub(super) struct Secret {
    pub embedding: Embedding,
    pub source: Option<String>,
    pub metadata: Option<Map<String, Value>>,
}

impl Header {
    /// The header's bytes. What follows [`fixed_part`] is the associated data of the seal.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let too_long = |what: &str| Error::new(Kind::InvalidField, format!("{what} is too long"));
        let model = u8::try_from(self.model.len()).map_err(|_| too_long("the model's id"))?;
        let subject = u16::try_from(self.subject.as_str().len()).map_err(|_| too_long("subject_id"))?;
        let mut bytes = Vec::with_capacity(NAMES + usize::from(model) + usize::from(subject));
        bytes.push(VERSION);
        bytes.push(u8::from(self.active));
        bytes.extend(self.verification_count.to_le_bytes());
        bytes.extend(self.last_verified.unwrap_or(i64::MIN).to_le_bytes());
        bytes.extend(self.tenant.to_le_bytes());
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(self.embedding.as_bytes());
        bytes.extend(self.slot.to_le_bytes());
        bytes.extend(self.created.to_le_bytes());
        bytes.extend(self.quality.to_le_bytes());
        bytes.extend(self.liveness.unwrap_or(f32::NAN).to_le_bytes());
        bytes.push(model);
        bytes.extend(subject.to_le_bytes());
        bytes.extend(self.model.as_bytes());
        bytes.extend(self.subject.as_str().as_bytes());
        Ok(bytes)
    }

    /// Reads the header and gives what follows it: the sealed part. `None` where the bytes are no record.
    pub fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut rest = bytes;
        let [version, active] = *take::<2>(&mut rest)?;
        if version != VERSION || active > 1 {
            return None;
        }
        let verification_count = u64::from_le_bytes(*take(&mut rest)?);
        let last_verified = i64::from_le_bytes(*take(&mut rest)?);
        let tenant = u32::from_le_bytes(*take(&mut rest)?);
        let id = u64::from_le_bytes(*take(&mut rest)?);
        let embedding = EmbeddingId::from_bytes(*take(&mut rest)?);
        let slot = u32::from_le_bytes(*take(&mut rest)?);
        let created = i64::from_le_bytes(*take(&mut rest)?);
        let quality = f32::from_le_bytes(*take(&mut rest)?);
        let liveness = f32::from_le_bytes(*take(&mut rest)?);
        let [model] = *take::<1>(&mut rest)?;
        let subject = u16::from_le_bytes(*take(&mut rest)?);
        let (model, rest) = rest.split_at_checked(usize::from(model))?;
        let (subject, rest) = rest.split_at_checked(usize::from(subject))?;
        let header = Self {
            active: active == 1,
            verification_count,
            last_verified: (last_verified != i64::MIN).then_some(last_verified),
            tenant,
            id,
            embedding,
            slot,
            created,
            quality,
            liveness: (!liveness.is_nan()).then_some(liveness),
            model: std::str::from_utf8(model).ok()?.to_owned(),
            subject: std::str::from_utf8(subject).ok()?.parse().ok()?,
        };
        Some((header, rest))
    }

    /// The enrolment as callers see it.
    pub fn into_enrolment(self, secret: Secret) -> Enrolment {
        Enrolment {
            id: self.embedding,
            subject: self.subject,
            model: self.model,
            quality_score: self.quality,
            liveness_score: self.liveness,
            source: secret.source,
            metadata: secret.metadata,
            created_at: timestamp(self.created),
            active: self.active,
            verification_count: self.verification_count,
            last_verified_at: self.last_verified.map(timestamp),
        }
    }
}

/// The part of a header's bytes that the seal vouches for.
pub(super) fn fixed_part(header: &[u8]) -> &[u8] {
    header.get(FIXED..).unwrap_or_default()
}

/// What is sealed, as it lies there: to the bit, where [`Secret`] rounds.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Plain<'a> {
    /// [`VECTOR_BYTES`]: half-precision numbers, little-endian.
    pub template: &'a [u8],
    pub source: Option<&'a str>,
    /// An object in JSON; empty for none.
    pub metadata: &'a [u8],
}

impl<'a> Plain<'a> {
    /// The bytes to be sealed.
    pub fn to_bytes(self) -> Result<Zeroizing<Vec<u8>>> {
        if self.template.len() != VECTOR_BYTES {
            return Err(Error::new(Kind::Internal, "a template is of the wrong length"));
        }
        let source_length = match self.source {
            None => NO_SOURCE,
            Some(source) => u16::try_from(source.len())
                .ok()
                .filter(|&length| length != NO_SOURCE)
                .ok_or_else(|| Error::new(Kind::InvalidField, "enrollment_source is too long"))?,
        };
        let source = self.source.unwrap_or_default();
        // All at once: a vector that grows would leave copies of the template in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(VECTOR_BYTES + 2 + source.len() + self.metadata.len()));
        bytes.extend_from_slice(self.template);
        bytes.extend_from_slice(&source_length.to_le_bytes());
        bytes.extend_from_slice(source.as_bytes());
        bytes.extend_from_slice(self.metadata);
        Ok(bytes)
    }

    /// Reads them back. `None` where they are wrong; whether the template is one and the metadata is JSON is not looked at.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (template, mut rest) = bytes.split_at_checked(VECTOR_BYTES)?;
        let source = match u16::from_le_bytes(*take(&mut rest)?) {
            NO_SOURCE => None,
            length => {
                let (source, after) = rest.split_at_checked(usize::from(length))?;
                rest = after;
                Some(std::str::from_utf8(source).ok()?)
            }
        };
        Some(Self { template, source, metadata: rest })
    }
}

impl Secret {
    /// The bytes to be sealed.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let metadata =
            self.metadata.as_ref().map(serde_json::to_vec).transpose().map_err(|error| {
                Error::new(Kind::InvalidMetadata, "metadata cannot be written as JSON").source(error)
            })?;
        let mut template = Zeroizing::new([0; VECTOR_BYTES]);
        for (pair, &value) in template.chunks_exact_mut(2).zip(self.embedding.as_slice()) {
            pair.copy_from_slice(&f16::from_f32(value).to_le_bytes());
        }
        let metadata = metadata.unwrap_or_default();
        Plain { template: &*template, source: self.source.as_deref(), metadata: &metadata }.to_bytes()
    }

    /// Reads them back. The embedding comes back at unit length, rounded to 16 bits a number. `None` where they are wrong.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let embedding = Self::parse_embedding(bytes)?;
        let Plain { source, metadata, .. } = Plain::parse(bytes)?;
        let metadata = if metadata.is_empty() { None } else { Some(serde_json::from_slice(metadata).ok()?) };
        Some(Self { embedding, source: source.map(str::to_owned), metadata })
    }

    /// Reads the embedding alone.
    pub fn parse_embedding(bytes: &[u8]) -> Option<Embedding> {
        let (vector, _) = bytes.split_at_checked(VECTOR_BYTES)?;
        let mut values = Zeroizing::new([0.0; DIMENSION]);
        for (value, pair) in values.iter_mut().zip(vector.chunks_exact(2)) {
            *value = f16::from_le_bytes([pair[0], pair[1]]).to_f32();
        }
        Embedding::normalised(values.as_slice())
    }
}

/// The time to the microsecond, as records keep it.
pub(super) fn microseconds(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// The other way; a time that cannot be is the end of time that it lies behind.
pub(super) fn timestamp(microseconds: i64) -> Timestamp {
    let end = if microseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(microseconds).unwrap_or(end)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = Header> {
        (
            (any::<bool>(), any::<u64>(), proptest::option::of(i64::MIN + 1..), any::<u32>(), any::<u64>()),
            (any::<[u8; 16]>(), any::<u32>(), any::<i64>(), 0.0f32..=1.0, proptest::option::of(0.0f32..=1.0)),
            ("[a-z0-9-]{0,255}", "[a-zäß…]{1,60}"),
        )
            .prop_map(
                |((active, count, last, tenant, id), (uuid, slot, created, quality, liveness), (model, subject))| {
                    Header {
                        active,
                        verification_count: count,
                        last_verified: last,
                        tenant,
                        id,
                        embedding: EmbeddingId::from_bytes(uuid),
                        slot,
                        created,
                        quality,
                        liveness,
                        model,
                        subject: subject.parse().unwrap(),
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn a_header_comes_back_as_it_was(header in header(), tail in any::<Vec<u8>>()) {
            let mut bytes = header.to_bytes().unwrap();
            bytes.extend(&tail);
            let (back, rest) = Header::parse(&bytes).unwrap();
            prop_assert_eq!(back, header);
            prop_assert_eq!(rest, &tail);
        }

        #[test]
        fn state_and_counts_are_not_under_the_seal(header in header()) {
            let other = Header { active: !header.active, verification_count: 7, last_verified: Some(3), ..header.clone() };
            let (a, b) = (header.to_bytes().unwrap(), other.to_bytes().unwrap());
            prop_assert_eq!(fixed_part(&a), fixed_part(&b));
            let moved = Header { id: header.id ^ 1, ..header };
            let c = moved.to_bytes().unwrap();
            prop_assert_ne!(fixed_part(&a), fixed_part(&c));
        }

        #[test]
        fn no_bytes_make_a_parser_panic(bytes in any::<Vec<u8>>()) {
            let _ = Header::parse(&bytes);
            let _ = Secret::parse(&bytes);
        }

        #[test]
        fn a_secret_comes_back_to_16_bits(
            raw in prop::collection::vec(-1.0f32..1.0, DIMENSION),
            source in proptest::option::of(".{0,40}"),
            value in ".{0,40}",
            has_metadata in any::<bool>(),
        ) {
            let embedding = Embedding::normalised(&raw);
            prop_assume!(embedding.is_some());
            let metadata = has_metadata.then(|| Map::from_iter([("name".to_owned(), Value::String(value))]));
            let secret = Secret { embedding: embedding.unwrap(), source: source.clone(), metadata: metadata.clone() };
            let bytes = secret.to_bytes().unwrap();
            let back = Secret::parse(&bytes).unwrap();
            prop_assert!(back.embedding.cosine(&secret.embedding) > 0.999_99);
            prop_assert_eq!(back.source, source);
            prop_assert_eq!(back.metadata, metadata);
            prop_assert!(Secret::parse_embedding(&bytes).unwrap() == back.embedding);
            prop_assert!(Secret::parse(&bytes[..VECTOR_BYTES + 1]).is_none());
        }
    }
}
