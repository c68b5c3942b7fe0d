//! A tenant's enrolments as a file, to be moved to another board.
//!
//! One JSON object a line: what it is of ([`Line::Start`]), who is suspended, the embeddings oldest first, and an end that
//! counts them. Each line ends with its own checksum, and the end has one of all lines before it: a file that was cut, changed,
//! reordered or put together from two is told from a whole one. **The templates in it are not sealed**: whoever has the file
//! has them.
//!
//! Checksums are BLAKE3 and guard against accidents, not against somebody who writes a file of their own: a call that imports
//! one needs the right to.

mod export;
mod import;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use half::f16;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

pub use self::{
    export::Export,
    import::{Import, Imported},
};
use super::ids::{EmbeddingId, SubjectId, TenantId};
use crate::{
    error::{Error, Kind, Result},
    vision::{DIMENSION, Embedding},
};

/// The version of the form.
const FORMAT: u32 = 1;

/// Longest line that is read, in bytes: the longest metadata, a template, and the longest names.
pub const LONGEST_LINE: usize = 128 << 10;

/// What stands between a line and its checksum.
const MARK: &[u8] = b",\"checksum\":\"";

/// Hexadecimal digits of a checksum.
const DIGITS: usize = 32;

/// A line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    /// The first.
    Start {
        format: u32,
        tenant: TenantId,
        /// The recogniser that was loaded; each embedding names its own.
        model: String,
        made_at: Timestamp,
    },
    /// A subject that nobody is to recognise.
    Suspended {
        subject_id: SubjectId,
    },
    Embedding(Box<Portable>),
    /// The last.
    End {
        embeddings: u64,
        /// Of all lines before this one, with their line ends.
        digest: String,
    },
}

/// An enrolment with its template.
#[derive(PartialEq, Serialize, Deserialize)]
struct Portable {
    id: EmbeddingId,
    subject_id: SubjectId,
    model: String,
    /// 512 half-precision numbers, little-endian, in Base64.
    embedding: Zeroizing<String>,
    quality_score: f32,
    liveness_score: Option<f32>,
    enrollment_source: Option<String>,
    metadata: Option<Map<String, Value>>,
    created_at: Timestamp,
    active: bool,
    verification_count: u64,
    last_verified_at: Option<Timestamp>,
}

impl std::fmt::Debug for Portable {
    /// Without the template.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Portable").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Line {
    /// The line with its checksum and its end.
    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)
            .map_err(|error| Error::new(Kind::Internal, "a line of an export has no form in JSON").source(error))?;
        let checksum = checksum(&bytes);
        bytes.pop();
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes.extend_from_slice(b"\"}\n");
        Ok(bytes)
    }

    /// Reads a line without its end. What is wrong with it is said without a word of what it holds.
    fn read(line: &[u8]) -> Result<Self> {
        let refused = |what: &str| Error::new(Kind::InvalidField, what.to_owned());
        let body = line.strip_suffix(b"\"}").and_then(|line| line.split_at_checked(line.len().checked_sub(DIGITS)?));
        let body = body.and_then(|(body, sum)| Some((body.strip_suffix(MARK)?, sum)));
        let (body, sum) = body.ok_or_else(|| refused("it is no line of an export: it does not end with a checksum"))?;
        let whole = Zeroizing::new([body, b"}"].concat());
        if checksum(&whole).as_bytes() != sum {
            return Err(refused("its checksum does not fit: it was changed or damaged"));
        }
        serde_json::from_slice(&whole)
            .map_err(|error| refused(&format!("it is no line that this version knows, near column {}", error.column())))
    }
}

/// Of the bytes of an object.
fn checksum(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..DIGITS].to_owned()
}

/// A template as text.
fn written(embedding: &Embedding) -> Zeroizing<String> {
    let bytes: Zeroizing<Vec<u8>> =
        embedding.as_slice().iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect::<Vec<_>>().into();
    Zeroizing::new(STANDARD.encode(&*bytes))
}

/// Reads it back; `None` where it is none.
fn template(text: &str) -> Option<Embedding> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    if bytes.len() != 2 * DIMENSION {
        return None;
    }
    let values: Zeroizing<Vec<f32>> =
        bytes.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect::<Vec<_>>().into();
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    // Not finite where a number is not; and rounding to 16 bits moves a unit vector's length by less.
    ((norm - 1.0).abs() < 0.01).then(|| Embedding::normalised(&values)).flatten()
}
