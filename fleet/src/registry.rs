//! The devices of the site, as the site has vouched for them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    Name, Now,
    keys::{PublicKey, Verifier},
    refusal::Cause,
    voucher::{Role, Vouched, Voucher},
};

/// Most devices that are known.
pub const MAX_DEVICES: usize = 65_536;

/// Who may say what. Keep the vouchers and revoked keys ([`vouchers`](Registry::vouchers), [`revoked`](Registry::revoked))
/// and give them back at the next start: a revocation is never forgotten.
#[derive(Clone, Debug)]
pub struct Registry {
    site: PublicKey,
    devices: HashMap<Name, Known>,
    revoked: HashSet<PublicKey>,
    doors: usize,
}

/// A device.
#[derive(Clone, Debug)]
struct Known {
    vouched: Arc<Vouched>,
    verifier: Arc<Verifier>,
}

/// What a voucher changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing: it is known.
    Nothing,
    /// Nothing: a later one is known, which others should have.
    Stale,
    /// A device was vouched for, newly or otherwise than before.
    Device,
    /// A key is revoked that was not: what it signed is to be published anew.
    Revoked(PublicKey),
}

impl Registry {
    /// The registry of the site with this signing key.
    pub fn new(site: PublicKey) -> Self {
        Self { site, devices: HashMap::new(), revoked: HashSet::new(), doors: 0 }
    }

    /// The site's key, which signs vouchers.
    pub const fn site(&self) -> &PublicKey {
        &self.site
    }

    /// Takes a voucher whose signature by the site has been verified.
    pub fn take(&mut self, vouched: Arc<Vouched>) -> Taken {
        let voucher = &vouched.voucher;
        // Also where a later voucher has given the device another key.
        let revoked = voucher.revoked && self.revoked.insert(voucher.key);
        let key = voucher.key;
        let known = self.devices.get(&voucher.device).map(|known| &known.vouched.voucher);
        let taken = match known {
            // Of two that were issued at once, one that revokes counts.
            Some(known) if (known.issued, known.revoked) > (voucher.issued, voucher.revoked) => Taken::Stale,
            Some(known) if known == voucher => Taken::Nothing,
            None if self.devices.len() >= MAX_DEVICES => Taken::Nothing,
            _ => {
                let (device, verifier) = (voucher.device.clone(), Arc::new(key.verifier()));
                self.devices.insert(device, Known { vouched, verifier });
                Taken::Device
            }
        };
        if revoked || taken == Taken::Device {
            self.count();
        }
        if revoked { Taken::Revoked(key) } else { taken }
    }

    /// Takes a key to be revoked, as it was stored.
    pub fn revoke(&mut self, key: PublicKey) {
        self.revoked.insert(key);
        self.count();
    }

    fn count(&mut self) {
        let door = |voucher: &&Voucher| voucher.role == Role::Door && !self.revoked.contains(&voucher.key);
        self.doors = self.vouchers().map(|vouched| &vouched.voucher).filter(door).count();
    }

    /// The voucher of a device whose messages are believed now.
    ///
    /// # Errors
    /// `Unknown`, `Revoked`, or `Expired` by a clock that can be relied on.
    pub fn trusted(&self, device: &Name, now: Now) -> Result<&Voucher, Cause> {
        self.signer(device, now).map(|(voucher, _)| voucher)
    }

    /// The same, with what verifies the device's signatures.
    pub(crate) fn signer(&self, device: &Name, now: Now) -> Result<(&Voucher, &Verifier), Cause> {
        let known = self.devices.get(device).ok_or(Cause::Unknown)?;
        let voucher = &known.vouched.voucher;
        if voucher.revoked || self.revoked.contains(&voucher.key) {
            return Err(Cause::Revoked);
        }
        if let Some(wall) = now.trusted_wall()
            && (wall < voucher.not_before || voucher.expires.is_some_and(|expires| expires <= wall))
        {
            return Err(Cause::Expired);
        }
        Ok((voucher, &known.verifier))
    }

    /// The newest voucher of a device.
    pub fn vouched(&self, device: &Name) -> Option<&Arc<Vouched>> {
        self.devices.get(device).map(|known| &known.vouched)
    }

    /// The newest voucher of each device, also of those that are revoked.
    pub fn vouchers(&self) -> impl ExactSizeIterator<Item = &Arc<Vouched>> {
        self.devices.values().map(|known| &known.vouched)
    }

    /// All keys that were ever revoked.
    pub fn revoked(&self) -> impl ExactSizeIterator<Item = &PublicKey> {
        self.revoked.iter()
    }

    /// How many doors there are that are not revoked.
    pub const fn doors(&self) -> usize {
        self.doors
    }
}
