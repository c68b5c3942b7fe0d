//! `POST /verify/{subjectId}`

use std::{sync::Arc, time::Instant};

use axum::{
    Extension, Json,
    extract::{Path, State as Shared, rejection::PathRejection},
};

use super::{Cached, Threshold, subjects::named};
use crate::{
    api::{
        State,
        auth::Tenant,
        blocking,
        cache::For,
        dto::{Verified, seconds_since},
        form::Form,
    },
    error::{Error, Kind},
    gallery::ListFilter,
};

pub(in crate::api) async fn verify(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    subject: Result<Path<String>, PathRejection>,
    mut form: Form,
) -> Cached<Verified> {
    let started = Instant::now();
    let subject = named(subject)?;
    let threshold = Threshold::read(&form.values)?;
    let image = form.image()?;

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
            gallery.record_verification(&tenant, &best.enrolment.id)?;
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
