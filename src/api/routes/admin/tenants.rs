//! `/v1/admin/tenants`, on the daemon's socket alone.

use std::sync::Arc;

use axum::{Extension, Json, extract::State as Shared};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body;
use crate::{
    api::{
        State,
        audit::About,
        blocking,
        dto::Done,
        openapi::failures,
        routes::{
            Answer,
            access::{Body, Name, name},
        },
    },
    error::{Error, Kind, Result},
    gallery::{TenantId, TenantInfo},
    operator::Operator,
};

/// A new tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewTenant)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[schema(value_type = TenantId)]
    name: String,
    /// How many embeddings it may have; none: as many as the gallery holds.
    max_faces: Option<u64>,
}

/// How much a tenant may hold. `max_faces` must be there: a slip of the pen takes no limit away.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TenantLimit)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    /// Null for none.
    #[schema(required)]
    #[serde(deserialize_with = "Option::deserialize")]
    max_faces: Option<u64>,
}

/// The tenants.
#[derive(Serialize, ToSchema)]
pub(super) struct TenantList {
    success: bool,
    count: usize,
    tenants: Vec<TenantInfo>,
}

/// A tenant is gone.
#[derive(Serialize, ToSchema)]
pub(super) struct TenantDeleted {
    success: bool,
    /// How many embeddings it had.
    deleted: usize,
}

/// Lists the tenants.
#[utoipa::path(get, path = "/tenants",
    responses((status = 200, description = "The tenants.", body = TenantList), failures::Restricted))]
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
) -> Answer<TenantList> {
    local(&operator)?;
    let gallery = Arc::clone(&state.gallery);
    let tenants = blocking(move || gallery.tenants()).await?;
    Ok(Json(TenantList { success: true, count: tenants.len(), tenants }))
}

/// Makes a tenant.
#[utoipa::path(post, path = "/tenants", request_body = Wanted,
    responses((status = 200, description = "It is there.", body = Done), failures::JsonBody, failures::Restricted,
        failures::Recorded, failures::Stores))]
pub(super) async fn make(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    Extension(about): Extension<About>,
    sent: Body,
) -> Answer<Done> {
    local(&operator)?;
    let wanted: Wanted = body(sent)?;
    let tenant: TenantId = wanted.name.parse()?;
    about.tenant(&tenant);
    let gallery = Arc::clone(&state.gallery);
    blocking(move || gallery.add_tenant(&tenant, wanted.max_faces)).await?;
    Ok(Json(Done::new()))
}

/// Says how many embeddings a tenant may have.
///
/// A limit below what is there deletes nothing.
#[utoipa::path(put, path = "/tenants/{tenant}/limit", params(("tenant" = TenantId, Path, description = "Which one.")),
    request_body = Limit,
    responses((status = 200, description = "It is in force.", body = Done), failures::JsonBody, failures::Restricted,
        failures::Recorded, failures::Stores, failures::NotThere))]
pub(super) async fn limit(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    path: Name,
    sent: Body,
) -> Answer<Done> {
    local(&operator)?;
    let tenant: TenantId = name(path)?.parse()?;
    let limit: Limit = body(sent)?;
    let gallery = Arc::clone(&state.gallery);
    blocking(move || gallery.limit_tenant(&tenant, limit.max_faces)).await?;
    Ok(Json(Done::new()))
}

/// Deletes a tenant: its keys, embeddings, rules and whereabouts.
///
/// All of it is gone for good when the answer is given.
#[utoipa::path(delete, path = "/tenants/{tenant}", params(("tenant" = TenantId, Path, description = "Which one.")),
    responses((status = 200, description = "It is gone.", body = TenantDeleted), failures::Query, failures::Restricted,
        failures::Stores, failures::NotThere))]
pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    path: Name,
) -> Answer<TenantDeleted> {
    local(&operator)?;
    let tenant: TenantId = name(path)?.parse()?;
    let gallery = Arc::clone(&state.gallery);
    let deleted = blocking(move || gallery.delete_tenant(&tenant)).await?;
    Ok(Json(TenantDeleted { success: true, deleted }))
}

fn local(operator: &Operator) -> Result<()> {
    match operator {
        Operator::Local { .. } => Ok(()),
        Operator::Key(_) | Operator::Device { .. } => {
            Err(Error::new(Kind::Forbidden, "no key manages tenants: do it on the machine itself")
                .help("facegate tenants, or the daemon's socket"))
        }
    }
}
