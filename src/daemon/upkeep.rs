//! The threads beside the way from camera to relay: what they do is missed late, so it is watched whether they do it.
//!
//! None of them opens a door, and a door must not be shut by what ails them (see [`Pulse::still`](super::Pulse::still)): they
//! are told of by the service manager's status line, by `/readyz` and in the log.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;

use super::spawn;
use crate::{
    clock::{Beat, Clock},
    error::Result,
    gallery::Gallery,
    journal::{Journal, Running},
};

/// The store's changes may be taken in so late.
const FOLLOWS: Duration = Duration::from_secs(2);

/// A large gallery that is taken in anew takes some seconds on a small board.
const LOOKS: Duration = Duration::from_secs(20);

/// The office hours are kept from memory, four times a second.
const KEEPS: Duration = Duration::from_secs(5);

/// Watches over them.
pub struct Upkeep {
    // Held by nobody here: they end with the daemon, whoever watches it for how long.
    gallery: Weak<Gallery>,
    journal: Running,
    clock: Arc<dyn Clock>,
    /// Of the thread that takes in the store's changes.
    pub looking: Beat,
    /// Of the thread that keeps office hours.
    pub keeping: Beat,
    threads: Mutex<Vec<(String, Weak<()>)>>,
    stop: Arc<AtomicBool>,
}

impl Upkeep {
    /// Watches until `stop`.
    pub fn new(gallery: &Arc<Gallery>, journal: &Journal, clock: Arc<dyn Clock>, stop: Arc<AtomicBool>) -> Self {
        let (gallery, journal) = (Arc::downgrade(gallery), journal.running());
        let (looking, keeping) = (Beat::new(Arc::clone(&clock)), Beat::new(Arc::clone(&clock)));
        Self { gallery, journal, clock, looking, keeping, threads: Mutex::default(), stop }
    }

    /// Starts a thread that is to run for as long as the daemon does.
    ///
    /// # Errors
    /// `Io` where none can be had.
    pub fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
        let alive = Arc::new(());
        self.threads.lock().push((name.into(), Arc::downgrade(&alive)));
        spawn(name, move || {
            // Dropped however it ends.
            let _alive = alive;
            body();
        })
    }

    /// What is not done that should be, in words; none where all is well, and while the daemon stops.
    pub fn ails(&self) -> Option<String> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let mut ails = Vec::new();
        let behind = self
            .gallery
            .upgrade()
            .and_then(|gallery| gallery.behind())
            .filter(|behind| self.clock.now().since(behind.since) >= FOLLOWS);
        if let Some(behind) = behind {
            ails.push(format!("what changes in the gallery cannot be taken in ({})", behind.why));
        } else if self.looking.still() >= LOOKS {
            ails.push("what changes in the gallery is not looked at any more".into());
        }
        if self.keeping.still() >= KEEPS {
            ails.push("nobody keeps the office hours any more".into());
        }
        let threads = self.threads.lock();
        let ended = threads.iter().filter(|(_, alive)| alive.strong_count() == 0).map(|(name, _)| name.as_str());
        for name in ended.chain((!self.journal.is_so()).then_some("journal")) {
            ails.push(format!("the thread {name} has ended, restart the daemon"));
        }
        (!ails.is_empty()).then(|| ails.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{clock::SimulatedClock, gallery, journal};

    #[test]
    fn what_is_not_done_any_more_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let simulated = SimulatedClock::new(Timestamp::UNIX_EPOCH);
        let clock: Arc<dyn Clock> = Arc::new(simulated.clone());
        let settings = gallery::Settings { dir: folder.path().join("gallery"), ..gallery::Settings::default() };
        let gallery = Arc::new(Gallery::open(&settings, "a model", Arc::clone(&clock)).expect("a gallery"));
        let settings = journal::Settings { dir: folder.path().join("journal"), ..journal::Settings::default() };
        let journal = Arc::new(Journal::open(&settings, Arc::clone(&clock)).expect("a journal"));
        let stop = Arc::new(AtomicBool::new(false));
        let upkeep = Upkeep::new(&gallery, &journal, clock, Arc::clone(&stop));
        let (leave, left) = std::sync::mpsc::channel::<()>();
        let waits = move || assert!(left.recv().is_err(), "nobody says anything");
        let thread = upkeep.spawn("tell-front", waits).expect("a thread");
        assert_eq!(upkeep.ails(), None);
        simulated.advance(KEEPS);
        assert_eq!(upkeep.ails().as_deref(), Some("nobody keeps the office hours any more"));
        upkeep.keeping.note();
        simulated.advance(LOOKS);
        upkeep.keeping.note();
        assert_eq!(upkeep.ails().as_deref(), Some("what changes in the gallery is not looked at any more"));
        upkeep.looking.note();
        drop(leave);
        thread.join().expect("it ends");
        assert_eq!(upkeep.ails().as_deref(), Some("the thread tell-front has ended, restart the daemon"));
        stop.store(true, Ordering::Relaxed);
        assert_eq!(upkeep.ails(), None, "it was asked to");
    }
}
