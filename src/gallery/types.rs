//! What goes into the gallery and what comes out. No vector comes out.

use std::{borrow::Cow, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{
    Rights,
    ids::{EmbeddingId, SubjectId, TenantId},
    lifetime::Lifetime,
    seen::LastSeen,
};
use crate::{
    clock::{microseconds, microseconds_or_null},
    error::{Error, Kind, Result},
    vision::Embedding,
};

/// Where the gallery lies and how much it may hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder of the store: `data.mdb`, `lock.mdb`, `master.key`, `seal.keys`. Made at first start, for the owner only.
    pub dir: PathBuf,
    /// The most that enrolments may take on the disk, in MiB, 1 to 65,536. Some 650 enrolments
    /// without metadata fit into one MiB.
    pub max_mb: u32,
    /// How many embeddings of a subject stay active, 1 to 100: the newest. Takes effect at a subject's next enrolment.
    pub keep_active: usize,
    /// Longest `metadata` of an enrolment, in bytes of JSON, 2 to 65,536.
    pub max_metadata_bytes: usize,
    /// Whether the API keeps a small photograph of each enrolment's face, sealed: some 30 kB of `max_mb` each.
    pub keep_photographs: bool,
}

impl Settings {
    /// Refuses values out of their range.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the key, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let range = |name: &str, low: usize, high: usize, value: usize| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::new(Kind::Config, format!("gallery.{name} is {value}; it takes {low} to {high}")))
        };
        range("max_mb", 1, 65_536, self.max_mb as usize)?;
        range("keep_active", 1, 100, self.keep_active)?;
        range("max_metadata_bytes", 2, 65_536, self.max_metadata_bytes)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("data/gallery"),
            max_mb: 512,
            keep_active: 5,
            max_metadata_bytes: 4096,
            keep_photographs: false,
        }
    }
}

/// How alike a face is to those that are enrolled. Cosines, −1 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Likeness {
    /// The best of the subject's own active embeddings; none where there is none.
    pub own: Option<f32>,
    /// The most similar of all other subjects, with its best embedding's cosine.
    pub other: Option<(SubjectId, f32)>,
}

/// Something about an enrolment that looks wrong and was let through.
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    /// As the code of the error that it would be, were it refused.
    pub code: Cow<'static, str>,
    /// What is wrong, without naming anybody.
    pub message: String,
    /// The similarity that it is about, where it is about one.
    pub similarity: Option<f32>,
    /// Whom the face is like, for those who may read who is enrolled.
    pub other: Option<SubjectId>,
}

impl Warning {
    /// The subject is suspended.
    pub(crate) fn suspended() -> Self {
        let message =
            "the subject is suspended: the face is kept, and matched by nobody until the subject is made active";
        Self { code: "subject_suspended".into(), message: message.into(), similarity: None, other: None }
    }

    /// Without what tells of others: for those who may not read who is enrolled.
    #[must_use]
    pub fn discreet(self) -> Self {
        if self.other.is_some() { Self { similarity: None, other: None, ..self } } else { self }
    }
}

/// A face to be enrolled.
#[derive(Clone)]
pub struct NewEnrolment {
    /// Whose face.
    pub subject: SubjectId,
    /// The template.
    pub embedding: Embedding,
    /// How good the picture was, 0 to 1.
    pub quality_score: f32,
    /// How surely a living person was seen, 0 to 1, where that was measured.
    pub liveness_score: Option<f32>,
    /// Where the picture came from, in the client's words; at most 256 bytes.
    pub source: Option<String>,
    /// Whatever the client wants back with each match; at most [`Settings::max_metadata_bytes`] of JSON.
    pub metadata: Option<Map<String, Value>>,
    /// A JPEG of the face, kept where [`Settings::keep_photographs`] says so.
    pub photograph: Option<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for NewEnrolment {
    /// Neither template nor photograph.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewEnrolment").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// An enrolment as it stands in the store, without its vector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Enrolment {
    /// Its name, for listing and deleting.
    pub id: EmbeddingId,
    /// Whose face it is.
    pub subject: SubjectId,
    /// The recogniser that made the embedding. Only embeddings of the loaded recogniser are ever matched.
    pub model: String,
    /// How good the picture was, 0 to 1.
    pub quality_score: f32,
    /// How surely a living person was seen, 0 to 1, where that was measured.
    pub liveness_score: Option<f32>,
    /// Where the picture came from, as it was given.
    pub source: Option<String>,
    /// As it was given.
    pub metadata: Option<Map<String, Value>>,
    /// The wall clock at enrolment, to the microsecond.
    pub created_at: Timestamp,
    /// Whether it is among the newest of its subject. What is not active is kept and listed, never matched.
    pub active: bool,
    /// How often a verification succeeded against it.
    pub verification_count: u64,
    /// When that happened last, to the microsecond.
    pub last_verified_at: Option<Timestamp>,
}

/// An enrolment that a probe was compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The enrolment, without its vector.
    pub enrolment: Enrolment,
    /// The cosine of the angle between the two templates, −1 to 1.
    pub cosine: f32,
}

/// A subject, with all of its embeddings counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubjectInfo {
    /// Its id.
    pub subject: SubjectId,
    /// Whether it may be recognised. One that is suspended has no active embedding.
    pub active: bool,
    /// How many embeddings there are.
    pub embeddings: u64,
    /// How many of them can be matched.
    pub active_embeddings: u64,
    /// The wall clock at the first enrolment that is still there, to the microsecond.
    pub first_enrolled_at: Timestamp,
    /// The same of the newest one.
    pub last_enrolled_at: Timestamp,
    /// How often a verification succeeded against one of the embeddings that are still there.
    pub verification_count: u64,
    /// When that happened last, to the microsecond.
    pub last_verified_at: Option<Timestamp>,
    /// Where and when a door recognised it last, whether the rules let it pass or not.
    pub last_seen: Option<LastSeen>,
}

/// What is to change about a subject. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubjectChange {
    /// Whether it may be recognised.
    pub active: Option<bool>,
    /// The metadata of each of its embeddings.
    pub metadata: Option<MetadataChange>,
}

/// What becomes of metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataChange {
    /// A JSON merge patch (RFC 7396): what is null goes, objects are merged, all else takes the place of what was there.
    Merge(Map<String, Value>),
    /// There is none any more.
    Remove,
}

/// Which enrolments [`Gallery::list`](super::Gallery::list) gives.
#[derive(Clone, Debug, PartialEq)]
pub struct ListFilter {
    /// Those of this subject alone.
    pub subject: Option<SubjectId>,
    /// Leave out the inactive ones.
    pub active_only: bool,
    /// At most so many, 1 to 1000.
    pub limit: usize,
    /// Only ids after this one: [`Page::next`] of the page before.
    pub after: Option<EmbeddingId>,
}

impl Default for ListFilter {
    fn default() -> Self {
        Self { subject: None, active_only: true, limit: 100, after: None }
    }
}

/// Some enrolments, by id, that is oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// At most as many as were asked for.
    pub enrolments: Vec<Enrolment>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<EmbeddingId>,
}

/// What an API key is made for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyTerms {
    /// What the operator calls it: at most 128 bytes without control characters.
    pub label: Option<String>,
    /// What it may do.
    pub rights: Rights,
    /// When it ends; none: never.
    pub expires: Option<Lifetime>,
    /// The id of the key that makes it, which must still be there: else its tenant may have been deleted meanwhile.
    pub maker: Option<String>,
}

/// A new API key. The secret is shown once and stored nowhere.
pub struct NewKey {
    /// The key's public name, for listing and revoking.
    pub id: String,
    /// What a client sends after `Authorization: Bearer`.
    pub secret: String,
    /// When it ends, by the wall clock; none: never.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An API key as it is listed.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct KeyInfo {
    /// The key's public name.
    pub id: String,
    /// Whose gallery it opens.
    pub tenant: TenantId,
    /// What the operator called it.
    pub label: Option<String>,
    /// The wall clock when it was made.
    #[serde(serialize_with = "microseconds")]
    pub created_at: Timestamp,
    /// What it may do.
    #[schema(value_type = Vec<super::Right>)]
    pub rights: Rights,
    /// When it ends, by the wall clock, to the microsecond; none: never.
    #[serde(serialize_with = "microseconds_or_null")]
    pub expires_at: Option<Timestamp>,
}

impl KeyInfo {
    /// Whether it has ended at this time.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// A tenant as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TenantInfo {
    /// Its name.
    pub name: TenantId,
    /// Its embeddings, active or not.
    pub faces: u64,
    /// How many of them it may have; none: as many as the gallery holds.
    pub max_faces: Option<u64>,
    /// Its keys that are not revoked.
    pub keys: u64,
}

/// How full the gallery is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Tenants that ever had a key or an enrolment.
    pub tenants: u64,
    /// Subjects with at least one embedding, over all tenants.
    pub subjects: u64,
    /// Active embeddings of the loaded recogniser: those that can be matched.
    pub active: u64,
    /// Embeddings that newer ones of the same subject have replaced.
    pub inactive: u64,
    /// Embeddings made by another recogniser, not counted in the two above.
    pub foreign: u64,
    /// API keys that are not revoked.
    pub keys: u64,
    /// Bytes of the store in use.
    pub used_bytes: u64,
    /// Bytes that it may use.
    pub max_bytes: u64,
}

/// What [`Gallery::check`](super::Gallery::check) found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// What the store holds.
    pub stats: Stats,
    /// What is wrong, most serious first. Empty where store and index agree.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// One thing that is wrong, in words, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What does not agree, and where.
    pub message: String,
    /// What to do.
    pub help: String,
}
