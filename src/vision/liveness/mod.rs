//! Whether a living person's face was seen or a picture of one: presentation attack detection (PAD), over a track of frames.
//!
//! Several [`LivenessCheck`]s look at the same frames: the pack's networks, and cues that need none. Each says how much what it
//! saw looks alive, or that it cannot tell. The lowest counts: who wants to pass must pass each. `docs/liveness.md` says what
//! was measured of them, and what they do not stop.

mod board;
mod flicker;
mod frozen;
mod network;
mod pattern;
#[cfg(test)]
mod testing;

use std::collections::VecDeque;

use image::RgbImage;
use serde::Serialize;

pub use self::network::LivenessState;
use self::{board::Board, flicker::Flicker, frozen::Frozen, network::Networks, pattern::Pattern};
use super::{Face, Rect, picture::luma};
use crate::access::{Flaw, Living};

/// A face in one frame of its track.
#[derive(Clone, Copy)]
pub struct Glimpse<'a> {
    pub picture: &'a RgbImage,
    pub face: &'a Face,
    /// How good a picture of a face it is, 0 to 1: what the frame counts.
    pub quality: f32,
    /// What the pack's networks say of this frame, 0 (a picture) to 1 (alive); none where they were not asked.
    pub network: Option<f32>,
}

/// One way to tell a living face from a picture of one. Each holds what it needs of its track's newest frames, and no more.
pub trait LivenessCheck: Send {
    /// What it looks at.
    fn cue(&self) -> Cue;

    /// Takes in the track's next frame.
    fn see(&mut self, glimpse: &Glimpse<'_>);

    /// How much the track looks alive by it, 0 to 1; none where it cannot tell, or not yet.
    fn live(&self) -> Option<f32>;
}

/// What gives a picture away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cue {
    /// The pack's networks.
    Network,
    /// Frames come again that no camera gives twice.
    FrozenPicture,
    /// The regular pattern of a screen or a print.
    ScreenPattern,
    /// The face's light changes from frame to frame and its surroundings' does not.
    ScreenFlicker,
    /// All of the face moves as one plane does.
    FlatBoard,
}

impl Cue {
    /// The stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::FrozenPicture => "frozen_picture",
            Self::ScreenPattern => "screen_pattern",
            Self::ScreenFlicker => "screen_flicker",
            Self::FlatBoard => "flat_board",
        }
    }

    /// What was seen, and what a person can do who is no picture.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Network => {
                "the face looks like a picture of one; come closer, with more light and nothing before the face"
            }
            Self::FrozenPicture => "the picture stands still as no camera's does; is the camera's own?",
            Self::ScreenPattern => "the face has the pattern of a screen or a print; come closer",
            Self::ScreenFlicker => "the face flickers as a screen does; step out of changing light",
            Self::FlatBoard => "the face moves as a flat board does; turn the head a little",
        }
    }
}

/// What was found of a track so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Liveness {
    /// The lowest of the checks', 0 (surely a picture) to 1.
    pub score: f32,
    /// Frames that it stands on.
    pub frames: u32,
    /// What each check says that could tell, the lowest first.
    pub findings: Vec<Finding>,
}

/// What one check says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub cue: Cue,
    /// 0 to 1.
    pub live: f32,
}

impl Liveness {
    /// The codes of what speaks against a living person, the worst first.
    pub fn reasons(&self, threshold: f32) -> Vec<&'static str> {
        let against = self.findings.iter().filter(|finding| finding.live < threshold);
        against.map(|finding| finding.cue.code()).collect()
    }

    /// In words, for whoever has to do something about it.
    pub fn describe(&self) -> String {
        let worst = self.worst();
        format!("the face does not look like a living person's ({}): {}", worst.code(), worst.sentence())
    }

    /// For the decision.
    pub fn living(&self) -> Living {
        let worst = self.worst();
        Living { score: self.score, frames: self.frames, flaw: Flaw { code: worst.code(), advice: worst.sentence() } }
    }

    fn worst(&self) -> Cue {
        self.findings.first().map_or(Cue::Network, |finding| finding.cue)
    }
}

/// A track, with everything that looks at it.
pub struct TrackLiveness {
    checks: [Box<dyn LivenessCheck>; 5],
    frames: u32,
}

impl Default for TrackLiveness {
    /// A track of which nothing was seen.
    fn default() -> Self {
        Self {
            checks: [
                Box::<Networks>::default(),
                Box::<Frozen>::default(),
                Box::<Pattern>::default(),
                Box::<Flicker>::default(),
                Box::<Board>::default(),
            ],
            frames: 0,
        }
    }
}

impl TrackLiveness {
    /// Takes in the track's next frame.
    pub fn see(&mut self, glimpse: &Glimpse<'_>) {
        self.frames = self.frames.saturating_add(1);
        self.checks.iter_mut().for_each(|check| check.see(glimpse));
    }

    /// What was found; none where no check can tell.
    pub fn verdict(&self) -> Option<Liveness> {
        let told = self.checks.iter().filter_map(|check| Some(Finding { cue: check.cue(), live: check.live()? }));
        let mut findings: Vec<_> = told.collect();
        findings.sort_by(|a, b| a.live.total_cmp(&b.live).then(a.cue.cmp(&b.cue)));
        let score = findings.first()?.live;
        Some(Liveness { score, frames: self.frames, findings })
    }
}

/// How many of a track's newest frames are remembered, by whoever remembers any.
const MEMORY: usize = 32;

/// The newest of something, at most [`MEMORY`].
struct Recent<T>(VecDeque<T>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Recent<T> {
    fn push(&mut self, item: T) {
        if self.0.len() == MEMORY {
            self.0.pop_front();
        }
        self.0.push_back(item);
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// 0 at `from` and before, 1 at `to` and beyond, in a straight line between them; either may be the greater.
fn ramp(value: f32, from: f32, to: f32) -> f32 {
    ((value - from) / (to - from)).clamp(0.0, 1.0)
}

/// The middle one; of two, the lower. None where there is none.
fn median(values: impl IntoIterator<Item = f32>) -> Option<f32> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f32::total_cmp);
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}

/// Brightness at `across` × `across` places spread evenly over what of the area lies within the picture; empty where nothing
/// does.
fn samples(picture: &RgbImage, area: Rect, across: u32) -> Vec<f32> {
    let (width, height) = picture.dimensions();
    let area = area.within(width as f32, height as f32);
    if area.size() < 1.0 {
        return Vec::new();
    }
    let pixels = picture.as_raw().as_chunks::<3>().0;
    let place = |from: f32, length: f32, step: u32, limit: u32| {
        ((from + length * (step as f32 + 0.5) / across as f32) as u32).min(limit - 1)
    };
    let rows = (0..across).map(|row| place(area.top, area.height, row, height));
    rows.flat_map(|y| (0..across).map(move |column| (place(area.left, area.width, column, width), y)))
        .filter_map(|(x, y)| pixels.get((y * width + x) as usize))
        .map(|pixel| luma(*pixel))
        .collect()
}

/// The area scaled about its centre.
fn scaled(area: &Rect, by: f32) -> Rect {
    let (width, height) = (area.width * by, area.height * by);
    Rect { left: area.left + (area.width - width) / 2.0, top: area.top + (area.height - height) / 2.0, width, height }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{testing::glimpses, *};

    #[test]
    fn the_lowest_check_counts_and_is_the_reason() {
        let mut track = TrackLiveness::default();
        assert_eq!(track.verdict(), None, "of nothing nothing can be told");
        // The same frame again and again, which the networks take for alive.
        glimpses(5, |_, glimpse| track.see(&Glimpse { network: Some(0.97), ..*glimpse }));
        let verdict = track.verdict().expect("there are frames");
        assert_eq!((verdict.score, verdict.frames), (0.0, 5));
        assert_eq!(verdict.reasons(0.5), ["frozen_picture"]);
        assert!(verdict.findings.iter().any(|finding| (finding.cue, finding.live) == (Cue::Network, 0.97)));
        assert_eq!(verdict.living().flaw.code, "frozen_picture");
    }

    proptest! {
        /// Whatever is shown, wherever the detector says a face is.
        #[test]
        fn any_picture_is_judged_within_bounds(
            (left, top, size) in (-1e4f32..1e4, -1e4f32..1e4, 0f32..1e4), seed in any::<u32>(), frames in 1usize..12,
        ) {
            let mut track = TrackLiveness::default();
            for at in 0..frames as u32 {
                let picture = RgbImage::from_fn(40, 30, |x, y| image::Rgb([(seed ^ at).wrapping_mul(x * 31 + y * 17 + 1) as u8; 3]));
                let area = Rect { left, top, width: size, height: size };
                let landmarks = [crate::vision::Point { x: left, y: top }; 5];
                let face = Face { area, confidence: 0.9, landmarks };
                track.see(&Glimpse { picture: &picture, face: &face, quality: 0.5, network: None });
            }
            if let Some(verdict) = track.verdict() {
                prop_assert!((0.0..=1.0).contains(&verdict.score));
                prop_assert!(verdict.findings.iter().all(|finding| finding.live >= verdict.score && finding.live <= 1.0));
            }
        }
    }
}
