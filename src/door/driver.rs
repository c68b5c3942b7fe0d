//! What the rest of the daemon has of a door: whom to let in, what to do, what happened.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use facegate_control::{
    Card, Class, Passage,
    door::{Alarm, Command, Happening, Interlock, Mode, Refusal},
};
use parking_lot::Mutex;

use super::{Hardware, Settings, Wiegand, feed, lock_error, runner::Runner};
use crate::{
    clock::{Beat, Clock, Moment},
    error::{Context, Error, Kind, Result},
};

/// As many grants may wait for the thread.
pub(super) const GRANTS: usize = 8;

/// As many commands may wait for it.
const ORDERS: usize = 32;

/// As many edges of inputs may wait for it.
const SENSED: usize = 256;

/// As many reports may wait to be read; later ones are lost until there is room, which is counted.
const REPORTS: usize = 512;

/// For how long [`Driver::stop`] waits for the relays to rest.
const STOP: Duration = Duration::from_millis(200);

/// Somebody may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Tells this grant apart from every other; it comes back in what is reported.
    pub tag: u64,
    pub class: Class,
    pub passage: Passage,
    /// What a panel is sent, where the door is the reader of one.
    pub card: Option<Card>,
    /// When it was decided.
    pub at: Moment,
}

/// What somebody asks of a door.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Command {
        command: Command,
        answer: Sender<Heard>,
        /// When it was given.
        at: Moment,
    },
    FreeAccess(bool),
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Why the door refused; none where it obeyed.
    pub refused: Option<Refusal>,
    /// What the door is like since.
    pub mode: Mode,
    /// Whether the locks have taken their levels.
    pub works: bool,
}

/// A lock's relay has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Which of a turnstile's two; a door has the one of [`Passage::Entry`].
    pub lane: Passage,
    /// The relay's new level.
    pub energised: bool,
    /// Whether the door is unlocked by it.
    pub open: bool,
    /// When the lock had taken it.
    pub at: Moment,
    /// The grant that opened the door; none where it locks.
    pub tag: Option<u64>,
}

/// What a door reports, in the order in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    Happened {
        happening: Happening,
        at: Moment,
    },
    /// Follows what moved it.
    Edge(Edge),
    /// The card of a grant has gone to the panel, or could not be sent.
    Card {
        tag: u64,
        sent: bool,
        /// When it was handed to the wires, or given up.
        at: Moment,
    },
}

/// A command is answered in a moment. A door that has not after this time does not work, and does not obey it later either.
pub const ANSWER: Duration = Duration::from_secs(1);

/// How a door does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether the locks took the last level that they were given, and the wires to a panel the last card.
    pub healthy: bool,
    /// Whether the lamps, the buzzer and the alarm relay did.
    pub signals_healthy: bool,
    /// Whether every input can be read.
    pub inputs_healthy: bool,
    /// How often a line failed.
    pub errors: u64,
    pub last_error: Option<String>,
    /// Whether a lock has let go.
    pub open: bool,
    /// What the door is like.
    pub mode: Mode,
    /// Whether the door stands open, where a contact tells.
    pub door_open: Option<bool>,
    /// Which alarms stand, by [`Alarm::ALL`].
    pub alarms: [bool; Alarm::ALL.len()],
    /// Grants that were not heard, because the lock did not answer or they were too old.
    pub refused: u64,
    /// Reports that nobody read in time.
    pub unread: u64,
}

/// A door's place in an interlock that several doors share.
#[derive(Clone)]
pub struct Place {
    pub interlock: Arc<Mutex<Interlock>>,
    /// The door's number in it.
    pub door: usize,
}

/// Drives one door on a thread of its own. Dropping it stops it.
pub struct Driver {
    name: String,
    pub(super) grants: Sender<Grant>,
    orders: Sender<Order>,
    stop: Sender<()>,
    ended: Receiver<()>,
    reports: Receiver<Report>,
    health: Arc<Mutex<Health>>,
    wiegand: Option<Arc<Wiegand>>,
    /// Ends the threads that read the inputs.
    deaf: Arc<AtomicBool>,
    /// When the thread last came round.
    beat: Beat,
}

impl Driver {
    /// Puts the locks at rest and starts the threads.
    pub fn start(
        settings: &Settings,
        mut hardware: Hardware,
        place: Option<Place>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        settings.validate()?;
        let rest = settings.fail.rest_energised();
        for lock in [&mut hardware.lock, &mut hardware.exit_lock].into_iter().flatten() {
            lock.set(rest).context(Kind::Lock, || {
                format!("the lock of door `{}` ({}) cannot be put at rest", settings.name, lock.describe())
            })?;
        }
        let (grants, receive_grants) = bounded(GRANTS);
        let (orders, receive_orders) = bounded(ORDERS);
        let (sense, sensed) = bounded(SENSED);
        let (stop, receive_stop) = bounded(1);
        let (end, ended) = bounded(0);
        let (report, reports) = bounded(REPORTS);
        let well = Health { healthy: true, signals_healthy: true, inputs_healthy: true, ..Health::default() };
        let health = Arc::new(Mutex::new(well));
        let beat = Beat::new(Arc::clone(&clock));
        let deaf = Arc::new(AtomicBool::new(false));
        let sources = std::mem::take(&mut hardware.inputs);
        let wiegand = hardware.wiegand.clone();
        let mut runner = Runner::new(settings, hardware, place, clock)?;
        let body = {
            let (health, beat, keep_open) = (Arc::clone(&health), beat.clone(), sense.clone());
            move || {
                runner.guard(&super::runner::Ends {
                    grants: receive_grants,
                    orders: receive_orders,
                    sensed,
                    stop: receive_stop,
                    report,
                    health,
                    beat,
                });
                // Closes the lines before `stop` is answered.
                drop((runner, keep_open));
                drop(end);
            }
        };
        thread::Builder::new()
            .name("door".into())
            .spawn(body)
            .context(Kind::Lock, || "the door's thread cannot be started")?;
        let name = settings.name.clone();
        // From here on the door is stopped where anything fails.
        let driver =
            Self { name, grants, orders, stop, ended, reports, health, wiegand, deaf: Arc::clone(&deaf), beat };
        for source in sources {
            feed::start(&settings.name, source, sense.clone(), Arc::clone(&deaf))?;
        }
        Ok(driver)
    }

    /// Lets somebody in; `grant.at` is now. Never waits. The tag comes back in the [`Edge`], if this grant causes one: while
    /// the door is open, a grant prolongs it without an edge.
    pub fn grant(&self, grant: Grant) -> Result<()> {
        self.grants.try_send(grant).map_err(|error| {
            self.health.lock().refused += 1;
            self.unheard(matches!(error, TrySendError::Full(_)))
        })
    }

    /// Tells the door what an operator asks of it. Never waits: what comes of it arrives in a moment, once the lines have
    /// their new levels. Nothing arrives where the door is stopped meanwhile. What the door hears so late that
    /// [`ANSWER`] may be over before it is done, it refuses, save a lockdown.
    pub fn command(&self, command: Command) -> Result<Receiver<Heard>> {
        let (answer, heard) = bounded(1);
        self.order(Order::Command { command, answer, at: self.beat.now() })?;
        Ok(heard)
    }

    /// Says whether a schedule has the door unlocked now. That it has is to be said again and again: a minute after it was said
    /// last, free access ends.
    pub fn free_access(&self, on: bool) -> Result<()> {
        self.order(Order::FreeAccess(on))
    }

    fn order(&self, order: Order) -> Result<()> {
        self.orders.try_send(order).map_err(|error| self.unheard(matches!(error, TrySendError::Full(_))))
    }

    fn unheard(&self, full: bool) -> Error {
        if full {
            lock_error(format!("the lock of door `{}` does not answer", self.name))
                .help("see the log for what the lock said last, and check its wiring")
        } else {
            Error::new(Kind::NotReady, format!("door `{}` has been stopped", self.name))
        }
    }

    /// Where the reports arrive. One reader gets each; clones share them. At most 512 wait.
    pub fn reports(&self) -> Receiver<Report> {
        self.reports.clone()
    }

    /// How the door does.
    pub fn health(&self) -> Health {
        let mut health = self.health.lock().clone();
        if let Some(wires) = self.wiegand.as_ref().map(|wiegand| wiegand.health()).filter(|wires| !wires.healthy) {
            (health.healthy, health.errors) = (false, health.errors + wires.errors);
            health.last_error = wires.last_error.or(health.last_error);
        }
        health
    }

    /// For how long the thread has not come round: never more than a quarter of a second while all is well.
    pub fn still(&self) -> Duration {
        self.beat.still()
    }

    /// Puts the relays at rest and ends the threads. Waits for at most 200 ms, and for a second where cards are under way to a
    /// panel; an error says that the lock did not answer.
    /// Stopping twice does no harm.
    pub fn stop(&self) -> Result<()> {
        self.deaf.store(true, Ordering::Relaxed);
        // Full means that it was asked to stop already, disconnected that it has ended.
        let _ = self.stop.try_send(());
        let ended = self.ended.recv_timeout(STOP);
        if let Some(wiegand) = &self.wiegand {
            wiegand.stop()?;
        }
        match ended {
            Err(RecvTimeoutError::Disconnected) if self.health.lock().healthy => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
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

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
