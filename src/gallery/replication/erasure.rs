//! Erasing: a subject, or all of a tenant, for good and at every door.

use facegate_fleet::{
    document::{DocumentKey, Hash, Kind as DocumentKind},
    stamp::Stamp,
};

use super::state::{Row, State, SubjectState, parse_key};
use crate::{
    error::Result,
    gallery::{
        Gallery,
        ids::{SubjectId, TenantId},
        store::{Room, Tenant, Writer},
    },
};

/// A document whose hash changed from one to another.
pub(super) type Moved = (DocumentKey, Option<Hash>, Option<Hash>);

impl Gallery {
    /// Stamps that everything of a subject was erased in this transaction: at other doors, whatever was enrolled in ignorance of
    /// this goes, too, and the name with it.
    pub(in crate::gallery) fn replicate_erasure(
        &self,
        writer: &mut Writer<'_>,
        tenant: &Tenant,
        subject: &SubjectId,
    ) -> Result<()> {
        let Some(site) = self.site(writer.txn())? else { return Ok(()) };
        let key = site.key(DocumentKind::Subject, tenant.name.as_str(), subject.as_str());
        let stamp = self.next_stamp(writer, &site)?;
        let state = SubjectState { erased: Some(stamp), ..SubjectState::default() };
        self.put_document(writer, &key, State::Subject(state))?;
        self.put_outgoing(writer, &key)
    }

    /// The beginning of the erasure of all of a tenant's subjects: which internal ids it is about (those below), and its stamp.
    pub(in crate::gallery) fn begin_erasing_all(&self, tenant: &TenantId) -> Result<(u64, Option<Stamp>)> {
        let mut writer = self.write()?;
        let newest = self.store.counter(writer.txn(), "next_id")?;
        let known = self.store.tenant(writer.txn(), tenant)?.is_some();
        let stamp = match self.site(writer.txn())? {
            Some(site) if known => Some(self.next_stamp(&mut writer, &site)?),
            _ => return Ok((newest, None)),
        };
        writer.commit(Room::Reserve)?;
        Ok((newest, stamp))
    }

    /// Its end, when the embeddings are deleted: other doors are told, about subjects that this one does not know, too.
    pub(in crate::gallery) fn end_erasing_all(&self, tenant: &TenantId, stamp: Option<Stamp>) -> Result<()> {
        let mut writer = self.write()?;
        self.drop_stray_suspensions(&mut writer, tenant)?;
        let mut slots = Vec::new();
        if let (Some(stamp), Some(site)) = (stamp, self.site(writer.txn())?) {
            let (key, mut document) = self.tenant_document(writer.txn(), &site, tenant)?;
            document.erased = document.erased.max(Some(stamp.clone()));
            self.put_document(&mut writer, &key, State::Tenant(document))?;
            self.put_outgoing(&mut writer, &key)?;
            for (key, ..) in self.sweep_subjects(&mut writer, tenant, &stamp, &mut slots)? {
                self.put_outgoing(&mut writer, &key)?;
            }
        }
        writer.commit(Room::Reserve)?;
        let caught_up = self.catch_up();
        self.store.erase_free(&self.vault.slots, slots)?;
        caught_up.map(drop)
    }

    /// Suspensions of a tenant's subjects who have no embedding: of an import that was cut, or of another door.
    fn drop_stray_suspensions(&self, writer: &mut Writer<'_>, tenant: &TenantId) -> Result<()> {
        let Some(row) = self.store.tenant(writer.txn(), tenant)? else { return Ok(()) };
        let all = self.store.suspended.prefix_iter(writer.txn(), &row.number.to_be_bytes())?;
        let all = all.map(|entry| Ok(entry?.0.to_vec())).collect::<Result<Vec<_>>>()?;
        for key in all {
            if self.store.subjects.prefix_iter(writer.txn(), &key)?.next().is_none() {
                self.store.suspended.delete(writer.txn(), &key)?;
            }
        }
        Ok(())
    }

    /// Finishes what a crash may have interrupted: whatever a tenant's erasure covers is gone.
    pub(super) fn sweep(&self) -> Result<()> {
        let mut erased = Vec::new();
        {
            let txn = self.store.read()?;
            for row in self.store.documents.iter(&txn)? {
                if let State::Tenant(document) = Row::parse(row?.1)?.state
                    && let (Ok(tenant), Some(stamp)) = (document.tenant.parse::<TenantId>(), document.erased)
                {
                    erased.push((tenant, stamp));
                }
            }
        }
        for (tenant, stamp) in erased {
            let mut writer = self.write()?;
            let mut slots = Vec::new();
            let moved = self.sweep_subjects(&mut writer, &tenant, &stamp, &mut slots)?;
            if moved.is_empty() {
                continue;
            }
            for (key, ..) in moved {
                self.put_outgoing(&mut writer, &key)?;
            }
            writer.commit(Room::Reserve)?;
            let caught_up = self.catch_up();
            self.store.erase_free(&self.vault.slots, slots)?;
            caught_up?;
        }
        Ok(())
    }

    /// Erases whatever of a tenant is not later than the stamp; gives the documents that changed.
    pub(super) fn sweep_subjects(
        &self,
        writer: &mut Writer<'_>,
        tenant: &TenantId,
        stamp: &Stamp,
        slots: &mut Vec<u32>,
    ) -> Result<Vec<Moved>> {
        let mut theirs = Vec::new();
        for row in self.store.documents.iter(writer.txn())? {
            let (key, value) = row?;
            let row = Row::parse(value)?;
            let of = match &row.state {
                State::Subject(subject) => subject.owner.as_ref().map(|owner| owner.tenant.as_str()),
                State::Rules(rules) => Some(rules.tenant.as_str()),
                State::Tenant(_) => None,
            };
            if of == Some(tenant.as_str()) {
                theirs.push((parse_key(key)?, row));
            }
        }
        let mut moved = Vec::new();
        for (key, row) in theirs {
            let own = self.compose(writer.txn(), &row.state)?;
            let mut document = own.clone();
            document.erase_until(stamp);
            if document != own {
                let hash = document.hash(&key);
                self.materialise(writer, &key, Some(&own), &document, hash, slots)?;
                moved.push((key, row.hash, hash));
            }
        }
        Ok(moved)
    }
}
