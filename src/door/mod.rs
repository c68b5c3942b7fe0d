//! The door: from a grant to a relay, and back to rest.
//!
//! The state machine is pure and has a crate of its own, [`facegate_control::door`]. [`Driver`] runs it on a thread of its own
//! and drives by it every line that a door has ([`Hardware`]): the lock, and perhaps a turnstile's second one, lamps, a buzzer,
//! an alarm. Threads beside it read the [`Inputs`]. A line is a [`Lock`], which is one of
//!
//! - `gpiochip`: a line of a GPIO character device; the kernel releases it when the process dies. The default on a board.
//! - `rppal`: a pin of a Raspberry Pi, by its registers. **Nothing resets it when the process is killed.**
//! - `none`: a panel keeps the relay, and is sent a card for each grant by [`Wiegand`].
//! - `simulated`: no hardware; edges are kept, logged, and written to a file on request.
//!
//! The relay rests *de-energised* where the door is fail-secure (it stays locked without power), *energised* where it is
//! fail-safe (it unlocks without power). The rest level is given with the request for the line, so that there is no
//! glitch, and set again at every end that the process can see.

pub mod chips;
mod driver;
mod feed;
mod gpiochip;
mod held;
mod inputs;
pub mod kernel_time;
mod lease;
mod lines;
mod output;
mod rppal;
mod runner;
mod settings;
mod simulated;
mod simulated_inputs;
mod wiegand;
mod wiring;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    error::{Kind, Result},
};

pub use driver::{ANSWER, Driver, Edge, Grant, Health, Heard, Place, Report};
pub use facegate_control::door::FailState;
pub use inputs::{InputEdge, Inputs, Source, open_inputs, open_lines, probe_input};
pub use lines::NamedLine;
pub use output::Hardware;
pub use settings::{Bias, Drive, GpiochipSettings, Line, LockSettings, RppalSettings, Settings, SimulatedSettings};
pub use simulated::{Simulated, SimulatedEdges};
pub use wiegand::{Carried, Wiegand, WiegandHealth, WiegandSettings};
pub use wiring::{GpiochipInput, InputSettings, InputsSettings, OutputsSettings, RppalInput, SimulatedInput};

/// Something that can energise a relay.
pub trait Lock: Send {
    /// Energises the relay, or de-energises it. Setting the level that there is already does no harm.
    fn set(&mut self, energised: bool) -> Result<()>;

    /// What is driven, for logs: chip, line and polarity.
    fn describe(&self) -> String;
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

/// Claims a line at the level `rest` in the same step. The errors say what to do.
pub fn open(lock: &LockSettings, rest: bool, clock: Arc<dyn Clock>) -> Result<Box<dyn Lock>> {
    Ok(match lock {
        LockSettings::None => return Err(lock_error("there is no lock: a panel keeps the relay")),
        LockSettings::Simulated(simulated) => Box::new(Simulated::open(simulated, rest, clock)?),
        LockSettings::Gpiochip(line) => Box::new(gpiochip::GpioLine::open(line, rest)?),
        LockSettings::Rppal(pin) => Box::new(rppal::Pin::open(pin, rest)?),
    })
}

/// Says whether the lock could be opened, and what it is, without claiming or driving its line.
pub fn probe(settings: &LockSettings) -> Result<String> {
    match settings {
        LockSettings::None => Ok("none: a panel keeps the relay".into()),
        LockSettings::Simulated(simulated) => Ok(simulated.describe()),
        LockSettings::Gpiochip(line) => gpiochip::probe(line),
        LockSettings::Rppal(pin) => rppal::probe(pin),
    }
}

/// As [`probe`], but a line that a running facegate has is as good as free: its place is to be taken.
pub fn probe_beside_ours(settings: &LockSettings) -> Result<String> {
    match settings {
        LockSettings::Gpiochip(line) => gpiochip::probe_beside_ours(line),
        other => probe(other),
    }
}

/// An error about a lock.
fn lock_error(message: impl Into<String>) -> crate::error::Error {
    crate::error::Error::new(Kind::Lock, message)
}
