//! facegate: a door controller that recognises faces.

pub mod clock;
pub mod error;
pub mod gallery;
pub mod vision;
