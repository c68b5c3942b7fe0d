//! `POST /enroll`

use std::{sync::Arc, time::Instant};

use axum::{Extension, Json, extract::State as Shared};

use super::Answer;
use crate::{
    api::{State, audit::About, auth::Tenant, blocking, dto::Enrolled, dto::seconds_since, form::Form},
    error::{Error, Kind},
    gallery::NewEnrolment,
    vision::DIMENSION,
};

/// Longest `enrollment_source`, in bytes.
const LONGEST_SOURCE: usize = 256;

pub(in crate::api) async fn enroll(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Extension(about): Extension<About>,
    mut form: Form,
) -> Answer<Enrolled> {
    let started = Instant::now();
    let subject = form
        .values
        .subject("subject_id")?
        .ok_or_else(|| Error::new(Kind::MissingField, "subject_id is required: your own id of the person"))?;
    about.subject(&subject);
    let quality = form.values.fraction("quality_score")?;
    let liveness = form.values.fraction("liveness_score")?;
    let source = form.values.label("enrollment_source", LONGEST_SOURCE)?;
    let metadata = form.values.metadata("metadata")?;
    let image = form.image()?;

    let recognition = state.recognition()?;
    let kept = state.gallery.keeps_photographs().then(|| image.clone());
    let probe = recognition.enrolment(image).await?;
    let photograph = match kept {
        Some(file) => Some(recognition.portrait(file, probe.face.area).await?.into()),
        None => None,
    };
    let enrolment = NewEnrolment {
        subject,
        embedding: probe.embedding,
        quality_score: quality.map_or(probe.quality.score, |given| given as f32),
        liveness_score: liveness.map(|given| given as f32).or(probe.liveness),
        source,
        metadata,
        photograph,
    };
    let gallery = Arc::clone(&state.gallery);
    let enrolled = blocking(move || gallery.enroll_in(&tenant, enrolment)).await?;
    about.embedding(&enrolled.id);
    Ok(Json(Enrolled {
        success: true,
        embedding_id: enrolled.id,
        subject_id: enrolled.subject,
        embedding_dimension: DIMENSION,
        processing_time: seconds_since(started),
    }))
}
