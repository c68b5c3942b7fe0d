//! facegate: a door controller that recognises faces.

pub mod access;
pub mod api;
pub mod camera;
pub mod clock;
pub mod door;
pub mod error;
pub mod gallery;
pub mod intake;
pub mod journal;
pub mod recognition;
pub mod vision;
