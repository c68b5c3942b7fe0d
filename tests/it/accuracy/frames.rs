//! Photographs as a door's camera sees them: the replay that the program has draws the frames, and a blur is laid over them, which
//! a replay has not.

use std::{path::Path, sync::Arc};

use facegate::{
    camera::{self, replay},
    clock::SystemClock,
    vision::{
        Embedding,
        engine::Session,
        evaluate::taking::main_face,
        quality::{self, Limits},
        template::Purpose,
    },
};
use image::{RgbImage, imageops::blur};

/// How well a camera sees.
#[derive(Clone, Copy)]
pub struct Light {
    pub name: &'static str,
    /// The frame's width and height in pixels. A photograph is shown whole, so this is also how large a face is.
    side: u32,
    /// Of the blur in pixels, of the sensor's noise in grey levels: deviations.
    blur: f32,
    noise: f32,
    /// How much brighter and darker it gets, as a fraction.
    brightness: f32,
}

/// Somebody who walks up to a door by day.
pub const FAIR: Light = Light { name: "fair", side: 240, blur: 0.7, noise: 4.0, brightness: 0.25 };

/// In the evening, from farther away, with a lens that nobody cleans.
pub const POOR: Light = Light { name: "poor", side: 130, blur: 1.2, noise: 12.0, brightness: 0.5 };

/// What the door makes of one frame.
#[derive(Clone)]
pub struct Seen {
    pub embedding: Embedding,
    /// The quality score, 0 to 1, and whether a door's gate would have let it pass.
    pub score: f32,
    pub passes: bool,
}

/// The person of that photograph in `count` frames, each turned, moved, nearer or farther, darker or brighter than the others on its
/// own: nothing but the person ties them.
pub fn apart(session: &mut Session, photograph: &Path, light: Light, seed: u64, count: u64) -> Vec<Option<Seen>> {
    let each = (0..count).map(|number| drawn(photograph, light, seed * count + number, 1).remove(0));
    each.collect::<Vec<_>>().iter().map(|frame| seen(session, frame)).collect()
}

/// The same in frames that follow on each other as a camera's do, ten a second: little changes from one to the next but the noise.
pub fn in_a_row(session: &mut Session, photograph: &Path, light: Light, seed: u64, count: usize) -> Vec<Option<Seen>> {
    drawn(photograph, light, seed, count).iter().map(|frame| seen(session, frame)).collect()
}

fn drawn(photograph: &Path, light: Light, seed: u64, count: usize) -> Vec<RgbImage> {
    let settings = replay::Settings {
        stills: vec![photograph.to_owned()],
        hold_frames: 1_000_000,
        width: light.side,
        height: light.side,
        pan: 0.06,
        zoom: 0.12,
        rotation_degrees: 8.0,
        noise: light.noise,
        brightness: light.brightness,
        seed,
        ..replay::Settings::default()
    };
    let clock = Arc::new(SystemClock::new());
    let mut camera = camera::open(&camera::Settings::Replay(settings), clock).expect("a photograph");
    (0..count).map(|_| blur(&camera.next_frame().expect("a frame").image, light.blur)).collect()
}

/// None where no face is found.
fn seen(session: &mut Session, frame: &RgbImage) -> Option<Seen> {
    let faces = session.detect(frame).expect("the detector runs");
    let face = main_face(frame, &faces)?;
    let quality = quality::assess(frame, face, &Limits::door());
    let embedding = session.embed(frame, &face.landmarks, Purpose::Frame).expect("the recogniser runs");
    Some(Seen { embedding, score: quality.score, passes: quality.reasons.is_empty() })
}
