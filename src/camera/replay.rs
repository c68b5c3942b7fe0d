//! Stills, played as if a camera saw them: each stands before the camera for some frames, sways, comes nearer, flickers.
//!
//! Deterministic: the same files and settings give the same frames, bit for bit.

use std::{
    f32::consts::TAU,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};
use image::RgbImage;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{
    After, Camera, Frame, check_range,
    scene::{Pose, Random, Scene, Still},
};
use crate::{
    clock::Clock,
    error::{Context, Error, Kind, Result},
    intake,
};

/// Names under which images are taken from a folder. What a file really is, its content says.
const EXTENSIONS: &[&str] = &["jpg", "jpeg", "png", "webp", "bmp"];
/// Decoded stills are kept up to that many bytes; what is beyond is decoded each time its turn comes.
const KEPT_BYTES: usize = 48 << 20;
const LIMITS: intake::Limits = intake::Limits { max_bytes: 64 << 20, max_pixels: 100_000_000 };

/// `[camera]` with `source = "replay"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A file, a folder (its images, sorted by name) or a list of files and folders. No default.
    #[serde(deserialize_with = "one_or_many")]
    pub stills: Vec<PathBuf>,
    /// Whether to begin again after the last still. Default true.
    pub repeat: bool,
    /// Frames a second, 0.1 to 120. Default 10.
    pub rate_fps: f32,
    /// Width of the frames, in pixels, 64 to 4096. A still is shown whole, as large as it fits. Default 640.
    pub width: u32,
    /// Height of the frames, in pixels, 64 to 4096. Default 480.
    pub height: u32,
    /// For how many frames a still is shown, 1 to 1000000. Default 30.
    pub hold_frames: u32,
    /// How many frames of an empty scene follow each still, 0 to 1000000. Default 0.
    pub gap_frames: u32,
    /// How far a still sways from the centre, as a fraction of the frame, 0 to 0.5. Default 0.
    pub pan: f32,
    /// How much nearer and further it comes, as a fraction of its size, 0 to 0.5. Default 0.
    pub zoom: f32,
    /// How far it turns to either side, in degrees, 0 to 45. Default 0.
    pub rotation_degrees: f32,
    /// Sensor noise, standard deviation in grey levels of 256, 0 to 30. Default 0.
    pub noise: f32,
    /// How much brighter and darker it gets, as a fraction, 0 to 0.9. Default 0.
    pub brightness: f32,
    /// Chooses the movements and the noise. Default 1.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stills: Vec::new(),
            repeat: true,
            rate_fps: 10.0,
            width: 640,
            height: 480,
            hold_frames: 30,
            gap_frames: 0,
            pan: 0.0,
            zoom: 0.0,
            rotation_degrees: 0.0,
            noise: 0.0,
            brightness: 0.0,
            seed: 1,
        }
    }
}

impl Settings {
    /// # Errors
    /// [`Kind::Config`] for the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        if self.stills.is_empty() {
            return Err(Error::new(Kind::Config, "camera.stills is not set")
                .help("set it to an image file, a folder of images, or a list of them"));
        }
        check_range("camera.rate_fps", self.rate_fps, 0.1..=120.0, "frames a second")?;
        check_range("camera.width", self.width, 64..=4096, "pixels")?;
        check_range("camera.height", self.height, 64..=4096, "pixels")?;
        check_range("camera.hold_frames", self.hold_frames, 1..=1_000_000, "frames")?;
        check_range("camera.gap_frames", self.gap_frames, 0..=1_000_000, "frames")?;
        check_range("camera.pan", self.pan, 0.0..=0.5, "")?;
        check_range("camera.zoom", self.zoom, 0.0..=0.5, "")?;
        check_range("camera.rotation_degrees", self.rotation_degrees, 0.0..=45.0, "degrees")?;
        check_range("camera.noise", self.noise, 0.0..=30.0, "grey levels")?;
        check_range("camera.brightness", self.brightness, 0.0..=0.9, "")
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Paths {
        One(PathBuf),
        Many(Vec<PathBuf>),
    }
    match Paths::deserialize(deserializer) {
        Ok(Paths::One(path)) => Ok(vec![path]),
        Ok(Paths::Many(paths)) => Ok(paths),
        Err(_) => Err(D::Error::custom("stills is a path or a list of paths")),
    }
}

/// One still of the list.
struct Listed {
    path: PathBuf,
    /// Decoded and brought down to about the frame's size, where there was room to keep it.
    kept: Option<Arc<Still>>,
    broken: bool,
}

/// An open replay.
pub struct Replay {
    settings: Settings,
    clock: Arc<dyn Clock>,
    stills: Vec<Listed>,
    kept_bytes: usize,
    resizer: Resizer,
    scene: Scene,
    random: Random,
    phases: [f32; 5],
    /// The still that comes next.
    next: usize,
    /// What is being shown, and for how many frames yet; then the empty scene.
    showing: Option<Arc<Still>>,
    hold: u32,
    gap: u32,
    given: u64,
    after: After,
}

impl Replay {
    /// Lists the stills and decodes the first one.
    ///
    /// # Errors
    /// [`Kind::Camera`] where a path is missing, no image is there, or none of them can be decoded.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut stills = Vec::new();
        for path in &settings.stills {
            stills.extend(list(path)?.into_iter().map(|path| Listed { path, kept: None, broken: false }));
        }
        if stills.is_empty() {
            let message = format!("no image in {}", join(&settings.stills));
            return Err(Error::new(Kind::Camera, message).help("put JPEG, PNG, WebP or BMP files there"));
        }
        let mut random = Random::new(settings.seed);
        let phases = std::array::from_fn(|_| random.unit() * TAU);
        let scene = Scene::new(settings.width, settings.height, settings.noise, random.next());
        let mut replay = Self {
            settings: settings.clone(),
            clock,
            stills,
            kept_bytes: 0,
            resizer: Resizer::new(),
            scene,
            random,
            phases,
            next: 0,
            showing: None,
            hold: 0,
            gap: 0,
            given: 0,
            after: After::Reopen,
        };
        replay.advance()?;
        Ok(replay)
    }

    /// Brings up the next still that can be shown.
    fn advance(&mut self) -> Result<()> {
        loop {
            if self.next == self.stills.len() {
                if self.stills.iter().all(|still| still.broken) {
                    let message = format!("none of the {} stills can be shown", self.stills.len());
                    return Err(Error::new(Kind::Camera, message).help(format!("look at {}", self.first_path())));
                }
                if !self.settings.repeat {
                    self.after = After::End;
                    return Err(Error::new(Kind::Camera, "the replay has come to its end"));
                }
                self.next = 0;
            }
            let at = self.next;
            self.next += 1;
            if self.stills[at].broken {
                continue;
            }
            match self.load(at) {
                Ok(image) => {
                    self.showing = Some(image);
                    self.hold = self.settings.hold_frames;
                    self.gap = self.settings.gap_frames;
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!("{}: {error}; skipped", self.stills[at].path.display());
                    self.stills[at].broken = true;
                }
            }
        }
    }

    fn first_path(&self) -> String {
        self.stills.first().map(|still| still.path.display().to_string()).unwrap_or_default()
    }

    /// The still, decoded and not much larger than it is ever shown.
    fn load(&mut self, at: usize) -> Result<Arc<Still>> {
        let still = &self.stills[at];
        if let Some(image) = &still.kept {
            return Ok(image.clone());
        }
        let size = std::fs::metadata(&still.path).context(Kind::Io, || "cannot be read")?.len();
        if size > LIMITS.max_bytes as u64 {
            return Err(Error::new(Kind::ImageTooLarge, format!("the file has {size} bytes")));
        }
        let bytes = std::fs::read(&still.path).context(Kind::Io, || "cannot be read")?;
        let image = intake::decode(&bytes, &LIMITS)?;
        let shown = self.fit(image.width(), image.height()) * (1.0 + self.settings.zoom);
        let image = Arc::new(Still::new(&if shown < 1.0 { self.shrink(image, shown)? } else { image }));
        let bytes = image.bytes();
        if self.kept_bytes + bytes <= KEPT_BYTES {
            self.kept_bytes += bytes;
            self.stills[at].kept = Some(image.clone());
        }
        Ok(image)
    }

    /// Pixels of the frame a pixel of a still of that size, so that all of it is seen.
    fn fit(&self, width: u32, height: u32) -> f32 {
        (self.settings.width as f32 / width as f32).min(self.settings.height as f32 / height as f32)
    }

    fn shrink(&mut self, image: RgbImage, by: f32) -> Result<RgbImage> {
        let size = |length: u32| ((length as f32 * by).ceil() as u32).max(2);
        let (width, height) = (size(image.width()), size(image.height()));
        let failed = || "cannot be brought to size";
        let mut shrunk = RgbImage::new(width, height);
        let from = TypedImageRef::<U8x3>::from_buffer(image.width(), image.height(), image.as_raw())
            .context(Kind::Camera, failed)?;
        let mut to = TypedImage::<U8x3>::from_buffer(width, height, &mut shrunk).context(Kind::Camera, failed)?;
        let how = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
        self.resizer.resize_typed(&from, &mut to, &how).context(Kind::Camera, failed)?;
        Ok(shrunk)
    }

    /// Where the still stands at the present frame: slow sinusoids whose periods have no common beat.
    fn pose(&self, still: &Still) -> Pose {
        let swing = |at: usize, period: f32| (TAU * self.given as f32 / period + self.phases[at]).sin();
        let settings = &self.settings;
        Pose {
            shift: (
                settings.pan * settings.width as f32 * swing(0, 53.0),
                settings.pan * settings.height as f32 * swing(1, 71.0),
            ),
            scale: self.fit(still.width, still.height) * (1.0 + settings.zoom * swing(2, 89.0)),
            angle: settings.rotation_degrees.to_radians() * swing(3, 61.0),
            gain: 1.0 + settings.brightness * swing(4, 97.0),
        }
    }
}

impl Camera for Replay {
    fn next_frame(&mut self) -> Result<Frame> {
        if self.hold == 0 && self.gap == 0 {
            self.after = After::Reopen;
            self.advance()?;
        }
        let image = match self.showing.as_ref().filter(|_| self.hold > 0) {
            Some(still) => {
                self.hold -= 1;
                let pose = self.pose(still);
                self.scene.draw(still, &pose, &mut self.random)
            }
            None => {
                self.gap -= 1;
                self.scene.empty(1.0, &mut self.random)
            }
        };
        self.given += 1;
        Ok(Frame { image, at: self.clock.now(), sequence: self.given })
    }

    fn describe(&self) -> String {
        let settings = &self.settings;
        format!(
            "replay of {} still{} from {}, {}×{} at {} frames a second{}",
            self.stills.len(),
            if self.stills.len() == 1 { "" } else { "s" },
            join(&settings.stills),
            settings.width,
            settings.height,
            settings.rate_fps,
            if settings.repeat { ", repeated" } else { "" },
        )
    }

    fn after_error(&self) -> After {
        self.after
    }

    fn pace(&self) -> Option<Duration> {
        Some(Duration::from_secs_f32(1.0 / self.settings.rate_fps))
    }
}

/// The images that `path` stands for: itself, or what is in it.
fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot read the stills at {}", path.display());
    let about = std::fs::metadata(path)
        .map_err(|error| Error::new(Kind::Camera, failed()).source(error).help("check camera.stills"))?;
    if !about.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).context(Kind::Camera, failed)? {
        let entry = entry.context(Kind::Camera, failed)?.path();
        let extension = entry.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)) && entry.is_file() {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}

fn join(paths: &[PathBuf]) -> String {
    const SHOWN: usize = 3;
    let mut text = paths.iter().take(SHOWN).map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    if paths.len() > SHOWN {
        text += &format!(" and {} more", paths.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests;
