//! Who may pass, and what the door does about it.
//!
//! - [`access`]: a track's sightings into decisions, and the rules that say who may pass where and when.
//! - [`door`]: the state machines of doors and turnstiles: what a lock does about grants, contacts, operators and fire.
//!
//! Everything here is pure: events and the time come in, levels and things to tell go out. The crate has no dependency that
//! could do I/O, and nothing of it reads a clock or starts a thread. So days at a door are simulated in milliseconds, and
//! what runs in the simulation is what runs behind the door.

pub mod access;
mod card;
pub mod door;
mod fault;
mod moment;
mod passage;

pub use card::{Card, CardFormat, Frame};
pub use fault::Fault;
pub use moment::Moment;
pub use passage::{Class, Passage};
