//! Subjects: who there is, and whether they are to be recognised.
//!
//! A subject is there as long as it has an embedding. One that is suspended has a row in `suspended` and no active embedding,
//! also none that is enrolled meanwhile: a client that sends everybody's photographs anew every night re-admits nobody.

use std::ops::Bound;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    Gallery,
    enrol::{SubjectRow, subject_key, subject_not_found, subject_value, unreadable},
    ids::{SubjectId, TenantId},
    query::check_limit,
    record::{Header, Plain, fixed_part, microseconds, timestamp},
    seal::new_secret,
    store::{Change, Room, Table, Tenant, View, Writer},
    types::{MetadataChange, SubjectChange, SubjectInfo},
};
use crate::error::Result;

impl Gallery {
    /// Some subjects, by id; at most `limit` (1 to 1000) after `after`. With them comes whether there are more.
    ///
    /// # Errors
    /// `InvalidField` for a limit out of its range.
    pub fn subjects(
        &self,
        tenant: &TenantId,
        after: Option<&SubjectId>,
        limit: usize,
    ) -> Result<(Vec<SubjectInfo>, bool)> {
        check_limit(limit)?;
        let txn = self.store.read()?;
        let Some(row) = self.store.tenant(&txn, tenant)? else { return Ok((Vec::new(), false)) };
        let mut found: Vec<SubjectInfo> = Vec::new();
        let mut after = after.cloned();
        while let Some(next) = next_name(self.store.subjects, &txn, row.number, after.as_ref())? {
            if found.len() == limit {
                return Ok((found, true));
            }
            found.extend(self.describe(&txn, tenant, &row, &next)?);
            after = Some(next);
        }
        Ok((found, false))
    }

    /// One subject.
    ///
    /// # Errors
    /// `SubjectNotFound` where the tenant has no embedding of it.
    pub fn subject(&self, tenant: &TenantId, subject: &SubjectId) -> Result<SubjectInfo> {
        let txn = self.store.read()?;
        let row = self.store.tenant(&txn, tenant)?.ok_or_else(subject_not_found)?;
        self.describe(&txn, tenant, &row, subject)?.ok_or_else(subject_not_found)
    }

    /// Changes a subject: all of it or nothing, durably. What metadata there was cannot be read again, from the disk neither.
    /// Whoever is made active again gets the newest [`keep_active`](super::Settings::keep_active) embeddings back.
    ///
    /// # Errors
    /// `SubjectNotFound` where the tenant has no embedding of it, `InvalidMetadata` where an embedding's would be too long,
    /// `StorageFull`.
    pub fn change(&self, tenant: &TenantId, subject: &SubjectId, change: &SubjectChange) -> Result<SubjectInfo> {
        let mut writer = self.write()?;
        let row = self.store.tenant(writer.txn(), tenant)?.ok_or_else(subject_not_found)?;
        if self.of_subject(writer.txn(), row.number, subject)?.is_empty() {
            return Err(subject_not_found());
        }
        let mut slots = Vec::new();
        if let Some(change) = &change.metadata {
            for entry in self.of_subject(writer.txn(), row.number, subject)? {
                slots.push(self.change_metadata(&mut writer, &row, &entry, change)?);
            }
        }
        match change.active {
            Some(true) => self.readmit(&mut writer, row.number, subject)?,
            Some(false) => self.suspend(&mut writer, row.number, subject)?,
            None => {}
        }
        self.replicate(&mut writer, &row, subject)?;
        // Whom a full gallery knows can still be suspended.
        writer.commit(if change.metadata.is_some() { Room::Configured } else { Room::Reserve })?;
        let caught_up = self.catch_up();
        self.store.erase_free(&self.vault.slots, slots)?;
        caught_up?;
        self.subject(tenant, subject)
    }

    /// Whether a subject is not to be recognised, whatever is enrolled of it.
    pub(super) fn is_suspended(&self, txn: &View<'_>, tenant: u32, subject: &SubjectId) -> Result<bool> {
        Ok(self.store.suspended.get(txn, &subject_key(tenant, subject, None))?.is_some())
    }

    /// Forgets what is known of a subject beside its embeddings, the last of which has gone.
    pub(super) fn drop_subject(
        &self,
        writer: &mut Writer<'_>,
        tenant: u32,
        subject: &SubjectId,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        self.store.suspended.delete(writer.txn(), &subject_key(tenant, subject, None))?;
        self.drop_seen(writer, tenant, subject, slots)
    }

    /// Makes all but the newest few embeddings of a subject inactive.
    pub(super) fn retire(&self, writer: &mut Writer<'_>, tenant: u32, subject: &SubjectId) -> Result<()> {
        let mut active = self.newest_first(writer.txn(), tenant, subject)?;
        active.retain(|row| row.active);
        active.iter().skip(self.settings.keep_active).try_for_each(|row| self.set_active(writer, tenant, row, false))
    }

    /// Some of those that are suspended, by id; at most `limit` after `after`. With them comes whether there are more.
    pub(super) fn suspended(
        &self,
        tenant: &TenantId,
        after: Option<&SubjectId>,
        limit: usize,
    ) -> Result<(Vec<SubjectId>, bool)> {
        let txn = self.store.read()?;
        let Some(row) = self.store.tenant(&txn, tenant)? else { return Ok((Vec::new(), false)) };
        let (mut found, mut after) = (Vec::new(), after.cloned());
        while let Some(next) = next_name(self.store.suspended, &txn, row.number, after.as_ref())? {
            if found.len() == limit {
                return Ok((found, true));
            }
            found.push(next.clone());
            after = Some(next);
        }
        Ok((found, false))
    }

    pub(super) fn suspend(&self, writer: &mut Writer<'_>, tenant: u32, subject: &SubjectId) -> Result<()> {
        let (key, since) = (subject_key(tenant, subject, None), microseconds(self.clock.wall()));
        self.store.suspended.put(writer.txn(), &key, &since.to_le_bytes())?;
        let rows = self.newest_first(writer.txn(), tenant, subject)?;
        rows.iter().filter(|row| row.active).try_for_each(|row| self.set_active(writer, tenant, row, false))
    }

    /// Where it is active already, nothing changes.
    fn readmit(&self, writer: &mut Writer<'_>, tenant: u32, subject: &SubjectId) -> Result<()> {
        let suspended = self.store.suspended.delete(writer.txn(), &subject_key(tenant, subject, None))?;
        // Not suspended and without anything active: earlier versions left it so when the active ones were deleted.
        if suspended || self.newest_first(writer.txn(), tenant, subject)?.iter().all(|row| !row.active) {
            self.activate_newest(writer, tenant, subject)?;
        }
        Ok(())
    }

    /// Makes the newest few embeddings of a subject active, where they are not.
    pub(super) fn activate_newest(&self, writer: &mut Writer<'_>, tenant: u32, subject: &SubjectId) -> Result<()> {
        let mut newest = self.newest_first(writer.txn(), tenant, subject)?;
        newest.truncate(self.settings.keep_active);
        newest.retain(|row| !row.active);
        newest.iter().try_for_each(|row| self.set_active(writer, tenant, row, true))
    }

    /// By internal id, not by embedding id: the clock that made that one may have jumped.
    fn newest_first(&self, txn: &View<'_>, tenant: u32, subject: &SubjectId) -> Result<Vec<SubjectRow>> {
        let mut rows = self.of_subject(txn, tenant, subject)?;
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        Ok(rows)
    }

    pub(super) fn set_active(
        &self,
        writer: &mut Writer<'_>,
        tenant: u32,
        row: &SubjectRow,
        active: bool,
    ) -> Result<()> {
        let bytes = self.record_bytes(writer.txn(), row.id)?;
        let (header, sealed) = Header::parse(&bytes).ok_or_else(unreadable)?;
        let mut changed = Header { active, ..header }.to_bytes()?;
        changed.extend_from_slice(sealed);
        let txn = writer.txn();
        self.store.records.put(txn, &row.id.to_be_bytes(), &changed)?;
        self.store.subjects.put(txn, &row.key, &subject_value(row.id, active))?;
        writer.log(if active { Change::Added } else { Change::Removed }, tenant, row.id)
    }

    /// Seals a record anew, with a secret of its own; gives the slot of the old one, to be erased after the commit.
    fn change_metadata(
        &self,
        writer: &mut Writer<'_>,
        tenant: &Tenant,
        row: &SubjectRow,
        change: &MetadataChange,
    ) -> Result<u32> {
        let bytes = self.record_bytes(writer.txn(), row.id)?;
        let (header, sealed) = self.unseal_record(tenant.slot, &bytes)?.ok_or_else(unreadable)?;
        let plain = Plain::parse(&sealed).ok_or_else(unreadable)?;
        let metadata = match change {
            MetadataChange::Remove => Vec::new(),
            MetadataChange::Merge(patch) => {
                let mut metadata = match plain.metadata {
                    [] => Map::new(),
                    written => serde_json::from_slice(written).map_err(|_| unreadable())?,
                };
                merge(&mut metadata, patch);
                self.check_metadata(&metadata)?;
                serde_json::to_vec(&metadata).map_err(|_| unreadable())?
            }
        };
        self.reseal(writer, tenant, header, &Plain { metadata: &metadata, ..plain }.to_bytes()?)
    }

    /// Stores a record with something else sealed in it, under a secret of its own; gives the slot of the old one, to be erased
    /// after the commit.
    pub(super) fn reseal(
        &self,
        writer: &mut Writer<'_>,
        tenant: &Tenant,
        mut header: Header,
        plain: &[u8],
    ) -> Result<u32> {
        let old = std::mem::replace(&mut header.slot, writer.take_slot(&*new_secret()?)?);
        let mut record = header.to_bytes()?;
        let sealed = self.vault.seal(tenant.slot, header.slot, fixed_part(&record), plain)?;
        record.extend_from_slice(&sealed);
        self.store.records.put(writer.txn(), &header.id.to_be_bytes(), &record)?;
        writer.release_slot(old);
        Ok(old)
    }

    /// All about a subject; `None` where it has no embedding.
    fn describe(
        &self,
        txn: &View<'_>,
        tenant: &TenantId,
        row: &Tenant,
        subject: &SubjectId,
    ) -> Result<Option<SubjectInfo>> {
        let mut headers = Vec::new();
        for entry in self.of_subject(txn, row.number, subject)? {
            let bytes = self.store.records.get(txn, &entry.id.to_be_bytes())?.ok_or_else(unreadable)?;
            let (mut header, _) = Header::parse(bytes).ok_or_else(unreadable)?;
            self.add_verifications(txn, &mut header);
            headers.push(header);
        }
        let made = || headers.iter().map(|header| header.created);
        let (Some(first), Some(last)) = (made().min(), made().max()) else { return Ok(None) };
        Ok(Some(SubjectInfo {
            subject: subject.clone(),
            active: !self.is_suspended(txn, row.number, subject)?,
            embeddings: headers.len() as u64,
            active_embeddings: headers.iter().filter(|header| header.active).count() as u64,
            first_enrolled_at: timestamp(first),
            last_enrolled_at: timestamp(last),
            verification_count: headers.iter().map(|header| header.verification_count).sum(),
            last_verified_at: headers.iter().filter_map(|header| header.last_verified).max().map(timestamp),
            last_seen: self.last_seen(txn, tenant, row.number, subject)?,
        }))
    }

    /// Whether a subject had an embedding at that time already.
    pub(super) fn was_enrolled(&self, txn: &View<'_>, tenant: u32, subject: &SubjectId, at: Timestamp) -> Result<bool> {
        for row in self.of_subject(txn, tenant, subject)? {
            let bytes = self.store.records.get(txn, &row.id.to_be_bytes())?.ok_or_else(unreadable)?;
            if Header::parse(bytes).is_some_and(|(header, _)| header.created <= microseconds(at)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The first subject after another that has rows in a table, or the first of all.
fn next_name(table: Table, txn: &View<'_>, tenant: u32, after: Option<&SubjectId>) -> Result<Option<SubjectId>> {
    let prefix = tenant.to_be_bytes();
    let mut from = prefix.to_vec();
    if let Some(after) = after {
        // Behind all rows of this one, whose ids follow a zero byte, and before those of one that begins with its name:
        // no subject has a control character.
        from.extend_from_slice(after.as_str().as_bytes());
        from.push(1);
    }
    let range = (Bound::Included(from.as_slice()), Bound::Unbounded);
    let Some(entry) = table.range(txn, &range)?.next() else { return Ok(None) };
    let Some(rest) = entry?.0.strip_prefix(&prefix) else { return Ok(None) };
    let name = rest.split(|&byte| byte == 0).next().unwrap_or_default();
    let name = std::str::from_utf8(name).map_err(|_| unreadable())?;
    Ok(Some(name.parse().map_err(|_| unreadable())?))
}

/// JSON merge patch (RFC 7396) of an object: what is null goes, objects are merged, all else takes the place of what was there.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => drop(target.shift_remove(name)),
            Value::Object(patch) => match target.entry(name).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(inner) => merge(inner, patch),
                other => {
                    let mut inner = Map::new();
                    merge(&mut inner, patch);
                    *other = Value::Object(inner);
                }
            },
            value => drop(target.insert(name.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(target: Value, patch: Value) -> Value {
        let (Value::Object(mut target), Value::Object(patch)) = (target, patch) else { unreachable!("objects") };
        merge(&mut target, &patch);
        Value::Object(target)
    }

    #[test]
    fn the_examples_of_rfc_7396_that_are_objects_come_out_as_it_says() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(merged(target.clone(), patch.clone()), result, "{target} with {patch}");
        }
    }
}
