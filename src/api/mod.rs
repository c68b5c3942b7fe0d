//! The REST API: the calls below `/v1/face-matching`, the reference's seven and ours, and keys and tenants below `/v1/admin`, as
//! `docs/api.md` tells them to users, the rules below `/v1/access`, as `docs/access.md` does, and the doors below `/v1/doors`,
//! as `docs/door.md` does.
//!
//! A request passes, from the outside in: the connection (`server`, bounded in number, size and time; `activity`; `tls`), its
//! id and log line (`edge`), what browsers may (`headers`), its time limit (`edge`), panics caught, how much its address and its
//! key did lately (`limits`), the key that names the tenant and its rights (`auth`), the record of what it did (`audit`), its
//! form, its query or its lines (`form`, `values`, `lines`), its handler (`routes`; `enrolling` and `cache` behind it), and
//! comes back as one of the answers of `dto`, page by page (`listing`), or as an error (`error`).
//!
//! Knows no camera, and of doors what the operator's desk tells. Everything that it needs comes in by [`State`]; a test
//! serves it on port 0.

mod activity;
mod audit;
mod auth;
mod cache;
mod dto;
mod edge;
mod enrolling;
mod error;
mod form;
pub(crate) mod fuzzing;
mod headers;
mod limits;
mod lines;
mod lingering;
mod listing;
mod local;
mod metrics;
mod readiness;
mod routes;
mod server;
mod settings;
mod tls;
mod values;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, patch, post},
};
use tokio::sync::Semaphore;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
};

pub use self::limits::{Rate, Settings as Limits};
use self::{auth::needs, error::Failure};
pub use self::{local::Socket, readiness::Readiness, server::Listener, settings::Settings, tls::Tls};
use crate::{
    error::{Error, Kind, Result},
    gallery::{Gallery, Right},
    journal::Journal,
    operator::Desk,
    recognition::Recognition,
};

/// Answers of so many bytes and more are compressed for clients that can read it.
const LONG_ANSWER: u64 = 1_024;

/// What the handlers share.
pub struct State {
    settings: Settings,
    gallery: Arc<Gallery>,
    /// None where photographs are nobody's business: the API is off but for the daemon's socket.
    recognition: Option<Recognition>,
    desk: Desk,
    journal: Arc<Journal>,
    readiness: Arc<Readiness>,
    uploads: Arc<Semaphore>,
    cache: cache::Cache,
    under_way: enrolling::UnderWay,
    limits: limits::Limits,
    requests: Arc<metrics::Requests>,
}

impl State {
    /// Puts the parts together. `settings` must have passed [`Settings::validate`]. Without `recognition`, calls with a
    /// photograph are answered `not_ready`.
    pub fn new(
        settings: Settings,
        gallery: Arc<Gallery>,
        recognition: Option<Recognition>,
        desk: Desk,
        journal: Arc<Journal>,
    ) -> Arc<Self> {
        let uploads = Arc::new(Semaphore::new(settings.max_uploads));
        let cache = cache::Cache::new(settings.recognition.cache);
        let limits = limits::Limits::new(&settings.limits);
        let requests = Arc::default();
        Arc::new(Self {
            settings,
            gallery,
            recognition,
            desk,
            journal,
            readiness: Arc::default(),
            uploads,
            cache,
            under_way: enrolling::UnderWay::default(),
            limits,
            requests,
        })
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
/// [`Kind::Io`] where a listener cannot be used, [`Kind::Config`] for settings that [`Settings::validate`] refuses.
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
    server::run(listeners, &router(state)?, &settings, shutdown).await
}

fn router(state: Arc<State>) -> Result<Router> {
    // Bodies that are read as they come have bounds of their own.
    let whole = DefaultBodyLimit::max(usize::try_from(state.settings.max_batch_bytes).unwrap_or(usize::MAX));
    let calls = Router::new()
        .route("/enroll", needs(Right::Enrol, post(routes::enroll::enroll)))
        .route("/search", needs(Right::Match, post(routes::search::search)))
        .route("/verify/{subject_id}", needs(Right::Match, post(routes::verify::verify)))
        .route("/embeddings", needs(Right::Read, get(routes::embeddings::list)))
        .route("/embeddings", needs(Right::Delete, delete(routes::embeddings::delete_many)))
        .route("/embeddings/{embedding_id}", needs(Right::Delete, delete(routes::embeddings::delete_one)))
        .route("/embeddings/{embedding_id}/photograph", needs(Right::Admin, get(routes::photographs::get)))
        .route("/enroll/batch", needs(Right::Enrol, post(routes::batch::batch)).layer(whole))
        .route("/import", needs(Right::Transfer, post(routes::transfer::import)).layer(whole))
        .route("/export", needs(Right::Transfer, post(routes::transfer::export)))
        .route("/compare", needs(Right::Match, post(routes::compare::compare)))
        .route("/subjects", needs(Right::Read, get(routes::subjects::list)))
        .route("/subjects/{subject_id}", needs(Right::Read, get(routes::subjects::get)))
        .route("/subjects/{subject_id}", needs(Right::Enrol, patch(routes::subjects::change)))
        .route_layer(from_fn_with_state(Arc::clone(&state), audit::layer))
        // Makes no template, and an enrolment page calls it over and over: not for the record.
        .route("/detect", needs(Right::Enrol, post(routes::detect::detect)))
        .route_layer(from_fn_with_state(Arc::clone(&state), auth::tenants));
    let access = routes::access::router()
        .route_layer(from_fn(auth::reading_or_changing))
        .route_layer(from_fn_with_state(Arc::clone(&state), audit::layer))
        .route_layer(from_fn_with_state(Arc::clone(&state), auth::tenants));
    let doors = routes::doors::router().route_layer(from_fn_with_state(Arc::clone(&state), auth::operators));
    let admin = routes::admin::router()
        .route_layer(from_fn_with_state(Arc::clone(&state), audit::layer))
        .route_layer(from_fn_with_state(Arc::clone(&state), auth::operators));
    let metrics = Router::new()
        .route("/metrics", get(routes::metrics::metrics))
        .route_layer(from_fn_with_state(Arc::clone(&state), auth::watchers));
    let router = Router::new()
        .merge(metrics)
        .nest("/v1/face-matching", calls)
        .nest("/v1/access", access)
        .nest("/v1/doors", doors)
        .nest("/v1/admin", admin)
        .route("/healthz", get(routes::health::healthz))
        .route("/readyz", get(routes::health::readyz))
        .route("/version", get(routes::metrics::version))
        .fallback(async || Failure::new(Kind::NotFound, "there is nothing at this path"))
        .method_not_allowed_fallback(async || Failure::new(Kind::MethodNotAllowed, "this path has no such method"))
        .layer(DefaultBodyLimit::max(state.settings.max_body_bytes))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(Arc::clone(&state), edge::time_limit));
    let router = match headers::cors(&state.settings.cors_origins)? {
        Some(cors) => router.layer(cors),
        None => router,
    };
    // What is told line by line is told at once.
    let long_enough = SizeAbove::new(LONG_ANSWER).and(NotForContentType::new("application/x-ndjson"));
    Ok(router
        .layer(from_fn_with_state(Arc::clone(&state), edge::layer))
        .layer(CompressionLayer::new().compress_when(long_enough))
        .with_state(state))
}

/// Runs a call of the gallery, which may wait for the disk, where it holds nobody up.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(call).await {
        Ok(outcome) => outcome.map_err(Failure),
        Err(panic) => Err(Failure(Error::new(Kind::Internal, "a call of the gallery panicked").source(panic))),
    }
}
