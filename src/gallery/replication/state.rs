//! A row of `documents`: what is remembered of a document beside what the store has of it anyway.
//!
//! | bytes | |
//! | --- | --- |
//! | 1 | version of this layout, 1 |
//! | 16 | the hash of what lives in the document, little-endian; zeros where nothing does |
//! | … | [`State`] in postcard |
//!
//! Templates, metadata and rules are in their own tables, sealed, and nowhere else: here are their digests, to see that they
//! changed. Of a subject that was erased no name is left.

use std::collections::BTreeMap;

use facegate_fleet::{
    document::{DocumentKey, EmbeddingId, Hash, Lww, Owner, TenantDocument},
    stamp::Stamp,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

const VERSION: u8 = 1;

/// Bytes before the state.
const HEAD: usize = 17;

/// What stands for bytes that lie elsewhere; `None` where there are none.
pub(super) type Digest = Option<[u8; 16]>;

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub hash: Option<Hash>,
    pub state: State,
}

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum State {
    Subject(SubjectState),
    Rules(RulesState),
    Tenant(TenantDocument),
}

/// Of a subject.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SubjectState {
    pub owner: Option<Owner>,
    pub erased: Option<Stamp>,
    pub active: Option<Lww<bool>>,
    pub rules: Option<Lww<Digest>>,
    pub embeddings: BTreeMap<EmbeddingId, EmbeddingState>,
    pub removed: BTreeMap<EmbeddingId, Stamp>,
}

/// Of an embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EmbeddingState {
    pub added: Stamp,
    pub metadata: Lww<Digest>,
}

/// Of a tenant's rules but those of subjects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RulesState {
    pub tenant: String,
    pub name: String,
    pub value: Option<Lww<Digest>>,
}

impl SubjectState {
    /// Whether anything of the person is left: as of the document itself, an embedding or rules.
    pub fn is_alive(&self) -> bool {
        !self.embeddings.is_empty() || self.rules.as_ref().is_some_and(|rules| rules.value.is_some())
    }
}

impl Row {
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.hash.map_or(0, |hash| hash.0).to_le_bytes());
        postcard::to_extend(&self.state, bytes)
            .map_err(|error| Error::new(Kind::Internal, "a document's state cannot be written").source(error))
    }

    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let hash = Self::hash_of(bytes)?;
        let state = postcard::from_bytes(&bytes[HEAD..]).map_err(|_| damaged())?;
        Ok(Self { hash, state })
    }

    /// The hash alone.
    pub fn hash_of(bytes: &[u8]) -> Result<Option<Hash>> {
        match bytes.split_first_chunk::<HEAD>() {
            Some(([VERSION, hash @ ..], _)) => {
                let hash = u128::from_le_bytes(*hash);
                Ok((hash != 0).then_some(Hash(hash)))
            }
            _ => Err(damaged()),
        }
    }
}

/// Reads a row's key.
pub(super) fn parse_key(bytes: &[u8]) -> Result<DocumentKey> {
    bytes.try_into().map(DocumentKey::from_bytes).map_err(|_| damaged())
}

/// What stands for these bytes.
pub(super) fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    blake3::Hasher::new().update(bytes).finalize_xof().fill(&mut digest);
    digest
}

/// The same of what may not be there.
pub(super) fn digest_of(bytes: Option<&[u8]>) -> Digest {
    bytes.map(digest)
}

fn damaged() -> Error {
    Error::new(Kind::Store, "what the gallery knows of a shared document cannot be read")
        .help("restore the folder from a backup, or leave the site (facegate fleet leave) and join again")
}
