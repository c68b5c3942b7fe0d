//! `GET /presence`, `DELETE /presence/{subjectId}` and `DELETE /presence?all=true`: who is where, and forgiving.

use std::sync::Arc;

use axum::{Extension, Json, extract::State as Shared, response::IntoResponse};
use serde_json::{Value, json};

use super::{Answered, Name, Pairs, name, query};
use crate::{
    access::rules::{Place, Whereabouts},
    api::{State, auth::Tenant, blocking, error::Failure, values},
    error::{Error, Kind},
};

/// Most subjects in one answer.
const MOST: usize = 1_000;

fn shown(subject: &str, known: &Whereabouts) -> Value {
    json!({
        "subject": subject, "place": known.place, "pending": known.pending, "door": &*known.door, "at": known.at,
    })
}

/// By subject; of one area alone where `area` says so.
pub(in crate::api) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    pairs: Pairs,
) -> Answered {
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
    let mut answer = json!({ "success": true, "count": people.len(), "presence": people });
    let next = answer["presence"].as_array().and_then(|people| people.last()).map(|last| last["subject"].clone());
    if let (true, Some(next), Some(answer)) = (more, next, answer.as_object_mut()) {
        answer.insert("next_cursor".into(), next);
    }
    Ok(Json(answer).into_response())
}

pub(in crate::api) async fn forgive(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    path: Name,
) -> Answered {
    let subject = values::subject("the subject in the path", &name(path)?)?;
    let gallery = Arc::clone(&state.gallery);
    if blocking(move || gallery.forgive(&tenant, Some(&subject))).await? == 0 {
        return Err(Failure::new(Kind::SubjectNotFound, "nothing is known of where this subject is"));
    }
    Ok(Json(json!({ "success": true, "forgiven": 1 })).into_response())
}

/// Everybody, and only where that is asked for in so many words.
pub(in crate::api) async fn forgive_all(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    pairs: Pairs,
) -> Answered {
    if query(pairs, &["all"])?.flag("all")? != Some(true) {
        return Err(Error::new(Kind::MissingField, "say ?all=true to forgive everybody").into());
    }
    let gallery = Arc::clone(&state.gallery);
    let forgiven = blocking(move || gallery.forgive(&tenant, None)).await?;
    Ok(Json(json!({ "success": true, "forgiven": forgiven })).into_response())
}
