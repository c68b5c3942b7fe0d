//! The REST API: the seven calls below `/v1/face-matching`, as `docs/api.md` tells them to users, and the rules below
//! `/v1/access`, as `docs/access.md` does.
//!
//! A request passes, from the outside in: the connection (`server`, bounded in number, size and time), its id, time limit and
//! log line (`edge`), panics caught, the key that names the tenant (`auth`), its form or query (`form`, `values`), its handler
//! (`routes`), and comes back as one of the answers of `dto` or as an error (`error`).
//!
//! Knows no camera and no door. Everything that it needs comes in by [`State`]; a test serves it on port 0.

mod auth;
mod dto;
mod edge;
mod error;
mod form;
mod readiness;
mod routes;
mod server;
mod settings;
mod values;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::from_fn_with_state,
    routing::{delete, get, post},
};
use tokio::{net::TcpListener, sync::Semaphore};
use tower_http::catch_panic::CatchPanicLayer;

use self::error::Failure;
pub use self::{readiness::Readiness, settings::Settings};
use crate::{
    error::{Context, Error, Kind, Result},
    gallery::Gallery,
    recognition::Recognition,
};

/// What the handlers share.
pub struct State {
    settings: Settings,
    gallery: Arc<Gallery>,
    recognition: Recognition,
    readiness: Arc<Readiness>,
    uploads: Arc<Semaphore>,
}

impl State {
    /// Puts the parts together. `settings` must have passed [`Settings::validate`].
    pub fn new(settings: Settings, gallery: Arc<Gallery>, recognition: Recognition) -> Arc<Self> {
        let uploads = Arc::new(Semaphore::new(settings.max_uploads));
        Arc::new(Self { settings, gallery, recognition, readiness: Arc::default(), uploads })
    }

    /// Where the daemon says how its doors are.
    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.readiness
    }
}

/// Serves the API on `listener` until `shutdown` is ready. Requests under way then get half a second to end; what has not
/// ended by then is cut.
///
/// Must run on a multi-threaded `tokio` runtime with time and I/O. Errors of single connections end those alone.
///
/// # Errors
/// [`Kind::Io`] where the listener cannot be used.
pub async fn serve(
    listener: std::net::TcpListener,
    state: Arc<State>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    listener.set_nonblocking(true).context(Kind::Io, || "the API's socket cannot be used")?;
    let listener = TcpListener::from_std(listener).context(Kind::Io, || "the API's socket cannot be used")?;
    let (settings, readiness) = (state.settings.clone(), Arc::clone(&state.readiness));
    let shutdown = async {
        shutdown.await;
        readiness.stop();
    };
    server::run(listener, router(state), &settings, shutdown).await;
    Ok(())
}

fn router(state: Arc<State>) -> Router {
    let calls = Router::new()
        .route("/enroll", post(routes::enroll::enroll))
        .route("/search", post(routes::search::search))
        .route("/verify/{subject_id}", post(routes::verify::verify))
        .route("/embeddings", get(routes::embeddings::list).delete(routes::embeddings::delete_many))
        .route("/embeddings/{embedding_id}", delete(routes::embeddings::delete_one))
        .route_layer(from_fn_with_state(Arc::clone(&state), auth::layer));
    let access = routes::access::router().route_layer(from_fn_with_state(Arc::clone(&state), auth::layer));
    Router::new()
        .nest("/v1/face-matching", calls)
        .nest("/v1/access", access)
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
