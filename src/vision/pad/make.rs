//! Attacks, made by us from photographs: what a door must stand, and nothing that proves it stands a good one.
//!
//! Beside them `live/` holds the photographs over the relief of a head, turned and with a sensor's noise. That is no living person
//! either: it shows that a check lets something pass.

use std::{f32::consts::TAU, path::Path, sync::Arc};

use image::RgbImage;

use super::{
    entries, is_picture,
    render::{Held, Material, Place, draw},
};
use crate::{
    error::{Context, Error, Kind, Result},
    intake,
    vision::{
        Rect,
        engine::{Engine, Session},
        picture::Scaler,
    },
};

/// Frames of a track.
const FRAMES: u32 = 12;

/// After so many frames a video begins again.
const LOOP: u32 = 4;

/// How many face widths of a photograph are shown, and how large it becomes.
const AROUND: f32 = 4.0;
const SIDE: usize = 480;

/// Of JPEG, as cameras send it.
const QUALITY: u8 = 92;

/// Each folder, and what is in it.
const KINDS: [(&str, Material); 9] = [
    ("live", Material::Relief),
    ("still", Material::Relief),
    ("loop", Material::Relief),
    ("moved_photograph", Material::Plain),
    ("print", Material::Print),
    ("halftone", Material::Halftone),
    ("screen", Material::Screen),
    ("phone", Material::Phone),
    ("cutout", Material::Cutout),
];

/// What was made.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Made {
    /// Photographs that were used.
    pub photographs: usize,
    /// Photographs that cannot be read or show no face.
    pub left_out: usize,
    pub tracks: usize,
}

/// Makes a track of each kind from each JPEG and PNG file of `photographs`, below `folder`. The same photographs give the same
/// files. `progress` is told of each photograph.
///
/// # Errors
/// [`Kind::NotFound`] where there is no photograph with a face, [`Kind::InvalidField`] where `folder` is not empty, [`Kind::Io`]
/// where it cannot be written, [`Kind::Model`] where a network fails.
pub fn make(engine: &Arc<Engine>, photographs: &Path, folder: &Path, progress: impl Fn()) -> Result<Made> {
    if folder.is_dir() && !entries(folder)?.is_empty() {
        return Err(Error::new(Kind::InvalidField, format!("{} is not empty", folder.display()))
            .help("name a folder that is not there yet"));
    }
    let mut session = engine.session()?;
    let mut made = Made { photographs: 0, left_out: 0, tracks: 0 };
    for path in entries(photographs)?.into_iter().filter(|path| is_picture(path)) {
        match portrait(&mut session, &path)? {
            None => made.left_out += 1,
            Some((portrait, face)) => {
                made.photographs += 1;
                for (number, (kind, material)) in (0..).zip(KINDS) {
                    let name = path.file_stem().unwrap_or_default();
                    write(&portrait, face, material, kind, number, &folder.join(kind).join(name))?;
                    made.tracks += 1;
                }
            }
        }
        progress();
    }
    if made.photographs == 0 {
        return Err(Error::new(Kind::NotFound, format!("{} has no photograph with a face", photographs.display())));
    }
    Ok(made)
}

/// The photograph's largest face with what is around it, and where on that its middle is.
fn portrait(session: &mut Session, path: &Path) -> Result<Option<(RgbImage, Place)>> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let Ok(picture) = intake::decode(&bytes, &intake::Limits::default()) else { return Ok(None) };
    let Some(face) = session.detect(&picture)?.first().copied() else { return Ok(None) };
    let middle = (face.area.left + face.area.width / 2.0, face.area.top + face.area.height / 2.0);
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let side = (AROUND * face.area.width.max(face.area.height)).min(width).min(height);
    let left = (middle.0 - side / 2.0).clamp(0.0, width - side);
    let top = (middle.1 - side / 2.0).clamp(0.0, height - side);
    let mut scaler = Scaler::default();
    let pixels = scaler.scale(&picture, Rect { left, top, width: side, height: side }, SIDE, SIDE)?.to_vec();
    let portrait = RgbImage::from_raw(SIDE as u32, SIDE as u32, pixels)
        .ok_or_else(|| Error::new(Kind::Internal, "a portrait has too few pixels"))?;
    let radius = face.area.width / 2.0 / side;
    Ok(Some((portrait, Place { middle: ((middle.0 - left) / side, (middle.1 - top) / side), radius })))
}

fn write(portrait: &RgbImage, face: Place, material: Material, kind: &str, number: u32, folder: &Path) -> Result<()> {
    let failed = || format!("cannot write {}", folder.display());
    std::fs::create_dir_all(folder).context(Kind::Io, failed)?;
    for frame in 0..FRAMES {
        let shown = match kind {
            "still" => 0,
            "loop" => frame % LOOP,
            _ => frame,
        };
        let drawn = draw(portrait, face, material, &held(shown, kind), number << 16 | shown);
        let mut jpeg = Vec::new();
        jpeg_encoder::Encoder::new(&mut jpeg, QUALITY)
            .encode(drawn.as_raw(), drawn.width() as u16, drawn.height() as u16, jpeg_encoder::ColorType::Rgb)
            .context(Kind::Internal, || "a frame cannot be written as JPEG")?;
        std::fs::write(folder.join(format!("{frame:03}.jpg")), jpeg).context(Kind::Io, failed)?;
    }
    Ok(())
}

/// How it is held at a frame: swayed from side to side, nearer and further, turned and tilted; a screen flickers.
fn held(frame: u32, kind: &str) -> Held {
    let time = frame as f32 / FRAMES as f32;
    let wave = |times: f32, ahead: f32| (TAU * (times * time + ahead)).sin();
    let sway = if kind == "moved_photograph" { 90.0 * (2.0 * time - 1.0) } else { 80.0 * wave(1.0, 0.0) };
    Held {
        shift: (sway, 8.0 * wave(2.0, 0.1)),
        scale: 1.0 + 0.04 * wave(1.0, 0.3),
        turn: 0.05 * wave(1.0, 0.6),
        tilt: (0.12 * wave(1.0, 0.15), 0.06 * wave(1.0, 0.4)),
        yaw: 0.16 * wave(1.0, 0.05),
        gain: 1.0 + 0.08 * (frame as f32 * 2.1).sin(),
    }
}
