//! What all simulated doors have in common, so that a thousand of them fit: every state that a document ever had, once. A
//! door has one number a document. Merging is `facegate_fleet`'s own, done once for each pair of states that meet.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use facegate_fleet::{
    document::{Document, DocumentKey, Hash, Kind, Summary, apply},
    keys::PublicKey,
    open::Arrived,
    sync::{Documents, Outcome},
};

/// A state of a document; 0: there is none.
pub type Version = u32;

/// Every state, and what became of every pair that met.
pub struct Shared {
    pub keys: Vec<DocumentKey>,
    places: HashMap<DocumentKey, u32>,
    states: Vec<(Arc<Document>, Option<Hash>)>,
    known: HashMap<[u8; 32], Version>,
    merged: HashMap<(Version, Version), (Version, Outcome)>,
    /// The last that arrived, since one message goes to many doors.
    last: Option<(Arc<Arrived>, Version)>,
    signers: Vec<PublicKey>,
}

impl Shared {
    pub fn new(keys: Vec<DocumentKey>) -> Self {
        let places = keys.iter().enumerate().map(|(place, key)| (*key, place as u32)).collect();
        Self {
            keys,
            places,
            states: Vec::new(),
            known: HashMap::new(),
            merged: HashMap::new(),
            last: None,
            signers: Vec::new(),
        }
    }

    pub fn place(&self, key: &DocumentKey) -> usize {
        self.places[key] as usize
    }

    pub fn state(&self, version: Version) -> Option<&Arc<Document>> {
        Some(&self.states[version.checked_sub(1)? as usize].0)
    }

    pub fn hash(&self, version: Version) -> Option<Hash> {
        self.states[version.checked_sub(1)? as usize].1
    }

    /// The number of a state.
    pub fn intern(&mut self, key: &DocumentKey, document: Arc<Document>) -> Version {
        let mut hasher = blake3::Hasher::new();
        hasher.update(key.as_bytes()).update(&document.to_bytes().expect("a simulated document is small"));
        let states = &mut self.states;
        *self.known.entry(*hasher.finalize().as_bytes()).or_insert_with(|| {
            let hash = document.hash(key);
            states.push((document, hash));
            states.len() as Version
        })
    }

    fn arrived(&mut self, arrived: &Arc<Arrived>) -> Version {
        if let Some((last, version)) = &self.last
            && Arc::ptr_eq(last, arrived)
        {
            return *version;
        }
        let version = self.intern(&arrived.key, Arc::clone(&arrived.document));
        self.last = Some((Arc::clone(arrived), version));
        version
    }

    /// What becomes of `own` where `arrived` arrives.
    pub fn merge(&mut self, key: &DocumentKey, own: Version, arrived: Version) -> (Version, Outcome) {
        if own == arrived {
            return (own, Outcome::default());
        }
        if let Some(known) = self.merged.get(&(own, arrived)) {
            return known.clone();
        }
        let mine = self.state(own).cloned();
        let theirs = self.state(arrived).cloned().expect("what arrives is something");
        let merged = apply(mine.as_deref(), &theirs, None, 0);
        let outcome = Outcome { changed: merged.changed, ahead: merged.ahead, erased: merged.erased, also: Vec::new() };
        let version = self.intern(key, Arc::new(merged.document));
        self.merged.insert((own, arrived), (version, outcome.clone()));
        (version, outcome)
    }

    fn signer(&mut self, key: &PublicKey) -> u16 {
        let place = self.signers.iter().position(|known| known == key).unwrap_or_else(|| {
            self.signers.push(*key);
            self.signers.len() - 1
        });
        place as u16 + 1
    }
}

/// One door's documents: their states, and who signed the broker's copies (0: none was seen).
pub struct Table {
    pub versions: Vec<Version>,
    copies: Vec<u16>,
    pub summary: Summary,
}

impl Table {
    pub fn new(documents: usize) -> Self {
        Self { versions: vec![0; documents], copies: vec![0; documents], summary: Summary::default() }
    }

    pub fn set(&mut self, shared: &Shared, place: usize, version: Version) {
        let old = std::mem::replace(&mut self.versions[place], version);
        self.summary.change(&shared.keys[place], shared.hash(old), shared.hash(version));
    }
}

/// A door's store, as the engine sees it.
pub struct Store<'a> {
    pub shared: &'a mut Shared,
    pub table: &'a mut Table,
}

impl Documents for Store<'_> {
    type Error = Infallible;

    fn get(&self, key: &DocumentKey) -> Result<Option<Arc<Document>>, Infallible> {
        Ok(self.shared.state(self.table.versions[self.shared.place(key)]).cloned())
    }

    fn merge(&mut self, arrived: &[Arc<Arrived>], _: u64) -> Result<Vec<Outcome>, Infallible> {
        let merge = |arrived: &Arc<Arrived>| {
            let theirs = self.shared.arrived(arrived);
            let place = self.shared.place(&arrived.key);
            let own = self.table.versions[place];
            let (version, outcome) = self.shared.merge(&arrived.key, own, theirs);
            if version != own {
                self.table.set(self.shared, place, version);
            }
            outcome
        };
        Ok(arrived.iter().map(merge).collect())
    }

    fn summary(&self) -> &Summary {
        &self.table.summary
    }

    fn spent(&self, _: u64) -> Result<Vec<(Kind, DocumentKey)>, Infallible> {
        Ok(Vec::new())
    }

    fn forget(&mut self, _: &[DocumentKey]) -> Result<(), Infallible> {
        Ok(())
    }

    fn note_copy(&mut self, key: &DocumentKey, signer: Option<&PublicKey>) {
        let place = self.shared.place(key);
        self.table.copies[place] = signer.map_or(0, |signer| self.shared.signer(signer));
    }

    fn forget_copies(&mut self) {
        self.table.copies.fill(0);
    }

    fn has_copy(&self, key: &DocumentKey) -> bool {
        self.table.copies[self.shared.place(key)] != 0
    }

    fn copies_by(&self, signer: &PublicKey) -> Vec<DocumentKey> {
        let Some(place) = self.shared.signers.iter().position(|known| known == signer) else { return Vec::new() };
        let by = self.table.copies.iter().zip(&self.shared.keys).filter(|(copy, _)| usize::from(**copy) == place + 1);
        by.map(|(_, key)| *key).collect()
    }

    fn without_copy(&self) -> Result<Vec<DocumentKey>, Infallible> {
        let places = self.table.copies.iter().zip(&self.table.versions).zip(&self.shared.keys);
        Ok(places.filter(|((copy, version), _)| **copy == 0 && **version != 0).map(|(_, key)| *key).collect())
    }
}
