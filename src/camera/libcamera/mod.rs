//! A camera module of the board (CSI), by libcamera: sensors that the kernel gives raw, and whose pictures are developed outside it.
//!
//! libcamera is C++ and wants to be had once in a process, by one thread. So a thread of its own has it and all its cameras; what
//! is read here are finished pictures, in memory that is shared with the hardware and given back for the next one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check_range;
use crate::error::Result;
#[cfg(not(feature = "libcamera"))]
use crate::error::{Error, Kind};

#[cfg(feature = "libcamera")]
mod open;
#[cfg(any(feature = "libcamera", test))]
mod pixels;
#[cfg(feature = "libcamera")]
mod thread;

#[cfg(feature = "libcamera")]
pub use open::Libcamera;

/// What a control is set to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Switch(bool),
    Whole(i64),
    Number(f64),
}

/// `[camera]` with `source = "libcamera"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The camera's id or the model of its sensor, as `cam --list` or `rpicam-hello --list-cameras` shows them, such as `imx219`.
    /// Default: the only one that there is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// Width of the pictures, in pixels, 160 to 4096. The nearest that the camera gives is taken. Default 640.
    pub width: u32,
    /// Height of the pictures, in pixels, 120 to 4096. Default 480.
    pub height: u32,
    /// Frames a second, 1 to 120, which the camera is told; what comes beyond is dropped. Default 15.
    pub rate_fps: f32,
    /// Without a frame for that many milliseconds the camera counts as stalled and is opened anew; 500 to 60000.
    /// Default 2000.
    pub stall_ms: u64,
    /// Whether the picture is turned about its upright axis, as a mirror shows it. Default false.
    pub mirror: bool,
    /// Whether the camera hangs upside down. Default false.
    pub upside_down: bool,
    /// Controls by libcamera's names, such as `AeEnable`, `ExposureTime` (µs) and `AnalogueGain`. Default: none, all are left to
    /// libcamera.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub controls: BTreeMap<String, Value>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            device: String::new(),
            width: 640,
            height: 480,
            rate_fps: 15.0,
            stall_ms: 2000,
            mirror: false,
            upside_down: false,
            controls: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// # Errors
    /// [`Kind::Config`] for the first value out of its range, and where this program was built without libcamera.
    pub fn validate(&self) -> Result<()> {
        check_range("camera.width", self.width, 160..=4096, "pixels")?;
        check_range("camera.height", self.height, 120..=4096, "pixels")?;
        check_range("camera.rate_fps", self.rate_fps, 1.0..=120.0, "frames a second")?;
        check_range("camera.stall_ms", self.stall_ms, 500..=60_000, "milliseconds")?;
        #[cfg(not(feature = "libcamera"))]
        return Err(not_built());
        #[cfg(feature = "libcamera")]
        Ok(())
    }
}

/// Why a build without the feature has no such camera.
#[cfg(not(feature = "libcamera"))]
pub(super) fn not_built() -> Error {
    Error::new(Kind::Config, "camera.source = \"libcamera\": this facegate was built without libcamera")
        .help("build it on a board of the same kind with --features libcamera; docs/cameras.md says how, and what else there is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_switches_and_numbers() {
        let read: Settings = toml::from_str(
            "device = \"imx219\"\ncontrols = { AeEnable = false, ExposureTime = 8000, AnalogueGain = 2.5 }",
        )
        .expect("reads");
        let values: Vec<_> = read.controls.into_values().collect();
        assert_eq!(values, [Value::Switch(false), Value::Number(2.5), Value::Whole(8000)]);
    }

    #[test]
    fn values_have_ranges_and_a_build_without_it_says_so() {
        let error = Settings { width: 0, ..Settings::default() }.validate().expect_err("out of range");
        assert!(error.message().contains("camera.width"), "{error}");
        let plain = Settings::default().validate().map_err(|error| error.message().to_owned());
        assert_eq!(plain.is_ok(), cfg!(feature = "libcamera"), "{plain:?}");
        assert!(plain.is_ok() || plain.is_err_and(|words| words.contains("without libcamera")));
    }
}
