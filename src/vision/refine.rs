//! A face's five points found again, more exactly: the detector looks once more, at an upright, enlarged crop of the face.
//!
//! A detector's points err by some pixels of its input, in which a face is small; the recogniser's answer depends on them more
//! than on much else. What it buys is told in `docs/accuracy.md`.

use std::time::Instant;

use image::RgbImage;

use super::{
    Landmarks, Point, align,
    detect::{Candidate, Detector, vote, yunet},
    engine::Timings,
    models::{DetectorKind, Input, Manifest, Network, NetworkState, Pack},
    picture::{Scaler, Square},
    template::Points,
};
use crate::error::{Error, Result};

/// A crop at which the detector looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Its width and height in pixels, a multiple of 32.
    pub side: usize,
    /// How much larger the face is in it than in the recogniser's 112 pixels.
    pub enlargement: f32,
    /// Whether the detector looks at it in a mirror too, and the mean is taken.
    pub mirrored_too: bool,
    /// Which of the detector's finds in it say where the points are.
    pub counting: Counting,
}

/// Which finds of the detector count in a crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counting {
    /// A find under this confidence, 0 to 1, is no face: less than in a whole picture, for a face is known to be there.
    pub face: f32,
    /// A find under this confidence has no part in the mean that a face's points are.
    pub voter: f32,
    /// A find that shares less of the face's area than this, intersection over union, has none either.
    pub overlap: f32,
    /// Points that are, in the mean of their coordinates, farther than this from where they were expected are another face's, or no
    /// face's; in pixels of the recogniser's input, whose eyes are 35 apart.
    pub farthest: f32,
}

impl Crop {
    /// The same part of the picture in a square of other pixels.
    #[must_use]
    pub fn of_side(self, side: usize) -> Self {
        Self { side, enlargement: self.enlargement * side as f32 / self.side as f32, ..self }
    }
}

/// Those that ship. Their sides were picked on the first fold of LFW alone, where nothing else that was tried beside them does better
/// beyond chance: `docs/accuracy.md`.
pub const SMALL: Crop = Crop { side: 160, enlargement: 1.0, mirrored_too: true, counting: COUNTING };
pub const LARGE: Crop = Crop { side: 384, enlargement: 3.36, mirrored_too: false, counting: COUNTING };
const COUNTING: Counting = Counting { face: 0.5, voter: 0.3, overlap: 0.5, farthest: 0.25 * 35.0 };

/// The networks for both crops.
pub struct Refiner {
    input: Input,
    small: (Crop, Network),
    large: (Crop, Network),
}

impl Refiner {
    /// Loads them; none where the pack's detector gives no points.
    ///
    /// # Errors
    /// [`crate::error::Kind::Model`].
    pub fn load(pack: &Pack, manifest: &Manifest, detector: &Detector) -> Result<Option<Self>> {
        Self::load_for(pack, manifest, detector, [SMALL, LARGE])
    }

    /// The same for another small and another large crop, with which those that ship are compared.
    ///
    /// # Errors
    /// [`crate::error::Kind::Model`]; so where the network does not do with such a side.
    pub fn load_for(
        pack: &Pack,
        manifest: &Manifest,
        detector: &Detector,
        [small, large]: [Crop; 2],
    ) -> Result<Option<Self>> {
        if manifest.detector_kind()? != DetectorKind::YuNet {
            return Ok(None);
        }
        let square = |crop: Crop| Ok::<_, Error>((crop, detector.square(pack, manifest, crop.side)?));
        Ok(Some(Self { input: manifest.detector.input, small: square(small)?, large: square(large)? }))
    }

    /// One thread's use of them.
    ///
    /// # Errors
    /// [`crate::error::Kind::Model`].
    pub fn state(&self) -> Result<RefinerState> {
        let state = |(crop, network): &(Crop, Network)| Ok::<_, Error>((*crop, network.state()?));
        Ok(RefinerState { input: self.input, small: state(&self.small)?, large: state(&self.large)? })
    }
}

/// One thread's use of a [`Refiner`].
pub struct RefinerState {
    input: Input,
    small: (Crop, NetworkState),
    large: (Crop, NetworkState),
}

impl RefinerState {
    /// The points as the detector sees them in that crop, in the small one both upright and in a mirror; `landmarks` where it
    /// does not see that face again, or they are to be as they were found.
    ///
    /// # Errors
    /// [`crate::error::Kind::Model`] where the network fails.
    pub fn find(
        &mut self,
        points: Points,
        picture: &RgbImage,
        landmarks: &Landmarks,
        scaler: &mut Scaler,
        timings: &mut Timings,
    ) -> Result<Landmarks> {
        let (crop, network) = match points {
            Points::AsFound => return Ok(*landmarks),
            Points::Small => &mut self.small,
            Points::Large => &mut self.large,
        };
        look(*crop, network, &self.input, (picture, landmarks), scaler, timings)
    }
}

fn look(
    crop: Crop,
    network: &mut NetworkState,
    input: &Input,
    (picture, landmarks): (&RgbImage, &Landmarks),
    scaler: &mut Scaler,
    timings: &mut Timings,
) -> Result<Landmarks> {
    let Crop { side, enlargement, mirrored_too, .. } = crop;
    let begun = Instant::now();
    let Some(placed) = align::to_template(landmarks).map(|placed| placed.enlarged(enlargement, side)) else {
        return Ok(*landmarks);
    };
    // Points outside the picture give no crop; what they are worth, the recogniser's alignment says.
    let Ok(mut square) = align::crop(picture, &placed, side, scaler) else { return Ok(*landmarks) };
    timings.detect_prepare += begun.elapsed();
    let mut seen = Vec::with_capacity(2);
    seen.extend(points_in(&square, crop, network, input, timings)?);
    if mirrored_too {
        square.mirror();
        seen.extend(points_in(&square, crop, network, input, timings)?.map(|points| unmirrored(&points, side)));
    }
    if seen.is_empty() {
        return Ok(*landmarks);
    }
    let share = 1.0 / seen.len() as f32;
    let mean = |at: usize| {
        seen.iter().fold(Point::default(), |sum, points| Point {
            x: sum.x + points[at].x * share,
            y: sum.y + points[at].y * share,
        })
    };
    let back = placed.inverse();
    Ok([0, 1, 2, 3, 4].map(|at| back.apply(mean(at))))
}

/// The points of the face that was expected in the middle, in pixels of the crop.
fn points_in(
    square: &Square,
    Crop { side, enlargement, counting, .. }: Crop,
    network: &mut NetworkState,
    input: &Input,
    timings: &mut Timings,
) -> Result<Option<Landmarks>> {
    let begun = Instant::now();
    let mut network_from = begun;
    let outputs = network.run(|planes| {
        square.write(input, planes);
        network_from = Instant::now();
    })?;
    let network_to = Instant::now();
    let expected = align::enlarged_template(enlargement, side);
    let candidates = yunet::decode(&outputs, side, side, counting.voter)?;
    let faces = vote(candidates, counting.face, counting.overlap);
    let nearest = nearest(&faces, &expected).filter(|(away, _)| *away <= counting.farthest * enlargement);
    timings.detect_prepare += network_from - begun;
    timings.detect_network += network_to - network_from;
    timings.detect_decode += network_to.elapsed();
    Ok(nearest.map(|(_, points)| points))
}

/// The points that are nearest to those that were expected, and how far they are: the mean over the coordinates.
fn nearest(faces: &[Candidate], expected: &Landmarks) -> Option<(f32, Landmarks)> {
    let away = |points: &Landmarks| {
        points.iter().zip(expected).map(|(p, q)| (p.x - q.x).abs() + (p.y - q.y).abs()).sum::<f32>() / 10.0
    };
    let all = faces.iter().filter_map(|face| face.landmarks).map(|points| (away(&points), points));
    all.min_by(|a, b| a.0.total_cmp(&b.0))
}

/// Points of a mirrored square of `side` pixels in the square itself: what is left and right changes places.
fn unmirrored(&[left_eye, right_eye, nose, left_corner, right_corner]: &Landmarks, side: usize) -> Landmarks {
    let last = side as f32 - 1.0;
    [right_eye, left_eye, nose, right_corner, left_corner].map(|point| Point { x: last - point.x, y: point.y })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::Rect;

    #[test]
    fn a_mirrored_face_has_its_eyes_in_order_again() {
        let points = align::enlarged_template(1.0, 160);
        assert!(points[0].x < points[1].x && points[3].x < points[4].x);
        let mirrored = unmirrored(&points, 160);
        assert!(mirrored[0].x < mirrored[1].x && mirrored[3].x < mirrored[4].x);
        assert_eq!(mirrored[2], Point { x: 159.0 - points[2].x, y: points[2].y });
        let twice = unmirrored(&mirrored, 160);
        assert!(twice.iter().zip(&points).all(|(a, b)| (a.x - b.x).abs() < 1e-3 && a.y == b.y));
    }

    #[test]
    fn of_two_faces_the_expected_one_is_taken() {
        let expected = align::enlarged_template(1.0, 160);
        let shifted = |by: f32| Candidate {
            area: Rect::default(),
            confidence: 0.9,
            landmarks: Some(expected.map(|point| Point { x: point.x + by, ..point })),
        };
        let (away, points) = nearest(&[shifted(40.0), shifted(-2.0), shifted(9.0)], &expected).unwrap();
        assert!((away - 1.0).abs() < 1e-3, "{away}");
        assert_eq!(points, shifted(-2.0).landmarks.unwrap());
        assert_eq!(nearest(&[], &expected), None);
    }
}
