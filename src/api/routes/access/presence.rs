//! `GET /presence`, `DELETE /presence/{subjectId}` and `DELETE /presence?all=true`: who is where, and forgiving.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{RawQuery, State as Shared},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{Name, name, query};
use crate::{
    access::rules::{Place, Whereabouts},
    api::{State, auth::Tenant, blocking, error::Failure, openapi::failures, routes::Answer, values},
    clock::microseconds,
    error::{Error, Kind},
    gallery::SubjectId,
};

/// Most subjects in one answer.
const MOST: usize = 1_000;

/// A place.
#[derive(Serialize, ToSchema)]
#[schema(as = Place)]
#[serde(rename_all = "snake_case")]
enum Spot {
    /// In none of the areas.
    Outside,
    /// In the area of this name.
    Area(String),
}

impl From<&Place> for Spot {
    fn from(place: &Place) -> Self {
        place.area().map_or(Self::Outside, |area| Self::Area(area.to_owned()))
    }
}

/// Where somebody is.
#[derive(Serialize, ToSchema)]
#[schema(as = Whereabouts)]
struct Found {
    subject: String,
    /// Where the last confirmed passage led; null before the first.
    place: Option<Spot>,
    /// Where an open door would lead; null where none is open for them.
    pending: Option<Spot>,
    /// The door of the last grant or passage.
    door: String,
    /// When that was, by the wall clock.
    #[serde(serialize_with = "microseconds")]
    at: Timestamp,
}

/// Who is where.
#[derive(Serialize, ToSchema)]
#[schema(as = Presence)]
pub(in crate::api) struct Listed {
    success: bool,
    /// How many are in this answer.
    count: usize,
    presence: Vec<Found>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// It is forgiven.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Forgiven {
    success: bool,
    /// How many subjects.
    forgiven: usize,
}

fn shown(subject: &str, known: &Whereabouts) -> Found {
    Found {
        subject: subject.to_owned(),
        place: known.place.as_ref().map(Into::into),
        pending: known.pending.as_ref().map(Into::into),
        door: known.door.to_string(),
        at: known.at,
    }
}

/// The parameters, as they are told to clients.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the query is read value by value")]
pub(in crate::api) struct ListQuery {
    /// Those who are in this area.
    area: Option<String>,
    /// Most subjects in one answer.
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// Tells who is where, by subject.
#[utoipa::path(get, path = "/presence", params(ListQuery),
    responses((status = 200, description = "Who is where.", body = Listed), failures::Query))]
pub(in crate::api) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    pairs: RawQuery,
) -> Answer<Listed> {
    let values = query(pairs, &["area", "limit", "cursor"])?;
    let limit = values.count("limit", MOST)?.unwrap_or(MOST);
    let (area, after) = (values.text("area").map(str::to_owned), values.text("cursor").map(str::to_owned));
    // From the store, which is a moment behind: a list of many must not hold up a door.
    let gallery = Arc::clone(&state.gallery);
    let (people, more) = blocking(move || {
        let everybody = gallery.presence(&tenant)?;
        let mut found = everybody
            .iter()
            .filter(|(subject, _)| after.as_deref().is_none_or(|after| subject.as_ref() > after))
            .filter(|(_, known)| area.is_none() || known.place.as_ref().and_then(Place::area) == area.as_deref());
        let page: Vec<_> = found.by_ref().take(limit).map(|(subject, known)| shown(subject, known)).collect();
        Ok((page, found.next().is_some()))
    })
    .await?;
    let next_cursor = people.last().filter(|_| more).map(|last| last.subject.clone());
    Ok(Json(Listed { success: true, count: people.len(), presence: people, next_cursor }))
}

/// Forgives somebody: nothing is known of where they are any more.
#[utoipa::path(delete, path = "/presence/{subject_id}", params(("subject_id" = SubjectId, Path, description = "Whom.")),
    responses((status = 200, description = "It is forgiven.", body = Forgiven), failures::Query, failures::NoSubject,
        failures::Stores))]
pub(in crate::api) async fn forgive(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    path: Name,
) -> Answer<Forgiven> {
    let subject = values::subject("the subject in the path", &name(path)?)?;
    let gallery = Arc::clone(&state.gallery);
    if blocking(move || gallery.forgive(&tenant, Some(&subject))).await? == 0 {
        return Err(Failure::new(Kind::SubjectNotFound, "nothing is known of where this subject is"));
    }
    Ok(Json(Forgiven { success: true, forgiven: 1 }))
}

/// The parameter, as it is told to clients.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the query is read value by value")]
pub(in crate::api) struct ForgiveQuery {
    /// Must be `true`: so nobody is forgiven by a slip of the pen.
    all: bool,
}

/// Forgives everybody, and only where that is asked for in so many words.
#[utoipa::path(delete, path = "/presence", params(ForgiveQuery),
    responses((status = 200, description = "It is forgiven.", body = Forgiven), failures::Query, failures::Required,
        failures::Stores))]
pub(in crate::api) async fn forgive_all(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    pairs: RawQuery,
) -> Answer<Forgiven> {
    if query(pairs, &["all"])?.flag("all")? != Some(true) {
        return Err(Error::new(Kind::MissingField, "say ?all=true to forgive everybody").into());
    }
    let gallery = Arc::clone(&state.gallery);
    let forgiven = blocking(move || gallery.forgive(&tenant, None)).await?;
    Ok(Json(Forgiven { success: true, forgiven }))
}
