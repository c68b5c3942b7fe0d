//! The one way of writing: a transaction that leaves nothing behind unless it is committed.

use std::collections::BTreeMap;

use heed::{MdbError, RwTxn};

use super::{
    Store, Tenant, disk_is_full,
    errors::{EIO, storage_full},
    map::Hold,
};
use crate::{
    error::{Context, Error, Kind, Result},
    gallery::{ids::TenantId, slots::SlotFile},
};

/// Which part of the map a transaction may fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gallery) enum Room {
    /// `max_mb`: what makes the gallery grow.
    Configured,
    /// The reserve too: what makes it smaller, or leaves its size alone.
    Reserve,
}

/// A write transaction. Dropped without [`commit`](Self::commit), it leaves nothing behind.
pub(in crate::gallery) struct Writer<'s> {
    /// `None` only while it ends.
    pub(super) txn: Option<RwTxn<'s>>,
    pub(super) _map: Hold<'s>,
    pub(super) store: &'s Store,
    pub(super) slots: &'s SlotFile,
    /// Slots that were written in this transaction.
    pub(super) taken: Vec<u32>,
    /// Slots that this transaction gives up. Nobody's before it is committed, and not free either: what is written into a slot is
    /// there at once, and where the transaction fails their secrets are needed still.
    pub(super) released: Vec<u32>,
    /// Counters as they stand, stored by the commit: a batch counts the same few hundreds of times.
    pub(super) counters: BTreeMap<&'static str, u64>,
    /// The number of the last change in the log, where one was written.
    pub(super) logged: Option<u64>,
    /// No slot is free: none becomes so before the commit.
    pub(super) no_slot_free: bool,
}

impl<'s> Writer<'s> {
    /// The transaction itself.
    pub fn txn(&mut self) -> &mut RwTxn<'s> {
        self.txn.as_mut().expect("only commit and drop end the transaction, and both take the writer")
    }

    /// Counts one up and gives the number before: one that nobody ever had, once this is committed.
    pub fn next(&mut self, name: &'static str) -> Result<u64> {
        let store = self.store;
        let known = match self.counters.get(name) {
            Some(known) => *known,
            None => store.counter(self.txn(), name)?,
        };
        let after = after(name, known)?;
        self.counters.insert(name, after);
        Ok(after - 1)
    }

    /// Counts one up, for whoever reads the number in this transaction, or deletes it; gives it as it is then.
    pub fn count(&mut self, name: &str) -> Result<u64> {
        let store = self.store;
        let after = after(name, store.counter(self.txn(), name)?)?;
        store.meta.put(self.txn(), name.as_bytes(), &after.to_le_bytes())?;
        Ok(after)
    }

    /// Puts `secret` into a free slot.
    pub fn take_slot(&mut self, secret: &[u8; 32]) -> Result<u32> {
        let store = self.store;
        let free = match self.no_slot_free {
            true => None,
            false => {
                store.free_slots.first(self.txn())?.and_then(|(key, _)| key.try_into().ok()).map(u32::from_be_bytes)
            }
        };
        self.no_slot_free = free.is_none();
        let slot = match free {
            Some(slot) => {
                store.free_slots.delete(self.txn(), &slot.to_be_bytes())?;
                slot
            }
            None => u32::try_from(self.next("next_slot")?).context(Kind::Store, || "seal.keys has no slot left")?,
        };
        self.taken.push(slot);
        self.slots.put(slot, secret)?;
        Ok(slot)
    }

    /// Gives a slot up. Erase it with [`Store::erase_free`] after the commit.
    pub fn release_slot(&mut self, slot: u32) {
        self.released.push(slot);
    }

    /// Stores a tenant's row.
    pub fn put_tenant(&mut self, tenant: &Tenant) -> Result<()> {
        let mut row = [0; 8];
        row[..4].copy_from_slice(&tenant.number.to_le_bytes());
        row[4..].copy_from_slice(&tenant.slot.to_le_bytes());
        let store = self.store;
        Ok(store.tenants.put(self.txn(), tenant.name.as_str().as_bytes(), &row)?)
    }

    /// The tenant's row; made where it is new.
    pub fn tenant(&mut self, name: &TenantId) -> Result<Tenant> {
        let store = self.store;
        if let Some(tenant) = store.tenant(self.txn(), name)? {
            return Ok(tenant);
        }
        let number = u32::try_from(self.next("next_tenant")?).context(Kind::Store, || "there are too many tenants")?;
        let tenant = Tenant { name: name.clone(), number, slot: 0 };
        self.put_tenant(&tenant)?;
        Ok(tenant)
    }

    /// Makes it durable, or leaves nothing behind.
    pub fn commit(mut self, room: Room) -> Result<()> {
        let store = self.store;
        for slot in std::mem::take(&mut self.released) {
            store.free_slots.put(self.txn(), &slot.to_be_bytes(), &[])?;
        }
        for (name, number) in std::mem::take(&mut self.counters) {
            store.meta.put(self.txn(), name.as_bytes(), &number.to_le_bytes())?;
        }
        if room == Room::Configured && store.used_bytes(self.txn())? > store.max_bytes {
            return Err(storage_full().source(MdbError::MapFull));
        }
        if !self.taken.is_empty() {
            self.slots.sync()?;
        }
        let txn = self.txn.take().expect("only commit and drop end the transaction, and both take the writer");
        match txn.commit() {
            Ok(()) => {
                self.taken.clear();
                Ok(())
            }
            // LMDB calls a write that was cut short by a full disk an input/output error.
            Err(heed::Error::Io(error)) if error.raw_os_error() == Some(EIO) && disk_is_full(&store.dir) => {
                Err(storage_full().source(error))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The number after; the first is 2, since 0 means "none" everywhere.
fn after(name: &str, number: u64) -> Result<u64> {
    number.max(1).checked_add(1).ok_or_else(|| Error::new(Kind::Store, format!("{name} has run out")))
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if let Some(txn) = self.txn.take() {
            txn.abort();
        }
        if self.taken.is_empty() {
            return;
        }
        if let Err(error) = self.store.erase_free(self.slots, self.taken.drain(..)) {
            // They are erased when the store is opened next.
            tracing::warn!(%error, "secrets of an enrolment that failed are not erased yet");
        }
    }
}
