//! `POST /export` and `POST /import`: the tenant's enrolments as a file, templates and all, from board to board.

use std::sync::Arc;

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Request, State as Shared},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};

use crate::{
    api::{
        State,
        auth::Tenant,
        blocking,
        error::{self, Failure},
        form::check_encoding,
        lines::{self, Bounds, Lines, NDJSON},
        openapi::failures,
    },
    error::Result,
    gallery::{Export, Import, Imported, LONGEST_LINE},
};

/// Writes the tenant's enrolments as a file, templates and all.
///
/// A JSON object a line. Where something fails half-way, the answer breaks off, and has no last line.
#[utoipa::path(post, path = "/export",
    responses((status = 200, description = "The file.", body = String, content_type = "application/x-ndjson"),
        failures::NotThere, failures::Recorded))]
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

/// Takes in such a file.
///
/// What is there already is passed over. The answer begins at once and has one line, when the end of the file has come or something
/// is wrong with it: `{"done": true, "imported": 600, ...}`, or `{"done": false, "error": {...}, "imported": 256, ...}`. What was
/// imported before something was wrong stays.
#[utoipa::path(post, path = "/import", request_body(content = String, content_type = "text/plain", description = "The file. Whatever `Content-Type` says."),
    responses((status = 200, description = "How it ended.", body = String, content_type = "application/x-ndjson"),
        failures::Uncompressed, failures::NotThere, failures::Recorded))]
pub(in crate::api) async fn import(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    request: Request,
) -> Result<Response, Failure> {
    check_encoding(request.headers())?;
    let place = state.uploads.place(&tenant)?;
    let bounds = Bounds {
        line: LONGEST_LINE,
        whole: state.settings.max_batch_bytes,
        patience: state.settings.request_timeout(),
    };
    let lines = Lines::new(request.into_body(), bounds);
    let gallery = Arc::clone(&state.gallery);
    let import = blocking(move || Import::new(gallery, tenant)).await?;
    let (teller, response) = lines::answer();
    tokio::spawn(async move {
        let _place = place;
        let mut so_far = Imported::default();
        let end = match take_all(lines, import, &mut so_far).await {
            Ok(()) => json!({ "done": true }),
            Err(error) => json!({ "done": false, "error": error::told(&error) }),
        };
        teller.tell(&with(end, so_far));
    });
    Ok(response)
}

/// Takes in what comes. `so_far` tells what is stored, however it ends.
async fn take_all(mut lines: Lines, mut import: Import, so_far: &mut Imported) -> Result<()> {
    loop {
        let line = lines.next().await.and_then(Option::transpose);
        let next = blocking(move || {
            let ended = match line {
                Ok(Some(line)) => import.take(&line).map(|()| false),
                Ok(None) => import.finish().map(|_| true),
                Err(error) => {
                    // What came before is stored. That the file is cut is known.
                    let _ = import.finish();
                    Err(error)
                }
            };
            Ok((import, ended))
        });
        let (taken, ended) = next.await.map_err(|Failure(error)| error)?;
        import = taken;
        *so_far = import.so_far();
        if ended? {
            return Ok(());
        }
    }
}

fn with(mut line: Value, imported: Imported) -> Value {
    if let (Some(line), Ok(Value::Object(counts))) = (line.as_object_mut(), serde_json::to_value(imported)) {
        line.extend(counts);
    }
    line
}
