//! The engine: keeps a door's documents and the broker's retained copies alike.
//!
//! The retained copy of a document is the site's shared memory. A door that receives one merges it ([`document::apply`]):
//! where the result is not what it had, the store has changed; where it is not what it received, it publishes the result
//! after a random time, unless another door has by then. That is all there is to it: late, repeated, reordered and lost
//! messages, partitions and new doors are one case.
//!
//! What could still go wrong silently, [`Digest`](crate::wire::Digest)s find: doors that differ for a while have the broker
//! send the buckets in which they differ again.
//!
//! [`document::apply`]: crate::document::apply

mod copies;
mod memory;
mod queue;
mod replica;
mod store;
mod suspicion;
mod timing;

pub use self::{
    copies::Copies,
    memory::Memory,
    replica::{Identity, Replica},
    store::{Documents, Outcome},
    timing::Timing,
};
use crate::{document::DocumentKey, refusal::Refusal};

/// What the daemon is to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Publish this, at least once (QoS 1).
    Publish(Publish),
    /// Subscribe to this anew, so that the broker sends what it keeps there.
    Resubscribe(String),
    /// Tell this, once: a message was refused. All are counted ([`Replica::refusals`]).
    Tell(Refusal),
    /// The registry has changed: store it, and give openers the new one.
    Registry,
    /// A document is larger than a message may be, and stays at this door alone.
    TooLarge(DocumentKey),
}

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Where.
    pub topic: String,
    /// What; empty: what the broker keeps there goes.
    pub payload: Vec<u8>,
    /// Whether the broker is to keep it.
    pub retain: bool,
    /// How long the broker is to keep it, in seconds, where it knows of that (MQTT 5).
    pub expiry: Option<u32>,
    /// The document that it is of: when the broker has acknowledged it, and the document is still the same, the store's mark
    /// that it is to be published can go.
    pub document: Option<DocumentKey>,
}
