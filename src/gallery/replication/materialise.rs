//! The store made as a document says: records, rules, who is suspended, and the document's own row.

use std::collections::HashSet;

use facegate_fleet::document::{
    self, Bytes, Document, DocumentKey, Embedding, Hash, Lww, RulesDocument, SubjectDocument,
};

use super::{
    compose::subject_named,
    state::{EmbeddingState, Row, RulesState, State, SubjectState, digest, digest_of},
};
use crate::{
    error::{Error, Kind, Result},
    gallery::{
        Gallery,
        access::{OF_ALL, Of, key as row_key},
        enrol::{id_key, subject_key},
        ids::{EmbeddingId, SubjectId, TenantId},
        record::{Header, Plain, microseconds},
        seal::new_secret,
        store::{Change, Tenant, Writer},
    },
};

impl Gallery {
    /// Makes the store as a document says, which differs from what it was made as before. `hash` is the document's own.
    pub(super) fn materialise(
        &self,
        writer: &mut Writer<'_>,
        key: &DocumentKey,
        own: Option<&Document>,
        document: &Document,
        hash: Option<Hash>,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        match document {
            Document::Subject(subject) => {
                let own = own.and_then(|own| if let Document::Subject(own) = own { Some(own) } else { None });
                self.materialise_subject(writer, own, subject, slots)?;
            }
            Document::Rules(rules) => self.materialise_rules(writer, rules, slots)?,
            Document::Tenant(_) => {}
        }
        let row = Row { hash, state: state_of(document) };
        Ok(self.store.documents.put(writer.txn(), key.as_bytes(), &row.to_bytes()?)?)
    }

    fn materialise_subject(
        &self,
        writer: &mut Writer<'_>,
        own: Option<&SubjectDocument>,
        merged: &SubjectDocument,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let nothing = SubjectDocument::default();
        let own = own.unwrap_or(&nothing);
        let Some(owner) = merged.owner.as_ref().or(own.owner.as_ref()) else { return Ok(()) };
        let (Ok(tenant), Some(subject)) = (owner.tenant.parse::<TenantId>(), subject_named(&owner.subject)) else {
            return Err(Error::new(Kind::Internal, "a document that was checked names nobody"));
        };
        let mut row = match self.store.tenant(writer.txn(), &tenant)? {
            Some(row) => row,
            None if merged.is_alive() => writer.tenant(&tenant)?,
            None => return Ok(()),
        };
        if merged.erased > own.erased {
            self.drop_access(writer, row.number, &subject, slots)?;
        }
        // Of whom nothing is left, no name is left either: nobody is suspended.
        let active = !merged.is_alive() || merged.active.as_ref().is_none_or(|active| active.value);
        let newest = if active { self.newest_of(merged) } else { HashSet::new() };
        for id in own.embeddings.keys().filter(|id| !merged.embeddings.contains_key(*id)) {
            self.remove_stored(writer, &row, id, slots)?;
        }
        for (id, embedding) in &merged.embeddings {
            let known = own.embeddings.get(id);
            match known {
                Some(known) if known.fixed == embedding.fixed => {
                    if known.metadata.value != embedding.metadata.value {
                        self.change_stored(writer, &row, id, embedding, slots)?;
                    }
                }
                _ => {
                    self.remove_stored(writer, &row, id, slots)?;
                    self.add_stored(writer, &mut row, &subject, id, embedding, newest.contains(id))?;
                }
            }
        }
        let suspended = subject_key(row.number, &subject, None);
        if active {
            self.store.suspended.delete(writer.txn(), &suspended)?;
        } else if !self.is_suspended(writer.txn(), row.number, &subject)? {
            let since = microseconds(self.clock.wall()).to_le_bytes();
            self.store.suspended.put(writer.txn(), &suspended, &since)?;
        }
        let order = merged.embeddings.iter().map(|(id, embedding)| (*id, embedding.added.clone())).collect();
        self.settle(writer, &row, &subject, active, &order)?;
        self.put_subject_rules(writer, &row, &subject, merged.rules.as_ref(), slots)?;
        // A tenant of whom somebody has an embedding is not empty.
        if merged.embeddings.is_empty() { self.release_if_empty(writer, &mut row, slots) } else { Ok(()) }
    }

    /// Those embeddings of a subject that are to be active, as [`settle`](Self::settle) has it: stored so at once, they need not be
    /// written twice.
    fn newest_of<'d>(&self, subject: &'d SubjectDocument) -> HashSet<&'d document::EmbeddingId> {
        let mut all: Vec<_> = subject.embeddings.iter().map(|(id, embedding)| (&embedding.added, id)).collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        all.into_iter().take(self.settings.keep_active).map(|(_, id)| id).collect()
    }

    fn put_subject_rules(
        &self,
        writer: &mut Writer<'_>,
        row: &Tenant,
        subject: &SubjectId,
        rules: Option<&Lww<Option<Bytes>>>,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let wanted = rules.and_then(|rules| rules.value.as_ref()).map(Bytes::as_slice);
        let stored = self.rules_of(writer.txn(), row, subject.as_str())?;
        if wanted == stored.as_deref().map(Vec::as_slice) {
            return Ok(());
        }
        let digest = self.digest(row.number, subject.as_str());
        self.put_written(writer, row.number, digest, wanted, slots)
    }

    fn materialise_rules(&self, writer: &mut Writer<'_>, rules: &RulesDocument, slots: &mut Vec<u32>) -> Result<()> {
        let wanted = rules.value.as_ref().and_then(|value| value.value.as_ref()).map(Bytes::as_slice);
        let tenant: TenantId = rules.tenant.parse()?;
        let row = match (self.store.tenant(writer.txn(), &tenant)?, wanted) {
            (Some(row), _) => row,
            (None, Some(_)) => writer.tenant(&tenant)?,
            (None, None) => return Ok(()),
        };
        self.put_written(writer, row.number, OF_ALL, wanted, slots)
    }

    /// Stores or deletes rules as they are written, and tells who follows.
    fn put_written(
        &self,
        writer: &mut Writer<'_>,
        tenant: u32,
        digest: u64,
        wanted: Option<&[u8]>,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let key = row_key(tenant, digest);
        match wanted {
            Some(wanted) => self.put_row(writer, Of::Rules, &key, wanted)?,
            None => drop(self.delete_row(writer, Of::Rules, &key, slots)?),
        }
        self.count_up(writer, tenant)?;
        writer.log(Change::Rules, tenant, digest)
    }

    fn add_stored(
        &self,
        writer: &mut Writer<'_>,
        row: &mut Tenant,
        subject: &SubjectId,
        id: &document::EmbeddingId,
        embedding: &Embedding,
        active: bool,
    ) -> Result<()> {
        let fixed = &embedding.fixed;
        let header = Header {
            active,
            verification_count: 0,
            last_verified: None,
            tenant: row.number,
            id: writer.next("next_id")?,
            embedding: EmbeddingId::from_bytes(*id),
            slot: writer.take_slot(&*new_secret()?)?,
            created: fixed.created,
            quality: fixed.quality,
            liveness: fixed.liveness,
            model: fixed.model.clone(),
            subject: subject.clone(),
        };
        let plain = Plain {
            template: fixed.template.as_slice(),
            source: fixed.source.as_deref(),
            metadata: written(embedding.metadata.value.as_ref()),
        };
        self.put_record(writer, row, &header, &plain.to_bytes()?)
    }

    fn change_stored(
        &self,
        writer: &mut Writer<'_>,
        row: &Tenant,
        id: &document::EmbeddingId,
        embedding: &Embedding,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let Some((header, sealed)) = self.stored_embedding(writer.txn(), row, id)? else { return Ok(()) };
        let Some(plain) = Plain::parse(&sealed) else { return Ok(()) };
        let plain = Plain { metadata: written(embedding.metadata.value.as_ref()), ..plain }.to_bytes()?;
        slots.push(self.reseal(writer, row, header, &plain)?);
        Ok(())
    }

    fn remove_stored(
        &self,
        writer: &mut Writer<'_>,
        row: &Tenant,
        id: &document::EmbeddingId,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let internal = self.store.ids.get(writer.txn(), &id_key(row.number, &EmbeddingId::from_bytes(*id)))?;
        if let Some(internal) = internal.and_then(|id| <[u8; 8]>::try_from(id).ok()).map(u64::from_le_bytes) {
            self.remove_record(writer, row, internal, slots)?;
        }
        Ok(())
    }
}

/// What is remembered of a document.
fn state_of(document: &Document) -> State {
    let rules_digest = |value: &Lww<Option<Bytes>>| Lww {
        stamp: value.stamp.clone(),
        value: digest_of(value.value.as_ref().map(Bytes::as_slice)),
    };
    match document {
        Document::Subject(subject) => State::Subject(SubjectState {
            owner: subject.owner.clone(),
            erased: subject.erased.clone(),
            active: subject.active.clone(),
            rules: subject.rules.as_ref().map(rules_digest),
            embeddings: subject
                .embeddings
                .iter()
                .map(|(id, embedding)| {
                    let value = embedding.metadata.value.as_ref().map(|metadata| digest(metadata.as_slice()));
                    let metadata = Lww { stamp: embedding.metadata.stamp.clone(), value };
                    (*id, EmbeddingState { added: embedding.added.clone(), metadata })
                })
                .collect(),
            removed: subject.removed.clone(),
        }),
        Document::Rules(rules) => State::Rules(RulesState {
            tenant: rules.tenant.clone(),
            name: rules.name.clone(),
            value: rules.value.as_ref().map(rules_digest),
        }),
        Document::Tenant(tenant) => State::Tenant(tenant.clone()),
    }
}

/// Metadata as it lies in a record: empty where there is none.
pub(super) fn written(metadata: Option<&Bytes>) -> &[u8] {
    metadata.map_or(&[], Bytes::as_slice)
}
