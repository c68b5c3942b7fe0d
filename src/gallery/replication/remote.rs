//! A document that arrived: merged with what there is, and the store made as it says, in one transaction.

use std::sync::Arc;

use facegate_fleet::{
    document::{self, Bytes, Document, DocumentKey, Embedding, Hash, Lww, RulesDocument, SubjectDocument},
    open::Arrived,
};
use serde_json::{Map, Value};

use super::{
    Site,
    compose::subject_named,
    erasure::Moved,
    local::PLAN,
    state::{EmbeddingState, Row, RulesState, State, SubjectState, digest, digest_of},
};
use crate::{
    access::rules::{Rulebook, Rules, SubjectRules},
    error::{Error, Kind, Result},
    gallery::{
        Gallery,
        access::{OF_ALL, Of, key as row_key},
        enrol::{MAX_SOURCE_BYTES, id_key, subject_key},
        ids::{EmbeddingId, SubjectId, TenantId},
        record::{Header, Plain, Secret, VECTOR_BYTES, microseconds},
        seal::new_secret,
        store::{Change, Room, Tenant, View, Writer},
    },
    rulebook::zones,
};

/// Longest metadata that any door's configuration allows, in bytes.
const MAX_METADATA_BYTES: usize = 65_536;

/// What became of a document that arrived.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// As [`document::apply`] tells it.
    pub changed: bool,
    /// The same.
    pub ahead: bool,
    /// It was erased, and was not before.
    pub erased: Option<facegate_fleet::stamp::Stamp>,
    /// Documents that changed, itself among them, with the hashes of what lived and lives in each.
    pub moved: Vec<Moved>,
    /// Why nothing of it was taken over, where that is so: it holds what this program cannot store.
    pub refused: Option<String>,
    /// The gallery is full: what makes it larger was left out, until this comes again and there is room.
    pub waits: bool,
}

/// How much of a document is taken in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// What makes the gallery smaller, or leaves its size about alone: erasures, removals, suspensions, rights that are taken away.
    Shrinking,
}

/// So many bytes longer may rules become in a full gallery: rights that are taken away can be longer to write than those that were
/// there (until when, except when), and must not wait.
const LONGER: usize = 256;

/// So many documents of a batch may be tried for which there is no room, before the others wait untried: each costs a sync.
const TRIED: usize = 4;

impl Gallery {
    /// Takes in documents, in order: all of them durably or none. One that holds what cannot be stored is refused alone. Where the
    /// gallery is full, whatever takes something away is taken in all the same, and what there is no room for
    /// [waits](Applied::waits). Tombstones from before `oldest_tombstone_ms` (since 1970) are forgotten.
    ///
    /// # Errors
    /// Those of the store; `StorageFull` where not even its reserve is enough to make it smaller; `Config` where it belongs to no
    /// site.
    pub fn apply_documents(&self, arrived: &[Arc<Arrived>], oldest_tombstone_ms: u64) -> Result<Vec<Applied>> {
        match self.apply_part(arrived, oldest_tombstone_ms, Part::All) {
            Err(error) if error.kind() == Kind::StorageFull => self.apply_what_fits(arrived, oldest_tombstone_ms),
            applied => applied,
        }
    }

    /// The same in a full gallery: first what makes it smaller, all at once, then the others as long as there is room.
    fn apply_what_fits(&self, arrived: &[Arc<Arrived>], oldest_tombstone_ms: u64) -> Result<Vec<Applied>> {
        let mut all = self.apply_part(arrived, oldest_tombstone_ms, Part::Shrinking)?;
        let mut tried = 0;
        for (applied, arrived) in all.iter_mut().zip(arrived).filter(|(applied, _)| applied.waits) {
            if tried == TRIED {
                break;
            }
            match self.apply_part(std::slice::from_ref(arrived), oldest_tombstone_ms, Part::All) {
                Ok(whole) => whole.into_iter().for_each(|whole| applied.follow(whole)),
                Err(error) => {
                    // What was stored before is stored: that is what the caller has to hear.
                    if error.kind() != Kind::StorageFull {
                        tracing::error!(%error, help = error.advice(), document = %arrived.key, "a document of the fleet could not be stored");
                    }
                    tried += 1;
                }
            }
        }
        Ok(all)
    }

    fn apply_part(&self, arrived: &[Arc<Arrived>], oldest_tombstone_ms: u64, part: Part) -> Result<Vec<Applied>> {
        let mut writer = self.write()?;
        let site = self.site(writer.txn())?.ok_or_else(no_site)?;
        let (mut slots, mut all, mut room) = (Vec::new(), Vec::with_capacity(arrived.len()), Room::Reserve);
        for arrived in arrived {
            let (applied, needs) =
                self.apply_document(&mut writer, &site, arrived, oldest_tombstone_ms, part, &mut slots)?;
            if needs == Room::Configured {
                room = needs;
            }
            all.push(applied);
        }
        if all.iter().all(|applied| applied.moved.is_empty()) {
            return Ok(all);
        }
        writer.commit(room)?;
        let caught_up = self.catch_up();
        self.store.erase_free(&self.vault.slots, slots)?;
        caught_up?;
        Ok(all)
    }

    /// Documents of which nothing is left but the memory of something older than this.
    ///
    /// # Errors
    /// Those of the store.
    pub fn spent_documents(&self, oldest_ms: u64) -> Result<Vec<(document::Kind, DocumentKey)>> {
        let txn = self.store.read()?;
        let mut spent = Vec::new();
        for row in self.store.documents.iter(&txn)? {
            let (key, value) = row?;
            let state = Row::parse(value)?.state;
            // What lives has more than stamps: only what is dead is put together.
            if matches!(&state, State::Subject(subject) if subject.is_alive()) {
                continue;
            }
            let document = self.compose(&txn, &state)?;
            if document.is_spent(oldest_ms) {
                spent.push((document.kind(), super::state::parse_key(key)?));
            }
        }
        Ok(spent)
    }

    /// Forgets documents that are spent; gives those that were there.
    ///
    /// # Errors
    /// Those of the store.
    pub fn forget_documents(&self, keys: &[DocumentKey]) -> Result<Vec<DocumentKey>> {
        let mut writer = self.write()?;
        let mut gone = Vec::new();
        for key in keys {
            if self.store.documents.delete(writer.txn(), key.as_bytes())? {
                self.store.outgoing.delete(writer.txn(), key.as_bytes())?;
                gone.push(*key);
            }
        }
        writer.commit(Room::Reserve)?;
        Ok(gone)
    }

    fn apply_document(
        &self,
        writer: &mut Writer<'_>,
        site: &Site,
        arrived: &Arrived,
        oldest_tombstone_ms: u64,
        part: Part,
        slots: &mut Vec<u32>,
    ) -> Result<(Applied, Room)> {
        let refused =
            |error: Error| (Applied { refused: Some(error.to_string()), ..Applied::default() }, Room::Reserve);
        if let Err(error) = check(&arrived.document) {
            return Ok(refused(error));
        }
        let row = self.document_row(writer.txn(), &arrived.key)?;
        let own = row.as_ref().map(|row| self.compose(writer.txn(), &row.state)).transpose()?;
        let tenant = arrived.document.tenant().or_else(|| own.as_ref().and_then(Document::tenant));
        let tenant: Option<TenantId> = tenant.and_then(|tenant| tenant.parse().ok());
        let erased = match (&tenant, &*arrived.document) {
            (Some(tenant), Document::Subject(_) | Document::Rules(_)) => {
                self.tenant_document(writer.txn(), site, tenant)?.1.erased
            }
            _ => None,
        };
        let mut merged = document::apply(own.as_ref(), &arrived.document, erased.as_ref(), oldest_tombstone_ms);
        let mut applied = Applied { ahead: merged.ahead, ..Applied::default() };
        if !merged.changed {
            return Ok((applied, Room::Reserve));
        }
        let shrunk = shrinking(own.as_ref(), &merged.document);
        let mut room = if shrunk.as_ref() == Some(&merged.document) { Room::Reserve } else { Room::Configured };
        if room == Room::Configured && part == Part::Shrinking {
            room = Room::Reserve;
            applied.waits = true;
            let Some(shrunk) = shrunk else { return Ok((applied, room)) };
            merged.document = own.as_ref().map_or_else(|| shrunk.clone(), |own| own.merge(&shrunk));
            if own.as_ref() == Some(&merged.document) {
                return Ok((applied, room));
            }
        }
        applied.changed = true;
        applied.erased = merged.erased;
        if let Err(error) = self.check_ids(writer.txn(), own.as_ref(), &merged.document) {
            return Ok(refused(error));
        }
        let hash = self.materialise(writer, &arrived.key, own.as_ref(), &merged.document, slots)?;
        applied.moved.push((arrived.key, row.and_then(|row| row.hash), hash));
        if let (Document::Tenant(document), Some(tenant)) = (&merged.document, &tenant) {
            if let Some(stamp) = &document.erased {
                applied.moved.extend(self.sweep_subjects(writer, tenant, stamp, slots)?);
            }
            match document.exists.as_ref().map(|exists| exists.value) {
                Some(true) => drop(writer.tenant(tenant)?),
                // Somebody who was enrolled in ignorance of it keeps it.
                Some(false) => drop(self.take_out_tenant(writer, tenant, slots)?),
                None => {}
            }
        }
        if let Some(latest) = merged.document.latest() {
            self.see_stamp(writer, site, latest)?;
        }
        Ok((applied, room))
    }

    /// Refuses an embedding under an id that is another subject's here.
    fn check_ids(&self, txn: &View<'_>, own: Option<&Document>, merged: &Document) -> Result<()> {
        let Document::Subject(merged) = merged else { return Ok(()) };
        let Some(owner) = &merged.owner else { return Ok(()) };
        let Some(tenant) = self.tenant_named(txn, &owner.tenant)? else { return Ok(()) };
        for id in merged.embeddings.keys() {
            if matches!(own, Some(Document::Subject(own)) if own.embeddings.contains_key(id)) {
                continue;
            }
            let other = self.stored_embedding(txn, &tenant, id)?;
            if other.is_some_and(|(header, _)| header.subject.as_str() != owner.subject) {
                return Err(Error::new(Kind::InvalidField, "an embedding in it has the id of another subject's"));
            }
        }
        Ok(())
    }

    /// Makes the store as a document says, which differs from what it was made as before.
    pub(super) fn materialise(
        &self,
        writer: &mut Writer<'_>,
        key: &DocumentKey,
        own: Option<&Document>,
        document: &Document,
        slots: &mut Vec<u32>,
    ) -> Result<Option<Hash>> {
        match document {
            Document::Subject(subject) => {
                let own = own.and_then(|own| if let Document::Subject(own) = own { Some(own) } else { None });
                self.materialise_subject(writer, own, subject, slots)?;
            }
            Document::Rules(rules) => self.materialise_rules(writer, rules, slots)?,
            Document::Tenant(_) => {}
        }
        let row = Row { hash: document.hash(key), state: state_of(document) };
        self.store.documents.put(writer.txn(), key.as_bytes(), &row.to_bytes()?)?;
        Ok(row.hash)
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
                    self.add_stored(writer, &mut row, &subject, id, embedding)?;
                }
            }
        }
        // Of whom nothing is left, no name is left either: nobody is suspended.
        let active = !merged.is_alive() || merged.active.as_ref().is_none_or(|active| active.value);
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
        self.release_if_empty(writer, &mut row, slots)
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
    ) -> Result<()> {
        let fixed = &embedding.fixed;
        let header = Header {
            // Which are active is settled when all are there.
            active: false,
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

impl Applied {
    /// What became of the whole of a document of which a part had been taken in.
    fn follow(&mut self, whole: Self) {
        self.changed |= whole.changed;
        self.ahead = whole.ahead;
        self.erased = whole.erased.or(self.erased.take());
        self.moved.extend(whole.moved);
        self.refused = whole.refused;
        self.waits = whole.waits;
    }
}

/// What of a merged document does not make the gallery larger than it is with `own`; the document itself where none of it does.
/// `None` where nothing of it is to be stored before there is room for all of it. It is to be [merged](Document::merge) with `own`.
///
/// It is a version of the same document, before those changes that it lacks: whatever is merged with it later, these are taken in
/// as if they came late. That it is not the site's version shows in its hash, so that digests have the broker send it again.
fn shrinking(own: Option<&Document>, merged: &Document) -> Option<Document> {
    let length = |value: Option<&Lww<Option<Bytes>>>| {
        value.and_then(|value| value.value.as_ref()).map_or(0, |bytes| bytes.as_slice().len())
    };
    match (own, merged) {
        (own, Document::Subject(merged)) => {
            let known = own.and_then(|own| if let Document::Subject(own) = own { Some(own) } else { None });
            if known.is_none() && merged.is_alive() {
                // Nothing can be taken from somebody who is not known here.
                return None;
            }
            let nothing = SubjectDocument::default();
            let own = known.unwrap_or(&nothing);
            let mut shrunk = merged.clone();
            shrunk.embeddings.retain(|id, embedding| {
                let Some(known) = own.embeddings.get(id).filter(|known| known.fixed == embedding.fixed) else {
                    return false;
                };
                if written(embedding.metadata.value.as_ref()).len() > written(known.metadata.value.as_ref()).len() {
                    embedding.metadata = known.metadata.clone();
                }
                true
            });
            if length(merged.rules.as_ref()) > length(own.rules.as_ref()) + LONGER {
                shrunk.rules.clone_from(&own.rules);
            }
            Some(Document::Subject(shrunk))
        }
        (own, Document::Rules(merged)) => {
            let own = own.and_then(|own| if let Document::Rules(own) = own { own.value.as_ref() } else { None });
            (length(merged.value.as_ref()) <= length(own) + LONGER).then(|| Document::Rules(merged.clone()))
        }
        (own, Document::Tenant(merged)) => {
            let own = own.and_then(|own| if let Document::Tenant(own) = own { own.exists.as_ref() } else { None });
            let is = |exists: Option<&Lww<bool>>| exists.is_some_and(|exists| exists.value);
            let mut shrunk = merged.clone();
            if is(merged.exists.as_ref()) && !is(own) {
                shrunk.exists = own.cloned();
            }
            Some(Document::Tenant(shrunk))
        }
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

/// Refuses a document that holds what cannot be stored, whoever signed it.
fn check(document: &Document) -> Result<()> {
    let refused = |what: &str| Err(Error::new(Kind::InvalidField, what.to_owned()));
    if let Some(tenant) = document.tenant() {
        tenant.parse::<TenantId>()?;
    }
    match document {
        Document::Tenant(_) => Ok(()),
        Document::Rules(rules) => {
            if rules.name != PLAN {
                return refused("it holds rules of a kind that this version does not know");
            }
            let Some(written) = rules.value.as_ref().and_then(|value| value.value.as_ref()) else { return Ok(()) };
            let Ok(rules) = serde_json::from_slice::<Rules>(written.as_slice()) else {
                return refused("its rules are of a form that this version does not know");
            };
            Rulebook::without_subjects(&rules, &zones).map(drop).or_else(|fault| refused(&fault.message))
        }
        Document::Subject(subject) => {
            let Some(owner) = &subject.owner else { return Ok(()) };
            owner.subject.parse::<SubjectId>()?;
            if let Some(written) = subject.rules.as_ref().and_then(|value| value.value.as_ref()) {
                match serde_json::from_slice::<SubjectRules>(written.as_slice()) {
                    Ok(rules) if rules.id == owner.subject => {}
                    _ => return refused("its rules are not of a form that this version knows, or another subject's"),
                }
            }
            for embedding in subject.embeddings.values() {
                let template = embedding.fixed.template.as_slice();
                if template.len() != VECTOR_BYTES || Secret::parse_embedding(template).is_none() {
                    return refused("a template in it is none");
                }
                if embedding.fixed.source.as_ref().is_some_and(|source| source.len() > MAX_SOURCE_BYTES) {
                    return refused("a source in it is too long");
                }
                let metadata = written(embedding.metadata.value.as_ref());
                let known = metadata.is_empty() || serde_json::from_slice::<Map<String, Value>>(metadata).is_ok();
                if !known || metadata.len() > MAX_METADATA_BYTES {
                    return refused("metadata in it is no object, or too long");
                }
            }
            Ok(())
        }
    }
}

fn written(metadata: Option<&Bytes>) -> &[u8] {
    metadata.map_or(&[], Bytes::as_slice)
}

fn no_site() -> Error {
    Error::new(Kind::Config, "the gallery belongs to no site").help("facegate fleet join")
}
