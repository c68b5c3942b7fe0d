//! `GET`, `PUT` and `DELETE /rules`: the whole of a tenant's rules, as one document.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{RawQuery, State as Shared},
    http::HeaderMap,
    response::IntoResponse,
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{Answered, Body, Condition, Conditions, body, query, tagged};
use crate::{
    access::rules::Rules,
    api::{State, auth::Tenant, blocking, openapi::failures, routes::Answer},
    error::{Error, Kind, Result},
    gallery::{Expected, changed_meanwhile},
};

fn tag(revision: u64) -> String {
    format!("\"r{revision}\"")
}

/// What a request's condition asks of the revision.
fn expected(condition: &Condition) -> Result<Expected> {
    match (&condition.matches, condition.absent) {
        (None, true) => Ok(Expected::Nothing),
        (None, false) => Ok(Expected::Any),
        (Some(_), true) => Err(changed_meanwhile()),
        (Some(tags), false) => {
            let revision = |tag: &String| tag.strip_prefix("\"r")?.strip_suffix('"')?.parse().ok();
            match tags.as_slice() {
                [one] => Ok(Expected::Revision(revision(one).ok_or_else(changed_meanwhile)?)),
                _ => Err(Error::new(Kind::InvalidField, "If-Match takes one tag here")
                    .help("send the ETag of your last GET of the rules")),
            }
        }
    }
}

/// The whole of the rules.
#[derive(Serialize, ToSchema)]
struct Whole {
    success: bool,
    /// Null where there are none.
    rules: Option<Rules>,
}

/// The rules are in force.
#[derive(Serialize, ToSchema)]
struct Replaced {
    success: bool,
    /// Counts every change of the tenant's rules.
    revision: u64,
}

/// The rules are gone.
#[derive(Serialize, ToSchema)]
#[schema(as = RulesDeleted)]
pub(in crate::api) struct Deleted {
    success: bool,
    /// Whether there were any.
    deleted: bool,
}

/// The parameter, as it is told to clients.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the query is read value by value")]
pub(in crate::api) struct GetQuery {
    /// False: without the subjects, of whom there may be many.
    #[param(default = true)]
    subjects: Option<bool>,
}

/// Gives all rules, as one document.
///
/// There may be no rules: then `rules` is null, and whoever is enrolled may pass.
#[utoipa::path(get, path = "/rules", params(GetQuery),
    responses((status = 200, description = "The rules.", body = Whole,
        headers(("ETag" = Option<String>, description = "Stands for them; absent where there are none."))), failures::Query))]
pub(in crate::api) async fn get(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    pairs: RawQuery,
) -> Answered {
    let with_subjects = query(pairs, &["subjects"])?.flag("subjects")?.unwrap_or(true);
    let gallery = Arc::clone(&state.gallery);
    let stored =
        blocking(move || if with_subjects { gallery.rules(&tenant) } else { gallery.rules_without_subjects(&tenant) })
            .await?;
    Ok(match stored {
        None => Json(Whole { success: true, rules: None }).into_response(),
        Some(stored) => tagged(Whole { success: true, rules: Some(stored.rules) }, &tag(stored.revision)),
    })
}

/// Puts these rules in the place of all that there are.
#[utoipa::path(put, path = "/rules", params(Conditions), request_body = Rules,
    responses((status = 200, description = "They are in force.", body = Replaced,
        headers(("ETag" = String, description = "Stands for them."))),
        failures::JsonBody, failures::Conditional, failures::Rules, failures::Recorded, failures::Stores))]
pub(in crate::api) async fn put(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    headers: HeaderMap,
    sent: Body,
) -> Answered {
    let expected = expected(&Condition::read(&headers)?)?;
    // It may be large: no more are worked on at a time than photographs are.
    let _place = state.uploads.place(&tenant)?;
    let rules: Rules = body(sent, state.settings.max_body_bytes)?;
    let gallery = Arc::clone(&state.gallery);
    let revision = blocking(move || gallery.replace_rules(&tenant, &rules, expected)).await?;
    Ok(tagged(Replaced { success: true, revision }, &tag(revision)))
}

/// Deletes all rules: then whoever is enrolled may pass.
#[utoipa::path(delete, path = "/rules", params(Conditions),
    responses((status = 200, description = "They are gone.", body = Deleted), failures::Conditional, failures::Stores))]
pub(in crate::api) async fn delete(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    headers: HeaderMap,
) -> Answer<Deleted> {
    let expected = expected(&Condition::read(&headers)?)?;
    let gallery = Arc::clone(&state.gallery);
    let existed = blocking(move || gallery.delete_rules(&tenant, expected)).await?;
    Ok(Json(Deleted { success: true, deleted: existed }))
}
