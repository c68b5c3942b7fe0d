//! `GET /subjects`, and `GET`, `PUT`, `DELETE /subjects/{subjectId}`: who belongs to which groups, and for how long.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State as Shared,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{Answered, Body, Condition, Name, Pairs, body, deleted, name, query, tag, tagged, unfit};
use crate::{
    access::rules::SubjectRules,
    api::{State, auth::Tenant, blocking, error::Failure, values},
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

pub(in crate::api) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    pairs: Pairs,
) -> Answered {
    let values = query(pairs, &["limit", "cursor"])?;
    let limit = values.count("limit", MOST)?.unwrap_or(MOST);
    let after = values.text("cursor").map(|text| u64::from_str_radix(text, 16)).transpose();
    let after =
        after.map_err(|_| Error::new(Kind::InvalidField, "cursor must be the next_cursor of the page before"))?;
    let gallery = Arc::clone(&state.gallery);
    let (subjects, next) = blocking(move || gallery.list_subject_rules(&tenant, after, limit)).await?;
    let mut answer = json!({ "success": true, "count": subjects.len(), "subjects": subjects });
    if let (Some(next), Some(answer)) = (next, answer.as_object_mut()) {
        answer.insert("next_cursor".into(), format!("{next:016x}").into());
    }
    Ok(Json(answer).into_response())
}

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
    tagged(json!({ "success": true, "subject": subject }), &tag(subject))
}

fn not_found() -> Error {
    Error::new(Kind::SubjectNotFound, "the rules do not name this subject")
}
