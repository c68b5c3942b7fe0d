//! Templates of photographs that were seen a moment ago, so that one that is sent again skips the networks.
//!
//! In memory alone, bounded, and never shared between tenants: what one tenant sends or deletes cannot be told from the time that
//! another one's call takes. A photograph is known by a keyed hash, with a key of this process. Everything of a tenant is forgotten
//! as soon as anything of it is deleted from the gallery: of somebody who is erased nothing stays here either.

use std::num::NonZeroUsize;

use axum::http::{HeaderName, HeaderValue};
use lru::LruCache;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::{
    error::Result,
    gallery::{Gallery, TenantId},
    recognition::{Probe, Recognition},
};

/// The header of an answer that says whether the networks were skipped.
pub(super) const HEADER: HeaderName = HeaderName::from_static("embedding-cache");

/// What a photograph was looked at for. One is never taken for the other: an enrolment has a gate before it, and its template is
/// made of several looks, so that a search with it would find another similarity than one without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum For {
    /// A search, a verification or a comparison: any face will do.
    Matching,
    Enrolment,
}

/// Most tenants of whom something is kept; whoever sent nothing for longest is forgotten whole. It bounds the memory.
const MOST_TENANTS: NonZeroUsize = NonZeroUsize::new(16).expect("it is not nought");

/// What was noticed of a tenant's deletions.
type Deletions = (u64, u64);

/// What a photograph was looked at for, and its digest.
type Name = (For, [u8; 32]);

/// Whether a photograph was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Hit,
    Miss,
}

impl Known {
    /// Of two photographs: known where both are.
    pub(super) fn and(self, other: Self) -> Self {
        if self == Self::Hit { other } else { self }
    }

    pub(super) fn header(self) -> (HeaderName, HeaderValue) {
        (HEADER, HeaderValue::from_static(if self == Self::Hit { "hit" } else { "miss" }))
    }
}

/// The cache.
pub(super) struct Cache {
    /// `None` where it is off.
    kept: Option<Mutex<LruCache<TenantId, Kept>>>,
    /// How many photographs of each tenant.
    capacity: NonZeroUsize,
    key: Zeroizing<[u8; 32]>,
}

/// What is kept of a tenant.
struct Kept {
    /// What the gallery said when it was looked at last.
    deletions: Deletions,
    entries: LruCache<Name, Probe>,
}

impl Cache {
    /// A cache of so many photographs of each tenant; 0 for none.
    pub(super) fn new(capacity: usize) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let random = getrandom::fill(key.as_mut_slice());
        if let Err(error) = &random {
            tracing::warn!(%error, "the system gives no random numbers: photographs that come again are looked at again");
        }
        let capacity = NonZeroUsize::new(capacity).filter(|_| random.is_ok());
        let kept = capacity.map(|_| Mutex::new(LruCache::new(MOST_TENANTS)));
        Self { kept, capacity: capacity.unwrap_or(NonZeroUsize::MIN), key }
    }

    /// What the recognition makes of a photograph, from memory where it was seen before for the same.
    pub(super) async fn look(
        &self,
        gallery: &Gallery,
        recognition: &Recognition,
        tenant: &TenantId,
        what_for: For,
        file: Vec<u8>,
    ) -> Result<(Probe, Known)> {
        let name = (what_for, *blake3::keyed_hash(&self.key, &file).as_bytes());
        let deletions = gallery.deletions(tenant);
        if let Some(probe) = self.get(tenant, deletions, &name) {
            return Ok((probe, Known::Hit));
        }
        let probe = match what_for {
            For::Matching => recognition.probe(file).await?,
            For::Enrolment => recognition.enrolment(file).await?,
        };
        // Deleted meanwhile: perhaps this very person.
        if gallery.deletions(tenant) == deletions {
            self.put(tenant, deletions, name, probe.clone());
        }
        Ok((probe, Known::Miss))
    }

    fn get(&self, tenant: &TenantId, deletions: Deletions, name: &Name) -> Option<Probe> {
        let mut tenants = self.kept.as_ref()?.lock();
        let kept = tenants.get_mut(tenant)?;
        kept.follow(deletions);
        kept.entries.get(name).cloned()
    }

    fn put(&self, tenant: &TenantId, deletions: Deletions, name: Name, probe: Probe) {
        let Some(kept) = &self.kept else { return };
        let mut tenants = kept.lock();
        let new = || Kept { deletions, entries: LruCache::new(self.capacity) };
        let kept = tenants.get_or_insert_mut(tenant.clone(), new);
        if kept.deletions == deletions {
            kept.entries.put(name, probe);
        }
    }
}

impl Kept {
    /// Forgets everything where something was deleted since. Templates are wiped when they are dropped.
    fn follow(&mut self, deletions: Deletions) {
        if self.deletions != deletions {
            self.entries.clear();
            self.deletions = deletions;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::{DIMENSION, Embedding, Face, Landmarks, Rect};

    fn probe(first: f32) -> Probe {
        let mut raw = [0.1; DIMENSION];
        raw[0] = first;
        let area = Rect { left: 0.0, top: 0.0, width: 9.0, height: 9.0 };
        Probe {
            face: Face { area, confidence: 0.9, landmarks: Landmarks::default() },
            embedding: Embedding::normalised(&raw).expect("a vector"),
            quality: None,
            liveness: None,
            faces: 1,
        }
    }

    fn tenant(name: &str) -> TenantId {
        name.parse().expect("a name")
    }

    fn name(what_for: For, photograph: u8) -> Name {
        (what_for, [photograph; 32])
    }

    const NONE: Deletions = (0, 0);

    #[test]
    fn a_photograph_is_known_to_its_tenant_for_what_it_was_looked_at() {
        let (cache, acme) = (Cache::new(8), tenant("acme"));
        cache.put(&acme, NONE, name(For::Matching, 1), probe(1.0));
        assert!(cache.get(&acme, NONE, &name(For::Matching, 1)).is_some());
        assert!(cache.get(&acme, NONE, &name(For::Enrolment, 1)).is_none(), "it has passed no gate");
        assert!(cache.get(&tenant("beta"), NONE, &name(For::Matching, 1)).is_none());
        cache.put(&acme, NONE, name(For::Enrolment, 2), probe(2.0));
        assert!(cache.get(&acme, NONE, &name(For::Matching, 2)).is_none(), "it is made of several looks");
        cache.put(&acme, NONE, name(For::Matching, 2), probe(3.0));
        for (what_for, first) in [(For::Enrolment, 2.0), (For::Matching, 3.0)] {
            let found = cache.get(&acme, NONE, &name(what_for, 2)).expect("it is known");
            assert!(found.embedding == probe(first).embedding, "each has its own");
        }
    }

    #[test]
    fn it_is_bounded_forgets_the_oldest_and_everything_once_something_is_deleted() {
        let (cache, acme, beta) = (Cache::new(2), tenant("acme"), tenant("beta"));
        let matched = |photograph| name(For::Matching, photograph);
        for photograph in 1..=3 {
            cache.put(&acme, NONE, matched(photograph), probe(1.0));
        }
        for photograph in 1..=200 {
            cache.put(&beta, (0, u64::from(photograph)), matched(photograph), probe(1.0));
        }
        let known = |deletions, photograph| cache.get(&acme, deletions, &matched(photograph)).is_some();
        assert_eq!([1, 2, 3].map(|photograph| known(NONE, photograph)), [false, true, true], "whatever others send");
        cache.put(&acme, (0, 7), matched(4), probe(1.0));
        assert!(!known(NONE, 4), "it was looked at before what was deleted");
        assert_eq!([2, 3].map(|photograph| known((0, 7), photograph)), [false, false]);
        for other in 0..MOST_TENANTS.get() {
            cache.put(&tenant(&format!("t{other}")), NONE, matched(1), probe(1.0));
        }
        cache.put(&acme, (0, 7), matched(4), probe(1.0));
        assert_eq!(cache.kept.as_ref().map(|kept| kept.lock().len()), Some(MOST_TENANTS.get()));
        let off = Cache::new(0);
        off.put(&acme, NONE, matched(1), probe(1.0));
        assert!(off.get(&acme, NONE, &matched(1)).is_none());
    }
}
