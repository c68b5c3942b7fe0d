//! `GET /explain`: whether the rules would let somebody in, and every step of the way to that answer.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{RawQuery, State as Shared},
};
use facegate_control::Passage;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::query;
use crate::{
    access::rules::{Explanation, Request},
    api::{State, auth::Tenant, blocking, openapi::failures, routes::Answer},
    error::{Error, Kind, Result},
};

/// A time as RFC 3339 has it, with its offset.
pub(super) fn time(text: &str) -> Result<Timestamp> {
    text.parse().map_err(|_| {
        Error::new(Kind::InvalidField, "at must be a time with its offset, such as 2026-11-23T08:30:00+01:00")
            .help("in a query, write + as %2B")
    })
}

/// The parameters, as they are told to clients.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the query is read value by value")]
pub(in crate::api) struct ExplainQuery {
    /// Who. They need not be enrolled.
    #[param(min_length = 1, max_length = 256)]
    subject: String,
    /// At which door.
    #[param(min_length = 1)]
    door: String,
    /// Which way.
    #[param(inline, default = "entry")]
    passage: Option<Passage>,
    /// When, with its offset; left out: now.
    at: Option<Timestamp>,
}

/// How a decision is come to.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Explained {
    success: bool,
    explanation: Explanation,
}

/// Explains whether the rules would let somebody in, and every step of the way to that answer.
#[utoipa::path(get, path = "/explain", params(ExplainQuery),
    responses((status = 200, description = "The decision that the door would take.", body = Explained),
        failures::Query, failures::Required))]
pub(in crate::api) async fn explain(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    pairs: RawQuery,
) -> Answer<Explained> {
    let values = query(pairs, &["subject", "door", "passage", "at"])?;
    let missing = |name: &str| Error::new(Kind::MissingField, format!("{name} is required"));
    let subject = values.subject("subject")?.ok_or_else(|| missing("subject"))?;
    let door = values.text("door").ok_or_else(|| missing("door"))?.to_owned();
    let passage = match values.text("passage") {
        None | Some("entry") => Passage::Entry,
        Some("exit") => Passage::Exit,
        Some(_) => return Err(Error::new(Kind::InvalidField, "passage must be entry or exit").into()),
    };
    let at = values.text("at").map(time).transpose()?;
    let gallery = Arc::clone(&state.gallery);
    let explanation = blocking(move || {
        gallery.refresh()?;
        let clock = gallery.clock();
        let (at, now) = (at.unwrap_or_else(|| clock.wall()), clock.now());
        let reader = state.desk.reader(&tenant, &door);
        Ok(gallery.access(&tenant).explain(&Request {
            subject: subject.as_str(),
            door: &door,
            passage,
            at,
            now,
            reader,
            // Of the time that is asked about, or of what the clock says: an operator sees which time that is.
            clock_set: true,
        }))
    })
    .await?;
    Ok(Json(Explained { success: true, explanation }))
}
