use rand::CryptoRng;

use super::{Action, Documents, Timing};
use crate::{
    Name, Now,
    document::DocumentKey,
    keys::{SealingKey, SecretKey},
    open::Opened,
    refusal::{Refusal, Refusals},
    registry::Registry,
    wire::Progress,
};

/// Who a device is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its site.
    pub site: Name,
    /// Its name there.
    pub device: Name,
    /// What it signs with.
    pub key: SecretKey,
    /// What the site's documents are sealed with.
    pub sealing: SealingKey,
}

/// A device's part in the site's shared memory. Every method says what is to be done now; what waits is done by
/// [`tick`](Self::tick).
pub struct Replica<R> {
    identity: Identity,
    timing: Timing,
    registry: Registry,
    rng: R,
}

impl<R: CryptoRng> Replica<R> {
    /// A device that is not connected.
    pub fn new(identity: Identity, timing: Timing, registry: Registry, rng: R) -> Self {
        Self { identity, timing, registry, rng }
    }

    /// The broker has accepted the connection, and every subscription
    /// ([`door_filters`](crate::topic::door_filters)) has been sent.
    ///
    /// # Errors
    /// Those of the store, here and below.
    pub fn connected<D: Documents>(&mut self, documents: &mut D, now: Now) -> Result<Vec<Action>, D::Error> {
        let _ = (documents, now, &mut self.rng);
        todo!()
    }

    /// The connection is lost.
    pub fn disconnected(&mut self) {
        todo!()
    }

    /// Takes in messages that an [`Opener`](crate::open::Opener) has opened, in the order of their arrival. Only vouchers,
    /// documents and digests matter here; others are passed over.
    ///
    /// # Errors
    /// Those of the store: then none of the documents was taken in.
    pub fn receive<D: Documents>(
        &mut self,
        documents: &mut D,
        messages: &[Opened],
        now: Now,
    ) -> Result<Vec<Action>, D::Error> {
        let _ = (documents, messages, now);
        todo!()
    }

    /// Counts a refusal; says whether to tell it.
    pub fn refuse(&mut self, refusal: Refusal) -> Option<Action> {
        let _ = refusal;
        todo!()
    }

    /// Documents were changed here, or are marked as changed since the last time: publish them, at once where that can do no
    /// harm, or else when the broker's copies have come.
    ///
    /// # Errors
    /// Those of the store.
    pub fn changed<D: Documents>(
        &mut self,
        documents: &mut D,
        keys: &[DocumentKey],
        now: Now,
    ) -> Result<Vec<Action>, D::Error> {
        let _ = (documents, keys, now);
        todo!()
    }

    /// Does what is due.
    ///
    /// # Errors
    /// Those of the store.
    pub fn tick<D: Documents>(&mut self, documents: &mut D, now: Now) -> Result<Vec<Action>, D::Error> {
        let _ = (documents, now);
        todo!()
    }

    /// When [`tick`](Self::tick) has something to do, by the monotonic clock in milliseconds; `None`: not before something
    /// arrives.
    pub fn due(&self) -> Option<u64> {
        todo!()
    }

    /// How far it has filled itself; `None` where it has been sent all that the broker keeps.
    pub fn filling(&self) -> Option<Progress> {
        todo!()
    }

    /// Who is known.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What was refused.
    pub fn refusals(&self) -> &Refusals {
        todo!()
    }

    /// Who this is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How long things take.
    pub const fn timing(&self) -> &Timing {
        &self.timing
    }
}
