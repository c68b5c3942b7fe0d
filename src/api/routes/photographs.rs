//! `GET /embeddings/{embeddingId}/photograph`: the face that was enrolled, where photographs are kept.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State as Shared, rejection::PathRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{
    Binary,
    embeddings::{no_such_embedding, tell_alike},
};
use crate::{
    api::{State, auth::Tenant, blocking, error::Failure, openapi::failures},
    error::Kind,
    gallery::EmbeddingId,
};

/// Gives the face that was enrolled, where photographs are kept.
///
/// Whoever looks at one stands in the record of calls.
#[utoipa::path(get, path = "/embeddings/{embedding_id}/photograph",
    params(("embedding_id" = String, Path, description = "Which one.")),
    responses((status = 200, description = "It.", body = Binary, content_type = "image/jpeg"),
        failures::NoEmbedding, failures::NotThere, failures::Recorded))]
pub(in crate::api) async fn get(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let id: EmbeddingId = id.ok().and_then(|Path(id)| id.parse().ok()).ok_or_else(no_such_embedding)?;
    let gallery = Arc::clone(&state.gallery);
    let kept = blocking(move || gallery.photograph(&tenant, &id)).await.map_err(tell_alike)?;
    let jpeg = kept.ok_or_else(|| Failure::new(Kind::NotFound, "no photograph was kept with this embedding"))?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    Ok(([kind], jpeg.to_vec()).into_response())
}
