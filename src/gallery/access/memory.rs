//! The rules in memory, and how they follow the store.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};

use super::rows::{OF_ALL, Of, Row, key};
use crate::{
    access::rules::{Rulebook, Rules, SubjectRules, Whereabouts},
    error::Result,
    gallery::{
        Gallery,
        ids::TenantId,
        store::{Change, Entry, Tenant, View},
    },
    rulebook::{Bell, Stored, TenantAccess, zones},
};

/// All tenants' rules and whereabouts.
#[derive(Default)]
pub(in crate::gallery) struct Memory {
    bell: Bell,
    tenants: RwLock<HashMap<TenantId, Arc<Known>>>,
}

/// A tenant's.
struct Known {
    access: Arc<TenantAccess>,
    /// Which row is whose, to know whom a deleted row was of. Held while the rules change.
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    subjects: HashMap<u64, Arc<str>>,
    unreadable: HashSet<u64>,
}

impl Memory {
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Those of a tenant, who need not exist.
    pub fn tenant(&self, tenant: &TenantId) -> Arc<TenantAccess> {
        Arc::clone(&self.known(tenant).access)
    }

    /// All that were ever asked for or stored.
    pub fn all(&self) -> Vec<(TenantId, Arc<TenantAccess>)> {
        self.tenants.read().iter().map(|(tenant, known)| (tenant.clone(), Arc::clone(&known.access))).collect()
    }

    fn known(&self, tenant: &TenantId) -> Arc<Known> {
        if let Some(known) = self.tenants.read().get(tenant) {
            return Arc::clone(known);
        }
        let mut tenants = self.tenants.write();
        let new = || {
            let access = Arc::new(TenantAccess::new(self.bell.clone()));
            Arc::new(Known { access, rows: Mutex::default() })
        };
        Arc::clone(tenants.entry(tenant.clone()).or_insert_with(new))
    }
}

impl Gallery {
    /// Takes in the rules and whereabouts of all tenants.
    pub(in crate::gallery) fn build_access(&self, txn: &View<'_>, tenants: &[Tenant]) -> Result<()> {
        for tenant in tenants {
            self.load_rules(txn, tenant)?;
            let (stored, unreadable) = self.stored_presence(txn, tenant.number)?;
            let known = self.access.known(&tenant.name);
            // Whoever is in no rules is denied by them anyway.
            let unreadable_names = {
                let rows = known.rows.lock();
                unreadable.iter().filter_map(|digest| rows.subjects.get(digest).cloned()).collect()
            };
            if !unreadable.is_empty() {
                tracing::error!(
                    tenant = %tenant.name,
                    subjects = unreadable.len(),
                    "where some are cannot be read: areas with anti-passback deny them until they are forgiven"
                );
            }
            let stored = Stored { whereabouts: stored, unreadable: unreadable_names };
            known.access.restore(stored, txn.id(), self.clock.now());
        }
        Ok(())
    }

    /// Forgets the rules and whereabouts of a tenant that was deleted; one of the same name inherits nothing. Until there is one,
    /// nobody passes: a door may have recognised somebody a moment before they were deleted.
    pub(in crate::gallery) fn forget_access(&self, tenant: &TenantId) {
        let known = self.access.known(tenant);
        *known.rows.lock() = Rows::default();
        known
            .access
            .set_book(Rulebook::without_subjects(&Rules::default(), &zones).unwrap_or_else(|_| Rulebook::unreadable()));
        known.access.forgive(|_| true);
    }

    /// Takes in what others changed. `new` are the numbers of those of the tenants that are not known yet.
    pub(in crate::gallery) fn apply_access(
        &self,
        txn: &View<'_>,
        changes: &[Entry],
        tenants: &[Tenant],
        new: &HashSet<u32>,
    ) -> Result<()> {
        let mut rules: HashMap<u32, HashSet<u64>> = HashMap::new();
        let mut forgiven: HashMap<u32, HashSet<u64>> = HashMap::new();
        for entry in changes {
            match entry.change {
                Change::Rules => rules.entry(entry.tenant).or_default().insert(entry.id),
                Change::Forgiven => forgiven.entry(entry.tenant).or_default().insert(entry.id),
                Change::Added | Change::Removed | Change::Keys => continue,
            };
        }
        for tenant in tenants {
            match rules.get(&tenant.number) {
                Some(digests) if !digests.contains(&OF_ALL) && !new.contains(&tenant.number) => {
                    self.load_some(txn, tenant, digests)?;
                }
                None if !new.contains(&tenant.number) => {}
                // Of a new tenant even that there are none: one of this name may have been deleted.
                _ => self.load_rules(txn, tenant)?,
            }
            if let Some(digests) = forgiven.get(&tenant.number) {
                let all = digests.contains(&OF_ALL);
                let access = self.access.tenant(&tenant.name);
                access.forgive(|subject| all || digests.contains(&self.digest(tenant.number, subject)));
            }
        }
        Ok(())
    }

    /// Takes in a tenant's rules whole. Those that cannot be read deny; why is said in the log.
    fn load_rules(&self, txn: &View<'_>, tenant: &Tenant) -> Result<()> {
        let known = self.access.known(&tenant.name);
        let mut rows = known.rows.lock();
        *rows = Rows::default();
        let subjects = self.digests(txn, Of::Rules, tenant.number, Some(OF_ALL), usize::MAX)?;
        let mut book = match self.row(txn, Of::Rules, &key(tenant.number, OF_ALL))? {
            Row::Missing if subjects.is_empty() => Rulebook::none(),
            // One door deleted the rules while another, which could not hear it, gave somebody some: that is no damage. Whoever
            // is in no rules is denied.
            Row::Missing if self.is_shared(txn)? => compile(tenant, b"{}"),
            Row::Missing | Row::Unreadable => {
                tracing::error!(tenant = %tenant.name, "the rules cannot be read, so nobody is let in; run facegate check");
                Rulebook::unreadable()
            }
            Row::Readable(plain) => compile(tenant, &plain),
        };
        for digest in subjects {
            self.load_subject(txn, tenant, digest, &mut book, &mut rows)?;
        }
        book.set_unreadable_subjects(rows.unreadable.len());
        known.access.set_book(book);
        Ok(())
    }

    /// Takes in the rules of some subjects.
    fn load_some(&self, txn: &View<'_>, tenant: &Tenant, digests: &HashSet<u64>) -> Result<()> {
        let known = self.access.known(&tenant.name);
        let mut rows = known.rows.lock();
        let mut book = Rulebook::clone(&known.access.book());
        for &digest in digests {
            if let Some(subject) = rows.subjects.remove(&digest) {
                book.remove_subject(&subject);
            }
            rows.unreadable.remove(&digest);
            self.load_subject(txn, tenant, digest, &mut book, &mut rows)?;
        }
        book.set_unreadable_subjects(rows.unreadable.len());
        known.access.set_book(book);
        Ok(())
    }

    fn load_subject(
        &self,
        txn: &View<'_>,
        tenant: &Tenant,
        digest: u64,
        book: &mut Rulebook,
        rows: &mut Rows,
    ) -> Result<()> {
        let plain = match self.row(txn, Of::Rules, &key(tenant.number, digest))? {
            Row::Missing => return Ok(()),
            Row::Unreadable => None,
            Row::Readable(plain) => Some(plain),
        };
        let subject: Option<SubjectRules> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        // Why not is not logged: it would name the subject.
        let taken = subject.as_ref().is_some_and(|subject| book.put_subject(subject).is_ok());
        match subject {
            Some(subject) if taken => {
                rows.subjects.insert(digest, subject.id.into());
            }
            _ => {
                tracing::error!(tenant = %tenant.name, "the rules of a subject cannot be read; run facegate check");
                rows.unreadable.insert(digest);
            }
        }
        Ok(())
    }

    /// Where everybody is, and the digests of the rows that cannot be read.
    pub(super) fn stored_presence(&self, txn: &View<'_>, tenant: u32) -> Result<StoredPresence> {
        let (mut stored, mut unreadable) = (Vec::new(), Vec::new());
        for digest in self.digests(txn, Of::Presence, tenant, None, usize::MAX)? {
            let plain = match self.row(txn, Of::Presence, &key(tenant, digest))? {
                Row::Readable(plain) => Some(plain),
                Row::Missing | Row::Unreadable => None,
            };
            match plain.and_then(|plain| serde_json::from_slice::<super::Noted>(&plain).ok()) {
                Some(noted) => stored.push((noted.subject.into(), noted.known)),
                None => unreadable.push(digest),
            }
        }
        Ok((stored, unreadable))
    }
}

/// Who is where, and the digests of what cannot be read.
type StoredPresence = (Vec<(Arc<str>, Whereabouts)>, Vec<u64>);

/// Rules as they are stored, compiled without their subjects.
fn compile(tenant: &Tenant, plain: &[u8]) -> Rulebook {
    let rules = match serde_json::from_slice::<Rules>(plain) {
        Ok(rules) => rules,
        Err(_) => {
            tracing::error!(tenant = %tenant.name, "the rules are of a form that this program does not know; nobody is let in");
            return Rulebook::unreadable();
        }
    };
    Rulebook::without_subjects(&rules, &zones).unwrap_or_else(|fault| {
        tracing::error!(tenant = %tenant.name, %fault, help = fault.help, "the rules cannot be used, so nobody is let in");
        Rulebook::unreadable()
    })
}
