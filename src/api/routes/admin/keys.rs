//! `/v1/admin/keys`.

use std::sync::Arc;

use axum::{Extension, Json, extract::State as Shared};
use jiff::Timestamp;
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
    gallery::{Gallery, KeyInfo, KeyTerms, Lifetime, NewKey, Right, Rights, TenantId, Within, no_such_key},
    operator::Operator,
};

/// What a new key is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = NewKey)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Whose; a key makes its own tenant's.
    tenant: Option<String>,
    /// What it is called in lists.
    label: Option<String>,
    /// Without, the usual ones, as far as the caller has them.
    #[schema(value_type = Option<Vec<Right>>)]
    rights: Option<Vec<String>>,
    /// `90d`, or a time. Without, when the caller's own key ends.
    expires: Option<String>,
}

/// How a key is rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rotation {
    /// For how long the old key still counts: `24h`. Without, it ends at once.
    overlap: Option<String>,
}

/// The keys.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyList {
    success: bool,
    count: usize,
    keys: Vec<KeyInfo>,
}

/// A new key.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyMade {
    success: bool,
    key: KeyTold,
}

/// A key with its secret.
#[derive(Serialize, ToSchema)]
struct KeyTold {
    #[serde(flatten)]
    info: KeyInfo,
    /// The secret. It is in this answer and nowhere else.
    key: String,
}

/// Lists the tenant's keys.
///
/// Ended ones are listed until they are revoked.
#[utoipa::path(get, path = "/keys", responses((status = 200, description = "The keys.", body = KeyList)))]
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
) -> Answer<KeyList> {
    operator.must_have(Right::Admin)?;
    let gallery = Arc::clone(&state.gallery);
    let mut keys = blocking(move || gallery.keys()).await?;
    keys.retain(|key| operator.owns(&key.tenant));
    Ok(Json(KeyList { success: true, count: keys.len(), keys }))
}

/// Makes a key.
///
/// The secret is in this answer and nowhere else. A key gives no right that it lacks, and no end later than its own.
#[utoipa::path(post, path = "/keys", request_body = Wanted,
    responses((status = 200, description = "The key, with its secret.", body = KeyMade), failures::JsonBody,
        failures::Required, failures::Capacity, failures::Recorded, failures::Stores, failures::NotThere))]
pub(super) async fn make(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    Extension(about): Extension<About>,
    sent: Body,
) -> Answer<KeyMade> {
    operator.must_have(Right::Admin)?;
    let wanted: Wanted = body(sent)?;
    let gallery = Arc::clone(&state.gallery);
    let answer = blocking(move || {
        let tenant = tenant(&operator, wanted.tenant.as_deref())?;
        about.tenant(&tenant);
        let terms = terms(&operator, wanted, gallery.clock().wall())?;
        let key = gallery.make_key(&tenant, &terms)?;
        about.key(&key.id);
        told(&gallery, &key)
    })
    .await?;
    Ok(Json(answer))
}

/// Makes a key of the same tenant, label and rights in the place of one, which lasts as long as that was to last.
#[utoipa::path(post, path = "/keys/{key_id}/rotate", params(("key_id" = String, Path, description = "Which one.")),
    request_body = Option<Rotation>,
    responses((status = 200, description = "The new key, with its secret.", body = KeyMade), failures::JsonBody,
        failures::Capacity, failures::Recorded, failures::Stores, failures::NotThere))]
pub(super) async fn rotate(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    path: Name,
    sent: Body,
) -> Answer<KeyMade> {
    operator.must_have(Right::Admin)?;
    let id = name(path)?;
    let empty = sent.as_ref().is_ok_and(|bytes| bytes.is_empty());
    let rotation: Rotation = if empty { Rotation::default() } else { body(sent)? };
    let overlap: Within = rotation.overlap.as_deref().map(str::parse).transpose()?.unwrap_or_default();
    let gallery = Arc::clone(&state.gallery);
    let answer = blocking(move || {
        let key = gallery.rotate_key(&id, overlap.0, maker(&operator), |old| {
            own(&operator, old)?;
            may_give(&operator, old.rights)?;
            Ok(latest_end(&operator))
        })?;
        told(&gallery, &key)
    })
    .await?;
    Ok(Json(answer))
}

/// Revokes a key. It stops at once.
#[utoipa::path(delete, path = "/keys/{key_id}", params(("key_id" = String, Path, description = "Which one.")),
    responses((status = 200, description = "It is revoked.", body = Done), failures::Query, failures::Stores,
        failures::NotThere))]
pub(super) async fn revoke(
    Shared(state): Shared<Arc<State>>,
    Extension(operator): Extension<Operator>,
    path: Name,
) -> Answer<Done> {
    operator.must_have(Right::Admin)?;
    let id = name(path)?;
    let gallery = Arc::clone(&state.gallery);
    blocking(move || gallery.revoke_key_if(&id, |key| own(&operator, key))).await?;
    Ok(Json(Done::new()))
}

/// A new key, with its secret.
fn told(gallery: &Gallery, new: &NewKey) -> Result<KeyMade> {
    let key = KeyTold { info: gallery.key(&new.id)?, key: new.secret.to_string() };
    Ok(KeyMade { success: true, key })
}

fn tenant(operator: &Operator, wanted: Option<&str>) -> Result<TenantId> {
    let wanted = wanted.map(str::parse::<TenantId>).transpose()?;
    match (operator, wanted) {
        (Operator::Key(caller), None) => Ok(caller.tenant.clone()),
        (Operator::Local { .. } | Operator::Device { .. }, None) => {
            Err(Error::new(Kind::MissingField, "tenant is missing: whose key is it?"))
        }
        (_, Some(tenant)) if operator.owns(&tenant) => Ok(tenant),
        (_, Some(_)) => Err(Error::new(Kind::Forbidden, "a key makes keys of its own tenant alone: leave out tenant")),
    }
}

fn terms(operator: &Operator, wanted: Wanted, now: Timestamp) -> Result<KeyTerms> {
    let rights: Rights = match wanted.rights {
        Some(names) => names.iter().map(|name| name.parse::<Right>()).collect::<Result<_>>()?,
        None => Rights::default().iter().filter(|&right| operator.must_have(right).is_ok()).collect(),
    };
    may_give(operator, rights)?;
    let latest = latest_end(operator);
    let expires = match wanted.expires.as_deref().map(str::parse::<Lifetime>).transpose()? {
        Some(lifetime) => {
            if latest.is_some_and(|latest| lifetime.end(now).is_ok_and(|end| end > latest)) {
                return Err(Error::new(Kind::Forbidden, "a key makes none that lasts longer than itself"));
            }
            Some(lifetime)
        }
        None => latest.map(Lifetime::Until),
    };
    let maker = maker(operator).map(str::to_owned);
    Ok(KeyTerms { label: wanted.label.filter(|label| !label.is_empty()), rights, expires, maker })
}

/// Another tenant's key answers as one that never was.
fn own(operator: &Operator, key: &KeyInfo) -> Result<()> {
    if operator.owns(&key.tenant) { Ok(()) } else { Err(no_such_key()) }
}

/// Nobody gives a right that they have not.
fn may_give(operator: &Operator, rights: Rights) -> Result<()> {
    rights.iter().try_for_each(|right| operator.must_have(right))
}

/// The key that asks for another.
fn maker(operator: &Operator) -> Option<&str> {
    match operator {
        Operator::Key(caller) => Some(&caller.key),
        Operator::Local { .. } | Operator::Device { .. } => None,
    }
}

fn latest_end(operator: &Operator) -> Option<Timestamp> {
    match operator {
        Operator::Key(caller) => caller.expires_at,
        Operator::Local { .. } | Operator::Device { .. } => None,
    }
}
