//! What is told: documents, digests, receipts, signed and to be kept by the broker.

use rand::{CryptoRng, RngExt as _};

use super::{
    super::{Action, Documents, Publish, queue::Item},
    Replica, Tell,
};
use crate::{
    Now,
    document::DocumentKey,
    keys::Root,
    seal,
    stamp::Stamp,
    topic::Topic,
    wire::{self, Buckets, Digest, Message, Receipt, Sealed, V1},
};

impl<R: CryptoRng> Replica<R> {
    pub(super) fn tell_digest<D: Documents>(&mut self, documents: &D, tell: Tell, now: Now, actions: &mut Vec<Action>) {
        let summary = documents.summary();
        let checking = self.connection.as_mut().filter(|_| tell == Tell::Checked);
        let checked = checking.and_then(|connection| connection.checking.take()).map(|(_, buckets)| buckets);
        let digest = Digest {
            v: V1,
            by: self.identity.device.clone(),
            at: now.wall,
            documents: summary.count(),
            root: Root(summary.root().to_le_bytes()),
            buckets: (tell != Tell::Root).then(|| Buckets::of(summary)),
            checked,
        };
        actions.extend(self.signed(&digest, &Topic::Digest(self.identity.device.clone()), None, None));
        let sooner = self.rng.random_range(0..=self.timing.digest / 10);
        if let Some(connection) = &mut self.connection {
            connection.digest = now.mono + self.timing.digest - sooner;
        }
    }

    pub(super) fn publish<D: Documents>(
        &mut self,
        documents: &mut D,
        item: Item,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<(), D::Error> {
        match item {
            Item::Document(key) => {
                let Some(document) = documents.get(&key)? else { return Ok(()) };
                let topic = Topic::Document(document.kind(), key);
                let Ok(bytes) = document.to_bytes() else {
                    actions.push(Action::TooLarge(key));
                    return Ok(());
                };
                let seal = seal::seal(&self.identity.sealing, &topic.of(&self.identity.site), &bytes, &mut self.rng);
                let sealed = Sealed { v: V1, by: self.identity.device.clone(), seal };
                match self.signed(&sealed, &topic, None, Some(key)) {
                    Some(publish) => {
                        documents.note_copy(&key, Some(&self.public));
                        actions.push(publish);
                        // Also of what was erased here: that others have not done it yet can be told only by an erasure that is known.
                        if let Some(stamp) = document.erased() {
                            self.tell_erased(key, stamp, now, actions);
                        }
                    }
                    None => actions.push(Action::TooLarge(key)),
                }
            }
            Item::Clear(kind, key) => {
                if documents.get(&key)?.is_some_and(|document| document.is_spent(self.oldest_tombstone(now))) {
                    documents.forget(&[key])?;
                    documents.note_copy(&key, None);
                    let topic = Topic::Document(kind, key).of(&self.identity.site);
                    actions.push(retained(topic, Vec::new(), None, None));
                }
            }
            Item::Voucher(device) => {
                if let Some(vouched) = self.registry.vouched(&device) {
                    let topic = Topic::Device(device).of(&self.identity.site);
                    actions.push(retained(topic, vouched.message.to_vec(), None, None));
                }
            }
        }
        Ok(())
    }

    /// Says once that something is erased here durably.
    pub(super) fn tell_erased(&mut self, key: DocumentKey, stamp: &Stamp, now: Now, actions: &mut Vec<Action>) {
        let Some(connection) = &mut self.connection else { return };
        if connection.filled {
            actions.extend(self.receipt(key, stamp, now));
        } else {
            // The receipt before may have been lost with its connection; which ones the broker has is known when all has come.
            connection.erasures.insert(key, stamp.clone());
        }
    }

    /// The receipt of an erasure; `None` where the broker has it.
    pub(super) fn receipt(&mut self, key: DocumentKey, stamp: &Stamp, now: Now) -> Option<Action> {
        let connection = self.connection.as_mut()?;
        let told = (stamp.ms(), stamp.counter(), stamp.device().clone());
        if connection.receipts.get(&key).is_some_and(|known| *known >= told) {
            return None;
        }
        connection.receipts.insert(key, told);
        let receipt = Receipt {
            v: V1,
            by: self.identity.device.clone(),
            at: now.wall,
            erased_ms: stamp.ms(),
            erased_counter: stamp.counter(),
            erased_by: stamp.device().clone(),
        };
        let keep = u32::try_from(self.timing.horizon / 1000).unwrap_or(u32::MAX);
        self.signed(&receipt, &Topic::Receipt(self.identity.device.clone(), key), Some(keep), None)
    }

    /// The message, to be retained; `None` where it is larger than its kind may be.
    fn signed<M: Message>(
        &self,
        message: &M,
        topic: &Topic,
        expiry: Option<u32>,
        document: Option<DocumentKey>,
    ) -> Option<Action> {
        let payload = wire::write(message, &self.identity.site, topic, &self.identity.key).ok()?;
        Some(retained(topic.of(&self.identity.site), payload, expiry, document))
    }
}

fn retained(topic: String, payload: Vec<u8>, expiry: Option<u32>, document: Option<DocumentKey>) -> Action {
    Action::Publish(Publish { topic, payload, retain: true, expiry, document })
}
