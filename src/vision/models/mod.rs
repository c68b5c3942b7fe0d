//! Model packs: what a manifest says, whether the files are what it says, and how they become networks that `tract` runs.

mod manifest;
mod network;
mod pack;
mod prelu;
mod prepare;

pub use manifest::{Calibration, Colour, DetectorKind, Input, Liveness, Manifest, Part};
pub use network::{Network, NetworkState};
pub use pack::{Pack, list};
