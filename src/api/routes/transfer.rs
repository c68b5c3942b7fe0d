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
        audit::{self, Caller},
        auth::Tenant,
        blocking,
        error::{self, Failure},
        form::check_encoding,
        lines::{self, Bounds, Lines, NDJSON},
        openapi::failures,
    },
    error::{Error, Result},
    gallery::{Export, Gallery, Import, Imported, LONGEST_LINE},
    operator::Operator,
};

/// Writes the tenant's enrolments as a file, templates and all.
///
/// A JSON object a line. Where something fails half-way, or the key is revoked, the answer breaks off, and has no last line.
#[utoipa::path(post, path = "/export",
    responses((status = 200, description = "The file.", body = String, content_type = "application/x-ndjson"),
        failures::NotThere, failures::Recorded))]
pub(in crate::api) async fn export(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    let gallery = Arc::clone(&state.gallery);
    let export = blocking(move || Export::new(gallery, tenant)).await?;
    // Dropped where the client goes away, and so written.
    let line = caller.rest(&state);
    let chunks = stream::try_unfold((export, line), move |(mut export, mut line)| {
        let (gallery, operator) = (Arc::clone(&state.gallery), caller.operator().clone());
        async move {
            let next = blocking(move || {
                let chunk = operator.still_allowed(&gallery).and_then(|()| export.next_chunk());
                Ok((chunk, export))
            });
            let (chunk, export) = next.await.map_err(|Failure(error)| error)?;
            line.counted([("embeddings", export.embeddings())]);
            match &chunk {
                Ok(None) => line.ended(Ok(())),
                Ok(Some(_)) => {}
                Err(error) => line.ended(Err(error)),
            }
            Ok::<_, Error>(chunk?.map(|chunk| (Bytes::from(chunk), (export, line))))
        }
    });
    Ok(audit::begun(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(chunks)).into_response()))
}

/// Takes in such a file.
///
/// What is there already is passed over. The answer begins at once and has one line, when the end of the file has come or something
/// is wrong with it, or the key is revoked: `{"done": true, "imported": 600, ...}`, or `{"done": false, "error": {...}, "imported": 256, ...}`. What was
/// imported before something was wrong stays.
#[utoipa::path(post, path = "/import", request_body(content = String, content_type = "text/plain", description = "The file. Whatever `Content-Type` says."),
    responses((status = 200, description = "How it ended.", body = String, content_type = "application/x-ndjson"),
        failures::Uncompressed, failures::NotThere, failures::Recorded))]
pub(in crate::api) async fn import(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Extension(caller): Extension<Caller>,
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
    let who = Who { operator: caller.operator().clone(), gallery: Arc::clone(&state.gallery) };
    let mut line = caller.rest(&state);
    let (teller, response) = lines::answer();
    tokio::spawn(async move {
        let _place = place;
        let mut so_far = Imported::default();
        let ended = take_all(lines, import, &who, &mut so_far).await;
        line.ended(ended.as_ref().copied());
        let Imported { imported, already_there, foreign, suspended } = so_far;
        line.counted([
            ("imported", imported),
            ("already_there", already_there),
            ("foreign", foreign),
            ("suspended", suspended),
        ]);
        // Written before it is told.
        drop(line);
        let end = match ended {
            Ok(()) => json!({ "done": true }),
            Err(error) => json!({ "done": false, "error": error::told(&error) }),
        };
        teller.tell(&with(end, so_far));
    });
    Ok(audit::begun(response))
}

/// Who imports, and where it is known whether they still may.
#[derive(Clone)]
struct Who {
    operator: Operator,
    gallery: Arc<Gallery>,
}

/// Takes in what comes. `so_far` tells what is stored, however it ends. A key that is revoked meanwhile stores nothing more, also of
/// what has come.
async fn take_all(mut lines: Lines, mut import: Import, who: &Who, so_far: &mut Imported) -> Result<()> {
    loop {
        let line = lines.next().await.and_then(Option::transpose);
        let who = who.clone();
        let next = blocking(move || {
            if let Err(error) = who.operator.still_allowed(&who.gallery) {
                return Ok((import, Err(error)));
            }
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
