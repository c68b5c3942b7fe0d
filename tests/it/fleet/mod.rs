//! The fleet: real daemons and a real broker.

mod broker;
mod faults;
mod figures;
mod hostile;
mod many;
mod orders;
mod peer;
mod proxy;
mod site;
mod stranger;
mod sync;
