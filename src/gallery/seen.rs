//! When each subject was recognised at a door last.
//!
//! A door notes it in memory and goes on; a thread stores what was noted now and then, in one transaction, so that a busy
//! door does not wear out a card. What a power cut takes, the journal has. A row is sealed as who is where is.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    Gallery,
    access::{Of, Row, key},
    ids::{SubjectId, TenantId},
    store::{Room, View, Writer},
};
use crate::error::{Error, Kind, Result};

/// Where and when a subject was recognised last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema, Deserialize)]
pub struct LastSeen {
    /// The door's name.
    pub door: String,
    /// By the wall clock.
    pub at: Timestamp,
}

/// What doors noted and is not stored yet: by tenant and subject, so no more than there are subjects.
#[derive(Default)]
pub(super) struct Noted(Mutex<HashMap<(TenantId, Arc<str>), LastSeen>>);

impl Gallery {
    /// Notes that a door has recognised somebody. In memory: waits for no disk.
    pub fn note_seen(&self, tenant: &TenantId, subject: Arc<str>, seen: LastSeen) {
        self.noted_seen.0.lock().insert((tenant.clone(), subject), seen);
    }

    /// Stores what was noted since it was called last.
    ///
    /// # Errors
    /// Those of the store. What was noted is kept, and tried again by the next call.
    pub fn store_seen(&self) -> Result<()> {
        let noted = std::mem::take(&mut *self.noted_seen.0.lock());
        if noted.is_empty() {
            return Ok(());
        }
        self.save_seen(&noted).inspect_err(|_| {
            let mut newer = self.noted_seen.0.lock();
            for (who, seen) in noted {
                newer.entry(who).or_insert(seen);
            }
        })
    }

    fn save_seen(&self, noted: &HashMap<(TenantId, Arc<str>), LastSeen>) -> Result<()> {
        let mut writer = self.write()?;
        for ((tenant, subject), seen) in noted {
            // Deleted meanwhile, and perhaps somebody else enrolled under the same id: they were not seen.
            let Some(row) = self.store.tenant(writer.txn(), tenant)? else { continue };
            let Ok(subject) = subject.parse::<SubjectId>() else { continue };
            if !self.was_enrolled(writer.txn(), row.number, &subject, seen.at)? {
                continue;
            }
            let plain = serde_json::to_vec(seen)
                .map_err(|error| Error::new(Kind::Internal, "a time has no form in JSON").source(error))?;
            let key = key(row.number, self.digest(row.number, subject.as_str()));
            self.put_row(&mut writer, Of::Seen, &key, &plain)?;
        }
        writer.commit(Room::Reserve)
    }

    /// As far as this process knows, and the store.
    pub(super) fn last_seen(
        &self,
        txn: &View<'_>,
        tenant: &TenantId,
        number: u32,
        subject: &SubjectId,
    ) -> Result<Option<LastSeen>> {
        let noted = self.noted_seen.0.lock().get(&(tenant.clone(), subject.as_str().into())).cloned();
        if let Some(noted) = noted
            && self.was_enrolled(txn, number, subject, noted.at)?
        {
            return Ok(Some(noted));
        }
        let row = self.row(txn, Of::Seen, &key(number, self.digest(number, subject.as_str())))?;
        // What cannot be read is not known; facegate check tells.
        Ok(match row {
            Row::Readable(plain) => serde_json::from_slice(&plain).ok(),
            Row::Missing | Row::Unreadable => None,
        })
    }

    pub(super) fn drop_seen(
        &self,
        writer: &mut Writer<'_>,
        tenant: u32,
        subject: &SubjectId,
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let key = key(tenant, self.digest(tenant, subject.as_str()));
        self.delete_row(writer, Of::Seen, &key, slots).map(drop)
    }
}
