//! `GET /metrics`, for Prometheus, and `GET /version`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State as Shared,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    api::{State, blocking, error::Failure, metrics},
    operator::Operator,
    recognition::Recognition,
};

/// The text format of `OpenMetrics`.
const TEXT: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

#[derive(Serialize)]
pub(in crate::api) struct Version {
    success: bool,
    name: &'static str,
    version: &'static str,
}

/// What this is, and which one.
pub(in crate::api) async fn version() -> Json<Version> {
    Json(Version { success: true, name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") })
}

/// Whoever comes without a key is of this machine: all doors are told. A key is told its own doors.
pub(in crate::api) async fn metrics(
    Shared(state): Shared<Arc<State>>,
    operator: Option<Extension<Operator>>,
) -> Result<Response, Failure> {
    let page = blocking(move || {
        let doors = match &operator {
            Some(Extension(operator)) => state.desk.doors(operator)?,
            None => state.desk.every_door()?,
        };
        let operator = operator.as_ref().map(|Extension(operator)| operator);
        let snapshot = metrics::Snapshot {
            gallery: state.gallery.stats()?,
            journal: state.desk.journal(),
            doors,
            work: state.desk.work(operator),
            photographs: state.recognition.as_ref().map(|recognition| Arc::clone(recognition.tally())),
            waiting: state.recognition.as_ref().map_or(0, Recognition::waiting),
            uploads: state.settings.max_uploads.saturating_sub(state.uploads.available_permits()),
        };
        metrics::render(&state.requests, snapshot)
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, TEXT)], page).into_response())
}
