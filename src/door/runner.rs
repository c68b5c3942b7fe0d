//! The thread that drives a door's lines by its state machine.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, never, select_biased};
use facegate_control::{
    Passage,
    door::{Alarm, Cause, Command, Controller, Happening, Input, Refusal, Sensor, Setup, Step},
};
use parking_lot::Mutex;

use super::{
    Edge, Grant, Hardware, Health, Heard, Place, Report, Settings, Wiegand,
    driver::Order,
    feed::Sensed,
    held::{Held, Lanes},
    lease::Lease,
    output::Output,
    wiegand::Carried,
};
use crate::{
    clock::{Beat, Clock, Moment},
    error::{Error, Kind, Result},
};

/// A grant that waited for longer than this opens nothing: whoever it was for has gone.
const MAX_GRANT_AGE: Duration = Duration::from_secs(1);

/// A command that waited for longer than this is not obeyed: whoever gave it is told after [`ANSWER`](super::ANSWER) that the door
/// does not answer, and does not expect it to open later. What is heard just before that would be obeyed after it, so there
/// must be time left for the lines to move and for the answer. A lockdown is always obeyed.
const MAX_COMMAND_AGE: Duration = super::ANSWER.saturating_sub(Duration::from_millis(200));

/// While something is due, the clock is looked at as often as this at least.
const LOOK: Duration = Duration::from_millis(50);

/// The thread comes round as often as this where nothing is due, so that its guard sees it move.
const ROUND: Duration = Duration::from_millis(250);

/// As much may happen in one step without asking for memory.
const ROOM: usize = 32;

/// Longer than any input has to be steady.
const SETTLED: Duration = Duration::from_secs(6);

/// The thread's ends of the channels.
pub(super) struct Ends {
    pub grants: Receiver<Grant>,
    pub orders: Receiver<Order>,
    pub sensed: Receiver<Sensed>,
    pub stop: Receiver<()>,
    pub report: Sender<Report>,
    pub health: Arc<Mutex<Health>>,
    pub beat: Beat,
}

/// What came.
enum Came {
    Stop,
    Sensed(Sensed),
    Order(Order),
    Carried(Carried),
    NoMoreCards,
    Grant(Grant),
    Nothing,
}

/// What the thread has.
pub(super) struct Runner {
    name: String,
    setup: Setup,
    door: Controller,
    /// The locks, by lane.
    locks: [Option<Output>; 2],
    /// Green, red, buzzer, alarm.
    signals: [Option<Output>; 4],
    /// The output to a panel.
    wiegand: Option<Arc<Wiegand>>,
    place: Option<Place>,
    interlock_free: bool,
    clock: Arc<dyn Clock>,
    told: Vec<Happening>,
    /// The grants that opened the lanes, until their relays have moved.
    tags: [Option<u64>; 2],
    /// Whoever is taken to have passed once the way is open.
    held: Held,
    /// Why the last command or grant was refused, if it was.
    refused: Option<Refusal>,
    /// What a door that begins anew after a panic has to know.
    heard: [Option<Input>; Sensor::ALL.len()],
    free: Lease,
    lockdown: bool,
    stopping: bool,
}

impl Runner {
    /// A door at rest.
    pub(super) fn new(
        settings: &Settings,
        hardware: Hardware,
        place: Option<Place>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let setup = settings.setup();
        let rest = setup.fail.rest_energised();
        let signal = |line: Option<_>| line.map(|line| Output::new(line, false));
        Ok(Self {
            name: settings.name.clone(),
            door: Controller::new(&setup)?,
            setup,
            locks: [hardware.lock, hardware.exit_lock].map(|line| line.map(|line| Output::new(line, rest))),
            held: Held::nobody(),
            wiegand: hardware.wiegand,
            signals: [hardware.green, hardware.red, hardware.buzzer, hardware.alarm].map(signal),
            place,
            interlock_free: true,
            clock,
            told: Vec::with_capacity(ROOM),
            tags: [None; 2],
            refused: None,
            heard: [None; Sensor::ALL.len()],
            free: Lease::default(),
            lockdown: false,
            stopping: false,
        })
    }

    /// Runs until stopped. A panic puts the relays at rest, and the door goes on.
    pub(super) fn guard(&mut self, ends: &Ends) {
        while catch_unwind(AssertUnwindSafe(|| self.run(ends))).is_err() {
            self.failed("the door's thread panicked", true, ends);
            let fire = self.burns();
            for lane in 0..self.locks.len() {
                let Some(lock) = &mut self.locks[lane] else { continue };
                // A door that fire has released is not to be locked, not even for the moment until it begins anew.
                let level = lock.rest && !fire;
                lock.level = None;
                let rested = catch_unwind(AssertUnwindSafe(|| lock.line.set(level)));
                if matches!(rested, Ok(Ok(()))) {
                    lock.level = Some(level);
                    self.moved(lane, level, ends);
                }
            }
            if self.stopping {
                return;
            }
            if catch_unwind(AssertUnwindSafe(|| self.begin_anew(ends))).is_err() {
                tracing::error!(door = self.name, "the door could not begin anew");
            }
            thread::sleep(LOOK);
        }
    }

    /// Whether the fire input, as it was heard last, releases the door.
    fn burns(&self) -> bool {
        match self.heard[Sensor::Fire.index()] {
            Some(Input::Level { active, .. }) => active && self.setup.fail.rest_energised(),
            Some(Input::SensorLost(_)) => self.setup.fail.rest_energised(),
            _ => false,
        }
    }

    /// A new state machine that knows its inputs, a lockdown and the schedule, and of no grant.
    fn begin_anew(&mut self, ends: &Ends) {
        let Ok(door) = Controller::new(&self.setup) else { return };
        let now = self.clock.now();
        // Whoever was let in is so no more, which is told; and through a lock that rests nobody has passed.
        let rest = self.setup.fail.rest_energised();
        let lanes = lanes(&self.locks, [rest; 2], &self.setup);
        self.held.let_out(lanes, &mut self.told);
        self.door.on(Input::Shutdown, now, &mut self.told);
        self.report(now, ends);
        (self.door, self.tags, self.interlock_free) = (door, [None; 2], true);
        let before = now - SETTLED;
        for input in self.heard.into_iter().flatten() {
            self.door.on(input, before, &mut self.told);
        }
        let lockdown = self.lockdown.then_some(Input::Command(Command::Lockdown));
        for input in lockdown.into_iter().chain([Input::FreeAccess(self.free.is_on())]) {
            self.door.on(input, before, &mut self.told);
        }
        self.step(Input::Tick, ends);
    }

    fn run(&mut self, ends: &Ends) {
        let mut carried = self.wiegand.as_ref().map_or_else(never, |wiegand| wiegand.carried());
        loop {
            ends.beat.note();
            if self.free.ends(self.clock.now()) {
                tracing::error!(
                    door = self.name,
                    "nobody keeps the office hours any more: free access ends; restart the daemon"
                );
                self.step(Input::FreeAccess(false), ends);
            }
            let wait = self.step(Input::Tick, ends);
            // The branches only name what came, so that a panic further down finds every field in order.
            let came = select_biased! {
                recv(ends.stop) -> _ => Came::Stop,
                recv(ends.sensed) -> sensed => sensed.map_or(Came::Nothing, Came::Sensed),
                recv(ends.orders) -> order => order.map_or(Came::Nothing, Came::Order),
                recv(carried) -> card => card.map_or(Came::NoMoreCards, Came::Carried),
                recv(ends.grants) -> grant => grant.map_or(Came::Nothing, Came::Grant),
                default(wait) => Came::Nothing,
            };
            match came {
                Came::Stop => {
                    self.stopping = true;
                    return self.shut_down(ends);
                }
                Came::Sensed(sensed) => self.sensed(sensed, ends),
                Came::Order(Order::Command { command, answer, at }) => self.commanded(command, &answer, at, ends),
                Came::Order(Order::FreeAccess(free)) => {
                    self.free.say(free, self.clock.now());
                    self.step(Input::FreeAccess(free), ends);
                }
                Came::Carried(card) => self.arrived(card, ends),
                // Asked again, a channel whose other end is gone would answer without a pause.
                Came::NoMoreCards => carried = never(),
                Came::Grant(grant) => self.granted(grant, ends),
                Came::Nothing => {}
            }
        }
    }

    fn commanded(&mut self, command: Command, answer: &Sender<Heard>, at: Moment, ends: &Ends) {
        if command != Command::Lockdown && self.clock.now().since(at) > MAX_COMMAND_AGE {
            self.told.push(Happening::Refused { by: Cause::Command, tag: None, why: Refusal::Late });
            self.report(self.clock.now(), ends);
            self.refused = Some(Refusal::Late);
        } else {
            match command {
                Command::Lockdown => self.lockdown = true,
                Command::Release => self.lockdown = false,
                _ => {}
            }
            self.step(Input::Command(command), ends);
        }
        // Whoever asked may have gone.
        let works = self.locks.iter().flatten().all(|lock| lock.level.is_some());
        let _ = answer.try_send(Heard { refused: self.refused, mode: self.door.mode(), works });
    }

    fn granted(&mut self, grant: Grant, ends: &Ends) {
        let Grant { tag, class, passage, card, at } = grant;
        if self.clock.now().since(at) > MAX_GRANT_AGE {
            return self.refuse(tag, Refusal::Late, ends);
        }
        let carried = self.wiegand.clone().zip(card);
        let Some((wiegand, card)) = carried else {
            self.step(Input::Grant { tag, class, passage }, ends);
            return;
        };
        // Before the door hears of it: whom the panel cannot be told of does not pass.
        if let Err(error) = wiegand.takes(card) {
            self.refuse(tag, if error.kind() == Kind::NotReady { Refusal::Stopped } else { Refusal::Busy }, ends);
            return self.not_sent(tag, &error, ends);
        }
        self.held.carry(tag);
        self.step(Input::Grant { tag, class, passage }, ends);
        if self.refused.is_some() {
            self.conclude(tag, false, ends);
        } else if let Err(error) = wiegand.send(tag, card) {
            self.conclude(tag, false, ends);
            self.not_sent(tag, &error, ends);
        }
    }

    /// Somebody was granted, and the door does not hear of it.
    fn refuse(&mut self, tag: u64, why: Refusal, ends: &Ends) {
        ends.health.lock().refused += 1;
        self.told.push(Happening::Refused { by: Cause::Grant, tag: Some(tag), why });
        self.report(self.clock.now(), ends);
    }

    fn not_sent(&self, tag: u64, error: &Error, ends: &Ends) {
        tracing::error!(door = self.name, %error, help = error.advice(), "a card was not sent");
        self.tell_of_card(tag, false, self.clock.now(), ends);
    }

    fn tell_of_card(&self, tag: u64, sent: bool, at: Moment, ends: &Ends) {
        ends.health.lock().unread += u64::from(ends.report.try_send(Report::Card { tag, sent, at }).is_err());
    }

    /// A card has gone over the wires, or never will.
    fn arrived(&mut self, Carried { tag, sent, took }: Carried, ends: &Ends) {
        self.tell_of_card(tag, sent, self.clock.now() - took, ends);
        self.conclude(tag, sent, ends);
    }

    /// Whoever waited for that card passes, or does not.
    fn conclude(&mut self, tag: u64, sent: bool, ends: &Ends) {
        let lanes = lanes(&self.locks, [self.setup.fail.rest_energised(); 2], &self.setup);
        self.held.arrived(tag, sent, lanes, &mut self.told);
        self.report(self.clock.now(), ends);
    }

    fn sensed(&mut self, sensed: Sensed, ends: &Ends) {
        let Sensed { input, at } = sensed;
        let (Input::Level { sensor, .. } | Input::SensorLost(sensor) | Input::SensorFound(sensor)) = input else {
            return;
        };
        if !matches!(input, Input::SensorFound(_)) {
            self.heard[sensor.index()] = Some(input);
        }
        let now = self.clock.now();
        self.step_at(input, at.map_or(now, |at| at.min(now)), ends);
        let lost = |heard: &Option<Input>| matches!(heard, Some(Input::SensorLost(_)));
        let healthy = !self.heard.iter().any(lost);
        let mut health = ends.health.lock();
        health.inputs_healthy = healthy;
        self.note(&mut health);
    }

    /// One last try more than usual: there is no later one.
    fn shut_down(&mut self, ends: &Ends) {
        self.step(Input::Shutdown, ends);
        let lines = || self.locks.iter().chain(&self.signals).flatten();
        if lines().any(|line| line.level.is_none()) {
            self.locks.iter_mut().chain(&mut self.signals).flatten().for_each(Output::insist);
            self.step(Input::Shutdown, ends);
        }
        self.held.end(&mut self.told);
        self.report(self.clock.now(), ends);
    }

    /// Asks the state machine for the levels and sees that the lines have them. The answer is for how long nothing is due.
    fn step(&mut self, input: Input, ends: &Ends) -> Duration {
        self.step_at(input, self.clock.now(), ends)
    }

    /// The same with an input of a moment ago.
    fn step_at(&mut self, input: Input, at: Moment, ends: &Ends) -> Duration {
        let step = self.decide(input, at);
        let now = self.clock.now();
        let happened = input != Input::Tick;
        self.refused = None;
        for happening in &self.told {
            match *happening {
                Happening::Unlocked { lane, tag, .. } => self.tags[lane as usize] = tag,
                Happening::Refused { by: Cause::Command | Cause::Grant, why, .. } => self.refused = Some(why),
                _ => {}
            }
        }
        let outputs = step.outputs;
        let wanted = [outputs.strike, outputs.exit_strike];
        self.held.take_in(lanes(&self.locks, wanted, &self.setup), &mut self.told);
        let mut moved = [None; 2];
        for (lane, level) in wanted.into_iter().enumerate() {
            let Some(lock) = &mut self.locks[lane] else { continue };
            match lock.set(level, happened, now) {
                None => {}
                Some(Ok(())) => moved[lane] = Some(level),
                Some(Err(error)) => self.failed(&error.to_string(), true, ends),
            }
        }
        for (signal, level) in [outputs.green, outputs.red, outputs.buzzer, outputs.alarm].into_iter().enumerate() {
            let Some(line) = &mut self.signals[signal] else { continue };
            match line.set(level, happened, now) {
                None => {}
                Some(Ok(())) => {
                    let well = self.signals.iter().flatten().all(|line| line.level.is_some());
                    ends.health.lock().signals_healthy = well;
                }
                Some(Err(error)) => self.failed(&error.to_string(), false, ends),
            }
        }
        self.held.let_out(lanes(&self.locks, wanted, &self.setup), &mut self.told);
        self.report(now, ends);
        for (lane, level) in moved.into_iter().enumerate() {
            if let Some(level) = level {
                self.moved(lane, level, ends);
            }
        }
        let retries = self.locks.iter().chain(&self.signals).flatten().filter_map(Output::due);
        let due = step.deadline.into_iter().chain(retries).min();
        // Who shares an interlock looks whether it has become free.
        let shared = self.place.as_ref().is_some_and(|place| place.interlock.lock().concerns(place.door));
        let most = if shared { LOOK } else { ROUND };
        due.map_or(most, |due| due.since(self.clock.now()).min(LOOK))
    }

    /// What the door says; in an interlock its place is asked for first, and given back where it is not needed.
    fn decide(&mut self, input: Input, now: Moment) -> Step {
        let Some(Place { interlock, door }) = &self.place else {
            return self.door.on(input, now, &mut self.told);
        };
        let mut interlock = interlock.lock();
        let free = interlock.reserve(*door);
        if free != std::mem::replace(&mut self.interlock_free, free) {
            self.door.on(Input::InterlockFree(free), now, &mut self.told);
        }
        let step = self.door.on(input, now, &mut self.told);
        interlock.note(*door, self.door.is_secure());
        step
    }

    fn report(&mut self, at: Moment, ends: &Ends) {
        if self.told.is_empty() {
            return;
        }
        let mut health = ends.health.lock();
        self.note(&mut health);
        for happening in self.told.drain(..) {
            health.unread += u64::from(ends.report.try_send(Report::Happened { happening, at }).is_err());
        }
    }

    fn note(&self, health: &mut Health) {
        health.mode = self.door.mode();
        health.alarms = Alarm::ALL.map(|alarm| self.door.stands(alarm));
        let tells = matches!(self.heard[Sensor::Contact.index()], Some(Input::Level { .. }));
        health.door_open = tells.then(|| self.door.is_open());
    }

    fn moved(&mut self, lane: usize, energised: bool, ends: &Ends) {
        let at = self.clock.now();
        let open_of = |lock: &Output| lock.level.is_some_and(|level| level != lock.rest);
        let open = self.locks[lane].as_ref().is_some_and(open_of);
        let any_open = self.locks.iter().flatten().any(open_of);
        let well = self.locks.iter().flatten().all(|lock| lock.level.is_some());
        let tag = self.tags[lane].take().filter(|_| open);
        let lane = if lane == Passage::Entry as usize { Passage::Entry } else { Passage::Exit };
        let edge = Report::Edge(Edge { lane, energised, open, at, tag });
        let mut health = ends.health.lock();
        if !health.healthy && well {
            tracing::info!(door = self.name, "the lock answers again");
        }
        (health.healthy, health.open) = (well, any_open);
        // Whoever reads the report finds the health in accord with it.
        health.unread += u64::from(ends.report.try_send(edge).is_err());
    }

    fn failed(&self, message: &str, of_a_lock: bool, ends: &Ends) {
        let mut health = ends.health.lock();
        let well = if of_a_lock { &mut health.healthy } else { &mut health.signals_healthy };
        // Once, not at each retry.
        if std::mem::replace(well, false) || health.last_error.as_deref() != Some(message) {
            tracing::error!(door = self.name, "a line of the door failed: {message}");
        }
        health.errors += 1;
        health.last_error = Some(message.into());
    }
}

fn lanes<'a>(locks: &'a [Option<Output>; 2], wanted: [bool; 2], setup: &Setup) -> Lanes<'a> {
    Lanes { locks, wanted, turnstile: setup.settings.turnstile.is_some() }
}
