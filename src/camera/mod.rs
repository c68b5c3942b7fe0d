//! Where frames come from: cameras of the kernel by V4L2, camera modules by libcamera, cameras of the network by RTSP, or stills
//! replayed as if a camera saw them.
//!
//! A [`Camera`] gives one frame a call and may fail in any way. A [`Feed`] runs one on a thread of its own, opens it anew
//! after every failure and keeps the newest frame alone: frames are dropped and counted, never queued.

use std::{sync::Arc, time::Duration};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::{
    clock::{Clock, Moment},
    error::{Error, Kind, Result},
};

mod controls;
pub mod convert;
pub mod fake;
pub mod feed;
pub mod libcamera;
pub mod negotiate;
pub mod replay;
pub mod rtsp;
mod scene;
mod stamps;
mod throttle;
mod turn;
pub mod v4l;

pub use feed::{Feed, FeedStats};

/// One picture from a camera.
pub struct Frame {
    /// The pixels, RGB, 8 bits a channel.
    pub image: RgbImage,
    /// When it was taken, or came out of the driver.
    pub at: Moment,
    /// Counts the frames of one source from 1 on, across reopenings where a [`Feed`] numbers them.
    pub sequence: u64,
}

/// Prints no pixels: a photograph never reaches a log.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} of {}×{})", self.sequence, self.image.width(), self.image.height())
    }
}

/// What can be done with a camera after [`Camera::next_frame`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// That frame was bad, the next may be good.
    Retry,
    /// This camera is spent: drop it and open another.
    Reopen,
    /// The source has come to its end, as a replay does that is not repeated.
    End,
}

/// A source of frames.
pub trait Camera: Send {
    /// Waits for the next frame. Comes back within the source's stall time, with an error where no frame came.
    ///
    /// # Errors
    /// [`Kind::Camera`]; [`Camera::after_error`] then says how to go on.
    fn next_frame(&mut self) -> Result<Frame>;

    /// What it is and how it is set, in a line for the log.
    fn describe(&self) -> String;

    /// What the error of the last [`Camera::next_frame`] calls for.
    fn after_error(&self) -> After {
        After::Reopen
    }

    /// The time from one frame to the next, where the source does not keep it itself: a replay gives frames as fast as
    /// they are asked for, and a [`Feed`] paces it.
    fn pace(&self) -> Option<Duration> {
        None
    }
}

/// `[camera]`: which source, and how it is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Settings {
    /// A camera of the Linux kernel.
    V4l(v4l::Settings),
    /// A camera module, by libcamera.
    Libcamera(libcamera::Settings),
    /// A camera of the network, by RTSP.
    Rtsp(rtsp::Settings),
    /// Stills played as a camera would see them.
    Replay(replay::Settings),
}

impl Settings {
    /// # Errors
    /// [`Kind::Config`] for the first value out of its range, with the key, the value and the range.
    pub fn validate(&self) -> Result<()> {
        match self {
            Settings::V4l(settings) => settings.validate(),
            Settings::Libcamera(settings) => settings.validate(),
            Settings::Rtsp(settings) => settings.validate(),
            Settings::Replay(settings) => settings.validate(),
        }
    }

    /// How many frames a second it gives at most.
    pub fn rate_fps(&self) -> f32 {
        match self {
            Settings::V4l(settings) => settings.rate_fps,
            Settings::Libcamera(settings) => settings.rate_fps,
            Settings::Rtsp(settings) => settings.rate_fps,
            Settings::Replay(settings) => settings.rate_fps,
        }
    }

    /// The device that it has to itself while it is open, as it is named; none where several may have the source.
    pub fn device(&self) -> Option<String> {
        match self {
            Settings::V4l(settings) => Some(settings.device.display().to_string()),
            Settings::Libcamera(settings) if settings.device.is_empty() => Some("the only camera module".into()),
            Settings::Libcamera(settings) => Some(format!("the camera module {}", settings.device)),
            Settings::Rtsp(_) | Settings::Replay(_) => None,
        }
    }

    /// How long a source may give no frame before it counts as stalled.
    pub fn stall(&self) -> Duration {
        match self {
            Settings::V4l(settings) => Duration::from_millis(settings.stall_ms),
            Settings::Libcamera(settings) => Duration::from_millis(settings.stall_ms),
            Settings::Rtsp(settings) => Duration::from_millis(settings.stall_ms),
            // As long as a large still takes to be read and decoded on a slow board, and as long as the slowest rate.
            Settings::Replay(_) => Duration::from_secs(12),
        }
    }
}

/// Opens the source that `settings` name.
///
/// # Errors
/// [`Kind::Config`] where a value is out of range; [`Kind::Camera`] where the source cannot be opened.
pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Box<dyn Camera>> {
    settings.validate()?;
    Ok(match settings {
        Settings::V4l(settings) => Box::new(v4l::V4l::open(settings, clock)?),
        #[cfg(feature = "libcamera")]
        Settings::Libcamera(settings) => Box::new(libcamera::Libcamera::open(settings, clock)?),
        #[cfg(feature = "rtsp")]
        Settings::Rtsp(settings) => Box::new(rtsp::Rtsp::open(settings, clock)?),
        #[cfg(not(feature = "libcamera"))]
        Settings::Libcamera(_) => return Err(libcamera::not_built()),
        #[cfg(not(feature = "rtsp"))]
        Settings::Rtsp(_) => return Err(rtsp::not_built()),
        Settings::Replay(settings) => Box::new(replay::Replay::open(settings, clock)?),
    })
}

/// Opens the source and says what it would give, without keeping it: what `facegate check` prints.
///
/// # Errors
/// As [`open`]. A driver's code that panics is an error like any other.
pub fn probe(settings: &Settings) -> Result<String> {
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let camera = open(settings, Arc::new(crate::clock::SystemClock::new()))?;
        Ok(camera.describe())
    }));
    found.unwrap_or_else(|panic| Err(feed::panic_error(&*panic)))
}

/// Checks one number of the configuration against its range.
pub(crate) fn check_range<T>(key: &str, value: T, range: std::ops::RangeInclusive<T>, unit: &str) -> Result<()>
where
    T: PartialOrd + std::fmt::Display,
{
    if range.contains(&value) {
        return Ok(());
    }
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let message = format!("{key} = {value} is out of range: from {} to {}{unit}", range.start(), range.end());
    Err(Error::new(Kind::Config, message).help(format!("set {key} within its range")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_source_chooses_the_settings() {
        let Settings::V4l(v4l) = read("source = \"v4l\"\ndevice = \"/dev/video7\"").expect("reads") else {
            panic!("not v4l")
        };
        assert_eq!(v4l.device.to_str(), Some("/dev/video7"));
        let Settings::Replay(replay) = read("source = \"replay\"\nstills = \"folder\"\nrate_fps = 5").expect("reads")
        else {
            panic!("not replay")
        };
        assert_eq!(replay.rate_fps, 5.0);
        let Settings::Rtsp(rtsp) = read("source = \"rtsp\"\nurl = \"rtsp://camera/2\"").expect("reads") else {
            panic!("not rtsp")
        };
        assert_eq!(rtsp.url, "rtsp://camera/2");
        assert!(read("source = \"lens\"").is_err());
    }

    #[test]
    fn a_device_has_one_user_and_a_camera_of_the_network_many() {
        let device = |text: &str| read(text).expect("reads").device();
        assert_eq!(device("source = \"v4l\"\ndevice = \"/dev/video7\"").as_deref(), Some("/dev/video7"));
        assert_eq!(device("source = \"libcamera\""), device("source = \"libcamera\"\nwidth = 800"));
        assert_ne!(device("source = \"libcamera\""), device("source = \"libcamera\"\ndevice = \"imx219\""));
        assert_eq!(device("source = \"rtsp\"\nurl = \"rtsp://camera/2\""), None);
        assert_eq!(device("source = \"replay\"\nstills = \"folder\""), None);
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in [
            "source = \"v4l\"\ndevice = \"/dev/video0\"\nheigth = 4",
            "source = \"rtsp\"\nurl = \"rtsp://camera/\"\npassword = \"secret\"",
            "source = \"replay\"\nstills = \"folder\"\nhold = 4",
        ] {
            let error = read(text).map(|_| ()).expect_err("unknown key").to_string();
            assert!(error.contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn settings_survive_being_written_and_read() {
        let settings = read("source = \"replay\"\nstills = [\"a\", \"b\"]").expect("reads");
        let text = toml::to_string(&settings).expect("writes");
        assert_eq!(read(&text).expect("reads again"), settings, "{text}");
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_range() {
        let error = check_range("camera.rate_fps", 0.0, 0.1..=120.0, "frames a second").expect_err("out of range");
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(error.message(), "camera.rate_fps = 0 is out of range: from 0.1 to 120 frames a second");
        assert!(check_range("x", f32::NAN, 0.0..=1.0, "").is_err());
    }

    #[test]
    fn probing_tells_what_would_be_seen_or_what_is_wrong() {
        let still = tempfile::Builder::new().suffix(".png").tempfile().expect("a file");
        RgbImage::new(8, 8).save(still.path()).expect("saves");
        let replay = replay::Settings { stills: vec![still.path().to_owned()], ..Default::default() };
        assert!(probe(&Settings::Replay(replay.clone())).expect("opens").starts_with("replay of 1 still from"));
        let bad = replay::Settings { rate_fps: 0.0, ..replay };
        assert_eq!(probe(&Settings::Replay(bad)).expect_err("out of range").kind(), Kind::Config);
        let gone = v4l::Settings { device: "/dev/v4l/by-path/there-is-none".into(), ..Default::default() };
        assert_eq!(probe(&Settings::V4l(gone)).expect_err("no such device").kind(), Kind::Camera);
    }

    #[test]
    fn a_frame_prints_no_pixels() {
        let frame = Frame { image: RgbImage::new(4, 2), at: Moment::default(), sequence: 3 };
        assert_eq!(format!("{frame:?}"), "Frame(3 of 4×2)");
    }
}
