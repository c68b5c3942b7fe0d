//! The REST API: the calls below `/v1/face-matching`, the reference's seven and ours, and keys and tenants below `/v1/admin`, as
//! `docs/api.md` tells them to users, the rules below `/v1/access`, as `docs/access.md` does, and the doors below `/v1/doors`,
//! as `docs/door.md` does.
//!
//! A request passes, from the outside in: the connection (`server`, bounded in number, size and time; `shares`; `activity`; `tls`), its
//! id and log line (`edge`), what browsers may (`headers`), its time limit (`edge`), panics caught, how much its address and its
//! key did lately (`limits`), the key that names the tenant and its rights (`auth`), the record of what it did (`audit`), its
//! form, its query or its lines (`form`, `values`, `lines`; `uploads`), its handler (`routes`; `enrolling` and `cache` behind it), and
//! comes back as one of the answers of `dto`, page by page (`listing`), or as an error (`error`).
//!
//! Knows no camera, and of doors what the operator's desk tells. Everything that it needs comes in by [`State`]; a test
//! serves it on port 0.

mod activity;
mod audit;
mod auth;
mod cache;
mod calls;
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
mod openapi;
mod readiness;
mod routes;
mod server;
mod settings;
mod shares;
mod tls;
mod uploads;
mod values;

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State as Shared},
    middleware::from_fn_with_state,
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
};

pub use self::limits::{Rate, Settings as Limits};
use self::{calls::Calls, error::Failure};
pub use self::{
    local::Socket,
    openapi::document,
    readiness::{Readiness, door_not_ready},
    server::Listener,
    settings::Settings,
    tls::Tls,
};
use crate::{
    error::{Error, Kind, Result},
    fleet,
    gallery::Gallery,
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
    desk: Arc<Desk>,
    journal: Arc<Journal>,
    readiness: Arc<Readiness>,
    uploads: uploads::Uploads,
    cache: cache::Cache,
    under_way: enrolling::UnderWay,
    limits: limits::Limits,
    requests: Arc<metrics::Requests>,
    fleet: OnceLock<Arc<fleet::Stats>>,
}

impl State {
    /// Puts the parts together. `settings` must have passed [`Settings::validate`]. Without `recognition`, calls with a
    /// photograph are answered `not_ready`.
    pub fn new(
        settings: Settings,
        gallery: Arc<Gallery>,
        recognition: Option<Recognition>,
        desk: impl Into<Arc<Desk>>,
        journal: Arc<Journal>,
    ) -> Arc<Self> {
        let uploads = uploads::Uploads::new(settings.max_uploads);
        let cache = cache::Cache::new(settings.recognition.cache);
        let limits = limits::Limits::new(&settings.limits);
        let requests = Arc::default();
        Arc::new(Self {
            settings,
            gallery,
            recognition,
            desk: desk.into(),
            journal,
            readiness: Arc::default(),
            uploads,
            cache,
            under_way: enrolling::UnderWay::default(),
            limits,
            requests,
            fleet: OnceLock::new(),
        })
    }

    /// The same with what the link to the fleet counts, for `/metrics`.
    #[must_use]
    pub fn with_fleet(self: Arc<Self>, stats: Option<Arc<fleet::Stats>>) -> Arc<Self> {
        if let Some(stats) = stats {
            // Once is enough: there is one link.
            let _ = self.fleet.set(stats);
        }
        self
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
    let router = Calls::all().guarded(&state).whole().split_for_parts().0;
    let router = router
        .fallback(nothing)
        .method_not_allowed_fallback(no_such_method)
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

async fn nothing(Shared(state): Shared<Arc<State>>, request: Request) -> Failure {
    refusal(&state, &request, Error::new(Kind::NotFound, "there is nothing at this path"))
}

async fn no_such_method(Shared(state): Shared<Arc<State>>, request: Request) -> Failure {
    refusal(&state, &request, Error::new(Kind::MethodNotAllowed, "this path has no such method"))
}

/// What to answer to what is not there: that, as often as an address may ask.
fn refusal(state: &State, request: &Request, error: Error) -> Failure {
    Failure(limits::Visit::of_anybody(request).arrived(&state.limits).err().unwrap_or(error))
}

/// Runs a call of the gallery, which may wait for the disk, where it holds nobody up.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(call).await {
        Ok(outcome) => outcome.map_err(Failure),
        Err(panic) => Err(Failure(Error::new(Kind::Internal, "a call of the gallery panicked").source(panic))),
    }
}
