//! `/v1/admin`: API keys, for keys with the right `admin`; and tenants, for users of this machine on the daemon's socket.
//!
//! A key manages the keys of its own tenant alone: another tenant's answer as keys that never were. It makes none that can
//! do more or last longer than itself: whoever holds it gains nothing by it.

mod keys;
mod tenants;

use std::sync::Arc;

use axum::{
    Json, Router,
    response::IntoResponse,
    routing::{delete, get, post, put},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::access::{self, Answered, Body};
use crate::{api::State, error::Result};

/// Longest body, in bytes.
const LONGEST: usize = 4 << 10;

/// The routes, without their authentication. Each handler looks at who calls.
pub(in crate::api) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/keys", get(keys::list).post(keys::make))
        .route("/keys/{key_id}", delete(keys::revoke))
        .route("/keys/{key_id}/rotate", post(keys::rotate))
        .route("/tenants", get(tenants::list).post(tenants::make))
        .route("/tenants/{tenant}", delete(tenants::delete))
        .route("/tenants/{tenant}/limit", put(tenants::limit))
}

fn done() -> Answered {
    Ok(Json(json!({ "success": true })).into_response())
}

/// All of something, called `what`.
fn listed(what: &str, items: &[impl Serialize]) -> Answered {
    Ok(Json(json!({ "success": true, "count": items.len(), what: items })).into_response())
}

/// A body of JSON.
fn body<T: DeserializeOwned>(sent: Body) -> Result<T> {
    access::fields(sent, LONGEST)
}
