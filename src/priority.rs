//! What goes ahead of what: the door's threads keep the priority that the process was started with, everybody else's step back.
//!
//! With as many threads of each as want the processor, a door's gets ten times what one of the recognition does, and thirty times
//! what one of the API does. Where no door needs it, all of it is theirs.

use rustix::process::nice;

use crate::error::{Context, Kind, Result};

/// Whose thread steps back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// One of few that work on photographs.
    Recognition,
    /// One of many that read forms, look up keys and wait for the store. Whoever sends more than the recognition can do has
    /// these work all the time: they come last.
    Api,
}

impl Behind {
    /// As of `nice`.
    fn niceness(self) -> i32 {
        match self {
            Self::Recognition => 10,
            Self::Api => 15,
        }
    }

    /// Lowers the calling thread's priority. On Linux a thread has one of its own, unlike what POSIX says of `nice`.
    ///
    /// # Errors
    /// `Io` where the system refuses it, as some sandboxes do.
    pub fn step_back(self) -> Result<()> {
        nice(self.niceness()).context(Kind::Io, || "a thread cannot step back behind the door's")?;
        Ok(())
    }

    /// The same, as a kindness to the door that is no condition of working: it is logged where it cannot be done.
    pub fn step_back_if_possible(self) {
        if let Err(error) = self.step_back() {
            tracing::warn!(%error, "{self:?} works at the same priority as the door");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn only_the_thread_that_asks_gets_a_lower_priority() {
        let priority = || rustix::process::getpriority_process(None).expect("one may ask");
        let before = priority();
        for who in [Behind::Recognition, Behind::Api] {
            let lowered = thread::spawn(move || {
                who.step_back().expect("anybody may step back");
                priority()
            });
            assert_eq!(lowered.join().expect("it does not panic"), (before + who.niceness()).min(19));
            assert_eq!(priority(), before);
        }
    }
}
