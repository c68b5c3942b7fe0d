use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Bytes, Lww};
use crate::stamp::Stamp;

/// An embedding's id: the 16 bytes of a UUID.
pub type EmbeddingId = [u8; 16];

/// A person of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubjectDocument {
    /// Who it is. `None` where nothing of the person is left, not even the name.
    pub owner: Option<Owner>,
    /// Whatever is not later than this is dead.
    pub erased: Option<Stamp>,
    /// Whether it may be recognised. `None`: nobody has said otherwise.
    pub active: Option<Lww<bool>>,
    /// Its own access rules, as the daemon writes them; `None` inside where they were taken away.
    pub rules: Option<Lww<Option<Bytes>>>,
    /// What it is recognised by.
    pub embeddings: BTreeMap<EmbeddingId, Embedding>,
    /// Embeddings that were removed, and when.
    pub removed: BTreeMap<EmbeddingId, Stamp>,
}

/// Who a subject is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The tenant's id, 1 to 64 bytes.
    pub tenant: String,
    /// The subject's id, 1 to 256 bytes.
    pub subject: String,
}

/// One enrolment of a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// When it came to be here.
    pub added: Stamp,
    /// What never changes.
    pub fixed: Fixed,
    /// What its client wants back with each match: JSON, or none.
    pub metadata: Lww<Option<Bytes>>,
}

/// What never changes of an enrolment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fixed {
    /// The wall clock at enrolment, microseconds since 1970.
    pub created: i64,
    /// The recogniser that made the template, 1 to 255 bytes. Others' are kept and never matched.
    pub model: String,
    /// The template: half-precision numbers, little-endian; at most 4,096 bytes.
    pub template: Bytes,
    /// How good the picture was, 0 to 1.
    pub quality: f32,
    /// How surely a living person was seen, 0 to 1, where that was measured.
    pub liveness: Option<f32>,
    /// Where the picture came from, at most 256 bytes.
    pub source: Option<String>,
}

impl SubjectDocument {
    /// Somebody of whom nothing is known yet.
    pub fn new(tenant: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { owner: Some(Owner { tenant: tenant.into(), subject: subject.into() }), ..Self::default() }
    }

    /// The latest stamp in it.
    pub fn latest(&self) -> Option<&Stamp> {
        let embeddings = self.embeddings.values().flat_map(|embedding| [&embedding.added, &embedding.metadata.stamp]);
        let values = self.active.iter().map(|active| &active.stamp).chain(self.rules.iter().map(|rules| &rules.stamp));
        embeddings.chain(values).chain(self.erased.iter()).chain(self.removed.values()).max()
    }

    /// Whether anything of the person is left: an embedding, or rules.
    pub fn is_alive(&self) -> bool {
        !self.embeddings.is_empty() || self.rules.as_ref().is_some_and(|rules| rules.value.is_some())
    }

    /// Enrols: puts an embedding there. Its stamp must be later than all that is there.
    pub fn add(&mut self, id: EmbeddingId, embedding: Embedding) {
        self.removed.remove(&id);
        self.embeddings.insert(id, embedding);
    }

    /// Removes one embedding; whether it was there.
    pub fn remove(&mut self, id: &EmbeddingId, stamp: Stamp) -> bool {
        let was_there = self.embeddings.remove(id).is_some();
        if was_there {
            self.removed.insert(*id, stamp);
        }
        was_there
    }

    /// Erases everything of the person that is there, its name too.
    pub fn erase(&mut self, stamp: Stamp) {
        *self = Self { erased: self.erased.take().max(Some(stamp)), ..Self::default() };
    }
}
