//! Messages that are not believed: counted by cause, told once per source.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use crate::topic::Topic;

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The topic is none of the site's.
    Topic,
    /// It is larger than a message of its kind may be.
    Oversized,
    /// It does not end in a signature.
    Unsigned,
    /// It is no JSON, or not of the form that its topic has.
    Schema,
    /// The site has not vouched for its sender.
    Unknown,
    /// The site has revoked its sender's key.
    Revoked,
    /// Its sender's voucher is not valid yet, or any more.
    Expired,
    /// Its signature is wrong.
    Forged,
    /// Its sender's role may not say this.
    Role,
    /// The topic belongs to another device.
    WrongDevice,
    /// It is sealed with another key, or for another topic.
    Seal,
    /// What is sealed is no document, or another one than its key says.
    Document,
    /// It is older than what is known. Doors refuse nothing for that: an older document is merged and changes nothing, an older
    /// digest is followed by the next one, an older voucher is replaced.
    Stale,
    /// A command for another connection than this one: it was queued, or kept.
    Session,
    /// A command that came too late, or that would be valid for too long.
    Late,
    /// A command that was heard before.
    Replayed,
    /// More commands than can be told apart within one connection.
    Busy,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Topic,
        Self::Oversized,
        Self::Unsigned,
        Self::Schema,
        Self::Unknown,
        Self::Revoked,
        Self::Expired,
        Self::Forged,
        Self::Role,
        Self::WrongDevice,
        Self::Seal,
        Self::Document,
        Self::Stale,
        Self::Session,
        Self::Late,
        Self::Replayed,
        Self::Busy,
    ];

    /// The stable code, in snake case: for metrics and answers.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Oversized => "oversized",
            Self::Unsigned => "unsigned",
            Self::Schema => "schema",
            Self::Unknown => "unknown_device",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Forged => "forged",
            Self::Role => "role",
            Self::WrongDevice => "wrong_device",
            Self::Seal => "seal",
            Self::Document => "document",
            Self::Stale => "stale",
            Self::Session => "session",
            Self::Late => "late",
            Self::Replayed => "replayed",
            Self::Busy => "busy",
        }
    }

    /// What it means, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Topic => "it is on no topic of this site",
            Self::Oversized => "it is larger than its kind may be",
            Self::Unsigned => "it is not signed",
            Self::Schema => "it is not of the form that its topic has",
            Self::Unknown => "the site has not vouched for its sender",
            Self::Revoked => "the site has revoked its sender's key",
            Self::Expired => "its sender's voucher is not valid now",
            Self::Forged => "its signature is wrong",
            Self::Role => "its sender has no right to it",
            Self::WrongDevice => "it is on another device's topic",
            Self::Seal => "it is not sealed with the site's key for its topic",
            Self::Document => "what is sealed is not the document that its topic names",
            Self::Stale => "it is older than what is known",
            Self::Session => "it is for another connection than this one",
            Self::Late => "it came too late, or would be valid for too long",
            Self::Replayed => "it was heard before",
            Self::Busy => "more commands came than can be told apart",
        }
    }
}

/// A message that is not believed, and changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub cause: Cause,
    /// Whom it is put down to, at most 64 bytes: the device it claims to be by, or else the one whose topic it is on. Nobody
    /// has proved to be that.
    pub source: String,
    /// Where it lay, if the site knows the topic: what the broker keeps there is of no use to anybody now.
    pub topic: Option<Topic>,
}

impl Refusal {
    /// A refusal; `source` is shortened.
    pub fn new(cause: Cause, source: impl fmt::Display, topic: Option<&Topic>) -> Self {
        let mut source = source.to_string();
        source.truncate(source.floor_char_boundary(64));
        Self { cause, source, topic: topic.cloned() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of '{}' was refused: {}", self.source.escape_debug(), self.cause.words())
    }
}

impl std::error::Error for Refusal {}

/// Most sources that are remembered as told. After that, sources are told no more, and go on being counted.
pub const MAX_TOLD: usize = 1024;

/// Counts refusals, and says which are worth a line in the log.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    counts: BTreeMap<Cause, u64>,
    told: HashSet<(Cause, String)>,
}

impl Refusals {
    /// Counts a refusal; whether it is the first of its cause and source, to be told.
    pub fn count(&mut self, refusal: &Refusal) -> bool {
        *self.counts.entry(refusal.cause).or_default() += 1;
        self.told.len() < MAX_TOLD && self.told.insert((refusal.cause, refusal.source.clone()))
    }

    /// How many there were of a cause.
    pub fn of(&self, cause: Cause) -> u64 {
        self.counts.get(&cause).copied().unwrap_or(0)
    }

    /// How many there were in all.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}
