//! The names of things: tenants, subjects, embeddings. Each is valid from the moment that it exists.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Kind, Result};

/// Longest tenant id, in bytes.
pub const MAX_TENANT_BYTES: usize = 64;

/// Longest subject id, in bytes of UTF-8.
pub const MAX_SUBJECT_BYTES: usize = 256;

/// A tenant: an organisation whose enrolments nobody else sees. 1 to 64 of `a`–`z`, `0`–`9`, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema, Deserialize)]
#[schema(value_type = String, pattern = "^[a-z0-9_-]{1,64}$")]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
        if text.is_empty() || text.len() > MAX_TENANT_BYTES || !text.bytes().all(allowed) {
            return Err(Error::new(
                Kind::InvalidField,
                format!("the tenant must be 1 to {MAX_TENANT_BYTES} characters out of a-z, 0-9, _ and -"),
            ));
        }
        Ok(Self(text.into()))
    }
}

/// A subject, that is a person, within one tenant. 1 to 256 bytes of UTF-8 without control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema, Deserialize)]
#[schema(value_type = String, min_length = 1, max_length = 256)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectId(Arc<str>);

impl SubjectId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubjectId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > MAX_SUBJECT_BYTES || text.chars().any(char::is_control) {
            return Err(Error::new(
                Kind::InvalidField,
                format!("subject_id must be 1 to {MAX_SUBJECT_BYTES} bytes of UTF-8 without control characters"),
            ));
        }
        Ok(Self(text.into()))
    }
}

/// An embedding: a UUID of version 7, so that ids sort by the time of their making.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema, Deserialize)]
#[schema(value_type = String, format = Uuid)]
#[serde(transparent)]
pub struct EmbeddingId(Uuid);

impl EmbeddingId {
    /// The id with these 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes; they sort as the id does.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl From<Uuid> for EmbeddingId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for EmbeddingId {
    type Err = Error;

    /// Reads the hyphenated form and no other, so that an id has one spelling (letters may be capital).
    fn from_str(text: &str) -> Result<Self> {
        let refused = || Error::new(Kind::InvalidField, "the embedding id must be a UUID of 36 characters");
        if text.len() != 36 {
            return Err(refused());
        }
        Uuid::try_parse(text).map(Self).map_err(|_| refused())
    }
}

macro_rules! text_of {
    ($($name:ident)+) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )+};
}

text_of!(TenantId SubjectId);

macro_rules! shown {
    ($($name:ident)+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )+};
}

shown!(TenantId SubjectId EmbeddingId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_keep_their_rules_and_the_error_tells_them() {
        for good in ["a", "acme-hq_2", &"x".repeat(64)] {
            assert_eq!(good.parse::<TenantId>().unwrap().as_str(), good);
        }
        for bad in ["", "Acme", "a b", "ä", "a/b", &"x".repeat(65)] {
            let error = bad.parse::<TenantId>().unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidField);
            assert!(error.message().contains("1 to 64"));
        }
        for good in ["a", "Jörg Müller", "人 1", "../../etc", &"ä".repeat(128)] {
            assert_eq!(good.parse::<SubjectId>().unwrap().as_str(), good);
        }
        for bad in ["", "a\0b", "a\nb", "\u{7f}", "\u{85}", &"ä".repeat(129), &"x".repeat(257)] {
            let error = bad.parse::<SubjectId>().unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidField);
            assert!(error.message().contains("1 to 256 bytes"));
        }
        for bad in ["", "1", "019a0000-0000-7000-8000-00000000000g", "019a000000007000800000000000000f"] {
            assert_eq!(bad.parse::<EmbeddingId>().unwrap_err().kind(), Kind::InvalidField);
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(bytes in any::<[u8; 16]>(), text in "\\PC{1,64}") {
            let id = EmbeddingId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<EmbeddingId>().unwrap(), id);
            if let Ok(subject) = text.parse::<SubjectId>() {
                let json = serde_json::to_string(&subject).unwrap();
                prop_assert_eq!(serde_json::from_str::<SubjectId>(&json).unwrap(), subject);
            }
        }
    }
}
