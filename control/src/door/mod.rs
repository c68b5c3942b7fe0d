//! The door itself: what a lock does about grants, contacts, requests to exit, operators and fire.
//!
//! A [`Controller`] is one door or one turnstile. It is told [`Input`]s with the time of the monotonic clock and answers with
//! a [`Step`]: the levels that every output is to have from now on, and when to come again; beside that it tells what
//! [happened](Happening), for the record. The wall clock never comes in here.
//!
//! # What goes before what
//!
//! 1. **Fire.** The fire input releases a fail-safe door whatever else is true: in lockdown, with the interlock taken, after
//!    the shutdown. A fire input that cannot be read, or that never comes to rest, counts as fire there. A fail-secure door
//!    is released only by `release_on_fire`, and not once it has come to rest.
//! 2. **Shutdown.** Nothing unlocks any more, and the locks rest.
//! 3. **Lockdown.** Grants, commands to unlock, hold and free access are refused, and whoever was let in a moment ago is so
//!    no more. A request to exit still unlocks: a lockdown keeps people out, it must not keep anybody in. Where a building's
//!    rules demand otherwise, `rex_in_lockdown` says so. Free access by a schedule comes back after the lockdown, a hold does
//!    not.
//! 4. **Interlock.** While another door of a group is open or unlocked nothing unlocks, requests to exit included: that is
//!    what an airlock is for. Where it is on an escape route, `rex_ignores_interlock`.
//! 5. **Hold, free access**, then grants, requests to exit and an operator's pulse.
//!
//! # What opens by right
//!
//! An opening is forced where it began (by the contact's first edge, before it was steady) while the door was locked, later
//! than `opening_grace_ms` after it had locked and later than `rex_shunt_ms` after a request to exit. A request to exit counts
//! by its edge: a button that is stuck holds nothing open and shunts nothing for long. A door that is found open, at the
//! start or when its contact can be read again, was opened nobody knows how; it is only given its time to be closed.

mod common;
mod controller;
mod debounce;
mod interlock;
mod leaf;
mod settings;
mod telling;
#[cfg(test)]
mod tests;
mod turnstile;
mod words;

pub use controller::Controller;
pub use interlock::Interlock;
pub use settings::{FailState, Relock, Settings, Setup, TurnstileSettings, Wiring};
pub use words::{Alarm, Cause, Command, Happening, Input, Mode, Outputs, Refusal, Sensor, Step};
