//! `GET /subjects`, and `GET`, `PUT`, `DELETE /subjects/{subjectId}`: who belongs to which groups, and for how long.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{RawQuery, State as Shared},
    http::HeaderMap,
    response::Response,
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{Answered, Body, Condition, Conditions, Name, body, deleted, name, query, tag, tagged, unfit};
use crate::{
    access::rules::SubjectRules,
    api::{State, auth::Tenant, blocking, dto::Done, error::Failure, openapi::failures, routes::Answer, values},
    error::{Error, Kind},
    gallery::SubjectId,
};

/// Longest body, in bytes.
const LONGEST: usize = 64 << 10;

/// Most subjects in one answer.
const MOST: usize = 1_000;

fn subject(path: Name) -> Result<SubjectId, Failure> {
    Ok(values::subject("the subject in the path", &name(path)?)?)
}

/// Subjects, as the rules know them.
#[derive(Serialize, ToSchema)]
#[schema(as = SubjectRulesList)]
pub(in crate::api) struct Listed {
    success: bool,
    /// How many are in this answer.
    count: usize,
    subjects: Vec<SubjectRules>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A subject, as the rules know it.
#[derive(Serialize, ToSchema)]
#[schema(as = OneSubjectRules)]
struct One<'a> {
    success: bool,
    subject: &'a SubjectRules,
}

/// The parameters, as they are told to clients.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the query is read value by value")]
pub(in crate::api) struct ListQuery {
    /// Most subjects in one answer.
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// Lists who belongs to which groups.
#[utoipa::path(get, path = "/subjects", params(ListQuery),
    responses((status = 200, description = "The subjects.", body = Listed), failures::Query))]
pub(in crate::api) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    pairs: RawQuery,
) -> Answer<Listed> {
    let values = query(pairs, &["limit", "cursor"])?;
    let limit = values.count("limit", MOST)?.unwrap_or(MOST);
    let after = values.text("cursor").map(|text| u64::from_str_radix(text, 16)).transpose();
    let after =
        after.map_err(|_| Error::new(Kind::InvalidField, "cursor must be the next_cursor of the page before"))?;
    let gallery = Arc::clone(&state.gallery);
    let (subjects, next) = blocking(move || gallery.list_subject_rules(&tenant, after, limit)).await?;
    let next_cursor = next.map(|next| format!("{next:016x}"));
    Ok(Json(Listed { success: true, count: subjects.len(), subjects, next_cursor }))
}

/// Tells which groups somebody belongs to, and for how long.
#[utoipa::path(get, path = "/subjects/{subject_id}", params(("subject_id" = SubjectId, Path, description = "Who.")),
    responses((status = 200, description = "The subject.", body = One,
        headers(("ETag" = String, description = "Stands for what the rules say of the subject."))),
        failures::Query, failures::NoSubject))]
pub(in crate::api) async fn get(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    path: Name,
) -> Answered {
    let subject = subject(path)?;
    let gallery = Arc::clone(&state.gallery);
    let found = blocking(move || gallery.subject_rules(&tenant, &subject)).await?;
    Ok(answer(&found.ok_or_else(not_found)?))
}

/// Says which groups somebody belongs to, and for how long.
///
/// `id` may be left out of the body: it is in the path.
#[utoipa::path(put, path = "/subjects/{subject_id}",
    params(("subject_id" = SubjectId, Path, description = "Who."), Conditions), request_body = SubjectRules,
    responses((status = 200, description = "It is in force.", body = One,
        headers(("ETag" = String, description = "Stands for what the rules say of the subject."))),
        failures::JsonBody, failures::Conditional, failures::NoSubject, failures::Rules, failures::Recorded, failures::Stores))]
pub(in crate::api) async fn put(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    headers: HeaderMap,
    path: Name,
    sent: Body,
) -> Answered {
    let subject = subject(path)?;
    let condition = Condition::read(&headers)?;
    let mut given: Map<String, Value> = body(sent, LONGEST)?;
    if given.get("id").is_some_and(|given| given != subject.as_str()) {
        return Err(Failure::new(Kind::InvalidField, "id differs from the one in the path: leave it out of the body"));
    }
    given.insert("id".into(), subject.as_str().into());
    let after: SubjectRules = serde_json::from_value(given.into()).map_err(unfit)?;
    let gallery = Arc::clone(&state.gallery);
    let stored = blocking(move || {
        gallery.change_subject(&tenant, &subject, |before| {
            condition.check(before.map(tag).as_deref())?;
            Ok(Some(after))
        })
    })
    .await?;
    Ok(answer(&stored.ok_or_else(not_found)?))
}

/// Takes somebody out of the rules.
#[utoipa::path(delete, path = "/subjects/{subject_id}",
    params(("subject_id" = SubjectId, Path, description = "Whom."), Conditions),
    responses((status = 200, description = "It is in force.", body = Done), failures::Conditional, failures::NoSubject,
        failures::Rules, failures::Stores))]
pub(in crate::api) async fn delete(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    headers: HeaderMap,
    path: Name,
) -> Answered {
    let subject = subject(path)?;
    let condition = Condition::read(&headers)?;
    let gallery = Arc::clone(&state.gallery);
    blocking(move || {
        gallery.change_subject(&tenant, &subject, |before| {
            let before = before.ok_or_else(not_found)?;
            condition.check(Some(&tag(before)))?;
            Ok(None)
        })
    })
    .await?;
    Ok(deleted())
}

fn answer(subject: &SubjectRules) -> Response {
    tagged(One { success: true, subject }, &tag(subject))
}

fn not_found() -> Error {
    Error::new(Kind::SubjectNotFound, "the rules do not name this subject")
}
