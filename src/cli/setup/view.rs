//! What the camera sees, in words, in letters and as a picture.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use image::{RgbImage, imageops::FilterType};
use serde::Serialize;

use super::super::output::{DIM, WARN};
use crate::{
    camera::{self, After, Settings, replay, v4l},
    clock::SystemClock,
    error::{Context, Error, Kind, Result},
    vision::{
        engine::Engine,
        models::Pack,
        picture::luma,
        quality::{self, Limits},
    },
};

/// The picture that is looked at: a camera sets its exposure by the first ones.
const FRAME: u32 = 8;

/// Frames that cannot be read are left out for no longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Letters from dark to bright, and how many make up the picture.
const LETTERS: &[u8] = b" .:-=+*#%@";
const COLUMNS: u32 = 64;
const ROWS: u32 = 24;

/// A device as a camera; pictures as a camera that shows them.
pub(super) fn settings_of(path: PathBuf) -> Settings {
    use std::os::unix::fs::FileTypeExt;
    // What is not there may be plugged in later: a device.
    let pictures = path.metadata().is_ok_and(|about| !about.file_type().is_char_device());
    if pictures {
        Settings::Replay(replay::Settings { stills: vec![path], ..Default::default() })
    } else {
        Settings::V4l(v4l::Settings { device: path, ..Default::default() })
    }
}

/// What there was to see.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    camera: String,
    /// In pixels.
    width: u32,
    height: u32,
    /// Mean, 0 to 255.
    brightness: f32,
    /// Largest first.
    faces: Vec<Face>,
}

#[derive(Debug, Serialize)]
struct Face {
    left: f32,
    top: f32,
    width: f32,
    height: f32,
    eye_distance_px: f32,
    /// What should be better before this face is recognised at a door.
    advice: Vec<&'static str>,
}

/// The report, and the picture itself.
pub(super) struct Seen {
    pub report: Report,
    /// The picture in letters: enough to point a camera by, through a terminal far away.
    pub sketch: String,
    picture: RgbImage,
}

/// Opens the camera and looks at one picture of it.
///
/// # Errors
/// [`Kind::Camera`] where it cannot be opened or gives nothing.
pub(super) fn look(settings: &Settings, models: &Path, pack: &str) -> Result<Seen> {
    let (camera, picture) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| take(settings)))
        .unwrap_or_else(|panic| Err(camera::feed::panic_error(&*panic)))?;
    let (width, height) = picture.dimensions();
    let sum: f64 = picture.pixels().map(|pixel| f64::from(luma(pixel.0))).sum();
    let brightness = (sum / f64::from(width * height).max(1.0)) as f32;
    let report = Report { camera, width, height, brightness, faces: faces(&picture, models, pack)? };
    Ok(Seen { report, sketch: sketch(&picture), picture })
}

fn take(settings: &Settings) -> Result<(String, RgbImage)> {
    let mut camera = camera::open(settings, Arc::new(SystemClock::new()))?;
    let begun = Instant::now();
    let mut taken = 0;
    loop {
        match camera.next_frame() {
            Ok(frame) => {
                taken += 1;
                if taken == FRAME {
                    return Ok((camera.describe(), frame.image));
                }
            }
            Err(error) if camera.after_error() != After::Retry || begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
    }
}

fn faces(picture: &RgbImage, models: &Path, pack: &str) -> Result<Vec<Face>> {
    let mut session = Engine::load(&Pack::open(models, pack)?)?.session()?;
    let found = session.detect(picture)?;
    let faces = found.iter().map(|face| {
        let quality = quality::assess(picture, face, &Limits::door());
        Face {
            left: face.area.left,
            top: face.area.top,
            width: face.area.width,
            height: face.area.height,
            eye_distance_px: quality.measures.eye_distance_px,
            advice: quality.reasons.iter().map(|reason| quality.advice(*reason).text()).collect(),
        }
    });
    Ok(faces.collect())
}

fn sketch(picture: &RgbImage) -> String {
    let small = image::imageops::resize(picture, COLUMNS, ROWS, FilterType::Triangle);
    let letter = |pixel: &image::Rgb<u8>| {
        let level = luma(pixel.0) as usize * LETTERS.len() / 256;
        char::from(LETTERS[level.min(LETTERS.len() - 1)])
    };
    small.rows().map(|row| row.map(letter).collect::<String>()).collect::<Vec<_>>().join("\n")
}

impl Report {
    /// In words, under the picture in letters.
    pub fn describe(&self, sketch: &str) -> String {
        let light = match self.brightness {
            ..40.0 => format!(", {WARN}which is dark{WARN:#}"),
            210.0.. => format!(", {WARN}which is bright{WARN:#}"),
            _ => String::new(),
        };
        let mut text = format!(
            "{DIM}{sketch}{DIM:#}\n{}: {}×{}, mean brightness {:.0} of 255{light}",
            self.camera, self.width, self.height, self.brightness
        );
        if self.faces.is_empty() {
            text += "\nno face in view";
        }
        for face in &self.faces {
            let advice = if face.advice.is_empty() { "good enough".into() } else { face.advice.join("; ") };
            let (x, y) = (face.left + face.width / 2.0, face.top + face.height / 2.0);
            text +=
                &format!("\na face at {x:.0}, {y:.0}, {:.0} pixels between the eyes: {advice}", face.eye_distance_px);
        }
        text
    }
}

impl Seen {
    /// Writes the picture, for whoever may look at the person on it: its owner alone.
    pub fn save(&self, path: &Path) -> Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let failed = || format!("the picture cannot be written to {}", path.display());
        let format = image::ImageFormat::from_path(path).map_err(|error| {
            Error::new(Kind::InvalidField, failed()).source(error).help("end its name in .jpg or .png")
        })?;
        let mut bytes = std::io::Cursor::new(Vec::new());
        self.picture.write_to(&mut bytes, format).context(Kind::Io, failed)?;
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, bytes.get_ref())).context(Kind::Io, failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bright_and_dark_halves_are_told_apart_in_letters() {
        let picture = RgbImage::from_fn(320, 240, |x, _| image::Rgb(if x < 160 { [0; 3] } else { [255; 3] }));
        let sketch = sketch(&picture);
        assert_eq!(sketch.lines().count(), ROWS as usize);
        assert!(
            sketch.lines().all(|line| line.len() == COLUMNS as usize && line.starts_with(' ') && line.ends_with('@'))
        );
    }
}
