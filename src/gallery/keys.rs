//! API keys: 256 random bits each, shown once, of which only a hash is kept.
//!
//! A row of `keys`: the hash 32 bytes, made at i64 in microseconds since 1970, length of the tenant u8, the tenant, the
//! label (empty for none), a zero byte, the rights u8. A row without the last two is one of the first keys that were made,
//! and has the usual rights. The hash is BLAKE3 without salt or stretching: there is nothing to guess in 256 random bits.

use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::{
    Gallery, Rights,
    ids::TenantId,
    record::{microseconds, timestamp},
    seal::new_secret,
    store::{Change, Room, View},
    types::{KeyInfo, NewKey},
};
use crate::error::{Error, Kind, Result};

/// What every key begins with, so that people and secret scanners know one when they see it.
const PREFIX: &str = "fg_";

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
}

impl Gallery {
    /// Makes a key for a tenant, who need not exist before. The secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// `InvalidField` for a label over 128 bytes or with control characters.
    pub fn add_key(&self, tenant: &TenantId, label: Option<&str>, rights: Rights) -> Result<NewKey> {
        let label = label.unwrap_or_default();
        if label.len() > MAX_LABEL_BYTES || label.chars().any(char::is_control) {
            let rule = format!("the label must be at most {MAX_LABEL_BYTES} bytes without control characters");
            return Err(Error::new(Kind::InvalidField, rule));
        }
        let secret = Zeroizing::new(format!("{PREFIX}{}", hex(&*new_secret()?)));
        let mut row = hash(&secret).to_vec();
        row.extend(microseconds(self.clock.wall()).to_le_bytes());
        row.push(tenant.as_str().len() as u8);
        row.extend(tenant.as_str().bytes());
        row.extend(label.bytes());
        // A label has no control characters.
        row.extend([0, rights.bits()]);

        let mut writer = self.write()?;
        let number = writer.tenant(tenant)?.number;
        let id = loop {
            let id = hex(&new_secret()?[..4]);
            if self.store.keys.get(writer.txn(), id.as_bytes())?.is_none() {
                break id;
            }
        };
        self.store.keys.put(writer.txn(), id.as_bytes(), &row)?;
        writer.log(Change::Keys, number, 0)?;
        writer.commit(Room::Configured)?;
        self.catch_up()?;
        Ok(NewKey { id, secret: secret.to_string() })
    }

    /// The keys that are valid, oldest first.
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

    /// Makes a key invalid from now on: in this process at once, in another at its next
    /// [`authenticate`](Self::authenticate).
    ///
    /// # Errors
    /// `NotFound` where no key has this id.
    pub fn revoke_key(&self, id: &str) -> Result<()> {
        let mut writer = self.write()?;
        // LMDB refuses an empty key and one that is too long; neither is one of ours.
        let known = (1..=64).contains(&id.len()) && self.store.keys.delete(writer.txn(), id.as_bytes())?;
        if !known {
            return Err(Error::new(Kind::NotFound, "there is no API key with this id").help("facegate keys list"));
        }
        writer.log(Change::Keys, 0, 0)?;
        writer.commit(Room::Reserve)?;
        self.catch_up().map(drop)
    }

    /// Whose key this is. Takes the same time for every key, valid or not.
    ///
    /// # Errors
    /// `InvalidApiKey` for whatever is no valid key.
    pub fn authenticate(&self, secret: &str) -> Result<Caller> {
        self.catch_up()?;
        let hash = hash(secret);
        let keys = self.keys.read();
        let mut found = u64::MAX;
        for (index, key) in (0u64..).zip(keys.iter()) {
            found.conditional_assign(&index, key.hash.ct_eq(&hash));
        }
        usize::try_from(found)
            .ok()
            .and_then(|index| keys.get(index))
            .map(|key| key.caller.clone())
            .ok_or_else(|| Error::new(Kind::InvalidApiKey, "the API key is not valid"))
    }

    pub(super) fn load_keys(&self, txn: &View<'_>) -> Result<()> {
        let mut keys = Vec::new();
        for row in self.store.keys.iter(txn)? {
            let (id, row) = row?;
            let (hash, info) = parse(id, row).ok_or_else(damaged)?;
            keys.push(KnownKey { hash, caller: Caller { key: info.id, tenant: info.tenant, rights: info.rights } });
        }
        *self.keys.write() = keys;
        Ok(())
    }
}

fn parse(id: &[u8], row: &[u8]) -> Option<([u8; 32], KeyInfo)> {
    let (hash, rest) = row.split_first_chunk::<32>()?;
    let (created, rest) = rest.split_first_chunk::<8>()?;
    let (&length, rest) = rest.split_first()?;
    let (tenant, rest) = rest.split_at_checked(usize::from(length))?;
    let (label, rights) = match rest {
        [label @ .., 0, rights] => (label, Rights::from_bits(*rights)),
        label => (label, Rights::default()),
    };
    let label = std::str::from_utf8(label).ok()?;
    let info = KeyInfo {
        id: std::str::from_utf8(id).ok()?.to_owned(),
        tenant: std::str::from_utf8(tenant).ok()?.parse().ok()?,
        label: (!label.is_empty()).then(|| label.to_owned()),
        created_at: timestamp(i64::from_le_bytes(*created)),
        rights,
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

fn damaged() -> Error {
    Error::new(Kind::Store, "the gallery's list of API keys is damaged").help("run facegate check")
}
