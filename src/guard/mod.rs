//! The guard: a second process that puts the relays at rest where the daemon no longer can.
//!
//! A daemon that was killed (`kill -9`, the kernel's out-of-memory killer) or that hangs cannot put its relays at rest. What
//! is left on a line then depends on who drives it: `rppal` writes a Pi's registers, which nothing resets, and the drivers of
//! several GPIO chips, the Pi's among them, keep the last level of a line that is released. So the daemon starts the guard,
//! which knows every relay and its rest, and tells it over a pipe every so often that its door threads move.
//!
//! - The pipe closes without a goodbye: the daemon is dead. The guard puts the relays at rest.
//! - Nothing comes for half of [`Settings::patience_ms`]: the daemon hangs. The guard kills it, then does the same.
//!
//! Both are over within the patience. The guard needs no thread, disk or network of the daemon. Where it dies itself, the
//! daemon starts another.

mod child;
mod watch;

use serde::{Deserialize, Serialize};

use crate::{
    door,
    error::{Error, Kind, Result},
};

pub use child::guard;
pub use watch::Watch;

/// Says that the daemon ends by itself, with every relay at rest.
const GOODBYE: u8 = b'q';

/// Says that every door's thread moves.
const ALIVE: u8 = b'.';

/// The `[guard]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether there is a guard. Default true.
    pub enabled: bool,
    /// Within how long after the daemon's death or the hang of a door's thread the relays rest, 1,000 to 60,000 ms. Default
    /// 3,000.
    pub patience_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, patience_ms: 3_000 }
    }
}

impl Settings {
    /// Refuses values out of their range.
    pub fn validate(&self) -> Result<()> {
        if (1_000..=60_000).contains(&self.patience_ms) {
            return Ok(());
        }
        let message = format!("guard.patience_ms is {}, but must be 1000 to 60000 (milliseconds)", self.patience_ms);
        Err(Error::new(Kind::Config, message).help("set patience_ms under [guard] to a value in that range"))
    }
}

/// What the guard is told when it starts: a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Orders {
    /// The daemon's process.
    daemon: i32,
    /// For how long nothing may come before the daemon counts as hung.
    silence_ms: u64,
    /// What to put at rest.
    relays: Vec<door::Relay>,
}
