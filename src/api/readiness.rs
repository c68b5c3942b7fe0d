//! Whether the daemon can do its work yet, and still: what `/readyz` answers.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Kind, Result};

/// Shared between the daemon, which knows, and the API, which tells. Starts with nothing ready.
#[derive(Debug, Default)]
pub struct Readiness {
    door: AtomicBool,
    gallery: AtomicBool,
    stopping: AtomicBool,
}

impl Readiness {
    /// Nothing is ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the door works: its lock is claimed and its camera gives frames.
    pub fn set_door(&self, ready: bool) {
        self.door.store(ready, Ordering::Release);
    }

    /// Says whether the gallery and the networks can be used.
    pub fn set_gallery(&self, ready: bool) {
        self.gallery.store(ready, Ordering::Release);
    }

    /// Says that the daemon is stopping. There is no way back.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether calls of the API can be served.
    ///
    /// # Errors
    /// [`Kind::NotReady`], saying for what.
    pub fn api(&self) -> Result<()> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Error::new(Kind::NotReady, "the daemon is stopping"));
        }
        if !self.gallery.load(Ordering::Acquire) {
            return Err(Error::new(Kind::NotReady, "the gallery is not ready yet"));
        }
        Ok(())
    }

    /// Whether everything works: the API and the door.
    ///
    /// # Errors
    /// [`Kind::NotReady`], saying for what.
    pub fn everything(&self) -> Result<()> {
        self.api()?;
        if !self.door.load(Ordering::Acquire) {
            return Err(Error::new(Kind::NotReady, "the door is not ready"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_needs_the_door_too_and_stopping_ends_it() {
        let readiness = Readiness::new();
        assert!(readiness.api().is_err());
        readiness.set_gallery(true);
        assert!(readiness.api().is_ok() && readiness.everything().is_err());
        readiness.set_door(true);
        assert!(readiness.everything().is_ok());
        readiness.stop();
        assert_eq!(readiness.api().expect_err("stopping").kind(), Kind::NotReady);
    }
}
