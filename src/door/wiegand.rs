//! A Wiegand **output**: facegate as the *reader* of an existing panel, which decides and keeps the relay.
//!
//! Two wires rest high. A pulse (low) on D0 is a 0, on D1 a 1; the panel takes what it has when no pulse has come for a
//! while. The pulses are made in user space, by a thread that sleeps for most of an interval and spins for the last part of
//! it and for the pulse.
//!
//! No pulse is ever too short, nor are two too close. They can be too *long* and too far apart, where the scheduler gives the
//! processor to somebody else. Measured by `measure_pulse_widths` in the tests, without a line's own system call, on two
//! cores with five programs to each, which is as bad as it gets: a pulse of 50 µs took 50 µs in the median, 66 in 99 of
//! 100, 340 at worst; an interval of 2 ms took 2.0 ms in the median, but 38 ms in 99 of 100 and a second at worst. Panels
//! that count falling edges do not mind a long pulse, but a pause of some 20 ms ends a card. Such a card is sent to its end
//! (half of it could be another card), counted in [`WiegandHealth::stretched`] and logged, and not sent twice: nobody
//! knows whether the panel took it. Leave the board a core to spare, or give the service a real-time priority
//! (`CPUSchedulingPolicy=` of systemd), where that count grows.
//!
//! A pin drives the wire through a transistor or a level shifter, since panels pull the wires to 5 V. "Active" below is the
//! pulse: `active_low = true` where the pin has the wire's level, false behind a transistor that inverts.
//!
//! Whoever sends never waits: a card that cannot be queued is refused, and one that has waited for more than a second is
//! dropped, since whoever it was for has gone. What became of a card that was queued is told by [`Wiegand::carried`].

mod line;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use facegate_control::{Card, CardFormat, Frame};
use line::{Pace, RealPace, Sent, Timing, Wires};

use super::{Lock, LockSettings, lock_error};
use crate::error::{Context, Error, Kind, Result};

/// As many cards may wait.
const QUEUE: usize = 8;

/// A card that has waited for longer is dropped.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The wires rest between two cards for so long at least, and for ten intervals: how a panel tells two cards apart.
const GAP: Duration = Duration::from_millis(100);

/// A pause within a card that is longer than this, and than four intervals, may have ended it for the panel.
const PAUSE: Duration = Duration::from_millis(20);

/// For how long [`Wiegand::stop`] waits: the longest frame, and some.
const STOP: Duration = Duration::from_secs(1);

/// The output to a panel: its wires, and how cards are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WiegandSettings {
    /// The wire whose pulses are zeros: a line as for a lock. "Energised" is the pulse.
    pub d0: LockSettings,
    /// The wire whose pulses are ones.
    pub d1: LockSettings,
    /// How many bits a card has, 26 or 34. Default 26.
    #[serde(default)]
    pub bits: CardFormat,
    /// How long a pulse lasts, 20 to 100 µs. Default 50.
    #[serde(default = "default_pulse_us")]
    pub pulse_us: u32,
    /// How long it is from one pulse to the next, 200 to 20,000 µs. Default 2,000.
    #[serde(default = "default_interval_us")]
    pub interval_us: u32,
}

fn default_pulse_us() -> u32 {
    50
}

fn default_interval_us() -> u32 {
    2_000
}

impl WiegandSettings {
    /// The two wires, by key.
    pub fn wired(&self) -> [(&'static str, &LockSettings); 2] {
        [("wiegand.d0", &self.d0), ("wiegand.d1", &self.d1)]
    }

    /// Refuses values out of their range. `key` is the place: `door.wiegand`.
    pub fn validate(&self, key: &str) -> Result<()> {
        for (name, value, least, most) in
            [("pulse_us", self.pulse_us, 20, 100), ("interval_us", self.interval_us, 200, 20_000)]
        {
            if !(least..=most).contains(&value) {
                return Err(Error::new(
                    Kind::Config,
                    format!("{key}.{name} is {value}, but must be {least} to {most} (microseconds)"),
                )
                .help(format!("set {name} under [{key}] to a value in that range; the panel's manual gives it")));
            }
        }
        Ok(())
    }

    fn timing(&self) -> Timing {
        let us = |us: u32| Duration::from_micros(us.into());
        Timing { pulse: us(self.pulse_us), interval: us(self.interval_us) }
    }
}

/// How the wires do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WiegandHealth {
    /// Whether the last thing that was asked of the wires was done.
    pub healthy: bool,
    /// Cards that went over the wires.
    pub sent: u64,
    /// Cards that waited for too long.
    pub dropped: u64,
    /// Cards for which there was no room in the queue.
    pub refused: u64,
    /// Cards that a wire's failure cut off, and times the wires could not be put at rest.
    pub errors: u64,
    pub last_error: Option<String>,
    /// Cards with so long a pause in them that the panel may not have taken them for one.
    pub stretched: u64,
    /// The longest pulse so far, in microseconds.
    pub longest_pulse_us: u64,
    /// The longest time from one pulse to the next so far, in microseconds.
    pub longest_interval_us: u64,
}

/// What became of a card that was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The grant that it was for.
    pub tag: u64,
    /// Whether all of it went over the wires.
    pub sent: bool,
    /// How long ago its first pulse was due, or it was dropped.
    pub took: Duration,
}

/// A card that waits, and since when.
struct Waiting {
    tag: u64,
    card: Card,
    frame: Frame,
    since: Duration,
}

/// Sends cards on a thread of its own. Dropping it puts the wires at rest.
pub struct Wiegand {
    format: CardFormat,
    queue: Mutex<Option<Sender<Waiting>>>,
    carried: Receiver<Carried>,
    ended: Receiver<()>,
    health: Arc<Mutex<WiegandHealth>>,
    pace: Arc<dyn Pace>,
}

impl Wiegand {
    /// Puts both wires at rest and starts the thread. `lines` are D0 and D1, claimed at rest (inactive).
    pub fn start(settings: &WiegandSettings, lines: [Box<dyn Lock>; 2]) -> Result<Self> {
        Self::with(settings, lines, Arc::new(RealPace::new()))
    }

    fn with(settings: &WiegandSettings, lines: [Box<dyn Lock>; 2], pace: Arc<dyn Pace>) -> Result<Self> {
        settings.validate("door.wiegand")?;
        let mut wires = Wires::new(lines);
        wires
            .rest()
            .context(Kind::Lock, || format!("the Wiegand wires ({}) cannot be put at rest", wires.describe()))?;
        let (queue, waiting) = bounded(QUEUE);
        // As many as can arrive while nobody reads, since only who reads sends more.
        let (arrived, carried) = bounded(2 * QUEUE);
        let (end, ended) = bounded::<()>(0);
        let health = Arc::new(Mutex::new(WiegandHealth { healthy: true, ..WiegandHealth::default() }));
        let mut courier = Courier {
            wires,
            timing: settings.timing(),
            pace: Arc::clone(&pace),
            health: Arc::clone(&health),
            free_at: Duration::ZERO,
            arrived,
        };
        let body = move || {
            for card in waiting {
                courier.deliver(&card);
            }
            courier.rest();
            drop((courier, end));
        };
        thread::Builder::new()
            .name("wiegand".into())
            .spawn(body)
            .context(Kind::Lock, || "the thread of the Wiegand output cannot be started")?;
        Ok(Self { format: settings.bits, queue: Mutex::new(Some(queue)), carried, ended, health, pace })
    }

    /// Has the card of the grant `tag` sent. Never waits: what became of it is told by [`Wiegand::carried`].
    ///
    /// # Errors
    /// As [`Wiegand::takes`].
    pub fn send(&self, tag: u64, card: Card) -> Result<()> {
        let waiting = Waiting { tag, card, frame: self.frame(card)?, since: self.pace.now() };
        let queued = self.queue.lock().as_ref().map(|queue| queue.try_send(waiting));
        match queued {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(self.full()),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(stopped()),
        }
    }

    /// Whether a card could be sent now. Where nobody else sends, the next [`Wiegand::send`] is refused only where it has been
    /// stopped meanwhile.
    ///
    /// # Errors
    /// [`Kind::InvalidField`]: the facility does not fit. [`Kind::Lock`]: too many cards are waiting. [`Kind::NotReady`]: it
    /// has been stopped.
    pub fn takes(&self, card: Card) -> Result<()> {
        self.frame(card)?;
        match self.queue.lock().as_ref().map(Sender::is_full) {
            Some(false) => Ok(()),
            Some(true) => Err(self.full()),
            None => Err(stopped()),
        }
    }

    fn frame(&self, card: Card) -> Result<Frame> {
        self.format.encode(card).map_err(|fault| Error::new(Kind::InvalidField, fault.message).help(fault.help))
    }

    fn full(&self) -> Error {
        self.health.lock().refused += 1;
        lock_error("the Wiegand output has more cards to send than it can")
            .help("see the log for what the wires said last; shorten interval_us where the panel allows it")
    }

    /// Where it is told what became of the cards. One reader gets each: whoever sends.
    pub fn carried(&self) -> Receiver<Carried> {
        self.carried.clone()
    }

    /// How the wires do.
    pub fn health(&self) -> WiegandHealth {
        self.health.lock().clone()
    }

    /// Sends what waits, puts the wires at rest and ends the thread. A frame that has begun is finished: half of it could
    /// be another card. Waits for at most a second. Stopping twice does no harm.
    pub fn stop(&self) -> Result<()> {
        *self.queue.lock() = None;
        match self.ended.recv_timeout(STOP) {
            Err(RecvTimeoutError::Disconnected) if self.health.lock().healthy => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                let last = self.health.lock().last_error.clone().unwrap_or_default();
                Err(lock_error(format!("the Wiegand wires could not be put at rest: {last}")))
            }
            _ => Err(lock_error("the Wiegand wires did not come to rest within a second")),
        }
    }
}

fn stopped() -> Error {
    Error::new(Kind::NotReady, "the Wiegand output has been stopped")
}

impl Drop for Wiegand {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the Wiegand output ends without knowing its wires at rest");
        }
    }
}

/// What the thread has.
struct Courier {
    wires: Wires,
    timing: Timing,
    pace: Arc<dyn Pace>,
    health: Arc<Mutex<WiegandHealth>>,
    /// When the panel has taken the last card.
    free_at: Duration,
    arrived: Sender<Carried>,
}

impl Courier {
    /// Sends a card, unless it is too late for it, and tells what became of it.
    fn deliver(&mut self, waiting: &Waiting) {
        self.pace.until(self.free_at);
        let begun = self.pace.now();
        let sent = self.carry(waiting);
        let took = self.pace.now().saturating_sub(begun);
        // Full only where nobody reads any more.
        let _ = self.arrived.try_send(Carried { tag: waiting.tag, sent, took });
    }

    /// Whether all of it went over the wires.
    fn carry(&mut self, waiting: &Waiting) -> bool {
        let age = self.pace.now().saturating_sub(waiting.since);
        if age > MAX_AGE {
            self.health.lock().dropped += 1;
            tracing::warn!(
                facility = waiting.card.facility,
                ?age,
                "a card came too late to the Wiegand wires: dropped"
            );
            return false;
        }
        let send = AssertUnwindSafe(|| self.wires.send(waiting.frame, self.timing, &*self.pace));
        let sent = catch_unwind(send).unwrap_or_else(|_| Err(lock_error("sending a card panicked")));
        let whole = sent.is_ok();
        match sent {
            Ok(sent) => self.sent(sent),
            Err(error) => {
                self.failed(&error);
                self.rest();
            }
        }
        self.free_at = self.pace.now() + GAP.max(self.timing.interval * 10);
        whole
    }

    fn sent(&self, sent: Sent) {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut health = self.health.lock();
        (health.healthy, health.sent) = (true, health.sent + 1);
        health.longest_pulse_us = health.longest_pulse_us.max(us(sent.longest_pulse));
        health.longest_interval_us = health.longest_interval_us.max(us(sent.longest_interval));
        if sent.longest_interval > PAUSE.max(self.timing.interval * 4) {
            health.stretched += 1;
            tracing::warn!(pause = ?sent.longest_interval, "a card went out with a pause; the panel may have missed it");
        }
    }

    fn rest(&mut self) {
        let rested = catch_unwind(AssertUnwindSafe(|| self.wires.rest()));
        match rested.unwrap_or_else(|_| Err(lock_error("putting the wires at rest panicked"))) {
            Ok(()) => self.health.lock().healthy = true,
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &Error) {
        tracing::error!(wires = self.wires.describe(), %error, "the Wiegand output failed");
        let mut health = self.health.lock();
        health.healthy = false;
        health.errors += 1;
        health.last_error = Some(error.to_string());
    }
}

#[cfg(test)]
#[path = "wiegand/tests.rs"]
mod tests;
