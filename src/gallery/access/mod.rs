//! Rules and whereabouts in the store ([`rows`]: their form), and in memory ([`memory`]).
//!
//! A tenant's rules are one row for everything but subjects, and one row a subject. Every change is checked against the whole
//! of them within the transaction that makes it, and in the log, so that a daemon follows the command line.
//!
//! Where somebody is belongs to the running daemon, which notes it in memory and stores it a moment later; others only read
//! it, or delete it, which is forgiving.

mod memory;
mod rows;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub(super) use self::memory::Memory;
use self::rows::Key;
pub(super) use self::rows::{OF_ALL, Of, Row, key};
use super::{
    Gallery,
    ids::{SubjectId, TenantId},
    replication::MAX_PLAN,
    store::{Change, Room, Tenant, View, Writer},
};
use crate::{
    access::rules::{Rulebook, Rules, SubjectRules, Whereabouts},
    error::{Error, Kind, Result},
    rulebook::{Note, TenantAccess, zones},
};

/// How many rows are deleted in one transaction. Bounds how long others wait for the write lock.
const DELETED_AT_ONCE: usize = 1024;

/// A row of `presence`.
#[derive(Serialize, Deserialize)]
struct Noted {
    subject: String,
    known: Whereabouts,
}

/// Rules as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRules {
    pub rules: Rules,
    /// Counts every change of the tenant's rules.
    pub revision: u64,
}

/// What must be true of a tenant's rules for a change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything.
    Any,
    /// There are none.
    Nothing,
    /// They are at this revision.
    Revision(u64),
}

impl Gallery {
    /// What the doors of a tenant ask. Costs no disk: take it once for each door.
    pub fn access(&self, tenant: &TenantId) -> Arc<TenantAccess> {
        self.access.tenant(tenant)
    }

    /// A tenant's rules whole, subjects by id; `None` where there are none.
    ///
    /// # Errors
    /// `Store` where some of them cannot be read.
    pub fn rules(&self, tenant: &TenantId) -> Result<Option<StoredRules>> {
        let txn = self.store.read()?;
        let Some(number) = self.number(&txn, tenant)? else { return Ok(None) };
        let Some(mut rules) = self.plan(&txn, number)? else { return Ok(None) };
        rules.subjects = self.all_subjects(&txn, number)?;
        Ok(Some(StoredRules { rules, revision: self.revision(&txn, number)? }))
    }

    /// The same without subjects.
    ///
    /// # Errors
    /// As [`rules`](Self::rules).
    pub fn rules_without_subjects(&self, tenant: &TenantId) -> Result<Option<StoredRules>> {
        let txn = self.store.read()?;
        let Some(number) = self.number(&txn, tenant)? else { return Ok(None) };
        let plan = self.plan(&txn, number)?;
        plan.map(|rules| Ok(StoredRules { rules, revision: self.revision(&txn, number)? })).transpose()
    }

    /// Puts these rules, subjects and all, in the place of a tenant's; gives their revision. All of it or nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such tenant, `InvalidRules` with the place and the cure, `PreconditionFailed` where
    /// `expected` is not so, `TooLarge` where the doors of a site could not share them, `StorageFull`.
    pub fn replace_rules(&self, tenant: &TenantId, rules: &Rules, expected: Expected) -> Result<u64> {
        // Before the write lock is taken: it may take a while.
        Rulebook::compile(rules, &zones).map_err(invalid)?;
        let mut writer = self.write()?;
        let row = self.existing(writer.txn(), tenant)?;
        let number = row.number;
        self.check_expected(writer.txn(), number, expected)?;
        let mut slots = Vec::new();
        let mut concerned: BTreeSet<String> = rules.subjects.iter().map(|subject| subject.id.clone()).collect();
        let mut gone: HashMap<u64, ()> = self
            .digests(writer.txn(), Of::Rules, number, Some(OF_ALL), usize::MAX)?
            .into_iter()
            .map(|d| (d, ()))
            .collect();
        for subject in &rules.subjects {
            let digest = self.digest(number, &subject.id);
            gone.remove(&digest);
            self.put_subject_row(&mut writer, number, digest, subject)?;
        }
        for digest in gone.into_keys() {
            concerned.extend(self.subject_row_if_readable(writer.txn(), number, digest)?.map(|subject| subject.id));
            self.delete_row(&mut writer, Of::Rules, &key(number, digest), &mut slots)?;
        }
        let plan = Rules { subjects: Vec::new(), ..rules.clone() };
        self.put_plan(&mut writer, number, &plan)?;
        self.replicate_rules(&mut writer, &row, &concerned)?;
        let revision = self.count_up(&mut writer, number)?;
        writer.log(Change::Rules, number, OF_ALL)?;
        writer.commit(Room::Configured)?;
        self.erase_and_follow(slots)?;
        Ok(revision)
    }

    /// Changes everything but subjects, as `change` says; what it makes of the rules is checked against all subjects. Where
    /// there are no rules, it is given empty ones. What `change` gives back is given back, with the new revision.
    ///
    /// # Errors
    /// Those of `change`, and those of [`replace_rules`](Self::replace_rules).
    pub fn change_rules<T>(&self, tenant: &TenantId, change: impl FnOnce(&mut Rules) -> Result<T>) -> Result<(T, u64)> {
        let mut writer = self.write()?;
        let row = self.existing(writer.txn(), tenant)?;
        let number = row.number;
        let mut rules = self.plan(writer.txn(), number)?.unwrap_or_default();
        let answer = change(&mut rules)?;
        rules.subjects = self.all_subjects(writer.txn(), number)?;
        Rulebook::compile(&rules, &zones).map_err(invalid)?;
        rules.subjects.clear();
        self.put_plan(&mut writer, number, &rules)?;
        self.replicate_rules(&mut writer, &row, &BTreeSet::new())?;
        let revision = self.count_up(&mut writer, number)?;
        writer.log(Change::Rules, number, OF_ALL)?;
        writer.commit(Room::Configured)?;
        self.erase_and_follow(Vec::new())?;
        Ok((answer, revision))
    }

    /// Deletes all rules of a tenant, subjects and all: from then on whoever is enrolled may pass. Whether there were any.
    ///
    /// # Errors
    /// `PreconditionFailed` where `expected` is not so.
    pub fn delete_rules(&self, tenant: &TenantId, expected: Expected) -> Result<bool> {
        let mut writer = self.write()?;
        let Some(row) = self.store.tenant(writer.txn(), tenant)? else { return Ok(false) };
        self.check_expected(writer.txn(), row.number, expected)?;
        let mut slots = Vec::new();
        let all = self.digests(writer.txn(), Of::Rules, row.number, None, usize::MAX)?;
        let mut concerned = BTreeSet::new();
        for &digest in &all {
            if digest != OF_ALL {
                let subject = self.subject_row_if_readable(writer.txn(), row.number, digest)?;
                concerned.extend(subject.map(|subject| subject.id));
            }
            self.delete_row(&mut writer, Of::Rules, &key(row.number, digest), &mut slots)?;
        }
        self.replicate_rules(&mut writer, &row, &concerned)?;
        self.count_up(&mut writer, row.number)?;
        writer.log(Change::Rules, row.number, OF_ALL)?;
        writer.commit(Room::Reserve)?;
        self.erase_and_follow(slots)?;
        Ok(!all.is_empty())
    }

    /// What the rules know of a subject.
    ///
    /// # Errors
    /// `Store` where that cannot be read.
    pub fn subject_rules(&self, tenant: &TenantId, subject: &SubjectId) -> Result<Option<SubjectRules>> {
        let txn = self.store.read()?;
        let Some(number) = self.number(&txn, tenant)? else { return Ok(None) };
        self.subject_row(&txn, number, self.digest(number, subject.as_str()))
    }

    /// Some subjects, in an order that tells nothing; at most `limit` after `after`. With it comes where the next ones begin.
    ///
    /// # Errors
    /// `Store` where one of them cannot be read.
    pub fn list_subject_rules(
        &self,
        tenant: &TenantId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<SubjectRules>, Option<u64>)> {
        let txn = self.store.read()?;
        let Some(number) = self.number(&txn, tenant)? else { return Ok((Vec::new(), None)) };
        let after = after.unwrap_or(OF_ALL);
        let mut digests = self.digests(&txn, Of::Rules, number, Some(after), limit.saturating_add(1))?;
        let more = digests.len() > limit;
        digests.truncate(limit);
        let subjects = digests.iter().map(|&digest| self.subject_row(&txn, number, digest));
        let subjects = subjects.filter_map(Result::transpose).collect::<Result<_>>()?;
        Ok((subjects, digests.last().copied().filter(|_| more)))
    }

    /// Changes what the rules know of a subject: `change` is given what is stored, and gives what is to be; none deletes it.
    /// Where there were no rules at all, there are from then on. Gives what is stored now.
    ///
    /// # Errors
    /// Those of `change`; `NotFound` where there is no such tenant; `InvalidRules` for an unknown group and the like;
    /// `TooLarge` where the doors of a site could not share them; `StorageFull`.
    pub fn change_subject(
        &self,
        tenant: &TenantId,
        subject: &SubjectId,
        change: impl FnOnce(Option<&SubjectRules>) -> Result<Option<SubjectRules>>,
    ) -> Result<Option<SubjectRules>> {
        let mut writer = self.write()?;
        let row = self.existing(writer.txn(), tenant)?;
        let number = row.number;
        let digest = self.digest(number, subject.as_str());
        let before = self.subject_row_if_readable(writer.txn(), number, digest)?;
        if before.as_ref().is_some_and(|other| other.id != subject.as_str()) {
            return Err(
                Error::new(Kind::Internal, "two subjects have the same digest").help("give this one another id")
            );
        }
        let after = change(before.as_ref())?;
        let mut slots = Vec::new();
        match &after {
            Some(after) => {
                // Nobody else can write now, so what is in memory after this is what is stored.
                self.catch_up()?;
                let mut book = Rulebook::clone(&self.access(tenant).book());
                book.put_subject(after).map_err(invalid)?;
                if self.plan(writer.txn(), number)?.is_none() {
                    self.put_plan(&mut writer, number, &Rules::default())?;
                    writer.log(Change::Rules, number, OF_ALL)?;
                }
                self.put_subject_row(&mut writer, number, digest, after)?;
            }
            None => {
                self.delete_row(&mut writer, Of::Rules, &key(number, digest), &mut slots)?;
            }
        }
        self.replicate_rules(&mut writer, &row, &BTreeSet::from([subject.as_str().to_owned()]))?;
        self.count_up(&mut writer, number)?;
        writer.log(Change::Rules, number, digest)?;
        writer.commit(if after.is_some() { Room::Configured } else { Room::Reserve })?;
        self.erase_and_follow(slots)?;
        Ok(after)
    }

    /// Forgets where a subject is, or where all are, in this process and in a running daemon; of how many something was
    /// known.
    pub fn forgive(&self, tenant: &TenantId, subject: Option<&SubjectId>) -> Result<usize> {
        let access = self.access(tenant);
        let mut writer = self.write()?;
        let Some(row) = self.store.tenant(writer.txn(), tenant)? else { return Ok(0) };
        let (mut slots, mut known) = (Vec::new(), 0);
        let digest = match subject {
            Some(subject) => {
                let digest = self.digest(row.number, subject.as_str());
                let stored = self.delete_row(&mut writer, Of::Presence, &key(row.number, digest), &mut slots)?;
                known += usize::from(stored || access.whereabouts(subject.as_str()).is_some());
                digest
            }
            None => {
                known += access.known();
                for digest in self.digests(writer.txn(), Of::Presence, row.number, None, usize::MAX)? {
                    self.delete_row(&mut writer, Of::Presence, &key(row.number, digest), &mut slots)?;
                }
                known = known.max(slots.len());
                OF_ALL
            }
        };
        writer.log(Change::Forgiven, row.number, digest)?;
        writer.commit(Room::Reserve)?;
        self.erase_and_follow(slots)?;
        Ok(known)
    }

    /// Where everybody is as the store has it, by name: a running daemon may know of passages since.
    pub fn presence(&self, tenant: &TenantId) -> Result<BTreeMap<Arc<str>, Whereabouts>> {
        let txn = self.store.read()?;
        let Some(number) = self.number(&txn, tenant)? else { return Ok(BTreeMap::new()) };
        Ok(self.stored_presence(&txn, number)?.0.into_iter().collect())
    }

    /// Waits until something was noted at a door, no longer than `patience`, and stores it. For a thread of its own, which
    /// calls this again and again.
    ///
    /// # Errors
    /// Those of the store. What was noted is kept, and tried again by the next call.
    pub fn store_presence(&self, patience: Duration) -> Result<()> {
        self.access.bell().wait(patience);
        for (tenant, access) in self.access.all() {
            let notes = access.take_unsaved();
            if notes.is_empty() {
                continue;
            }
            access.stored(self.save(&tenant, &notes).inspect_err(|_| access.still_unsaved())?);
        }
        Ok(())
    }

    /// Gives the transaction that stored them.
    fn save(&self, tenant: &TenantId, notes: &[Note]) -> Result<usize> {
        let mut writer = self.write()?;
        let by = writer.txn().id();
        // Deleted meanwhile, and its whereabouts with it.
        let Some(Tenant { number, .. }) = self.store.tenant(writer.txn(), tenant)? else { return Ok(by) };
        let mut slots = Vec::new();
        for (subject, known) in notes {
            let key = key(number, self.digest(number, subject));
            match known {
                Some(known) => {
                    let noted = Noted { subject: subject.to_string(), known: known.clone() };
                    self.put_row(&mut writer, Of::Presence, &key, &json(&noted)?)?;
                }
                None => {
                    self.delete_row(&mut writer, Of::Presence, &key, &mut slots)?;
                }
            }
        }
        // The reserve too: a full gallery must not make a door forget who is inside.
        writer.commit(Room::Reserve)?;
        self.store.erase_free(&self.vault.slots, slots)?;
        Ok(by)
    }

    /// Deletes what is known of all subjects of a tenant; the groups, schedules and doors stay.
    pub(super) fn drop_all_subjects(&self, tenant: &TenantId) -> Result<()> {
        loop {
            let mut writer = self.write()?;
            let Some(row) = self.store.tenant(writer.txn(), tenant)? else { return Ok(()) };
            let mut digests = self.digests(writer.txn(), Of::Rules, row.number, Some(OF_ALL), DELETED_AT_ONCE)?;
            digests.extend(self.digests(writer.txn(), Of::Presence, row.number, None, DELETED_AT_ONCE)?);
            if digests.is_empty() {
                return Ok(());
            }
            let (mut slots, mut concerned) = (Vec::new(), BTreeSet::new());
            for digest in digests {
                let subject = self.subject_row_if_readable(writer.txn(), row.number, digest)?;
                concerned.extend(subject.map(|subject| subject.id));
                self.drop_digest(&mut writer, row.number, digest, &mut slots)?;
            }
            self.replicate_rules(&mut writer, &row, &concerned)?;
            writer.commit(Room::Reserve)?;
            self.erase_and_follow(slots)?;
        }
    }

    fn erase_and_follow(&self, slots: Vec<u32>) -> Result<()> {
        let caught_up = self.catch_up();
        self.store.erase_free(&self.vault.slots, slots)?;
        caught_up.map(drop)
    }

    /// The subjects of a tenant that have rules which can be read.
    pub(super) fn ruled_subjects(&self, txn: &View<'_>, tenant: u32) -> Result<Vec<SubjectId>> {
        let digests = self.digests(txn, Of::Rules, tenant, Some(OF_ALL), usize::MAX)?;
        let subjects = digests.into_iter().map(|digest| self.subject_row_if_readable(txn, tenant, digest));
        let subjects = subjects.filter_map(Result::transpose);
        subjects.filter_map(|subject| subject.map(|subject| subject.id.parse().ok()).transpose()).collect()
    }

    fn number(&self, txn: &View<'_>, tenant: &TenantId) -> Result<Option<u32>> {
        Ok(self.store.tenant(txn, tenant)?.map(|row| row.number))
    }

    /// The rules without subjects; `None` where there are none.
    fn plan(&self, txn: &View<'_>, tenant: u32) -> Result<Option<Rules>> {
        match self.row(txn, Of::Rules, &key(tenant, OF_ALL))? {
            Row::Missing => Ok(None),
            Row::Unreadable => Err(unreadable()),
            Row::Readable(plain) => serde_json::from_slice(&plain).map(Some).map_err(|_| unreadable()),
        }
    }

    fn put_plan(&self, writer: &mut Writer<'_>, tenant: u32, rules: &Rules) -> Result<()> {
        let (key, plain) = (key(tenant, OF_ALL), json(rules)?);
        self.check_shareable(writer.txn(), &key, &plain)?;
        self.put_row(writer, Of::Rules, &key, &plain)
    }

    /// Refuses rules that doors of a site could not share, since a message takes no more: they would be in force at this door alone.
    /// Those that were longer before may become shorter step by step. What a subject may have of its own always fits.
    fn check_shareable(&self, txn: &View<'_>, key: &Key, plain: &[u8]) -> Result<()> {
        if plain.len() <= MAX_PLAN || !self.is_shared(txn)? {
            return Ok(());
        }
        if matches!(self.row(txn, Of::Rules, key)?, Row::Readable(stored) if plain.len() <= stored.len()) {
            return Ok(());
        }
        let message = format!(
            "the tenant's rules but its subjects' own would have {} bytes; doors of a fleet can share {MAX_PLAN}",
            plain.len()
        );
        Err(Error::new(Kind::TooLarge, message).help(
            "take out what is over, such as groups that nobody is in, or give part of the people a tenant of their own",
        ))
    }

    fn all_subjects(&self, txn: &View<'_>, tenant: u32) -> Result<Vec<SubjectRules>> {
        let digests = self.digests(txn, Of::Rules, tenant, Some(OF_ALL), usize::MAX)?;
        let subjects = digests.into_iter().map(|digest| self.subject_row(txn, tenant, digest));
        let mut subjects: Vec<_> = subjects.filter_map(Result::transpose).collect::<Result<_>>()?;
        subjects.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(subjects)
    }

    fn subject_row(&self, txn: &View<'_>, tenant: u32, digest: u64) -> Result<Option<SubjectRules>> {
        match self.row(txn, Of::Rules, &key(tenant, digest))? {
            Row::Missing => Ok(None),
            Row::Unreadable => Err(unreadable()),
            Row::Readable(plain) => serde_json::from_slice(&plain).map(Some).map_err(|_| unreadable()),
        }
    }

    /// As [`subject_row`](Self::subject_row), but what cannot be read counts as missing: it is about to be replaced.
    fn subject_row_if_readable(&self, txn: &View<'_>, tenant: u32, digest: u64) -> Result<Option<SubjectRules>> {
        match self.row(txn, Of::Rules, &key(tenant, digest))? {
            Row::Readable(plain) => Ok(serde_json::from_slice(&plain).ok()),
            Row::Missing | Row::Unreadable => Ok(None),
        }
    }

    /// Stores a subject's rules, unless they are stored just so: an import that changes little writes little.
    fn put_subject_row(&self, writer: &mut Writer<'_>, tenant: u32, digest: u64, subject: &SubjectRules) -> Result<()> {
        let (key, plain) = (key(tenant, digest), json(subject)?);
        let same = matches!(self.row(writer.txn(), Of::Rules, &key)?, Row::Readable(stored) if *stored == plain);
        if same { Ok(()) } else { self.put_row(writer, Of::Rules, &key, &plain) }
    }

    fn revision(&self, txn: &View<'_>, tenant: u32) -> Result<u64> {
        self.store.counter(txn, &revision_name(tenant))
    }

    pub(super) fn count_up(&self, writer: &mut Writer<'_>, tenant: u32) -> Result<u64> {
        let name = revision_name(tenant);
        writer.count(&name)
    }

    /// Forgets at which revision the rules of a tenant were that is no more.
    pub(super) fn forget_revision(&self, writer: &mut Writer<'_>, tenant: u32) -> Result<()> {
        self.store.meta.delete(writer.txn(), revision_name(tenant).as_bytes())?;
        Ok(())
    }

    fn check_expected(&self, txn: &View<'_>, tenant: u32, expected: Expected) -> Result<()> {
        let exists = self.store.access.get(txn, &key(tenant, OF_ALL))?.is_some();
        let met = match expected {
            Expected::Any => true,
            Expected::Nothing => !exists,
            Expected::Revision(revision) => exists && self.revision(txn, tenant)? == revision,
        };
        if met { Ok(()) } else { Err(changed_meanwhile()) }
    }
}

fn revision_name(tenant: u32) -> String {
    format!("access_revision.{tenant}")
}

/// Somebody else changed what was to be changed.
pub fn changed_meanwhile() -> Error {
    Error::new(Kind::PreconditionFailed, "this is not what is stored any more")
        .help("read it again, make your change to what is there now, and send it with the new ETag")
}

fn invalid(fault: facegate_control::Fault) -> Error {
    Error::new(Kind::InvalidRules, fault.message).help(fault.help)
}

fn unreadable() -> Error {
    Error::new(Kind::Store, "the stored rules cannot be read, so nobody is let in by them").help(
        "facegate check says which; import them again (facegate access import), or restore the folder from a backup",
    )
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(Kind::Internal, "rules have no form in JSON").source(error))
}
