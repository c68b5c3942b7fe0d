//! `GET /embeddings`, `DELETE /embeddings`, `DELETE /embeddings/{embeddingId}`

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State as Shared, rejection::PathRejection, rejection::QueryRejection},
};

use super::Answer;
use crate::{
    api::{
        State,
        audit::About,
        auth::Tenant,
        blocking,
        dto::{Deleted, Listed},
        error::Failure,
        values::{Values, printable},
    },
    error::{Error, Kind, Result},
    gallery::{EmbeddingId, ListFilter},
};

/// Most embeddings in one answer, and how many there are where the client names no limit. The reference knows no pages:
/// its clients expect everything, and get it as far as an answer may grow.
const MOST: usize = 1_000;

type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

pub(in crate::api) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    query: Pairs,
) -> Answer<Listed> {
    let query = read(query)?;
    let filter = ListFilter {
        subject: query.subject("subject_id")?,
        active_only: query.flag("active_only")?.unwrap_or(true),
        limit: query.count("limit", MOST)?.unwrap_or(MOST),
        after: query.cursor("cursor")?,
    };
    let gallery = Arc::clone(&state.gallery);
    let page = blocking(move || gallery.list(&tenant, &filter)).await?;
    Ok(Json(Listed {
        success: true,
        count: page.enrolments.len(),
        embeddings: page.enrolments.into_iter().map(Into::into).collect(),
        next_cursor: page.next,
    }))
}

/// Deletes all of a subject's, or all of the tenant's.
///
/// A call that may delete everything is read strictly: an empty `subject_id` or a parameter that it does not know (a
/// misspelt `subject_id`) is refused, never passed over.
pub(in crate::api) async fn delete_many(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Extension(about): Extension<About>,
    query: Pairs,
) -> Answer<Deleted> {
    let query = read(query)?;
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

pub(in crate::api) async fn delete_one(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Deleted> {
    // Every id that is not there answers in the same words, whether it cannot exist or is another tenant's.
    let id: Option<EmbeddingId> = id.ok().and_then(|Path(id)| id.parse().ok());
    let id = id.ok_or_else(|| Error::new(Kind::EmbeddingNotFound, NO_SUCH_EMBEDDING))?;
    let gallery = Arc::clone(&state.gallery);
    blocking(move || gallery.delete_embedding(&tenant, &id)).await.map_err(|failure| match failure.0.kind() {
        Kind::EmbeddingNotFound => Failure::new(Kind::EmbeddingNotFound, NO_SUCH_EMBEDDING),
        _ => failure,
    })?;
    Ok(Json(Deleted::one()))
}

const NO_SUCH_EMBEDDING: &str = "no such embedding is enrolled";

fn read(query: Pairs) -> Result<Values> {
    let Query(pairs) =
        query.map_err(|_| Error::new(Kind::MalformedRequest, "the query must be percent-encoded UTF-8"))?;
    Values::from_pairs(pairs)
}
