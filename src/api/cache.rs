//! Templates of photographs that were seen a moment ago, so that one that is sent again skips the networks.
//!
//! In memory alone, bounded, and never shared between tenants: what one tenant sent cannot be told from the time that another
//! one's call takes. A photograph is known by a keyed hash, with a key of this process. Everything is forgotten as soon as
//! anything is deleted from the gallery: of somebody who is erased nothing stays here either.

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

/// Whose photograph it is, what it was looked at for, and its digest.
type Name = (TenantId, For, [u8; 32]);

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
    kept: Option<Mutex<Kept>>,
    key: Zeroizing<[u8; 32]>,
}

struct Kept {
    /// What the gallery said when it was looked at last.
    deletions: u64,
    entries: LruCache<Name, Probe>,
}

impl Cache {
    /// A cache of so many photographs; 0 for none.
    pub(super) fn new(capacity: usize) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let random = getrandom::fill(key.as_mut_slice());
        if let Err(error) = &random {
            tracing::warn!(%error, "the system gives no random numbers: photographs that come again are looked at again");
        }
        let kept = NonZeroUsize::new(capacity)
            .filter(|_| random.is_ok())
            .map(|capacity| Mutex::new(Kept { deletions: 0, entries: LruCache::new(capacity) }));
        Self { kept, key }
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
        let name = (tenant.clone(), what_for, *blake3::keyed_hash(&self.key, &file).as_bytes());
        let deletions = gallery.deletions();
        if let Some(probe) = self.get(deletions, &name) {
            return Ok((probe, Known::Hit));
        }
        let probe = match what_for {
            For::Matching => recognition.probe(file).await?,
            For::Enrolment => recognition.enrolment(file).await?,
        };
        // Deleted meanwhile: perhaps this very person.
        if gallery.deletions() == deletions {
            self.put(deletions, name, probe.clone());
        }
        Ok((probe, Known::Miss))
    }

    fn get(&self, deletions: u64, name: &Name) -> Option<Probe> {
        let mut kept = self.kept.as_ref()?.lock();
        kept.follow(deletions);
        kept.entries.get(name).cloned()
    }

    fn put(&self, deletions: u64, name: Name, probe: Probe) {
        let Some(kept) = &self.kept else { return };
        let mut kept = kept.lock();
        if kept.deletions == deletions {
            kept.entries.put(name, probe);
        }
    }
}

impl Kept {
    /// Forgets everything where something was deleted since. Templates are wiped when they are dropped.
    fn follow(&mut self, deletions: u64) {
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

    fn name(tenant: &str, what_for: For, photograph: u8) -> Name {
        (tenant.parse().expect("a name"), what_for, [photograph; 32])
    }

    #[test]
    fn a_photograph_is_known_to_its_tenant_for_what_it_was_looked_at() {
        let cache = Cache::new(8);
        cache.put(0, name("acme", For::Matching, 1), probe(1.0));
        assert!(cache.get(0, &name("acme", For::Matching, 1)).is_some());
        assert!(cache.get(0, &name("acme", For::Enrolment, 1)).is_none(), "it has passed no gate");
        assert!(cache.get(0, &name("beta", For::Matching, 1)).is_none());
        cache.put(0, name("acme", For::Enrolment, 2), probe(2.0));
        assert!(cache.get(0, &name("acme", For::Matching, 2)).is_none(), "it is made of several looks");
        cache.put(0, name("acme", For::Matching, 2), probe(3.0));
        for (what_for, first) in [(For::Enrolment, 2.0), (For::Matching, 3.0)] {
            let found = cache.get(0, &name("acme", what_for, 2)).expect("it is known");
            assert!(found.embedding == probe(first).embedding, "each has its own");
        }
    }

    #[test]
    fn it_is_bounded_forgets_the_oldest_and_everything_once_something_is_deleted() {
        let cache = Cache::new(2);
        let matched = |photograph| name("acme", For::Matching, photograph);
        for photograph in 1..=3 {
            cache.put(0, matched(photograph), probe(1.0));
        }
        let known = |deletions, photograph| cache.get(deletions, &matched(photograph)).is_some();
        assert_eq!([1, 2, 3].map(|photograph| known(0, photograph)), [false, true, true]);
        cache.put(7, matched(4), probe(1.0));
        assert!(!known(0, 4), "it was looked at before what was deleted");
        assert_eq!([2, 3].map(|photograph| known(7, photograph)), [false, false]);
        let off = Cache::new(0);
        off.put(0, matched(1), probe(1.0));
        assert!(off.get(0, &matched(1)).is_none());
    }
}
