//! Integration tests: the real parts over real sockets and files.

mod access;
mod accuracy;
mod api;
mod audit;
mod cli;
mod conformance;
mod controller;
mod door;
mod evaluating;
mod faults;
mod fuzzing;
mod gpio;
mod guard;
mod openapi;
mod operator;
mod reader;
mod sides;
mod support;
mod tenants;
