//! The log of changes, by which other processes follow in their indexes.

use std::ops::Bound;

use heed::PutFlags;

use super::{Store, View, Writer, errors::RESTORE};
use crate::error::{Error, Kind, Result};

/// How many changes the log keeps for other processes. Who falls further behind rebuilds its index.
pub(in crate::gallery) const LOG_KEPT: u64 = 8192;

/// What a log entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gallery) enum Change {
    /// A record was stored or became active.
    Added = 1,
    /// A record was deleted or became inactive.
    Removed = 2,
    /// The API keys changed.
    Keys = 3,
    /// The rules changed: those of the subject with this digest; 0: all of the tenant's.
    Rules = 4,
    /// Where the subject with this digest is, is forgotten; 0: where all of the tenant's are.
    Forgiven = 5,
}

/// An entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gallery) struct Entry {
    pub change: Change,
    pub tenant: u32,
    /// The internal id of a record, or the digest of a subject.
    pub id: u64,
}

impl Store {
    /// The sequence number of the newest change; 0 before the first.
    pub fn newest_change(&self, txn: &View<'_>) -> Result<u64> {
        Ok(self.log.last(txn)?.and_then(|(key, _)| key.try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// The changes after `sequence`, oldest first. `None` where some of them are no longer kept.
    pub fn changes_after(&self, txn: &View<'_>, sequence: u64) -> Result<Option<Vec<Entry>>> {
        let after = sequence.to_be_bytes();
        let range = (Bound::Excluded(after.as_slice()), Bound::Unbounded);
        let mut entries = Vec::new();
        for (expected, row) in (sequence + 1..).zip(self.log.range(txn, &range)?) {
            let (key, value) = row?;
            if key != expected.to_be_bytes() {
                return Ok(None);
            }
            entries.push(log_entry(value)?);
        }
        Ok(Some(entries))
    }
}

impl Writer<'_> {
    /// Tells other processes what changed.
    pub fn log(&mut self, change: Change, tenant: u32, id: u64) -> Result<()> {
        let store = self.store;
        let sequence = match self.logged {
            Some(last) => last,
            None => store.newest_change(self.txn())?,
        } + 1;
        let mut value = [0; 13];
        value[0] = change as u8;
        value[1..5].copy_from_slice(&tenant.to_le_bytes());
        value[5..].copy_from_slice(&id.to_le_bytes());
        store.log.put_with_flags(self.txn(), PutFlags::APPEND, &sequence.to_be_bytes(), &value)?;
        if let Some(old) = sequence.checked_sub(LOG_KEPT) {
            store.log.delete(self.txn(), &old.to_be_bytes())?;
        }
        self.logged = Some(sequence);
        Ok(())
    }
}

fn log_entry(value: &[u8]) -> Result<Entry> {
    let damaged = || Error::new(Kind::Store, "the gallery's log of changes is damaged").help(RESTORE);
    let (&change, rest) = value.split_first().ok_or_else(damaged)?;
    let (tenant, id) = rest.split_first_chunk().ok_or_else(damaged)?;
    let change = match change {
        1 => Change::Added,
        2 => Change::Removed,
        3 => Change::Keys,
        4 => Change::Rules,
        5 => Change::Forgiven,
        _ => return Err(damaged()),
    };
    let id = u64::from_le_bytes(id.try_into().map_err(|_| damaged())?);
    Ok(Entry { change, tenant: u32::from_le_bytes(*tenant), id })
}
