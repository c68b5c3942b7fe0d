//! The places for bodies that are large, which bound the API's memory; and each tenant's share of them, so that none keeps all
//! others out by holding its own open.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::shares::{Share, Shares};
use crate::{
    error::{Error, Kind, Result},
    gallery::TenantId,
};

/// The places.
pub(super) struct Uploads {
    all: Arc<Semaphore>,
    most: usize,
    tenants: Shares<TenantId>,
}

/// A place, until it is dropped.
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    _share: Share<TenantId>,
}

impl Uploads {
    /// So many, of which a tenant may have half; where there is one, whoever comes.
    pub(super) fn new(most: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(most)), most, tenants: Shares::new((most / 2).max(1)) }
    }

    /// A place for a tenant.
    ///
    /// # Errors
    /// `Busy` where the tenant has all that it may, and where all are taken.
    pub(super) fn place(&self, tenant: &TenantId) -> Result<Place> {
        let busy = |message: &str| Error::new(Kind::Busy, message);
        let share =
            self.tenants.take(tenant.clone()).ok_or_else(|| busy("the tenant has its share of places for uploads"))?;
        let place = Arc::clone(&self.all).try_acquire_owned().map_err(|_| busy("all places for uploads are taken"))?;
        Ok(Place { _place: place, _share: share })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.most.saturating_sub(self.all.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_half_of_the_places_and_one_at_least() {
        let [acme, beta, other] = ["acme", "beta", "other"].map(|name| name.parse().expect("a tenant's name"));
        let uploads = Uploads::new(5);
        let held: Vec<_> = (0..2).map(|_| uploads.place(&acme).expect("there is room")).collect();
        assert_eq!(uploads.place(&acme).err().map(|error| error.kind()), Some(Kind::Busy));
        let more: Vec<_> = [&beta, &beta, &other].map(|tenant| uploads.place(tenant).expect("there is room")).into();
        assert_eq!(uploads.place(&other).err().map(|error| error.kind()), Some(Kind::Busy), "all are taken");
        assert_eq!(uploads.taken(), 5);
        drop((held, more));
        assert_eq!(uploads.taken(), 0);
        assert!(uploads.place(&other).is_ok(), "what was refused has cost nothing");
        assert!(Uploads::new(1).place(&acme).is_ok());
    }
}
