//! `GET /subjects`, `GET` and `PATCH /subjects/{subjectId}`: who is enrolled, and whether they are to be recognised.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, RawQuery, State as Shared, rejection::PathRejection},
};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer,
    access::{Body, fields},
    read,
};
use crate::{
    api::{
        State,
        auth::Tenant,
        blocking,
        dto::{OneSubject, SubjectList},
        error::Failure,
        openapi::failures,
        values,
    },
    error::{Error, Kind, Result},
    gallery::{Gallery, ListFilter, MetadataChange, SubjectChange, SubjectId, TenantId},
    metadata::check_text,
};

/// Most subjects in one answer, and most embeddings in the answer about one.
const MOST: usize = 1_000;

/// How many subjects there are in an answer where the client does not say.
const USUAL: usize = 100;

/// Longest body, in bytes: as much metadata as the gallery takes, and some.
const LONGEST: usize = 128 << 10;

/// What is to change.
#[derive(Deserialize, ToSchema)]
#[schema(as = SubjectPatch)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Patch {
    /// False: known to no door, search or verification.
    active: Option<bool>,
    /// A JSON merge patch (RFC 7396) of each embedding's metadata; null takes all of it away.
    #[schema(value_type = Option<Object>)]
    #[serde(default, deserialize_with = "metadata")]
    metadata: Option<MetadataChange>,
}

/// An object is merged, null takes all of it away.
fn metadata<'de, D: Deserializer<'de>>(from: D) -> Result<Option<MetadataChange>, D::Error> {
    let given = Option::<Map<String, Value>>::deserialize(from)?;
    Ok(Some(given.map_or(MetadataChange::Remove, MetadataChange::Merge)))
}

/// The parameters, as they are told to clients.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the query is read value by value")]
pub(in crate::api) struct ListQuery {
    /// Most subjects in one answer.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the answer before.
    cursor: Option<SubjectId>,
}

/// Lists whom there is, by id.
#[utoipa::path(get, path = "/subjects", params(ListQuery),
    responses((status = 200, description = "The subjects.", body = SubjectList), failures::Query))]
pub(in crate::api) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    query: RawQuery,
) -> Answer<SubjectList> {
    let query = read(query)?;
    let limit = query.count("limit", MOST)?.unwrap_or(USUAL);
    let after = query.subject("cursor")?;
    let gallery = Arc::clone(&state.gallery);
    let (subjects, more) = blocking(move || gallery.subjects(&tenant, after.as_ref(), limit)).await?;
    let next_cursor = subjects.last().filter(|_| more).map(|last| last.subject.clone());
    let subjects: Vec<_> = subjects.into_iter().map(Into::into).collect();
    Ok(Json(SubjectList { success: true, count: subjects.len(), subjects, next_cursor }))
}

/// Tells of one subject, with the first 1,000 of their embeddings.
#[utoipa::path(get, path = "/subjects/{subject_id}", params(("subject_id" = SubjectId, Path, description = "Who.")),
    responses((status = 200, description = "The subject.", body = OneSubject), failures::Query, failures::NoSubject))]
pub(in crate::api) async fn get(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    path: Result<Path<String>, PathRejection>,
) -> Answer<OneSubject> {
    let subject = named(path)?;
    let gallery = Arc::clone(&state.gallery);
    Ok(Json(blocking(move || told(&gallery, &tenant, subject)).await?))
}

/// Suspends a subject, takes that back, or changes their metadata.
///
/// All or nothing. What the metadata were before cannot be read again.
#[utoipa::path(patch, path = "/subjects/{subject_id}", params(("subject_id" = SubjectId, Path, description = "Who.")),
    request_body = Patch,
    responses((status = 200, description = "The subject as it is now.", body = OneSubject),
        failures::JsonBody, failures::NoSubject, failures::Metadata, failures::Recorded, failures::Stores))]
pub(in crate::api) async fn change(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    path: Result<Path<String>, PathRejection>,
    sent: Body,
) -> Answer<OneSubject> {
    let subject = named(path)?;
    let sent = sent?;
    let Patch { active, metadata } = fields(Ok(sent.clone()), LONGEST)?;
    // It has no other field in which numbers or names could be.
    check_text("metadata", &sent)?;
    let gallery = Arc::clone(&state.gallery);
    let answer = blocking(move || {
        gallery.change(&tenant, &subject, &SubjectChange { active, metadata })?;
        told(&gallery, &tenant, subject)
    });
    Ok(Json(answer.await?))
}

fn told(gallery: &Gallery, tenant: &TenantId, subject: SubjectId) -> Result<OneSubject> {
    let info = gallery.subject(tenant, &subject)?;
    let filter = ListFilter { subject: Some(subject), active_only: false, limit: MOST, after: None };
    let page = gallery.list(tenant, &filter)?;
    let embeddings = page.enrolments.into_iter().map(Into::into).collect();
    Ok(OneSubject { success: true, subject: info.into(), embeddings, next_cursor: page.next })
}

/// The subject in the path.
pub(super) fn named(path: Result<Path<String>, PathRejection>) -> Result<SubjectId, Failure> {
    let Path(subject) = path.map_err(|_| Error::new(Kind::InvalidField, "subjectId must be percent-encoded UTF-8"))?;
    Ok(values::subject("subjectId", &subject)?)
}
