//! `GET /{kind}` and `GET`, `PUT`, `DELETE /{kind}/{name}` for calendars, schedules, areas, doors, interlocks and groups.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State as Shared,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answered, Body, Condition, Name, body, deleted, name, tag, tagged, unfit};
use crate::{
    access::rules::{Area, Calendar, Door, Group, Interlock, Schedule},
    api::{State, auth::Tenant, blocking, error::Failure},
    error::{Error, Kind},
    rulebook::Item,
};

/// Longest body of one thing, in bytes.
const LONGEST: usize = 1 << 20;

/// An item as answers tell it.
trait Told: Item {
    fn list(items: Vec<Self>) -> impl Serialize;
    fn one(&self) -> impl Serialize;
}

/// What differs between kinds: their names, in paths and in answers, and their schemas.
macro_rules! kinds {
    ($($many:ident $one:ident $item:ident $list:ident $single:ident;)+) => {
        pub(super) fn router() -> OpenApiRouter<Arc<State>> {
            OpenApiRouter::new()$(
                .routes(routes!($many::list))
                .routes(routes!($many::get, $many::put, $many::delete))
            )+
        }

        $(
            impl Told for $item {
                fn list(items: Vec<Self>) -> impl Serialize {
                    $many::$list { success: true, count: items.len(), $many: items }
                }

                fn one(&self) -> impl Serialize {
                    $many::$single { success: true, $one: self }
                }
            }

            mod $many {
                use std::sync::Arc;

                use axum::{Extension, extract::State as Shared, http::HeaderMap};
                use serde::Serialize;
                use utoipa::ToSchema;

                use super::{$item, Answered, Body, Name};
                use crate::api::{State, auth::Tenant, dto::Done, openapi::failures, routes::access::Conditions};

                /// All of a kind.
                #[derive(Serialize, ToSchema)]
                pub(super) struct $list {
                    pub(super) success: bool,
                    pub(super) count: usize,
                    pub(super) $many: Vec<$item>,
                }

                /// One thing of the rules.
                #[derive(Serialize, ToSchema)]
                pub(super) struct $single<'a> {
                    pub(super) success: bool,
                    pub(super) $one: &'a $item,
                }

                #[utoipa::path(get, path = concat!("/", stringify!($many)),
                    summary = concat!("Lists the ", stringify!($many), "."),
                    responses((status = 200, description = "All of them.", body = $list)))]
                pub(super) async fn list(state: Shared<Arc<State>>, tenant: Extension<Tenant>) -> Answered {
                    super::list::<$item>(state, tenant).await
                }

                #[utoipa::path(get, path = concat!("/", stringify!($many), "/{name}"),
                    params(("name" = String, Path, description = "Its name.")),
                    summary = concat!("Gives one of the ", stringify!($many), "."),
                    responses((status = 200, description = "As it is in force.", body = $single,
                        headers(("ETag" = String, description = "Stands for it."))), failures::Query, failures::NotThere))]
                pub(super) async fn get(state: Shared<Arc<State>>, tenant: Extension<Tenant>, path: Name) -> Answered {
                    super::get::<$item>(state, tenant, path).await
                }

                #[utoipa::path(put, path = concat!("/", stringify!($many), "/{name}"),
                    params(("name" = String, Path, description = "Its name."), Conditions),
                    summary = concat!("Makes or replaces one of the ", stringify!($many), "."),
                    description = "`name` may be left out of the body: it is in the path.",
                    request_body = $item,
                    responses((status = 200, description = "It is in force.", body = $single,
                        headers(("ETag" = String, description = "Stands for it."))), failures::JsonBody,
                        failures::Conditional, failures::Rules, failures::Recorded, failures::Stores))]
                pub(super) async fn put(
                    state: Shared<Arc<State>>,
                    tenant: Extension<Tenant>,
                    headers: HeaderMap,
                    path: Name,
                    sent: Body,
                ) -> Answered {
                    super::put::<$item>(state, tenant, headers, path, sent).await
                }

                #[utoipa::path(delete, path = concat!("/", stringify!($many), "/{name}"),
                    params(("name" = String, Path, description = "Its name."), Conditions),
                    summary = concat!("Deletes one of the ", stringify!($many), "."),
                    responses((status = 200, description = "It is gone.", body = Done), failures::Conditional,
                        failures::NotThere, failures::Rules, failures::Stores))]
                pub(super) async fn delete(
                    state: Shared<Arc<State>>,
                    tenant: Extension<Tenant>,
                    headers: HeaderMap,
                    path: Name,
                ) -> Answered {
                    super::delete::<$item>(state, tenant, headers, path).await
                }
            }
        )+
    };
}

kinds! {
    calendars calendar Calendar CalendarList OneCalendar;
    schedules schedule Schedule ScheduleList OneSchedule;
    areas area Area AreaList OneArea;
    doors door Door RulesDoorList OneRulesDoor;
    interlocks interlock Interlock InterlockList OneInterlock;
    groups group Group GroupList OneGroup;
}

async fn list<T: Told>(Shared(state): Shared<Arc<State>>, Extension(Tenant(tenant)): Extension<Tenant>) -> Answered {
    let gallery = Arc::clone(&state.gallery);
    let stored = blocking(move || gallery.rules_without_subjects(&tenant)).await?;
    let items = stored.map(|mut stored| std::mem::take(T::all(&mut stored.rules))).unwrap_or_default();
    Ok(Json(T::list(items)).into_response())
}

async fn get<T: Told>(
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

async fn put<T: Told>(
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

fn answer<T: Told>(item: &T) -> Response {
    tagged(item.one(), &tag(item))
}

fn not_found<T: Item>() -> Error {
    Error::new(Kind::NotFound, format!("the rules have no {} of this name", T::ONE))
}
