//! The proof that store, index and secrets agree, or the list of where they do not.

use std::collections::{HashMap, HashSet};

use super::{
    Gallery,
    enrol::{id_key, internal_id, parse_subject_value, subject_key},
    record::{Header, Secret},
    store::{Tenant, View},
    types::{CheckReport, Finding},
};
use crate::error::Result;

const RESTORE: &str = "delete it and enrol again, or restore the whole folder from a backup";
const RESTORE_RULES: &str = "import the rules again (facegate access import) and forgive who is concerned (facegate access forgive), or restore \
                             the whole folder from a backup";
const RESTART: &str = "restart: the index is built anew from the store; if it comes back, report it as a defect";

impl Gallery {
    /// Opens every record and compares the store with the index, both ways, and with the secrets. Enrolling waits while it
    /// runs, the door does not. Some tenths of a second for 10,000 faces.
    pub fn check(&self) -> Result<CheckReport> {
        // Nobody changes the index while this is held.
        let mut applied = self.applied.lock();
        let txn = self.store.read()?;
        self.bring_to(&txn, &mut applied)?;
        let mut check = Check {
            gallery: self,
            txn: &txn,
            tenants: self.store.all_tenants(&txn)?.into_iter().map(|tenant| (tenant.number, tenant)).collect(),
            findings: Vec::new(),
            slots: HashMap::new(),
            matchable: HashMap::new(),
        };
        check.records()?;
        check.lists()?;
        check.index()?;
        check.access()?;
        check.photographs()?;
        check.requests()?;
        check.secrets()?;
        Ok(CheckReport { stats: self.count(&txn)?, findings: check.findings })
    }
}

struct Check<'a> {
    gallery: &'a Gallery,
    txn: &'a View<'a>,
    tenants: HashMap<u32, Tenant>,
    findings: Vec<Finding>,
    /// Whose slot it is.
    slots: HashMap<u32, String>,
    /// What belongs into the index, by tenant.
    matchable: HashMap<u32, HashSet<u64>>,
}

impl Check<'_> {
    fn find(&mut self, message: String, help: &str) {
        self.findings.push(Finding { message, help: help.to_owned() });
    }

    fn records(&mut self) -> Result<()> {
        let (gallery, txn) = (self.gallery, self.txn);
        for row in gallery.store.records.iter(txn)? {
            let (key, bytes) = row?;
            let Some((header, _)) = Header::parse(bytes) else {
                self.find(format!("record {} cannot be read", number(key)), RESTORE);
                continue;
            };
            let name = format!("embedding {}", header.embedding);
            if key != header.id.to_be_bytes() {
                self.find(format!("{name} lies in another record's place"), RESTORE);
            }
            let Some(tenant) = self.tenants.get(&header.tenant).cloned() else {
                self.find(format!("{name} belongs to no tenant"), RESTORE);
                continue;
            };
            self.own_slot(header.slot, name.clone());
            match gallery.try_open(tenant.slot, bytes)? {
                // Deleted by another process since this began.
                None if gallery.is_gone(bytes)? => {}
                None => self.find(
                    format!("{name} of tenant {} cannot be opened: it or its secret changed", tenant.name),
                    RESTORE,
                ),
                Some((header, secret)) => {
                    self.listed(&tenant, &header, &name)?;
                    if header.active && header.model == gallery.model {
                        self.in_index(&header, &secret, &name)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The record's two rows must name it.
    fn listed(&mut self, tenant: &Tenant, header: &Header, name: &str) -> Result<()> {
        let store = &self.gallery.store;
        let by_id = store.ids.get(self.txn, &id_key(tenant.number, &header.embedding))?.map(internal_id).transpose();
        let key = subject_key(tenant.number, &header.subject, Some(&header.embedding));
        let by_subject = store.subjects.get(self.txn, &key)?.map(parse_subject_value).transpose();
        if !matches!(by_id, Ok(Some(id)) if id == header.id) {
            self.find(format!("{name} of tenant {} is missing from the list of ids", tenant.name), RESTORE);
        }
        if !matches!(by_subject, Ok(Some(row)) if row == (header.id, header.active)) {
            self.find(format!("{name} of tenant {} is missing from its subject's list", tenant.name), RESTORE);
        }
        Ok(())
    }

    /// What can be matched must be in its own tenant's index, with the same vector.
    fn in_index(&mut self, header: &Header, secret: &Secret, name: &str) -> Result<()> {
        self.matchable.entry(header.tenant).or_default().insert(header.id);
        let roster = self.gallery.roster.read();
        let index = roster.index_of(header.tenant);
        let Some((index, face)) = index.and_then(|index| Some((index, index.get(header.id)?))) else {
            self.find(format!("{name} is missing from the index"), RESTART);
            return Ok(());
        };
        if index.vector(header.id)?.as_deref() != Some(&secret.embedding.as_slice()[..]) {
            self.find(format!("{name} has another vector in the index"), RESTART);
        } else if !index.has_sketch_of(header.id, secret.embedding.as_slice()) {
            self.find(format!("{name} has another vector's sketch in the index"), RESTART);
        }
        if face.subject != header.subject || face.embedding != header.embedding {
            self.find(format!("{name} has another subject in the index"), RESTART);
        }
        Ok(())
    }

    /// Every row of the lists must lead to a record.
    fn lists(&mut self) -> Result<()> {
        let (store, txn) = (&self.gallery.store, self.txn);
        for (what, table) in [("list of ids", store.ids), ("lists of subjects", store.subjects)] {
            let mut dangling = 0;
            for row in table.iter(txn)? {
                let (_, value) = row?;
                let id = internal_id(value.get(..8).unwrap_or_default());
                if !matches!(id, Ok(id) if store.records.get(txn, &id.to_be_bytes())?.is_some()) {
                    dangling += 1;
                }
            }
            if dangling > 0 {
                self.find(format!("{dangling} rows of the {what} lead to no record"), RESTORE);
            }
        }
        Ok(())
    }

    /// The index must hold nothing else.
    fn index(&mut self) -> Result<()> {
        let none = HashSet::new();
        let mut extra = Vec::new();
        for (tenant, index) in self.gallery.roster.read().indexes() {
            let expected = self.matchable.get(&tenant).unwrap_or(&none);
            let count = index.ids().filter(|id| !expected.contains(id)).count();
            if count > 0 {
                extra.push((tenant, count));
            }
        }
        for (tenant, count) in extra {
            let name = self.tenants.get(&tenant).map_or_else(|| "unknown".to_owned(), |tenant| tenant.name.to_string());
            self.find(format!("the index of tenant {name} holds {count} faces that are not to be matched"), RESTART);
        }
        Ok(())
    }

    /// Every tenant's rules must be readable and agree with one another, and so must be who is where.
    fn access(&mut self) -> Result<()> {
        for (name, row) in self.gallery.access_rows(self.txn)? {
            let owner = match row.tenant.and_then(|number| self.tenants.get(&number)) {
                Some(tenant) => format!("{name} of tenant {}", tenant.name),
                None => {
                    self.find(format!("{name} belong to no tenant"), RESTORE_RULES);
                    name
                }
            };
            match row.slot {
                Some(slot) => self.own_slot(slot, owner.clone()),
                None => self.find(format!("{owner} are of a form that this program does not know"), RESTORE_RULES),
            }
            if !row.readable {
                self.find(format!("{owner} cannot be opened: they or their secret changed"), RESTORE_RULES);
            }
        }
        let tenants: Vec<_> = self.tenants.values().map(|tenant| tenant.name.clone()).collect();
        for tenant in tenants {
            if self.gallery.access(&tenant).book().is_damaged() {
                self.find(
                    format!("the rules of tenant {tenant} cannot all be used, so some or all are denied"),
                    RESTORE_RULES,
                );
            }
        }
        Ok(())
    }

    /// What is remembered of a request must be of a record.
    fn requests(&mut self) -> Result<()> {
        match self.gallery.stray_requests(self.txn)? {
            0 => {}
            stray => self.find(format!("{stray} rows about requests lead to no record"), RESTORE),
        }
        Ok(())
    }

    /// Every photograph must be of an embedding, and readable.
    fn photographs(&mut self) -> Result<()> {
        let (gallery, txn, tenants) = (self.gallery, self.txn, &self.tenants);
        let mut found = Vec::new();
        let tenant_of = |id: u64| {
            let bytes = gallery.store.records.get(txn, &id.to_be_bytes()).ok().flatten()?;
            tenants.get(&Header::parse(bytes)?.0.tenant).cloned()
        };
        gallery.check_photographs(txn, tenant_of, |id, slot, opens| found.push((id, slot, opens)))?;
        for (id, slot, opens) in found {
            let name = format!("the photograph of record {id}");
            if let Some(slot) = slot {
                self.own_slot(slot, name.clone());
            }
            if !opens && gallery.store.photographs.get(&*gallery.store.read()?, &id.to_be_bytes())?.is_some() {
                self.find(format!("{name} cannot be opened, or is of no record"), RESTORE);
            }
        }
        Ok(())
    }

    /// Every secret must have exactly one owner, and what has none must be zeros.
    fn secrets(&mut self) -> Result<()> {
        let (store, slots) = (&self.gallery.store, &self.gallery.vault.slots);
        let tenants: Vec<_> = self.tenants.values().filter(|tenant| tenant.slot != 0).cloned().collect();
        for tenant in tenants {
            self.own_slot(tenant.slot, format!("tenant {}", tenant.name));
        }
        let mut owned: Vec<_> = self.slots.drain().collect();
        owned.sort_unstable();
        for (slot, owner) in &owned {
            if store.slot_is_free(self.txn, *slot)? {
                self.find(format!("the secret of {owner} counts as free"), RESTORE);
            }
        }
        let owned: HashSet<u32> = owned.into_iter().map(|(slot, _)| slot).collect();
        let mut left = 0;
        for slot in (1..slots.len()?).filter(|slot| !owned.contains(slot)) {
            // Another process may be enrolling into a free slot just now; what is not free and nobody's is wrong.
            if !store.slot_is_free(self.txn, slot)? && slots.get(slot)?.is_some() {
                left += 1;
            }
        }
        if left > 0 {
            self.find(format!("{left} secrets in seal.keys belong to nobody"), "report it as a defect");
        }
        Ok(())
    }

    fn own_slot(&mut self, slot: u32, owner: String) {
        if let Some(other) = self.slots.insert(slot, owner.clone()) {
            self.find(format!("{owner} and {other} share one secret"), RESTORE);
        }
    }
}

fn number(key: &[u8]) -> String {
    key.try_into().map_or_else(|_| "without a number".to_owned(), |key| u64::from_be_bytes(key).to_string())
}
