//! How large the memory map is: another process, started with a larger `max_mb`, may let the file grow beyond this one's.
//!
//! LMDB refuses every transaction of a process whose map has become too small, until the process takes the new size over.
//! That moves the map, so it may only be done while no transaction of the process is open, which LMDB does not look after.
//! Here it is a lock: whoever has a transaction holds it for reading, and whoever takes the size over, for writing.

use std::time::Duration;

use heed::{Env, MdbError, WithoutTls};
use parking_lot::{RwLock, RwLockReadGuard};

use crate::error::{Error, Kind, Result};

/// How long the size is waited for that others' transactions keep from being taken over. They are short, and no new one begins.
const PATIENCE: Duration = Duration::from_millis(500);

/// Guards the map of one environment.
pub(super) struct Map {
    /// Whether there is one: none is left where one of the new size could not be had.
    there: RwLock<bool>,
}

/// While this is held the map stays where it is.
pub(in crate::gallery) struct Hold<'m> {
    _there: RwLockReadGuard<'m, bool>,
}

impl Map {
    /// The map of an environment that was just opened.
    pub fn new() -> Self {
        Self { there: RwLock::new(true) }
    }

    /// Keeps the map where it is. A thread may hold it several times.
    pub fn hold(&self) -> Result<Hold<'_>> {
        // Recursively: one that holds it already must not wait for another that wants to move it.
        let there = self.there.read_recursive();
        if *there { Ok(Hold { _there: there }) } else { Err(lost()) }
    }

    /// Begins a transaction. Where the file has outgrown the map, the map grows first.
    pub fn begin<'e, T>(
        &'e self,
        env: &'e Env<WithoutTls>,
        begin: impl Fn(&'e Env<WithoutTls>) -> heed::Result<T>,
    ) -> Result<(T, Hold<'e>)> {
        let hold = self.hold()?;
        match begin(env) {
            Err(heed::Error::Mdb(MdbError::MapResized)) => drop(hold),
            begun => return Ok((begun?, hold)),
        }
        self.take_over(env)?;
        let hold = self.hold()?;
        Ok((begin(env)?, hold))
    }

    /// Takes over the size that another process has given the file.
    fn take_over(&self, env: &Env<WithoutTls>) -> Result<()> {
        let Some(mut there) = self.there.try_write_for(PATIENCE) else {
            return Err(heed::Error::from(MdbError::MapResized).into());
        };
        if !*there {
            return Err(lost());
        }
        // SAFETY: no transaction of this process is open, since each keeps a `Hold`, and nothing else of LMDB's that looks into
        // the map is called without one. Zero: the size that is written in the file.
        #[allow(unsafe_code)]
        let resized = unsafe { env.resize(0) };
        match resized {
            Ok(()) => {
                tracing::info!(
                    bytes = env.info().map_size,
                    "another process lets the gallery grow further; so does this one now"
                );
                Ok(())
            }
            Err(error) => {
                // The old map is gone. Nobody touches the environment any more, closing it included.
                *there = false;
                std::mem::forget(env.clone());
                Err(lost().source(error))
            }
        }
    }
}

fn lost() -> Error {
    Error::new(Kind::Store, "the gallery has outgrown what this process can address")
        .help("lower gallery.max_mb, and restart")
}
