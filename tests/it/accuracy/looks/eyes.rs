//! The parts of the program that look at faces, put together in more ways than ships.

use std::time::Duration;

use facegate::vision::{
    Embedding, Face, Landmarks, Point, align,
    detect::{Detector, DetectorState},
    engine::{Engine, Session, Timings},
    evaluate::taking::{Time, main_face},
    models::{DetectorKind, Pack},
    picture::Scaler,
    refine::{Crop, Refiner, RefinerState},
    template::{self, Points, Purpose},
};
use image::RgbImage;

use super::Candidate;
use crate::support::models_dir;

/// Where the points come from that a look is aligned by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// From the detector, which looks at the whole picture.
    Whole,
    /// The same in whole pixels, as a detector gives them that decodes no finer.
    WholePixels,
    /// The same, were its pixels' middles and not their corners to lie upon the picture's.
    ByMiddles,
    /// The same, were a whole number to mean a pixel's corner and not its middle.
    ByCorners,
    /// From the detector, which looks at the whole picture at twice the size.
    Larger,
    /// The mean of those from the whole picture at both sizes.
    BothSizes,
    /// From that crop.
    In(Crop),
    /// The mean of those from two crops.
    InBoth(Crop, Crop),
}

impl Found {
    fn crops(self) -> Vec<Crop> {
        match self {
            Self::In(crop) => vec![crop],
            Self::InBoth(one, other) => vec![one, other],
            _ => Vec::new(),
        }
    }
}

/// How far beside its points a face is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nudge {
    /// By so many pixels of the recogniser's input it is higher in it.
    pub higher: f32,
    /// By such a share it is larger in it, about the middle.
    pub larger: f32,
}

pub const NONE: Nudge = Nudge { higher: 0.0, larger: 0.0 };

impl Nudge {
    /// Points that are aligned so.
    fn of(self, points: &Landmarks) -> Landmarks {
        let to_template = align::to_template(points).expect("a face's points are apart");
        let aligned = points.map(|point| to_template.apply(point));
        let middle = |of: fn(&Point) -> f32| aligned.iter().map(of).sum::<f32>() / aligned.len() as f32;
        let middle = Point { x: middle(|point| point.x), y: middle(|point| point.y) };
        let about = |at: f32, middle: f32| (at - middle) / (1.0 + self.larger) + middle;
        aligned.map(|at| {
            to_template.inverse().apply(Point { x: about(at.x, middle.x), y: about(at.y + self.higher, middle.y) })
        })
    }
}

/// One run of the recogniser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    pub found: Found,
    pub nudge: Nudge,
    pub mirrored: bool,
}

/// As the picture is.
pub const fn plain(found: Found) -> Look {
    Look { found, nudge: NONE, mirrored: false }
}

pub const fn mirrored(found: Found) -> Look {
    Look { mirrored: true, ..plain(found) }
}

/// A pack's networks: those of the program, and the parts of it that find points.
pub struct Networks<'a> {
    engine: &'a Engine,
    /// None where the detector gives no points.
    finders: Option<(Vec<(Crop, Refiner)>, Detector)>,
}

impl<'a> Networks<'a> {
    /// With all crops of these candidates.
    pub fn open(pack: &str, engine: &'a Engine, candidates: &[Candidate]) -> Self {
        let pack = Pack::open(&models_dir(), pack).expect("the pack opens");
        let mut manifest = pack.manifest().clone();
        let finders = (manifest.detector_kind().expect("it is known") == DetectorKind::YuNet).then(|| {
            let usual = Detector::load(&pack, &manifest).expect("the detector runs");
            let mut refiners: Vec<(Crop, Refiner)> = Vec::new();
            for crop in candidates.iter().flat_map(|(_, looks)| *looks).flat_map(|look| look.found.crops()) {
                if !refiners.iter().any(|(known, _)| *known == crop) {
                    let refiner = Refiner::load_for(&pack, &manifest, &usual, [crop; 2]).expect("it runs in crops");
                    refiners.push((crop, refiner.expect("such a detector gives points")));
                }
            }
            manifest.detector.input.width *= 2;
            manifest.detector.input.height *= 2;
            let larger = Detector::load(&pack, &manifest).expect("the detector runs at twice the size");
            (refiners, larger)
        });
        Self { engine, finders }
    }

    /// Whether the detector gives points that can be found again.
    pub fn find_points(&self) -> bool {
        self.finders.is_some()
    }

    pub fn eyes(&self) -> Eyes {
        let state = |(crop, refiner): &(Crop, Refiner)| (*crop, refiner.state().expect("it runs in crops"));
        Eyes {
            session: self.engine.session().expect("a session"),
            finders: self.finders.as_ref().map(|(refiners, larger)| {
                (refiners.iter().map(state).collect(), larger.state().expect("it runs at twice the size"))
            }),
            scaler: Scaler::default(),
        }
    }
}

/// One thread's use of them.
pub struct Eyes {
    session: Session,
    finders: Option<(Vec<(Crop, RefinerState)>, DetectorState)>,
    scaler: Scaler,
}

impl Eyes {
    /// What the recogniser says of each look, in their order, and the time that all of it took. The whole picture is looked at once
    /// at its usual size, whatever the looks are.
    pub fn look(&mut self, photo: &RgbImage, looks: &[Look]) -> (Vec<Embedding>, Time) {
        let faces = self.session.detect(photo).expect("the detector runs");
        let face = main_face(photo, &faces).expect("a face");
        let mut known: Vec<(Found, Landmarks)> = vec![(Found::Whole, face.landmarks)];
        let mut finding = Timings::default();
        let mut all = Vec::with_capacity(looks.len());
        for look in looks {
            let mut points = self.points(photo, face, look.found, &mut known, &mut finding);
            if look.nudge != NONE {
                points = look.nudge.of(&points);
            }
            let as_given = template::Look { points: Points::AsFound, mirrored: look.mirrored };
            all.extend(self.session.look(photo, &points, &[as_given]).expect("the recogniser runs"));
        }
        let recognising = self.session.timings();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let time = Time {
            detector: ms(recognising.detect_network + finding.detect_network),
            recogniser: ms(recognising.embed_network),
            around: ms(recognising.around() + finding.around()),
            ..Time::default()
        };
        (all, time)
    }

    /// What the program itself says of the face for that purpose.
    pub fn embed(&mut self, photo: &RgbImage, purpose: Purpose) -> Embedding {
        let faces = self.session.detect(photo).expect("the detector runs");
        let face = main_face(photo, &faces).expect("a face");
        self.session.embed(photo, &face.landmarks, purpose).expect("the recogniser runs")
    }

    /// Points that were found once are not looked for again.
    fn points(
        &mut self,
        photo: &RgbImage,
        face: &Face,
        found: Found,
        known: &mut Vec<(Found, Landmarks)>,
        timings: &mut Timings,
    ) -> Landmarks {
        if let Some((_, points)) = known.iter().find(|(known, _)| *known == found) {
            return *points;
        }
        let moved = |by: f32| face.landmarks.map(|point| Point { x: point.x + by, y: point.y + by });
        let points = match found {
            Found::Whole => face.landmarks,
            Found::WholePixels => face.landmarks.map(|point| Point { x: point.x.round(), y: point.y.round() }),
            // So many pixels of the picture is one of the detector's wide.
            Found::ByMiddles => moved((photo.width().max(photo.height()) as f32 / DETECTOR_SIDE - 1.0) / 2.0),
            Found::ByCorners => moved(-0.5),
            Found::Larger => self.larger(photo, face, timings),
            Found::In(crop) => self.again(crop, photo, face, timings),
            Found::BothSizes => self.mean([Found::Whole, Found::Larger], photo, face, known, timings),
            Found::InBoth(one, other) => self.mean([one, other].map(Found::In), photo, face, known, timings),
        };
        known.push((found, points));
        points
    }

    fn mean(
        &mut self,
        of: [Found; 2],
        photo: &RgbImage,
        face: &Face,
        known: &mut Vec<(Found, Landmarks)>,
        timings: &mut Timings,
    ) -> Landmarks {
        let [a, b] = of.map(|found| self.points(photo, face, found, known, timings));
        std::array::from_fn(|at| Point { x: (a[at].x + b[at].x) / 2.0, y: (a[at].y + b[at].y) / 2.0 })
    }

    fn again(&mut self, crop: Crop, photo: &RgbImage, face: &Face, timings: &mut Timings) -> Landmarks {
        let (refiners, _) = self.finders.as_mut().expect("the pack finds points again");
        let (_, refiner) = refiners.iter_mut().find(|(of, _)| *of == crop).expect("every crop is among them");
        refiner.find(Points::Small, photo, &face.landmarks, &mut self.scaler, timings).expect("the detector runs")
    }

    /// The same face in the whole picture at twice the size; as it was found where it is not seen there, as in a crop.
    fn larger(&mut self, photo: &RgbImage, face: &Face, timings: &mut Timings) -> Landmarks {
        let (_, detector) = self.finders.as_mut().expect("the detector gives points");
        let faces = detector.detect(photo, &mut self.scaler, timings).expect("the detector runs at twice the size");
        let away = |points: &Landmarks| {
            let apart = points.iter().zip(&face.landmarks).map(|(a, b)| (a.x - b.x).abs() + (a.y - b.y).abs());
            apart.sum::<f32>() / 10.0
        };
        let [left, right, ..] = face.landmarks;
        let between_eyes = (right.x - left.x).hypot(right.y - left.y);
        let near = faces.iter().filter_map(|face| face.landmarks).filter(|points| away(points) <= 0.25 * between_eyes);
        near.min_by(|a, b| away(a).total_cmp(&away(b))).unwrap_or(face.landmarks)
    }
}

/// The width and height at which the detector looks at a whole picture.
const DETECTOR_SIDE: f32 = 320.0;
