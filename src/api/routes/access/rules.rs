//! `GET`, `PUT` and `DELETE /rules`: the whole of a tenant's rules, as one document.

use std::sync::Arc;

use axum::{Extension, Json, extract::State as Shared, http::HeaderMap, response::IntoResponse};
use serde_json::json;

use super::{Answered, Body, Condition, Pairs, body, query, tagged};
use crate::{
    access::rules::Rules,
    api::{State, auth::Tenant, blocking, error::Failure},
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

/// There may be no rules: then `rules` is null, and whoever is enrolled may pass.
pub(in crate::api) async fn get(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    pairs: Pairs,
) -> Answered {
    let with_subjects = query(pairs, &["subjects"])?.flag("subjects")?.unwrap_or(true);
    let gallery = Arc::clone(&state.gallery);
    let stored =
        blocking(move || if with_subjects { gallery.rules(&tenant) } else { gallery.rules_without_subjects(&tenant) })
            .await?;
    Ok(match stored {
        None => Json(json!({ "success": true, "rules": null })).into_response(),
        Some(stored) => tagged(json!({ "success": true, "rules": stored.rules }), &tag(stored.revision)),
    })
}

pub(in crate::api) async fn put(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    headers: HeaderMap,
    sent: Body,
) -> Answered {
    let expected = expected(&Condition::read(&headers)?)?;
    // It may be large: no more are worked on at a time than photographs are.
    let _place = Arc::clone(&state.uploads)
        .try_acquire_owned()
        .map_err(|_| Failure::new(Kind::Busy, "all places for uploads are taken"))?;
    let rules: Rules = body(sent, state.settings.max_body_bytes)?;
    let gallery = Arc::clone(&state.gallery);
    let revision = blocking(move || gallery.replace_rules(&tenant, &rules, expected)).await?;
    Ok(tagged(json!({ "success": true, "revision": revision }), &tag(revision)))
}

pub(in crate::api) async fn delete(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    headers: HeaderMap,
) -> Answered {
    let expected = expected(&Condition::read(&headers)?)?;
    let gallery = Arc::clone(&state.gallery);
    let existed = blocking(move || gallery.delete_rules(&tenant, expected)).await?;
    Ok(Json(json!({ "success": true, "deleted": existed })).into_response())
}
