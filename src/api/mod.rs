//! The REST API: the seven calls below `/v1/face-matching`, as `docs/api.md` tells them to users, the rules below
//! `/v1/access`, as `docs/access.md` does, and the doors below `/v1/doors`, as `docs/door.md` does.
//!
//! A request passes, from the outside in: the connection (`server`, bounded in number, size and time), its id, time limit and
//! log line (`edge`), panics caught, the key that names the tenant and its rights (`auth`), its form or query (`form`, `values`), its handler
//! (`routes`), and comes back as one of the answers of `dto` or as an error (`error`).
//!
//! Knows no camera, and of doors what the operator's desk tells. Everything that it needs comes in by [`State`]; a test
//! serves it on port 0.

mod auth;
mod dto;
mod edge;
mod error;
mod form;
mod local;
mod readiness;
mod routes;
mod server;
mod settings;
mod values;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post},
};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use self::{auth::needs, error::Failure};
pub use self::{local::Socket, readiness::Readiness, server::Listener, settings::Settings};
use crate::{
    error::{Error, Kind, Result},
    gallery::{Gallery, Right},
    operator::Desk,
    recognition::Recognition,
};

/// What the handlers share.
pub struct State {
    settings: Settings,
    gallery: Arc<Gallery>,
    /// None where photographs are nobody's business: the API is off but for the daemon's socket.
    recognition: Option<Recognition>,
    desk: Desk,
    readiness: Arc<Readiness>,
    uploads: Arc<Semaphore>,
}

impl State {
    /// Puts the parts together. `settings` must have passed [`Settings::validate`]. Without `recognition`, calls with a
    /// photograph are answered `not_ready`.
    pub fn new(settings: Settings, gallery: Arc<Gallery>, recognition: Option<Recognition>, desk: Desk) -> Arc<Self> {
        let uploads = Arc::new(Semaphore::new(settings.max_uploads));
        Arc::new(Self { settings, gallery, recognition, desk, readiness: Arc::default(), uploads })
    }

    fn recognition(&self) -> Result<&Recognition> {
        self.recognition.as_ref().ok_or_else(|| {
            Error::new(Kind::NotReady, "photographs are not worked on: the API is off").help("set api.listen")
        })
    }

    /// Where the daemon says how its doors are.
    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.readiness
    }
}

/// Serves the API on `listeners` until `shutdown` is ready. Requests under way then get half a second to end; what has not
/// ended by then is cut.
///
/// Must run on a multi-threaded `tokio` runtime with time and I/O. Errors of single connections end those alone.
///
/// # Errors
/// [`Kind::Io`] where a listener cannot be used.
pub async fn serve(
    listeners: Vec<Listener>,
    state: Arc<State>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let (settings, readiness) = (state.settings.clone(), Arc::clone(&state.readiness));
    let shutdown = async {
        shutdown.await;
        readiness.stop();
    };
    server::run(listeners, &router(state), &settings, shutdown).await
}

fn router(state: Arc<State>) -> Router {
    let calls = Router::new()
        .route("/enroll", needs(Right::Enrol, post(routes::enroll::enroll)))
        .route("/search", needs(Right::Match, post(routes::search::search)))
        .route("/verify/{subject_id}", needs(Right::Match, post(routes::verify::verify)))
        .route("/embeddings", needs(Right::Read, get(routes::embeddings::list)))
        .route("/embeddings", needs(Right::Delete, delete(routes::embeddings::delete_many)))
        .route("/embeddings/{embedding_id}", needs(Right::Delete, delete(routes::embeddings::delete_one)))
        .route_layer(from_fn_with_state(Arc::clone(&state), auth::tenants));
    let access = routes::access::router()
        .route_layer(from_fn(auth::reading_or_changing))
        .route_layer(from_fn_with_state(Arc::clone(&state), auth::tenants));
    let doors = routes::doors::router().route_layer(from_fn_with_state(Arc::clone(&state), auth::operators));
    let admin = routes::admin::router().route_layer(from_fn_with_state(Arc::clone(&state), auth::operators));
    Router::new()
        .nest("/v1/face-matching", calls)
        .nest("/v1/access", access)
        .nest("/v1/doors", doors)
        .nest("/v1/admin", admin)
        .route("/healthz", get(routes::health::healthz))
        .route("/readyz", get(routes::health::readyz))
        .fallback(async || Failure::new(Kind::NotFound, "there is nothing at this path"))
        .method_not_allowed_fallback(async || Failure::new(Kind::MethodNotAllowed, "this path has no such method"))
        .layer(DefaultBodyLimit::max(state.settings.max_body_bytes))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(Arc::clone(&state), edge::layer))
        .with_state(state)
}

/// Runs a call of the gallery, which may wait for the disk, where it holds nobody up.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(call).await {
        Ok(outcome) => outcome.map_err(Failure),
        Err(panic) => Err(Failure(Error::new(Kind::Internal, "a call of the gallery panicked").source(panic))),
    }
}
