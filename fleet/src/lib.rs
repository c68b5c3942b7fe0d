//! Many doors that know the same people, by way of an MQTT broker that nobody has to trust.
//!
//! - [`topic`], [`wire`]: where messages lie and what they look like. [`schema`] writes them down for others.
//! - [`stamp`], [`document`]: what is shared, and how two versions of it become one ([`document`] has the rules).
//! - [`keys`], [`sign`], [`seal`], [`voucher`], [`registry`]: who is of the site, and what only the site can read.
//! - [`open`]: bytes from outside into messages that may be believed, or a [`refusal`].
//! - [`sync`]: the engine. It is told what arrived and what time it is, and says what to publish.
//! - [`home_assistant`]: what Home Assistant is told of a device.
//! - [`trial`]: a configuration that was ordered, and goes by itself where it cuts the device off.
//! - [`command`]: which commands a door obeys. [`outbox`]: which events wait for the broker. [`backoff`]: when to try again.
//!
//! Everything here is pure: bytes, the time and a source of chance come in, actions go out. The crate has no dependency that
//! could do I/O, and nothing of it reads a clock. So a thousand doors are simulated on one machine
//! (`fleet/examples/simulate`), and what runs in the simulation is what runs behind the door.

pub mod backoff;
pub mod command;
pub mod document;
pub mod home_assistant;
pub mod keys;
mod name;
pub mod open;
pub mod outbox;
pub mod refusal;
pub mod registry;
pub mod schema;
pub mod seal;
pub mod sign;
pub mod stamp;
pub mod sync;
mod time;
pub mod topic;
pub mod trial;
pub mod voucher;
pub mod wire;

pub use name::{BadName, Name};
pub use time::Now;
