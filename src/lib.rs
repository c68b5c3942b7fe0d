//! facegate: a door controller that recognises faces.

pub mod access;
pub mod api;
pub mod camera;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod door;
pub mod error;
pub mod gallery;
pub mod intake;
pub mod journal;
pub mod recognition;
pub mod vision;
