use std::sync::Arc;

use crate::{
    document::{Document, DocumentKey, Kind, Summary},
    keys::PublicKey,
    open::Arrived,
    stamp::Stamp,
};

/// Where a door keeps its documents. The daemon's is LMDB, the simulation's a table.
pub trait Documents {
    /// What may go wrong.
    type Error;

    /// A document as it is now; `None` where there is none.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn get(&self, key: &DocumentKey) -> Result<Option<Arc<Document>>, Self::Error>;

    /// Merges what arrived, in order, all of it durably or nothing: each by [`apply`](crate::document::apply), with the
    /// tenant's own erasure where there is one. One outcome each. A tenant's document that was erased erases its documents in the
    /// same step.
    ///
    /// # Errors
    /// Where the store cannot be written; the documents count as not received.
    fn merge(&mut self, arrived: &[Arc<Arrived>], oldest_tombstone_ms: u64) -> Result<Vec<Outcome>, Self::Error>;

    /// What there is: kept up with every change ([`Summary::change`]), also with those that were made here.
    fn summary(&self) -> &Summary;

    /// Documents that are spent ([`Document::is_spent`]) by then.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn spent(&self, oldest_ms: u64) -> Result<Vec<(Kind, DocumentKey)>, Self::Error>;

    /// Forgets documents that are spent.
    ///
    /// # Errors
    /// Where the store cannot be written.
    fn forget(&mut self, keys: &[DocumentKey]) -> Result<(), Self::Error>;

    /// Takes note of who signed the retained copy of a document, `None` where it was taken away. Memory is enough
    /// ([`Copies`](super::Copies)).
    fn note_copy(&mut self, key: &DocumentKey, signer: Option<&PublicKey>);

    /// Forgets all that is known of copies: the broker will send them anew.
    fn forget_copies(&mut self);

    /// Whether the copy of a document has been seen on this connection.
    fn has_copy(&self, key: &DocumentKey) -> bool;

    /// The documents whose copies were signed with that key.
    fn copies_by(&self, signer: &PublicKey) -> Vec<DocumentKey>;

    /// The documents of which no copy has been seen.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn without_copy(&self) -> Result<Vec<DocumentKey>, Self::Error>;
}

/// What became of a document that arrived: see [`Merged`](crate::document::Merged).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The store has changed.
    pub changed: bool,
    /// The broker's copy is behind.
    pub ahead: bool,
    /// It was erased, up to here, and was not before.
    pub erased: Option<Stamp>,
    /// Others that changed with it, since a tenant was erased: their copies are behind.
    pub also: Vec<DocumentKey>,
}
