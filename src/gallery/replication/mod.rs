//! What this store shares with the other doors of its site.
//!
//! Where the store has been [joined](Gallery::join_site) to a site, every change of an enrolment, a suspension, a rule or a tenant is
//! stamped in the very transaction that makes it, whoever makes it: the API, the command line beside the daemon, an import. So
//! nothing is lost or told twice where the process dies.
//!
//! - [`state`]: what is remembered of a document, beside what the store has of it anyway: stamps and tombstones.
//! - [`local`]: a change that was made here. It compares the state with the store and stamps what differs.
//! - [`erasure`]: a subject, or all of a tenant, erased for good.
//! - [`remote`]: a document that arrived, put to what there is and applied; [`materialise`]: the store made as it says.
//! - [`compose`]: a document put together of state and store.
//!
//! A document's key is in `outgoing` from its change until [`Gallery::documents_sent`]. Which embeddings are active is not shared
//! but derived, by every door alike: of those of a subject that is not suspended, the newest by stamp.

mod compose;
mod erasure;
mod local;
mod materialise;
mod remote;
mod state;

use std::ops::Bound;

use facegate_fleet::{
    Name,
    document::{Document, DocumentKey, Hash, Kind as DocumentKind, MAX_SEALED_BYTES},
    keys::{NamingKey, SealingKey},
    stamp::{Clock as StampClock, Stamp},
};
use serde::{Deserialize, Serialize};

pub use self::remote::Applied;
use self::state::{Row, State};
use super::{
    Gallery,
    store::{Room, View, Writer},
};
use crate::{
    clock::WRITTEN,
    error::{Error, Kind, Result},
};

/// Rows of `meta`: to which site the store belongs, and the time of the last stamp.
const SITE: &str = "fleet.site";
const CLOCK: &str = "fleet.clock";
/// Counts the changes of documents.
const VERSION: &str = "fleet.version";
/// There once everything that was enrolled before the store joined is stamped.
const ADOPTED: &str = "fleet.adopted";

/// Most bytes of a tenant's rules, but those of subjects, that the doors of a site can share: a document with its names and stamps.
pub(super) const MAX_PLAN: usize = MAX_SEALED_BYTES - 1024;

/// Documents that are looked at or stamped in one transaction where all are. Bounds how long others wait for the write lock.
const AT_ONCE: usize = 256;

/// The site that the store belongs to.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Site {
    site: Name,
    device: Name,
    naming: NamingKey,
}

/// A document that is to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Which.
    pub key: DocumentKey,
    /// Rises with each change: what was sent is what is stored only while this is the same.
    pub version: u64,
}

impl Site {
    fn key(&self, kind: DocumentKind, tenant: &str, name: &str) -> DocumentKey {
        DocumentKey::named(&self.naming, kind, tenant, name)
    }
}

impl Gallery {
    /// Makes the store one of this site's, as this device. What is enrolled already is stamped with the time of its enrolment
    /// and goes out to the others, as does whatever an earlier version of this program changed unnoticed. Takes a moment where
    /// there are many; others may enrol meanwhile.
    ///
    /// # Errors
    /// `Config` where the store belongs to another site or was another device; `StorageFull`.
    pub fn join_site(&self, site: &Name, device: &Name, key: &SealingKey) -> Result<()> {
        let joined = Site { site: site.clone(), device: device.clone(), naming: key.naming() };
        let mut writer = self.write()?;
        match self.site(writer.txn())? {
            None => {
                let row = serde_json::to_vec(&joined)
                    .map_err(|error| Error::new(Kind::Internal, "a site has no form in JSON").source(error))?;
                self.store.meta.put(writer.txn(), SITE.as_bytes(), &row)?;
                writer.commit(Room::Reserve)?;
            }
            Some(known)
                if known.site == joined.site && known.device == joined.device && known.naming == joined.naming =>
            {
                drop(writer);
            }
            Some(known) => {
                let message = format!(
                    "the gallery belongs to the device {} of the site {}, or to one with another key",
                    known.device, known.site
                );
                return Err(Error::new(Kind::Config, message)
                    .help("put fleet.site and fleet.device right, or leave the old site (facegate fleet leave) and then join this one anew"));
            }
        }
        self.adopt()
    }

    /// Takes the store out of its site: what it has stays, nothing is shared any more.
    ///
    /// # Errors
    /// Those of the store.
    pub fn leave_site(&self) -> Result<()> {
        let mut writer = self.write()?;
        for name in [SITE, CLOCK, ADOPTED] {
            self.store.meta.delete(writer.txn(), name.as_bytes())?;
        }
        self.store.documents.clear(writer.txn())?;
        self.store.outgoing.clear(writer.txn())?;
        writer.commit(Room::Reserve)
    }

    /// All documents that there are, with the hashes of what lives in them.
    ///
    /// # Errors
    /// Those of the store.
    pub fn document_hashes(&self) -> Result<Vec<(DocumentKey, Option<Hash>)>> {
        let txn = self.store.read()?;
        let mut all = Vec::new();
        for row in self.store.documents.iter(&txn)? {
            let (key, value) = row?;
            all.push((state::parse_key(key)?, Row::hash_of(value)?));
        }
        Ok(all)
    }

    /// A document as it is now, with the hash of what lives in it; none where there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn document(&self, key: &DocumentKey) -> Result<Option<(Document, Option<Hash>)>> {
        let txn = self.store.read()?;
        let Some(row) = self.document_row(&txn, key)? else { return Ok(None) };
        Ok(Some((self.compose(&txn, &row.state)?, row.hash)))
    }

    /// The hash of what lives in a document; none where nothing does, or there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn document_hash(&self, key: &DocumentKey) -> Result<Option<Hash>> {
        let txn = self.store.read()?;
        Ok(self.store.documents.get(&txn, key.as_bytes())?.map(Row::hash_of).transpose()?.flatten())
    }

    /// Some documents that were changed and are not known to be at the broker: at most `limit` after `after`, in the order of
    /// their keys.
    ///
    /// # Errors
    /// Those of the store.
    pub fn outgoing(&self, after: Option<&DocumentKey>, limit: usize) -> Result<Vec<Outgoing>> {
        let txn = self.store.read()?;
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(&key.as_bytes()[..]));
        let rows = self.store.outgoing.range(&txn, &(from, Bound::Unbounded))?;
        rows.take(limit)
            .map(|row| {
                let (key, version) = row?;
                Ok(Outgoing { key: state::parse_key(key)?, version: version.try_into().map_or(0, u64::from_le_bytes) })
            })
            .collect()
    }

    /// The version of the last change of any document: while it stays, [`outgoing`](Self::outgoing) gives nothing new.
    ///
    /// # Errors
    /// Those of the store.
    pub fn newest_version(&self) -> Result<u64> {
        self.store.counter(&*self.store.read()?, VERSION)
    }

    /// How many there are of them.
    ///
    /// # Errors
    /// Those of the store.
    pub fn outgoing_count(&self) -> Result<u64> {
        let txn = self.store.read()?;
        Ok(self.store.outgoing.len(&txn)?)
    }

    /// The broker has these. Those that changed since stay.
    ///
    /// # Errors
    /// Those of the store.
    pub fn documents_sent(&self, sent: &[Outgoing]) -> Result<()> {
        if sent.is_empty() {
            return Ok(());
        }
        let mut writer = self.write()?;
        for Outgoing { key, version } in sent {
            let known = self.store.outgoing.get(writer.txn(), key.as_bytes())?.map(<[u8]>::to_vec);
            if known.as_deref() == Some(version.to_le_bytes().as_slice()) {
                self.store.outgoing.delete(writer.txn(), key.as_bytes())?;
            }
        }
        writer.commit(Room::Reserve)
    }

    /// The newest transaction that whoever begins to read now sees: while it stays, nothing of the store has changed. Not what
    /// LMDB knows of itself: that is one ahead while a commit is being made durable, and whoever took that one for seen would
    /// miss it. 0 where the store cannot be read; whoever reads then is told why.
    pub fn newest_transaction(&self) -> usize {
        self.store.read().map_or(0, |txn| txn.id())
    }

    /// Whether the store belongs to a site.
    pub(super) fn is_shared(&self, txn: &View<'_>) -> Result<bool> {
        Ok(self.store.meta.get(txn, SITE.as_bytes())?.is_some())
    }

    /// The site that the store belongs to; `None` where it was never joined.
    fn site(&self, txn: &View<'_>) -> Result<Option<Site>> {
        let Some(row) = self.store.meta.get(txn, SITE.as_bytes())? else { return Ok(None) };
        serde_json::from_slice(row).map(Some).map_err(|_| {
            Error::new(Kind::Store, "what the gallery knows of its site cannot be read")
                .help("restore the folder from a backup, or leave the site (facegate fleet leave) and join again")
        })
    }

    /// A stamp for a change that is made now.
    fn next_stamp(&self, writer: &mut Writer<'_>, site: &Site) -> Result<Stamp> {
        let last = self.store.counter(writer.txn(), CLOCK)?;
        let mut clock = StampClock::new(site.device.clone(), last);
        let wall = self.clock.wall();
        let stamp = clock.next((wall >= WRITTEN).then(|| u64::try_from(wall.as_millisecond()).unwrap_or(0)));
        self.store.meta.put(writer.txn(), CLOCK.as_bytes(), &clock.last().to_le_bytes())?;
        Ok(stamp)
    }

    /// All stamps that are made after this one are later.
    fn see_stamp(&self, writer: &mut Writer<'_>, site: &Site, stamp: &Stamp) -> Result<()> {
        let last = self.store.counter(writer.txn(), CLOCK)?;
        let mut clock = StampClock::new(site.device.clone(), last);
        clock.see(stamp);
        if clock.last() != last {
            self.store.meta.put(writer.txn(), CLOCK.as_bytes(), &clock.last().to_le_bytes())?;
        }
        Ok(())
    }

    fn document_row(&self, txn: &View<'_>, key: &DocumentKey) -> Result<Option<Row>> {
        self.store.documents.get(txn, key.as_bytes())?.map(Row::parse).transpose()
    }

    /// Stores a document's state with the hash of what lives in it.
    fn put_document(&self, writer: &mut Writer<'_>, key: &DocumentKey, state: State) -> Result<()> {
        let hash = self.compose(writer.txn(), &state)?.hash(key);
        let row = Row { hash, state }.to_bytes()?;
        Ok(self.store.documents.put(writer.txn(), key.as_bytes(), &row)?)
    }

    /// Notes that a document is to be published.
    fn put_outgoing(&self, writer: &mut Writer<'_>, key: &DocumentKey) -> Result<()> {
        let version = writer.next(VERSION)?;
        Ok(self.store.outgoing.put(writer.txn(), key.as_bytes(), &version.to_le_bytes())?)
    }
}
