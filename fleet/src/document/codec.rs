//! A document as bytes: [postcard](https://postcard.jamesmunns.com/wire-format.html), with a version in front.

use std::fmt;

use super::{Document, DocumentKey, SubjectDocument};
use zeroize::Zeroizing;

const VERSION: u8 = 1;

/// Most bytes of a document before it is sealed: some 75 embeddings without metadata. Sealed and written as JSON it stays
/// below the 128 KiB that the smallest brokers take (AWS IoT Core).
pub const MAX_SEALED_BYTES: usize = 96 * 1000;

const MAX_TEMPLATE_BYTES: usize = 4096;

/// What lives of a document, in 128 bits of BLAKE3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash(pub u128);

/// Bytes that are no document, or one that breaks its own limits. Says nothing of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadDocument(pub &'static str);

impl fmt::Display for BadDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadDocument {}

impl Document {
    /// The bytes.
    ///
    /// # Errors
    /// Where it breaks a limit: more than [`MAX_SEALED_BYTES`] in all, a name, a template or a score out of its range.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, BadDocument> {
        self.check()?;
        // All at once: a vector that grows would leave copies of templates in freed memory.
        let size = postcard::experimental::serialized_size(self).map_err(|_| BadDocument("it cannot be written"))?;
        if size + 1 > MAX_SEALED_BYTES {
            return Err(BadDocument("it is larger than a message may be: remove some of its embeddings"));
        }
        let mut bytes = Zeroizing::new(vec![0; size + 1]);
        bytes[0] = VERSION;
        postcard::to_slice(self, &mut bytes[1..]).map_err(|_| BadDocument("it cannot be written"))?;
        Ok(bytes)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// Where the bytes are none, or break a limit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadDocument> {
        let Some((&VERSION, rest)) = bytes.split_first() else {
            return Err(BadDocument("it is of a version that is not known"));
        };
        if bytes.len() > MAX_SEALED_BYTES {
            return Err(BadDocument("it is too large"));
        }
        let (document, rest): (Self, _) =
            postcard::take_from_bytes(rest).map_err(|_| BadDocument("it is no document"))?;
        if !rest.is_empty() {
            return Err(BadDocument("there is more behind it"));
        }
        document.check()?;
        Ok(document)
    }

    /// The hash of what lives, under its key; `None` where nothing does. Tombstones and the memory of what is gone do not
    /// count: doors forget them in their own time.
    pub fn hash(&self, key: &DocumentKey) -> Option<Hash> {
        if !self.is_alive() {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(key.as_bytes());
        let written = match self {
            Self::Subject(subject) if !subject.removed.is_empty() => {
                let living = SubjectDocument { removed: Default::default(), ..subject.clone() };
                postcard::to_io(&Self::Subject(living), &mut hasher)
            }
            _ => postcard::to_io(self, &mut hasher),
        };
        written.expect("a hasher takes everything");
        let mut hash = [0; 16];
        hasher.finalize_xof().fill(&mut hash);
        Some(Hash(u128::from_le_bytes(hash)))
    }

    fn check(&self) -> Result<(), BadDocument> {
        let name =
            |text: &str, most: usize| !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control);
        let names = match self {
            Self::Subject(subject) => {
                let owner = subject.owner.as_ref();
                if owner.is_none() && subject.is_alive() {
                    return Err(BadDocument("it is of nobody"));
                }
                owner.is_none_or(|owner| name(&owner.tenant, 64) && name(&owner.subject, 256))
            }
            Self::Rules(rules) => name(&rules.tenant, 64) && name(&rules.name, 256),
            Self::Tenant(tenant) => name(&tenant.tenant, 64),
        };
        if !names {
            return Err(BadDocument("a name in it is empty, too long or has control characters"));
        }
        let Self::Subject(subject) = self else { return Ok(()) };
        for embedding in subject.embeddings.values() {
            let fixed = &embedding.fixed;
            let score = |score: f32| (0.0..=1.0).contains(&score);
            if fixed.template.as_slice().len() > MAX_TEMPLATE_BYTES || !name(&fixed.model, 255) {
                return Err(BadDocument("a template or a model's id in it is too long"));
            }
            if !score(fixed.quality) || !fixed.liveness.is_none_or(score) {
                return Err(BadDocument("a score in it is not from 0 to 1"));
            }
            if fixed.source.as_ref().is_some_and(|source| source.len() > 256) {
                return Err(BadDocument("a source in it is too long"));
            }
        }
        Ok(())
    }
}
