//! Whether a living person stands there, and what a door asks of that.
//!
//! Presentation attack detection (PAD), in the terms of ISO/IEC 30107-1: an attack shows a picture of somebody; a bona fide
//! presentation is somebody.

use serde::{Deserialize, Serialize};

use super::Flaw;

/// What is asked of a face's liveness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PadPolicy {
    /// Nobody looks.
    #[default]
    Off,
    /// It is looked at and written down, after the decision, which does not wait for it.
    Advisory,
    /// Nobody passes without it.
    Required,
}

/// What a track's frames say so far about whether a living person is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Living {
    /// 0 (surely not) to 1 (surely).
    pub score: f32,
    /// Of how many frames.
    pub frames: u32,
    /// What speaks against it most, and what to do.
    pub flaw: Flaw,
}
