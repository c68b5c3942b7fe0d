//! The gallery as the engine sees it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use facegate_fleet::{
    document::{Document, DocumentKey, Hash, Kind, Summary},
    keys::PublicKey,
    open::Arrived,
    sync::{self, Copies, Outcome},
};

use super::stats::Stats;
use crate::{
    error::{Error, Result},
    gallery::Gallery,
    journal::{Entry, Event, Journal},
};

/// The gallery's documents, and what is known of the broker's copies.
pub struct Documents {
    gallery: Arc<Gallery>,
    journal: Arc<Journal>,
    stats: Arc<Stats>,
    copies: Copies,
    /// The keys of all documents, and the hashes of those of which something lives, so that the summary follows in no time.
    known: HashSet<DocumentKey>,
    hashes: HashMap<DocumentKey, Hash>,
    summary: Summary,
}

impl Documents {
    /// # Errors
    /// Those of the store.
    pub fn new(gallery: Arc<Gallery>, journal: Arc<Journal>, stats: Arc<Stats>) -> Result<Self> {
        let mut this = Self {
            gallery,
            journal,
            stats,
            copies: Copies::default(),
            known: HashSet::new(),
            hashes: HashMap::new(),
            summary: Summary::default(),
        };
        for (key, hash) in this.gallery.document_hashes()? {
            this.follow(&key, hash);
            this.known.insert(key);
        }
        Ok(this)
    }

    /// Takes in that these were changed, here or by the command line.
    ///
    /// # Errors
    /// Those of the store.
    pub fn changed(&mut self, keys: &[DocumentKey]) -> Result<()> {
        for key in keys {
            let hash = self.gallery.document_hash(key)?;
            self.follow(key, hash);
            self.known.insert(*key);
        }
        Ok(())
    }

    fn follow(&mut self, key: &DocumentKey, new: Option<Hash>) {
        let old = match new {
            Some(new) => self.hashes.insert(*key, new),
            None => self.hashes.remove(key),
        };
        self.summary.change(key, old, new);
        self.stats.documents.store(self.summary.count(), Ordering::Relaxed);
    }
}

impl sync::Documents for Documents {
    type Error = Error;

    fn get(&self, key: &DocumentKey) -> Result<Option<Arc<Document>>> {
        Ok(self.gallery.document(key)?.map(|(document, _)| Arc::new(document)))
    }

    fn merge(&mut self, arrived: &[Arc<Arrived>], oldest_tombstone_ms: u64) -> Result<Vec<Outcome>> {
        let applied = self.gallery.apply_documents(arrived, oldest_tombstone_ms)?;
        let waiting = applied.iter().filter(|applied| applied.waits).count();
        if waiting > 0 {
            tracing::error!(
                documents = waiting,
                help = "raise gallery.max_mb or free the disk, and restart: the broker is asked for it again within the hour",
                "the gallery is full: what the fleet erased and took away is, and what it enrolled waits"
            );
        }
        let mut outcomes = Vec::with_capacity(applied.len());
        for (applied, arrived) in applied.into_iter().zip(arrived) {
            if let Some(why) = &applied.refused {
                self.stats.unstorable.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(document = %arrived.key, "a document of the fleet is not taken over: {why}");
            }
            self.stats.applied.fetch_add(u64::from(applied.changed), Ordering::Relaxed);
            let mut also = Vec::new();
            for (key, _, new) in &applied.moved {
                self.follow(key, *new);
                self.known.insert(*key);
                if *key != arrived.key {
                    also.push(*key);
                }
            }
            if let Some(stamp) = &applied.erased {
                let event =
                    Event::Erased { document: arrived.key.to_string(), by: format!("device {}", stamp.device()) };
                self.journal.append(Entry { door: None, event });
            }
            outcomes.push(Outcome { changed: applied.changed, ahead: applied.ahead, erased: applied.erased, also });
        }
        Ok(outcomes)
    }

    fn summary(&self) -> &Summary {
        &self.summary
    }

    fn spent(&self, oldest_ms: u64) -> Result<Vec<(Kind, DocumentKey)>> {
        self.gallery.spent_documents(oldest_ms)
    }

    fn forget(&mut self, keys: &[DocumentKey]) -> Result<()> {
        for key in self.gallery.forget_documents(keys)? {
            self.follow(&key, None);
            self.known.remove(&key);
        }
        Ok(())
    }

    fn note_copy(&mut self, key: &DocumentKey, signer: Option<&PublicKey>) {
        self.copies.note(key, signer);
    }

    fn forget_copies(&mut self) {
        self.copies.clear();
    }

    fn has_copy(&self, key: &DocumentKey) -> bool {
        self.copies.has(key)
    }

    fn copies_by(&self, signer: &PublicKey) -> Vec<DocumentKey> {
        self.copies.by(signer)
    }

    fn without_copy(&self) -> Result<Vec<DocumentKey>> {
        Ok(self.known.iter().filter(|key| !self.copies.has(key)).copied().collect())
    }
}
