//! Whether the daemon does its work: what `/readyz` answers.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Kind, Result};

/// Shared between the daemon, which knows, and the API, which tells. The gallery and the networks are ready from the
/// start: without them there is no [`State`](super::State).
#[derive(Debug, Default)]
pub struct Readiness {
    door: AtomicBool,
    stopping: AtomicBool,
}

impl Readiness {
    /// Says whether the doors work: their locks are claimed and their cameras give frames. Not so at the start.
    pub fn set_door(&self, ready: bool) {
        self.door.store(ready, Ordering::Release);
    }

    /// Says that the daemon is stopping. There is no way back.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether calls of the API are served.
    ///
    /// # Errors
    /// [`Kind::NotReady`] while the daemon stops.
    pub fn api(&self) -> Result<()> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Error::new(Kind::NotReady, "the daemon is stopping"));
        }
        Ok(())
    }

    /// Whether everything works: the API and the doors.
    ///
    /// # Errors
    /// [`Kind::NotReady`], saying for what.
    pub fn everything(&self) -> Result<()> {
        self.api()?;
        if !self.door.load(Ordering::Acquire) {
            return Err(Error::new(Kind::NotReady, "a door is not ready"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_needs_the_door_and_stopping_ends_it() {
        let readiness = Readiness::default();
        assert!(readiness.api().is_ok() && readiness.everything().is_err());
        readiness.set_door(true);
        assert!(readiness.everything().is_ok());
        readiness.stop();
        assert_eq!(readiness.api().expect_err("stopping").kind(), Kind::NotReady);
        assert!(readiness.everything().is_err());
    }
}
