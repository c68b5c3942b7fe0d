//! What the doors of a site share, and how two versions of it become one.
//!
//! A [`Document`] is a state-based CRDT: [`merge`](Document::merge) is commutative, associative and idempotent, so doors that
//! have seen the same changes have the same state, in whatever order, and however often, they saw them.
//!
//! | of | rule |
//! | --- | --- |
//! | one value (`active`, a subject's rules, a rule) | the last writer wins, by [`Stamp`]; equal stamps: the greater value |
//! | an embedding | lives while it was added after `erased`, and after its own tombstone in `removed` |
//! | its metadata | the last writer wins; a version of the embedding that was added later brings its own |
//! | `erased` (all of a subject, or of a tenant) | the latest; whatever is not later is dead |
//!
//! Tombstones of single embeddings are kept for a horizon ([`Document::prune`]). They do not count in a document's
//! [`hash`](Document::hash), which is of what lives.

mod bytes;
mod codec;
mod key;
mod merge;
mod subject;
mod summary;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::{
    bytes::Bytes,
    codec::{BadDocument, Hash, MAX_SEALED_BYTES},
    key::{BUCKETS, DocumentKey},
    merge::{Merged, apply},
    subject::{Embedding, EmbeddingId, Fixed, Owner, SubjectDocument},
    summary::Summary,
};
use crate::{keys::SealingKey, stamp::Stamp};

/// What a document is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A person: embeddings, whether active, rules of its own.
    Subject = 0,
    /// One rule of a tenant, by its name: what a group, a schedule or an area is.
    Rules = 1,
    /// A tenant: whether it is there, and up to when all of it was erased.
    Tenant = 2,
}

impl Kind {
    /// All of them, by number.
    pub const ALL: [Self; 3] = [Self::Subject, Self::Rules, Self::Tenant];

    /// Its level in topics.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Subject => "subjects",
            Self::Rules => "rules",
            Self::Tenant => "tenants",
        }
    }
}

/// A value and when it was written: the last writer wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lww<T> {
    /// When, and by whom.
    pub stamp: Stamp,
    /// What.
    pub value: T,
}

/// A part of the site's shared memory, under one [`DocumentKey`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Document {
    /// A person.
    Subject(SubjectDocument),
    /// A rule.
    Rules(RulesDocument),
    /// A tenant.
    Tenant(TenantDocument),
}

/// One rule of a tenant. What it says is the daemon's matter: bytes here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulesDocument {
    /// Whose, 1 to 64 bytes.
    pub tenant: String,
    /// Which, 1 to 256 bytes: `plan`, `group/staff`.
    pub name: String,
    /// What it is; `None` inside where there is none any more.
    pub value: Option<Lww<Option<Bytes>>>,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantDocument {
    /// Its id, 1 to 64 bytes.
    pub tenant: String,
    /// Whether it is there.
    pub exists: Option<Lww<bool>>,
    /// All that was stamped up to here is erased, in every document of the tenant but this one.
    pub erased: Option<Stamp>,
}

impl Document {
    /// What it is of.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Subject(_) => Kind::Subject,
            Self::Rules(_) => Kind::Rules,
            Self::Tenant(_) => Kind::Tenant,
        }
    }

    /// Whose it is; `None` for a subject that was erased.
    pub fn tenant(&self) -> Option<&str> {
        match self {
            Self::Subject(subject) => subject.owner.as_ref().map(|owner| owner.tenant.as_str()),
            Self::Rules(rules) => Some(&rules.tenant),
            Self::Tenant(tenant) => Some(&tenant.tenant),
        }
    }

    /// The key that it must lie under; `None` for a subject that was erased, which does not say who it was.
    pub fn key(&self, site: &SealingKey) -> Option<DocumentKey> {
        let (tenant, name) = match self {
            Self::Subject(subject) => subject.owner.as_ref().map(|owner| (&*owner.tenant, &*owner.subject))?,
            Self::Rules(rules) => (&*rules.tenant, &*rules.name),
            Self::Tenant(tenant) => (&*tenant.tenant, ""),
        };
        Some(DocumentKey::new(site, self.kind(), tenant, name))
    }

    /// Whether there is anything but the memory of what is gone.
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Subject(subject) => subject.is_alive(),
            Self::Rules(rules) => rules.value.as_ref().is_some_and(|value| value.value.is_some()),
            Self::Tenant(_) => true,
        }
    }

    /// The latest stamp in it.
    pub fn latest(&self) -> Option<&Stamp> {
        match self {
            Self::Subject(subject) => subject.latest(),
            Self::Rules(rules) => rules.value.as_ref().map(|value| &value.stamp),
            Self::Tenant(tenant) => tenant.exists.as_ref().map(|exists| &exists.stamp).max(tenant.erased.as_ref()),
        }
    }

    /// When this was erased, where that is so: a subject's own erasure.
    pub fn erased(&self) -> Option<&Stamp> {
        match self {
            Self::Subject(subject) => subject.erased.as_ref(),
            Self::Rules(_) => None,
            Self::Tenant(tenant) => tenant.erased.as_ref(),
        }
    }
}
