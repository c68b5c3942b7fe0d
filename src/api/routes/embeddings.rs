//! `GET /embeddings`, `DELETE /embeddings`, `DELETE /embeddings/{embeddingId}`

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, RawQuery, State as Shared, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use utoipa::IntoParams;

use super::{Answer, read};
use crate::{
    api::{
        State,
        audit::About,
        auth::Tenant,
        blocking,
        dto::{Deleted, Listed},
        error::Failure,
        listing,
        openapi::failures,
        values::printable,
    },
    error::{Error, Kind, Result},
    gallery::{EmbeddingId, ListFilter, SubjectId},
    operator::Operator,
};

/// Most embeddings in a page. The reference knows no pages: a client that names no limit gets everything, in one answer.
const MOST: usize = 1_000;

/// The parameters, as they are told to clients.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the query is read value by value")]
pub(in crate::api) struct ListQuery {
    /// Leave out those that newer ones have replaced.
    #[param(default = true)]
    active_only: Option<bool>,
    /// Those of one subject.
    subject_id: Option<SubjectId>,
    /// Most embeddings in one answer; left out: all of them, however many.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the answer before.
    cursor: Option<EmbeddingId>,
}

/// Lists what is enrolled, oldest first.
///
/// The templates themselves are never given out.
#[utoipa::path(get, path = "/embeddings", params(ListQuery),
    responses((status = 200, description = "The embeddings.", body = Listed), failures::Query))]
pub(in crate::api) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Extension(operator): Extension<Operator>,
    query: RawQuery,
) -> Result<Response, Failure> {
    let query = read(query)?;
    let limit = query.count("limit", MOST)?;
    let filter = ListFilter {
        subject: query.subject("subject_id")?,
        active_only: query.flag("active_only")?.unwrap_or(true),
        limit: limit.unwrap_or(MOST),
        after: None,
    };
    let after = query.cursor("cursor")?;
    let page_after = move |after| {
        let (gallery, tenant, operator) = (Arc::clone(&state.gallery), tenant.clone(), operator.clone());
        let filter = ListFilter { after, ..filter.clone() };
        blocking(move || {
            // A client that reads slowly may read for as long as it likes.
            operator.still_allowed(&gallery)?;
            gallery.list(&tenant, &filter)
        })
    };
    let page = page_after(after).await?;
    if limit.is_none() && page.next.is_some() {
        return Ok(listing::all(page, move |after| page_after(Some(after))));
    }
    let answer = Listed {
        success: true,
        count: page.enrolments.len(),
        embeddings: page.enrolments.into_iter().map(Into::into).collect(),
        next_cursor: page.next,
    };
    Ok(Json(answer).into_response())
}

/// The parameter, as it is told to clients.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the query is read value by value")]
pub(in crate::api) struct DeleteQuery {
    /// Whose. **Left out: everybody's.**
    subject_id: Option<SubjectId>,
}

/// Deletes all embeddings of a subject, or all of the tenant.
///
/// A call that may delete everything is read strictly: an empty `subject_id` or a parameter that it does not know (a
/// misspelt `subject_id`) is refused, never passed over, and so is a body, which may be meant to name one. When the answer arrives, they are gone for good.
#[utoipa::path(delete, path = "/embeddings", params(DeleteQuery),
    responses((status = 200, description = "They are gone.", body = Deleted),
        failures::Query, failures::NoSubject, failures::Stores))]
pub(in crate::api) async fn delete_many(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Extension(about): Extension<About>,
    query: RawQuery,
    body: Body,
) -> Answer<Deleted> {
    let query = read(query)?;
    must_be_empty(body).await?;
    if let Some(unknown) = query.names().find(|&name| name != "subject_id") {
        let message = format!("{} is not a parameter of this call, only subject_id is", printable(unknown));
        return Err(Failure::new(Kind::InvalidField, message));
    }
    let subject = query.subject("subject_id")?;
    if subject.is_none() && query.has("subject_id") {
        return Err(Failure::new(Kind::InvalidField, "subject_id is empty; leave it out to delete all embeddings"));
    }
    if let Some(subject) = &subject {
        about.subject(subject);
    }
    let gallery = Arc::clone(&state.gallery);
    let deleted = blocking(move || match subject {
        Some(subject) => gallery.delete_subject(&tenant, &subject),
        None => gallery.delete_all(&tenant),
    })
    .await?;
    Ok(Json(Deleted::all(deleted)))
}

/// Refuses a body that has anything in it: `{"subject_id": "EMP-001"}` there means one person, and the call everybody.
async fn must_be_empty(body: Body) -> Result<()> {
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Error::new(Kind::MalformedRequest, "the body breaks off"))?;
        if !chunk.is_empty() {
            return Err(Error::new(Kind::InvalidField, "this call takes no body: name the subject in the query"));
        }
    }
    Ok(())
}

/// Deletes one embedding.
///
/// When the answer arrives, it is gone for good.
#[utoipa::path(delete, path = "/embeddings/{embedding_id}",
    params(("embedding_id" = EmbeddingId, Path, description = "Which one.")),
    responses((status = 200, description = "It is gone.", body = Deleted), failures::NoEmbedding, failures::Stores))]
pub(in crate::api) async fn delete_one(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Deleted> {
    // Every id that is not there answers in the same words, whether it cannot exist or is another tenant's.
    let id: EmbeddingId = id.ok().and_then(|Path(id)| id.parse().ok()).ok_or_else(no_such_embedding)?;
    let gallery = Arc::clone(&state.gallery);
    blocking(move || gallery.delete_embedding(&tenant, &id)).await.map_err(tell_alike)?;
    Ok(Json(Deleted::one()))
}

pub(super) fn no_such_embedding() -> Error {
    Error::new(Kind::EmbeddingNotFound, "no such embedding is enrolled")
}

/// An embedding that is not there in the words of one that cannot be.
pub(super) fn tell_alike(failure: Failure) -> Failure {
    match failure.0.kind() {
        Kind::EmbeddingNotFound => no_such_embedding().into(),
        _ => failure,
    }
}
