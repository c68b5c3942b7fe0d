//! `POST /export`: the tenant's enrolments as a file, templates and all, for another board.

use std::sync::Arc;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State as Shared,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use crate::{
    api::{State, auth::Tenant, blocking, error::Failure},
    gallery::Export,
};

/// Lines of JSON.
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Chunk by chunk: memory holds one. Where the gallery fails half-way, the answer breaks off, and has no last line.
pub(in crate::api) async fn export(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
) -> Result<Response, Failure> {
    let gallery = Arc::clone(&state.gallery);
    let export = blocking(move || Export::new(gallery, tenant)).await?;
    let chunks = stream::try_unfold(export, |mut export| async move {
        let next = blocking(move || Ok((export.next_chunk()?, export))).await.map_err(|Failure(error)| error)?;
        let (chunk, export) = next;
        Ok::<_, crate::error::Error>(chunk.map(|chunk| (Bytes::from(chunk), export)))
    });
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(chunks)).into_response())
}
