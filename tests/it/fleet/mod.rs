//! The fleet: real daemons and a real broker.

mod broker;
mod hostile;
mod orders;
mod site;
mod stranger;
mod sync;
