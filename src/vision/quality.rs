//! Whether a face is worth recognising: size, sharpness, pose and exposure, each with a reason where it falls short.
//!
//! A poor picture is the commonest cause of a false match: two blurred faces are alike. What is measured here is cheap and
//! plain, and each limit is in the configuration.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::{Face, Landmarks, Point, align, picture::luma};
use crate::error::{Error, Kind, Result};

/// Why a face is not good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    TooSmall,
    TooBlurred,
    TurnedAway,
    TooDark,
    TooBright,
}

impl Reason {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooSmall => "too_small",
            Self::TooBlurred => "too_blurred",
            Self::TurnedAway => "turned_away",
            Self::TooDark => "too_dark",
            Self::TooBright => "too_bright",
        }
    }

    /// What the person can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::TooSmall => "come closer to the camera",
            Self::TooBlurred => "hold still, or clean and focus the camera",
            Self::TurnedAway => "look straight at the camera",
            Self::TooDark => "there is too little light on the face",
            Self::TooBright => "there is too much light on the face",
        }
    }
}

/// What a face must be like. A configuration may name any of them and leave the others at their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Least distance between the eyes, in pixels: 4 to 500.
    pub eye_distance_px: f32,
    /// Least sharpness, 0 (takes all) to 1; see [`Measures::sharpness`].
    pub sharpness: f32,
    /// Most turn to the side, 0 (straight) to 1; see [`Measures::yaw`].
    pub yaw: f32,
    /// Most turn up or down, 0 (straight) to 0.5; see [`Measures::pitch`].
    pub pitch: f32,
    /// Most tilt of the head, 0 to 90 degrees.
    pub roll_deg: f32,
    /// Least mean brightness of the face, 0 to 255.
    pub darkest: f32,
    /// Most mean brightness of the face, 0 to 255.
    pub brightest: f32,
}

/// The defaults were read off LFW (500 photographs of 250×250 pixels): at the door all but about one in a hundred pass, and of
/// the same photographs blurred (Gaussian, σ = 3 pixels) all but about one in twenty are refused.
impl Limits {
    /// For somebody before a door: what a recogniser copes with.
    pub fn door() -> Self {
        Self {
            eye_distance_px: 20.0,
            sharpness: 0.3,
            yaw: 0.45,
            pitch: 0.3,
            roll_deg: 40.0,
            darkest: 30.0,
            brightest: 235.0,
        }
    }

    /// For an enrolment, with which every later picture is compared: stricter.
    pub fn enrolment() -> Self {
        Self {
            eye_distance_px: 28.0,
            sharpness: 0.34,
            yaw: 0.35,
            pitch: 0.25,
            roll_deg: 30.0,
            darkest: 40.0,
            brightest: 225.0,
        }
    }

    /// Refuses values out of their range.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the key, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("eye_distance_px", self.eye_distance_px, 4.0, 500.0),
            ("sharpness", self.sharpness, 0.0, 1.0),
            ("yaw", self.yaw, 0.0, 1.0),
            ("pitch", self.pitch, 0.0, 0.5),
            ("roll_deg", self.roll_deg, 0.0, 90.0),
            ("darkest", self.darkest, 0.0, 255.0),
            ("brightest", self.brightest, 0.0, 255.0),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(Error::new(Kind::Config, format!("quality.{key} is {value}; it takes {least} to {most}")));
            }
        }
        if self.darkest >= self.brightest {
            return Err(Error::new(Kind::Config, "quality.darkest must be below quality.brightest"));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::door()
    }
}

/// Reads [`Limits`] of which those that are not named are as for an enrolment, not as at the door.
#[derive(Deserialize)]
#[serde(remote = "Limits", deny_unknown_fields, default = "Limits::enrolment")]
pub struct EnrolmentLimits {
    eye_distance_px: f32,
    sharpness: f32,
    yaw: f32,
    pitch: f32,
    roll_deg: f32,
    darkest: f32,
    brightest: f32,
}

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
    /// is straight, a profile is over 0.6.
    pub yaw: f32,
    /// How far the nose is from its usual height, in distances from eyes to mouth; 0 is straight.
    pub pitch: f32,
    /// The tilt of the line between the eyes, in degrees, −180 to 180.
    pub roll_deg: f32,
    /// Mean brightness of the face, 0 to 255.
    pub brightness: f32,
}

/// A face's quality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// 0 (at or beyond a limit) to 1 (good in every respect).
    pub score: f32,
    /// Why it falls short; empty for a face that is good enough.
    pub reasons: Vec<Reason>,
    pub measures: Measures,
}

/// The nose's usual height between eyes (0) and mouth (1): that of the ArcFace template.
const NOSE_HEIGHT: f32 = 0.495;

/// Judges the face by the limits.
pub fn assess(picture: &RgbImage, face: &Face, limits: &Limits) -> Quality {
    let measures = measure(picture, &face.landmarks);
    let m = &measures;
    // For each reason: how far from the limit, 0 at it, 1 where better does not matter.
    let margins = [
        (Reason::TooSmall, ramp(m.eye_distance_px, limits.eye_distance_px, limits.eye_distance_px * 3.0)),
        (Reason::TooBlurred, ramp(m.sharpness, limits.sharpness, limits.sharpness + 0.25)),
        (Reason::TurnedAway, ramp(-m.yaw, -limits.yaw, 0.0)),
        (Reason::TurnedAway, ramp(-m.pitch, -limits.pitch, 0.0)),
        (Reason::TurnedAway, ramp(-m.roll_deg.abs(), -limits.roll_deg, 0.0)),
        (Reason::TooDark, ramp(m.brightness, limits.darkest, limits.darkest + 40.0)),
        (Reason::TooBright, ramp(-m.brightness, -limits.brightest, 30.0 - limits.brightest)),
    ];
    let mut reasons: Vec<Reason> =
        margins.iter().filter(|(_, margin)| margin.is_none()).map(|(reason, _)| *reason).collect();
    reasons.dedup();
    // The geometric mean keeps one weak respect from hiding among good ones.
    let product: f32 = margins.iter().map(|(_, margin)| margin.unwrap_or(0.0)).product();
    Quality { score: product.powf(1.0 / margins.len() as f32), reasons, measures }
}

/// 0 to 1 from `limit` to `good`; none on the wrong side of the limit or where there is no number.
fn ramp(value: f32, limit: f32, good: f32) -> Option<f32> {
    (value >= limit).then(|| if good > limit { ((value - limit) / (good - limit)).min(1.0) } else { 1.0 })
}

fn measure(picture: &RgbImage, landmarks: &Landmarks) -> Measures {
    let [left, right, nose, mouth_left, mouth_right] = *landmarks;
    let middle = |a: Point, b: Point| Point { x: (a.x + b.x) / 2.0, y: (a.y + b.y) / 2.0 };
    let (across_x, across_y) = (right.x - left.x, right.y - left.y);
    let eye_distance_px = across_x.hypot(across_y);
    let (eyes, mouth) = (middle(left, right), middle(mouth_left, mouth_right));
    let (ux, uy) = (across_x / eye_distance_px, across_y / eye_distance_px);
    let along = |p: Point| (p.x - eyes.x) * ux + (p.y - eyes.y) * uy;
    let down = |p: Point| (p.y - eyes.y) * ux - (p.x - eyes.x) * uy;
    let (brightness, sharpness) = align::to_template(landmarks).map_or((f32::NAN, f32::NAN), |aligned| {
        let face = grey_face(picture, &aligned.inverse());
        (face.iter().sum::<f32>() / face.len() as f32, sharpness(&face))
    });
    Measures {
        eye_distance_px,
        sharpness,
        yaw: (along(nose) / eye_distance_px).abs(),
        pitch: (down(nose) / down(mouth) - NOSE_HEIGHT).abs(),
        roll_deg: across_y.atan2(across_x).to_degrees(),
        brightness,
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vision::Rect;

    /// A face whose landmarks lie as in the template, `scale` times as large, at (40, 40).
    fn face(scale: f32) -> Face {
        let back = align::Similarity { a: scale, b: 0.0, dx: 40.0, dy: 40.0 };
        let points = [(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)];
        Face {
            area: Rect { left: 40.0, top: 40.0, width: 112.0 * scale, height: 112.0 * scale },
            confidence: 1.0,
            landmarks: points.map(|(x, y)| back.apply(Point { x, y })),
        }
    }

    /// A picture with detail at every scale.
    fn detailed() -> RgbImage {
        RgbImage::from_fn(400, 400, |x, y| {
            let hash = (x / 3).wrapping_mul(2_654_435_761) ^ (y / 3).wrapping_mul(2_246_822_519);
            image::Rgb([(90 + hash.wrapping_mul(2_654_435_761) % 97) as u8; 3])
        })
    }

    fn reasons(picture: &RgbImage, face: &Face) -> Vec<Reason> {
        assess(picture, face, &Limits::door()).reasons
    }

    #[test]
    fn a_good_face_passes_and_each_fault_has_its_reason() {
        let picture = detailed();
        assert_eq!(reasons(&picture, &face(2.0)), []);
        assert_eq!(reasons(&picture, &face(0.4)), [Reason::TooSmall]);
        assert_eq!(reasons(&image::imageops::fast_blur(&picture, 12.0), &face(2.0)), [Reason::TooBlurred]);
        let mut turned = face(2.0);
        turned.landmarks[2].x += 40.0;
        assert_eq!(reasons(&picture, &turned), [Reason::TurnedAway]);
        assert!(reasons(&RgbImage::new(400, 400), &face(2.0)).contains(&Reason::TooDark));
        assert!(
            reasons(&RgbImage::from_pixel(400, 400, image::Rgb([255; 3])), &face(2.0)).contains(&Reason::TooBright)
        );
    }

    proptest! {
        #[test]
        fn any_landmarks_are_judged_and_only_a_face_without_reasons_scores(
            points in prop::array::uniform5((-1e5f32..1e5, -1e5f32..1e5)), width in 1u32..40, height in 1u32..40,
        ) {
            let odd = Face { landmarks: points.map(|(x, y)| Point { x, y }), ..face(1.0) };
            let quality = assess(&RgbImage::new(width, height), &odd, &Limits::door());
            prop_assert!((0.0..=1.0).contains(&quality.score));
            prop_assert!(quality.reasons.is_empty() || quality.score == 0.0);
        }
    }

    #[test]
    fn landmarks_in_one_place_are_refused() {
        let odd = Face { landmarks: [Point { x: 9.0, y: 9.0 }; 5], ..face(1.0) };
        let quality = assess(&detailed(), &odd, &Limits::door());
        assert!(quality.reasons.contains(&Reason::TooBlurred) && quality.score == 0.0);
    }

    #[test]
    fn limits_out_of_range_are_refused_by_name() {
        let wrong = Limits { yaw: f32::NAN, ..Limits::door() };
        assert!(wrong.validate().unwrap_err().to_string().contains("quality.yaw"));
        Limits::enrolment().validate().unwrap();
    }
}
