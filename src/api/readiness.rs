//! Whether the daemon does its work: what `/readyz` answers.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::error::{Error, Kind, Result};

/// Shared between the daemon, which knows, and the API, which tells. The gallery and the networks are ready from the
/// start: without them there is no [`State`](super::State).
#[derive(Default)]
pub struct Readiness {
    doors: OnceLock<Box<dyn Fn() -> Result<()> + Send + Sync>>,
    stopping: AtomicBool,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("stopping", &self.stopping).finish_non_exhaustive()
    }
}

impl Readiness {
    /// Says how to ask whether the doors work: their locks are claimed, their cameras give frames, they follow the gallery. Until
    /// then they do not. It is asked at each call, waits for nothing, and is to say no more than anybody may know.
    pub fn watch(&self, doors: impl Fn() -> Result<()> + Send + Sync + 'static) {
        // The first word counts.
        let _ = self.doors.set(Box::new(doors));
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
        self.doors.get().map_or_else(|| Err(door_not_ready()), |doors| doors())
    }
}

/// The answer where a camera or a lock does not work.
pub fn door_not_ready() -> Error {
    Error::new(Kind::NotReady, "a door is not ready")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn everything_needs_the_door_and_stopping_ends_it() {
        let readiness = Readiness::default();
        assert!(readiness.api().is_ok() && readiness.everything().is_err());
        let works = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&works);
        readiness.watch(move || if asked.load(Ordering::Relaxed) { Ok(()) } else { Err(door_not_ready()) });
        assert!(readiness.everything().is_ok());
        works.store(false, Ordering::Relaxed);
        assert!(readiness.everything().is_err(), "asked each time");
        works.store(true, Ordering::Relaxed);
        assert!(readiness.everything().is_ok());
        readiness.stop();
        assert_eq!(readiness.api().expect_err("stopping").kind(), Kind::NotReady);
        assert!(readiness.everything().is_err());
    }
}
