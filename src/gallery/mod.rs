//! Who is enrolled: the store of templates and the search among them.
//!
//! LMDB is the truth ([`store`]: the layout on disk; [`record`]: a record's bytes). Each record is sealed ([`seal`]) with a
//! secret that deleting overwrites ([`slots`]). From the store, one FAISS index per tenant is built at every start
//! ([`index`]: the guard before C++, [`sketch`]: what is looked at before it; [`roster`]: all tenants' indexes and how they follow the store). [`enrol`] changes,
//! [`query`] asks, [`subjects`] is about people, [`verified`] counts, [`keys`] says who may call, [`access`] who may pass, [`standing`] which doors are in lockdown, [`transfer`] moves a tenant to another board, [`check`] proves that all of them agree.
//!
//! Several processes may work on one store, the command line beside the daemon. Every change is in a log within the store,
//! and [`Gallery::refresh`] takes in what others did; only [`Gallery::best_two`] does not look first, because the door
//! never waits for a disk.
//!
//! # Invariants
//!
//! - What a call says is stored, or deleted, is so on the disk when it returns.
//! - No internal id and no embedding id is ever used twice.
//! - An index holds exactly the active embeddings of the loaded recogniser, of one tenant.
//! - A template is in memory, and on the disk sealed; never in a log, an error or a `Debug` form.

mod access;
mod check;
mod enrol;
mod following;
mod foreign;
mod ids;
mod index;
mod keys;
mod lifetime;
mod pages;
mod photographs;
mod query;
mod record;
mod replication;
mod requests;
mod rights;
mod roster;
mod seal;
mod seen;
mod sketch;
mod slots;
mod speed;
mod standing;
mod store;
mod subjects;
mod tenants;
#[cfg(test)]
mod tests;
mod transfer;
mod types;
mod verified;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::AtomicUsize},
};

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use uuid::{ContextV7, Uuid};

pub(crate) use self::speed::searches;
pub use self::{
    access::{Expected, StoredRules, changed_meanwhile},
    following::Behind,
    ids::{EmbeddingId, MAX_SUBJECT_BYTES, MAX_TENANT_BYTES, SubjectId, TenantId},
    keys::{Caller, no_such_key},
    lifetime::{Lifetime, Within},
    replication::{Applied, Outgoing},
    requests::{Done, MOST_REMEMBERED, Once},
    rights::{Right, Rights},
    seen::LastSeen,
    standing::Standing,
    transfer::{Export, Import, Imported, LONGEST_LINE},
    types::{
        CheckReport, Enrolment, Finding, KeyInfo, KeyTerms, Likeness, ListFilter, Match, MetadataChange, NewEnrolment,
        NewKey, Page, Settings, Stats, SubjectChange, SubjectInfo, TenantInfo, Warning,
    },
};
use self::{
    following::Following,
    keys::KnownKey,
    roster::Roster,
    seal::Vault,
    store::{FORMAT, Room, Store},
};
use crate::{
    clock::Clock,
    error::{Error, Kind, Result},
};

/// The enrolled faces of all tenants, and the API keys. Share it by `Arc`; every call but [`best_two`](Self::best_two) may
/// wait for the disk.
pub struct Gallery {
    settings: Settings,
    /// The loaded recogniser: only its embeddings are matched.
    model: String,
    clock: Arc<dyn Clock>,
    store: Store,
    vault: Vault,
    /// Makes ids that rise even where the clock stands still.
    ids: Mutex<ContextV7>,
    roster: RwLock<Roster>,
    keys: RwLock<Vec<KnownKey>>,
    /// Rules, and who is where.
    access: access::Memory,
    /// Whom doors have recognised.
    noted_seen: seen::Noted,
    /// Whom callers have verified.
    verifications: verified::Verifications,
    /// The last change of the store that `roster` and `keys` know; `None` where they are to be built. Held while they change.
    applied: Mutex<Option<u64>>,
    /// Whether the memory follows the store.
    following: Following,
    /// The transaction that was last looked at for changes.
    seen: AtomicUsize,
    /// Counts what was noticed of deletions: where it is not known whose they are, and of each tenant.
    deletions: Mutex<(u64, HashMap<TenantId, u64>)>,
    /// How full it was after this transaction: counting walks over all of it, and figures are asked for more often than it changes.
    counted: Mutex<Option<(usize, Stats)>>,
}

impl Gallery {
    /// Opens the store, making it where there is none, and builds the indexes from it. `model_id` is the loaded recogniser.
    ///
    /// # Errors
    /// `Config` for a setting out of its range; `Store` where the folder cannot be used: wrong permissions, a damaged or
    /// truncated file, a newer format, a missing or wrong key. Each says what to do.
    pub fn open(settings: &Settings, model_id: &str, clock: Arc<dyn Clock>) -> Result<Gallery> {
        settings.validate()?;
        if model_id.is_empty() || model_id.len() > usize::from(u8::MAX) {
            return Err(Error::new(Kind::Config, "a recogniser's id must be 1 to 255 bytes"));
        }
        let store = Store::open(&settings.dir, settings.max_mb)?;
        let vault = open_vault(&store, settings)?;
        // A crash between a deletion and the overwriting of its secret, or within an enrolment, ends here.
        store.erase_free(&vault.slots, 1..vault.slots.len()?)?;
        let gallery = Gallery {
            settings: settings.clone(),
            model: model_id.to_owned(),
            clock,
            store,
            vault,
            ids: Mutex::new(ContextV7::new()),
            roster: RwLock::default(),
            keys: RwLock::default(),
            access: access::Memory::default(),
            noted_seen: seen::Noted::default(),
            verifications: verified::Verifications::default(),
            applied: Mutex::new(None),
            following: Following::default(),
            seen: AtomicUsize::new(usize::MAX),
            deletions: Mutex::default(),
            counted: Mutex::new(None),
        };
        gallery.catch_up()?;
        Ok(gallery)
    }

    /// Takes in what other processes committed; whether there was anything. Costs next to nothing where there was not:
    /// call it some times a second.
    ///
    /// # Errors
    /// Those of the store. They are in the log already, each once; [`behind`](Self::behind) tells for how long.
    pub fn refresh(&self) -> Result<bool> {
        catch_unwind(AssertUnwindSafe(|| self.catch_up())).unwrap_or_else(|_| {
            let error = Error::new(Kind::Internal, "taking in the store's changes panicked");
            self.following.note(Some(&error), self.clock.now());
            Err(error)
        })
    }

    /// Since when the store's changes cannot be taken in; none where they are.
    pub fn behind(&self) -> Option<Behind> {
        self.following.behind()
    }

    /// What the gallery takes for the time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Is another whenever something of the tenant was deleted, by any process, before the call that deleted it in this one returns.
    /// Whoever keeps something of an enrolment forgets it then.
    pub fn deletions(&self, tenant: &TenantId) -> (u64, u64) {
        let deletions = self.deletions.lock();
        (deletions.0, deletions.1.get(tenant).copied().unwrap_or_default())
    }

    /// An id later than all that this process has made.
    fn new_id(&self, now: Timestamp) -> EmbeddingId {
        let nanoseconds = u64::try_from(now.as_nanosecond()).unwrap_or(0);
        let (seconds, rest) = (nanoseconds / 1_000_000_000, (nanoseconds % 1_000_000_000) as u32);
        Uuid::new_v7(uuid::Timestamp::from_unix(&*self.ids.lock(), seconds, rest)).into()
    }
}

/// Opens the key files; for a new store makes them and writes down which master key is the right one.
fn open_vault(store: &Store, settings: &Settings) -> Result<Vault> {
    let dir = &settings.dir;
    let key_check = |txn: &store::View<'_>| -> Result<Option<Vec<u8>>> {
        Ok(store.meta.get(txn, b"key_check")?.map(<[u8]>::to_vec))
    };
    let known = key_check(&*store.read()?)?;
    let vault = Vault::open(dir, known.is_none())?;
    let mine = vault.key_check();
    let known = match known {
        Some(known) => known,
        None => {
            let mut writer = store.write(&vault.slots)?;
            // Two processes may start for the first time at once; the first to get here decides.
            match key_check(writer.txn())? {
                Some(known) => known,
                None if vault.slots.len()? > 1 => {
                    return Err(Error::new(
                        Kind::Store,
                        format!("{} has secrets, but data.mdb beside it is new", dir.join("seal.keys").display()),
                    )
                    .help("restore the whole folder from one backup; or remove it and enrol again"));
                }
                None => {
                    store.meta.put(writer.txn(), b"key_check", &mine)?;
                    store.meta.put(writer.txn(), b"format", &FORMAT.to_le_bytes())?;
                    writer.commit(Room::Reserve)?;
                    mine.to_vec()
                }
            }
        }
    };
    if known != mine {
        return Err(Error::new(
            Kind::Store,
            format!("{} is not the key that this gallery was made with", vault.origin.display()),
        )
        .help("restore the whole folder from one backup"));
    }
    Ok(vault)
}
