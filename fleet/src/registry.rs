//! The devices of the site, as the site has vouched for them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use crate::{
    Name, Now,
    keys::PublicKey,
    refusal::Cause,
    voucher::{Role, Voucher},
};

/// Most devices that are known.
pub const MAX_DEVICES: usize = 65_536;

/// Who may say what. Keep the vouchers and revoked keys ([`vouchers`](Registry::vouchers), [`revoked`](Registry::revoked))
/// and give them back at the next start: a revocation is never forgotten.
#[derive(Clone, Debug)]
pub struct Registry {
    site: PublicKey,
    devices: BTreeMap<Name, Arc<Voucher>>,
    revoked: HashSet<PublicKey>,
}

/// What a voucher changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing: it is known, or older than what is known.
    Nothing,
    /// A device was vouched for, newly or otherwise than before.
    Device,
    /// A key is revoked that was not: what it signed is to be published anew.
    Revoked(PublicKey),
}

impl Registry {
    /// The registry of the site with this signing key.
    pub fn new(site: PublicKey) -> Self {
        Self { site, devices: BTreeMap::new(), revoked: HashSet::new() }
    }

    /// The site's key, which signs vouchers.
    pub const fn site(&self) -> &PublicKey {
        &self.site
    }

    /// Takes a voucher whose signature by the site has been verified.
    pub fn take(&mut self, voucher: Arc<Voucher>) -> Taken {
        if voucher.revoked && self.revoked.insert(voucher.key) {
            // Also where a later voucher has given the device another key.
            if self.devices.get(&voucher.device).is_none_or(|known| known.issued <= voucher.issued) {
                self.devices.insert(voucher.device.clone(), Arc::clone(&voucher));
            }
            return Taken::Revoked(voucher.key);
        }
        match self.devices.get(&voucher.device) {
            Some(known) if known.issued >= voucher.issued => Taken::Nothing,
            None if self.devices.len() >= MAX_DEVICES => Taken::Nothing,
            _ => {
                self.devices.insert(voucher.device.clone(), voucher);
                Taken::Device
            }
        }
    }

    /// Takes a key to be revoked, as it was stored.
    pub fn revoke(&mut self, key: PublicKey) {
        self.revoked.insert(key);
    }

    /// The voucher of a device whose messages are believed now.
    ///
    /// # Errors
    /// `Unknown`, `Revoked`, or `Expired` by a clock that can be relied on.
    pub fn trusted(&self, device: &Name, now: Now) -> Result<&Arc<Voucher>, Cause> {
        let voucher = self.devices.get(device).ok_or(Cause::Unknown)?;
        if voucher.revoked || self.revoked.contains(&voucher.key) {
            return Err(Cause::Revoked);
        }
        if let Some(wall) = now.trusted_wall()
            && (wall < voucher.not_before || voucher.expires.is_some_and(|expires| expires <= wall))
        {
            return Err(Cause::Expired);
        }
        Ok(voucher)
    }

    /// The newest voucher of each device, also of those that are revoked.
    pub fn vouchers(&self) -> impl ExactSizeIterator<Item = &Arc<Voucher>> {
        self.devices.values()
    }

    /// All keys that were ever revoked.
    pub fn revoked(&self) -> impl ExactSizeIterator<Item = &PublicKey> {
        self.revoked.iter()
    }

    /// How many doors there are that are not revoked.
    pub fn doors(&self) -> usize {
        let door = |voucher: &&Arc<Voucher>| voucher.role == Role::Door && !self.revoked.contains(&voucher.key);
        self.vouchers().filter(door).count()
    }
}
