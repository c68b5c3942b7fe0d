//! How often each embedding was verified, and when last.
//!
//! A verification is noted in memory, so that its answer waits for no disk; what was noted is stored now and then, in one
//! transaction, so that a busy desk does not wear out a card. Whoever asks this process in between is told all of it. What a
//! power cut takes, the journal has.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::{
    Gallery,
    enrol::{embedding_not_found, unreadable},
    ids::{EmbeddingId, TenantId},
    record::{Header, microseconds},
    store::{Room, View, Writer},
};
use crate::error::Result;

/// Verifications of one embedding.
#[derive(Clone, Copy)]
struct Verified {
    times: u64,
    /// Microseconds since 1970, by the wall clock.
    last: i64,
}

/// Verifications by internal id: no more than there are embeddings.
type Noted = HashMap<u64, Verified>;

/// What is known of verifications besides what the records say.
#[derive(Default)]
pub(super) struct Verifications(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// In no transaction yet.
    noted: Noted,
    /// In the records as this transaction leaves them, and in later ones: whoever began to read before does not see it there.
    stored: Option<(usize, Noted)>,
}

impl Gallery {
    /// Counts a verification of an embedding. In memory: waits for no disk.
    ///
    /// # Errors
    /// `EmbeddingNotFound` where the tenant has no such embedding.
    pub fn note_verification(&self, tenant: &TenantId, id: &EmbeddingId) -> Result<()> {
        let txn = self.store.read()?;
        let row = self.store.tenant(&txn, tenant)?.ok_or_else(embedding_not_found)?;
        let internal = self.internal_id(&txn, &row, id)?;
        let once = Verified { times: 1, last: microseconds(self.clock.wall()) };
        self.verifications.0.lock().note(internal, once);
        Ok(())
    }

    /// Stores what was noted since it was called last.
    ///
    /// # Errors
    /// Those of the store. What was noted is kept, and tried again by the next call.
    pub fn store_verifications(&self) -> Result<()> {
        if self.verifications.0.lock().noted.is_empty() {
            return Ok(());
        }
        let mut writer = self.write()?;
        let transaction = writer.txn().id();
        let noted = self.verifications.0.lock().begin(transaction);
        let stored = self.count_verifications(&mut writer, &noted).and_then(|()| writer.commit(Room::Reserve));
        stored.inspect_err(|_| self.verifications.0.lock().take_back())
    }

    fn count_verifications(&self, writer: &mut Writer<'_>, noted: &Noted) -> Result<()> {
        for (internal, verified) in noted {
            let key = internal.to_be_bytes();
            // Deleted meanwhile.
            let Some(bytes) = self.store.records.get(writer.txn(), &key)?.map(<[u8]>::to_vec) else { continue };
            let (mut header, sealed) = Header::parse(&bytes).ok_or_else(unreadable)?;
            verified.count_in(&mut header);
            let mut changed = header.to_bytes()?;
            changed.extend_from_slice(sealed);
            self.store.records.put(writer.txn(), &key, &changed)?;
        }
        Ok(())
    }

    /// Adds what `txn` does not see yet to a header that was read by it.
    pub(super) fn add_verifications(&self, txn: &View<'_>, header: &mut Header) {
        let (known, id) = (self.verifications.0.lock(), header.id);
        let unseen = known.stored.as_ref().filter(|(transaction, _)| *transaction > txn.id()).map(|(_, stored)| stored);
        for verified in unseen.into_iter().chain([&known.noted]).filter_map(|noted| noted.get(&id)) {
            verified.count_in(header);
        }
    }
}

impl Known {
    /// Adds what came later than all that is known of this embedding.
    fn note(&mut self, internal: u64, later: Verified) {
        let all = self.noted.entry(internal).or_insert(Verified { times: 0, ..later });
        *all = Verified { times: all.times.saturating_add(later.times), last: later.last };
    }

    /// Hands out what was noted, which is going to be stored by this transaction.
    fn begin(&mut self, transaction: usize) -> Noted {
        let noted = std::mem::take(&mut self.noted);
        self.stored = Some((transaction, noted.clone()));
        noted
    }

    /// The transaction has failed.
    fn take_back(&mut self) {
        let Some((_, earlier)) = self.stored.take() else { return };
        for (internal, later) in std::mem::replace(&mut self.noted, earlier) {
            self.note(internal, later);
        }
    }
}

impl Verified {
    fn count_in(&self, header: &mut Header) {
        header.verification_count = header.verification_count.saturating_add(self.times);
        header.last_verified = Some(self.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_stored_is_noted_again_with_what_came_after() {
        let verified = |last| Verified { times: 1, last };
        let mut known = Known::default();
        known.note(1, verified(10));
        known.note(1, verified(20));
        known.note(2, verified(30));
        assert_eq!(known.begin(7).len(), 2);
        known.note(1, verified(40));
        known.note(3, verified(50));
        known.take_back();
        let of = |internal| known.noted.get(&internal).map(|all| (all.times, all.last));
        assert_eq!([1, 2, 3, 4].map(of), [Some((3, 40)), Some((1, 30)), Some((1, 50)), None]);
        assert!(known.stored.is_none());
    }
}
