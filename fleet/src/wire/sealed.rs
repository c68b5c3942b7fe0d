use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::V1;
use crate::Name;

/// A document, at `subjects/…`, `rules/…` or `tenants/…`. Only the site's doors can read what it is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sealed {
    /// The version of this form.
    pub v: V1,
    /// Who published it: any door that had the newest, not always the one that changed it.
    pub by: Name,
    /// XChaCha20-Poly1305 under the site's sealing key, of the document in postcard: nonce, text, tag, in base64url.
    pub seal: String,
}

/// A door's word that it has erased what a document's erasure covers, durably, at `receipts/{device}/{key}`. The device that
/// ordered the erasure gives none: its own is the document itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The version of this form.
    pub v: V1,
    /// The door.
    pub by: Name,
    /// The wall clock at the door, milliseconds since 1970.
    pub at: u64,
    /// The erasure: its stamp's milliseconds since 1970,
    pub erased_ms: u64,
    /// counter,
    pub erased_counter: u16,
    /// and device.
    pub erased_by: Name,
}
