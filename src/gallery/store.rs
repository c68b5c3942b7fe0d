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
//! | `log` | sequence u64 | what changed u8, tenant u32, internal id or digest u64; the newest [`LOG_KEPT`] entries |
//! | `slots` | slot u32 | nothing; the slots of `seal.keys` that are free, see [`slots`](super::slots) |
//!
//! Internal ids are never used twice, not even after a deletion or a crash: the counter moves in the transaction that
//! stores the record. The log is how other processes learn what to change in their indexes.
//!
//! # Size
//!
//! The map is opened once, at its full size: it takes address space, neither disk nor memory. It is larger than
//! [`Settings::max_mb`](super::Settings) by a reserve, because LMDB copies pages even in order to delete. Enrolments stop
//! where the databases fill `max_mb`, deletions may use the reserve: a full gallery can always be made smaller.
//!
//! # `unsafe`
//!
//! Opening a memory map is the one unsafe call: whoever changes the file behind LMDB's back changes memory. The folder
//! belongs to the daemon's user alone, and LMDB's own lock file keeps processes of ours apart.

use std::{
    fs::File,
    io::ErrorKind,
    ops::Bound,
    path::{Path, PathBuf},
};

use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, MdbError, PutFlags, RoTxn, RwTxn, WithoutTls, types::Bytes};

use super::{ids::TenantId, pages, slots::SlotFile};
use crate::{
    error::{Context, Error, Kind, Result},
    storage,
};

/// The layout that this program reads and writes.
pub(super) const FORMAT: u32 = 1;

/// How many changes the log keeps for other processes. Who falls further behind rebuilds its index.
pub(super) const LOG_KEPT: u64 = 8192;

/// LMDB wants whole pages; 64 KiB is a multiple of every page size of the boards that we know.
const MAP_UNIT: u64 = 64 << 10;

/// Any database of the environment: the codecs are ours.
pub(super) type Table = Database<'static, Bytes, Bytes>;

/// A view of the store as it was when the transaction began.
pub(super) type View<'e> = RoTxn<'e>;

/// What a log entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
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
pub(super) struct Entry {
    pub change: Change,
    pub tenant: u32,
    /// The internal id of a record, or the digest of a subject.
    pub id: u64,
}

/// A tenant's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tenant {
    pub name: TenantId,
    pub number: u32,
    /// The slot of its secret; 0 while it has no record.
    pub slot: u32,
}

/// Which part of the map a transaction may fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// `max_mb`: what makes the gallery grow.
    Configured,
    /// The reserve too: what makes it smaller, or leaves its size alone.
    Reserve,
}

/// The open store.
pub(super) struct Store {
    env: Env<WithoutTls>,
    dir: PathBuf,
    max_bytes: u64,
    pub meta: Table,
    pub tenants: Table,
    pub records: Table,
    pub ids: Table,
    pub subjects: Table,
    pub keys: Table,
    pub access: Table,
    pub presence: Table,
    pub seen: Table,
    pub suspended: Table,
    pub photographs: Table,
    pub requests: Table,
    log: Table,
    free_slots: Table,
}

impl Store {
    /// Opens the environment in `dir`, making both where they are missing. Refuses a layout that it does not know.
    pub fn open(dir: &Path, max_mb: u32) -> Result<Self> {
        make_dir(dir)?;
        let max_bytes = u64::from(max_mb) << 20;
        let reserve = (max_bytes / 8).max(4 << 20);
        // Where `max_mb` was lowered below what is there, deleting needs its reserve all the same.
        let there = std::fs::metadata(dir.join("data.mdb")).map_or(0, |file| file.len());
        let map = (max_bytes.max(there) + reserve).next_multiple_of(MAP_UNIT);
        let map = usize::try_from(map).map_err(|_| {
            Error::new(Kind::Config, format!("gallery.max_mb = {max_mb} is more than this machine can address"))
        })?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map).max_dbs(16).max_readers(512);
        // SAFETY: see the head of this file.
        #[allow(unsafe_code)]
        let env = unsafe { options.open(dir) }.map_err(|error| cannot_open(dir, error))?;
        refuse_truncated(&env, dir)?;
        env.clear_stale_readers()?;
        refuse_unknown_format(&env, dir)?;
        let txn = env.write_txn()?;
        let [
            meta,
            tenants,
            records,
            ids,
            subjects,
            keys,
            access,
            presence,
            seen,
            suspended,
            photographs,
            requests,
            log,
            free_slots,
        ] = env
            .create_databases_and_commit(txn, |opener, txn| -> heed::Result<_> {
                let mut table = |name| opener.create_database::<Bytes, Bytes>(txn, Some(name));
                Ok(CommitOrAbort::<_, ()>::Commit([
                    table("meta")?,
                    table("tenants")?,
                    table("records")?,
                    table("ids")?,
                    table("subjects")?,
                    table("keys")?,
                    table("access")?,
                    table("presence")?,
                    table("seen")?,
                    table("suspended")?,
                    table("photographs")?,
                    table("requests")?,
                    table("log")?,
                    table("slots")?,
                ]))
            })?
            .unwrap_commit();
        let dir = dir.to_owned();
        Ok(Self {
            env,
            dir,
            max_bytes,
            meta,
            tenants,
            records,
            ids,
            subjects,
            keys,
            access,
            presence,
            seen,
            suspended,
            photographs,
            requests,
            log,
            free_slots,
        })
    }

    /// The bytes that enrolments may fill.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Begins to read. Keep it short: what a reader may still see is not reused.
    pub fn read(&self) -> Result<RoTxn<'_, WithoutTls>> {
        Ok(self.env.read_txn()?)
    }

    /// Begins to write, once no other thread or process does.
    pub fn write<'s>(&'s self, slots: &'s SlotFile) -> Result<Writer<'s>> {
        Ok(Writer { txn: Some(self.env.write_txn()?), store: self, slots, taken: Vec::new() })
    }

    /// The newest transaction that any process committed. Costs a memory access.
    pub fn newest_transaction(&self) -> usize {
        self.env.info().last_txn_id
    }

    /// Bytes that the databases fill; free pages are not counted.
    pub fn used_bytes(&self, txn: &View<'_>) -> Result<u64> {
        let tables = [
            self.meta,
            self.tenants,
            self.records,
            self.ids,
            self.subjects,
            self.keys,
            self.access,
            self.presence,
            self.seen,
            self.suspended,
            self.photographs,
            self.requests,
            self.log,
            self.free_slots,
        ];
        tables.iter().try_fold(0, |sum, table| Ok(sum + table.stat(txn)?.non_free_page_size() as u64))
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

    /// Whether a slot of `seal.keys` is in nobody's use.
    pub fn slot_is_free(&self, txn: &View<'_>, slot: u32) -> Result<bool> {
        let never_used = u64::from(slot) >= self.counter(txn, "next_slot")?;
        Ok(never_used || self.free_slots.get(txn, &slot.to_be_bytes())?.is_some())
    }

    /// Overwrites those of `slots` that are in nobody's use, durably. Holds the write lock meanwhile, so that no other
    /// process can take one of them at the same time.
    pub fn erase_free(&self, file: &SlotFile, slots: impl IntoIterator<Item = u32>) -> Result<()> {
        let txn = self.env.write_txn()?;
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
        let file = File::open(self.dir.join("data.mdb")).context(Kind::Store, || "data.mdb")?;
        let txn = self.read()?;
        let page_size = page_size(&self.env);
        Ok((counted_bytes(&self.env), page_size, pages::in_use(&file, page_size, txn.id())))
    }

    fn disk_is_full(&self) -> bool {
        // Less than this is left where a write of a few pages can fail.
        const ALMOST_NOTHING: u64 = 256 << 10;
        rustix::fs::statvfs(&self.dir).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < ALMOST_NOTHING)
    }
}

/// A write transaction. Dropped without [`commit`](Self::commit), it leaves nothing behind.
pub(super) struct Writer<'s> {
    /// `None` only while it ends.
    txn: Option<RwTxn<'s>>,
    store: &'s Store,
    slots: &'s SlotFile,
    /// Slots that were written in this transaction.
    taken: Vec<u32>,
}

impl<'s> Writer<'s> {
    /// The transaction itself.
    pub fn txn(&mut self) -> &mut RwTxn<'s> {
        self.txn.as_mut().expect("only commit and drop end the transaction, and both take the writer")
    }

    /// Counts one up and gives the number before: one that nobody ever had, once this is committed.
    pub fn next(&mut self, name: &str) -> Result<u64> {
        let store = self.store;
        // 0 means "none" everywhere.
        let number = store.counter(self.txn(), name)?.max(1);
        let after = number.checked_add(1).ok_or_else(|| Error::new(Kind::Store, format!("{name} has run out")))?;
        store.meta.put(self.txn(), name.as_bytes(), &after.to_le_bytes())?;
        Ok(number)
    }

    /// Puts `secret` into a free slot.
    pub fn take_slot(&mut self, secret: &[u8; 32]) -> Result<u32> {
        let store = self.store;
        let free = store.free_slots.first(self.txn())?.and_then(|(key, _)| key.try_into().ok()).map(u32::from_be_bytes);
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
    pub fn release_slot(&mut self, slot: u32) -> Result<()> {
        let store = self.store;
        Ok(store.free_slots.put(self.txn(), &slot.to_be_bytes(), &[])?)
    }

    /// Tells other processes what changed.
    pub fn log(&mut self, change: Change, tenant: u32, id: u64) -> Result<()> {
        let store = self.store;
        let sequence = store.newest_change(self.txn())? + 1;
        let mut value = [0; 13];
        value[0] = change as u8;
        value[1..5].copy_from_slice(&tenant.to_le_bytes());
        value[5..].copy_from_slice(&id.to_le_bytes());
        store.log.put_with_flags(self.txn(), PutFlags::APPEND, &sequence.to_be_bytes(), &value)?;
        if let Some(old) = sequence.checked_sub(LOG_KEPT) {
            store.log.delete(self.txn(), &old.to_be_bytes())?;
        }
        Ok(())
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
            Err(heed::Error::Io(error)) if error.raw_os_error() == Some(EIO) && store.disk_is_full() => {
                Err(storage_full().source(error))
            }
            Err(error) => Err(error.into()),
        }
    }
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

/// `EIO` of Linux.
const EIO: i32 = 5;

/// The one answer to a full disk and a full map.
pub(super) fn storage_full() -> Error {
    Error::new(Kind::StorageFull, "the gallery is full; nothing of this request was kept")
        .help("delete enrolments, free some disk, or raise gallery.max_mb and restart")
}

impl From<heed::Error> for Error {
    fn from(error: heed::Error) -> Self {
        let store = |message: &str| Error::new(Kind::Store, message);
        match error {
            heed::Error::Mdb(MdbError::MapFull) => storage_full().source(MdbError::MapFull),
            heed::Error::Io(error) if is_full(&error) => storage_full().source(error),
            heed::Error::Mdb(MdbError::ReadersFull) => {
                Error::new(Kind::Busy, "too many readers of the gallery at once")
            }
            heed::Error::Mdb(MdbError::MapResized) => {
                store("another process lets the gallery grow further than this one")
                    .help("give every process the same gallery.max_mb and restart this one")
            }
            heed::Error::Mdb(error @ (MdbError::Corrupted | MdbError::PageNotFound | MdbError::Invalid)) => {
                store("the gallery's data.mdb is damaged").source(error).help(RESTORE)
            }
            heed::Error::Mdb(error @ MdbError::Panic) => {
                store("the gallery gave up after a failed write").source(error).help("check the disk, then restart")
            }
            heed::Error::Io(error) if storage::cure(&error).is_some() => {
                storage::refused(Kind::Store, "the gallery cannot be read or written".into(), error)
            }
            error => store("the gallery cannot be read or written").source(error).help("check the disk and its log"),
        }
    }
}

/// Whether the system says that there is no room left.
pub(super) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

const RESTORE: &str = "stop the daemon, keep the folder aside, and restore it whole from a backup; or begin with an empty one \
                       and enrol again";

fn make_dir(dir: &Path) -> Result<()> {
    if !storage::make_folder(Kind::Store, "the gallery's folder", dir)? {
        return Ok(());
    }
    // A new folder survives a power cut only when its parent is on the disk.
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_dir(parent)
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .context(Kind::Store, || format!("cannot write the folder {} to the disk", dir.display()))
}

fn cannot_open(dir: &Path, error: heed::Error) -> Error {
    let file = dir.join("data.mdb");
    let refused = |why: &str| Error::new(Kind::Store, format!("cannot open the gallery {}{why}", file.display()));
    match error {
        heed::Error::EnvAlreadyOpened => refused(": it is open in this process already"),
        heed::Error::Mdb(error @ (MdbError::Invalid | MdbError::VersionMismatch | MdbError::Corrupted)) => {
            refused(": it is damaged, or no LMDB file of this kind").source(error).help(RESTORE)
        }
        heed::Error::Io(error) if is_full(&error) => storage_full().source(error),
        heed::Error::Io(error) if error.kind() == ErrorKind::OutOfMemory => {
            refused(": its map does not fit into the address space").source(error).help("lower gallery.max_mb")
        }
        heed::Error::Io(error) if storage::cure(&error).is_some() => {
            storage::refused(Kind::Store, refused("").message().into(), error)
        }
        error => refused("").source(error).help("see that the folder is on a local, writable disk"),
    }
}

fn page_size(env: &Env<WithoutTls>) -> usize {
    env.unnamed_database_stat().page_size as usize
}

/// How long the file would be if every page that LMDB has counted had been written.
fn counted_bytes(env: &Env<WithoutTls>) -> u64 {
    (env.info().last_page_number as u64 + 1) * page_size(env) as u64
}

/// LMDB reads through a memory map: a page that is in use and no longer in the file would end the process. See [`pages`].
fn refuse_truncated(env: &Env<WithoutTls>, dir: &Path) -> Result<()> {
    if env.real_disk_size()? >= counted_bytes(env) {
        return Ok(());
    }
    let path = dir.join("data.mdb");
    let file = File::open(&path).context(Kind::Store, || format!("the gallery {} cannot be read", path.display()))?;
    loop {
        let txn = env.read_txn()?;
        if pages::in_use(&file, page_size(env), txn.id()).is_some() {
            return Ok(());
        }
        // The file tells of the newest two transactions: another process may have put two more there meanwhile.
        if env.info().last_txn_id < txn.id() + 2 {
            let message = format!("the gallery {} is cut short", path.display());
            return Err(Error::new(Kind::Store, message).help(RESTORE));
        }
    }
}

fn refuse_unknown_format(env: &Env<WithoutTls>, dir: &Path) -> Result<()> {
    let txn = env.read_txn()?;
    let meta = env
        .open_databases_and_commit(txn, |opener, txn| -> heed::Result<_> {
            Ok(CommitOrAbort::<_, ()>::Commit(opener.open_database::<Bytes, Bytes>(txn, Some("meta"))?))
        })?
        .unwrap_commit();
    let Some(meta) = meta else { return Ok(()) };
    let txn = env.read_txn()?;
    let Some(format) = meta.get(&txn, b"format")? else { return Ok(()) };
    let format = format.try_into().map(u32::from_le_bytes).unwrap_or(u32::MAX);
    if format != FORMAT {
        return Err(Error::new(
            Kind::Store,
            format!("the gallery in {} has format {format}; this program knows format {FORMAT}", dir.display()),
        )
        .help("use the version of facegate that wrote it, or a newer one"));
    }
    Ok(())
}

fn tenant_row(name: &[u8], row: &[u8]) -> Result<Tenant> {
    let damaged = || Error::new(Kind::Store, "a tenant's row in the gallery is damaged").help(RESTORE);
    let name = std::str::from_utf8(name).map_err(|_| damaged())?.parse()?;
    let row: [u8; 8] = row.try_into().map_err(|_| damaged())?;
    let [a, b, c, d, e, f, g, h] = row;
    Ok(Tenant { name, number: u32::from_le_bytes([a, b, c, d]), slot: u32::from_le_bytes([e, f, g, h]) })
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
