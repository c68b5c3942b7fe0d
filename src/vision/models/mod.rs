//! Model packs: what a manifest says, whether the files are what it says, and how they become networks that `tract` runs.

mod calibration;
mod manifest;
mod network;
mod ops;
mod pack;
mod prepare;

pub use calibration::{AtThreshold, Calibration, Needed, Rate, Support};
pub use manifest::{Colour, DetectorKind, Input, Liveness, Manifest, Part};
pub use network::{Network, NetworkState};
pub use pack::{Pack, list};
