//! Integration tests: the real parts over real sockets and files.

mod access;
mod accuracy;
mod api;
mod cli;
mod controller;
mod door;
mod faults;
mod gpio;
mod guard;
mod operator;
mod reader;
mod sides;
mod support;
mod tenants;
