//! What of a face's picture can be measured cheaply.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::vision::{Landmarks, Point, align, picture::luma};

/// What was measured of a face.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Distance between the eyes in pixels of the picture.
    pub eye_distance_px: f32,
    /// How much of the face's contrast is in fine detail, 0 to 1: on the aligned 112×112 face, the share of the energy of
    /// differences between neighbouring pixels in that of differences over eight pixels. Blur lowers it, size and contrast
    /// do not change it.
    pub sharpness: f32,
    /// The nose's distance from the middle between the eyes, along the line of the eyes, in distances between the eyes; 0
    /// is straight, a profile is over 0.6. Positive towards the picture's right: the face is turned to its own left.
    pub yaw: f32,
    /// How far the nose is from its usual height, in distances from eyes to mouth; 0 is straight. Positive downwards: the face is
    /// lowered.
    pub pitch: f32,
    /// The tilt of the line between the eyes, in degrees, −180 to 180.
    pub roll_deg: f32,
    /// Mean brightness of the face, 0 to 255.
    pub brightness: f32,
    /// How much of the face's contrast is noise, 0 to 1 and above: the standard deviation of the noise, as Immerkær (1996) estimates
    /// it, in standard deviations of the brightness.
    pub grain: f32,
    /// The share of the face that is as bright as can be, 0 to 1.
    pub glare: f32,
}

/// The nose's usual height between eyes (0) and mouth (1): that of the ArcFace template.
const NOSE_HEIGHT: f32 = 0.495;

/// Measures the face with these landmarks.
pub fn measure(picture: &RgbImage, landmarks: &Landmarks) -> Measures {
    let [left, right, nose, mouth_left, mouth_right] = *landmarks;
    let middle = |a: Point, b: Point| Point { x: (a.x + b.x) / 2.0, y: (a.y + b.y) / 2.0 };
    let (across_x, across_y) = (right.x - left.x, right.y - left.y);
    let eye_distance_px = across_x.hypot(across_y);
    let (eyes, mouth) = (middle(left, right), middle(mouth_left, mouth_right));
    let (ux, uy) = (across_x / eye_distance_px, across_y / eye_distance_px);
    let along = |p: Point| (p.x - eyes.x) * ux + (p.y - eyes.y) * uy;
    let down = |p: Point| (p.y - eyes.y) * ux - (p.x - eyes.x) * uy;
    let face = align::to_template(landmarks).map(|aligned| grey_face(picture, &aligned.inverse()));
    let of = |measure: fn(&[f32]) -> f32| face.as_deref().map_or(f32::NAN, measure);
    Measures {
        eye_distance_px,
        sharpness: of(sharpness),
        yaw: along(nose) / eye_distance_px,
        pitch: down(nose) / down(mouth) - NOSE_HEIGHT,
        roll_deg: across_y.atan2(across_x).to_degrees(),
        brightness: of(mean),
        grain: of(grain),
        glare: of(glare),
    }
}

fn mean(face: &[f32]) -> f32 {
    face.iter().sum::<f32>() / face.len() as f32
}

fn grain(face: &[f32]) -> f32 {
    let mean = mean(face);
    let contrast = (face.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / face.len() as f32).sqrt();
    // The second difference across of that down: nought over whatever is straight.
    let row = |y: usize| &face[y * INNER_SIZE..(y + 1) * INNER_SIZE];
    let across = |row: &[f32], x: usize| row[x - 1] - 2.0 * row[x] + row[x + 1];
    let mut sum = 0.0;
    for y in 1..INNER_SIZE - 1 {
        let (above, here, below) = (row(y - 1), row(y), row(y + 1));
        for x in 1..INNER_SIZE - 1 {
            sum += (across(above, x) - 2.0 * across(here, x) + across(below, x)).abs();
        }
    }
    let noise = (std::f32::consts::PI / 2.0).sqrt() * sum / (6 * (INNER_SIZE - 2) * (INNER_SIZE - 2)) as f32;
    noise / (contrast + 1.0)
}

/// From which grey level on a pixel is as bright as can be.
const BRIGHTEST: f32 = 250.0;

fn glare(face: &[f32]) -> f32 {
    face.iter().filter(|value| **value > BRIGHTEST).count() as f32 / face.len() as f32
}

/// Where the inner face, without hair and background, begins in the template, and how many pixels it is wide and high.
const INNER: (f32, f32) = (24.0, 32.0);
const INNER_SIZE: usize = 64;

/// The inner face's brightness, pixel by pixel as in the aligned face, by nearest neighbour.
fn grey_face(picture: &RgbImage, back: &align::Similarity) -> Vec<f32> {
    let (width, height) = (picture.width() as i32, picture.height() as i32);
    let pixels = picture.as_raw().as_chunks::<3>().0;
    let mut face = Vec::with_capacity(INNER_SIZE * INNER_SIZE);
    for y in 0..INNER_SIZE {
        for x in 0..INNER_SIZE {
            let from = back.apply(Point { x: INNER.0 + x as f32, y: INNER.1 + y as f32 });
            // A face that hangs over the picture's edge goes on as it is there.
            let (column, row) =
                ((from.x.round() as i32).clamp(0, width - 1), (from.y.round() as i32).clamp(0, height - 1));
            face.push(pixels.get((row * width + column) as usize).map_or(0.0, |pixel| luma(*pixel)));
        }
    }
    face
}

fn sharpness(face: &[f32]) -> f32 {
    let energy = |step: usize| {
        let mut sum = 0.0;
        for y in 0..INNER_SIZE - step {
            for x in 0..INNER_SIZE - step {
                let here = face[y * INNER_SIZE + x];
                let across = face[y * INNER_SIZE + x + step] - here;
                let down = face[(y + step) * INNER_SIZE + x] - here;
                sum += across * across + down * down;
            }
        }
        sum / ((INNER_SIZE - step) * (INNER_SIZE - step)) as f32
    };
    // One grey level of noise is no detail.
    (energy(2).sqrt() / (energy(8).sqrt() + 1.0)).clamp(0.0, 1.0)
}
