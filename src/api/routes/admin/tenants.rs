//! `/v1/admin/tenants`, on the daemon's socket alone.

use std::sync::Arc;

use axum::{Extension, Json, extract::State as Shared, response::IntoResponse};
use serde::Deserialize;
use serde_json::json;

use super::{body, done, listed};
use crate::{
    api::{
        State,
        audit::About,
        blocking,
        routes::access::{Answered, Body, Name, name},
    },
    error::{Error, Kind, Result},
    gallery::TenantId,
    operator::Operator,
};

/// A new tenant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    name: String,
    max_faces: Option<u64>,
}

/// How much a tenant may hold. `max_faces` must be there: a slip of the pen takes no limit away.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    #[serde(deserialize_with = "Option::deserialize")]
    max_faces: Option<u64>,
}

pub(super) async fn list(Shared(state): Shared<Arc<State>>, Extension(operator): Extension<Operator>) -> Answered {
    local(&operator)?;
    let gallery = Arc::clone(&state.gallery);
    let tenants = blocking(move || gallery.tenants()).await?;
    listed("tenants", &tenants)
}

pub(super) async fn make(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    Extension(about): Extension<About>,
    sent: Body,
) -> Answered {
    local(&operator)?;
    let wanted: Wanted = body(sent)?;
    let tenant: TenantId = wanted.name.parse()?;
    about.tenant(&tenant);
    let gallery = Arc::clone(&state.gallery);
    blocking(move || gallery.add_tenant(&tenant, wanted.max_faces)).await?;
    done()
}

pub(super) async fn limit(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    path: Name,
    sent: Body,
) -> Answered {
    local(&operator)?;
    let tenant: TenantId = name(path)?.parse()?;
    let limit: Limit = body(sent)?;
    let gallery = Arc::clone(&state.gallery);
    blocking(move || gallery.limit_tenant(&tenant, limit.max_faces)).await?;
    done()
}

/// All of it is gone for good when the answer is given.
pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    path: Name,
) -> Answered {
    local(&operator)?;
    let tenant: TenantId = name(path)?.parse()?;
    let gallery = Arc::clone(&state.gallery);
    let deleted = blocking(move || gallery.delete_tenant(&tenant)).await?;
    Ok(Json(json!({ "success": true, "deleted": deleted })).into_response())
}

fn local(operator: &Operator) -> Result<()> {
    match operator {
        Operator::Local { .. } => Ok(()),
        Operator::Key(_) => Err(Error::new(Kind::Forbidden, "no key manages tenants: do it on the machine itself")
            .help("facegate tenants, or the daemon's socket")),
    }
}
