//! Every call that the router serves, by section, with its document beside it: what [`openapi`] tells is what is served.

use std::sync::Arc;

use axum::{
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    State, audit,
    auth::{self, needs},
    openapi,
    routes::{
        self, batch, compare, detect, docs, embeddings, enroll, health, metrics, models, photographs, search, subjects,
        transfer, verify,
    },
};
use crate::gallery::Right;

type Router = OpenApiRouter<Arc<State>>;

/// The sections, which differ in who may call and in what is recorded.
pub(super) struct Calls {
    /// About faces, recorded.
    faces: Router,
    /// The same, whose bodies may be long, because they are worked on as they come.
    streams: Router,
    /// About pictures of which nothing is kept: not for the record.
    looks: Router,
    /// About the networks, of which nothing is secret.
    models: Router,
    access: Router,
    doors: Router,
    admin: Router,
    metrics: Router,
    /// For everybody.
    open: Router,
    /// For everybody, however often.
    health: Router,
}

impl Calls {
    /// All of them, with nobody at the gates yet.
    pub(super) fn all() -> Self {
        let faces = Router::new()
            .routes(needs(Right::Enrol, routes!(enroll::enroll)))
            .routes(needs(Right::Match, routes!(search::search)))
            .routes(needs(Right::Match, routes!(verify::verify)))
            .routes(needs(Right::Read, routes!(embeddings::list)))
            .routes(needs(Right::Delete, routes!(embeddings::delete_many)))
            .routes(needs(Right::Delete, routes!(embeddings::delete_one)))
            .routes(needs(Right::Admin, routes!(photographs::get)))
            .routes(needs(Right::Match, routes!(compare::compare)))
            .routes(needs(Right::Read, routes!(subjects::list)))
            .routes(needs(Right::Read, routes!(subjects::get)))
            .routes(needs(Right::Enrol, routes!(subjects::change)));
        let streams = Router::new()
            .routes(needs(Right::Enrol, routes!(batch::batch)))
            .routes(needs(Right::Transfer, routes!(transfer::export)))
            .routes(needs(Right::Transfer, routes!(transfer::import)));
        // Makes no template, and an enrolment page calls it over and over.
        let looks = Router::new().routes(needs(Right::Enrol, routes!(detect::detect)));
        let health = Router::new().routes(routes!(health::healthz)).routes(routes!(health::readyz));
        let open = Router::new()
            .routes(routes!(metrics::version))
            .routes(routes!(openapi::openapi))
            .routes(routes!(docs::page))
            .routes(routes!(docs::file));
        Self {
            faces,
            streams,
            looks,
            models: Router::new().routes(needs(Right::Match, routes!(models::list))),
            access: routes::access::router(),
            doors: routes::doors::router(),
            admin: routes::admin::router(),
            metrics: Router::new().routes(routes!(metrics::metrics)),
            open,
            health,
        }
    }

    /// The same with who may call, and what is recorded.
    pub(super) fn guarded(self, state: &Arc<State>) -> Self {
        let tenants = || from_fn_with_state(Arc::clone(state), auth::tenants);
        let operators = || from_fn_with_state(Arc::clone(state), auth::operators);
        let recorded = || from_fn_with_state(Arc::clone(state), audit::layer);
        let long = DefaultBodyLimit::max(usize::try_from(state.settings.max_batch_bytes).unwrap_or(usize::MAX));
        Self {
            faces: self.faces.route_layer(recorded()).route_layer(tenants()),
            streams: self.streams.route_layer(recorded()).route_layer(tenants()).layer(long),
            looks: self.looks.route_layer(tenants()),
            models: self.models.route_layer(tenants()),
            access: self
                .access
                .route_layer(from_fn(auth::reading_or_changing))
                .route_layer(recorded())
                .route_layer(tenants()),
            doors: self.doors.route_layer(operators()),
            admin: self.admin.route_layer(recorded()).route_layer(operators()),
            metrics: self.metrics.route_layer(from_fn_with_state(Arc::clone(state), auth::watchers)),
            open: self.open.route_layer(from_fn_with_state(Arc::clone(state), auth::anybody)),
            health: self.health,
        }
    }

    /// All sections, each at its place.
    pub(super) fn whole(self) -> Router {
        Router::new()
            .merge(self.metrics)
            .nest("/v1/face-matching", self.faces.merge(self.streams).merge(self.looks))
            .nest("/v1", self.models)
            .nest("/v1/access", self.access)
            .nest("/v1/doors", self.doors)
            .nest("/v1/admin", self.admin)
            .merge(self.open)
            .merge(self.health)
    }
}
