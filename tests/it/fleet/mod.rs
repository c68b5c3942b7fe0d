//! The fleet: real daemons and a real broker.

mod broker;
mod config;
mod faults;
mod figures;
mod hostile;
mod many;
mod orders;
mod peer;
mod proxy;
mod pushes;
mod site;
mod stranger;
mod sync;
