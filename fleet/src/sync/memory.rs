use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::Arc,
};

use super::{Copies, Documents, Outcome};
use crate::{
    document::{Document, DocumentKey, Hash, Kind, Summary, apply},
    keys::PublicKey,
    open::Arrived,
    stamp::Stamp,
};

/// Documents in memory: what a store must do, in its plainest form. For tests and small simulations.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    documents: BTreeMap<DocumentKey, (Arc<Document>, Option<Hash>)>,
    erased: HashMap<String, Stamp>,
    copies: Copies,
    summary: Summary,
}

impl Memory {
    /// All documents.
    pub fn documents(&self) -> impl Iterator<Item = (&DocumentKey, &Document)> {
        self.documents.iter().map(|(key, (document, _))| (key, &**document))
    }

    /// Puts a document there that was changed here.
    pub fn put(&mut self, key: DocumentKey, document: Document) {
        let hash = document.hash(&key);
        self.set(key, document, hash);
    }

    fn set(&mut self, key: DocumentKey, document: Document, hash: Option<Hash>) {
        if let Document::Tenant(tenant) = &document
            && let Some(stamp) = &tenant.erased
        {
            self.erased.insert(tenant.tenant.clone(), stamp.clone());
        }
        let old = self.documents.insert(key, (Arc::new(document), hash));
        self.summary.change(&key, old.and_then(|(_, hash)| hash), hash);
    }

    fn merge_one(&mut self, arrived: &Arrived, oldest_tombstone_ms: u64) -> Outcome {
        let own = self.documents.get(&arrived.key).map(|(document, _)| &**document);
        let tenant = arrived.document.tenant().or(own.and_then(Document::tenant));
        let erased = tenant.and_then(|tenant| self.erased.get(tenant));
        let merged = apply(own, &arrived.document, erased, oldest_tombstone_ms);
        let mut outcome =
            Outcome { changed: merged.changed, ahead: merged.ahead, erased: merged.erased, also: Vec::new() };
        if merged.changed {
            let (tenant, stamp) = match &merged.document {
                Document::Tenant(tenant) => (Some(tenant.tenant.clone()), outcome.erased.clone()),
                _ => (None, None),
            };
            self.put(arrived.key, merged.document);
            if let (Some(tenant), Some(stamp)) = (tenant, stamp) {
                outcome.also = self.erase_tenant(&tenant, &stamp);
            }
        }
        outcome
    }

    /// Erases a tenant's documents up to `stamp`; gives those that changed.
    pub fn erase_tenant(&mut self, tenant: &str, stamp: &Stamp) -> Vec<DocumentKey> {
        let mut changed = Vec::new();
        for (key, (document, _)) in &self.documents {
            if document.kind() != Kind::Tenant && document.tenant() == Some(tenant) {
                let mut erased = Document::clone(document);
                erased.erase_until(stamp);
                if erased != **document {
                    changed.push((*key, erased));
                }
            }
        }
        let keys = changed.iter().map(|(key, _)| *key).collect();
        changed.into_iter().for_each(|(key, document)| self.put(key, document));
        keys
    }
}

impl Documents for Memory {
    type Error = Infallible;

    fn get(&self, key: &DocumentKey) -> Result<Option<Arc<Document>>, Infallible> {
        Ok(self.documents.get(key).map(|(document, _)| Arc::clone(document)))
    }

    fn merge(&mut self, arrived: &[Arc<Arrived>], oldest_tombstone_ms: u64) -> Result<Vec<Outcome>, Infallible> {
        Ok(arrived.iter().map(|arrived| self.merge_one(arrived, oldest_tombstone_ms)).collect())
    }

    fn summary(&self) -> &Summary {
        &self.summary
    }

    fn spent(&self, oldest_ms: u64) -> Result<Vec<(Kind, DocumentKey)>, Infallible> {
        let spent = self.documents().filter(|(_, document)| document.is_spent(oldest_ms));
        Ok(spent.map(|(key, document)| (document.kind(), *key)).collect())
    }

    fn forget(&mut self, keys: &[DocumentKey]) -> Result<(), Infallible> {
        for key in keys {
            if let Some((_, hash)) = self.documents.remove(key) {
                self.summary.change(key, hash, None);
            }
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

    fn without_copy(&self) -> Result<Vec<DocumentKey>, Infallible> {
        Ok(self.documents.keys().filter(|key| !self.copies.has(key)).copied().collect())
    }
}
