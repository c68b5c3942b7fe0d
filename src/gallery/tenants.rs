//! Tenants: made, listed, limited and deleted.
//!
//! A tenant also comes to exist by its first key, enrolment or rules on the command line; no call over the network makes one.
//! Its limit is a row of `meta`, so that stores of earlier versions need no change: `max_faces.` and the tenant's number, and
//! as value a u64.

use super::{
    Gallery,
    access::Expected,
    ids::TenantId,
    store::{Change, Room, Tenant, View, Writer},
    types::TenantInfo,
};
use crate::error::{Error, Kind, Result};

impl Gallery {
    /// All tenants, by name. Counts their faces, so it takes a moment where there are many.
    ///
    /// # Errors
    /// `Store` where the store cannot be read.
    pub fn tenants(&self) -> Result<Vec<TenantInfo>> {
        let keys = self.keys()?;
        let txn = self.store.read()?;
        let tenants = self.store.all_tenants(&txn)?.into_iter();
        tenants
            .map(|tenant| {
                Ok(TenantInfo {
                    faces: self.faces(&txn, tenant.number, u64::MAX)?,
                    max_faces: self.max_faces(&txn, tenant.number)?,
                    keys: keys.iter().filter(|key| key.tenant == tenant.name).count() as u64,
                    name: tenant.name,
                })
            })
            .collect()
    }

    /// Makes a tenant, who may hold at most `max_faces` embeddings; none: as many as the gallery.
    ///
    /// # Errors
    /// `InvalidField` where there is one of this name.
    pub fn add_tenant(&self, name: &TenantId, max_faces: Option<u64>) -> Result<()> {
        let mut writer = self.write()?;
        if self.store.tenant(writer.txn(), name)?.is_some() {
            return Err(Error::new(Kind::InvalidField, format!("there is a tenant {name} already"))
                .help("choose another name, or change its limit"));
        }
        let number = writer.tenant(name)?.number;
        self.put_max_faces(&mut writer, number, max_faces)?;
        self.replicate_tenant(&mut writer, name, true)?;
        writer.commit(Room::Configured)
    }

    /// Makes a tenant where there is none of this name: what a command on this machine does before it gives it rules.
    ///
    /// # Errors
    /// `StorageFull`, and those of the store.
    pub fn ensure_tenant(&self, name: &TenantId) -> Result<()> {
        let mut writer = self.write()?;
        if self.store.tenant(writer.txn(), name)?.is_some() {
            return Ok(());
        }
        writer.tenant(name)?;
        writer.commit(Room::Configured)
    }

    /// Changes how many embeddings a tenant may hold, active or not; none: as many as the gallery. What is there stays,
    /// also where it is more.
    ///
    /// # Errors
    /// `NotFound` where there is no such tenant.
    pub fn limit_tenant(&self, name: &TenantId, max_faces: Option<u64>) -> Result<()> {
        let mut writer = self.write()?;
        let number = self.existing(writer.txn(), name)?.number;
        self.put_max_faces(&mut writer, number, max_faces)?;
        writer.commit(Room::Reserve)
    }

    /// Deletes a tenant: its keys, then its embeddings, rules and whereabouts, and last its name; gives how many embeddings
    /// there were. When this returns, the secrets that could open any of it are overwritten on the disk. Where it fails
    /// half-way, the tenant is still listed and the next call goes on; without its keys nobody uses the rest meanwhile.
    ///
    /// # Errors
    /// `NotFound` where there is no such tenant.
    pub fn delete_tenant(&self, name: &TenantId) -> Result<usize> {
        self.drop_keys(name)?;
        let mut deleted = 0;
        loop {
            deleted += self.delete_all(name)?;
            // Not before the faces: without rules whoever is enrolled may pass.
            self.delete_rules(name, Expected::Any)?;
            // Somebody may have been enrolled meanwhile, by a request that began before.
            if self.drop_tenant(name)? {
                return Ok(deleted);
            }
        }
    }

    /// The row of a tenant that must be there.
    pub(super) fn existing(&self, txn: &View<'_>, name: &TenantId) -> Result<Tenant> {
        self.store.tenant(txn, name)?.ok_or_else(|| no_such_tenant(name))
    }

    /// Refuses an embedding more than the tenant may hold. To be asked within the transaction that adds it.
    pub(super) fn check_max_faces(&self, txn: &View<'_>, tenant: u32) -> Result<()> {
        let Some(most) = self.max_faces(txn, tenant)? else { return Ok(()) };
        if self.faces(txn, tenant, most)? < most {
            return Ok(());
        }
        let message = format!("the tenant holds all {most} embeddings that it may, so that this was not stored");
        Err(Error::new(Kind::CapacityReached, message).help("delete enrolments, or raise it: facegate tenants limit"))
    }

    /// The embeddings that a tenant has, active or not; counts to `most` and no further.
    fn faces(&self, txn: &View<'_>, tenant: u32, most: u64) -> Result<u64> {
        let mut count = 0;
        for row in self.store.ids.prefix_iter(txn, &tenant.to_be_bytes())? {
            row?;
            count += 1;
            if count >= most {
                break;
            }
        }
        Ok(count)
    }

    /// A limit that cannot be read lets nobody in.
    fn max_faces(&self, txn: &View<'_>, tenant: u32) -> Result<Option<u64>> {
        let row = self.store.meta.get(txn, limit_name(tenant).as_bytes())?;
        Ok(row.map(|row| row.try_into().map_or(0, u64::from_le_bytes)))
    }

    fn put_max_faces(&self, writer: &mut Writer<'_>, tenant: u32, max_faces: Option<u64>) -> Result<()> {
        let name = limit_name(tenant);
        match max_faces {
            Some(most) => self.store.meta.put(writer.txn(), name.as_bytes(), &most.to_le_bytes())?,
            None => drop(self.store.meta.delete(writer.txn(), name.as_bytes())?),
        }
        Ok(())
    }

    fn drop_keys(&self, name: &TenantId) -> Result<()> {
        let mut writer = self.write()?;
        let tenant = self.existing(writer.txn(), name)?;
        self.delete_keys_of(&mut writer, &tenant)?;
        writer.commit(Room::Reserve)?;
        self.catch_up().map(drop)
    }

    /// Deletes the name, and what keys it got meanwhile; whether nothing else of it was left.
    fn drop_tenant(&self, name: &TenantId) -> Result<bool> {
        let mut writer = self.write()?;
        let mut slots = Vec::new();
        if !self.take_out_tenant(&mut writer, name, &mut slots)? {
            return Ok(false);
        }
        self.replicate_tenant(&mut writer, name, false)?;
        writer.commit(Room::Reserve)?;
        let caught_up = self.catch_up();
        self.store.erase_free(&self.vault.slots, slots)?;
        caught_up.map(|_| true)
    }

    /// Takes a tenant out of whom nothing is left but its name and its keys; whether that was so, or there was none.
    pub(super) fn take_out_tenant(
        &self,
        writer: &mut Writer<'_>,
        name: &TenantId,
        slots: &mut Vec<u32>,
    ) -> Result<bool> {
        let Some(tenant) = self.store.tenant(writer.txn(), name)? else { return Ok(true) };
        if !self.is_empty(writer.txn(), &tenant)? {
            return Ok(false);
        }
        self.delete_keys_of(writer, &tenant)?;
        self.put_max_faces(writer, tenant.number, None)?;
        self.forget_revision(writer, tenant.number)?;
        self.store.tenants.delete(writer.txn(), name.as_str().as_bytes())?;
        if tenant.slot != 0 {
            writer.release_slot(tenant.slot);
            slots.push(tenant.slot);
        }
        // Of a tenant that is not there: whoever follows sees that it is gone.
        writer.log(Change::Rules, tenant.number, 0)?;
        Ok(true)
    }

    fn is_empty(&self, txn: &View<'_>, tenant: &Tenant) -> Result<bool> {
        let store = &self.store;
        for table in [store.ids, store.subjects, store.access, store.presence, store.seen, store.suspended] {
            if table.prefix_iter(txn, &tenant.number.to_be_bytes())?.next().is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The one answer to a name that no tenant has.
fn no_such_tenant(name: &TenantId) -> Error {
    Error::new(Kind::NotFound, format!("there is no tenant {name}"))
        .help("facegate tenants list shows them, facegate tenants add makes one")
}

fn limit_name(tenant: u32) -> String {
    format!("max_faces.{tenant}")
}
