//! What goes over the wire, in the reference's own mixture of camelCase and snake_case.

use std::time::Instant;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    clock::{microseconds, microseconds_or_null},
    enrolment::Warning,
    gallery::{EmbeddingId, Enrolment, LastSeen, Right, SubjectId, SubjectInfo},
    operator::Operator,
    recognition::{Seen, SeenFace},
    vision::{Rect, quality::Quality},
};

/// Answer of `POST /enroll`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Enrolled {
    pub(super) success: bool,
    pub(super) embedding_id: EmbeddingId,
    pub(super) subject_id: SubjectId,
    pub(super) embedding_dimension: usize,
    #[serde(rename = "processing_time")]
    pub(super) processing_time: f64,
    /// What looks wrong and was let through; absent where nothing does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<Warned>,
}

/// Something that looks wrong about an enrolment.
#[derive(Serialize, ToSchema)]
pub(super) struct Warned {
    /// As the code of the error that it would be, were it refused; or `subject_suspended`: the face is kept and not matched.
    code: String,
    message: String,
    /// To what it is about; absent for a key that may not read who is enrolled, where it is about another subject.
    #[schema(minimum = 0, maximum = 1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    similarity: Option<f32>,
    /// Whose face it is like; absent for a key that may not read who is enrolled.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_id: Option<SubjectId>,
}

impl Warned {
    /// As far as whoever asks may know.
    pub(super) fn all(warnings: Vec<Warning>, asked_by: &Operator) -> Vec<Self> {
        let may_read = asked_by.must_have(Right::Read).is_ok();
        let told = warnings.into_iter().map(|warning| if may_read { warning } else { warning.discreet() });
        told.map(|Warning { code, message, similarity, other }| Self {
            code: code.into_owned(),
            message,
            similarity,
            subject_id: other,
        })
        .collect()
    }
}

/// Answer of `POST /search`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    pub(super) success: bool,
    pub(super) matches: Vec<Match>,
    pub(super) match_count: usize,
    #[schema(minimum = 0, maximum = 1)]
    pub(super) threshold_used: f64,
    #[serde(rename = "processing_time")]
    pub(super) processing_time: f64,
}

/// The best embedding of one subject that a search found.
#[derive(Serialize, ToSchema)]
pub(super) struct Match {
    id: EmbeddingId,
    pub(super) subject_id: SubjectId,
    #[schema(minimum = 0, maximum = 1)]
    pub(super) similarity: f32,
    #[schema(minimum = 0, maximum = 1)]
    quality_score: f32,
    #[schema(minimum = 0, maximum = 1)]
    liveness_score: Option<f32>,
    enrollment_source: Option<String>,
    /// Alias of `metadata.name`, which the reference's samples read.
    #[schema(value_type = Option<Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<Value>,
    /// Alias of `metadata.email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_email: Option<Value>,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    #[serde(serialize_with = "microseconds")]
    created_at: Timestamp,
}

impl Match {
    pub(super) fn new(enrolment: Enrolment, similarity: f32) -> Self {
        let metadata = enrolment.metadata.unwrap_or_default();
        Self {
            id: enrolment.id,
            subject_id: enrolment.subject,
            similarity,
            quality_score: enrolment.quality_score,
            liveness_score: enrolment.liveness_score,
            enrollment_source: enrolment.source,
            user_name: metadata.get("name").cloned(),
            user_email: metadata.get("email").cloned(),
            metadata,
            created_at: enrolment.created_at,
        }
    }
}

/// Answer of `POST /verify/{subjectId}`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verified {
    pub(super) success: bool,
    pub(super) verified: bool,
    #[schema(minimum = 0, maximum = 1)]
    pub(super) similarity: f32,
    #[schema(minimum = 0, maximum = 1)]
    pub(super) threshold: f64,
    pub(super) embedding_id: EmbeddingId,
    pub(super) enrollment_source: Option<String>,
    #[serde(rename = "processing_time")]
    pub(super) processing_time: f64,
}

/// Answer of `POST /compare`.
#[derive(Serialize, ToSchema)]
pub(super) struct Compared {
    pub(super) success: bool,
    pub(super) same_person: bool,
    #[schema(minimum = 0, maximum = 1)]
    pub(super) similarity: f32,
    #[schema(minimum = 0, maximum = 1)]
    pub(super) threshold: f64,
    pub(super) processing_time: f64,
}

/// Answer of `POST /detect`. All lengths are in pixels of the picture as it is meant to be looked at.
#[derive(Serialize, ToSchema)]
pub(super) struct Detected {
    success: bool,
    /// How many faces there are, also those that are not in `faces`.
    face_count: usize,
    faces: Vec<DetectedFace>,
    image_width: u32,
    image_height: u32,
    processing_time: f64,
}

/// One face, as an enrolment of it would be judged.
#[derive(Serialize, ToSchema)]
struct DetectedFace {
    /// It may reach beyond the picture.
    #[serde(rename = "box")]
    area: Rect,
    /// Eyes, tip of the nose, corners of the mouth; left is the picture's left.
    landmarks: [[f32; 2]; 5],
    #[schema(minimum = 0, maximum = 1)]
    confidence: f32,
    #[schema(minimum = 0, maximum = 1)]
    quality_score: f32,
    /// Why it cannot be enrolled; empty where it can.
    quality_reasons: Vec<Advice>,
    #[schema(minimum = 0, maximum = 1)]
    liveness_score: Option<f32>,
}

/// What is wrong with a picture, and what to do.
#[derive(Serialize, ToSchema)]
struct Advice {
    code: &'static str,
    /// What to do, as a stable name: `turn_left`, `come_closer` …
    advice_code: &'static str,
    /// The same in words.
    advice: &'static str,
}

impl Advice {
    fn all(quality: &Quality) -> Vec<Self> {
        let told = quality.reasons.iter().map(|reason| (reason.code(), quality.advice(*reason)));
        told.map(|(code, advice)| Self { code, advice_code: advice.code(), advice: advice.text() }).collect()
    }
}

impl Detected {
    pub(super) fn new(seen: Seen, processing_time: f64) -> Self {
        let (image_width, image_height) = seen.size;
        let faces = seen.faces.into_iter().map(Into::into).collect();
        Self { success: true, face_count: seen.count, faces, image_width, image_height, processing_time }
    }
}

impl From<SeenFace> for DetectedFace {
    fn from(seen: SeenFace) -> Self {
        Self {
            area: seen.face.area,
            landmarks: seen.face.landmarks.map(|point| [point.x, point.y]),
            confidence: seen.face.confidence,
            quality_score: seen.quality.score,
            quality_reasons: Advice::all(&seen.quality),
            liveness_score: seen.liveness.map(|liveness| liveness.score),
        }
    }
}

/// Answer of `GET /embeddings`.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    pub(super) success: bool,
    pub(super) embeddings: Vec<Embedding>,
    /// How many are in this answer.
    pub(super) count: usize,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<EmbeddingId>,
}

/// One enrolled face. The template itself is never given out.
#[derive(Serialize, ToSchema)]
pub(super) struct Embedding {
    id: EmbeddingId,
    subject_id: SubjectId,
    #[schema(minimum = 0, maximum = 1)]
    quality_score: f32,
    #[schema(minimum = 0, maximum = 1)]
    liveness_score: Option<f32>,
    enrollment_source: Option<String>,
    #[serde(serialize_with = "microseconds")]
    created_at: Timestamp,
    verification_count: u64,
    #[serde(serialize_with = "microseconds_or_null")]
    last_verified_at: Option<Timestamp>,
    active: bool,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    model: String,
}

impl From<Enrolment> for Embedding {
    fn from(enrolment: Enrolment) -> Self {
        Self {
            id: enrolment.id,
            subject_id: enrolment.subject,
            quality_score: enrolment.quality_score,
            liveness_score: enrolment.liveness_score,
            enrollment_source: enrolment.source,
            created_at: enrolment.created_at,
            verification_count: enrolment.verification_count,
            last_verified_at: enrolment.last_verified_at,
            active: enrolment.active,
            metadata: enrolment.metadata.unwrap_or_default(),
            model: enrolment.model,
        }
    }
}

/// Answer of `GET /subjects`.
#[derive(Serialize, ToSchema)]
pub(super) struct SubjectList {
    pub(super) success: bool,
    /// By id.
    pub(super) subjects: Vec<Subject>,
    /// How many are in this answer.
    pub(super) count: usize,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<SubjectId>,
}

/// Answer of `GET` and `PATCH /subjects/{subjectId}`.
#[derive(Serialize, ToSchema)]
pub(super) struct OneSubject {
    pub(super) success: bool,
    pub(super) subject: Subject,
    /// All of them, active or not, oldest first.
    pub(super) embeddings: Vec<Embedding>,
    /// Where `GET /embeddings` of this subject goes on; absent where these are all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<EmbeddingId>,
}

/// Somebody who is enrolled.
#[derive(Serialize, ToSchema)]
pub(super) struct Subject {
    subject_id: SubjectId,
    /// Whether they may be recognised.
    active: bool,
    embedding_count: u64,
    /// Of these, how many can be matched.
    active_embedding_count: u64,
    /// When the oldest embedding was made.
    #[serde(serialize_with = "microseconds")]
    created_at: Timestamp,
    /// When the newest one was.
    #[serde(serialize_with = "microseconds")]
    last_enrolled_at: Timestamp,
    verification_count: u64,
    #[serde(serialize_with = "microseconds_or_null")]
    last_verified_at: Option<Timestamp>,
    /// Where and when a door recognised them last.
    #[serde(serialize_with = "seen_or_null")]
    last_seen: Option<LastSeen>,
}

impl From<SubjectInfo> for Subject {
    fn from(info: SubjectInfo) -> Self {
        Self {
            subject_id: info.subject,
            active: info.active,
            embedding_count: info.embeddings,
            active_embedding_count: info.active_embeddings,
            created_at: info.first_enrolled_at,
            last_enrolled_at: info.last_enrolled_at,
            verification_count: info.verification_count,
            last_verified_at: info.last_verified_at,
            last_seen: info.last_seen,
        }
    }
}

/// Answer of the three ways to delete.
#[derive(Serialize, ToSchema)]
pub(super) struct Deleted {
    success: bool,
    message: String,
    deleted: usize,
}

impl Deleted {
    /// For one embedding: the reference's own words.
    pub(super) fn one() -> Self {
        Self { success: true, message: "Face embedding deleted successfully".into(), deleted: 1 }
    }

    /// For all of a subject or of a tenant.
    pub(super) fn all(deleted: usize) -> Self {
        Self { success: true, message: format!("Face embeddings deleted successfully: {deleted}"), deleted }
    }
}

/// It is done.
#[derive(Serialize, ToSchema)]
pub(super) struct Done {
    success: bool,
}

impl Done {
    pub(super) const fn new() -> Self {
        Self { success: true }
    }
}

fn seen_or_null<S: Serializer>(seen: &Option<LastSeen>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Told<'a> {
        door: &'a str,
        #[serde(serialize_with = "microseconds")]
        at: Timestamp,
    }
    seen.as_ref().map(|LastSeen { door, at }| Told { door, at: *at }).serialize(serializer)
}

/// Seconds since `start`, to the microsecond.
pub(super) fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_micros() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_decimals_whatever_they_are() {
        for (time, told) in [
            ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000000Z"),
            ("2026-11-23T10:00:00.5Z", "2026-11-23T10:00:00.500000Z"),
            ("2026-11-23T10:00:00.12345Z", "2026-11-23T10:00:00.123450Z"),
        ] {
            let at: Timestamp = time.parse().expect("a time");
            let written = microseconds(&at, serde_json::value::Serializer).expect("a text");
            assert_eq!(written, told);
            let seen = Some(LastSeen { door: "front".into(), at });
            let written = seen_or_null(&seen, serde_json::value::Serializer).expect("an object");
            assert_eq!(written, serde_json::json!({ "door": "front", "at": told }));
        }
    }
}
