//! What a template is made of: one look at a face, or the mean of several.
//!
//! A recogniser is not indifferent to where exactly a face was cut out, nor to which way it is turned; the mean over looks
//! that differ in nothing but that lies nearer to the person. An enrolment is made once and compared for years, so it takes
//! the most looks; a door's frame must be answered at once, and the next one follows, so it takes one.

use serde::{Deserialize, Serialize};

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// One frame of a door's camera.
    Frame,
    /// A photograph that is searched for, verified or compared.
    Probe,
    /// What others are compared with.
    Enrolment,
}

/// Which points a look at a face is aligned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Points {
    /// The detector's in the picture.
    AsFound,
    /// Those found again in a small crop.
    Small,
    /// Those found again in a large crop.
    Large,
}

/// One run of the recogniser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub points: Points,
    /// As in a mirror.
    pub mirrored: bool,
}

const fn look(points: Points, mirrored: bool) -> Look {
    Look { points, mirrored }
}

const PLAIN: &[Look] = &[look(Points::AsFound, false)];
/// Which of the two is mirrored was picked on the first fold of LFW alone, as were the four (`docs/accuracy.md`).
const REFINED_CROSSWISE: &[Look] = &[look(Points::Large, false), look(Points::Small, true)];
const REFINED_ALL: &[Look] =
    &[look(Points::Large, false), look(Points::Small, true), look(Points::Small, false), look(Points::Large, true)];

impl Purpose {
    /// The looks whose mean the template is, for a pack that can find points again (`refines`) or cannot: such a pack gains
    /// nothing by looking twice, which was measured (`docs/accuracy.md`). A probe's looks are among an enrolment's.
    pub fn looks(self, refines: bool) -> &'static [Look] {
        match (self, refines) {
            (Self::Frame, _) | (_, false) => PLAIN,
            (Self::Probe, true) => REFINED_CROSSWISE,
            (Self::Enrolment, true) => REFINED_ALL,
        }
    }
}
