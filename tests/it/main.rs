//! Integration tests: the real parts over real sockets and files.

mod access;
mod accuracy;
mod api;
mod attacks;
mod audit;
mod boards;
mod cli;
mod conformance;
mod controller;
mod diagnosis;
mod door;
mod doorway;
mod evaluating;
mod faults;
mod fleet;
mod fuzzing;
mod gpio;
mod guard;
mod liveness;
#[cfg(feature = "rtsp")]
mod network_camera;
mod openapi;
mod operator;
mod quality;
mod reader;
mod service;
mod setup;
mod sides;
mod support;
mod tenants;
mod thresholds;
