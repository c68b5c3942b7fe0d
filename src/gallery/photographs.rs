//! Photographs of enrolments, where the operator wants them kept: off unless [`Settings::keep_photographs`] says so.
//!
//! A row of `photographs`: the record's internal id u64; a version u8, the slot of a secret of its own u32, and a JPEG sealed
//! with it. It goes when its embedding does, and nobody can open what lingers on the disk.
//!
//! [`Settings::keep_photographs`]: super::Settings::keep_photographs

use zeroize::Zeroizing;

use super::{
    Gallery,
    enrol::{embedding_not_found, unreadable},
    ids::{EmbeddingId, TenantId},
    seal::new_secret,
    store::{Tenant, View, Writer},
};
use crate::error::{Error, Kind, Result};

const VERSION: u8 = 1;

/// Bytes before the sealed part.
const HEAD: usize = 5;

/// Longest photograph that is kept, in bytes; ours have some 50,000.
const LONGEST: usize = 1 << 20;

impl Gallery {
    /// Whether photographs of enrolments are to be kept.
    pub fn keeps_photographs(&self) -> bool {
        self.settings.keep_photographs
    }

    /// The photograph of an embedding, a JPEG; `None` where none was kept.
    ///
    /// # Errors
    /// `EmbeddingNotFound` where the tenant has no such embedding; `Store` where it cannot be opened.
    pub fn photograph(&self, tenant: &TenantId, id: &EmbeddingId) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let txn = self.store.read()?;
        let row = self.store.tenant(&txn, tenant)?.ok_or_else(embedding_not_found)?;
        let internal = self.internal_id(&txn, &row, id)?;
        let Some(value) = self.store.photographs.get(&txn, &internal.to_be_bytes())? else { return Ok(None) };
        let opened = self.open_photograph(&row, internal, value)?;
        // Gone since the transaction began, or damaged.
        let newer = self.store.read()?;
        if opened.is_none() && self.store.photographs.get(&newer, &internal.to_be_bytes())?.is_none() {
            return Err(embedding_not_found());
        }
        opened.map(Some).ok_or_else(unreadable)
    }

    /// Stores it within the transaction that stores its record.
    pub(super) fn put_photograph(
        &self,
        writer: &mut Writer<'_>,
        tenant: &Tenant,
        internal: u64,
        jpeg: &[u8],
    ) -> Result<()> {
        if jpeg.len() > LONGEST {
            return Err(Error::new(Kind::Internal, "a photograph to be kept is too long"));
        }
        let slot = writer.take_slot(&*new_secret()?)?;
        let sealed = self.vault.seal(tenant.slot, slot, &known(internal), jpeg)?;
        let mut value = Vec::with_capacity(HEAD + sealed.len());
        value.push(VERSION);
        value.extend(slot.to_le_bytes());
        value.extend_from_slice(&sealed);
        Ok(self.store.photographs.put(writer.txn(), &internal.to_be_bytes(), &value)?)
    }

    /// Deletes it with its record. Its slot is added to `slots`: it is to be erased after the commit.
    pub(super) fn drop_photograph(&self, writer: &mut Writer<'_>, internal: u64, slots: &mut Vec<u32>) -> Result<()> {
        let key = internal.to_be_bytes();
        let Some(slot) = self.store.photographs.get(writer.txn(), &key)?.map(slot_of) else { return Ok(()) };
        self.store.photographs.delete(writer.txn(), &key)?;
        if let Some(slot) = slot {
            writer.release_slot(slot);
            slots.push(slot);
        }
        Ok(())
    }

    /// Every photograph's internal id, the slot of its secret, and whether it can be opened.
    pub(super) fn check_photographs(
        &self,
        txn: &View<'_>,
        mut tenant_of: impl FnMut(u64) -> Option<Tenant>,
        mut tell: impl FnMut(u64, Option<u32>, bool),
    ) -> Result<()> {
        for row in self.store.photographs.iter(txn)? {
            let (key, value) = row?;
            let internal = key.try_into().map_or(0, u64::from_be_bytes);
            let opened = match tenant_of(internal) {
                Some(tenant) => self.open_photograph(&tenant, internal, value)?.is_some(),
                None => false,
            };
            tell(internal, slot_of(value), opened);
        }
        Ok(())
    }

    fn open_photograph(&self, tenant: &Tenant, internal: u64, value: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let (Some(slot), Some(sealed)) = (slot_of(value), value.get(HEAD..)) else { return Ok(None) };
        self.vault.unseal(tenant.slot, slot, &known(internal), sealed)
    }
}

/// What the seal vouches for beside the picture: that it lies in its place.
fn known(internal: u64) -> Vec<u8> {
    [b"photograph".as_slice(), &internal.to_be_bytes()].concat()
}

fn slot_of(value: &[u8]) -> Option<u32> {
    let (&[version, ref slot @ ..], _) = value.split_first_chunk::<HEAD>()?;
    (version == VERSION).then(|| u32::from_le_bytes(*slot))
}
