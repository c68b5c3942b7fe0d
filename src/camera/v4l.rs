//! A camera of the Linux kernel (V4L2), by memory-mapped streaming.
//!
//! The `v4l` crate has two habits to live with. After a timeout its stream gives the kernel a buffer that the kernel
//! already has: so a stream that timed out is dropped and opened anew. And dropping a stream panics where it cannot be
//! stopped, and may then panic again, which would end the process: so a stream is stopped first, and one that cannot be
//! stopped is left alone for good.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use v4l::{
    Device, Format, FourCC,
    buffer::{Flags, Metadata, Type},
    capability::Flags as Capability,
    format::{Colorspace, Quantization},
    frameinterval::FrameIntervalEnum,
    framesize::FrameSizeEnum,
    io::{
        mmap::Stream,
        traits::{CaptureStream, Stream as _},
    },
    video::{Capture, capture::Parameters},
};

use super::{
    After, Camera, Frame, check_range,
    controls::{self, Controls},
    convert::{self, Colour, Layout},
    negotiate::{Offer, Pixels, Sizes, Wanted, Wish, negotiate},
    stamps::Stamps,
    throttle::Throttle,
    turn::Turn,
};
use crate::{
    clock::{Clock, Moment},
    error::{Context, Error, Kind, Result},
};

/// Buffers between the driver and us. One is being read, one is being filled; the others bridge our pauses.
const BUFFERS: u32 = 4;

/// `[camera]` with `source = "v4l"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The device. A path under `/dev/v4l/by-path/` names the socket that the camera is plugged into and survives a
    /// restart; `/dev/video0` may be another camera tomorrow. Default `/dev/video0`.
    pub device: PathBuf,
    /// Width of the pictures, in pixels, 160 to 4096. The nearest that the camera offers is taken. Default 640.
    pub width: u32,
    /// Height of the pictures, in pixels, 120 to 4096. Default 480.
    pub height: u32,
    /// Frames a second, 1 to 120. What the camera gives beyond that is dropped undecoded. Default 15.
    pub rate_fps: f32,
    /// `auto`, `yuyv`, `mjpeg` or `grey`. Default `auto`.
    pub format: Wanted,
    /// Without a frame for that many milliseconds the camera counts as stalled and is opened anew; 500 to 60000.
    /// Default 2000.
    pub stall_ms: u64,
    /// Whether the picture is turned about its upright axis, as a mirror shows it. Default false.
    pub mirror: bool,
    /// Whether the camera hangs upside down. Default false.
    pub upside_down: bool,
    /// Controls of the camera by name, as `v4l2-ctl --list-ctrls` shows them, set whenever it is opened. Default: none, all
    /// are left as they are.
    #[serde(skip_serializing_if = "Controls::is_empty")]
    pub controls: Controls,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            device: "/dev/video0".into(),
            width: 640,
            height: 480,
            rate_fps: 15.0,
            format: Wanted::Auto,
            stall_ms: 2000,
            mirror: false,
            upside_down: false,
            controls: Controls::new(),
        }
    }
}

impl Settings {
    /// # Errors
    /// [`Kind::Config`] for the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        check_range("camera.width", self.width, 160..=4096, "pixels")?;
        check_range("camera.height", self.height, 120..=4096, "pixels")?;
        check_range("camera.rate_fps", self.rate_fps, 1.0..=120.0, "frames a second")?;
        check_range("camera.stall_ms", self.stall_ms, 500..=60_000, "milliseconds")
    }
}

/// An open camera that is streaming.
pub struct V4l {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// `Some` until dropped.
    stream: Option<Stream<'static>>,
    stamps: Stamps,
    layout: Layout,
    throttle: Throttle,
    turn: Turn,
    description: String,
    given: u64,
    after: After,
}

impl V4l {
    /// Opens the device, settles format and size and logs them. The stream starts with the first frame asked for.
    ///
    /// # Errors
    /// [`Kind::Camera`], with what to do: no such device, no permission, in use, not a camera, no usable format.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = &settings.device;
        let failed = |doing: &'static str| move |error: io::Error| explain(path, doing, error);
        let device = Device::with_path(path).map_err(failed("open"))?;
        let capabilities = device.query_caps().map_err(|error| match error.raw_os_error() {
            Some(NOTTY | INVAL) => not_a_camera(path),
            _ => explain(path, "ask", error),
        })?;
        if !capabilities.capabilities.contains(Capability::VIDEO_CAPTURE | Capability::STREAMING) {
            return Err(not_a_camera(path));
        }
        let offers = offers(&device, settings).map_err(failed("list the formats of"))?;
        let wish =
            Wish { format: settings.format, width: settings.width, height: settings.height, rate: settings.rate_fps };
        let choice = negotiate(&offers, &wish)?;
        let asked = Format::new(choice.width, choice.height, FourCC::new(&choice.fourcc));
        let format = device.set_format(&asked).map_err(failed("set the format of"))?;
        let Some(pixels) = Pixels::from_fourcc(format.fourcc.repr) else {
            let message = format!("{} insists on the format {}", path.display(), format.fourcc.repr.escape_ascii());
            return Err(Error::new(Kind::Camera, message).help("set another camera.format or camera.width"));
        };
        // A driver that cannot set its rate runs at its own; what is too much is dropped below.
        let rate = device.set_params(&Parameters::with_fps(settings.rate_fps.ceil() as u32)).ok();
        let rate = rate.and_then(|set| per_second(set.interval.numerator, set.interval.denominator));
        let layout = Layout {
            pixels,
            width: format.width,
            height: format.height,
            stride: if pixels == Pixels::Mjpeg { 0 } else { format.stride },
            colour: Colour {
                full_range: matches!(format.quantization, Quantization::FullRange)
                    || matches!(format.colorspace, Colorspace::JPEG),
                bt709: matches!(format.colorspace, Colorspace::Rec709),
            },
        };
        let missed = controls::set(&device, &settings.controls);
        for missed in &missed {
            tracing::warn!(
                help = "`v4l2-ctl --list-ctrls` shows the camera's controls",
                "{}: {missed}",
                path.display()
            );
        }
        let missed: String = missed.iter().map(|missed| format!("; {missed}")).collect();
        let description = format!(
            "V4L2 camera {} ({}, driver {}): {} {}×{}, {}{missed}",
            path.display(),
            capabilities.card,
            capabilities.driver,
            pixels.name(),
            layout.width,
            layout.height,
            rate.map_or("at its own rate".to_owned(), |rate| format!("{rate:.1} frames a second")),
        );
        tracing::info!(offered = offers.len(), "{description}");
        let mut stream =
            Stream::with_buffers(&device, Type::VideoCapture, BUFFERS).map_err(failed("map the buffers of"))?;
        stream.set_timeout(Duration::from_millis(settings.stall_ms));
        Ok(Self {
            path: path.clone(),
            clock,
            stream: Some(stream),
            stamps: Stamps::new(kernels_time(), BUFFERS),
            layout,
            throttle: Throttle::new(settings.rate_fps),
            turn: Turn { mirror: settings.mirror, upside_down: settings.upside_down },
            description,
            given: 0,
            after: After::Reopen,
        })
    }
}

impl Camera for V4l {
    fn next_frame(&mut self) -> Result<Frame> {
        let stream = self.stream.as_mut().expect("the stream is there until the camera is dropped");
        self.after = After::Reopen;
        loop {
            let (buffer, about) = stream.next().map_err(|error| explain(&self.path, "read", error))?;
            let was_wrong = self.stamps.wrong();
            let age = self.stamps.age(stamp(about), kernels_time());
            if self.stamps.wrong() && !was_wrong {
                tracing::warn!(
                    "the driver of {} says of all its frames that they are old; each is taken to be new",
                    self.path.display()
                );
            }
            let now = self.clock.now().since_start();
            let at = Moment::from_start(now.saturating_sub(age));
            if !self.throttle.due(at) {
                continue;
            }
            self.after = After::Retry;
            if about.flags.contains(Flags::ERROR) {
                let message = format!("{} marks a frame as damaged", self.path.display());
                return Err(Error::new(Kind::Camera, message));
            }
            let used = buffer.len().min(about.bytesused as usize);
            let mut image = convert::to_rgb(&self.layout, &buffer[..used])
                .context(Kind::Camera, || format!("{} gave a frame that cannot be read", self.path.display()))?;
            self.turn.apply(&mut image);
            self.given += 1;
            return Ok(Frame { image, at, sequence: self.given });
        }
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn after_error(&self) -> After {
        self.after
    }
}

/// The clock by which drivers stamp their frames.
fn kernels_time() -> Duration {
    clock_gettime(ClockId::Monotonic).try_into().unwrap_or_default()
}

/// When the frame was captured, by that clock; none where the driver goes by another one.
fn stamp(about: &Metadata) -> Option<Duration> {
    let monotonic = about.flags & Flags::TIMESTAMP_MASK == Flags::TIMESTAMP_MONOTONIC;
    let seconds = u64::try_from(about.timestamp.sec).ok().filter(|_| monotonic)?;
    let micros = u64::try_from(about.timestamp.usec).ok()?;
    Some(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

impl Drop for V4l {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        match stream.stop() {
            Ok(()) => drop(stream),
            Err(error) if error.raw_os_error() == Some(NODEV) => drop(stream),
            Err(error) => {
                // Dropping it would panic twice and end the process, and with it the door.
                tracing::error!(%error, "{} cannot be stopped; plug it in again", self.path.display());
                std::mem::forget(stream);
            }
        }
    }
}

/// What the device offers, in the words of [`negotiate`]. Formats that are not read are listed for the error alone.
fn offers(device: &Device, settings: &Settings) -> io::Result<Vec<Offer>> {
    let mut offers = Vec::new();
    for format in device.enum_formats()? {
        let fourcc = format.fourcc.repr;
        // A driver that does not list its sizes is asked for the wished one, and answers with the nearest.
        let any = || vec![Sizes::one(settings.width, settings.height)];
        let sizes = match device.enum_framesizes(format.fourcc) {
            Ok(sizes) if !sizes.is_empty() => sizes.iter().map(|size| described(&size.size)).collect(),
            _ => any(),
        };
        for sizes in sizes {
            let rate = device
                .enum_frameintervals(format.fourcc, sizes.most.0, sizes.most.1)
                .unwrap_or_default()
                .iter()
                .filter_map(|found| match &found.interval {
                    FrameIntervalEnum::Discrete(each) => per_second(each.numerator, each.denominator),
                    FrameIntervalEnum::Stepwise(steps) => per_second(steps.min.numerator, steps.min.denominator),
                })
                .max_by(f32::total_cmp);
            offers.push(Offer { fourcc, sizes, rate });
        }
    }
    Ok(offers)
}

fn described(size: &FrameSizeEnum) -> Sizes {
    match size {
        FrameSizeEnum::Discrete(size) => Sizes::one(size.width, size.height),
        FrameSizeEnum::Stepwise(steps) => Sizes {
            least: (steps.min_width, steps.min_height),
            most: (steps.max_width, steps.max_height),
            step: (steps.step_width, steps.step_height),
        },
    }
}

/// Frames a second, from the kernel's time a frame as a fraction of seconds.
fn per_second(numerator: u32, denominator: u32) -> Option<f32> {
    (numerator > 0 && denominator > 0).then(|| denominator as f32 / numerator as f32)
}

// Linux, all architectures.
const PERM: i32 = 1;
const NOENT: i32 = 2;
const NXIO: i32 = 6;
const ACCES: i32 = 13;
const BUSY: i32 = 16;
const NODEV: i32 = 19;
const INVAL: i32 = 22;
const NOTTY: i32 = 25;

/// Says in plain words what the kernel answered.
fn explain(path: &Path, doing: &str, error: io::Error) -> Error {
    let at = path.display();
    let (message, help) = match error.raw_os_error() {
        _ if error.kind() == io::ErrorKind::TimedOut => {
            (format!("{at} gave no frame in time"), "check the cable and the power of the USB port".to_owned())
        }
        Some(NOENT | NXIO) => (format!("no such device: {at}"), there_are(Path::new("/dev/v4l/by-path"))),
        Some(NODEV) => (format!("{at} is gone: unplugged?"), there_are(Path::new("/dev/v4l/by-path"))),
        Some(ACCES | PERM) => (
            format!("permission denied for {at}"),
            "add the daemon's user to the group video: usermod -a -G video USER, then start it anew".to_owned(),
        ),
        Some(BUSY) => {
            (format!("{at} is in use by another program"), format!("end that program; `fuser -v {at}` names it"))
        }
        _ => (format!("cannot {doing} {at}"), "see what `dmesg` says of the camera".to_owned()),
    };
    Error::new(Kind::Camera, message).help(help).source(error)
}

fn not_a_camera(path: &Path) -> Error {
    let message = format!("{} is not a capture device that streams frames in one plane", path.display());
    Error::new(Kind::Camera, message).help(there_are(Path::new("/dev/v4l/by-path")))
}

/// Drivers whose nodes work on pictures that they are given, and look like cameras all the same: the image processor of a
/// Raspberry Pi up to the 4.
const NO_CAMERAS: &[&str] = &["bcm2835-isp"];

/// The devices that may be cameras: by the socket that each is plugged into, which survives a restart, and those without such a
/// name by number. `dev` is `/dev`.
pub fn devices(dev: &Path) -> Vec<PathBuf> {
    devices_that(dev, may_be_camera)
}

/// Whether it gives pictures that can be read here. Codecs, the second nodes of USB cameras, and sensors that only libcamera
/// makes pictures of, have nodes too.
fn may_be_camera(path: &Path) -> bool {
    let gives_pictures = |device: &Device| {
        let about = device.query_caps()?;
        let formats = device.enum_formats()?;
        Ok::<_, io::Error>(
            about.capabilities.contains(Capability::VIDEO_CAPTURE | Capability::STREAMING)
                && !NO_CAMERAS.contains(&about.driver.as_str())
                && formats.iter().any(|format| Pixels::from_fourcc(format.fourcc.repr).is_some()),
        )
    };
    match Device::with_path(path) {
        Ok(device) => gives_pictures(&device).unwrap_or(false),
        // Whoever may not look, or cannot now, is told so, and not that there is no camera.
        Err(error) => matches!(error.raw_os_error(), Some(ACCES | PERM | BUSY)),
    }
}

fn devices_that(dev: &Path, may_be_camera: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.path()).collect();
        names.sort();
        names
    };
    // A camera has several nodes; the first gives its pictures, the others tell about them.
    let first = |path: &PathBuf| path.to_string_lossy().ends_with("-video-index0");
    let named: Vec<_> = names(&dev.join("v4l/by-path")).into_iter().filter(first).collect();
    let nodes: Vec<_> = named.iter().filter_map(|link| link.canonicalize().ok()).collect();
    let is_node = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("video"));
    let bare = names(dev).into_iter().filter(is_node).filter(|node| !nodes.contains(node));
    named.iter().cloned().chain(bare).filter(|device| may_be_camera(device)).collect()
}

/// The cameras of this machine, for an error about one that is not there.
fn there_are(folder: &Path) -> String {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    names.sort();
    if names.is_empty() {
        return "plug a camera in: this machine has none".to_owned();
    }
    let names: Vec<String> = names.iter().map(|name| name.display().to_string()).collect();
    format!("set camera.device to one of: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn open(path: &Path) -> Error {
        let settings = Settings { device: path.to_owned(), ..Settings::default() };
        V4l::open(&settings, Arc::new(SystemClock::new())).map(|_| ()).expect_err("not a camera")
    }

    #[test]
    fn a_missing_device_is_said_to_be_missing() {
        let error = open(Path::new("/dev/v4l/by-path/there-is-none"));
        assert_eq!(error.kind(), Kind::Camera);
        assert!(error.message().starts_with("no such device"), "{error}");
        assert!(error.advice().is_some());
    }

    #[test]
    fn other_files_are_no_cameras() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for path in [file.path(), Path::new("/dev/null")] {
            let error = open(path);
            assert!(error.message().contains("not a capture device"), "{error}");
        }
    }

    #[test]
    fn the_kernels_answers_in_plain_words() {
        let path = Path::new("/dev/video0");
        for (code, words, help) in [
            (ACCES, "permission denied", "group video"),
            (BUSY, "in use", "fuser"),
            (NODEV, "unplugged", "camera"),
            (NOENT, "no such device", "camera"),
            (5, "cannot read", "dmesg"),
        ] {
            let error = explain(path, "read", io::Error::from_raw_os_error(code));
            assert!(error.message().contains(words), "{error}");
            assert!(error.advice().expect("advice").contains(help));
        }
        let late = explain(path, "read", io::Error::new(io::ErrorKind::TimedOut, "VIDIOC_DQBUF"));
        assert!(late.message().contains("no frame in time"));
    }

    #[test]
    fn the_cameras_that_are_there_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(there_are(folder.path()).contains("none"));
        std::fs::write(folder.path().join("usb-video-index0"), "").expect("writes");
        assert!(there_are(folder.path()).ends_with("usb-video-index0"));
    }

    #[test]
    fn cameras_are_found_by_the_socket_that_they_are_plugged_into_and_asked_whether_they_are_some() {
        let dev = tempfile::tempdir().expect("a folder");
        let by_path = dev.path().join("v4l/by-path");
        std::fs::create_dir_all(&by_path).expect("a folder");
        for (node, link) in [
            ("video0", "usb-1-video-index0"),
            ("video1", "usb-1-video-index1"),
            ("video2", ""),
            ("video10", "platform-bcm2835-codec-video-index0"),
            ("video11", ""),
        ] {
            std::fs::write(dev.path().join(node), "").expect("writes");
            if !link.is_empty() {
                std::os::unix::fs::symlink(dev.path().join(node), by_path.join(link)).expect("links");
            }
        }
        // As the kernel of a Raspberry Pi would say it of a USB camera, one without a name by socket, and its codec's nodes.
        let cameras = ["video0", "video2"].map(|node| dev.path().join(node).canonicalize().expect("it is there"));
        let is_camera = |path: &Path| path.canonicalize().is_ok_and(|node| cameras.contains(&node));
        assert_eq!(
            devices_that(dev.path(), is_camera),
            [by_path.join("usb-1-video-index0"), dev.path().join("video2")]
        );
        // Asked themselves, all of them are files, whatever their names say.
        assert_eq!(devices(dev.path()), [] as [PathBuf; 0]);
        assert_eq!(devices(Path::new("/there/is/none")), [] as [PathBuf; 0]);
    }

    #[test]
    fn settings_have_ranges() {
        Settings::default().validate().expect("the defaults are in range");
        for bad in [
            Settings { width: 0, ..Settings::default() },
            Settings { height: 9000, ..Settings::default() },
            Settings { rate_fps: f32::NAN, ..Settings::default() },
            Settings { stall_ms: 10, ..Settings::default() },
        ] {
            let error = bad.validate().expect_err("out of range");
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.message().contains("camera."));
        }
    }
}
