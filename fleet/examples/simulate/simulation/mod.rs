//! A site of many doors on one machine: the engine that ships, in simulated time.
//!
//! Real: documents, their merging, the engine ([`Replica`]) of every door with its queue, delays, digests and registry; stamps
//! by clocks that are wrong by up to a year; signing, sealing and opening of every message. Modelled: a message is opened once
//! for all who receive it, not by each; a door's store is a table that shares documents with the other doors'
//! ([`shared`]), and remembers what came of merging two of them; one broker that keeps the newest message of a topic and
//! sessions of doors that are away, and is never busy; links with a delay of 5 to 400 ms, losses, repetitions and messages that
//! overtake others. Not modelled: the broker's own limits, TCP, MQTT's acknowledgements.

mod broker;
mod door;
mod plan;
mod report;
mod run;
mod setup;
mod shared;

pub use self::{plan::Plan, report::Report};

/// Simulates.
pub fn simulate(plan: &Plan) -> Report {
    run::Run::new(plan).run()
}
