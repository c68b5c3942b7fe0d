//! What arrives: taken in, and what follows from it.

use std::sync::Arc;

use rand::CryptoRng;

use super::{
    super::{Action, Documents, Outcome, queue::Item},
    Replica,
};
use crate::{
    Now,
    keys::PublicKey,
    open::Arrived,
    registry::Taken,
    topic::Topic,
    voucher::Vouched,
    wire::{Digest, Receipt},
};

impl<R: CryptoRng> Replica<R> {
    pub(super) fn take_voucher<D: Documents>(
        &mut self,
        documents: &mut D,
        vouched: &Arc<Vouched>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let item = Item::Voucher(vouched.voucher.device.clone());
        match self.registry.take(Arc::clone(vouched)) {
            Taken::Nothing => self.queue.cancel(&item),
            Taken::Stale => self.later(item, self.window(), now),
            Taken::Device => {
                self.queue.cancel(&item);
                actions.push(Action::Registry);
            }
            Taken::Revoked(key) => {
                actions.push(Action::Registry);
                let spoiled = documents.copies_by(&key);
                let window = self.window_of(spoiled.len());
                for key in spoiled {
                    documents.note_copy(&key, None);
                    self.later(Item::Document(key), window, now);
                }
            }
        }
    }

    pub(super) fn take_documents<D: Documents>(
        &mut self,
        documents: &mut D,
        arrived: &[Arc<Arrived>],
        signers: &[PublicKey],
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<(), D::Error> {
        if arrived.is_empty() {
            return Ok(());
        }
        let outcomes = documents.merge(arrived, self.oldest_tombstone(now))?;
        let mut changed = false;
        for ((arrived, signer), outcome) in arrived.iter().zip(signers).zip(outcomes) {
            documents.note_copy(&arrived.key, Some(signer));
            changed |= outcome.changed;
            self.follow(arrived, outcome, now, actions);
        }
        if let Some(connection) = &mut self.connection {
            connection.progress.documents += arrived.len() as u64;
        }
        if changed {
            self.look(documents, now, actions);
        }
        Ok(())
    }

    /// What follows from a document that was merged.
    fn follow(&mut self, arrived: &Arrived, outcome: Outcome, now: Now, actions: &mut Vec<Action>) {
        let item = Item::Document(arrived.key);
        if outcome.ahead {
            // What was changed here need not wait any longer: this is what it waited for.
            if self.connection.as_mut().is_some_and(|connection| connection.changed.remove(&arrived.key)) {
                self.queue.now(item, now.mono);
            } else {
                self.later(item, self.window(), now);
            }
        } else {
            self.queue.cancel(&item);
            self.queue.cancel(&Item::Clear(arrived.document.kind(), arrived.key));
            if let Some(connection) = &mut self.connection {
                connection.changed.remove(&arrived.key);
            }
        }
        let window = self.window_of(outcome.also.len());
        for key in outcome.also {
            self.later(Item::Document(key), window, now);
        }
        if let Some(stamp) = outcome.erased.as_ref().or(arrived.document.erased()) {
            self.tell_erased(arrived.key, stamp, now, actions);
        }
    }

    /// The broker keeps nothing of use there any more.
    pub(super) fn cleared<D: Documents>(&mut self, documents: &mut D, topic: &Topic, now: Now) -> Result<(), D::Error> {
        match topic {
            Topic::Document(kind, key) => {
                let Some(document) = documents.get(key)? else { return Ok(()) };
                documents.note_copy(key, None);
                self.queue.cancel(&Item::Clear(*kind, *key));
                if document.is_spent(self.oldest_tombstone(now)) {
                    documents.forget(&[*key])?;
                } else {
                    self.later(Item::Document(*key), self.window(), now);
                }
            }
            Topic::Device(device) if self.registry.vouched(device).is_some() => {
                self.later(Item::Voucher(device.clone()), self.window(), now);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn hear<D: Documents>(&mut self, documents: &D, digest: &Digest, now: Now) {
        let Some(connection) = &mut self.connection else { return };
        if digest.by == self.identity.device {
            return;
        }
        connection.progress.of = connection.progress.of.max(digest.documents);
        if connection.filled {
            let doors = self.registry.doors();
            self.suspicion.hear(digest, documents.summary(), doors, now.mono, self.timing.settle, &mut self.rng);
        }
    }

    pub(super) fn note_receipt(&mut self, topic: &Topic, receipt: &Receipt) {
        let (Topic::Receipt(device, key), Some(connection)) = (topic, &mut self.connection) else { return };
        if *device == self.identity.device && !connection.filled {
            let stamp = (receipt.erased_ms, receipt.erased_counter, receipt.erased_by.clone());
            connection.receipts.insert(*key, stamp);
        }
    }
}
