//! How rules and whereabouts lie in the store.
//!
//! A row's key is the tenant's number and a digest of the subject's id (0 for what is not of one subject: all other rules).
//! Its value is a version u8, the slot of its secret u32, and JSON sealed with that secret: the id, the groups and where
//! somebody is are as unreadable without the keys as templates are, and gone when the secret is.

use zeroize::Zeroizing;

use crate::{
    error::Result,
    gallery::{
        Gallery,
        ids::SubjectId,
        seal::new_secret,
        store::{Table, View, Writer},
    },
};

/// The version of a row's form.
const VERSION: u8 = 1;

/// Bytes before the sealed part.
const HEAD: usize = 5;

/// The digest of the row that is of no single subject.
pub(in crate::gallery) const OF_ALL: u64 = 0;

/// A row, for the proof that all is well.
pub(in crate::gallery) struct Checked {
    pub tenant: Option<u32>,
    pub slot: Option<u32>,
    pub readable: bool,
}

/// One of the tables of sealed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gallery) enum Of {
    Rules,
    Presence,
    /// When a subject was recognised last, see [`seen`](crate::gallery::seen).
    Seen,
}

/// A row's key.
pub(in crate::gallery) type Key = [u8; 12];

/// What lies at a key.
pub(in crate::gallery) enum Row {
    Missing,
    /// It or its secret is not as it was written.
    Unreadable,
    Readable(Zeroizing<Vec<u8>>),
}

/// The key of a tenant's row.
pub(in crate::gallery) fn key(tenant: u32, digest: u64) -> Key {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&tenant.to_be_bytes());
    key[4..].copy_from_slice(&digest.to_be_bytes());
    key
}

/// The tenant and the digest of a key.
pub(super) fn parse_key(key: &[u8]) -> Option<(u32, u64)> {
    let (tenant, digest) = key.split_first_chunk()?;
    Some((u32::from_be_bytes(*tenant), u64::from_be_bytes(digest.try_into().ok()?)))
}

/// The slot of a row's secret.
pub(super) fn slot_of(value: &[u8]) -> Option<u32> {
    let (head, _) = value.split_at_checked(HEAD)?;
    let (&version, slot) = head.split_first()?;
    (version == VERSION).then_some(u32::from_le_bytes(slot.try_into().ok()?))
}

/// What the seal vouches for beside the content: that the row lies in its place.
fn known(of: Of, key: &Key) -> Vec<u8> {
    let mut known = match of {
        Of::Rules => b"rules".to_vec(),
        Of::Presence => b"presence".to_vec(),
        Of::Seen => b"seen".to_vec(),
    };
    known.extend_from_slice(key);
    known
}

impl Gallery {
    /// What stands for a subject in keys and in the log: its id cannot be read from it. Never [`OF_ALL`].
    pub(in crate::gallery) fn digest(&self, tenant: u32, subject: &str) -> u64 {
        self.vault.digest(tenant, subject.as_bytes()).max(1)
    }

    pub(super) fn table(&self, of: Of) -> Table {
        match of {
            Of::Rules => self.store.access,
            Of::Presence => self.store.presence,
            Of::Seen => self.store.seen,
        }
    }

    /// Reads a row.
    pub(in crate::gallery) fn row(&self, txn: &View<'_>, of: Of, key: &Key) -> Result<Row> {
        match self.table(of).get(txn, key)? {
            None => Ok(Row::Missing),
            Some(value) => self.open_row(of, key, value),
        }
    }

    /// Opens a row's value.
    pub(super) fn open_row(&self, of: Of, key: &Key, value: &[u8]) -> Result<Row> {
        let (Some(slot), Some(sealed)) = (slot_of(value), value.get(HEAD..)) else { return Ok(Row::Unreadable) };
        let plain = self.vault.unseal(slot, slot, &known(of, key), sealed)?;
        Ok(plain.map_or(Row::Unreadable, Row::Readable))
    }

    /// Stores a row, sealed with the secret that it had, or with a new one.
    pub(in crate::gallery) fn put_row(&self, writer: &mut Writer<'_>, of: Of, key: &Key, plain: &[u8]) -> Result<()> {
        let table = self.table(of);
        let before = table.get(writer.txn(), key)?.and_then(slot_of);
        let slot = match before {
            Some(slot) if self.vault.slots.get(slot)?.is_some() => slot,
            _ => writer.take_slot(&*new_secret()?)?,
        };
        let sealed = self.vault.seal(slot, slot, &known(of, key), plain)?;
        let mut value = Vec::with_capacity(HEAD + sealed.len());
        value.push(VERSION);
        value.extend(slot.to_le_bytes());
        value.extend_from_slice(&sealed);
        Ok(table.put(writer.txn(), key, &value)?)
    }

    /// Deletes a row, if it is there. Its slot is added to `slots`: it is to be erased after the commit.
    pub(in crate::gallery) fn delete_row(
        &self,
        writer: &mut Writer<'_>,
        of: Of,
        key: &Key,
        slots: &mut Vec<u32>,
    ) -> Result<bool> {
        let table = self.table(of);
        let Some(value) = table.get(writer.txn(), key)? else { return Ok(false) };
        let slot = slot_of(value);
        table.delete(writer.txn(), key)?;
        if let Some(slot) = slot {
            writer.release_slot(slot);
            slots.push(slot);
        }
        Ok(true)
    }

    /// The digests of a tenant's rows, that of [`OF_ALL`] among them, in order; at most `limit` after `after`.
    pub(super) fn digests(
        &self,
        txn: &View<'_>,
        of: Of,
        tenant: u32,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<u64>> {
        use std::ops::Bound;

        let first = key(tenant, after.unwrap_or(0));
        let last = key(tenant, u64::MAX);
        let from = if after.is_some() { Bound::Excluded(first.as_slice()) } else { Bound::Included(first.as_slice()) };
        let range = (from, Bound::Included(last.as_slice()));
        let rows = self.table(of).range(txn, &range)?;
        rows.take(limit).map(|row| Ok(parse_key(row?.0).map_or(OF_ALL, |(_, digest)| digest))).collect()
    }

    /// Every row with what it is called, for the proof that all is well.
    pub(in crate::gallery) fn access_rows(&self, txn: &View<'_>) -> Result<Vec<(String, Checked)>> {
        let mut rows = Vec::new();
        for of in [Of::Rules, Of::Presence, Of::Seen] {
            for row in self.table(of).iter(txn)? {
                let (place, value) = row?;
                let parsed = parse_key(place);
                let name = match (of, parsed) {
                    (Of::Rules, Some((_, OF_ALL))) => "the rules".to_owned(),
                    (Of::Rules, _) => "the rules of a subject".to_owned(),
                    (Of::Presence, _) => "the whereabouts of a subject".to_owned(),
                    (Of::Seen, _) => "the last recognitions of a subject".to_owned(),
                };
                let readable = match parsed {
                    Some((tenant, digest)) => {
                        matches!(self.open_row(of, &key(tenant, digest), value)?, Row::Readable(_))
                    }
                    None => false,
                };
                rows.push((name, Checked { tenant: parsed.map(|(tenant, _)| tenant), slot: slot_of(value), readable }));
            }
        }
        Ok(rows)
    }

    /// Deletes what is known of a subject beside its enrolments, within the transaction that deletes those.
    pub(in crate::gallery) fn drop_access(
        &self,
        writer: &mut Writer<'_>,
        tenant: u32,
        subject: &SubjectId,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let digest = self.digest(tenant, subject.as_str());
        self.drop_digest(writer, tenant, digest, slots)
    }

    /// The same by digest.
    pub(super) fn drop_digest(
        &self,
        writer: &mut Writer<'_>,
        tenant: u32,
        digest: u64,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        use crate::gallery::store::Change;

        let key = key(tenant, digest);
        if self.delete_row(writer, Of::Rules, &key, slots)? {
            self.count_up(writer, tenant)?;
            writer.log(Change::Rules, tenant, digest)?;
        }
        self.delete_row(writer, Of::Presence, &key, slots)?;
        // Also where nothing is stored: a daemon may know of a passage that is not stored yet.
        writer.log(Change::Forgiven, tenant, digest)
    }
}
