//! The only wiring: it starts the threads of every door and the REST API, joins them by channels, and ends them in order.
//!
//! Threads of one door: each camera's (newest frame), a loop for each (vision and decision), the driver's (the lock). The journal
//! has one, the API has tokio's and its vision workers. Nothing on a door's way waits for another door or for the API.

mod airlocks;
pub mod doorway;
pub mod events;
mod hours;
pub mod living;
pub mod passers;
mod pulse;
mod records;
mod serving;
mod site;
pub mod telling;
mod upkeep;

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use self::pulse::Pulse;
use arc_swap::ArcSwap;
use events::{Event, Listeners};
use facegate_control::access::WallTrust;
use parking_lot::Mutex;

use self::{
    airlocks::Airlocks,
    doorway::{Doorway, Parts, Tuning},
    hours::OfficeHours,
    passers::Passers,
    serving::ApiServer,
    telling::{Teller, Unread},
    upkeep::Upkeep,
};
use crate::{
    access, api,
    camera::Feed,
    clock::{self, Beat, Clock},
    config::{self, Config},
    door::{Driver, Hardware, Place},
    error::{Context, Error, Kind, Result},
    fleet,
    gallery::Gallery,
    guard::Watch,
    journal::Journal,
    operator::{self, Desk, Post},
    rulebook::Gate,
    service::Sockets,
    tally,
    vision::{engine::Engine, models::Pack},
};

/// How often changes that another process made to the store are taken in.
const REFRESH: Duration = Duration::from_millis(250);

/// How long the thread that stores who is where waits for something to store before it looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// How often it is stored who was recognised and verified last: once a minute at most, since flash wears out.
const SEEN_STORED_EVERY: Duration = Duration::from_secs(60);

/// How long a thread is waited for when the daemon stops. One that hangs is left behind: the relay is at rest by then.
const STOP_PATIENCE: Duration = Duration::from_millis(400);

/// A running daemon. [`Daemon::stop`] ends it; dropping it does the same.
pub struct Daemon {
    config: Config,
    doors: Vec<Door>,
    stop: Arc<AtomicBool>,
    /// Keep office hours, and take in what others do to the store.
    keepers: Vec<JoinHandle<()>>,
    upkeep: Arc<Upkeep>,
    /// How far the wall clock is believed.
    wall: Arc<Mutex<WallTrust>>,
    /// Stores who is where.
    noting: Option<(JoinHandle<()>, Arc<AtomicBool>)>,
    /// Whether its end is in the journal.
    halted: bool,
    guard: Option<Watch>,
    api: Option<ApiServer>,
    desk: Arc<Desk>,
    fleet: Option<fleet::Link>,
    journal: Arc<Journal>,
    gallery: Arc<Gallery>,
    engine: Arc<Engine>,
    listeners: Listeners,
}

struct Door {
    name: Arc<str>,
    /// A camera each.
    sides: Vec<Side>,
    driver: Arc<Driver>,
    gate: Arc<Gate>,
    passers: Arc<Passers>,
    tally: Arc<tally::Door>,
    threads: Vec<JoinHandle<()>>,
}

struct Side {
    tuning: Arc<ArcSwap<Tuning>>,
    feed: Arc<Feed>,
    /// Of the loop that looks at its frames.
    beat: Beat,
}

impl Door {
    fn feeds(&self) -> Vec<Arc<Feed>> {
        self.sides.iter().map(|side| Arc::clone(&side.feed)).collect()
    }
}

impl Daemon {
    /// Starts everything that the configuration asks for. When it returns the doors are being watched and the API listens.
    ///
    /// # Errors
    /// Whatever cannot be opened: networks, store, journal, a lock, the API's address. What was already started is stopped,
    /// with every relay at rest. A camera that cannot be opened is no error: its feed keeps trying.
    pub fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::start_on(Sockets::default(), config, clock)
    }

    /// The same, with the API on sockets that listen already, where there are any.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_on(sockets: Sockets, config: Config, clock: Arc<dyn Clock>) -> Result<Self> {
        if config.doors.is_empty() && config.api.listen.is_none() {
            return Err(Error::new(Kind::Config, "there is nothing to do: no [[door]] and no api.listen")
                .help("`facegate config example` shows both"));
        }
        // Before anything is touched: where another daemon has these doors, their relays are its own.
        let claim = Journal::claim(&config.journal.dir)?;
        let hardware = claim_hardware(&config, &clock)?;
        let interlock = Arc::new(Mutex::new(config.interlock()?));
        let pack = Pack::open(&config.models.dir, &config.models.pack)?;
        let engine = Engine::load(&pack)?;
        living::provided(&config, &engine)?;
        let gallery = Arc::new(Gallery::open(&config.gallery, engine.model_id(), Arc::clone(&clock))?);
        let journal = Arc::new(Journal::open_claimed(&config.journal, claim, Arc::clone(&clock))?);
        // Some slack for a clock that was a little fast then.
        let recorded = journal.last().and_then(|last| last.checked_sub(access::JUMP).ok());
        let wall = Arc::new(Mutex::new(WallTrust::since(recorded, clock::WRITTEN)));
        journal.append(records::started(engine.model_id()));
        let stop = Arc::<AtomicBool>::default();
        let upkeep = Upkeep::new(&gallery, &journal, Arc::clone(&clock), Arc::clone(&stop));

        let mut daemon = Self {
            doors: Vec::new(),
            stop,
            keepers: Vec::new(),
            upkeep: Arc::new(upkeep),
            wall,
            noting: None,
            halted: false,
            guard: None,
            api: None,
            desk: Arc::default(),
            fleet: None,
            journal,
            gallery,
            engine,
            listeners: Listeners::default(),
            config,
        };
        let doors = daemon.config.doors.clone();
        for (number, (door, hardware)) in doors.iter().zip(hardware).enumerate() {
            let place = Some(Place { interlock: Arc::clone(&interlock), door: number });
            daemon
                .start_door(door, hardware, place, &clock)
                .map_err(|error| error.within(&format!("door '{}'", door.name)))?;
        }
        // Before anybody is looked at: the first grant is subject to the airlocks of the rules, and its relay is guarded.
        let mut airlocks = Airlocks::new(&daemon.config, interlock);
        airlocks.follow(daemon.doors.iter().map(|door| (&*door.name, door.gate.interlocks())));
        daemon.start_guard()?;
        for (number, door) in doors.iter().enumerate() {
            daemon
                .start_looking(number, door, &clock)
                .map_err(|error| error.within(&format!("door '{}'", door.name)))?;
        }
        daemon.desk = Arc::new(daemon.desk());
        daemon.start_fleet(&clock);
        let readiness = daemon.start_api(sockets)?;
        daemon.start_noting()?;
        daemon.start_keepers(readiness, airlocks, &clock)?;
        Ok(daemon)
    }

    /// Starts what drives a door and what tells of it.
    fn start_door(
        &mut self,
        config: &config::Doorway,
        hardware: Hardware,
        place: Option<Place>,
        clock: &Arc<dyn Clock>,
    ) -> Result<()> {
        let name: Arc<str> = config.name.as_str().into();
        let driver = Arc::new(Driver::start(&config.settings(), hardware, place, Arc::clone(clock))?);
        operator::resume(&self.gallery, &name, &driver)?;
        let reports = driver.reports();
        let passers = Arc::new(Passers::default());
        let gate = Gate::new(self.gallery.access(&config.tenant), Arc::clone(&name))
            .sending(config.reader())
            .believing(Arc::clone(&self.wall));
        let gate = Arc::new(gate);
        let tally = Arc::<tally::Door>::default();
        // From here on the door is ours to stop, whatever fails.
        let at = self.doors.len();
        self.doors.push(Door {
            name: Arc::clone(&name),
            sides: Vec::new(),
            driver: Arc::clone(&driver),
            gate: Arc::clone(&gate),
            passers: Arc::clone(&passers),
            tally: Arc::clone(&tally),
            threads: Vec::new(),
        });

        let teller = Teller {
            name: Arc::clone(&name),
            passers,
            gate,
            journal: Arc::clone(&self.journal),
            listeners: self.listeners.clone(),
            clock: Arc::clone(clock),
            tally,
            unread: Unread::of(&driver),
        };
        // Ends when the driver does.
        let tells = move || reports.into_iter().for_each(|report| teller.tell_whatever_happens(report));
        let telling = self.upkeep.spawn(&format!("tell-{name}"), tells)?;
        self.doors[at].threads.push(telling);
        Ok(())
    }

    /// Starts what looks for people before a door.
    fn start_looking(&mut self, number: usize, config: &config::Doorway, clock: &Arc<dyn Clock>) -> Result<()> {
        let door = &mut self.doors[number];
        for (side, (passage, camera, region)) in (0..).zip(config.sides()) {
            let tuning = Arc::new(ArcSwap::from_pointee(Tuning::new(config, region)));
            let feed = Arc::new(Feed::start(camera.clone(), Arc::clone(clock))?);
            let beat = Beat::new(Arc::clone(clock));
            door.sides.push(Side { tuning: Arc::clone(&tuning), feed: Arc::clone(&feed), beat: beat.clone() });
            let doorway = Doorway::new(Parts {
                name: Arc::clone(&door.name),
                tenant: config.tenant.clone(),
                passage,
                side,
                passers: Arc::clone(&door.passers),
                engine: Arc::clone(&self.engine),
                gallery: Arc::clone(&self.gallery),
                driver: Arc::clone(&door.driver),
                gate: Arc::clone(&door.gate),
                journal: Arc::clone(&self.journal),
                tuning,
                clock: Arc::clone(clock),
                listeners: self.listeners.clone(),
                tally: Arc::clone(&door.tally),
                beat,
            })?;
            let stop = Arc::clone(&self.stop);
            let looking = spawn(&format!("door-{}", door.name), move || doorway.run(&feed, &stop))?;
            door.threads.push(looking);
        }
        Ok(())
    }

    /// The process that puts the relays at rest where this one cannot.
    fn start_guard(&mut self) -> Result<()> {
        let relays = |door: &config::Doorway| door.settings().relays().map(|(_, relay)| relay).collect::<Vec<_>>();
        let relays: Vec<_> =
            self.config.doors.iter().flat_map(relays).filter(|relay| relay.lock.leaves_traces()).collect();
        if self.config.guard.enabled && !relays.is_empty() {
            let drivers: Vec<_> = self.doors.iter().map(|door| Arc::clone(&door.driver)).collect();
            let still = move || drivers.iter().map(|driver| driver.still()).max().unwrap_or_default();
            self.guard = Some(Watch::start(&self.config.guard, relays, still)?);
        }
        Ok(())
    }

    /// The thread that keeps office hours, from memory alone, and the one that takes in what other processes did to the store. From
    /// here on the API tells whether the doors work.
    fn start_keepers(
        &mut self,
        readiness: Option<Arc<api::Readiness>>,
        airlocks: Airlocks,
        clock: &Arc<dyn Clock>,
    ) -> Result<()> {
        let mut hours =
            OfficeHours::new(Arc::clone(clock), Arc::clone(&self.journal), airlocks, Arc::clone(&self.wall));
        for door in &self.doors {
            hours.add(Arc::clone(&door.name), Arc::clone(&door.gate), Arc::clone(&door.driver));
        }
        // Before the daemon is ready: a door that starts within its office hours is open from the start.
        hours.keep();
        let (stop, keeping) = (Arc::clone(&self.stop), self.upkeep.keeping.clone());
        self.keepers.push(self.upkeep.spawn("hours", move || {
            again_and_again(&stop, || {
                hours.keep();
                keeping.note();
            });
        })?);
        let (stop, gallery, looking) = (Arc::clone(&self.stop), Arc::clone(&self.gallery), self.upkeep.looking.clone());
        self.keepers.push(self.upkeep.spawn("keeper", move || {
            again_and_again(&stop, || {
                // Where it fails, the gallery says so itself.
                let _ = gallery.refresh();
                looking.note();
            });
        })?);
        if let Some(readiness) = readiness {
            readiness.watch(self.readiness());
        }
        Ok(())
    }

    /// Whether the doors work, for anybody who asks.
    fn readiness(&self) -> impl Fn() -> Result<()> + Send + Sync + use<> {
        let doors: Vec<_> = self.doors.iter().map(|door| (door.feeds(), Arc::clone(&door.driver))).collect();
        let upkeep = Arc::clone(&self.upkeep);
        move || {
            let sees = |feeds: &[Arc<Feed>]| feeds.iter().all(|feed| feed.stats().healthy);
            if !doors.iter().all(|(feeds, driver)| sees(feeds) && driver.health().healthy) {
                return Err(api::door_not_ready());
            }
            upkeep.ails().map_or(Ok(()), |_| {
                Err(Error::new(Kind::NotReady, "the doors do not follow what changes").help("see the daemon's log"))
            })
        }
    }

    /// The thread that stores who is where, who was recognised and who was verified: a door notes it in memory and goes on, and so
    /// does a caller.
    fn start_noting(&mut self) -> Result<()> {
        let (gallery, stop) = (Arc::clone(&self.gallery), Arc::new(AtomicBool::new(false)));
        let asked = Arc::clone(&stop);
        let thread = self.upkeep.spawn("noting", move || {
            let mut seen_stored = Instant::now();
            loop {
                // Looked at before: what is noted until then is stored before the end.
                let last = asked.load(Ordering::Relaxed);
                if let Err(error) = gallery.store_presence(LOOK) {
                    tracing::error!(%error, "who is where could not be stored; it is tried again");
                    thread::park_timeout(REFRESH);
                }
                if last || seen_stored.elapsed() >= SEEN_STORED_EVERY {
                    if let Err(error) = gallery.store_seen() {
                        tracing::error!(%error, "who was recognised last could not be stored; it is tried again");
                    }
                    if let Err(error) = gallery.store_verifications() {
                        tracing::error!(%error, "who was verified could not be stored; it is tried again");
                    }
                    seen_stored = Instant::now();
                }
                if last {
                    break;
                }
            }
        })?;
        self.noting = Some((thread, stop));
        Ok(())
    }

    /// Where operators find the doors.
    fn desk(&self) -> Desk {
        let posts = self.config.doors.iter().zip(&self.doors).map(|(config, door)| Post {
            name: Arc::clone(&door.name),
            tenant: config.tenant.clone(),
            driver: Arc::clone(&door.driver),
            reader: config.reader(),
            feeds: door.feeds(),
            tally: Arc::clone(&door.tally),
            gallery: Arc::clone(&self.gallery),
            journal: Arc::clone(&self.journal),
        });
        Desk::new(posts.collect())
    }

    /// Where the API listens; none where it is off.
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.api.as_ref().and_then(|api| api.address)
    }

    /// The store, for those who run the daemon within their own process.
    pub fn gallery(&self) -> &Arc<Gallery> {
        &self.gallery
    }

    /// The networks in use.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// How the doors' threads and cameras do, for whoever watches over this process.
    pub fn pulse(&self) -> Pulse {
        let doors = self.doors.iter().map(|door| pulse::Door {
            name: Arc::clone(&door.name),
            sides: door.sides.iter().map(|side| (Arc::clone(&side.feed), side.beat.clone())).collect(),
            driver: Arc::clone(&door.driver),
        });
        Pulse { doors: doors.collect(), upkeep: Arc::clone(&self.upkeep) }
    }

    /// What happens at the doors from now on.
    pub fn listen(&self) -> crossbeam_channel::Receiver<Event> {
        self.listeners.listen()
    }

    /// Takes over what can change while the doors are in use: each door's `[access]`, `[quality]`, `[motion]` and regions. Gives the
    /// names of the sections that differ and need a restart.
    pub fn reload(&mut self, new: &Config) -> Vec<String> {
        for (door, config) in self
            .doors
            .iter()
            .filter_map(|door| new.doors.iter().find(|config| *config.name == *door.name).map(|config| (door, config)))
        {
            for (side, (_, _, region)) in door.sides.iter().zip(config.sides()) {
                side.tuning.store(Arc::new(Tuning::new(config, region)));
            }
        }
        let needing = needing_restart(&self.config, new);
        for (old, new) in self
            .config
            .doors
            .iter_mut()
            .filter_map(|old| new.doors.iter().find(|new| new.name == old.name).map(|new| (old, new)))
        {
            (old.access, old.quality, old.motion) = (new.access.clone(), new.quality.clone(), new.motion.clone());
            old.region = new.region;
            if let (Some(old), Some(new)) = (&mut old.other_side, &new.other_side) {
                old.region = new.region;
            }
        }
        needing
    }

    /// Stops everything, every relay at rest first. Ends within a second, whatever hangs.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        let begun = Instant::now();
        self.stop.store(true, Ordering::Relaxed);
        let mut at_rest = true;
        for door in &self.doors {
            if let Err(error) = door.driver.stop() {
                at_rest = false;
                tracing::error!(%error, help = error.advice(), "the relay may not be at rest");
            }
        }
        if let Some(guard) = self.guard.take().filter(|_| at_rest) {
            guard.dismiss();
        }
        // It takes leave while the others end.
        let linking = self.fleet.take().map(fleet::Link::stop).unwrap_or_default();
        if let Some(api) = self.api.take() {
            // It has ended already where nobody receives.
            let _ = api.stop.send(());
            join_until(api.thread, begun + STOP_PATIENCE);
        }
        for door in self.doors.drain(..) {
            door.sides.iter().for_each(|side| side.feed.stop());
            drop(door.driver);
            for thread in door.threads {
                join_until(thread, begun + STOP_PATIENCE);
            }
        }
        for thread in linking {
            join_until(thread, begun + STOP_PATIENCE);
        }
        // The doors note nothing any more.
        if let Some((noting, stop)) = self.noting.take() {
            stop.store(true, Ordering::Relaxed);
            join_until(noting, begun + STOP_PATIENCE + 2 * LOOK);
        }
        for keeper in self.keepers.drain(..) {
            keeper.thread().unpark();
            join_until(keeper, begun + STOP_PATIENCE);
        }
        // Whatever was begun: also where not everything could be started.
        if !std::mem::replace(&mut self.halted, true) {
            self.journal.append(records::stopped());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Claims the lines of every door: first all outputs, so that every relay rests whatever fails afterwards, then the inputs.
fn claim_hardware(config: &Config, clock: &Arc<dyn Clock>) -> Result<Vec<Hardware>> {
    let within = |door: &config::Doorway, error: Error| error.within(&format!("door '{}'", door.name));
    // Every door's, also behind one that cannot be had.
    let outputs: Vec<_> = config.doors.iter().map(|door| Hardware::at_rest(&door.settings(), clock)).collect();
    let both = config.doors.iter().zip(outputs);
    let claimed =
        both.map(|(door, outputs)| outputs.map(|outputs| (door, outputs)).map_err(|error| within(door, error)));
    let claimed = claimed.collect::<Result<Vec<_>>>()?;
    let both = claimed.into_iter();
    both.map(|(door, outputs)| outputs.with_inputs(&door.settings(), clock).map_err(|error| within(door, error)))
        .collect()
}

/// Does something four times a second until `stop`. A panic in it, which is in the log, costs that time only.
fn again_and_again(stop: &AtomicBool, mut work: impl FnMut()) {
    while !stop.load(Ordering::Relaxed) {
        let _ = catch_unwind(AssertUnwindSafe(&mut work));
        thread::park_timeout(REFRESH);
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    // The kernel keeps 15 bytes of a thread's name.
    let short: String = name.chars().filter(char::is_ascii).take(15).collect();
    thread::Builder::new().name(short).spawn(body).context(Kind::Io, || format!("cannot start the thread {name}"))
}

/// Waits for the thread's end until `deadline`, then leaves it behind.
fn join_until(thread: JoinHandle<()>, deadline: Instant) {
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            tracing::warn!(thread = thread.thread().name(), "did not end in time and is left behind");
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    // A panic in it was reported when it happened.
    let _ = thread.join();
}

/// The sections in which the two differ beyond what [`Daemon::reload`] takes over.
fn needing_restart(old: &Config, new: &Config) -> Vec<String> {
    let fixed = |config: &Config| {
        let mut config = config.clone();
        for door in &mut config.doors {
            (door.access, door.quality, door.motion) = Default::default();
            door.region = Default::default();
            if let Some(side) = &mut door.other_side {
                side.region = Default::default();
            }
        }
        serde_json::to_value(config).unwrap_or_default()
    };
    let (old, new) = (fixed(old), fixed(new));
    let keys = |value: &serde_json::Value| {
        value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
    };
    let mut sections = keys(&old);
    sections.extend(keys(&new));
    sections.sort();
    sections.dedup();
    sections.retain(|section| old.get(section) != new.get(section));
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_taken_over_needs_a_restart() {
        let parse = |text: &str| Config::parse(text, "t", std::iter::empty()).expect("valid");
        let before = parse(config::EXAMPLE);
        let changed = |from: &str, to: &str| {
            assert!(config::EXAMPLE.contains(from), "the example has '{from}'");
            needing_restart(&before, &parse(&config::EXAMPLE.replacen(from, to, 1)))
        };
        assert_eq!(changed("threshold = 0.6 ", "threshold = 0.7 "), [""; 0]);
        assert_eq!(changed("sharpness = 0.3 ", "sharpness = 0.2 "), [""; 0]);
        assert_eq!(changed("gate = true", "gate = false"), [""; 0]);
        assert_eq!(changed("pulse_ms = 3000", "pulse_ms = 4000"), ["door"]);
        assert_eq!(changed("max_mb = 512", "max_mb = 513"), ["gallery"]);
        assert_eq!(changed("workers = 1", "workers = 2"), ["api"]);
    }
}
