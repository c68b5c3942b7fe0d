//! All that changes enrolments: enrolling, retention, counting, deleting. Durable when the call returns.

use std::collections::BTreeSet;

use heed::PutFlags;
use serde_json::{Map, Value};

use super::{
    Gallery,
    ids::{EmbeddingId, SubjectId, TenantId},
    record::{Header, Secret, fixed_part, microseconds},
    requests::{Done, Once},
    seal::new_secret,
    store::{Change, Room, Tenant, View, Writer},
    types::{Enrolment, NewEnrolment, Warning},
};
use crate::{
    error::{Error, Kind, Result},
    metadata::check_depth,
};

/// Longest `enrollment_source`, in bytes.
pub(super) const MAX_SOURCE_BYTES: usize = 256;

/// How many embeddings are deleted in one transaction. Bounds how long others wait for the write lock.
const DELETED_AT_ONCE: usize = 1024;

impl Gallery {
    /// Stores a face and makes it matchable, unless its subject is [suspended](Gallery::change). Older embeddings of the
    /// subject beyond [`keep_active`](super::Settings::keep_active) become inactive.
    ///
    /// # Errors
    /// `InvalidField` or `InvalidMetadata` for a value out of its range, `StorageFull` where there is no room,
    /// `CapacityReached` where the tenant may hold no more: then nothing of the request is kept.
    pub fn enroll(&self, tenant: &TenantId, new: NewEnrolment) -> Result<Enrolment> {
        self.add(new, None, |writer| writer.tenant(tenant), |_| Ok(Vec::new())).map(|done| done.enrolment)
    }

    /// As [`Gallery::enroll`], for a tenant that must be there already: a call that began before its tenant was deleted must
    /// not bring it back. What `once` names is done once. `allow` is asked last, with the subject and the template, and gives what
    /// looks wrong and is let through: while it looks at the gallery nobody else can change it, in any process.
    ///
    /// # Errors
    /// As there; `NotFound` where there is no such tenant; those of [`Gallery::done_before`] and of `allow`.
    pub fn enroll_in(
        &self,
        tenant: &TenantId,
        new: NewEnrolment,
        once: Option<&Once>,
        allow: impl FnOnce(&NewEnrolment) -> Result<Vec<Warning>>,
    ) -> Result<Done> {
        self.add(new, once, |writer| self.existing(writer.txn(), tenant), allow)
    }

    fn add(
        &self,
        new: NewEnrolment,
        once: Option<&Once>,
        tenant: impl FnOnce(&mut Writer<'_>) -> Result<Tenant>,
        allow: impl FnOnce(&NewEnrolment) -> Result<Vec<Warning>>,
    ) -> Result<Done> {
        check_score("quality_score", new.quality_score)?;
        new.liveness_score.map_or(Ok(()), |score| check_score("liveness_score", score))?;
        check_source(new.source.as_deref())?;
        new.metadata.as_ref().map_or(Ok(()), |metadata| self.check_metadata(metadata))?;

        let mut writer = self.write()?;
        let mut row = tenant(&mut writer)?;
        if let Some(once) = once
            && let Some(before) = self.find_request(writer.txn(), row.number, row.slot, once)?
        {
            return Ok(before);
        }
        let mut warnings = allow(&new)?;
        let photograph = new.photograph;
        let secret = Secret { embedding: new.embedding, source: new.source, metadata: new.metadata };
        let now = self.clock.wall();
        let active = !self.is_suspended(writer.txn(), row.number, &new.subject)?;
        warnings.extend((!active).then(Warning::suspended));
        let header = Header {
            active,
            verification_count: 0,
            last_verified: None,
            tenant: row.number,
            id: writer.next("next_id")?,
            embedding: self.new_id(now),
            slot: writer.take_slot(&*new_secret()?)?,
            created: microseconds(now),
            quality: new.quality_score,
            liveness: new.liveness_score,
            model: self.model.clone(),
            subject: new.subject,
        };
        self.check_max_faces(writer.txn(), row.number)?;
        self.put_record(&mut writer, &mut row, &header, &secret.to_bytes()?)?;
        if let Some(jpeg) = photograph.filter(|_| self.settings.keep_photographs) {
            self.put_photograph(&mut writer, &row, header.id, &jpeg)?;
        }
        if let Some(once) = once {
            self.put_request(&mut writer, &header, once, &warnings)?;
        }
        self.retire(&mut writer, row.number, &header.subject)?;
        let mut slots = Vec::new();
        self.make_room(&mut writer, &row, &header.subject, &mut slots)?;
        self.replicate(&mut writer, &row, &header.subject)?;
        writer.commit(Room::Configured)?;
        self.follow();
        self.store.erase_free(&self.vault.slots, slots)?;
        Ok(Done { enrolment: header.into_enrolment(secret), warnings, before: false })
    }

    /// Stores a new record with its rows, and a secret for its tenant where that has none. `plain` is what is to be sealed.
    pub(super) fn put_record(
        &self,
        writer: &mut Writer<'_>,
        tenant: &mut Tenant,
        header: &Header,
        plain: &[u8],
    ) -> Result<()> {
        if tenant.slot == 0 {
            tenant.slot = writer.take_slot(&*new_secret()?)?;
            writer.put_tenant(tenant)?;
        }
        let mut record = header.to_bytes()?;
        let sealed = self.vault.seal(tenant.slot, header.slot, fixed_part(&record), plain)?;
        record.extend_from_slice(&sealed);
        let txn = writer.txn();
        // Ids rise, so that it goes behind all others: then LMDB fills its pages instead of splitting them.
        self.store.records.put_with_flags(txn, PutFlags::APPEND, &header.id.to_be_bytes(), &record)?;
        self.store.ids.put(txn, &id_key(tenant.number, &header.embedding), &header.id.to_le_bytes())?;
        let key = subject_key(tenant.number, &header.subject, Some(&header.embedding));
        self.store.subjects.put(txn, &key, &subject_value(header.id, header.active))?;
        writer.log(Change::Added, tenant.number, header.id)
    }

    /// Deletes an embedding. When this returns, nobody can read or match it any more, and of those that are left the newest
    /// [`keep_active`](super::Settings::keep_active) of its subject are active, unless it is suspended.
    ///
    /// # Errors
    /// `EmbeddingNotFound` where the tenant has no such embedding.
    pub fn delete_embedding(&self, tenant: &TenantId, id: &EmbeddingId) -> Result<()> {
        let mut writer = self.write()?;
        let row = self.store.tenant(writer.txn(), tenant)?.ok_or_else(embedding_not_found)?;
        let internal = self.internal_id(writer.txn(), &row, id)?;
        self.delete(writer, row, &[internal], Vec::new(), false)
    }

    /// Deletes all embeddings of a subject, active or not, and with them its rules and where it is: whoever is given the same
    /// id later inherits nothing. Gives how many embeddings there were.
    ///
    /// # Errors
    /// `SubjectNotFound` where the tenant has none.
    pub fn delete_subject(&self, tenant: &TenantId, subject: &SubjectId) -> Result<usize> {
        let mut deleted = 0;
        let mut newest = None;
        loop {
            let mut writer = self.write()?;
            let Some(row) = self.store.tenant(writer.txn(), tenant)? else { break };
            // What is enrolled while this runs stays, or this might never end.
            let newest = match newest {
                Some(newest) => newest,
                None => *newest.insert(self.store.counter(writer.txn(), "next_id")?),
            };
            let rows = self.of_subject(writer.txn(), row.number, subject)?;
            let ids = rows.iter().map(|row| row.id).filter(|&id| id < newest).take(DELETED_AT_ONCE);
            let ids: Vec<u64> = ids.collect();
            if ids.is_empty() {
                break;
            }
            let mut slots = Vec::new();
            self.drop_access(&mut writer, row.number, subject, &mut slots)?;
            self.delete(writer, row, &ids, slots, true)?;
            deleted += ids.len();
        }
        if deleted == 0 { Err(subject_not_found()) } else { Ok(deleted) }
    }

    /// Deletes all embeddings of a tenant, and the rules and whereabouts of all its subjects; gives how many embeddings there
    /// were. Its API keys stay, and its groups, schedules and doors.
    pub fn delete_all(&self, tenant: &TenantId) -> Result<usize> {
        let (newest, erased) = self.begin_erasing_all(tenant)?;
        self.drop_all_subjects(tenant)?;
        let mut deleted = 0;
        loop {
            let mut writer = self.write()?;
            let Some(row) = self.store.tenant(writer.txn(), tenant)? else { break };
            let mut ids = Vec::new();
            for entry in self.store.ids.prefix_iter(writer.txn(), &row.number.to_be_bytes())? {
                let id = internal_id(entry?.1)?;
                if id < newest {
                    ids.push(id);
                }
                if ids.len() == DELETED_AT_ONCE {
                    break;
                }
            }
            if ids.is_empty() {
                break;
            }
            self.delete(writer, row, &ids, Vec::new(), true)?;
            deleted += ids.len();
        }
        self.end_erasing_all(tenant, erased)?;
        Ok(deleted)
    }

    /// Deletes the records, commits, and overwrites their secrets and those in `slots` before it returns. A subject of whom
    /// nothing is left is erased in the whole fleet where `erasing`, else only what is deleted is gone there.
    fn delete(
        &self,
        mut writer: Writer<'_>,
        mut row: Tenant,
        ids: &[u64],
        mut slots: Vec<u32>,
        erasing: bool,
    ) -> Result<()> {
        let mut subjects = BTreeSet::new();
        for &id in ids {
            subjects.insert(self.remove_record(&mut writer, &row, id, &mut slots)?);
        }
        for subject in &subjects {
            // Of somebody who is being erased nothing comes back, not for a moment.
            if !erasing && !self.is_suspended(writer.txn(), row.number, subject)? {
                self.activate_newest(&mut writer, row.number, subject)?;
            }
            if erasing && self.of_subject(writer.txn(), row.number, subject)?.is_empty() {
                self.replicate_erasure(&mut writer, &row, subject)?;
            } else {
                self.replicate(&mut writer, &row, subject)?;
            }
        }
        self.release_if_empty(&mut writer, &mut row, &mut slots)?;
        writer.commit(Room::Reserve)?;
        let caught_up = self.catch_up();
        self.store.erase_free(&self.vault.slots, slots)?;
        caught_up.map(drop)
    }

    /// Takes a record out with all its rows, and with the last one what is known of its subject; gives whose it was. Slots to
    /// be erased after the commit are added to `slots`.
    pub(super) fn remove_record(
        &self,
        writer: &mut Writer<'_>,
        row: &Tenant,
        id: u64,
        slots: &mut Vec<u32>,
    ) -> Result<SubjectId> {
        let bytes = self.record_bytes(writer.txn(), id)?;
        let (header, _) = Header::parse(&bytes).ok_or_else(unreadable)?;
        let txn = writer.txn();
        self.store.records.delete(txn, &id.to_be_bytes())?;
        self.store.ids.delete(txn, &id_key(row.number, &header.embedding))?;
        self.store.subjects.delete(txn, &subject_key(row.number, &header.subject, Some(&header.embedding)))?;
        writer.release_slot(header.slot);
        slots.push(header.slot);
        self.drop_photograph(writer, id, slots)?;
        self.drop_request(writer, id)?;
        writer.log(Change::Removed, row.number, id)?;
        let rest = subject_key(row.number, &header.subject, None);
        if self.store.subjects.prefix_iter(writer.txn(), &rest)?.next().is_none() {
            self.drop_subject(writer, row.number, &header.subject, slots)?;
        }
        Ok(header.subject)
    }

    /// Gives up the secret of a tenant that has no embedding left: there is nothing that it could open, and with it goes
    /// whatever still lingers in free pages.
    pub(super) fn release_if_empty(
        &self,
        writer: &mut Writer<'_>,
        row: &mut Tenant,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let emptied = self.store.ids.prefix_iter(writer.txn(), &row.number.to_be_bytes())?.next().is_none();
        if emptied && row.slot != 0 {
            writer.release_slot(row.slot);
            slots.push(row.slot);
            row.slot = 0;
            writer.put_tenant(row)?;
        }
        Ok(())
    }

    /// All embeddings of a subject, by embedding id.
    pub(super) fn of_subject(&self, txn: &View<'_>, tenant: u32, subject: &SubjectId) -> Result<Vec<SubjectRow>> {
        let prefix = subject_key(tenant, subject, None);
        let rows = self.store.subjects.prefix_iter(txn, &prefix)?;
        rows.map(|row| {
            let (key, value) = row?;
            let (id, active) = parse_subject_value(value)?;
            Ok(SubjectRow { key: key.to_vec(), id, active })
        })
        .collect()
    }

    pub(super) fn internal_id(&self, txn: &View<'_>, tenant: &Tenant, id: &EmbeddingId) -> Result<u64> {
        internal_id(self.store.ids.get(txn, &id_key(tenant.number, id))?.ok_or_else(embedding_not_found)?)
    }

    pub(super) fn record_bytes(&self, txn: &View<'_>, id: u64) -> Result<Vec<u8>> {
        Ok(self.store.records.get(txn, &id.to_be_bytes())?.ok_or_else(unreadable)?.to_vec())
    }

    pub(super) fn write(&self) -> Result<Writer<'_>> {
        self.store.write(&self.vault.slots)
    }

    /// Catches up after a commit. What is committed stays committed, so an error here is no error of the request; the next
    /// call that needs the index tries again and tells.
    fn follow(&self) {
        if let Err(error) = self.catch_up() {
            tracing::error!(%error, "the index could not follow the store");
        }
    }

    /// Of what comes from a client.
    pub(super) fn check_metadata(&self, metadata: &Map<String, Value>) -> Result<()> {
        check_depth("metadata", metadata)?;
        self.check_metadata_size(metadata)
    }

    /// Of what another gallery had taken, perhaps before there was a limit to its depth.
    pub(super) fn check_metadata_size(&self, metadata: &Map<String, Value>) -> Result<()> {
        let most = self.settings.max_metadata_bytes;
        let length = serde_json::to_vec(metadata).map_or(usize::MAX, |json| json.len());
        if length > most {
            return Err(Error::new(Kind::InvalidMetadata, format!("metadata must be at most {most} bytes of JSON")));
        }
        Ok(())
    }
}

/// A row of `subjects`.
pub(super) struct SubjectRow {
    pub key: Vec<u8>,
    pub id: u64,
    pub active: bool,
}

impl SubjectRow {
    /// The embedding's id, with which the key ends.
    pub fn embedding(&self) -> [u8; 16] {
        self.key.last_chunk().copied().unwrap_or_default()
    }
}

/// A key of `ids`.
pub(super) fn id_key(tenant: u32, id: &EmbeddingId) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&tenant.to_be_bytes());
    key[4..].copy_from_slice(id.as_bytes());
    key
}

/// A key of `subjects`, or the prefix of all keys of a subject. The zero byte, which no subject contains, keeps `a` apart
/// from `ab`.
pub(super) fn subject_key(tenant: u32, subject: &SubjectId, id: Option<&EmbeddingId>) -> Vec<u8> {
    let mut key = tenant.to_be_bytes().to_vec();
    key.extend_from_slice(subject.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(id.map_or(&[], |id| id.as_bytes()));
    key
}

pub(super) fn subject_value(id: u64, active: bool) -> [u8; 9] {
    let mut value = [u8::from(active); 9];
    value[..8].copy_from_slice(&id.to_le_bytes());
    value
}

pub(super) fn parse_subject_value(value: &[u8]) -> Result<(u64, bool)> {
    match value {
        [id @ .., active] => Ok((internal_id(id)?, *active == 1)),
        [] => Err(unreadable()),
    }
}

/// Reads an internal id from a value.
pub(super) fn internal_id(value: &[u8]) -> Result<u64> {
    value.try_into().map(u64::from_le_bytes).map_err(|_| unreadable())
}

/// A record or row that is not as it was written.
pub(super) fn unreadable() -> Error {
    Error::new(Kind::Store, "the gallery holds a record that cannot be read").help("run facegate check: it says which")
}

pub(super) fn embedding_not_found() -> Error {
    Error::new(Kind::EmbeddingNotFound, "there is no embedding with this id")
}

pub(super) fn subject_not_found() -> Error {
    Error::new(Kind::SubjectNotFound, "nobody is enrolled under this subject_id")
}

pub(super) fn check_score(name: &str, score: f32) -> Result<()> {
    if (0.0..=1.0).contains(&score) {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidField, format!("{name} must be a number from 0 to 1")))
}

pub(super) fn check_source(source: Option<&str>) -> Result<()> {
    if source.is_none_or(|source| source.len() <= MAX_SOURCE_BYTES) {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidField, format!("enrollment_source must be at most {MAX_SOURCE_BYTES} bytes")))
}
