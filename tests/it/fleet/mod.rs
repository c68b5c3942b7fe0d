//! The fleet: real daemons and a real broker.

mod broker;
mod config;
mod hostile;
mod orders;
mod pushes;
mod site;
mod stranger;
mod sync;
