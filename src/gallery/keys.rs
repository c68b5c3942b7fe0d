//! API keys: 256 random bits each, shown once, of which only a hash is kept.
//!
//! A row of `keys`: the hash 32 bytes, made at i64 in microseconds since 1970, length of the tenant u8, the tenant, the
//! label (empty for none), a zero byte, the rights u8, and where it has an end that, i64 in microseconds since 1970. A row
//! that ends with its label is one of the first keys that were made, and has the usual rights. The hash is BLAKE3 without
//! salt or stretching: there is nothing to guess in 256 random bits.
//!
//! When a key was to end before it was rotated is a row of `meta`, as long as the key is there: `rotated.` and its id, and as
//! value an i64 as above, the greatest for never.

use std::time::Duration;

use jiff::Timestamp;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::{
    Gallery, Rights,
    ids::TenantId,
    record::{microseconds, timestamp},
    seal::new_secret,
    store::{Change, Room, Tenant, View, Writer},
    types::{KeyInfo, KeyTerms, NewKey},
};
use crate::error::{Error, Kind, Result};

/// What every key begins with, so that people and secret scanners know one when they see it.
const PREFIX: &str = "fg_";

/// Most keys of a tenant, ended ones among them: each call is compared with every key there is.
pub(super) const MOST_KEYS: usize = 100;

/// Longest label, in bytes.
const MAX_LABEL_BYTES: usize = 128;

const CONTEXT: &str = "facegate gallery 2026 hash of an API key";

/// A key as `authenticate` needs it.
pub(super) struct KnownKey {
    hash: [u8; 32],
    caller: Caller,
}

/// Who calls, by their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key's public name.
    pub key: String,
    /// Whose gallery and whose doors.
    pub tenant: TenantId,
    pub rights: Rights,
    /// When the key ends; none: never.
    pub expires_at: Option<Timestamp>,
}

impl Caller {
    /// Whether the key has not ended.
    fn is_good(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl Gallery {
    /// Makes a key without an end for a tenant, as [`make_key`](Self::make_key) does.
    ///
    /// # Errors
    /// `InvalidField` for a label over 128 bytes or with control characters.
    pub fn add_key(&self, tenant: &TenantId, label: Option<&str>, rights: Rights) -> Result<NewKey> {
        self.make_key(tenant, &KeyTerms { label: label.map(str::to_owned), rights, ..KeyTerms::default() })
    }

    /// Makes a key for a tenant, who need not exist before. The secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// `InvalidField` for a label over 128 bytes or with control characters, and for an end that is not ahead;
    /// `CapacityReached` where the tenant has 100 keys; `InvalidApiKey` where the key that makes it is no longer good.
    pub fn make_key(&self, tenant: &TenantId, terms: &KeyTerms) -> Result<NewKey> {
        let label = terms.label.as_deref().unwrap_or_default();
        if label.len() > MAX_LABEL_BYTES || label.chars().any(char::is_control) {
            let rule = format!("the label must be at most {MAX_LABEL_BYTES} bytes without control characters");
            return Err(Error::new(Kind::InvalidField, rule));
        }
        let now = self.clock.wall();
        let expires_at = terms.expires.map(|lifetime| lifetime.end(now)).transpose()?;
        let mut writer = self.write()?;
        self.check_maker(writer.txn(), terms.maker.as_deref(), now)?;
        let info = KeyInfo {
            id: self.unused_id(&mut writer)?,
            tenant: tenant.clone(),
            label: terms.label.clone(),
            created_at: now,
            rights: terms.rights,
            expires_at,
        };
        let key = self.put_new(&mut writer, info)?;
        writer.commit(Room::Configured)?;
        self.catch_up()?;
        Ok(key)
    }

    /// Makes a key like another, of the same tenant, label and rights, and lets the other one end after `overlap`, or at
    /// once where that is zero. A key with an end is followed by one that lasts as long as it was to last. What `may` refuses
    /// stays as it is; what it gives is when the new key ends at the latest. `maker` is the key that asks for it; none on the
    /// command line.
    ///
    /// # Errors
    /// `NotFound` where no key has this id, or that of `may`; `CapacityReached` where there would be over 100 of the tenant's;
    /// `InvalidApiKey` where the key that makes it is no longer good.
    pub fn rotate_key(
        &self,
        id: &str,
        overlap: Duration,
        maker: Option<&str>,
        may: impl FnOnce(&KeyInfo) -> Result<Option<Timestamp>>,
    ) -> Result<NewKey> {
        let now = self.clock.wall();
        let mut writer = self.write()?;
        self.check_maker(writer.txn(), maker, now)?;
        let (hash, mut old) = self.find_key(writer.txn(), id)?;
        let latest = may(&old)?;
        let follow = |end: Timestamp| now.checked_add(end.duration_since(old.created_at)).unwrap_or(Timestamp::MAX);
        // Rotated again, where an answer was lost: the end of the overlap is not how long a key was to last.
        let meant = self.end_before_rotation(writer.txn(), &old)?;
        // The least of the two; no end is later than any.
        let expires_at = meant.map(follow).into_iter().chain(latest).min();
        let new = KeyInfo { id: self.unused_id(&mut writer)?, created_at: now, expires_at, ..old.clone() };
        if overlap.is_zero() {
            // First, so that there is a place for the new one.
            self.drop_key(&mut writer, id.as_bytes())?;
        }
        let key = self.put_new(&mut writer, new)?;
        let end = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
        if !overlap.is_zero() && old.expires_at.is_none_or(|before| end < before) {
            old.expires_at = Some(end);
            let meant = meant.map_or(i64::MAX, microseconds).to_le_bytes();
            self.store.meta.put(writer.txn(), &rotated(id.as_bytes()), &meant)?;
            self.store.keys.put(writer.txn(), id.as_bytes(), &row(&hash, &old))?;
        }
        writer.commit(Room::Configured)?;
        self.catch_up()?;
        Ok(key)
    }

    /// Refuses to make a key for one that was revoked or has ended meanwhile: it would live on in the new one. Within the
    /// transaction that makes it, so that nothing comes between.
    fn check_maker(&self, txn: &View<'_>, maker: Option<&str>, now: Timestamp) -> Result<()> {
        let Some(maker) = maker else { return Ok(()) };
        let no_longer = || Error::new(Kind::InvalidApiKey, "the API key has been revoked or has ended");
        let (_, maker) = self.find_key(txn, maker).map_err(|error| match error.kind() {
            Kind::NotFound => no_longer(),
            _ => error,
        })?;
        if maker.has_ended(now) { Err(no_longer()) } else { Ok(()) }
    }

    /// When a key was to end before it was rotated for the first time.
    fn end_before_rotation(&self, txn: &View<'_>, key: &KeyInfo) -> Result<Option<Timestamp>> {
        let row = self.store.meta.get(txn, &rotated(key.id.as_bytes()))?;
        Ok(match row.and_then(|row| row.try_into().ok()).map(i64::from_le_bytes) {
            None => key.expires_at,
            Some(i64::MAX) => None,
            Some(end) => Some(timestamp(end)),
        })
    }

    /// Takes a key out with what is known of it.
    fn drop_key(&self, writer: &mut Writer<'_>, id: &[u8]) -> Result<()> {
        self.store.meta.delete(writer.txn(), &rotated(id))?;
        self.store.keys.delete(writer.txn(), id)?;
        Ok(())
    }

    /// Deletes all keys of a tenant.
    pub(super) fn delete_keys_of(&self, writer: &mut Writer<'_>, tenant: &Tenant) -> Result<()> {
        for id in self.keys_of(writer.txn(), &tenant.name)? {
            self.drop_key(writer, &id)?;
        }
        writer.log(Change::Keys, tenant.number, 0)
    }

    /// The ids of a tenant's keys.
    fn keys_of(&self, txn: &View<'_>, tenant: &TenantId) -> Result<Vec<Vec<u8>>> {
        let mut ids = Vec::new();
        for entry in self.store.keys.iter(txn)? {
            let (id, row) = entry?;
            if parse(id, row).ok_or_else(damaged)?.1.tenant == *tenant {
                ids.push(id.to_vec());
            }
        }
        Ok(ids)
    }

    /// An id that no key has.
    fn unused_id(&self, writer: &mut Writer<'_>) -> Result<String> {
        loop {
            let id = hex(&new_secret()?[..4]);
            if self.store.keys.get(writer.txn(), id.as_bytes())?.is_none() {
                return Ok(id);
            }
        }
    }

    fn check_most_keys(&self, txn: &View<'_>, tenant: &TenantId) -> Result<()> {
        if self.keys_of(txn, tenant)?.len() < MOST_KEYS {
            return Ok(());
        }
        Err(Error::new(Kind::CapacityReached, format!("the tenant {tenant} has all {MOST_KEYS} API keys that it may"))
            .help("revoke those that have ended or that nobody uses: facegate keys list"))
    }

    /// Stores a key of a fresh secret.
    fn put_new(&self, writer: &mut Writer<'_>, info: KeyInfo) -> Result<NewKey> {
        self.check_most_keys(writer.txn(), &info.tenant)?;
        let secret = Zeroizing::new(format!("{PREFIX}{}", hex(&*new_secret()?)));
        let number = writer.tenant(&info.tenant)?.number;
        self.store.keys.put(writer.txn(), info.id.as_bytes(), &row(&hash(&secret), &info))?;
        writer.log(Change::Keys, number, 0)?;
        Ok(NewKey { id: info.id, secret: secret.to_string(), expires_at: info.expires_at })
    }

    fn find_key(&self, txn: &View<'_>, id: &str) -> Result<([u8; 32], KeyInfo)> {
        // LMDB refuses an empty key and one that is too long; neither is one of ours.
        let row = if (1..=64).contains(&id.len()) { self.store.keys.get(txn, id.as_bytes())? } else { None };
        parse(id.as_bytes(), row.ok_or_else(no_such_key)?).ok_or_else(damaged)
    }

    /// The keys that are not revoked, oldest first; those that have ended among them.
    pub fn keys(&self) -> Result<Vec<KeyInfo>> {
        let txn = self.store.read()?;
        let mut keys = Vec::new();
        for row in self.store.keys.iter(&txn)? {
            let (id, row) = row?;
            keys.push(parse(id, row).ok_or_else(damaged)?.1);
        }
        keys.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
        Ok(keys)
    }

    /// One key.
    ///
    /// # Errors
    /// `NotFound` where no key has this id.
    pub fn key(&self, id: &str) -> Result<KeyInfo> {
        Ok(self.find_key(&*self.store.read()?, id)?.1)
    }

    /// Makes a key invalid from now on: in this process at once, in another at its next
    /// [`authenticate`](Self::authenticate).
    ///
    /// # Errors
    /// `NotFound` where no key has this id.
    pub fn revoke_key(&self, id: &str) -> Result<()> {
        self.revoke_key_if(id, |_| Ok(()))
    }

    /// The same where `may` does not refuse it.
    ///
    /// # Errors
    /// `NotFound` where no key has this id, or that of `may`.
    pub fn revoke_key_if(&self, id: &str, may: impl FnOnce(&KeyInfo) -> Result<()>) -> Result<()> {
        let mut writer = self.write()?;
        may(&self.find_key(writer.txn(), id)?.1)?;
        self.drop_key(&mut writer, id.as_bytes())?;
        writer.log(Change::Keys, 0, 0)?;
        writer.commit(Room::Reserve)?;
        self.catch_up().map(drop)
    }

    /// Whose key this is. Takes the same time for every key, valid or not. Whether it has ended is asked of the wall clock
    /// each time.
    ///
    /// # Errors
    /// `InvalidApiKey` for whatever is no valid key: unknown, revoked and ended ones alike.
    pub fn authenticate(&self, secret: &str) -> Result<Caller> {
        self.catch_up()?;
        self.authenticate_from_memory(secret)
    }

    /// The same from memory alone, for whoever must not wait for a disk. `None` where the store knows more than the memory, such as
    /// that a key was revoked.
    pub fn authenticate_at_once(&self, secret: &str) -> Option<Result<Caller>> {
        self.is_caught_up().then(|| self.authenticate_from_memory(secret))
    }

    /// Whether the key with this id is there and has not ended. From memory alone; `None` as of
    /// [`authenticate_at_once`](Self::authenticate_at_once).
    pub fn has_key_at_once(&self, id: &str) -> Option<bool> {
        let now = self.clock.wall();
        self.is_caught_up().then(|| self.keys.read().iter().any(|key| key.caller.key == id && key.caller.is_good(now)))
    }

    fn authenticate_from_memory(&self, secret: &str) -> Result<Caller> {
        let hash = hash(secret);
        let now = self.clock.wall();
        let keys = self.keys.read();
        let mut found = u64::MAX;
        for (index, key) in (0u64..).zip(keys.iter()) {
            found.conditional_assign(&index, key.hash.ct_eq(&hash));
        }
        usize::try_from(found)
            .ok()
            .and_then(|index| keys.get(index))
            .filter(|key| key.caller.is_good(now))
            .map(|key| key.caller.clone())
            .ok_or_else(|| Error::new(Kind::InvalidApiKey, "the API key is not valid"))
    }

    pub(super) fn load_keys(&self, txn: &View<'_>) -> Result<()> {
        let mut keys = Vec::new();
        for row in self.store.keys.iter(txn)? {
            let (id, row) = row?;
            let (hash, info) = parse(id, row).ok_or_else(damaged)?;
            let KeyInfo { id, tenant, rights, expires_at, .. } = info;
            keys.push(KnownKey { hash, caller: Caller { key: id, tenant, rights, expires_at } });
        }
        *self.keys.write() = keys;
        Ok(())
    }
}

/// The name of the row that says when a key was to end before it was rotated.
fn rotated(id: &[u8]) -> Vec<u8> {
    [b"rotated.".as_slice(), id].concat()
}

/// A key as it is stored.
fn row(hash: &[u8; 32], info: &KeyInfo) -> Vec<u8> {
    let mut row = hash.to_vec();
    row.extend(microseconds(info.created_at).to_le_bytes());
    row.push(info.tenant.as_str().len() as u8);
    row.extend(info.tenant.as_str().bytes());
    row.extend(info.label.as_deref().unwrap_or_default().bytes());
    // A label has no control characters.
    row.extend([0, info.rights.bits()]);
    if let Some(end) = info.expires_at {
        row.extend(microseconds(end).to_le_bytes());
    }
    row
}

fn parse(id: &[u8], row: &[u8]) -> Option<([u8; 32], KeyInfo)> {
    let (hash, rest) = row.split_first_chunk::<32>()?;
    let (created, rest) = rest.split_first_chunk::<8>()?;
    let (&length, rest) = rest.split_first()?;
    let (tenant, rest) = rest.split_at_checked(usize::from(length))?;
    let (label, terms) = match rest.iter().position(|&byte| byte == 0) {
        Some(zero) => (rest.get(..zero)?, rest.get(zero + 1..)?),
        None => (rest, &[Rights::default().bits()][..]),
    };
    let (&rights, end) = terms.split_first()?;
    let expires_at = match end {
        [] => None,
        end => Some(timestamp(i64::from_le_bytes(end.try_into().ok()?))),
    };
    let label = std::str::from_utf8(label).ok()?;
    let info = KeyInfo {
        id: std::str::from_utf8(id).ok()?.to_owned(),
        tenant: std::str::from_utf8(tenant).ok()?.parse().ok()?,
        label: (!label.is_empty()).then(|| label.to_owned()),
        created_at: timestamp(i64::from_le_bytes(*created)),
        rights: Rights::from_bits(rights),
        expires_at,
    };
    Some((*hash, info))
}

fn hash(secret: &str) -> [u8; 32] {
    blake3::derive_key(CONTEXT, secret.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written to it");
        text
    })
}

/// The one answer to an id that no key has.
pub fn no_such_key() -> Error {
    Error::new(Kind::NotFound, "there is no API key with this id").help("facegate keys list")
}

fn damaged() -> Error {
    Error::new(Kind::Store, "the gallery's list of API keys is damaged").help("run facegate check")
}
