//! The chain of hashes: how a line is made, and how one is checked.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Entry;

/// What stands for the record before the first.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What stands between the part of a line that is hashed and the hash.
const JOINT: &str = ",\"hash\":\"";

/// Length of a hash in hexadecimal.
const DIGITS: usize = 64;

/// A record that a chain can be compared with: note it somewhere else, and a journal cut short or written anew shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anchor {
    pub seq: u64,
    pub at: Timestamp,
    pub hash: String,
}

/// What the chain itself reads of a line; events that this version does not know do not break it.
#[derive(Deserialize)]
struct Link {
    seq: u64,
    at: Timestamp,
    prev: String,
}

/// What is hashed: the record without its own hash.
#[derive(Serialize)]
struct Unsigned<'a> {
    seq: u64,
    at: Timestamp,
    #[serde(flatten)]
    entry: &'a Entry,
    prev: &'a str,
}

/// Appends a record's line to `out` and returns its hash.
pub(super) fn write_line(
    out: &mut Vec<u8>,
    seq: u64,
    at: Timestamp,
    entry: &Entry,
    prev: &str,
) -> serde_json::Result<String> {
    let mut line = serde_json::to_vec(&Unsigned { seq, at, entry, prev })?;
    // The closing brace comes after the hash.
    line.pop();
    let hash = blake3::hash(&line).to_hex().to_string();
    out.extend_from_slice(&line);
    out.extend_from_slice(JOINT.as_bytes());
    out.extend_from_slice(hash.as_bytes());
    out.extend_from_slice(b"\"}\n");
    Ok(hash)
}

/// Checks one line, without its newline, by itself. The answer is what it claims to be and what it claims to follow, or
/// what is wrong with it.
pub(crate) fn check_line(line: &[u8]) -> Result<(Anchor, String), &'static str> {
    let tail = JOINT.len() + DIGITS + 2;
    let (body, end) = line.split_at_checked(line.len().saturating_sub(tail)).ok_or("it is not a record")?;
    let hash = end.strip_prefix(JOINT.as_bytes()).and_then(|rest| rest.strip_suffix(b"\"}"));
    let hash = hash.ok_or("it is not a record")?;
    if blake3::hash(body).to_hex().as_bytes() != hash {
        return Err("it does not have the hash that it claims");
    }
    let link: Link = serde_json::from_slice(line).map_err(|_| "it is not a record")?;
    let hash = String::from_utf8_lossy(hash).into_owned();
    Ok((Anchor { seq: link.seq, at: link.at, hash }, link.prev))
}

/// Where a chain stands: what the next record has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) next: u64,
    pub(super) prev: String,
}

impl Position {
    /// Before the first record.
    pub(super) fn start() -> Self {
        Self { next: 1, prev: GENESIS.into() }
    }

    /// After `anchor`.
    pub(super) fn after(anchor: &Anchor) -> Self {
        Self { next: anchor.seq.saturating_add(1), prev: anchor.hash.clone() }
    }

    /// Where this line, without its newline, claims to stand.
    pub(super) fn of(line: &[u8]) -> Result<Self, &'static str> {
        let (anchor, prev) = check_line(line)?;
        Ok(Self { next: anchor.seq, prev })
    }

    /// Checks the line that stands here, without its newline.
    pub(super) fn check(&self, line: &[u8]) -> Result<Anchor, &'static str> {
        let (anchor, prev) = check_line(line)?;
        if anchor.seq != self.next {
            return Err("its number does not follow the one before it: records were removed, repeated or moved");
        }
        if prev != self.prev {
            return Err("it does not follow the record before it: one of the two was replaced");
        }
        Ok(anchor)
    }
}
