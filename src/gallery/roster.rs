//! Who can be matched: every tenant's index, in memory. Built from the store, kept in step with it, never the truth.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::Ordering,
};

use super::{
    Gallery,
    ids::{EmbeddingId, SubjectId, TenantId},
    index::FaceIndex,
    record::{Header, Secret, fixed_part},
    store::{Change, Entry, Tenant, View},
};
use crate::{error::Result, vision::Embedding};

/// Vectors that are handed to FAISS at once while an index is built, 2 KiB each.
const AT_ONCE: usize = 512;

/// Whose vector it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Face {
    pub subject: SubjectId,
    pub embedding: EmbeddingId,
}

/// An answer of a search.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hit {
    pub id: u64,
    pub face: Face,
    pub cosine: f32,
}

/// The indexes of all tenants, apart from each other.
#[derive(Default)]
pub(super) struct Roster {
    tenants: HashMap<TenantId, u32>,
    indexes: HashMap<u32, FaceIndex<Face>>,
}

impl Roster {
    /// A tenant's index, where the tenant has anybody to be matched.
    pub fn index(&self, tenant: &TenantId) -> Option<&FaceIndex<Face>> {
        self.indexes.get(self.tenants.get(tenant)?)
    }

    /// The index of the tenant with this number.
    pub fn index_of(&self, tenant: u32) -> Option<&FaceIndex<Face>> {
        self.indexes.get(&tenant)
    }

    /// All indexes with their tenants' numbers, in no order.
    pub fn indexes(&self) -> impl Iterator<Item = (u32, &FaceIndex<Face>)> {
        self.indexes.iter().map(|(&tenant, index)| (tenant, index))
    }

    #[cfg(test)]
    pub fn index_mut(&mut self, tenant: u32) -> &mut FaceIndex<Face> {
        self.indexes.get_mut(&tenant).expect("the test knows its tenant")
    }

    fn add(&mut self, tenant: u32, vectors: &[f32], faces: Vec<(u64, Face)>) -> Result<()> {
        match self.indexes.entry(tenant) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(FaceIndex::new()?),
        }
        .add(vectors, faces)
    }

    fn remove(&mut self, tenant: u32, ids: &[u64]) -> Result<()> {
        let Some(index) = self.indexes.get_mut(&tenant) else { return Ok(()) };
        index.remove(ids)?;
        if index.len() == 0 {
            self.indexes.remove(&tenant);
        }
        Ok(())
    }
}

/// The best embedding of each of the best `limit` subjects with at least `least`: best first, ties by embedding id.
///
/// `per_subject` is how many embeddings a subject has at most, as a rule: it decides how many are fetched at first.
pub(super) fn best_of_each(
    index: &FaceIndex<Face>,
    probe: &Embedding,
    limit: usize,
    least: f32,
    per_subject: usize,
) -> Result<Vec<Hit>> {
    let mut fetch = limit.saturating_mul(per_subject).max(8);
    loop {
        let found = index.nearest(probe.as_slice(), fetch)?;
        let everything = found.len() == index.len();
        // What was not fetched is no better than this.
        let worst = found.last().map_or(f32::NEG_INFINITY, |&(_, cosine)| cosine);
        let mut found: Vec<_> =
            found.into_iter().filter_map(|(id, cosine)| Some((id, index.get(id)?, cosine))).collect();
        found.sort_by(|(_, a, x), (_, b, y)| y.total_cmp(x).then_with(|| a.embedding.cmp(&b.embedding)));
        let mut seen = HashSet::new();
        found.retain(|(_, face, _)| seen.insert(&face.subject));
        let settled =
            limit.checked_sub(1).and_then(|last| found.get(last)).is_some_and(|&(_, _, cosine)| cosine > worst);
        if everything || settled || worst < least {
            let best = found.into_iter().take(limit).take_while(|&(_, _, cosine)| cosine >= least);
            return Ok(best.map(|(id, face, cosine)| Hit { id, face: face.clone(), cosine }).collect());
        }
        fetch = fetch.saturating_mul(4);
    }
}

/// Vectors on their way to an index.
#[derive(Default)]
struct Batch {
    vectors: Vec<f32>,
    faces: Vec<(u64, Face)>,
}

impl Batch {
    fn push(&mut self, header: Header, embedding: &Embedding) {
        self.vectors.extend_from_slice(embedding.as_slice());
        self.faces.push((header.id, Face { subject: header.subject, embedding: header.embedding }));
    }
}

impl Gallery {
    /// Brings the memory up to what any process has committed; whether there was anything. Costs next to nothing where
    /// there was not.
    pub(super) fn catch_up(&self) -> Result<bool> {
        let caught_up = self.take_in();
        self.following.note(caught_up.as_ref().err(), self.clock.now());
        caught_up
    }

    /// Whether the memory has whatever was committed until now. Costs a memory access.
    pub(super) fn is_caught_up(&self) -> bool {
        self.seen.load(Ordering::Acquire) == self.store.newest_transaction()
    }

    fn take_in(&self) -> Result<bool> {
        if self.is_caught_up() {
            return Ok(false);
        }
        let mut applied = self.applied.lock();
        let txn = self.store.read()?;
        let changed = self.bring_to(&txn, &mut applied)?;
        self.seen.store(txn.id(), Ordering::Release);
        Ok(changed)
    }

    /// Brings the memory to the state of `txn`. `applied` is the last change that is in it; `None` where it is to be built.
    pub(super) fn bring_to(&self, txn: &View<'_>, applied: &mut Option<u64>) -> Result<bool> {
        let newest = self.store.newest_change(txn)?;
        if *applied == Some(newest) {
            return Ok(false);
        }
        // Where this fails half-way, the next call builds everything anew.
        let changes = match applied.take() {
            Some(last) if last < newest => self.store.changes_after(txn, last)?,
            _ => None,
        };
        // A change of a tenant that is no more: it was deleted.
        let changes = match changes {
            Some(changes) if !self.all_there(txn, &changes)? => None,
            changes => changes,
        };
        match changes {
            Some(changes) => self.apply(txn, &changes)?,
            None => {
                // Whatever may have been deleted meanwhile.
                let mut deletions = self.deletions.lock();
                deletions.0 += 1;
                deletions.1.clear();
                drop(deletions);
                let roster = self.build(txn)?;
                // Who goes is gone before the rules that they were held against change, and who comes is there only after
                // the rules are that they are to be held against: a door may ask in between.
                for tenant in self.take_out(&roster)? {
                    self.forget_access(&tenant);
                }
                self.build_access(txn, &self.store.all_tenants(txn)?)?;
                *self.roster.write() = roster;
                self.load_keys(txn)?;
            }
        }
        *applied = Some(newest);
        Ok(true)
    }

    /// Whether all tenants that these changes are about exist. Keys may be everybody's.
    fn all_there(&self, txn: &View<'_>, changes: &[Entry]) -> Result<bool> {
        let there: HashSet<u32> = self.store.all_tenants(txn)?.iter().map(|tenant| tenant.number).collect();
        Ok(changes.iter().all(|entry| entry.change == Change::Keys || there.contains(&entry.tenant)))
    }

    /// Takes out whoever is not in the new roster; gives the tenants that are not.
    fn take_out(&self, new: &Roster) -> Result<Vec<TenantId>> {
        let (tenants, faces) = {
            let old = self.roster.read();
            let stays = |name: &TenantId, number: &u32| new.tenants.get(name) == Some(number);
            let tenants =
                old.tenants.iter().filter(|&(name, number)| !stays(name, number)).map(|(name, _)| name.clone());
            let faces = old.indexes().map(|(number, index)| {
                let stays = |id: u64| new.index_of(number).is_some_and(|index| index.get(id).is_some());
                (number, index.ids().filter(|&id| !stays(id)).collect::<Vec<_>>())
            });
            (tenants.collect::<Vec<_>>(), faces.collect::<Vec<_>>())
        };
        let mut roster = self.roster.write();
        for tenant in &tenants {
            roster.tenants.remove(tenant);
        }
        for (number, ids) in faces {
            roster.remove(number, &ids)?;
        }
        Ok(tenants)
    }

    fn apply(&self, txn: &View<'_>, changes: &[Entry]) -> Result<()> {
        let mut changed: HashMap<u32, Vec<u64>> = HashMap::new();
        let mut added: HashMap<u32, Batch> = HashMap::new();
        // The store says what became of a record, whatever happened to it and in whichever order: each is taken out, and those
        // that are to be matched now are put in, once each.
        let mut records = HashMap::new();
        for entry in changes.iter().filter(|entry| matches!(entry.change, Change::Added | Change::Removed)) {
            if records.insert(entry.id, entry.tenant).is_none() {
                changed.entry(entry.tenant).or_default().push(entry.id);
            }
        }
        let tenants = self.store.all_tenants(txn)?;
        let slots: HashMap<u32, u32> = tenants.iter().map(|tenant| (tenant.number, tenant.slot)).collect();
        let mut stay = HashSet::new();
        for (id, tenant) in records {
            let Some(bytes) = self.store.records.get(txn, &id.to_be_bytes())? else {
                let mut deletions = self.deletions.lock();
                match tenants.iter().find(|row| row.number == tenant) {
                    Some(row) => *deletions.1.entry(row.name.clone()).or_default() += 1,
                    None => deletions.0 += 1,
                }
                continue;
            };
            let Some((header, embedding)) = self.matchable(bytes, &slots)? else { continue };
            stay.insert(id);
            added.entry(header.tenant).or_default().push(header, &embedding);
        }
        // Who goes, then the rules, then who comes: see `bring_to`.
        let new = {
            let mut roster = self.roster.write();
            for (&tenant, ids) in &changed {
                let gone: Vec<u64> = ids.iter().copied().filter(|id| !stay.contains(id)).collect();
                roster.remove(tenant, &gone)?;
            }
            let known = |tenant: &&Tenant| roster.tenants.get(&tenant.name) == Some(&tenant.number);
            tenants.iter().filter(|tenant| !known(tenant)).map(|tenant| tenant.number).collect()
        };
        self.apply_access(txn, changes, &tenants, &new)?;
        if changes.iter().any(|entry| entry.change == Change::Keys) {
            self.load_keys(txn)?;
        }
        let mut roster = self.roster.write();
        for (tenant, ids) in changed {
            roster.remove(tenant, &ids)?;
        }
        for (tenant, batch) in added {
            roster.add(tenant, &batch.vectors, batch.faces)?;
        }
        roster.tenants = tenants.into_iter().map(|tenant| (tenant.name, tenant.number)).collect();
        Ok(())
    }

    fn build(&self, txn: &View<'_>) -> Result<Roster> {
        let mut roster = Roster::default();
        let tenants = self.store.all_tenants(txn)?;
        let slots = tenants.iter().map(|tenant| (tenant.number, tenant.slot)).collect();
        let mut batches: HashMap<u32, Batch> = HashMap::new();
        for row in self.store.records.iter(txn)? {
            let (_, bytes) = row?;
            let Some((header, embedding)) = self.matchable(bytes, &slots)? else { continue };
            let tenant = header.tenant;
            let batch = batches.entry(tenant).or_default();
            batch.push(header, &embedding);
            if batch.faces.len() == AT_ONCE {
                roster.add(tenant, &batch.vectors, std::mem::take(&mut batch.faces))?;
                batch.vectors.clear();
            }
        }
        for (tenant, batch) in batches {
            roster.add(tenant, &batch.vectors, batch.faces)?;
        }
        roster.tenants = tenants.into_iter().map(|tenant| (tenant.name, tenant.number)).collect();
        Ok(roster)
    }

    /// Opens a record that belongs into an index: active, and of the loaded recogniser. A record that cannot be opened is
    /// left out with a word in the log; [`check`](Gallery::check) names it.
    fn matchable(&self, bytes: &[u8], slots: &HashMap<u32, u32>) -> Result<Option<(Header, Embedding)>> {
        let Some((header, sealed)) = Header::parse(bytes) else {
            tracing::error!("the gallery holds a record that cannot be read; run facegate check");
            return Ok(None);
        };
        if !header.active || header.model != self.model {
            return Ok(None);
        }
        let known = fixed_part(&bytes[..bytes.len() - sealed.len()]);
        let tenant_slot = slots.get(&header.tenant).copied().unwrap_or_default();
        let plain = self.vault.unseal(tenant_slot, header.slot, known, sealed)?;
        let Some(embedding) = plain.and_then(|plain| Secret::parse_embedding(&plain)) else {
            if !self.is_gone(bytes)? {
                tracing::error!(embedding = %header.embedding, "an enrolment cannot be opened; run facegate check");
            }
            return Ok(None);
        };
        Ok(Some((header, embedding)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vision::DIMENSION;

    /// Vectors that agree with the first axis to one of three degrees, exactly: many ties.
    fn vector(degree: usize) -> Embedding {
        let mut raw = [0.0; DIMENSION];
        raw[0] = [1.0, 0.5, 0.25][degree];
        raw[1] = (1.0f32 - raw[0] * raw[0]).sqrt();
        Embedding::normalised(&raw).expect("it is of unit length")
    }

    proptest! {
        /// Whatever order the faces came in, and however many tie where the fetch ends.
        #[test]
        fn the_best_of_each_subject_is_what_a_plain_sort_finds(
            faces in prop::collection::vec((0usize..3, 0u8..40, any::<[u8; 16]>()), 1..120),
            limit in 1usize..6,
            least in prop_oneof![Just(-1.0f32), Just(0.4), Just(0.9)],
        ) {
            let mut index = FaceIndex::new().unwrap();
            let mut all = Vec::new();
            for (id, (degree, subject, uuid)) in (0u64..).zip(faces) {
                let embedding = vector(degree);
                let subject: SubjectId = format!("s{subject}").parse().unwrap();
                let face = Face { subject, embedding: EmbeddingId::from_bytes(uuid) };
                index.add(embedding.as_slice(), vec![(id, face.clone())]).unwrap();
                all.push((embedding.cosine(&vector(0)), face));
            }
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.embedding.cmp(&b.1.embedding)));
            let mut seen = HashSet::new();
            all.retain(|(cosine, face)| seen.insert(face.subject.clone()) && *cosine >= least);
            all.truncate(limit);
            let hits = best_of_each(&index, &vector(0), limit, least, 1).unwrap();
            let hits: Vec<_> = hits.into_iter().map(|hit| hit.face).collect();
            prop_assert_eq!(hits, all.into_iter().map(|(_, face)| face).collect::<Vec<_>>());
        }
    }
}
