//! The fleet: many doors that know the same people, over MQTT. docs/fleet.md is for those who run one.
//!
//! What is said and believed is decided by the crate `facegate_fleet`, which is pure. Here is what touches the world:
//!
//! - [`settings`], [`identity`]: `[fleet]` of the configuration, and the keys and vouchers in its folder.
//! - [`client`]: one connection to the broker. [`link`]: the thread that keeps one; [`session`]: what is done on it.
//! - [`documents`]: the gallery as the engine sees it. [`events`]: the queue of events on the disk.
//! - [`console`]: a connection for the command line. [`looking`]: what `facegate check` looks at.
//! - [`configuring`]: a configuration that is ordered, tried, kept or rolled back.
//! - [`orders`]: what a device may order, done; [`rules`]: access rules among it. [`stats`]: what is counted. [`provisioning`]: how a device joins.
//!
//! The door never waits for any of it: the link has threads of its own, at the API's priority, and reads what doors do from
//! where they tell everybody.

mod client;
pub mod configuring;
pub mod console;
mod documents;
mod events;
pub mod identity;
mod link;
mod looking;
mod orders;
pub mod provisioning;
mod rules;
mod session;
pub mod settings;
mod stats;

pub use self::{
    client::{Client, Happened, Message, Outgoing, connect, tls},
    configuring::Configuring,
    link::{Link, Parts},
    looking::{Certificate, certificates_of, reach},
    orders::Hands,
    rules::PART as RULES_PART,
    settings::Settings,
    stats::Stats,
};
