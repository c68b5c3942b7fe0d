//! A picture cut into overlapping parts, each of which a detector sees larger than it would see the whole.

use crate::vision::Rect;

/// The share of a part, both ways, that its neighbour has too: a face that is no larger is whole in one of them. One that is larger
/// has been seen before, in the whole picture at half the size, where it is an eighth of the input.
const SHARED: f32 = 0.25;

/// The parts of `width` × `height` pixels at most that cover a picture of these sizes, row by row.
pub fn parts(picture_width: f32, picture_height: f32, width: f32, height: f32) -> Vec<Rect> {
    let (width, height) = (width.min(picture_width), height.min(picture_height));
    let lefts = starts(picture_width, width);
    let tops = starts(picture_height, height);
    tops.iter().flat_map(|&top| lefts.iter().map(move |&left| Rect { left, top, width, height })).collect()
}

/// Where stretches of that length begin, which lie evenly upon `whole` and share as much of each other as they must.
fn starts(whole: f32, length: f32) -> Vec<f32> {
    let shared = length * SHARED;
    let count = ((whole - shared) / (length - shared)).ceil().max(1.0);
    let apart = if count > 1.0 { (whole - length) / (count - 1.0) } else { 0.0 };
    (0..count as usize).map(|at| at as f32 * apart).collect()
}

/// Whether a face of a part goes on beyond it in the picture of these sizes: its neighbour has it whole.
pub fn is_cut(face: &Rect, part: &Rect, picture_width: f32, picture_height: f32) -> bool {
    let cut = |from: f32, length: f32, part_from: f32, part_length: f32, whole: f32| {
        let part_to = part_from + part_length;
        // Half a pixel of what was computed with rounding.
        (part_from > 0.5 && from < part_from) || (part_to < whole - 0.5 && from + length > part_to)
    };
    cut(face.left, face.width, part.left, part.width, picture_width)
        || cut(face.top, face.height, part.top, part.height, picture_height)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A face of the picture that is no larger than what neighbours share is whole in a part, which lies in the picture.
        #[test]
        fn whatever_is_small_is_whole_in_a_part(
            (picture_width, picture_height) in (1f32..5000.0, 1f32..5000.0),
            (width, height) in (32f32..900.0, 32f32..900.0),
            (x, y) in (0f32..1.0, 0f32..1.0),
            (wide, high) in (0f32..1.0, 0f32..1.0),
        ) {
            let parts = parts(picture_width, picture_height, width, height);
            for part in &parts {
                prop_assert!(part.left >= 0.0 && part.top >= 0.0 && part.width <= width && part.height <= height);
                prop_assert!(part.left + part.width <= picture_width * 1.0001);
                prop_assert!(part.top + part.height <= picture_height * 1.0001);
            }
            let size = |whole: f32, part: f32, share: f32| (part.min(whole) * SHARED * 0.99 * share).min(whole);
            let (face_width, face_height) = (size(picture_width, width, wide), size(picture_height, height, high));
            let (left, top) = (x * (picture_width - face_width), y * (picture_height - face_height));
            let face = Rect { left, top, width: face_width, height: face_height };
            let holds = |part: &&Rect| {
                left >= part.left - 0.6
                    && top >= part.top - 0.6
                    && left + face_width <= part.left + part.width + 0.6
                    && top + face_height <= part.top + part.height + 0.6
            };
            let whole = parts.iter().filter(holds).filter(|part| !is_cut(&face, part, picture_width, picture_height));
            prop_assert!(whole.count() > 0, "{face:?} in none of {parts:?}");
        }
    }

    #[test]
    fn what_goes_on_beyond_a_part_is_cut_and_what_ends_with_the_picture_is_not() {
        let part = Rect { left: 0.0, top: 100.0, width: 320.0, height: 320.0 };
        let face = |left: f32, top: f32| Rect { left, top, width: 50.0, height: 60.0 };
        assert!(!is_cut(&face(-10.0, 200.0), &part, 1000.0, 420.0), "beyond the picture's left");
        assert!(!is_cut(&face(10.0, 380.0), &part, 1000.0, 420.0), "beyond its foot");
        assert!(is_cut(&face(10.0, 90.0), &part, 1000.0, 420.0));
        assert!(is_cut(&face(290.0, 200.0), &part, 1000.0, 420.0));
        assert!(is_cut(&face(10.0, 380.0), &part, 1000.0, 500.0));
    }

    #[test]
    fn a_picture_that_fits_is_one_part() {
        assert_eq!(parts(200.0, 100.0, 320.0, 320.0), [Rect { left: 0.0, top: 0.0, width: 200.0, height: 100.0 }]);
        assert_eq!(parts(640.0, 480.0, 320.0, 320.0).len(), 3 * 2);
        assert_eq!(parts(1280.0, 1280.0, 320.0, 320.0).len(), 5 * 5);
    }
}
