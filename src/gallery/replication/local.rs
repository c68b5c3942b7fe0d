//! A change that was made here: what differs between a document's state and the store is stamped.

use std::collections::{BTreeMap, BTreeSet};

use facegate_fleet::{
    document::{DocumentKey, EmbeddingId, Kind as DocumentKind, Lww, MAX_SEALED_BYTES, Owner, TenantDocument},
    stamp::Stamp,
};

use super::{
    ADOPTED, AT_ONCE, Site,
    state::{Digest, EmbeddingState, RulesState, State, SubjectState, digest, digest_of},
};
use crate::{
    error::Result,
    gallery::{
        Gallery,
        enrol::unreadable,
        ids::{EmbeddingId as Id, SubjectId, TenantId},
        record::{Header, Plain, VECTOR_BYTES},
        store::{Room, Tenant, View, Writer},
    },
};

/// What a tenant's rules are called, but those of subjects.
pub(super) const PLAN: &str = "plan";

/// What an embedding takes in a document beside its template, metadata and source, at most: id, stamps, scores, model.
const EMBEDDING_OVERHEAD: usize = 512;

impl Gallery {
    /// Stamps what changed of a subject in this transaction, and sees to it that the right embeddings are active. Does nothing
    /// where the store is of no site.
    pub(in crate::gallery) fn replicate(
        &self,
        writer: &mut Writer<'_>,
        tenant: &Tenant,
        subject: &SubjectId,
    ) -> Result<()> {
        match self.site(writer.txn())? {
            Some(site) => self.stamp_subject(writer, &site, tenant, subject, false),
            None => Ok(()),
        }
    }

    /// Stamps what changed of a tenant's rules, and of those of these subjects.
    pub(in crate::gallery) fn replicate_rules(
        &self,
        writer: &mut Writer<'_>,
        tenant: &Tenant,
        subjects: &BTreeSet<String>,
    ) -> Result<()> {
        let Some(site) = self.site(writer.txn())? else { return Ok(()) };
        self.stamp_rules(writer, &site, tenant)?;
        for subject in subjects.iter().filter_map(|subject| subject.parse().ok()) {
            self.stamp_subject(writer, &site, tenant, &subject, false)?;
        }
        Ok(())
    }

    /// Stamps that a tenant was made, or deleted with all that was of it.
    pub(in crate::gallery) fn replicate_tenant(
        &self,
        writer: &mut Writer<'_>,
        tenant: &TenantId,
        exists: bool,
    ) -> Result<()> {
        let Some(site) = self.site(writer.txn())? else { return Ok(()) };
        let (key, mut document) = self.tenant_document(writer.txn(), &site, tenant)?;
        if document.exists.as_ref().is_some_and(|known| known.value == exists) {
            return Ok(());
        }
        let stamp = self.next_stamp(writer, &site)?;
        if !exists {
            document.erased = document.erased.max(Some(stamp.clone()));
        }
        document.exists = Some(Lww { stamp, value: exists });
        self.put_document(writer, &key, State::Tenant(document))?;
        self.put_outgoing(writer, &key)
    }

    /// A tenant's own document; a new one where there is none.
    pub(super) fn tenant_document(
        &self,
        txn: &View<'_>,
        site: &Site,
        tenant: &TenantId,
    ) -> Result<(DocumentKey, TenantDocument)> {
        let key = site.key(DocumentKind::Tenant, tenant.as_str(), "");
        let document = match self.document_row(txn, &key)?.map(|row| row.state) {
            Some(State::Tenant(document)) => document,
            _ => TenantDocument { tenant: tenant.to_string(), exists: None, erased: None },
        };
        Ok((key, document))
    }

    /// Stamps everything that the store has and no document knows of.
    pub(super) fn adopt(&self) -> Result<()> {
        let first = self.store.meta.get(&*self.store.read()?, ADOPTED.as_bytes())?.is_none();
        for tenant in self.store.all_tenants(&*self.store.read()?)? {
            self.adopt_tenant(&tenant, first)?;
        }
        self.sweep()?;
        if first {
            let mut writer = self.write()?;
            self.store.meta.put(writer.txn(), ADOPTED.as_bytes(), &[])?;
            writer.commit(Room::Reserve)?;
        }
        Ok(())
    }

    fn adopt_tenant(&self, tenant: &Tenant, first: bool) -> Result<()> {
        let mut names: BTreeSet<SubjectId> = BTreeSet::new();
        {
            let txn = self.store.read()?;
            for table in [self.store.subjects, self.store.suspended] {
                for row in table.prefix_iter(&txn, &tenant.number.to_be_bytes())? {
                    let name = row?.0.get(4..).and_then(|rest| rest.split(|&byte| byte == 0).next());
                    names.extend(name.and_then(|name| std::str::from_utf8(name).ok()?.parse().ok()));
                }
            }
            names.extend(self.ruled_subjects(&txn, tenant.number)?);
        }
        let names: Vec<_> = names.into_iter().collect();
        // One round at least: rules may be all that a tenant has.
        for some in names.chunks(AT_ONCE).chain(names.is_empty().then_some(&[][..])) {
            let mut writer = self.write()?;
            // Deleted meanwhile.
            let Some(tenant) = self.store.tenant(writer.txn(), &tenant.name)? else { return Ok(()) };
            let Some(site) = self.site(writer.txn())? else { return Ok(()) };
            self.stamp_rules(&mut writer, &site, &tenant)?;
            for subject in some {
                self.stamp_subject(&mut writer, &site, &tenant, subject, first)?;
            }
            writer.commit(Room::Reserve)?;
        }
        self.catch_up().map(drop)
    }

    /// `adopting`: embeddings are stamped with the time at which they were enrolled.
    fn stamp_subject(
        &self,
        writer: &mut Writer<'_>,
        site: &Site,
        tenant: &Tenant,
        subject: &SubjectId,
        adopting: bool,
    ) -> Result<()> {
        let key = site.key(DocumentKind::Subject, tenant.name.as_str(), subject.as_str());
        let before = match self.document_row(writer.txn(), &key)?.map(|row| row.state) {
            Some(State::Subject(state)) => state,
            _ => SubjectState::default(),
        };
        let mut state = before.clone();
        let stored = self.stored_of(writer.txn(), tenant, subject)?;
        // Taken only where something changed, and once.
        let mut taken = None;
        let mut stamp = |writer: &mut Writer<'_>| -> Result<Stamp> {
            if taken.is_none() {
                taken = Some(self.next_stamp(writer, site)?);
            }
            Ok(taken.clone().expect("it was set above"))
        };
        for (id, (header, metadata)) in &stored {
            let Some(metadata) = metadata else { continue };
            match state.embeddings.get_mut(id) {
                Some(known) if known.metadata.value == *metadata => {}
                Some(known) => known.metadata = Lww { stamp: stamp(writer)?, value: *metadata },
                None => {
                    let enrolled = u64::try_from(header.created / 1000).unwrap_or(0);
                    let added = match Stamp::new(enrolled, 0, site.device.clone()).filter(|_| adopting) {
                        Some(enrolled) if state.erased.as_ref().is_none_or(|erased| *erased < enrolled) => enrolled,
                        _ => stamp(writer)?,
                    };
                    state.removed.remove(id);
                    let metadata = Lww { stamp: added.clone(), value: *metadata };
                    state.embeddings.insert(*id, EmbeddingState { added, metadata });
                }
            }
        }
        let gone: Vec<_> = state.embeddings.keys().filter(|id| !stored.contains_key(*id)).copied().collect();
        for id in gone {
            state.embeddings.remove(&id);
            state.removed.insert(id, stamp(writer)?);
        }
        let active = !self.is_suspended(writer.txn(), tenant.number, subject)?;
        if active != state.active.as_ref().is_none_or(|known| known.value) {
            state.active = Some(Lww { stamp: stamp(writer)?, value: active });
        }
        let rules = self.rules_of(writer.txn(), tenant, subject.as_str())?;
        let rules = digest_of(rules.as_deref().map(Vec::as_slice));
        if rules != state.rules.as_ref().and_then(|known| known.value) {
            state.rules = Some(Lww { stamp: stamp(writer)?, value: rules });
        }
        if state == before {
            return Ok(());
        }
        let owner = Owner { tenant: tenant.name.to_string(), subject: subject.to_string() };
        state.owner = state.is_alive().then_some(owner);
        let order = state.embeddings.iter().map(|(id, known)| (*id, known.added.clone())).collect();
        self.settle(writer, tenant, subject, active, &order)?;
        self.put_document(writer, &key, State::Subject(state))?;
        self.put_outgoing(writer, &key)
    }

    fn stamp_rules(&self, writer: &mut Writer<'_>, site: &Site, tenant: &Tenant) -> Result<()> {
        let key = site.key(DocumentKind::Rules, tenant.name.as_str(), PLAN);
        let mut state = match self.document_row(writer.txn(), &key)?.map(|row| row.state) {
            Some(State::Rules(state)) => state,
            _ => RulesState { tenant: tenant.name.to_string(), name: PLAN.into(), value: None },
        };
        let plan = self.plan_of(writer.txn(), tenant)?.map(|plan| digest(&plan));
        if plan == state.value.as_ref().and_then(|known| known.value) {
            return Ok(());
        }
        state.value = Some(Lww { stamp: self.next_stamp(writer, site)?, value: plan });
        self.put_document(writer, &key, State::Rules(state))?;
        self.put_outgoing(writer, &key)
    }

    /// Every record of a subject by its embedding's id, with the digest of its metadata. One that cannot be opened has none: it
    /// counts as it is known, so that no other door loses it.
    fn stored_of(
        &self,
        txn: &View<'_>,
        tenant: &Tenant,
        subject: &SubjectId,
    ) -> Result<BTreeMap<EmbeddingId, (Header, Option<Digest>)>> {
        let mut stored = BTreeMap::new();
        for row in self.of_subject(txn, tenant.number, subject)? {
            let record = self.record_bytes(txn, row.id)?;
            let (header, _) = Header::parse(&record).ok_or_else(unreadable)?;
            let plain = self.unseal_record(tenant.slot, &record)?.map(|(_, plain)| plain);
            let metadata = plain.as_deref().and_then(|plain| Plain::parse(plain)).map(|plain| plain.metadata);
            let metadata = metadata.map(|metadata| digest_of((!metadata.is_empty()).then_some(metadata)));
            stored.insert(*header.embedding.as_bytes(), (header, metadata));
        }
        Ok(stored)
    }

    /// Makes the newest few embeddings of a subject active, by their stamps and then their ids, and all others inactive; all
    /// of them where it is suspended.
    pub(super) fn settle(
        &self,
        writer: &mut Writer<'_>,
        tenant: &Tenant,
        subject: &SubjectId,
        active: bool,
        added: &BTreeMap<EmbeddingId, Stamp>,
    ) -> Result<()> {
        let mut rows = self.of_subject(writer.txn(), tenant.number, subject)?;
        let place = |row: &crate::gallery::enrol::SubjectRow| {
            let id = row.embedding();
            (added.get(&id).cloned(), id)
        };
        rows.sort_by_cached_key(|row| std::cmp::Reverse(place(row)));
        for (place, row) in rows.iter().enumerate() {
            let wanted = active && place < self.settings.keep_active;
            if row.active != wanted {
                self.set_active(writer, tenant.number, row, wanted)?;
            }
        }
        Ok(())
    }

    /// Takes out the oldest embeddings of a subject of whom there are more than a document holds, in a fleet. Without one they
    /// are kept.
    pub(in crate::gallery) fn make_room(
        &self,
        writer: &mut Writer<'_>,
        tenant: &Tenant,
        subject: &SubjectId,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        if self.site(writer.txn())?.is_none() {
            return Ok(());
        }
        let mut rows = self.of_subject(writer.txn(), tenant.number, subject)?;
        rows.sort_unstable_by_key(|row| row.id);
        let mut sizes = Vec::with_capacity(rows.len());
        for row in &rows {
            let record = self.record_bytes(writer.txn(), row.id)?;
            sizes.push(record.len() + EMBEDDING_OVERHEAD);
        }
        // A subject's rules, names and stamps go into the same document.
        let most = MAX_SEALED_BYTES - 16 * VECTOR_BYTES;
        let mut size: usize = sizes.iter().sum();
        for (row, length) in rows.iter().zip(sizes).take(rows.len().saturating_sub(1)) {
            if size <= most {
                break;
            }
            self.remove_record(writer, tenant, row.id, slots)?;
            size -= length;
        }
        Ok(())
    }
}

impl From<EmbeddingId> for Id {
    fn from(bytes: EmbeddingId) -> Self {
        Self::from_bytes(bytes)
    }
}
