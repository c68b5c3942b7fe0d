//! facegate: a door controller that recognises faces.

pub mod access;
pub mod clock;
pub mod door;
pub mod error;
pub mod vision;
