//! What stands in the journal.

use std::collections::BTreeMap;

use facegate_control::door::{Command, Happening};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::vision::models::Support;

/// Something worth recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// At which door, where it was at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<String>,
    #[serde(flatten)]
    pub event: Event,
}

/// How a decision went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Granted,
    Denied,
}

/// Whether a living person was seen (presentation attack detection).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pad {
    /// 0 to 1.
    pub score: f32,
    /// Of how many frames.
    pub frames: u32,
    /// Codes of what speaks against it: `network`, `frozen_picture` …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The daemon is ready. `version` is its own, `model` the recogniser's id.
    Started { version: String, model: String },
    /// The daemon ends as it should.
    Stopped,
    /// Somebody stood before the door.
    Decision {
        outcome: Verdict,
        /// Who it was; none for a stranger.
        subject: Option<String>,
        /// The best, 0 to 1; none where no frame gave one.
        similarity: Option<f32>,
        /// A code of [`access`](crate::access): `agreed`, `below_threshold`, `too_dark`, `outside_hours` …
        reason: String,
        /// The code of an area's rule that was broken and only noted: `already_inside` …
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flag: Option<String>,
        /// The recogniser's id.
        model: String,
        /// From the frame that decided it to the decision, in milliseconds.
        latency_ms: f32,
        /// The tracker's number for the face, since the daemon's start.
        track: u64,
        /// Whether it looked like a living person's, where the door requires that of whom it knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        liveness: Option<Pad>,
    },
    /// Whether somebody whom a door knows looked like a living person, where that is advice: what was decided stands before it.
    Liveness {
        subject: String,
        passed: bool,
        liveness: Pad,
        /// As in the decision.
        track: u64,
    },
    /// The relay moved.
    DoorEdge {
        energised: bool,
        /// Whether the door is unlocked by it.
        open: bool,
        /// From the frame that opened the door to the edge, in milliseconds; none where the door locks.
        latency_ms: Option<f32>,
    },
    /// A grant's card goes to the panel that keeps the relay, or could not be sent (the log says why).
    Card {
        sent: bool,
        /// Whose it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// From the frame that was granted to the first bit's turn, in milliseconds.
        latency_ms: f32,
    },
    /// Something happened at the door itself: it opened, somebody passed, an alarm was raised.
    Door {
        #[serde(flatten)]
        happening: Happening,
        /// Who was granted, where it is about a grant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
    },
    /// An operator's, as it was given; what came of it follows.
    Command {
        #[serde(flatten)]
        command: Command,
        /// Who gave it: `key 1a2b3c4d`, `user 0` of this machine.
        by: String,
    },
    /// A device of the fleet ordered something, by its name on the wire, and what came of it: `done`, `begun`, `failed`, or the code
    /// of why it was refused. Commands to doors are told apart from this, too.
    Order { order: String, by: String, outcome: String },
    /// What another device of the fleet erased, told by its document's key, is gone here, too.
    Erased { document: String, by: String },
    /// A call of the API that used or changed a template or a rule.
    Call(Call),
    /// A door that is set by the chance of a false accept goes by this threshold from now on.
    Threshold {
        /// The chance that is asked for: `1 in 100000`.
        false_accept: String,
        /// Embeddings that it is derived for: those enrolled, rounded up.
        enrolled: u64,
        /// The false match rate that one comparison may have.
        fmr: f64,
        /// The least similarity that counts.
        threshold: f32,
        /// Whether that rate was measured.
        support: Support,
    },
    /// The wall clock jumped by so many seconds, forward where positive: the times before and after do not compare.
    ClockJumped { seconds: i64 },
    /// Earlier records, the newest of this time, were made by a clock that was ahead, says a time server: they tell nothing of how
    /// late it is.
    RecordsAhead { newest: Timestamp },
    /// So many entries before this one are not in the journal: the disk was too slow, or full.
    Lost { entries: u64 },
    /// The records up to this number, whose last one has this hash, were let go: they were older than what is kept.
    Forgotten { through: u64, last: String },
    /// So many bytes of an unfinished line were found at the journal's end and set aside, after a power cut.
    Recovered { bytes: u64 },
}

/// A call of the API: who did what, to whom, and what came of it. Never the photograph, the template or a key's secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Method and route: `POST /v1/face-matching/enroll`.
    pub call: String,
    /// Whose key: `key 1a2b3c4d`; of a user of this machine, `user 0`.
    pub by: String,
    /// Whose data; `-` where a user of this machine did not say.
    pub tenant: String,
    /// Whom it was about: who was enrolled, deleted or compared with, the best match of a search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Which embedding was made or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<String>,
    /// Which API key was made, rotated or revoked: its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `ok`, an error's code, or `unknown` where the client did not wait: it may have been done all the same. `begun` of a call that
    /// goes on after its answer has begun: another entry tells how it ended.
    pub outcome: String,
    /// Of a call that did many things, how many came to what.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
}

/// An entry as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts up from 1 without a gap.
    pub seq: u64,
    /// When it happened, by the wall clock, UTC.
    pub at: Timestamp,
    #[serde(flatten)]
    pub entry: Entry,
    /// The hash of the record before this one, in hexadecimal; 64 zeros in the first.
    pub prev: String,
    /// This record's.
    pub hash: String,
}
