use std::{
    borrow::Cow,
    collections::{BTreeMap, btree_map::Entry},
};

use super::{Document, Embedding, EmbeddingId, Fixed, Lww, RulesDocument, SubjectDocument, TenantDocument};
use crate::stamp::Stamp;

/// What became of a document that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// What there is now.
    pub document: Document,
    /// It differs from what there was.
    pub changed: bool,
    /// It differs from what arrived: others should have it.
    pub ahead: bool,
    /// It was erased, up to here, and was not before.
    pub erased: Option<Stamp>,
}

/// Puts what arrived to what there is. All that a store does about a message, it does by this, within one transaction.
///
/// `tenant_erased` is the tenant's own [`erased`](TenantDocument::erased). Tombstones from before `oldest_tombstone_ms`
/// (milliseconds since 1970) are forgotten, from both sides. Two documents of different kinds are two defects of a key, which
/// [`open`](crate::open) refuses; of them, what there was stays.
pub fn apply(
    own: Option<&Document>,
    arrived: &Document,
    tenant_erased: Option<&Stamp>,
    oldest_tombstone_ms: u64,
) -> Merged {
    // A tombstone has its effect before it is forgotten: otherwise a door whose clock is ahead would forever bring back what
    // others remove.
    let mut document = own.map_or_else(|| arrived.clone(), |own| own.merge(arrived));
    if let Some(stamp) = tenant_erased {
        document.erase_until(stamp);
    }
    document.prune(oldest_tombstone_ms);
    let before = own.and_then(Document::erased);
    let erased = document.erased().filter(|&now| before.is_none_or(|before| before < now)).cloned();
    Merged {
        changed: own != Some(&document),
        ahead: document != *arrived.pruned(oldest_tombstone_ms),
        erased,
        document,
    }
}

impl Document {
    /// The least document that is at least both: commutative, associative, idempotent for documents of one key.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Subject(one), Self::Subject(two)) => Self::Subject(one.merge(two)),
            (Self::Rules(one), Self::Rules(two)) => Self::Rules(RulesDocument {
                tenant: one.tenant.clone(),
                name: one.name.clone(),
                value: later(&one.value, &two.value),
            }),
            (Self::Tenant(one), Self::Tenant(two)) => Self::Tenant(TenantDocument {
                tenant: one.tenant.clone(),
                exists: later(&one.exists, &two.exists),
                erased: one.erased.clone().max(two.erased.clone()),
            }),
            _ => self.clone(),
        }
    }

    /// Erases what is not later than the tenant's own erasure. A tenant's document stays.
    pub fn erase_until(&mut self, stamp: &Stamp) {
        match self {
            Self::Subject(subject) => subject.erase_until(stamp),
            Self::Rules(rules) => {
                if let Some(value) = &mut rules.value
                    && value.stamp <= *stamp
                {
                    *value = Lww { stamp: stamp.clone(), value: None };
                }
            }
            Self::Tenant(_) => {}
        }
    }

    /// Forgets the tombstones of embeddings that are known to have been removed before `oldest_ms`.
    pub fn prune(&mut self, oldest_ms: u64) {
        if let Self::Subject(subject) = self {
            subject.removed.retain(|_, stamp| !stamp.is_before(oldest_ms));
        }
    }

    /// The same of a document that stays as it is; it is copied only where there is something to be forgotten.
    fn pruned(&self, oldest_ms: u64) -> Cow<'_, Self> {
        match self {
            Self::Subject(subject) if subject.removed.values().any(|stamp| stamp.is_before(oldest_ms)) => {
                let mut pruned = self.clone();
                pruned.prune(oldest_ms);
                Cow::Owned(pruned)
            }
            _ => Cow::Borrowed(self),
        }
    }

    /// Whether all that is left is the memory of something erased, removed or taken back before `oldest_ms`: then the
    /// document itself may be forgotten.
    pub fn is_spent(&self, oldest_ms: u64) -> bool {
        let old = |stamp: Option<&Stamp>| stamp.is_none_or(|stamp| stamp.is_before(oldest_ms));
        match self {
            Self::Subject(_) | Self::Rules(_) => !self.is_alive() && old(self.latest()),
            // Of a tenant that was erased, late documents may still come: it is a few bytes.
            Self::Tenant(_) => false,
        }
    }
}

impl SubjectDocument {
    pub(super) fn merge(&self, other: &Self) -> Self {
        let mut embeddings = self.embeddings.clone();
        for (id, theirs) in &other.embeddings {
            match embeddings.entry(*id) {
                Entry::Vacant(entry) => {
                    entry.insert(theirs.clone());
                }
                Entry::Occupied(mut entry) => entry.get_mut().take_later(theirs),
            }
        }
        let mut removed = self.removed.clone();
        for (id, stamp) in &other.removed {
            let ours = removed.entry(*id).or_insert_with(|| stamp.clone());
            *ours = ours.clone().max(stamp.clone());
        }
        let mut merged = Self {
            owner: self.owner.clone().max(other.owner.clone()),
            erased: self.erased.clone().max(other.erased.clone()),
            active: later(&self.active, &other.active),
            rules: later(&self.rules, &other.rules),
            embeddings,
            removed,
        };
        merged.bury();
        merged
    }

    fn erase_until(&mut self, stamp: &Stamp) {
        if self.erased.as_ref().is_none_or(|erased| erased < stamp) {
            self.erased = Some(stamp.clone());
            self.bury();
        }
    }

    /// Takes out what is dead. What it takes out here it would take out after any further merge, so that the order of merges
    /// does not matter.
    fn bury(&mut self) {
        if let Some(erased) = &self.erased {
            let lives = |stamp: &Stamp| stamp > erased;
            self.embeddings.retain(|_, embedding| lives(&embedding.added));
            self.removed.retain(|_, stamp| lives(stamp));
            self.active.take_if(|active| !lives(&active.stamp));
            self.rules.take_if(|rules| !lives(&rules.stamp));
        }
        bury_removed(&mut self.embeddings, &mut self.removed);
        if !self.is_alive() {
            self.owner = None;
        }
    }
}

/// An embedding and its tombstone: the later one stays.
fn bury_removed(embeddings: &mut BTreeMap<EmbeddingId, Embedding>, removed: &mut BTreeMap<EmbeddingId, Stamp>) {
    removed.retain(|id, stamp| match embeddings.get(id) {
        Some(embedding) if embedding.added > *stamp => false,
        Some(_) => {
            embeddings.remove(id);
            true
        }
        None => true,
    });
}

impl Embedding {
    /// The version that was added later, whole; of the same version, the later metadata.
    fn take_later(&mut self, other: &Self) {
        // Ids are never used twice: that what is fixed differs at one stamp is somebody's mistake, and all doors choose alike.
        let rank = |one: &Self| (one.added.clone(), order_of(&one.fixed));
        match rank(self).cmp(&rank(other)) {
            std::cmp::Ordering::Less => *self = other.clone(),
            std::cmp::Ordering::Equal => {
                if self.metadata < other.metadata {
                    self.metadata = other.metadata.clone();
                }
            }
            std::cmp::Ordering::Greater => {}
        }
    }
}

/// Any total order will do, as long as it is everybody's.
fn order_of(fixed: &Fixed) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    postcard::to_io(fixed, &mut hasher).expect("a hasher takes everything");
    *hasher.finalize().as_bytes()
}

fn later<T: Clone + Ord>(one: &Option<Lww<T>>, two: &Option<Lww<T>>) -> Option<Lww<T>> {
    one.max(two).clone()
}
