//! Faces of many more pixels than the recogniser takes: photographs by phones, and people close to a camera.

use facegate::vision::{
    Embedding,
    engine::Session,
    evaluate::{people, taking::main_face},
    template::Purpose,
};
use image::{
    RgbImage,
    imageops::{FilterType, resize},
};

use super::{faces_and_engine, photo, worse::Way};

/// One in so many photographs is looked at.
const ONE_IN: usize = 40;

/// So many times as wide and as high, half of the faces have more than 180 pixels from eye to eye.
const LARGER: u32 = 4;

/// A sensor's noise in each pixel, in grey levels.
const NOISE: f32 = 20.0;

/// A photograph of more pixels, each with its noise, gives the template of the small one: the noise is averaged out. Where a few pixels in
/// many are read, their noise is the template's: that gave a mean cosine of 0.863 instead of 0.968.
#[test]
fn a_large_noisy_photograph_gives_the_template_of_the_small_one() {
    let Some((frames, engine)) = faces_and_engine("door") else { return };
    let people = people::list(&frames, None).expect("the folder can be read");
    let mut session = engine.session().expect("a session");
    let mut alike = Vec::new();
    for (number, picture) in people.pictures.iter().step_by(ONE_IN).enumerate() {
        let small = photo(picture);
        let large = resize(&small, small.width() * LARGER, small.height() * LARGER, FilterType::CatmullRom);
        let large = Way::Noisy(NOISE).of(&large, number as u64);
        alike.push(template(&mut session, &small).cosine(&template(&mut session, &large)));
    }
    let mean = alike.iter().sum::<f32>() / alike.len() as f32;
    assert!(mean > 0.94, "a mean cosine of {mean:.4} over {} photographs", alike.len());
}

fn template(session: &mut Session, picture: &RgbImage) -> Embedding {
    let faces = session.detect(picture).expect("the detector runs");
    let face = main_face(picture, &faces).expect("a face");
    session.embed(picture, &face.landmarks, Purpose::Probe).expect("the recogniser runs")
}
