//! Which looks a template is the mean of, and which points each is aligned by: how they are picked, what each step buys, and what it
//! costs. `docs/accuracy.md` has the outcome.

use std::{collections::HashSet, path::Path};

use facegate::vision::{
    Embedding, Face, Landmarks, Point, align,
    detect::{Detector, DetectorState},
    engine::{Engine, Session, Timings},
    evaluate::{
        bootstrap::interval,
        comparisons::Comparisons,
        parallel, people,
        taking::{Taken, Templates, Time, main_face},
    },
    models::{DetectorKind, Pack},
    picture::Scaler,
    refine::{self, Crop, Refiner, RefinerState},
    template::{self, Points, Purpose},
};
use image::RgbImage;

use super::{faces_and_engine, folds, photo};
use crate::support::models_dir;

/// Where the points come from that a look is aligned by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Found {
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

/// In how many pixels both ways the detector may see the crops.
const SMALL_SIDES: [usize; 3] = [128, 160, 192];
const LARGE_SIDES: [usize; 3] = [256, 320, 384];

/// How far beside its points a face is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Nudge {
    /// By so many pixels of the recogniser's input it is higher in it.
    higher: f32,
    /// By such a share it is larger in it, about the middle.
    larger: f32,
}

const NONE: Nudge = Nudge { higher: 0.0, larger: 0.0 };

/// The farthest that is tried: 4 % of the eyes' distance.
const HIGHER: f32 = 1.4;
const LARGER_BY: f32 = 0.06;

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
struct Look {
    found: Found,
    nudge: Nudge,
    mirrored: bool,
}

/// As the picture is.
const fn plain(found: Found) -> Look {
    Look { found, nudge: NONE, mirrored: false }
}

const fn mirrored(found: Found) -> Look {
    Look { mirrored: true, ..plain(found) }
}

const SMALL: Found = Found::In(refine::SMALL);
const LARGE: Found = Found::In(refine::LARGE);
const CROPS: Found = Found::InBoth(refine::SMALL, refine::LARGE);

/// A template that can be made, by the looks that it is the mean of.
type Candidate = (&'static str, &'static [Look]);

const AS_FOUND: Candidate = ("as found", &[plain(Found::Whole)]);
const AS_FOUND_BOTH_WAYS: Candidate = ("as found, both ways", &[plain(Found::Whole), mirrored(Found::Whole)]);
const LARGER: Candidate = ("whole picture at twice the size", &[plain(Found::Larger)]);
const BOTH_SIZES: Candidate = ("mean of the whole picture at both sizes", &[plain(Found::BothSizes)]);
const SMALL_BOTH_WAYS: Candidate = ("small crop, both ways", &[plain(SMALL), mirrored(SMALL)]);
const LARGE_BOTH_WAYS: Candidate = ("large crop, both ways", &[plain(LARGE), mirrored(LARGE)]);
const CROSSWISE: Candidate = ("the large crop plain, the small one mirrored", &[plain(LARGE), mirrored(SMALL)]);
const BOTH_CROPS_BOTH_WAYS: Candidate =
    ("both crops, both ways", &[plain(LARGE), mirrored(SMALL), plain(SMALL), mirrored(LARGE)]);
const MEAN_OF_CROPS: Candidate = ("mean of both crops' points, both ways", &[plain(CROPS), mirrored(CROPS)]);

/// Other ways to read the detector's points, of which nobody would choose one for a template.
const READINGS: [Candidate; 3] = [
    ("as found, in whole pixels", &[plain(Found::WholePixels)]),
    ("as found, by the middles of the detector's pixels", &[plain(Found::ByMiddles)]),
    ("as found, by the corners of the picture's pixels", &[plain(Found::ByCorners)]),
];

/// The table of the page: from one look as found to the four of an enrolment, and what lies beside that way.
const STEPS: [Candidate; 9] = [
    AS_FOUND,
    AS_FOUND_BOTH_WAYS,
    LARGER,
    BOTH_SIZES,
    SMALL_BOTH_WAYS,
    LARGE_BOTH_WAYS,
    MEAN_OF_CROPS,
    CROSSWISE,
    BOTH_CROPS_BOTH_WAYS,
];

/// What is enrolled, what is looked for.
type Pairing = (Candidate, Candidate);

const SHIPPED: Pairing = (BOTH_CROPS_BOTH_WAYS, CROSSWISE);
const SHIPPED_AT_A_DOOR: Pairing = (BOTH_CROPS_BOTH_WAYS, AS_FOUND);
const PLAIN: Pairing = (AS_FOUND, AS_FOUND);

/// Over so many pictures the times are means.
const TIMED: usize = 100;

/// Looks that were put together in a test: they are few, and tests end.
fn kept(looks: &[Look]) -> &'static [Look] {
    looks.to_vec().leak()
}

/// What is enrolled of two places, plain and mirrored, and what is looked for: the large one's plain and the small one's mirrored.
fn crosswise(large: Look, small: Look) -> Pairing {
    let mirrored = |look| Look { mirrored: true, ..look };
    let enrolled = kept(&[large, mirrored(small), small, mirrored(large)]);
    ((BOTH_CROPS_BOTH_WAYS.0, enrolled), (CROSSWISE.0, &enrolled[..2]))
}

/// What may be enrolled and looked for with no more runs of the recogniser than what ships takes, four and two: points from crops of all
/// sizes, from two of them or one or the mean of two, the two runs of a probe of either kind.
fn pairings() -> Vec<Pairing> {
    let smalls = SMALL_SIDES.map(|side| refine::SMALL.of_side(side));
    let larges = LARGE_SIDES.map(|side| refine::LARGE.of_side(side));
    let twos = || smalls.into_iter().flat_map(|small| larges.map(|large| (small, large)));
    let both = twos().flat_map(|(small, large)| {
        let pairing = crosswise(plain(Found::In(large)), plain(Found::In(small)));
        let (enrolled, _) = pairing;
        let [a, b, c, d] = *enrolled.1 else { unreachable!("four looks are enrolled") };
        let probe = |name, looks: [Look; 2]| (enrolled, (name, kept(&looks)));
        let other = probe("the small crop plain, the large one mirrored", [c, d]);
        [pairing, other, probe(SMALL_BOTH_WAYS.0, [c, b]), probe(LARGE_BOTH_WAYS.0, [a, d])]
    });
    let one = smalls.into_iter().chain(larges).map(Found::In);
    let mean = twos().map(|(small, large)| Found::InBoth(small, large));
    let alike = one.chain(mean).map(|found| ("both ways", kept(&[plain(found), mirrored(found)])));
    both.chain(alike.map(|candidate| (candidate, candidate))).collect()
}

/// How the looks of the templates and the crops' sizes are picked, from the first 600 pairs' pictures alone: the least [`Set::criterion`]
/// of all. Each is then told for the next 600, and for all. `docs/accuracy.md` has the outcome.
#[test]
#[ignore = "takes minutes, and is a procedure: run it before looks or crops are changed"]
fn looks_and_crops_are_picked_on_the_first_fold_alone() {
    let Some((frames, engine)) = faces_and_engine("door") else { return };
    let pairings = pairings();
    let candidates: Vec<Candidate> =
        pairings.iter().flat_map(|(enrolled, probe)| [*enrolled, *probe]).chain([AS_FOUND]).collect();
    let sets = Sets::of("door", &frames, &engine, &candidates);
    let mut scored: Vec<(f64, Pairing)> =
        pairings.into_iter().map(|pairing| (sets.first.criterion(pairing), pairing)).collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (place, (criterion, pairing)) in scored.iter().enumerate() {
        eprintln!("{}. {criterion:.4} {}: {:?}", place + 1, in_words(*pairing), pairing.1.1);
        sets.tell(*pairing);
    }
    let (least, (enrolled, probe)) = scored[0];
    assert_eq!(
        (enrolled.1, probe.1),
        (SHIPPED.0.1, SHIPPED.1.1),
        "fold 1 picks others than those that ship: ship them"
    );
    for (_, other) in &scored[1..4] {
        sets.first.tell_difference("fold 1", *other, SHIPPED);
    }
    sets.first.tell_difference("fold 1", SHIPPED, PLAIN);
    assert!(least < sets.first.criterion(PLAIN), "finding points again and looking twice buys something");
}

/// What lies beside that: crops of more and less of the picture, seen in a mirror too or not, and looks a little beside the points, the
/// face higher or lower and larger or smaller in the recogniser's input, at one of the two places so, at the other one the other way.
#[test]
#[ignore = "takes minutes, and is a procedure: run it before looks or crops are changed"]
fn nothing_beside_what_ships_is_better_on_the_first_fold() {
    let Some((frames, engine)) = faces_and_engine("door") else { return };
    let [small, large] = [refine::SMALL, refine::LARGE];
    let parts = [0.8, 1.25].map(|times| {
        let part = |crop: Crop| Crop { enlargement: crop.enlargement * times, ..crop };
        [(large, part(small)), (part(large), small)]
    });
    let mirrors = [(large, Crop { mirrored_too: false, ..small }), (Crop { mirrored_too: true, ..large }, small)];
    let crops = parts.into_iter().flatten().chain(mirrors);
    let crops = crops.map(|(large, small)| crosswise(plain(Found::In(large)), plain(Found::In(small))));

    let at = |found, nudge| Look { nudge, ..plain(found) };
    let directions = [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, -1.0)];
    let nudges = directions.into_iter().flat_map(|(by, to)| [-1.0, -0.5, 0.5, 1.0].map(|so| (so * by, so * to)));
    let nudges = nudges.map(|(by, to)| {
        let nudge = |so: f32| Nudge { higher: so * by * HIGHER, larger: so * to * LARGER_BY };
        crosswise(at(LARGE, nudge(1.0)), at(SMALL, nudge(-1.0)))
    });

    let pairings: Vec<Pairing> = crops.chain(nudges).collect();
    let candidates: Vec<Candidate> = pairings.iter().map(|pairing| pairing.0).chain([SHIPPED.0, AS_FOUND]).collect();
    let [names, _] = folds(&frames);
    let first = Set::of(&Networks::open("door", &engine, &candidates), &frames, &names, &candidates);
    eprintln!("{:.4}: what ships: {}", first.criterion(SHIPPED), first.words(SHIPPED));
    let mut better = Vec::new();
    for pairing in pairings {
        eprintln!("{:.4}: {:?}: {}", first.criterion(pairing), pairing.1.1, first.words(pairing));
        let [_, high] = first.tell_difference("fold 1", pairing, SHIPPED);
        better.extend((high < 0.0).then_some(pairing.1.1));
    }
    assert!(better.is_empty(), "fold 1 shows that these are better than what ships: {better:?}");
}

/// What each step buys and its time, the table of the page; and what a second look at the whole picture would buy a door's frame, which
/// may take no more than one run of the recogniser.
#[test]
#[ignore = "takes minutes, and is a procedure: run it before looks or crops are changed"]
fn what_each_step_buys() {
    let Some((frames, engine)) = faces_and_engine("door") else { return };
    let sets = Sets::of("door", &frames, &engine, &[&STEPS[..], &READINGS[..]].concat());
    for step in STEPS.into_iter().chain(READINGS) {
        eprintln!("step: {}", step.0);
        sets.tell((step, step));
    }
    Networks::open("door", &engine, &STEPS).time(&frames);
    for pairing in [SHIPPED, SHIPPED_AT_A_DOOR, PLAIN] {
        eprintln!("{}", in_words(pairing));
        sets.tell(pairing);
    }
    for reading in READINGS {
        sets.both.tell_difference("both", (reading, reading), PLAIN);
    }
    for probe in [LARGER, BOTH_SIZES] {
        eprintln!("a door's frame by the points of the {}", probe.0);
        sets.tell((SHIPPED.0, probe));
        sets.first.tell_difference("fold 1", (probe, probe), PLAIN);
        let [_, high] = sets.first.tell_difference("fold 1", (SHIPPED.0, probe), SHIPPED_AT_A_DOOR);
        assert!(high >= 0.0, "fold 1 shows that a door should look at the whole picture at another size: {}", probe.0);
    }
}

/// What a mirror buys the small pack, whose detector gives no points that could be found again.
#[test]
#[ignore = "takes minutes, and is a procedure: run it before the looks of a template are changed"]
fn the_small_pack_s_single_look_is_picked_on_the_first_fold_alone() {
    let Some((frames, engine)) = faces_and_engine("starter") else { return };
    let all = [AS_FOUND, AS_FOUND_BOTH_WAYS];
    let sets = Sets::of("starter", &frames, &engine, &all);
    for candidate in all {
        eprintln!("{}", candidate.0);
        sets.tell((candidate, candidate));
    }
    let [_, high] = sets.first.tell_difference("fold 1", (AS_FOUND_BOTH_WAYS, AS_FOUND_BOTH_WAYS), PLAIN);
    assert!(high >= 0.0, "fold 1 alone shows that a mirror is worth its time with the small networks: use one");
}

fn in_words((enrolled, probe): Pairing) -> String {
    format!("{} looked for among {}", probe.0, enrolled.0)
}

/// A pack's networks: those of the program, and the parts of it that find points.
struct Networks<'a> {
    engine: &'a Engine,
    /// None where the detector gives no points.
    finders: Option<(Vec<(Crop, Refiner)>, Detector)>,
}

impl<'a> Networks<'a> {
    /// With all crops of these candidates.
    fn open(pack: &str, engine: &'a Engine, candidates: &[Candidate]) -> Self {
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

    fn eyes(&self) -> Eyes {
        let state = |(crop, refiner): &(Crop, Refiner)| (*crop, refiner.state().expect("it runs in crops"));
        Eyes {
            session: self.engine.session().expect("a session"),
            finders: self.finders.as_ref().map(|(refiners, larger)| {
                (refiners.iter().map(state).collect(), larger.state().expect("it runs at twice the size"))
            }),
            scaler: Scaler::default(),
        }
    }

    /// Prints what each step takes of one picture on one thread, the steps one after the other with each picture.
    fn time(&self, frames: &Path) {
        let people = people::list(frames, None).expect("the folder can be read");
        let mut eyes = self.eyes();
        let mut times = [const { Vec::new() }; STEPS.len()];
        let apart = people.pictures.len() / TIMED;
        for picture in people.pictures.iter().step_by(apart).take(TIMED) {
            let photo = photo(picture);
            for (times, (_, looks)) in times.iter_mut().zip(STEPS) {
                times.push(eyes.look(&photo, looks).1);
            }
        }
        for (times, (name, _)) in times.iter().zip(STEPS) {
            let Time { detector, recogniser, around, .. } = Time::mean(times);
            eprintln!(
                "time: {name}: detector {detector:.1} ms, recogniser {recogniser:.1} ms, around {around:.1} ms, over {} pictures",
                times.len()
            );
        }
    }
}

/// One thread's use of them.
struct Eyes {
    session: Session,
    finders: Option<(Vec<(Crop, RefinerState)>, DetectorState)>,
    scaler: Scaler,
}

impl Eyes {
    /// What the recogniser says of each look, in their order, and the time that all of it took. The whole picture is looked at once
    /// at its usual size, whatever the looks are.
    fn look(&mut self, photo: &RgbImage, looks: &[Look]) -> (Vec<Embedding>, Time) {
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
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let time = Time {
            detector: ms(recognising.detect_network + finding.detect_network),
            recogniser: ms(recognising.embed_network),
            around: ms(recognising.around() + finding.around()),
            ..Time::default()
        };
        (all, time)
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

/// The pictures of the first 600 pairs, of the next 600, and all of them.
struct Sets {
    first: Set,
    second: Set,
    both: Set,
}

impl Sets {
    /// With every look of these candidates.
    fn of(pack: &str, frames: &Path, engine: &Engine, candidates: &[Candidate]) -> Self {
        let networks = Networks::open(pack, engine, candidates);
        let [first, second] = folds(frames);
        let both = Set::of(&networks, frames, &first.union(&second).cloned().collect(), candidates);
        Self { first: both.among(&first), second: both.among(&second), both }
    }

    /// Prints the error rates in each.
    fn tell(&self, pairing: Pairing) {
        for (name, set) in [("fold 1", &self.first), ("fold 2", &self.second), ("both", &self.both)] {
            eprintln!("  {name}: {}", set.words(pairing));
        }
    }
}

/// Pictures, each with what the recogniser says of all looks.
#[derive(Clone)]
struct Set {
    names: Vec<String>,
    subjects: Vec<usize>,
    people: usize,
    looks: Vec<Vec<(Look, Embedding)>>,
}

impl Set {
    /// With every look of these candidates.
    fn of(networks: &Networks<'_>, frames: &Path, among: &HashSet<String>, candidates: &[Candidate]) -> Self {
        let people = people::list(frames, Some(among)).expect("the folder can be read");
        let mut each: Vec<Look> = Vec::new();
        for look in candidates.iter().flat_map(|(_, looks)| *looks) {
            if !each.contains(look) {
                each.push(*look);
            }
        }
        let looks = parallel::each(
            2,
            people.pictures.len(),
            || Ok(networks.eyes()),
            |eyes, at| {
                let photo = photo(&people.pictures[at]);
                let (found, _) = eyes.look(&photo, &each);
                let seen: Vec<(Look, Embedding)> = each.iter().copied().zip(found).collect();
                if at % 100 == 0 && networks.finders.is_some() {
                    assert_what_ships_is_among_them(eyes, &photo, &seen);
                }
                Ok(seen)
            },
        );
        let subjects = people.pictures.iter().map(|picture| picture.subject).collect();
        let names = people.pictures.iter().map(|picture| picture.name.clone()).collect();
        Self { names, subjects, people: people.names.len(), looks: looks.expect("the networks run") }
    }

    /// Those of the pictures that have one of these names, with the people who are on them.
    fn among(&self, names: &HashSet<String>) -> Self {
        let kept: Vec<usize> = (0..self.names.len()).filter(|&at| names.contains(&self.names[at])).collect();
        let mut people: Vec<usize> = kept.iter().map(|&at| self.subjects[at]).collect();
        people.sort_unstable();
        people.dedup();
        let number = |person| people.binary_search(&person).expect("everybody who is kept is numbered");
        Self {
            names: kept.iter().map(|&at| self.names[at].clone()).collect(),
            subjects: kept.iter().map(|&at| number(self.subjects[at])).collect(),
            people: people.len(),
            looks: kept.iter().map(|&at| self.looks[at].clone()).collect(),
        }
    }

    fn comparisons(&self, (enrolled, probe): Pairing) -> Comparisons {
        let taken = self.subjects.iter().zip(&self.looks).map(|(&subject, seen)| {
            Taken::of(subject, Some(Templates { enrolled: mean(seen, enrolled), probe: mean(seen, probe) }))
        });
        Comparisons::of(&taken.collect::<Vec<_>>(), self.people, 2)
    }

    /// The mean of the logarithm of FNMR at FMR 1e-3, 1e-4 and 1e-5, over draws of people: what single comparisons do at the edge
    /// is evened out so.
    fn criterion(&self, pairing: Pairing) -> f64 {
        let criteria = self.criteria(pairing);
        criteria.iter().sum::<f64>() / criteria.len() as f64
    }

    /// The same of each draw, whose people are the same for every pairing.
    fn criteria(&self, pairing: Pairing) -> Vec<f64> {
        let of = |fnmrs: Vec<f64>| mean_of_logarithms([fnmrs[1], fnmrs[2], fnmrs[3]]);
        self.comparisons(pairing).fnmrs_of_resamples().into_iter().map(of).collect()
    }

    /// The 95 % interval of the one's criterion less the other's, over the same draws of people.
    fn difference(&self, one: Pairing, other: Pairing) -> [f64; 2] {
        let both = self.criteria(one).into_iter().zip(self.criteria(other));
        interval(both.map(|(one, other)| one - other))
    }

    /// The same, printed.
    fn tell_difference(&self, name: &str, one: Pairing, other: Pairing) -> [f64; 2] {
        let [low, high] = self.difference(one, other);
        eprintln!(
            "the criterion of '{}' less that of '{}', {name}: {low:.3} to {high:.3}",
            in_words(one),
            in_words(other)
        );
        [low, high]
    }

    /// FNMR at FMR 1e-3, 1e-4 and 1e-5, with the intervals.
    fn words(&self, pairing: Pairing) -> String {
        let rates = self.comparisons(pairing).rates();
        let percent = |at: usize| {
            let [low, high] = rates[at].fnmr_interval;
            format!("{:.2} % ({:.2} to {:.2})", 100.0 * rates[at].fnmr, 100.0 * low, 100.0 * high)
        };
        [1, 2, 3].map(percent).join(", ")
    }
}

/// The template that is the mean of the candidate's looks.
fn mean(seen: &[(Look, Embedding)], of: Candidate) -> Embedding {
    let among = seen.iter().filter(|(look, _)| of.1.contains(look)).map(|(_, embedding)| embedding);
    Embedding::mean(among).expect("looks at one face are alike")
}

/// The program's own templates are what is measured here for them.
fn assert_what_ships_is_among_them(eyes: &mut Eyes, photo: &RgbImage, seen: &[(Look, Embedding)]) {
    let faces = eyes.session.detect(photo).expect("the detector runs");
    let face = main_face(photo, &faces).expect("a face");
    let purposes =
        [(Purpose::Enrolment, SHIPPED.0), (Purpose::Probe, SHIPPED.1), (Purpose::Frame, SHIPPED_AT_A_DOOR.1)];
    for (purpose, candidate) in purposes {
        let ships = eyes.session.embed(photo, &face.landmarks, purpose).expect("the recogniser runs");
        let alike = ships.cosine(&mean(seen, candidate));
        assert!(alike > 0.99999, "{purpose:?} is not what {} gives: {alike}", candidate.0);
    }
}

/// No error seen counts as one in 10,000.
fn mean_of_logarithms(fnmrs: [f64; 3]) -> f64 {
    fnmrs.iter().map(|fnmr| fnmr.max(1e-4).ln()).sum::<f64>() / 3.0
}
