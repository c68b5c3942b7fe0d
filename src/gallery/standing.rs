//! Which doors are in lockdown: what an operator ordered, until an operator takes it back. Rows of `meta`:
//! `lockdown.` and the door's name, and as value who ordered it and when, in JSON.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Gallery, store::Room};
use crate::error::{Context, Kind, Result};

/// An order that holds until it is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema, Deserialize)]
pub struct Standing {
    /// Who gave it; none where that cannot be read any more.
    pub by: Option<String>,
    /// When, by the wall clock.
    pub since: Option<Timestamp>,
}

impl Gallery {
    /// The order that keeps a door in lockdown, where there is one. One that cannot be read is an order all the same.
    ///
    /// # Errors
    /// `Store` where the store cannot be read.
    pub fn lockdown(&self, door: &str) -> Result<Option<Standing>> {
        let txn = self.store.read()?;
        let row = self.store.meta.get(&txn, key(door).as_bytes())?;
        Ok(row.map(|row| serde_json::from_slice(row).unwrap_or(Standing { by: None, since: None })))
    }

    /// Stores that a door is in lockdown from now on, by the order of `by`; none: that it is so no more. Works where the
    /// gallery is full.
    ///
    /// # Errors
    /// `Store` and `StorageFull` where it cannot be written.
    pub fn set_lockdown(&self, door: &str, by: Option<&str>) -> Result<()> {
        let standing = by.map(|by| Standing { by: Some(by.to_owned()), since: Some(self.clock.wall()) });
        let row = standing.map(|standing| serde_json::to_vec(&standing)).transpose();
        let row = row.context(Kind::Internal, || "an order has no form in JSON")?;
        let mut writer = self.write()?;
        let key = key(door);
        match row {
            Some(row) => self.store.meta.put(writer.txn(), key.as_bytes(), &row)?,
            None => drop(self.store.meta.delete(writer.txn(), key.as_bytes())?),
        }
        writer.commit(Room::Reserve)
    }
}

fn key(door: &str) -> String {
    format!("lockdown.{door}")
}
