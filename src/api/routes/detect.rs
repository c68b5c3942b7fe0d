//! `POST /detect`

use std::{sync::Arc, time::Instant};

use axum::{Json, extract::State as Shared};

use super::Answer;
use crate::api::{
    State,
    dto::{Detected, seconds_since},
    form::Form,
};

/// A photograph without a face is no error: a page that shows a camera's picture asks over and over.
pub(in crate::api) async fn detect(Shared(state): Shared<Arc<State>>, mut form: Form) -> Answer<Detected> {
    let started = Instant::now();
    let image = form.image()?;
    let seen = state.recognition()?.detect(image).await?;
    Ok(Json(Detected::new(seen, seconds_since(started))))
}
