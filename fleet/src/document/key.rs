use std::{fmt, str::FromStr};

use super::Kind;
use crate::keys::{NamingKey, SealingKey};

/// How many buckets documents are counted in.
pub const BUCKETS: usize = 256;

/// What a document is called in public: 128 bits of a keyed BLAKE3 of what it is of, so that a broker learns no name. In
/// topics, 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey([u8; 16]);

impl DocumentKey {
    /// The key of `tenant`'s document called `name` (a subject's id, a rule's name; empty for the tenant's own).
    pub fn new(site: &SealingKey, kind: Kind, tenant: &str, name: &str) -> Self {
        Self::named(&site.naming(), kind, tenant, name)
    }

    /// The same for whoever has the naming key alone.
    pub fn named(site: &NamingKey, kind: Kind, tenant: &str, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(site.as_bytes());
        hasher.update(&[kind as u8]);
        hasher.update(tenant.as_bytes());
        // Neither a tenant's nor a subject's id has control characters.
        hasher.update(&[0]);
        hasher.update(name.as_bytes());
        let mut key = [0; 16];
        hasher.finalize_xof().fill(&mut key);
        Self(key)
    }

    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes; they sort as the key does.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Which of the [`BUCKETS`] it is in.
    pub const fn bucket(&self) -> u8 {
        self.0[0]
    }
}

impl FromStr for DocumentKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(());
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(()),
        };
        let mut key = [0; 16];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(key))
    }
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
