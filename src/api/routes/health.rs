//! `GET /healthz` and `GET /readyz`, for whatever watches the daemon. Neither needs a key nor tells anything else.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use serde::Serialize;

use super::Answer;
use crate::api::State;

#[derive(Serialize)]
pub(in crate::api) struct Healthy {
    success: bool,
}

/// The process answers.
pub(in crate::api) async fn healthz() -> Json<Healthy> {
    Json(Healthy { success: true })
}

/// The door and the gallery do their work.
pub(in crate::api) async fn readyz(Shared(state): Shared<Arc<State>>) -> Answer<Healthy> {
    state.readiness.everything()?;
    Ok(Json(Healthy { success: true }))
}
