//! What goes over the wire, in the reference's own mixture of camelCase and snake_case.

use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::gallery::{EmbeddingId, Enrolment, SubjectId};

/// Answer of `POST /enroll`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Enrolled {
    pub(super) success: bool,
    pub(super) embedding_id: EmbeddingId,
    pub(super) subject_id: SubjectId,
    pub(super) embedding_dimension: usize,
    #[serde(rename = "processing_time")]
    pub(super) processing_time: f64,
}

/// Answer of `POST /search`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    pub(super) success: bool,
    pub(super) matches: Vec<Match>,
    pub(super) match_count: usize,
    pub(super) threshold_used: f64,
    #[serde(rename = "processing_time")]
    pub(super) processing_time: f64,
}

/// The best embedding of one subject that a search found.
#[derive(Serialize)]
pub(super) struct Match {
    id: EmbeddingId,
    pub(super) subject_id: SubjectId,
    pub(super) similarity: f32,
    quality_score: f32,
    liveness_score: Option<f32>,
    enrollment_source: Option<String>,
    /// Alias of `metadata.name`, which the reference's samples read.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<Value>,
    /// Alias of `metadata.email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_email: Option<Value>,
    metadata: Map<String, Value>,
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
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verified {
    pub(super) success: bool,
    pub(super) verified: bool,
    pub(super) similarity: f32,
    pub(super) threshold: f64,
    pub(super) embedding_id: EmbeddingId,
    pub(super) enrollment_source: Option<String>,
    #[serde(rename = "processing_time")]
    pub(super) processing_time: f64,
}

/// Answer of `GET /embeddings`.
#[derive(Serialize)]
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
#[derive(Serialize)]
pub(super) struct Embedding {
    id: EmbeddingId,
    subject_id: SubjectId,
    quality_score: f32,
    liveness_score: Option<f32>,
    enrollment_source: Option<String>,
    created_at: Timestamp,
    verification_count: u64,
    last_verified_at: Option<Timestamp>,
    active: bool,
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

/// Answer of the three ways to delete.
#[derive(Serialize)]
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

/// Seconds since `start`, to the microsecond.
pub(super) fn seconds_since(start: Instant) -> f64 {
    start.elapsed().as_micros() as f64 / 1e6
}
