use std::collections::HashMap;

use crate::{document::DocumentKey, keys::PublicKey};

/// Who signed the retained copies that a connection has seen. Some 25 bytes a document.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    signers: Vec<PublicKey>,
    by: HashMap<DocumentKey, u32>,
}

impl Copies {
    /// As [`Documents::note_copy`](super::Documents::note_copy).
    pub fn note(&mut self, key: &DocumentKey, signer: Option<&PublicKey>) {
        let Some(signer) = signer else {
            self.by.remove(key);
            return;
        };
        let place = self.signers.iter().position(|known| known == signer).unwrap_or_else(|| {
            self.signers.push(*signer);
            self.signers.len() - 1
        });
        self.by.insert(*key, u32::try_from(place).expect("fewer signers than devices of a site"));
    }

    /// As [`Documents::forget_copies`](super::Documents::forget_copies).
    pub fn clear(&mut self) {
        self.by.clear();
        self.signers.clear();
    }

    /// As [`Documents::has_copy`](super::Documents::has_copy).
    pub fn has(&self, key: &DocumentKey) -> bool {
        self.by.contains_key(key)
    }

    /// As [`Documents::copies_by`](super::Documents::copies_by).
    pub fn by(&self, signer: &PublicKey) -> Vec<DocumentKey> {
        let Some(place) = self.signers.iter().position(|known| known == signer) else { return Vec::new() };
        let mut keys: Vec<_> = self.by.iter().filter(|(_, by)| **by as usize == place).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }
}
