//! The fleet: real daemons and a real broker.

mod broker;
mod config;
mod crowd;
mod faults;
mod figures;
mod filling;
mod hostile;
mod many;
mod orders;
mod peer;
mod proxy;
mod pushes;
mod site;
mod stranger;
mod sync;
