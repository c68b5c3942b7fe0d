//! The fleet: real daemons and a real broker.

mod broker;
