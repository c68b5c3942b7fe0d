//! Sealing: what makes a record's template and metadata unreadable to whoever holds the database file alone, and to
//! everybody once the record is deleted.
//!
//! A record's key is BLAKE3's key derivation over three secrets: the master key (`master.key`, made at first start, or the
//! credential `facegate.master.key` that the service manager hands over instead), the
//! tenant's and the record's own (both in [`slots`](super::slots)). Without any one of the three it cannot be made again.
//! The cipher is XChaCha20-Poly1305 with a random nonce; a record's unchanging fields are the associated data, so that no
//! sealed part can be moved to another record, subject or tenant.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{AeadInPlace, KeyInit},
};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use zeroize::Zeroizing;

use super::{
    slots::SlotFile,
    store::{is_full, storage_full, sync_dir},
};
use crate::{
    error::{Context, Error, Kind, Result},
    service::credentials,
};

/// Bytes that sealing adds: the nonce before, the tag behind.
pub(super) const OVERHEAD: usize = NONCE + TAG;
const NONCE: usize = 24;
const TAG: usize = 16;

/// What the master key is called, as a file and as a credential.
const MASTER: &str = "master.key";

const RECORD_KEY: &str = "facegate gallery 2026 record key, format 1";
const DIGEST: &str = "facegate gallery 2026 digest of a subject's id";
const KEY_CHECK: &str = "facegate gallery 2026 check of the master key";

/// All that seals and opens records.
pub(super) struct Vault {
    master: Zeroizing<[u8; 32]>,
    /// Where the master key was read.
    pub origin: PathBuf,
    pub slots: SlotFile,
}

impl Vault {
    /// Opens `master.key` and `seal.keys` in `dir`. Makes them where `may_create`, that is for a store without records.
    pub fn open(dir: &Path, may_create: bool) -> Result<Self> {
        Self::open_with(credentials::find(MASTER), dir, may_create)
    }

    /// The same, with the master key that the service manager handed over, where it did.
    fn open_with(handed_over: Option<PathBuf>, dir: &Path, may_create: bool) -> Result<Self> {
        let path = handed_over.clone().unwrap_or_else(|| dir.join(MASTER));
        if may_create && !path.exists() {
            make_master(dir, &path)?;
        }
        let master = read_master(&path, handed_over.is_some())?;
        let slots = SlotFile::open(&dir.join("seal.keys"), may_create)?;
        if may_create {
            sync_dir(dir)?;
        }
        Ok(Self { master, origin: path, slots })
    }

    /// Tells this master key from another without giving it away.
    pub fn key_check(&self) -> [u8; 32] {
        blake3::derive_key(KEY_CHECK, self.master.as_slice())
    }

    /// Makes digests that nobody can make without the master key.
    pub fn keyed(&self, purpose: &str) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_derive_key(purpose);
        hasher.update(self.master.as_slice());
        hasher
    }

    /// A number that stands for a name of a tenant's. Without the master key nobody can tell which name.
    pub fn digest(&self, tenant: u32, name: &[u8]) -> u64 {
        let mut hasher = self.keyed(DIGEST);
        hasher.update(&tenant.to_le_bytes()).update(name);
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Seals `plain`; `known` is what must be the same when it is opened.
    pub fn seal(&self, tenant_slot: u32, slot: u32, known: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let cipher = self.cipher(tenant_slot, slot)?.ok_or_else(|| {
            Error::new(Kind::Store, "a tenant's or record's secret is missing from seal.keys")
                .help("run facegate check")
        })?;
        let mut sealed = vec![0; NONCE];
        sealed.reserve_exact(plain.len() + TAG);
        random(&mut sealed)?;
        let nonce = *XNonce::from_slice(&sealed);
        sealed.extend_from_slice(plain);
        let tag = cipher
            .encrypt_in_place_detached(&nonce, known, &mut sealed[NONCE..])
            .map_err(|_| Error::new(Kind::Internal, "a record is too long to be sealed"))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made. `None` where a secret is gone, or a bit is not as it was.
    pub fn unseal(
        &self,
        tenant_slot: u32,
        slot: u32,
        known: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(cipher) = self.cipher(tenant_slot, slot)? else { return Ok(None) };
        let Some(length) = sealed.len().checked_sub(OVERHEAD) else { return Ok(None) };
        let (nonce, rest) = sealed.split_at(NONCE);
        let (body, tag) = rest.split_at(length);
        let mut plain = Zeroizing::new(body.to_vec());
        let opened = cipher
            .decrypt_in_place_detached(XNonce::from_slice(nonce), known, plain.as_mut_slice(), tag.into())
            .is_ok();
        Ok(opened.then_some(plain))
    }

    fn cipher(&self, tenant_slot: u32, slot: u32) -> Result<Option<XChaCha20Poly1305>> {
        let (Some(tenant), Some(record)) = (self.slots.get(tenant_slot)?, self.slots.get(slot)?) else {
            return Ok(None);
        };
        let mut hasher = blake3::Hasher::new_derive_key(RECORD_KEY);
        hasher.update(self.master.as_slice()).update(tenant.as_slice()).update(record.as_slice());
        let key = Zeroizing::new(*hasher.finalize().as_bytes());
        Ok(Some(XChaCha20Poly1305::new(key.as_slice().into())))
    }
}

/// A fresh secret.
pub(super) fn new_secret() -> Result<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    random(secret.as_mut_slice())?;
    Ok(secret)
}

fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).context(Kind::Io, || "the system gives no random numbers")
}

/// Secrets are for the owner of the process alone.
pub(super) fn refuse_if_others_can_read(file: &File, path: &Path) -> Result<()> {
    let mode = file.metadata().context(Kind::Store, || format!("cannot read {}", path.display()))?.mode();
    if mode & 0o077 != 0 {
        let message = format!("{} can be read by others (mode {:03o})", path.display(), mode & 0o777);
        return Err(Error::new(Kind::Store, message).help(format!("chmod 600 {}", path.display())));
    }
    Ok(())
}

/// Written beside its place and moved there: half a key never has its name. Where two processes start for the first time
/// at once, the first one's key stays.
fn make_master(dir: &Path, path: &Path) -> Result<()> {
    let beside = dir.join(format!("master.key.{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let mut master = Zeroizing::new([0; 32]);
        getrandom::fill(master.as_mut_slice()).map_err(io::Error::other)?;
        file.write_all(master.as_slice())?;
        file.sync_all()?;
        match renameat_with(CWD, &beside, CWD, path, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => fs::remove_file(&beside),
            moved => Ok(moved?),
        }
    };
    write().map_err(|error| match error {
        error if is_full(&error) => storage_full().source(error),
        error => Error::new(Kind::Store, format!("cannot make {}", path.display())).source(error),
    })
}

/// Of a credential the service manager keeps others away, by means that its mode does not show.
fn read_master(path: &Path, credential: bool) -> Result<Zeroizing<[u8; 32]>> {
    let mut file = File::open(path).map_err(|error| {
        let help = match error.kind() {
            io::ErrorKind::NotFound => {
                "without it nobody can read the enrolments: restore it from a backup, or begin with an empty folder and \
                 enrol again"
            }
            _ if credential => "see how the unit loads the credential facegate.master.key: `systemctl cat facegate`",
            _ => "run as the user that owns the gallery's folder, or change the owner of its files",
        };
        Error::new(Kind::Store, format!("cannot open {}", path.display())).source(error).help(help)
    })?;
    if !credential {
        refuse_if_others_can_read(&file, path)?;
    }
    // One byte more than a key has, to see that there is no more.
    let mut bytes = Zeroizing::new(Vec::with_capacity(33));
    let read = (&mut file).take(33).read_to_end(&mut bytes);
    read.context(Kind::Store, || format!("cannot read {}", path.display()))?;
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| {
        Error::new(Kind::Store, format!("{} is not a key of 32 bytes", path.display())).help("restore it from a backup")
    })?;
    Ok(Zeroizing::new(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn vault(dir: &Path) -> Vault {
        let vault = Vault::open(dir, true).unwrap();
        vault.slots.put(1, &[1; 32]).unwrap();
        vault.slots.put(2, &[2; 32]).unwrap();
        vault.slots.put(3, &[3; 32]).unwrap();
        vault
    }

    #[test]
    fn only_the_same_secrets_and_fields_open_a_seal() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let sealed = vault.seal(1, 2, b"known", b"plain").unwrap();
        let open = |tenant, slot, known: &[u8], sealed: &[u8]| vault.unseal(tenant, slot, known, sealed).unwrap();
        assert_eq!(open(1, 2, b"known", &sealed).unwrap().as_slice(), b"plain");
        assert!(open(3, 2, b"known", &sealed).is_none(), "another tenant's secret");
        assert!(open(1, 3, b"known", &sealed).is_none(), "another record's secret");
        assert!(open(1, 2, b"other", &sealed).is_none(), "other fields");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(1, 2, b"known", &changed).is_none(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(open(1, 2, b"known", &sealed[..length]).is_none(), "{length} bytes");
        }
        vault.slots.erase(2).unwrap();
        assert!(open(1, 2, b"known", &sealed).is_none(), "erased");
    }

    #[test]
    fn each_store_has_its_own_master_key() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealed = vault(a.path()).seal(1, 2, b"", b"plain").unwrap();
        let other = vault(b.path());
        assert!(other.unseal(1, 2, b"", &sealed).unwrap().is_none());
        assert_ne!(other.key_check(), Vault::open(a.path(), false).unwrap().key_check());
    }

    #[test]
    fn a_credential_is_taken_in_the_place_of_the_file_and_none_is_made() {
        let (store, handed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = handed.path().join("facegate.master.key");
        fs::write(&key, [7; 32]).unwrap();
        let open = || Vault::open_with(Some(key.clone()), store.path(), true);
        let first = open().unwrap();
        assert!(!store.path().join(MASTER).exists(), "nothing on the disk opens the records");
        assert_eq!(first.key_check(), open().unwrap().key_check());
        fs::write(&key, [7; 31]).unwrap();
        assert!(open().err().unwrap().to_string().contains("facegate.master.key is not a key of 32 bytes"));
        // A folder in its place cannot be read by anybody, root included.
        fs::remove_file(&key).unwrap();
        fs::create_dir(&key).unwrap();
        assert!(open().err().unwrap().to_string().contains("facegate.master.key"));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        drop(vault(dir.path()));
        for name in ["master.key", "seal.keys"] {
            let path = dir.path().join(name);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let error = Vault::open(dir.path(), false).err().unwrap();
            assert!(error.advice().unwrap().starts_with("chmod 600"), "{error}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(dir.path().join("master.key"), [0; 33]).unwrap();
        assert_eq!(Vault::open(dir.path(), false).err().unwrap().kind(), Kind::Store);
    }
}
