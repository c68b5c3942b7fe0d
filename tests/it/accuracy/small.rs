//! Faces that are small in large photographs: somebody some metres from a phone; and what is no face.

use facegate::vision::{
    Rect,
    engine::Session,
    evaluate::{parallel, people},
    template::Purpose,
};
use image::{RgbImage, imageops};

use super::{faces_and_engine, photo};

/// What became of a photograph in a larger one.
struct Seen {
    /// Whether a door's frame like that would show the face.
    at_once: bool,
    /// How alike the template is to the photograph's own; none where the face was not found in its place.
    alike: Option<f32>,
}

/// Of photographs eight times as wide and high a tenth to a half of the faces would be missed without a second look, of those twelve times
/// as wide all.
#[test]
fn faces_that_are_small_in_large_photographs_are_found() {
    assert_found(40, &[8, 12]);
}

/// Prints the table of `docs/accuracy.md`.
#[test]
#[ignore = "takes minutes, and is a measurement: run it before the detector's sizes are changed"]
fn how_small_a_face_may_be() {
    assert_found(10, &[4, 6, 8, 10, 12, 16]);
    assert_seldom_found(100);
}

#[test]
fn what_is_no_face_is_seldom_taken_for_a_small_one() {
    assert_seldom_found(30);
}

/// Every so many-th photograph, put into others that are so many times as wide and high.
fn assert_found(one_in: usize, times: &[u32]) {
    for pack in ["door", "starter"] {
        let Some((frames, engine)) = faces_and_engine(pack) else { return };
        let people = people::list(&frames, None).expect("the folder can be read");
        let pictures: Vec<_> = people.pictures.iter().step_by(one_in).collect();
        for &larger in times {
            let seen = parallel::each(
                2,
                pictures.len(),
                || engine.session(),
                |session, at| Ok(look(session, &photo(pictures[at]), larger, at)),
            );
            let seen = seen.expect("the networks run");
            let missed_at_once = seen.iter().filter(|seen| !seen.at_once).count();
            let alike: Vec<f32> = seen.iter().filter_map(|seen| seen.alike).collect();
            let mean = alike.iter().sum::<f32>() / alike.len() as f32;
            let missed = seen.len() - alike.len();
            eprintln!(
                "{pack}, {larger} times as wide: at once {missed_at_once} of {} are missed, with a second look {missed}; mean cosine {mean:.3}",
                seen.len()
            );
            assert!(missed * 50 <= seen.len(), "{pack}: {missed} of {} are missed at {larger} times", seen.len());
            assert!(mean > 0.95, "{pack}: a mean cosine of {mean:.3} at {larger} times");
        }
    }
}

/// Pictures pieced together from clothes, backgrounds and halves of other people: with faces of all sizes looked for, few have one.
fn assert_seldom_found(number: usize) {
    for pack in ["door", "starter"] {
        let Some((frames, engine)) = faces_and_engine(pack) else { return };
        let people = people::list(&frames, None).expect("the folder can be read");
        let found = parallel::each(
            2,
            number,
            || engine.session(),
            |session, at| {
                let pieces = pieced(&people.pictures, at);
                let at_once = !session.detect(&pieces)?.is_empty();
                Ok((at_once, !session.detect_in_photograph(&pieces)?.is_empty()))
            },
        );
        let found = found.expect("the networks run");
        let at_once = found.iter().filter(|(at_once, _)| *at_once).count();
        let in_all = found.iter().filter(|(_, found)| *found).count();
        eprintln!("{pack}: of {number} pictures of scraps {at_once} have a face at once, with a second look {in_all}");
        assert!(in_all * 10 <= number, "{pack}: {in_all} of {number} pictures without a face have one");
    }
}

/// So many scraps a row and a column, each of so many pixels.
const SCRAPS: u32 = 10;
const SCRAP: u32 = 160;

/// The corners of photographs and what is below the chin, enlarged, side by side.
fn pieced(pictures: &[people::Picture], number: usize) -> RgbImage {
    let mut all = RgbImage::new(SCRAPS * SCRAP, SCRAPS * SCRAP);
    for at in 0..SCRAPS * SCRAPS {
        let which = number * 7919 + at as usize * 104_729;
        let photo = photo(&pictures[which % pictures.len()]);
        let (right, foot) = (photo.width() - 50, photo.height() - 50);
        let (x, y) = [(0, 0), (right, 0), (0, foot), (right / 2, foot)][which / 7 % 4];
        let scrap = imageops::crop_imm(&photo, x, y, 50, 50).to_image();
        let scrap = imageops::resize(&scrap, SCRAP, SCRAP, imageops::FilterType::CatmullRom);
        imageops::replace(&mut all, &scrap, i64::from(at % SCRAPS * SCRAP), i64::from(at / SCRAPS * SCRAP));
    }
    all
}

fn look(session: &mut Session, small: &RgbImage, larger: u32, number: usize) -> Seen {
    let (width, height) = small.dimensions();
    let mut large = RgbImage::from_fn(width * larger, height * larger, |x, y| {
        image::Rgb([(60 + x / 64 % 8 * 12 + (x / 90 + y / 70) % 2 * 40) as u8; 3])
    });
    // Not always at the same place of the parts that the detector looks at.
    let spread = |times: usize, room: u32| (number * times % 101) as u32 * room / 100;
    let (left, top) = (spread(37, width * (larger - 1)), spread(59, height * (larger - 1)));
    imageops::replace(&mut large, small, i64::from(left), i64::from(top));

    let main = session.detect(small).expect("the detector runs")[0];
    let original = session.embed(small, &main.landmarks, Purpose::Enrolment).expect("the recogniser runs");
    let there = Rect { left: main.area.left + left as f32, top: main.area.top + top as f32, ..main.area };
    let at_once = session.detect(&large).expect("the detector runs").iter().any(|face| lies(&face.area, &there));
    let faces = session.detect_in_photograph(&large).expect("the detector runs");
    let found = faces.iter().find(|face| lies(&face.area, &there));
    let alike = found.map(|face| {
        session.embed(&large, &face.landmarks, Purpose::Enrolment).expect("the recogniser runs").cosine(&original)
    });
    Seen { at_once, alike }
}

/// Whether the middle of a face lies in the place.
fn lies(face: &Rect, there: &Rect) -> bool {
    let (x, y) = (face.left + face.width / 2.0, face.top + face.height / 2.0);
    (there.left..there.left + there.width).contains(&x) && (there.top..there.top + there.height).contains(&y)
}
