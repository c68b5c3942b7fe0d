//! `GET /metrics`, for Prometheus, and `GET /version`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State as Shared,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{State, blocking, error::Failure, metrics, openapi::failures::Restricted},
    operator::Operator,
    recognition::Recognition,
};

/// The text format of `OpenMetrics`.
const TEXT: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What this is.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Version {
    success: bool,
    name: &'static str,
    version: &'static str,
}

/// Says what this is, and which version.
#[utoipa::path(get, path = "/version", responses((status = 200, description = "Name and version.", body = Version)))]
pub(in crate::api) async fn version() -> Json<Version> {
    Json(Version { success: true, name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") })
}

/// Tells Prometheus the metrics.
///
/// No key is needed from the board itself: from a loopback address, or by the daemon's socket. From elsewhere it takes a key with the
/// right `read`, which is told its tenant's doors only. No label names a person or a tenant.
#[utoipa::path(get, path = "/metrics",
    responses((status = 200, description = "OpenMetrics text.", body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"), Restricted))]
pub(in crate::api) async fn metrics(
    Shared(state): Shared<Arc<State>>,
    operator: Option<Extension<Operator>>,
) -> Result<Response, Failure> {
    // Whoever comes without a key is of this machine: all doors are told. A key is told its own doors.
    let page = blocking(move || {
        let doors = match &operator {
            Some(Extension(operator)) => state.desk.doors(operator)?,
            None => state.desk.every_door()?,
        };
        let operator = operator.as_ref().map(|Extension(operator)| operator);
        let snapshot = metrics::Snapshot {
            gallery: state.gallery.stats()?,
            behind_s: state
                .gallery
                .behind()
                .map_or(0.0, |behind| state.gallery.clock().now().since(behind.since).as_secs_f64()),
            journal: state.desk.journal(),
            doors,
            work: state.desk.work(operator),
            photographs: state.recognition.as_ref().map(|recognition| Arc::clone(recognition.tally())),
            waiting: state.recognition.as_ref().map_or(0, Recognition::waiting),
            fleet: state.fleet.get().cloned(),
            uploads: state.uploads.taken(),
        };
        metrics::render(&state.requests, snapshot)
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, TEXT)], page).into_response())
}
