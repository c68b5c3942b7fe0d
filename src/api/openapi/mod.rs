//! The OpenAPI document, made from the code: `GET /openapi.json`, `facegate openapi`, and what the page below `/docs` reads.
//!
//! # How a new call is documented
//!
//! 1. Above its handler stands its attribute. The handler's doc comment is its text: the first line is the summary.
//!
//!    ```ignore
//!    /// Enrols a face.
//!    ///
//!    /// When the answer arrives, the enrolment survives a power cut.
//!    #[utoipa::path(post, path = "/enroll", request_body(content = EnrolForm, content_type = "multipart/form-data"),
//!        responses((status = 200, description = "Stored.", body = Enrolled), Form, Photograph, OneFace, Stores))]
//!    ```
//!
//!    `Form`, `Photograph` and so on are sets of errors of [`failures`]; a call has as many of them as it needs. What every
//!    call can answer (401, 429, 500 and so on), its tag, its id and the headers are added by [`finish`].
//! 2. It is put into the router by `.routes(needs(Right::Enrol, routes!(enroll)))`, in [`calls`](super::calls) or its own
//!    section's `router()`. `needs` documents the right, too. There is no way round this: the document has what the router
//!    serves, and a test sees that it has no more and no less.
//! 3. What goes over the wire derives [`utoipa::ToSchema`], never `json!` by hand; parameters of a query derive
//!    [`utoipa::IntoParams`]. A form has a type that says what its fields are, and is otherwise not used.
//!
//! Schemathesis then calls it (`tests/it/openapi`), and fails where it answers what is not written here.

pub(super) mod failures;
mod finish;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, sync::LazyLock};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::sync::OnceCell;
use tower::{ServiceExt as _, service_fn};
use tower_http::compression::Compression;
use utoipa::openapi::{Ref, path::Operation};
use utoipa_axum::router::OpenApiRouter;

use super::{calls::Calls, error::Failure};
use crate::{
    error::{Context as _, Kind},
    gallery::Right,
};

/// The document in the form in which it is served.
static BYTES: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

/// The same compressed: whoever asks for it over and over costs no more than sending it.
static COMPRESSED: OnceCell<Bytes> = OnceCell::const_new();

/// How long a browser may keep what only another version of the program changes.
pub(super) const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The OpenAPI document of all calls: version 3.1, in JSON.
pub fn document() -> Value {
    finish::finish(Calls::all().whole().into_openapi())
}

/// Tells all calls, as OpenAPI 3.1.
///
/// `facegate openapi` prints the same document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "The document.", body = Value)))]
pub(super) async fn openapi(request: Request) -> Result<Response, Failure> {
    // As all answers are: it says whether this client takes the document compressed, and how that looks.
    let compressing = Compression::new(service_fn(|_: Request| async { Ok::<_, Infallible>(plain()) }));
    let Ok(answer) = compressing.oneshot(request).await;
    if !answer.headers().contains_key(header::CONTENT_ENCODING) {
        return Ok(plain());
    }
    let (head, body) = answer.into_parts();
    let compressed = COMPRESSED.get_or_try_init(|| to_bytes(Body::new(body), BYTES.len())).await;
    let compressed = compressed.context(Kind::Internal, || "the document cannot be compressed")?;
    // The layer around all calls takes it for what it says that it is.
    Ok(Response::from_parts(head, compressed.clone().into()))
}

fn plain() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json), (header::CACHE_CONTROL, CACHED)], BYTES.clone()).into_response()
}

/// Says in the document which right a call needs.
pub(super) fn told(operation: &mut Operation, right: Right) {
    let needs = format!("Needs the right `{}`.", right.name());
    operation.description = Some(match operation.description.take() {
        Some(text) => format!("{text}\n\n{needs}"),
        None => needs,
    });
    operation.responses.responses.insert(Kind::Forbidden.code().into(), Ref::new("").into());
}

/// The same of all calls of a section: those that read and those that change.
pub(super) fn all_told<S>(router: &mut OpenApiRouter<S>, reading: Right, changing: Right)
where
    S: Send + Sync + Clone + 'static,
{
    for item in router.get_openapi_mut().paths.paths.values_mut() {
        let changes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        changes.into_iter().flatten().for_each(|operation| told(operation, changing));
        item.get.iter_mut().for_each(|operation| told(operation, reading));
    }
}
