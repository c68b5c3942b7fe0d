//! The truth: an LMDB environment, its databases and its one way of writing.
//!
//! # Layout, format 1
//!
//! Numbers in keys are big-endian, so that they sort; numbers in values are little-endian.
//!
//! | database | key | value |
//! | --- | --- | --- |
//! | `meta` | `format` | u32, this layout's version; a newer one is refused |
//! | | `key_check` | 32 bytes that tell the right `master.key` from another |
//! | | `next_id`, `next_slot`, `next_tenant` | u64: the next internal id, slot and tenant number never used so far |
//! | | `max_faces.N` | u64: the most embeddings of the tenant with number N; none: no limit |
//! | `tenants` | the tenant's name | its number u32, the slot of its secret u32 (0 while it has no record) |
//! | `records` | internal id u64 | a record, see [`record`](super::record) |
//! | `ids` | tenant u32, embedding id 16 bytes | internal id u64 |
//! | `subjects` | tenant u32, subject, a zero byte, embedding id 16 bytes | internal id u64, active u8 |
//! | `keys` | the API key's public id | see [`keys`](super::keys) |
//! | `access` | tenant u32, subject's digest u64 | rules, sealed; digest 0 is all but subjects. See [`access`](super::access) |
//! | `presence` | tenant u32, subject's digest u64 | where a subject is, sealed |
//! | `seen` | tenant u32, subject's digest u64 | where and when a subject was recognised last, sealed |
//! | `suspended` | tenant u32, subject, a zero byte | since when nobody is to recognise them, microseconds since 1970, i64 |
//! | `photographs` | internal id u64 | the photograph of an enrolment, sealed, see [`photographs`](super::photographs) |
//! | `requests` | see [`requests`](super::requests) | requests that are done once however often they are sent |
//! | `log` | sequence u64 | what changed u8, tenant u32, internal id or digest u64; the newest [`LOG_KEPT`](log::LOG_KEPT) entries |
//! | `documents` | a document's key, 16 bytes | stamps of what the doors of a site share, see [`replication`](super::replication) |
//! | `outgoing` | the same | u64: a document that changed and is to be published; its version |
//! | `slots` | slot u32 | nothing; the slots of `seal.keys` that are free, see [`slots`](super::slots) |
//!
//! Internal ids are never used twice, not even after a deletion or a crash: the counter moves in the transaction that
//! stores the record. The log is how other processes learn what to change in their indexes.
//!
//! # Size
//!
//! The map is opened at its full size: it takes address space, neither disk nor memory. Where another process lets the file
//! grow further than that, it is taken over ([`map`]). It is larger than
//! [`Settings::max_mb`](super::Settings) by a reserve, because LMDB copies pages even in order to delete. Enrolments stop
//! where the databases fill `max_mb`, deletions may use the reserve: a full gallery can always be made smaller.
//!
//! # `unsafe`
//!
//! Opening a memory map is the one unsafe call: whoever changes the file behind LMDB's back changes memory. The folder
//! belongs to the daemon's user alone, and LMDB's own lock file keeps processes of ours apart.

mod errors;
mod log;
mod map;
mod opening;
mod tables;
mod writer;

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::{Path, PathBuf},
};

use heed::{Env, EnvOpenOptions, RoTxn, WithoutTls};

#[cfg(test)]
pub(super) use self::log::LOG_KEPT;
use self::{
    errors::{RESTORE, cannot_open},
    map::{Hold, Map},
    opening::{make_dir, refuse_truncated, refuse_unknown_format},
};
pub(super) use self::{
    errors::{is_full, storage_full},
    log::{Change, Entry},
    opening::sync_dir,
    tables::{Table, Tables},
    writer::{Room, Writer},
};
use super::{ids::TenantId, slots::SlotFile};
use crate::error::{Error, Kind, Result};

/// The layout that this program reads and writes.
pub(super) const FORMAT: u32 = 1;

/// LMDB wants whole pages; 64 KiB is a multiple of every page size of the boards that we know.
const MAP_UNIT: u64 = 64 << 10;

/// Room for more databases than there are: the environment does not remember it.
const MOST_TABLES: u32 = 32;

/// A view of the store as it was when the transaction began.
pub(super) type View<'e> = RoTxn<'e>;

/// A tenant's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tenant {
    pub name: TenantId,
    pub number: u32,
    /// The slot of its secret; 0 while it has no record.
    pub slot: u32,
}

/// A transaction that reads, with the map beneath it.
pub(super) struct Reading<'s> {
    txn: RoTxn<'s, WithoutTls>,
    _map: Hold<'s>,
}

impl<'s> Deref for Reading<'s> {
    type Target = View<'s>;

    fn deref(&self) -> &View<'s> {
        &self.txn
    }
}

/// The open store.
pub(super) struct Store {
    env: Env<WithoutTls>,
    map: Map,
    dir: PathBuf,
    max_bytes: u64,
    tables: Tables,
}

impl Deref for Store {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
    }
}

impl Store {
    /// Opens the environment in `dir`, making both where they are missing. Refuses a layout that it does not know.
    pub fn open(dir: &Path, max_mb: u32) -> Result<Self> {
        make_dir(dir)?;
        // A new lock file is mapped before it is written: on a full disk that would end the process by SIGBUS.
        if !dir.join("lock.mdb").exists() && disk_is_full(dir) {
            return Err(storage_full());
        }
        let max_bytes = u64::from(max_mb) << 20;
        let reserve = (max_bytes / 8).max(4 << 20);
        // Where `max_mb` was lowered below what is there, deleting needs its reserve all the same.
        let there = std::fs::metadata(dir.join("data.mdb")).map_or(0, |file| file.len());
        let map = (max_bytes.max(there) + reserve).next_multiple_of(MAP_UNIT);
        let map = usize::try_from(map).map_err(|_| {
            Error::new(Kind::Config, format!("gallery.max_mb = {max_mb} is more than this machine can address"))
        })?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map).max_dbs(MOST_TABLES).max_readers(512);
        // SAFETY: see the head of this file.
        #[allow(unsafe_code)]
        let env = unsafe { options.open(dir) }.map_err(|error| cannot_open(dir, error))?;
        refuse_truncated(&env, dir)?;
        env.clear_stale_readers()?;
        refuse_unknown_format(&env, dir)?;
        let tables = Tables::open(&env)?;
        Ok(Self { env, map: Map::new(), dir: dir.to_owned(), max_bytes, tables })
    }

    /// The bytes that enrolments may fill.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Begins to read. Keep it short: what a reader may still see is not reused.
    pub fn read(&self) -> Result<Reading<'_>> {
        let (txn, map) = self.map.begin(&self.env, |env| env.read_txn())?;
        Ok(Reading { txn, _map: map })
    }

    /// Begins to write, once no other thread or process does.
    pub fn write<'s>(&'s self, slots: &'s SlotFile) -> Result<Writer<'s>> {
        let (txn, map) = self.map.begin(&self.env, |env| env.write_txn())?;
        Ok(Writer {
            txn: Some(txn),
            _map: map,
            store: self,
            slots,
            taken: Vec::new(),
            released: Vec::new(),
            counters: BTreeMap::new(),
            logged: None,
            no_slot_free: false,
        })
    }

    /// The newest transaction that any process committed; 0, which none is, where the store cannot be used any more. Costs a
    /// memory access.
    pub fn newest_transaction(&self) -> usize {
        self.map.hold().map_or(0, |_hold| self.env.info().last_txn_id)
    }

    /// A number of `meta`; 0 where it was never set.
    pub fn counter(&self, txn: &View<'_>, name: &str) -> Result<u64> {
        Ok(self.meta.get(txn, name.as_bytes())?.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes))
    }

    /// The row of a tenant.
    pub fn tenant(&self, txn: &View<'_>, name: &TenantId) -> Result<Option<Tenant>> {
        self.tenants
            .get(txn, name.as_str().as_bytes())?
            .map(|row| tenant_row(name.as_str().as_bytes(), row))
            .transpose()
    }

    /// All tenants, by name.
    pub fn all_tenants(&self, txn: &View<'_>) -> Result<Vec<Tenant>> {
        self.tenants
            .iter(txn)?
            .map(|row| {
                let (name, row) = row?;
                tenant_row(name, row)
            })
            .collect()
    }

    /// Whether a slot of `seal.keys` is in nobody's use.
    pub fn slot_is_free(&self, txn: &View<'_>, slot: u32) -> Result<bool> {
        let never_used = u64::from(slot) >= self.counter(txn, "next_slot")?;
        Ok(never_used || self.free_slots.get(txn, &slot.to_be_bytes())?.is_some())
    }

    /// Overwrites those of `slots` that are in nobody's use, durably. Holds the write lock meanwhile, so that no other
    /// process can take one of them at the same time.
    pub fn erase_free(&self, file: &SlotFile, slots: impl IntoIterator<Item = u32>) -> Result<()> {
        let mut slots = slots.into_iter().peekable();
        if slots.peek().is_none() {
            return Ok(());
        }
        let (txn, _map) = self.map.begin(&self.env, |env| env.write_txn())?;
        let mut erased = false;
        for slot in slots {
            if self.slot_is_free(&txn, slot)? && file.get(slot)?.is_some() {
                file.erase(slot)?;
                erased = true;
            }
        }
        if erased { file.sync() } else { Ok(()) }
    }

    /// The length of the file as LMDB counts, the size of its pages, and those that are in use as the file has it.
    #[cfg(test)]
    pub fn pages_in_use(&self) -> Result<(u64, usize, Option<std::collections::HashSet<usize>>)> {
        let file = std::fs::File::open(self.dir.join("data.mdb"))
            .map_err(|error| Error::new(Kind::Store, "data.mdb").source(error))?;
        let txn = self.read()?;
        let page_size = opening::page_size(&self.env);
        Ok((opening::counted_bytes(&self.env), page_size, super::pages::in_use(&file, page_size, txn.id())))
    }
}

/// Whether so little is left that a write of a few pages can fail.
fn disk_is_full(dir: &Path) -> bool {
    const ALMOST_NOTHING: u64 = 256 << 10;
    rustix::fs::statvfs(dir).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < ALMOST_NOTHING)
}

fn tenant_row(name: &[u8], row: &[u8]) -> Result<Tenant> {
    let damaged = || Error::new(Kind::Store, "a tenant's row in the gallery is damaged").help(RESTORE);
    let name = std::str::from_utf8(name).map_err(|_| damaged())?.parse()?;
    let row: [u8; 8] = row.try_into().map_err(|_| damaged())?;
    let [a, b, c, d, e, f, g, h] = row;
    Ok(Tenant { name, number: u32::from_le_bytes([a, b, c, d]), slot: u32::from_le_bytes([e, f, g, h]) })
}
