//! A document that arrived: merged with what there is, and the store made as it says, in one transaction.

use std::{collections::HashMap, sync::Arc};

use facegate_fleet::{
    document::{self, Bytes, Document, DocumentKey, Lww, SubjectDocument},
    open::Arrived,
    stamp::Stamp,
};
use serde_json::{Map, Value};

use super::{
    Site,
    erasure::Moved,
    local::PLAN,
    materialise::written,
    state::{Row, State},
};
use crate::{
    access::rules::{Rulebook, Rules, SubjectRules},
    error::{Error, Kind, Result},
    gallery::{
        Gallery,
        enrol::MAX_SOURCE_BYTES,
        ids::{SubjectId, TenantId},
        record::{Secret, VECTOR_BYTES},
        store::{Room, View, Writer},
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
    pub erased: Option<Stamp>,
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

/// Documents that are taken in together, and what is the same for all of them.
struct Batch {
    site: Site,
    oldest_tombstone_ms: u64,
    part: Part,
    /// Slots to be erased after the commit.
    slots: Vec<u32>,
    /// Up to when all of a tenant is erased, of those tenants that were asked for.
    erased: HashMap<TenantId, Option<Stamp>>,
    /// The latest stamp of what was taken in.
    latest: Option<Stamp>,
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
        let mut batch =
            Batch { site, oldest_tombstone_ms, part, slots: Vec::new(), erased: HashMap::new(), latest: None };
        let (mut all, mut room) = (Vec::with_capacity(arrived.len()), Room::Reserve);
        for arrived in arrived {
            let (applied, needs) = self.apply_document(&mut writer, &mut batch, arrived)?;
            if needs == Room::Configured {
                room = needs;
            }
            all.push(applied);
        }
        if all.iter().all(|applied| applied.moved.is_empty()) {
            return Ok(all);
        }
        if let Some(latest) = &batch.latest {
            self.see_stamp(&mut writer, &batch.site, latest)?;
        }
        writer.commit(room)?;
        let caught_up = self.catch_up();
        self.store.erase_free(&self.vault.slots, batch.slots)?;
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

    fn apply_document(&self, writer: &mut Writer<'_>, batch: &mut Batch, arrived: &Arrived) -> Result<(Applied, Room)> {
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
            (Some(tenant), Document::Subject(_) | Document::Rules(_)) => self.erased_of(writer.txn(), batch, tenant)?,
            _ => None,
        };
        let mut merged = document::apply(own.as_ref(), &arrived.document, erased.as_ref(), batch.oldest_tombstone_ms);
        let mut as_arrived = !merged.ahead;
        let mut applied = Applied { ahead: merged.ahead, ..Applied::default() };
        if !merged.changed {
            return Ok((applied, Room::Reserve));
        }
        let shrunk = shrinking(own.as_ref(), &merged.document);
        let mut room = if shrunk.as_ref() == Some(&merged.document) { Room::Reserve } else { Room::Configured };
        if room == Room::Configured && batch.part == Part::Shrinking {
            room = Room::Reserve;
            applied.waits = true;
            as_arrived = false;
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
        // What was worked out when it was opened, beside this thread. It is of what lives: forgotten tombstones are not in it.
        let hash = if as_arrived { arrived.hash } else { merged.document.hash(&arrived.key) };
        self.materialise(writer, &arrived.key, own.as_ref(), &merged.document, hash, &mut batch.slots)?;
        applied.moved.push((arrived.key, row.and_then(|row| row.hash), hash));
        if let (Document::Tenant(document), Some(tenant)) = (&merged.document, &tenant) {
            if let Some(stamp) = &document.erased {
                applied.moved.extend(self.sweep_subjects(writer, tenant, stamp, &mut batch.slots)?);
            }
            match document.exists.as_ref().map(|exists| exists.value) {
                Some(true) => drop(writer.tenant(tenant)?),
                // Somebody who was enrolled in ignorance of it keeps it.
                Some(false) => drop(self.take_out_tenant(writer, tenant, &mut batch.slots)?),
                None => {}
            }
        }
        if let Document::Tenant(_) = &merged.document {
            batch.erased.clear();
        }
        if merged.document.latest() > batch.latest.as_ref() {
            batch.latest = merged.document.latest().cloned();
        }
        Ok((applied, room))
    }

    /// Up to when all of a tenant is erased, if it was.
    fn erased_of(&self, txn: &View<'_>, batch: &mut Batch, tenant: &TenantId) -> Result<Option<Stamp>> {
        if let Some(known) = batch.erased.get(tenant) {
            return Ok(known.clone());
        }
        let erased = self.tenant_document(txn, &batch.site, tenant)?.1.erased;
        batch.erased.insert(tenant.clone(), erased.clone());
        Ok(erased)
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

fn no_site() -> Error {
    Error::new(Kind::Config, "the gallery belongs to no site").help("facegate fleet join")
}
