//! `POST /compare`

use std::{sync::Arc, time::Instant};

use axum::{Json, extract::State as Shared};

use super::{Answer, Threshold};
use crate::api::{
    State,
    dto::{Compared, seconds_since},
    form::Form,
};

/// Nobody's enrolments are looked at, and nothing is kept.
pub(in crate::api) async fn compare(Shared(state): Shared<Arc<State>>, mut form: Form) -> Answer<Compared> {
    let started = Instant::now();
    let threshold = Threshold::read(&form.values)?;
    let (first, second) = form.two_images()?;
    let recognition = state.recognition()?;
    let similarity = recognition.calibration().similarity(recognition.compare(first, second).await?);
    Ok(Json(Compared {
        success: true,
        same_person: threshold.passes(similarity),
        similarity,
        threshold: threshold.given,
        processing_time: seconds_since(started),
    }))
}
