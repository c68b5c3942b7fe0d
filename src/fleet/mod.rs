//! The fleet: many doors that know the same people, over MQTT. docs/fleet.md is for those who run one.
//!
//! What is said and believed is decided by the crate `facegate_fleet`, which is pure. Here is what touches the world:
//!
//! - [`settings`], [`identity`]: `[fleet]` of the configuration, and the keys and vouchers in its folder.
//! - [`client`]: one connection to the broker. [`link`]: the thread that keeps one; [`session`]: what is done on it.
//! - [`documents`]: the gallery as the engine sees it. [`events`]: the queue of events on the disk.
//! - [`console`]: a connection for the command line.
//! - [`orders`]: what a device may order, done. [`stats`]: what is counted. [`provisioning`]: how a device joins.
//!
//! The door never waits for any of it: the link has threads of its own, at the API's priority, and reads what doors do from
//! where they tell everybody.

mod client;
pub mod console;
mod documents;
mod events;
pub mod identity;
mod link;
mod orders;
pub mod provisioning;
mod session;
pub mod settings;
mod stats;

pub use self::{
    client::{Client, Happened, Message, Outgoing, connect, tls},
    link::{Link, Parts},
    orders::Hands,
    settings::Settings,
    stats::Stats,
};
