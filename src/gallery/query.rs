//! All that reads: searching, comparing, listing, counting.

use std::ops::Bound;

use zeroize::Zeroizing;

use super::{
    Gallery,
    enrol::{internal_id, subject_key, subject_not_found, unreadable},
    ids::{EmbeddingId, SubjectId, TenantId},
    record::{Header, Secret, fixed_part},
    roster::best_of_each,
    store::View,
    types::{Likeness, ListFilter, Match, Page, Stats},
};
use crate::{
    error::{Error, Kind, Result},
    vision::Embedding,
};

/// The most that a search or a page gives.
pub(super) const MAX_LIMIT: usize = 1000;

/// What the index may be off by: it must not lose what is just near enough.
const ROUNDING: f32 = 1e-5;

impl Gallery {
    /// The best embedding of each subject with a cosine of at least `least_cosine`: best first, ties by id, `limit`
    /// (1 to 1000) at most. Empty for a tenant that has nobody enrolled.
    ///
    /// # Errors
    /// `InvalidField` for a limit out of its range.
    pub fn search(&self, tenant: &TenantId, probe: &Embedding, limit: usize, least_cosine: f32) -> Result<Vec<Match>> {
        check_limit(limit)?;
        self.catch_up()?;
        let hits = match self.roster.read().index(tenant) {
            Some(index) => best_of_each(index, probe, limit, least_cosine - ROUNDING, self.settings.keep_active)?,
            None => return Ok(Vec::new()),
        };
        let txn = self.store.read()?;
        let Some(row) = self.store.tenant(&txn, tenant)? else { return Ok(Vec::new()) };
        let mut matches = Vec::with_capacity(hits.len());
        for hit in hits {
            // Deleted or replaced since the index was asked: then it is no match.
            let Some(bytes) = self.store.records.get(&txn, &hit.id.to_be_bytes())? else { continue };
            match self.open_record(&txn, row.slot, bytes)? {
                Some((header, secret)) if header.active => {
                    // As `compare` has it: the index adds in another order, and so rounds otherwise.
                    let cosine = secret.embedding.cosine(probe);
                    matches.push(Match { enrolment: header.into_enrolment(secret), cosine });
                }
                _ => {}
            }
        }
        matches.retain(|found| found.cosine >= least_cosine);
        matches.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then_with(|| a.enrolment.id.cmp(&b.enrolment.id)));
        Ok(matches)
    }

    /// The best two subjects with the best embedding and cosine of each, best first, ties by id. For the door: from memory
    /// alone, waits for no disk. Call [`refresh`](Self::refresh) now and then to see what other processes do.
    pub fn best_two(&self, tenant: &TenantId, probe: &Embedding) -> Result<Vec<(SubjectId, EmbeddingId, f32)>> {
        let roster = self.roster.read();
        let Some(index) = roster.index(tenant) else { return Ok(Vec::new()) };
        let hits = best_of_each(index, probe, 2, f32::NEG_INFINITY, self.settings.keep_active)?;
        Ok(hits.into_iter().map(|hit| (hit.face.subject, hit.face.embedding, hit.cosine)).collect())
    }

    /// How many embeddings of the tenant a face at the door is compared with. From memory alone.
    pub fn compared_with(&self, tenant: &TenantId) -> usize {
        self.roster.read().index(tenant).map_or(0, |index| index.len())
    }

    /// Compares with all active embeddings of a subject and gives the best, however bad it is; ties by id.
    ///
    /// # Errors
    /// `SubjectNotFound` where the subject has no active embedding of the loaded recogniser.
    pub fn compare(&self, tenant: &TenantId, subject: &SubjectId, probe: &Embedding) -> Result<Match> {
        let txn = self.store.read()?;
        let row = self.store.tenant(&txn, tenant)?.ok_or_else(subject_not_found)?;
        let mut best: Option<Match> = None;
        for entry in self.of_subject(&txn, row.number, subject)?.iter().filter(|entry| entry.active) {
            let bytes = self.store.records.get(&txn, &entry.id.to_be_bytes())?.ok_or_else(unreadable)?;
            if Header::parse(bytes).is_none_or(|(header, _)| header.model != self.model) {
                continue;
            }
            let Some((header, secret)) = self.open_record(&txn, row.slot, bytes)? else { continue };
            let cosine = secret.embedding.cosine(probe);
            if best.as_ref().is_none_or(|best| cosine > best.cosine) {
                best = Some(Match { enrolment: header.into_enrolment(secret), cosine });
            }
        }
        best.ok_or_else(subject_not_found)
    }

    /// How alike the face is to those that are enrolled: to the subject's own, and to everybody else's. Of people whose
    /// embeddings are not active, the suspended among them, it tells nothing.
    ///
    /// # Errors
    /// [`Kind::Store`] where the store cannot be read.
    pub fn likeness(&self, tenant: &TenantId, subject: &SubjectId, probe: &Embedding) -> Result<Likeness> {
        self.catch_up()?;
        let other = self.best_two(tenant, probe)?.into_iter().find(|(whose, _, _)| whose != subject);
        let own = match self.compare(tenant, subject, probe) {
            Ok(best) => Some(best.cosine),
            Err(error) if error.kind() == Kind::SubjectNotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Likeness { own, other: other.map(|(whose, _, cosine)| (whose, cosine)) })
    }

    /// A page of a tenant's enrolments, by id, that is oldest first.
    ///
    /// # Errors
    /// `InvalidField` for a limit out of its range.
    pub fn list(&self, tenant: &TenantId, filter: &ListFilter) -> Result<Page> {
        check_limit(filter.limit)?;
        let mut enrolments = Vec::new();
        let next =
            self.walk_filtered(tenant, filter, |header, secret| enrolments.push(header.into_enrolment(secret)))?;
        Ok(Page { enrolments, next })
    }

    /// The first `limit` of a tenant's records after an id, oldest first, templates and all; gives where the next begin.
    pub(super) fn walk(
        &self,
        tenant: &TenantId,
        after: Option<EmbeddingId>,
        limit: usize,
        take: impl FnMut(Header, Secret),
    ) -> Result<Option<EmbeddingId>> {
        self.walk_filtered(tenant, &ListFilter { subject: None, active_only: false, limit, after }, take)
    }

    fn walk_filtered(
        &self,
        tenant: &TenantId,
        filter: &ListFilter,
        mut take: impl FnMut(Header, Secret),
    ) -> Result<Option<EmbeddingId>> {
        let txn = self.store.read()?;
        let Some(row) = self.store.tenant(&txn, tenant)? else { return Ok(None) };
        let (mut last, mut taken) = (None, 0);
        let (table, prefix) = match &filter.subject {
            Some(subject) => (self.store.subjects, subject_key(row.number, subject, None)),
            None => (self.store.ids, row.number.to_be_bytes().to_vec()),
        };
        let from = match filter.after {
            Some(after) => [prefix.as_slice(), after.as_bytes()].concat(),
            None => prefix.clone(),
        };
        // The prefix itself is no key, so "after" is right at the start too.
        let range = (Bound::Excluded(from.as_slice()), Bound::Unbounded);
        for entry in table.range(&txn, &range)? {
            let (key, value) = entry?;
            if !key.starts_with(&prefix) {
                break;
            }
            let id = internal_id(value.get(..8).unwrap_or_default())?;
            let bytes = self.store.records.get(&txn, &id.to_be_bytes())?.ok_or_else(unreadable)?;
            if filter.active_only && Header::parse(bytes).is_some_and(|(header, _)| !header.active) {
                continue;
            }
            if taken == filter.limit {
                return Ok(last);
            }
            let Some((header, secret)) = self.open_record(&txn, row.slot, bytes)? else { continue };
            (last, taken) = (Some(header.embedding), taken + 1);
            take(header, secret);
        }
        Ok(None)
    }

    /// How full the gallery is. Reads every record's header where the store has changed since: some milliseconds for 10,000 faces.
    pub fn stats(&self) -> Result<Stats> {
        let txn = self.store.read()?;
        let mut counted = self.counted.lock();
        match *counted {
            Some((transaction, stats)) if transaction == txn.id() => Ok(stats),
            _ => {
                let stats = self.count(&txn)?;
                *counted = Some((txn.id(), stats));
                Ok(stats)
            }
        }
    }

    pub(super) fn count(&self, txn: &View<'_>) -> Result<Stats> {
        let mut stats = Stats {
            tenants: self.store.tenants.len(txn)?,
            keys: self.store.keys.len(txn)?,
            used_bytes: self.store.used_bytes(txn)?,
            max_bytes: self.store.max_bytes(),
            ..Stats::default()
        };
        for row in self.store.records.iter(txn)? {
            match Header::parse(row?.1) {
                Some((header, _)) if header.model != self.model => stats.foreign += 1,
                Some((header, _)) if header.active => stats.active += 1,
                Some(_) => stats.inactive += 1,
                None => {}
            }
        }
        let mut last: Vec<u8> = Vec::new();
        for row in self.store.subjects.iter(txn)? {
            let (key, _) = row?;
            // A key is a subject's prefix and the 16 bytes of an embedding id.
            let subject = &key[..key.len().saturating_sub(16)];
            if subject != last {
                stats.subjects += 1;
                last = subject.to_vec();
            }
        }
        Ok(stats)
    }

    /// Opens a record that has to be readable, with all verifications of it. `None` where it was deleted since the transaction began: the record is still
    /// in view then, its secret is not.
    pub(super) fn open_record(
        &self,
        txn: &View<'_>,
        tenant_slot: u32,
        bytes: &[u8],
    ) -> Result<Option<(Header, Secret)>> {
        let Some((mut header, secret)) = self.try_open(tenant_slot, bytes)? else {
            return if self.is_gone(bytes)? { Ok(None) } else { Err(unreadable()) };
        };
        self.add_verifications(txn, &mut header);
        Ok(Some((header, secret)))
    }

    /// Whether a record that was in view is no longer in the store.
    pub(super) fn is_gone(&self, bytes: &[u8]) -> Result<bool> {
        let Some((header, _)) = Header::parse(bytes) else { return Ok(false) };
        Ok(self.store.records.get(&*self.store.read()?, &header.id.to_be_bytes())?.is_none())
    }

    /// Opens a record; `None` where its bytes or its secrets are not what they were.
    pub(super) fn try_open(&self, tenant_slot: u32, bytes: &[u8]) -> Result<Option<(Header, Secret)>> {
        let opened = self.unseal_record(tenant_slot, bytes)?;
        Ok(opened.and_then(|(header, plain)| Some((header, Secret::parse(&plain)?))))
    }

    /// The same, with what is sealed as it lies there.
    pub(super) fn unseal_record(&self, tenant_slot: u32, bytes: &[u8]) -> Result<Option<(Header, Zeroizing<Vec<u8>>)>> {
        let Some((header, sealed)) = Header::parse(bytes) else { return Ok(None) };
        let known = fixed_part(&bytes[..bytes.len() - sealed.len()]);
        Ok(self.vault.unseal(tenant_slot, header.slot, known, sealed)?.map(|plain| (header, plain)))
    }
}

pub(super) fn check_limit(limit: usize) -> Result<()> {
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidField, format!("limit must be 1 to {MAX_LIMIT}")))
}
