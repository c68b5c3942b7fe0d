//! The thread that drives the lock by the state machine.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select_biased};
use parking_lot::Mutex;

use super::{
    FailState, Lock, Settings, lock_error,
    state::{Door, Event},
};
use crate::{
    clock::{Clock, Moment},
    error::{Context, Error, Kind, Result},
};

/// As many grants may wait for the thread.
const GRANTS: usize = 8;

/// As many edges may wait to be read; later ones are not reported until there is room.
const EDGES: usize = 256;

/// A grant that waited for longer than this opens nothing: whoever it was for has gone.
const MAX_GRANT_AGE: Duration = Duration::from_secs(1);

/// The lock is asked again after this long where it failed.
const RETRY: Duration = Duration::from_millis(100);

/// While something is due, the clock is looked at as often as this at least.
const LOOK: Duration = Duration::from_millis(50);

/// The thread comes round as often as this where nothing is due, so that its guard sees it move.
const ROUND: Duration = Duration::from_millis(250);

/// For how long [`Driver::stop`] waits for the relay to rest.
const STOP: Duration = Duration::from_millis(200);

/// The relay has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The relay's new level.
    pub energised: bool,
    /// Whether the door is unlocked by it.
    pub open: bool,
    /// When the lock had taken it.
    pub at: Moment,
    /// The grant that opened the door; none where it locks.
    pub tag: Option<u64>,
}

/// How the lock does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether the lock took the last level that it was given.
    pub healthy: bool,
    /// How often it failed.
    pub errors: u64,
    pub last_error: Option<String>,
    /// Whether the door is unlocked.
    pub open: bool,
    /// Grants that were not heard, because the lock did not answer or they were too old.
    pub refused: u64,
}

/// Drives one door's lock on a thread of its own. Dropping it stops it.
pub struct Driver {
    name: String,
    grants: Sender<Grant>,
    stop: Sender<()>,
    ended: Receiver<()>,
    edges: Receiver<Edge>,
    health: Arc<Mutex<Health>>,
    /// When the thread last came round, by the clock, in milliseconds.
    beat: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Copy)]
struct Grant {
    tag: u64,
    at: Moment,
}

impl Driver {
    /// Puts the lock at rest and starts the thread.
    pub fn start(settings: &Settings, mut lock: Box<dyn Lock>, clock: Arc<dyn Clock>) -> Result<Self> {
        settings.validate()?;
        let rest = settings.fail.rest_energised();
        lock.set(rest).context(Kind::Lock, || {
            format!("the lock of door `{}` ({}) cannot be put at rest", settings.name, lock.describe())
        })?;
        let (grants, receive_grants) = bounded(GRANTS);
        let (stop, receive_stop) = bounded(1);
        let (end, ended) = bounded(0);
        let (send_edges, edges) = bounded(EDGES);
        let health = Arc::new(Mutex::new(Health { healthy: true, ..Health::default() }));
        let beat = Arc::new(AtomicU64::new(millis(clock.now())));
        let mut runner = Runner {
            beat: Arc::clone(&beat),
            name: settings.name.clone(),
            fail: settings.fail,
            pulse: settings.pulse(),
            door: Door::new(settings.fail, settings.pulse()),
            lock,
            clock: Arc::clone(&clock),
            grants: receive_grants,
            stop: receive_stop,
            edges: send_edges,
            health: Arc::clone(&health),
            level: Some(rest),
            tag: None,
            retry_at: None,
            stopping: false,
        };
        let body = move || {
            runner.guard();
            // Closes the line before `stop` is answered.
            drop(runner);
            drop(end);
        };
        thread::Builder::new()
            .name("door".into())
            .spawn(body)
            .context(Kind::Lock, || "the door's thread cannot be started")?;
        Ok(Self { name: settings.name.clone(), grants, stop, ended, edges, health, beat, clock })
    }

    /// Opens the door for one pulse; `at` is now. Never waits. `tag` comes back in the [`Edge`], if this grant causes one:
    /// while the door is open, a grant prolongs it without an edge.
    pub fn grant(&self, tag: u64, at: Moment) -> Result<()> {
        self.grants.try_send(Grant { tag, at }).map_err(|error| {
            self.health.lock().refused += 1;
            match error {
                TrySendError::Full(_) => lock_error(format!("the lock of door `{}` does not answer", self.name))
                    .help("see the log for what the lock said last, and check its wiring"),
                TrySendError::Disconnected(_) => {
                    Error::new(Kind::NotReady, format!("door `{}` has been stopped", self.name))
                }
            }
        })
    }

    /// Where the relay's edges arrive. One reader gets each edge; clones share them. At most 256 wait.
    pub fn edges(&self) -> Receiver<Edge> {
        self.edges.clone()
    }

    /// How the lock does.
    pub fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// For how long the thread has not come round: never more than a quarter of a second while all is well.
    pub fn still(&self) -> Duration {
        let beat = Duration::from_millis(self.beat.load(Ordering::Relaxed));
        self.clock.now().since(Moment::from_start(beat))
    }

    /// Puts the relay at rest and ends the thread. Waits for at most 200 ms; an error says that the lock did not answer.
    /// Stopping twice does no harm.
    pub fn stop(&self) -> Result<()> {
        // Full means that it was asked to stop already, disconnected that it has ended.
        let _ = self.stop.try_send(());
        match self.ended.recv_timeout(STOP) {
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) if self.health.lock().healthy => Ok(()),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                let last = self.health.lock().last_error.clone().unwrap_or_default();
                Err(lock_error(format!("the lock of door `{}` could not be put at rest: {last}", self.name)))
            }
            _ => Err(lock_error(format!("the lock of door `{}` did not come to rest within 200 ms", self.name))),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the door ends without knowing its relay at rest");
        }
    }
}

fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_millis()).unwrap_or(u64::MAX)
}

/// What the thread has.
struct Runner {
    beat: Arc<AtomicU64>,
    name: String,
    fail: FailState,
    pulse: Duration,
    door: Door,
    lock: Box<dyn Lock>,
    clock: Arc<dyn Clock>,
    grants: Receiver<Grant>,
    stop: Receiver<()>,
    edges: Sender<Edge>,
    health: Arc<Mutex<Health>>,
    /// The level that the lock has taken; none where it failed, and nobody knows.
    level: Option<bool>,
    /// The grant that opened the door.
    tag: Option<u64>,
    retry_at: Option<Moment>,
    stopping: bool,
}

impl Runner {
    /// Runs until stopped. A panic puts the relay at rest, and the door goes on.
    fn guard(&mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            self.failed("the door's thread panicked");
            self.level = None;
            self.door = Door::new(self.fail, self.pulse);
            let rest = self.fail.rest_energised();
            let rested = catch_unwind(AssertUnwindSafe(|| self.lock.set(rest)));
            if matches!(rested, Ok(Ok(()))) {
                self.moved(rest);
            }
            if self.stopping {
                return;
            }
            thread::sleep(LOOK);
        }
    }

    fn run(&mut self) {
        loop {
            self.beat.store(millis(self.clock.now()), Ordering::Relaxed);
            let wait = self.step(Event::Tick);
            // The branches only name what came, so that a panic further down finds every field in order.
            let grant = select_biased! {
                recv(self.stop) -> _ => {
                    self.stopping = true;
                    None
                },
                recv(self.grants) -> grant => grant.ok(),
                default(wait) => None,
            };
            if self.stopping {
                return self.shut_down();
            }
            if let Some(grant) = grant {
                self.granted(grant);
            }
        }
    }

    fn granted(&mut self, grant: Grant) {
        if self.clock.now().since(grant.at) > MAX_GRANT_AGE {
            self.health.lock().refused += 1;
            tracing::warn!(door = self.name, "a grant came too late to the lock and opens nothing");
            return;
        }
        if !self.door.is_open() {
            self.tag = Some(grant.tag);
        }
        self.step(Event::Grant);
    }

    /// One last try more than usual: there is no later one.
    fn shut_down(&mut self) {
        self.step(Event::Shutdown);
        if self.level.is_none() {
            self.retry_at = None;
            self.step(Event::Shutdown);
        }
    }

    /// Asks the state machine for the level and sees that the lock has it. The answer is for how long nothing is due.
    fn step(&mut self, event: Event) -> Duration {
        let now = self.clock.now();
        let step = self.door.on(event, now);
        if self.level != Some(step.energised) && self.retry_at.is_none_or(|at| at <= now || event != Event::Tick) {
            self.retry_at = None;
            match self.lock.set(step.energised) {
                Ok(()) => self.moved(step.energised),
                Err(error) => {
                    self.level = None;
                    self.retry_at = Some(now + RETRY);
                    self.failed(&error.to_string());
                }
            }
        }
        let due = step.deadline.into_iter().chain(self.retry_at).min();
        due.map_or(ROUND, |due| due.since(self.clock.now()).min(LOOK))
    }

    fn moved(&mut self, energised: bool) {
        let at = self.clock.now();
        self.level = Some(energised);
        let open = energised != self.fail.rest_energised();
        let tag = self.tag.take().filter(|_| open);
        {
            let mut health = self.health.lock();
            if !health.healthy {
                tracing::info!(door = self.name, lock = self.lock.describe(), "the lock answers again");
            }
            health.healthy = true;
            health.open = open;
        }
        if self.edges.try_send(Edge { energised, open, at, tag }).is_err() {
            tracing::debug!(door = self.name, "nobody reads the relay's edges");
        }
    }

    fn failed(&self, message: &str) {
        let mut health = self.health.lock();
        // Once, not at each retry.
        if health.healthy || health.last_error.as_deref() != Some(message) {
            tracing::error!(door = self.name, lock = self.lock.describe(), "the lock failed: {message}");
        }
        health.healthy = false;
        health.errors += 1;
        health.last_error = Some(message.into());
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
