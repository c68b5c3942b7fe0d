//! `POST /verify/{subjectId}`

use std::{sync::Arc, time::Instant};

use axum::{
    Extension, Json,
    extract::{Path, State as Shared, rejection::PathRejection},
};

use utoipa::ToSchema;

use super::{Binary, Cached, Threshold, subjects::named};
use crate::{
    api::{
        State,
        auth::Tenant,
        blocking,
        cache::For,
        dto::{Verified, seconds_since},
        form::{Fields, Form},
        openapi::failures,
    },
    error::{Error, Kind},
    gallery::{ListFilter, SubjectId},
};

/// The fields of the form, as they are told to clients.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form is read field by field")]
pub(in crate::api) struct VerifyForm {
    /// Where it shows several faces, the largest counts.
    image: Binary,
    /// The least similarity that counts. **Higher is stricter**: fewer strangers match, and the right person is refused more often.
    #[schema(minimum = 0, maximum = 1, default = 0.6)]
    threshold: Option<f64>,
}

impl Fields for VerifyForm {
    const TEXTS: &'static [&'static str] = &["threshold"];
}

/// Finds out whether a face is this subject's (1:1).
///
/// The best of the subject's active embeddings counts, also when it does not reach the threshold (`"verified": false`). A success
/// counts in `verification_count` and `last_verified_at`.
#[utoipa::path(post, path = "/verify/{subject_id}", params(("subject_id" = SubjectId, Path, description = "Whose face it may be.")),
    request_body(content = VerifyForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "How alike they are, and whether that is enough.", body = Verified,
        headers(("Embedding-Cache" = String, description = "Whether the photograph was seen a moment ago."))),
        failures::Form, failures::Photograph, failures::AFace, failures::NoSubject, failures::Stores))]
pub(in crate::api) async fn verify(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    subject: Result<Path<String>, PathRejection>,
    mut form: Form<VerifyForm>,
) -> Cached<Verified> {
    let started = Instant::now();
    let subject = named(subject)?;
    let threshold = Threshold::read(&form.values)?;
    let image = form.image("image")?;

    // Nobody's picture is looked at for a subject that is not there.
    let filter = ListFilter { subject: Some(subject.clone()), active_only: true, limit: 1, after: None };
    let (gallery, owner) = (Arc::clone(&state.gallery), tenant.clone());
    let enrolled = blocking(move || gallery.list(&owner, &filter)).await?;
    if enrolled.enrolments.is_empty() {
        return Err(nobody().into());
    }

    let recognition = state.recognition()?;
    let (probe, known) = state.cache.look(&state.gallery, recognition, &tenant, For::Matching, image).await?;
    let (gallery, calibration) = (Arc::clone(&state.gallery), recognition.calibration().clone());
    let answer = blocking(move || {
        let best = gallery.compare(&tenant, &subject, &probe.embedding)?;
        let similarity = calibration.similarity(best.cosine);
        let verified = threshold.passes(similarity);
        if verified {
            gallery.note_verification(&tenant, &best.enrolment.id)?;
        }
        Ok(Verified {
            success: true,
            verified,
            similarity,
            threshold: threshold.given,
            embedding_id: best.enrolment.id,
            enrollment_source: best.enrolment.source,
            processing_time: seconds_since(started),
        })
    })
    .await
    .map_err(|failure| match failure.0.kind() {
        // Deleted while it was compared.
        Kind::SubjectNotFound | Kind::EmbeddingNotFound => nobody().into(),
        _ => failure,
    })?;
    Ok(([known.header()], Json(answer)))
}

fn nobody() -> Error {
    Error::new(Kind::SubjectNotFound, "no such subject has an active embedding")
}
