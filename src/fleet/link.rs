//! The thread that keeps a connection to the broker, and tries again where there is none.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use facegate_fleet::{
    Now,
    backoff::Backoff,
    command::Inbox,
    sync::{Replica, Timing},
    wire::Class,
};
use tokio::sync::{Semaphore, watch};

use super::{
    configuring::Configuring,
    documents::Documents,
    events::{self, NewEvent, Queue},
    identity::Installed,
    orders::{Hands, SLOW_AT_ONCE},
    session::{End, Session},
    settings::Settings,
    stats::Stats,
};
use crate::{
    clock::Clock,
    daemon::events::Event,
    error::{Context as _, Kind, Result},
    journal::{self, Entry, Journal},
    priority::Behind,
};

/// How long events are gathered before they are written: one transaction for all of them.
const GATHER: Duration = Duration::from_millis(20);

/// How often the thread of events looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// Commands for doors that wait for their turn, at most.
const WAITING: usize = 64;

/// How long the store is left alone after it failed.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// What the link works with.
pub struct Parts {
    pub hands: Arc<Hands>,
    pub journal: Arc<Journal>,
    pub clock: Arc<dyn Clock>,
    /// What happens at the doors.
    pub events: Receiver<Event>,
    /// The recogniser that is loaded.
    pub model: String,
}

/// The running link. [`Link::stop`] ends it.
pub struct Link {
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    stats: Arc<Stats>,
}

impl Link {
    /// Starts the threads. That the broker is not there is no error: it is tried again.
    ///
    /// # Errors
    /// `Config` where the device has not joined, or a file is not what it should be; `Store` where the queue of events cannot be
    /// opened.
    pub fn start(settings: Settings, parts: Parts) -> Result<Self> {
        let installed = Installed::read(&settings)?;
        super::client::tls(&settings)?;
        let stats = Arc::<Stats>::default();
        let queue = Queue::open(&settings.dir, settings.max_events, settings.device.clone())?;
        if let Some(configuring) = &parts.hands.configuring {
            tell_verdict(configuring, &queue, &parts.journal, wall_ms(&*parts.clock));
        }
        let (stop, stopped) = watch::channel(false);
        let Parts { hands, journal, clock, events, model } = parts;
        let gathering = {
            let (queue, clock, stopped, stats) =
                (Arc::clone(&queue), Arc::clone(&clock), stopped.clone(), Arc::clone(&stats));
            spawn("fleet-events", move || gather(&events, &queue, &*clock, &stopped, &stats))?
        };
        // What is slow elsewhere is never before a door's command.
        let (doors, commands) = crossbeam_channel::bounded::<Job>(WAITING);
        let commanding = spawn("fleet-doors", move || {
            for job in commands {
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a command of the fleet for a door panicked; the door goes on without it");
                }
            }
        })?;
        // One thread reads and writes the connection, while that which waits for the runtime opens and stores what came.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .on_thread_start(|| Behind::Api.step_back_if_possible())
            .thread_name("fleet")
            .max_blocking_threads(4)
            .enable_all()
            .build()
            .context(Kind::Io, || "the fleet's thread cannot be started")?;
        let linking = {
            let stats = Arc::clone(&stats);
            spawn("fleet", move || {
                let slow = Arc::new(Semaphore::new(SLOW_AT_ONCE));
                let keeper = Keeper {
                    settings,
                    installed,
                    hands,
                    doors,
                    slow,
                    journal,
                    clock,
                    model,
                    queue,
                    stats,
                    stopped,
                    registry_changed: AtomicBool::new(false),
                };
                runtime.block_on(keeper.run());
                // An order that is being obeyed is not waited for.
                runtime.shutdown_background();
            })?
        };
        Ok(Self { stop, threads: vec![linking, gathering, commanding], stats })
    }

    /// What it counts.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Tells it to end: it takes leave of the broker and stores what waits. Gives its threads, to be waited for.
    pub fn stop(self) -> Vec<JoinHandle<()>> {
        // Nobody hears it where both have ended.
        let _ = self.stop.send(true);
        self.threads
    }
}

/// Puts what became of the last configuration that was ordered among the events, unless it is there.
pub(super) fn tell_verdict(configuring: &Configuring, queue: &Queue, journal: &Journal, at: u64) {
    let told = || -> Result<()> {
        let Some(verdict) = configuring.unnoted()? else { return Ok(()) };
        let (kind, class, outcome) = match verdict.why {
            None => ("config_kept", Class::Routine, "kept"),
            Some(_) => ("config_rolled_back", Class::Alarm, "rolled_back"),
        };
        tracing::info!(revision = verdict.revision, why = verdict.why, "the ordered configuration: {outcome}");
        let by = format!("device {}", verdict.to);
        let event = journal::Event::Order { order: "set_config".into(), by, outcome: outcome.into() };
        journal.append(Entry { door: None, event });
        let mut details = serde_json::Map::new();
        details.insert("revision".into(), verdict.revision.into());
        details.extend(verdict.why.map(|why| ("why".into(), why.into())));
        queue.push(vec![NewEvent { at, class, kind: kind.into(), door: None, details }])?;
        configuring.noted()
    };
    if let Err(error) = told() {
        tracing::error!(%error, help = error.advice(), "what became of a configuration is not among the events yet");
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let body = move || {
        Behind::Api.step_back_if_possible();
        body();
    };
    thread::Builder::new().name(name.into()).spawn(body).context(Kind::Io, || format!("cannot start the thread {name}"))
}

/// Writes what happens at the doors into the queue.
fn gather(events: &Receiver<Event>, queue: &Queue, clock: &dyn Clock, stopped: &watch::Receiver<bool>, stats: &Stats) {
    loop {
        let first = match events.recv_timeout(LOOK) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // Looked at before: what came until then is written before the end.
        let last = *stopped.borrow();
        if let Some(first) = first {
            if !last {
                thread::sleep(GATHER);
            }
            let at = wall_ms(clock);
            let new: Vec<_> = std::iter::once(first)
                .chain(events.try_iter().take(256))
                .filter_map(|happened| events::event(&happened, at))
                .collect();
            if !new.is_empty()
                && let Err(error) = queue.push(new)
            {
                tracing::error!(%error, "events for the fleet are lost; the journal has them");
            }
            let (waiting, dropped) = queue.counts();
            stats.events_waiting.store(waiting, Ordering::Relaxed);
            stats.events_dropped.store(dropped, Ordering::Relaxed);
        } else if last {
            return;
        }
    }
}

/// Something to be done.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// All that outlasts a connection.
pub(super) struct Keeper {
    pub settings: Settings,
    pub installed: Installed,
    pub hands: Arc<Hands>,
    /// Who commands doors, one after another.
    pub doors: Sender<Job>,
    /// Places for orders that take their time.
    pub slow: Arc<Semaphore>,
    pub journal: Arc<Journal>,
    pub clock: Arc<dyn Clock>,
    pub model: String,
    pub queue: Arc<Queue>,
    pub stats: Arc<Stats>,
    pub stopped: watch::Receiver<bool>,
    /// Whether who is of the site has changed since it was stored.
    pub registry_changed: AtomicBool,
}

impl Keeper {
    async fn run(mut self) {
        let Some(mut documents) = self.documents().await else { return };
        let identity = self.installed.identity.clone();
        let registry = self.installed.registry.clone();
        let mut inbox = Inbox::new(identity.device.clone());
        let mut replica = Replica::new(identity, Timing::default(), registry, rand::rng());
        let mut backoff = Backoff::default();
        let mut told = String::new();
        loop {
            let begun = Instant::now();
            let end = Session::run(&self, &mut replica, &mut documents, &mut inbox).await;
            inbox.end();
            replica.disconnected();
            self.queue.disconnected();
            self.stats.connected.store(false, Ordering::Relaxed);
            backoff.ended(begun.elapsed());
            match end {
                End::Stopped => return,
                End::Lost(why) => {
                    // Once for each reason: a broker that is away for a week is one line.
                    if why != told {
                        tracing::warn!(broker = self.settings.broker, "the fleet's broker is not reached: {why}");
                        told = why;
                    }
                }
                End::Worked(why) => {
                    tracing::warn!(
                        broker = self.settings.broker,
                        "the connection to the fleet's broker is lost: {why}"
                    );
                    told.clear();
                }
            }
            let wait = backoff.next(replica.registry().doors(), &mut rand::rng());
            if self.rest(wait).await {
                return;
            }
        }
    }

    /// Joins the gallery to the site, which may take a while the first time, until it works; `None` where it is to stop.
    async fn documents(&mut self) -> Option<Documents> {
        let mut told = String::new();
        loop {
            let identity = &self.installed.identity;
            let gallery = &self.hands.gallery;
            let made = gallery
                .join_site(&identity.site, &identity.device, &identity.sealing)
                .and_then(|()| Documents::new(Arc::clone(gallery), Arc::clone(&self.journal), Arc::clone(&self.stats)));
            match made {
                Ok(documents) => return Some(documents),
                Err(error) => {
                    let said = error.to_string();
                    if said != told {
                        tracing::error!(%error, help = error.advice(), "the gallery cannot be shared with the fleet; it is tried again");
                        told = said;
                    }
                }
            }
            if self.rest(STORE_PATIENCE).await {
                return None;
            }
        }
    }

    /// Waits; whether it is to stop.
    async fn rest(&mut self, wait: Duration) -> bool {
        tokio::select! {
            _ = self.stopped.wait_for(|stopped| *stopped) => true,
            () = tokio::time::sleep(wait) => false,
        }
    }

    pub fn now(&self) -> Now {
        let mono = u64::try_from(self.clock.now().since_start().as_millis()).unwrap_or(u64::MAX);
        Now { wall: wall_ms(&*self.clock), mono, trusted: self.settings.clock.now() }
    }
}

pub(super) fn wall_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.wall().as_millisecond()).unwrap_or(0)
}
