//! `GET /healthz` and `GET /readyz`, for whatever watches the daemon. Neither needs a key nor tells anything else.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use serde::Serialize;
use utoipa::ToSchema;

use super::Answer;
use crate::api::{State, openapi::failures::Unready};

/// Everything works.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Healthy {
    success: bool,
}

/// Says whether the process runs.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "It does.", body = Healthy)))]
pub(in crate::api) async fn healthz() -> Json<Healthy> {
    Json(Healthy { success: true })
}

/// Says whether the doors and the gallery do their work.
#[utoipa::path(get, path = "/readyz", responses((status = 200, description = "They do.", body = Healthy), Unready))]
pub(in crate::api) async fn readyz(Shared(state): Shared<Arc<State>>) -> Answer<Healthy> {
    state.readiness.everything()?;
    Ok(Json(Healthy { success: true }))
}
