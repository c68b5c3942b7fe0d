//! `GET /{kind}` and `GET`, `PUT`, `DELETE /{kind}/{name}` for calendars, schedules, areas, doors, interlocks and groups.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::State as Shared,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::get as get_route,
};
use serde_json::{Map, Value, json};

use super::{Answered, Body, Condition, Name, body, deleted, name, tag, tagged, unfit};
use crate::{
    api::{State, auth::Tenant, blocking, error::Failure},
    error::{Error, Kind},
    rulebook::Item,
};

/// Longest body of one thing, in bytes.
const LONGEST: usize = 1 << 20;

pub(super) fn routes<T: Item>(router: Router<Arc<State>>) -> Router<Arc<State>> {
    router
        .route(&format!("/{}", T::MANY), get_route(list::<T>))
        .route(&format!("/{}/{{name}}", T::MANY), get_route(get::<T>).put(put::<T>).delete(delete::<T>))
}

async fn list<T: Item>(Shared(state): Shared<Arc<State>>, Extension(Tenant(tenant)): Extension<Tenant>) -> Answered {
    let gallery = Arc::clone(&state.gallery);
    let stored = blocking(move || gallery.rules_without_subjects(&tenant)).await?;
    let items = stored.map(|mut stored| std::mem::take(T::all(&mut stored.rules))).unwrap_or_default();
    Ok(Json(json!({ "success": true, "count": items.len(), T::MANY: items })).into_response())
}

async fn get<T: Item>(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    path: Name,
) -> Answered {
    let name = name(path)?;
    let gallery = Arc::clone(&state.gallery);
    let stored = blocking(move || gallery.rules_without_subjects(&tenant)).await?;
    let mut rules = stored.map(|stored| stored.rules).unwrap_or_default();
    Ok(answer(T::find(&mut rules, &name).ok_or_else(not_found::<T>)?))
}

async fn put<T: Item>(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    headers: HeaderMap,
    path: Name,
    sent: Body,
) -> Answered {
    let name = name(path)?;
    let condition = Condition::read(&headers)?;
    let mut given: Map<String, Value> = body(sent, LONGEST)?;
    if given.get("name").is_some_and(|given| *given != *name) {
        return Err(Failure::new(
            Kind::InvalidField,
            "name differs from the one in the path: leave it out of the body",
        ));
    }
    given.insert("name".into(), name.into());
    let item: T = serde_json::from_value(given.into()).map_err(unfit)?;
    let gallery = Arc::clone(&state.gallery);
    let (item, _) = blocking(move || {
        gallery.change_rules(&tenant, |rules| {
            condition.check(T::find(rules, item.name()).map(tag).as_deref())?;
            item.clone().put(rules);
            Ok(item)
        })
    })
    .await?;
    Ok(answer(&item))
}

async fn delete<T: Item>(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    headers: HeaderMap,
    path: Name,
) -> Answered {
    let name = name(path)?;
    let condition = Condition::read(&headers)?;
    let gallery = Arc::clone(&state.gallery);
    blocking(move || {
        gallery.change_rules(&tenant, |rules| {
            let before = T::find(rules, &name).ok_or_else(not_found::<T>)?;
            condition.check(Some(&tag(before)))?;
            T::remove(rules, &name);
            Ok(())
        })
    })
    .await?;
    Ok(deleted())
}

fn answer<T: Item>(item: &T) -> Response {
    tagged(json!({ "success": true, T::ONE: item }), &tag(item))
}

fn not_found<T: Item>() -> Error {
    Error::new(Kind::NotFound, format!("the rules have no {} of this name", T::ONE))
}
