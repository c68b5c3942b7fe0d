//! `/v1/admin`: API keys, for keys with the right `admin`; and tenants, for users of this machine on the daemon's socket.
//!
//! A key manages the keys of its own tenant alone: another tenant's answer as keys that never were. It makes none that can
//! do more or last longer than itself: whoever holds it gains nothing by it.

mod keys;
mod tenants;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::access::{self, Body};
use crate::{
    api::{State, openapi},
    error::Result,
    gallery::Right,
};

/// Longest body, in bytes.
const LONGEST: usize = 4 << 10;

/// The routes, without their authentication. Each handler looks at who calls.
pub(in crate::api) fn router() -> OpenApiRouter<Arc<State>> {
    let mut keys = OpenApiRouter::new()
        .routes(routes!(keys::list, keys::make))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate));
    openapi::all_told(&mut keys, Right::Admin, Right::Admin);
    let tenants = OpenApiRouter::new()
        .routes(routes!(tenants::list, tenants::make))
        .routes(routes!(tenants::delete))
        .routes(routes!(tenants::limit));
    keys.merge(tenants)
}

/// A body of JSON.
fn body<T: DeserializeOwned>(sent: Body) -> Result<T> {
    access::fields(sent, LONGEST)
}
