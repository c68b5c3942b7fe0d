//! `POST /detect`

use std::{sync::Arc, time::Instant};

use axum::{Json, extract::State as Shared};

use utoipa::ToSchema;

use super::{Answer, Binary};
use crate::api::{
    State,
    dto::{Detected, seconds_since},
    form::{Fields, Form},
    openapi::failures,
};

/// The field of the form, as it is told to clients.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form is read field by field")]
pub(in crate::api) struct DetectForm {
    /// Any photograph.
    image: Binary,
}

impl Fields for DetectForm {}

/// Finds all faces, as an enrolment would judge them.
///
/// What an enrolment page needs before it enrols. Nothing is kept. No face is no error: `face_count` is 0.
#[utoipa::path(post, path = "/detect", request_body(content = DetectForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "The largest face first, at most 10 of them.", body = Detected),
        failures::Form, failures::Photograph))]
pub(in crate::api) async fn detect(Shared(state): Shared<Arc<State>>, mut form: Form<DetectForm>) -> Answer<Detected> {
    let started = Instant::now();
    let image = form.image("image")?;
    let seen = state.recognition()?.detect(image).await?;
    Ok(Json(Detected::new(seen, seconds_since(started))))
}
