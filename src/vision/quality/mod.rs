//! Whether a face is worth recognising: size, sharpness, pose, noise and exposure, each with a reason where it falls short, and one
//! score for all of them.
//!
//! A poor picture is the commonest cause of a false match: two blurred faces are alike. What is measured ([`measure`](self::measure()))
//! is cheap and plain, the score stands on measured errors ([`score`](self::score()), `docs/quality.md`), and each limit is in the
//! configuration.

mod measure;
mod score;

use image::RgbImage;
use serde::{Deserialize, Serialize};

pub use self::{
    measure::{Measures, measure},
    score::{AT_BEST, TERMS, Term, score},
};
use super::Face;
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
    TooNoisy,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::TooSmall, Self::TooBlurred, Self::TurnedAway, Self::TooDark, Self::TooBright, Self::TooNoisy];

    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooSmall => "too_small",
            Self::TooBlurred => "too_blurred",
            Self::TurnedAway => "turned_away",
            Self::TooDark => "too_dark",
            Self::TooBright => "too_bright",
            Self::TooNoisy => "too_noisy",
        }
    }
}

/// What the person before the camera can do, or whoever keeps the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    ComeCloser,
    HoldStill,
    TurnLeft,
    TurnRight,
    LookUp,
    LookDown,
    LevelHead,
    MoreLight,
    LessLight,
}

impl Advice {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::ComeCloser => "come_closer",
            Self::HoldStill => "hold_still",
            Self::TurnLeft => "turn_left",
            Self::TurnRight => "turn_right",
            Self::LookUp => "look_up",
            Self::LookDown => "look_down",
            Self::LevelHead => "level_head",
            Self::MoreLight => "more_light",
            Self::LessLight => "less_light",
        }
    }

    /// In words. Left and right are those of whoever is to turn.
    pub fn text(self) -> &'static str {
        match self {
            Self::ComeCloser => "come closer to the camera",
            Self::HoldStill => "hold still, or clean and focus the camera",
            Self::TurnLeft => "look straight at the camera: turn a little to your left",
            Self::TurnRight => "look straight at the camera: turn a little to your right",
            Self::LookUp => "look straight at the camera: raise your chin a little",
            Self::LookDown => "look straight at the camera: lower your chin a little",
            Self::LevelHead => "hold your head upright",
            Self::MoreLight => "there is too little light on the face",
            Self::LessLight => "there is too much light on the face",
        }
    }
}

/// What a face must be like. A configuration may name any of them and leave the others at their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Least [score](score()), 0 (takes all) to 0.95 (takes hardly any).
    pub score: f32,
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

/// The scores are read off the curve of error against discard in `docs/quality.md`; the other limits are walls behind it, where
/// one respect alone is so bad that nothing was measured, or that a person should be told. Of LFW's 1,583 photographs all but about
/// one in a hundred pass both.
impl Limits {
    /// For somebody before a door: what a recogniser copes with.
    pub fn door() -> Self {
        Self {
            score: 0.5,
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
            score: 0.85,
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
            ("score", self.score, 0.0, 0.95),
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
    score: f32,
    eye_distance_px: f32,
    sharpness: f32,
    yaw: f32,
    pitch: f32,
    roll_deg: f32,
    darkest: f32,
    brightest: f32,
}

/// A face's quality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// How likely a face in such a picture is to be recognised, 0 to 1: see [`score`](score()).
    pub score: f32,
    /// Why it falls short; empty for a face that is good enough.
    pub reasons: Vec<Reason>,
    pub measures: Measures,
}

impl Quality {
    /// What to do about a reason.
    pub fn advice(&self, reason: Reason) -> Advice {
        let Measures { yaw, pitch, roll_deg, .. } = self.measures;
        match reason {
            Reason::TooSmall => Advice::ComeCloser,
            Reason::TooBlurred => Advice::HoldStill,
            Reason::TooDark | Reason::TooNoisy => Advice::MoreLight,
            Reason::TooBright => Advice::LessLight,
            // By what is furthest from straight, in parts of what is far.
            Reason::TurnedAway if (roll_deg / 40.0).abs() > (yaw / 0.45).abs().max((pitch / 0.3).abs()) => {
                Advice::LevelHead
            }
            Reason::TurnedAway if (pitch / 0.3).abs() > (yaw / 0.45).abs() => {
                if pitch > 0.0 {
                    Advice::LookUp
                } else {
                    Advice::LookDown
                }
            }
            Reason::TurnedAway => {
                if yaw > 0.0 {
                    Advice::TurnRight
                } else {
                    Advice::TurnLeft
                }
            }
        }
    }
}

/// Judges the face by the limits.
pub fn assess(picture: &RgbImage, face: &Face, limits: &Limits) -> Quality {
    let measures = measure(picture, &face.landmarks);
    let m = &measures;
    // Written so that what is no number keeps no limit.
    let walls = [
        (Reason::TooSmall, m.eye_distance_px >= limits.eye_distance_px),
        (Reason::TooBlurred, m.sharpness >= limits.sharpness),
        (Reason::TurnedAway, m.yaw.abs() <= limits.yaw),
        (Reason::TurnedAway, m.pitch.abs() <= limits.pitch),
        (Reason::TurnedAway, m.roll_deg.abs() <= limits.roll_deg),
        (Reason::TooDark, m.brightness >= limits.darkest),
        (Reason::TooBright, m.brightness <= limits.brightest),
    ];
    let mut reasons: Vec<Reason> = walls.iter().filter(|(_, kept)| !kept).map(|(reason, _)| *reason).collect();
    reasons.dedup();
    let (score, worst) = score(&measures);
    if score < limits.score {
        reasons.extend(worst.filter(|worst| !reasons.contains(worst)));
    }
    Quality { score, reasons, measures }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vision::{Point, Rect, align};

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
        const WAVES: [(f32, f32, f32); 5] =
            [(0.8, 0.3, 8.0), (1.3, 1.9, 10.0), (2.2, 2.6, 14.0), (4.0, 1.1, 14.0), (9.0, 0.9, 16.0)];
        RgbImage::from_fn(400, 400, |x, y| {
            let wave = |(size, turn, height): (f32, f32, f32)| {
                height * ((x as f32 * turn.cos() + y as f32 * turn.sin()) / size).sin()
            };
            image::Rgb([(130.0 + WAVES.into_iter().map(wave).sum::<f32>()) as u8; 3])
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
        let noisy = RgbImage::from_fn(400, 400, |x, y| {
            image::Rgb([(90 + (x * 7919 + y * 104_729 + x * y).wrapping_mul(2_654_435_761) % 97) as u8; 3])
        });
        assert_eq!(reasons(&noisy, &face(2.0)), [Reason::TooNoisy]);
        assert!(reasons(&RgbImage::new(400, 400), &face(2.0)).contains(&Reason::TooDark));
        assert!(
            reasons(&RgbImage::from_pixel(400, 400, image::Rgb([255; 3])), &face(2.0)).contains(&Reason::TooBright)
        );
    }

    #[test]
    fn advice_is_for_whoever_is_to_turn() {
        let told = |x: f32, y: f32, roll: f32| {
            let mut face = face(2.0);
            face.landmarks[2].x += x;
            face.landmarks[2].y += y;
            let (sin, cos) = roll.to_radians().sin_cos();
            face.landmarks =
                face.landmarks.map(|p| Point { x: p.x * cos - p.y * sin + 60.0, y: p.x * sin + p.y * cos });
            assess(&detailed(), &face, &Limits::door()).advice(Reason::TurnedAway)
        };
        // A nose at the picture's right is that of a face turned to its own left.
        assert_eq!([told(40.0, 0.0, 0.0), told(-40.0, 0.0, 0.0)], [Advice::TurnRight, Advice::TurnLeft]);
        assert_eq!([told(0.0, 40.0, 0.0), told(0.0, -40.0, 0.0)], [Advice::LookUp, Advice::LookDown]);
        assert_eq!(told(0.0, 0.0, 50.0), Advice::LevelHead);
    }

    proptest! {
        #[test]
        fn any_landmarks_are_judged_and_a_face_without_reasons_has_the_score_that_is_asked_for(
            points in prop::array::uniform5((-1e5f32..1e5, -1e5f32..1e5)), width in 1u32..40, height in 1u32..40,
        ) {
            let odd = Face { landmarks: points.map(|(x, y)| Point { x, y }), ..face(1.0) };
            let quality = assess(&RgbImage::new(width, height), &odd, &Limits::door());
            prop_assert!((0.0..=1.0).contains(&quality.score));
            prop_assert!(!quality.reasons.is_empty() || quality.score >= Limits::door().score);
        }
    }

    #[test]
    fn landmarks_in_one_place_are_refused() {
        let odd = Face { landmarks: [Point { x: 9.0, y: 9.0 }; 5], ..face(1.0) };
        let quality = assess(&detailed(), &odd, &Limits::door());
        assert!(quality.reasons.contains(&Reason::TooBlurred) && quality.score < 0.01);
    }

    #[test]
    fn limits_out_of_range_are_refused_by_name() {
        let wrong = Limits { yaw: f32::NAN, ..Limits::door() };
        assert!(wrong.validate().unwrap_err().to_string().contains("quality.yaw"));
        Limits::enrolment().validate().unwrap();
    }
}
