//! The part of the picture in which people stand who want to pass this door: nobody beside it is taken, such as whoever
//! walks through the neighbouring lane.

use serde::{Deserialize, Serialize};

use super::Rect;
use crate::error::{Error, Kind, Result};

/// A rectangle, in parts of the picture's width and height: 0 is left and top, 1 is right and bottom. Default: all of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Region {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

impl Default for Region {
    fn default() -> Self {
        Self { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 }
    }
}

impl Region {
    /// Refuses one that is empty or beyond the picture. `key` is its place: `region`.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the key and the range.
    pub fn validate(&self, key: &str) -> Result<()> {
        let within = |low: f32, high: f32| (0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high) && low < high;
        if within(self.left, self.right) && within(self.top, self.bottom) {
            return Ok(());
        }
        let Self { left, top, right, bottom } = self;
        let message =
            format!("door.{key} is left {left}, top {top}, right {right}, bottom {bottom}: no part of the picture");
        Err(Error::new(Kind::Config, message).help(format!(
            "set [door.{key}] to parts of the picture, 0 to 1, with left before right and top above bottom"
        )))
    }

    /// Whether the middle of a face is in it; the picture is `width` × `height` pixels.
    pub fn takes(&self, face: &Rect, width: u32, height: u32) -> bool {
        let x = (face.left + face.width / 2.0) / width.max(1) as f32;
        let y = (face.top + face.height / 2.0) / height.max(1) as f32;
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn face(left: f32, top: f32) -> Rect {
        Rect { left, top, width: 100.0, height: 120.0 }
    }

    #[test]
    fn the_middle_of_a_face_decides() {
        let lane = Region { left: 0.25, right: 0.75, ..Region::default() };
        for (left, taken) in
            [(100.0, false), (109.0, false), (111.0, true), (400.0, true), (429.0, true), (431.0, false)]
        {
            assert_eq!(lane.takes(&face(left, 50.0), 640, 480), taken, "{left}");
        }
        let low = Region { top: 0.5, ..Region::default() };
        assert!(!low.takes(&face(300.0, 100.0), 640, 480) && low.takes(&face(300.0, 200.0), 640, 480));
    }

    #[test]
    fn what_is_empty_or_beyond_the_picture_is_refused() {
        let parse = |text: &str| toml::from_str::<Region>(text).expect(text);
        parse("left = 0.3\nright = 0.31").validate("region").expect("narrow, but there");
        for text in [
            "left = 0.5\nright = 0.5",
            "left = 0.6\nright = 0.4",
            "right = 1.1",
            "top = -0.1",
            "bottom = 0.0",
            "top = nan",
        ] {
            let error = parse(text).validate("region").expect_err(text);
            assert!(
                error.message().contains("door.region") && error.advice().is_some_and(|help| help.contains("0 to 1"))
            );
        }
        assert!(toml::from_str::<Region>("width = 0.5").is_err());
    }

    proptest! {
        #[test]
        fn the_whole_picture_takes_every_face_whose_middle_it_shows(x in 0f32..=1.0, y in 0f32..=1.0) {
            let (left, top) = (x * 640.0 - 50.0, y * 480.0 - 60.0);
            // A hair of rounding at the very edge.
            let inside = Rect { left: left.clamp(-49.9, 589.9), top: top.clamp(-59.9, 419.9), width: 100.0, height: 120.0 };
            prop_assert!(Region::default().takes(&inside, 640, 480));
        }
    }
}
