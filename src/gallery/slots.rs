//! `seal.keys`: one secret of 32 bytes for each record and each tenant, in slots of a fixed size.
//!
//! LMDB never overwrites: a deleted record's bytes stay in free pages until something else needs them. So a record is
//! sealed with a key made of its own secret, and deleting it overwrites that secret *in place*. What lingers in free pages
//! cannot be opened by anybody from then on. (A flash disk may keep an old copy of a block out of the file's reach; who
//! fears that encrypts the disk.)
//!
//! Slot 0 is the file's header. A slot of zeros holds no secret. Which slots are in use is told by LMDB, and slots are
//! written only while LMDB's write lock is held, which keeps processes apart.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    seal::refuse_if_others_can_read,
    store::{is_full, storage_full},
};
use crate::error::{Error, Kind, Result};

/// Bytes of a slot.
const SLOT: u64 = 32;

/// What slot 0 holds.
const HEADER: &[u8; 32] = b"facegate seal.keys 1\n\0\0\0\0\0\0\0\0\0\0\0";

/// The open file.
pub(super) struct SlotFile {
    file: File,
    path: PathBuf,
}

impl SlotFile {
    /// Opens the file; makes an empty one where `may_create` and there is none.
    pub fn open(path: &Path, may_create: bool) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::new(Kind::Store, format!("cannot open {}", path.display())).source(error).help(
                "it belongs to the gallery: restore the whole folder from one backup, and give this user its files",
            )
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(may_create).truncate(false).mode(0o600);
        let file = options.open(path).map_err(failed)?;
        refuse_if_others_can_read(&file, path)?;
        let this = Self { file, path: path.to_owned() };
        if this.len()? == 0 && may_create {
            this.write(0, HEADER)?;
            this.sync()?;
        }
        let mut header = [0; SLOT as usize];
        this.file.read_exact_at(&mut header, 0).map_err(failed)?;
        if &header != HEADER {
            return Err(Error::new(Kind::Store, format!("{} is not a file of facegate's secrets", path.display()))
                .help("restore the gallery's folder whole from one backup"));
        }
        Ok(this)
    }

    /// Slots that the file has room for, the header's among them.
    pub fn len(&self) -> Result<u32> {
        let bytes = self.file.metadata().map_err(|error| self.failed("read", error))?.len();
        Ok(u32::try_from(bytes / SLOT).unwrap_or(u32::MAX))
    }

    /// The secret in a slot; `None` where it holds none.
    pub fn get(&self, slot: u32) -> Result<Option<Zeroizing<[u8; 32]>>> {
        let mut secret = Zeroizing::new([0; SLOT as usize]);
        match self.file.read_exact_at(secret.as_mut_slice(), u64::from(slot) * SLOT) {
            Ok(()) => Ok((*secret != [0; SLOT as usize]).then_some(secret)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(self.failed("read", error)),
        }
    }

    /// Writes a secret. Durable after [`sync`](Self::sync).
    pub fn put(&self, slot: u32, secret: &[u8; 32]) -> Result<()> {
        debug_assert_ne!(slot, 0, "slot 0 is the header");
        self.write(slot, secret)
    }

    /// Overwrites a secret. Durable after [`sync`](Self::sync).
    pub fn erase(&self, slot: u32) -> Result<()> {
        self.write(slot, &[0; SLOT as usize])
    }

    /// Waits until all is on the disk.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| self.failed("write", error))
    }

    fn write(&self, slot: u32, secret: &[u8; 32]) -> Result<()> {
        self.file.write_all_at(secret, u64::from(slot) * SLOT).map_err(|error| self.failed("write", error))
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        if is_full(&error) {
            return storage_full().source(error);
        }
        Error::new(Kind::Store, format!("cannot {what} {}", self.path.display())).source(error).help("check the disk")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_until_it_is_erased() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seal.keys");
        assert!(SlotFile::open(&path, false).is_err(), "it is made only when that was asked for");
        let slots = SlotFile::open(&path, true).unwrap();
        slots.put(3, &[7; 32]).unwrap();
        assert!(slots.get(2).unwrap().is_none() && slots.get(4).unwrap().is_none());
        drop(slots);
        let slots = SlotFile::open(&path, false).unwrap();
        assert_eq!(*slots.get(3).unwrap().unwrap(), [7; 32]);
        slots.erase(3).unwrap();
        assert!(slots.get(3).unwrap().is_none());
        assert!(!std::fs::read(&path).unwrap().contains(&7));
    }

    #[test]
    fn another_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seal.keys");
        drop(OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path).unwrap());
        std::fs::write(&path, [1; 64]).unwrap();
        assert_eq!(SlotFile::open(&path, true).err().unwrap().kind(), Kind::Store);
    }
}
