//! The door: from a grant to a relay, and back to rest.
//!
//! [`state`] is the pure machine: events and the time in, the relay's level and the next deadline out. [`Driver`] runs it
//! on a thread of its own and drives a [`Lock`], which is one of
//!
//! - `gpiochip`: a line of a GPIO character device; the kernel releases it when the process dies. The default on a board.
//! - `rppal`: a pin of a Raspberry Pi, by its registers. **Nothing resets it when the process is killed.**
//! - `simulated`: no hardware; edges are kept, logged, and written to a file on request.
//!
//! The relay rests *de-energised* where the door is fail-secure (it stays locked without power), *energised* where it is
//! fail-safe (it unlocks without power). The rest level is given with the request for the line, so that there is no
//! glitch, and set again at every end that the process can see.

pub mod chips;
mod driver;
mod gpiochip;
pub mod kernel_time;
mod rppal;
mod settings;
mod simulated;
pub mod state;
mod wiegand;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    error::{Kind, Result},
};

pub use driver::{Driver, Edge, Health};
pub use settings::{
    Bias, Drive, FailState, GpiochipSettings, Line, LockSettings, RppalSettings, Settings, SimulatedSettings,
};
pub use simulated::{Simulated, SimulatedEdges};
pub use wiegand::{Card, Format, Frame, Wiegand, WiegandHealth, WiegandSettings};

/// Something that can energise a relay.
pub trait Lock: Send {
    /// Energises the relay, or de-energises it. Setting the level that there is already does no harm.
    fn set(&mut self, energised: bool) -> Result<()>;

    /// What is driven, for logs: chip, line and polarity.
    fn describe(&self) -> String;
}

/// Claims the lock's line and puts it at rest in the same step. The errors say what to do.
pub fn open_lock(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Box<dyn Lock>> {
    open(&settings.lock, settings.fail.rest_energised(), clock)
}

/// A relay, and how it rests: all that is needed to put it at rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relay {
    pub lock: LockSettings,
    /// Whether it is energised at rest.
    pub rest: bool,
}

/// Puts a relay at rest for a daemon that cannot; says which one. The line is released again: its driver keeps the level, or
/// lets the line go, and then the wiring decides.
pub fn put_at_rest(relay: &Relay, clock: Arc<dyn Clock>) -> Result<String> {
    open(&relay.lock, relay.rest, clock).map(|lock| lock.describe())
}

/// Claims a line at the level `rest`.
fn open(lock: &LockSettings, rest: bool, clock: Arc<dyn Clock>) -> Result<Box<dyn Lock>> {
    Ok(match lock {
        LockSettings::Simulated(simulated) => Box::new(Simulated::open(simulated, rest, clock)?),
        LockSettings::Gpiochip(line) => Box::new(gpiochip::GpioLine::open(line, rest)?),
        LockSettings::Rppal(pin) => Box::new(rppal::Pin::open(pin, rest)?),
    })
}

/// Says whether the lock could be opened, and what it is, without claiming or driving its line.
pub fn probe(settings: &LockSettings) -> Result<String> {
    match settings {
        LockSettings::Simulated(simulated) => Ok(simulated.describe()),
        LockSettings::Gpiochip(line) => gpiochip::probe(line),
        LockSettings::Rppal(pin) => rppal::probe(pin),
    }
}

/// An error about a lock.
fn lock_error(message: impl Into<String>) -> crate::error::Error {
    crate::error::Error::new(Kind::Lock, message)
}
