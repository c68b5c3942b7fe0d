//! Which looks a template is the mean of, and which points each is aligned by: how they are picked, what each step buys, and what it
//! costs. `docs/accuracy.md` has the outcome.

use std::{collections::HashSet, path::Path};

use facegate::vision::{
    Embedding, Face, Landmarks, Point,
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
    refine::{Refiner, RefinerState},
    template::{self, Points, Purpose},
};
use image::RgbImage;

use super::{faces_and_engine, folds, photo};
use crate::support::models_dir;

/// Where the points come from that a look is aligned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// From the small crop.
    Small(Size),
    /// From the large crop.
    Large(Size),
    /// The mean of those from both crops.
    BothCrops,
}

/// In how many pixels the detector sees a crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// 128 the small one, 256 the large one.
    Fewer,
    /// 160, 320.
    AsShipped,
    /// 192, 384.
    More,
}

const SIZES: [(Size, f32); 3] = [(Size::Fewer, 0.8), (Size::AsShipped, 1.0), (Size::More, 1.2)];

/// One run of the recogniser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    found: Found,
    mirrored: bool,
}

/// As the picture is.
const fn plain(found: Found) -> Look {
    Look { found, mirrored: false }
}

const fn mirrored(found: Found) -> Look {
    Look { found, mirrored: true }
}

const SMALL: Found = Found::Small(Size::AsShipped);
const LARGE: Found = Found::Large(Size::AsShipped);

/// A template that can be made, by the looks that it is the mean of.
type Candidate = (&'static str, &'static [Look]);

const AS_FOUND: Candidate = ("as found", &[plain(Found::Whole)]);
const AS_FOUND_BOTH_WAYS: Candidate = ("as found, both ways", &[plain(Found::Whole), mirrored(Found::Whole)]);
const LARGER: Candidate = ("whole picture at twice the size", &[plain(Found::Larger)]);
const BOTH_SIZES: Candidate = ("mean of the whole picture at both sizes", &[plain(Found::BothSizes)]);
const SMALL_BOTH_WAYS: Candidate = ("small crop, both ways", &[plain(SMALL), mirrored(SMALL)]);
const LARGE_BOTH_WAYS: Candidate = ("large crop, both ways", &[plain(LARGE), mirrored(LARGE)]);
const CROSSWISE: Candidate = ("both crops crosswise", &[plain(SMALL), mirrored(LARGE)]);
const BOTH_CROPS_BOTH_WAYS: Candidate =
    ("both crops, both ways", &[plain(SMALL), mirrored(LARGE), mirrored(SMALL), plain(LARGE)]);
const MEAN_OF_CROPS: Candidate =
    ("mean of both crops' points, both ways", &[plain(Found::BothCrops), mirrored(Found::BothCrops)]);

/// What may be enrolled and looked for.
const CANDIDATES: [Candidate; 14] = [
    AS_FOUND,
    AS_FOUND_BOTH_WAYS,
    LARGER,
    ("whole picture at twice the size, both ways", &[plain(Found::Larger), mirrored(Found::Larger)]),
    BOTH_SIZES,
    ("mean of the whole picture at both sizes, both ways", &[plain(Found::BothSizes), mirrored(Found::BothSizes)]),
    ("small crop", &[plain(SMALL)]),
    SMALL_BOTH_WAYS,
    ("large crop", &[plain(LARGE)]),
    LARGE_BOTH_WAYS,
    ("mean of both crops' points", &[plain(Found::BothCrops)]),
    MEAN_OF_CROPS,
    CROSSWISE,
    BOTH_CROPS_BOTH_WAYS,
];

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

/// Most looks of a probe: what a search may take.
const MOST_OF_A_PROBE: usize = 2;

/// What is enrolled, what is looked for.
type Pairing = (Candidate, Candidate);

const SHIPPED: Pairing = (BOTH_CROPS_BOTH_WAYS, CROSSWISE);
const SHIPPED_AT_A_DOOR: Pairing = (BOTH_CROPS_BOTH_WAYS, AS_FOUND);
const PLAIN: Pairing = (AS_FOUND, AS_FOUND);

/// Over so many pictures the times are means.
const TIMED: usize = 100;

/// How candidates for enrolments and probes are picked, from the first 600 pairs' pictures alone: the least mean of the logarithm of
/// FNMR at FMR 1e-3, 1e-4 and 1e-5. What ships stays unless the best is better beyond chance (95 % of a bootstrap over people, both over
/// the same draws): every change costs all who are enrolled a new enrolment. Each is then told for the next 600, and for all.
/// `docs/accuracy.md` has the outcome.
#[test]
#[ignore = "takes minutes, and is a procedure: run it before the looks of a template are changed"]
fn the_looks_of_the_templates_are_picked_on_the_first_fold_alone() {
    let Some((frames, engine)) = faces_and_engine("door") else { return };
    let networks = Networks::open("door", &engine);
    let of_folds = folds(&frames);
    let all = [&CANDIDATES[..], &READINGS[..]].concat();
    let both = Set::of(&networks, &frames, &of_folds[0].union(&of_folds[1]).cloned().collect(), &all);
    let [first, second] = of_folds.map(|names| both.among(&names));
    let sets = [("fold 1", &first), ("fold 2", &second), ("both", &both)];

    let probes = || CANDIDATES.into_iter().filter(|(_, looks)| looks.len() <= MOST_OF_A_PROBE);
    let mut scored: Vec<(f64, Pairing)> = CANDIDATES
        .into_iter()
        .flat_map(|enrolled| probes().map(move |probe| (enrolled, probe)))
        .map(|pairing| (first.criterion(pairing), pairing))
        .collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (place, (criterion, pairing)) in scored.iter().enumerate() {
        eprintln!("{}. {criterion:.4} {}", place + 1, in_words(*pairing));
    }

    // What each step buys, enrolled and looked for alike, and its time: the table of the page.
    for step in STEPS.into_iter().chain(READINGS) {
        for (name, set) in sets {
            eprintln!("step: {}: {name}: {}", step.0, set.words((step, step)));
        }
    }
    networks.time(&frames);
    for probe in [LARGER, BOTH_SIZES] {
        for (name, set) in sets {
            let at_the_door = set.words((SHIPPED.0, probe));
            eprintln!("a door's frame by the points of the {}: {name}: {at_the_door}", probe.0);
        }
        first.tell_difference("fold 1", (SHIPPED.0, probe), SHIPPED_AT_A_DOOR);
        first.tell_difference("fold 1", (probe, probe), PLAIN);
    }
    for reading in READINGS {
        both.tell_difference("both", (reading, reading), PLAIN);
    }

    let (least, best) = scored[0];
    for (name, pairing) in
        [("best", best), ("shipped", SHIPPED), ("shipped, a door's frame", SHIPPED_AT_A_DOOR), ("plain", PLAIN)]
    {
        eprintln!("{name}: {}", in_words(pairing));
        for (name, set) in sets {
            eprintln!("  {name}: {}", set.words(pairing));
        }
    }
    let [_, high] = first.tell_difference("fold 1", best, SHIPPED);
    assert!(high >= 0.0, "fold 1 alone shows that other looks are better than those that ship: ship them");
    // A door's frame may take no more than one run of the recogniser: the detector's second look alone would be affordable.
    for probe in [LARGER, BOTH_SIZES] {
        let [_, high] = first.difference((SHIPPED.0, probe), SHIPPED_AT_A_DOOR);
        assert!(
            high >= 0.0,
            "fold 1 alone shows that a door should look at the whole picture at another size: {}",
            probe.0
        );
    }
    first.tell_difference("fold 1", SHIPPED, PLAIN);
    assert!(least < first.criterion(PLAIN), "finding points again and looking twice buys something");
}

/// In how many pixels the crops are seen, and which looks a probe takes at them: by the same criterion, on the first 600 pairs' pictures
/// alone, and by the same rule.
#[test]
#[ignore = "takes minutes, and is a procedure: run it before the crops are changed"]
fn the_sizes_of_the_crops_are_picked_on_the_first_fold_alone() {
    let Some((frames, engine)) = faces_and_engine("door") else { return };
    let networks = Networks::open("door", &engine);
    let of_folds = folds(&frames);
    let sizes = || SIZES.into_iter().flat_map(|(small, _)| SIZES.into_iter().map(move |(large, _)| (small, large)));
    // They are few, and tests end.
    let kept = |looks: Vec<Look>| -> &'static [Look] { looks.leak() };
    let pairings: Vec<Pairing> = sizes()
        .flat_map(|(small, large)| {
            let (small, large) = (Found::Small(small), Found::Large(large));
            let enrolled = kept(vec![plain(small), mirrored(large), mirrored(small), plain(large)]);
            [
                ("crosswise", [plain(small), mirrored(large)]),
                ("the small crop both ways", [plain(small), mirrored(small)]),
                ("the large crop both ways", [plain(large), mirrored(large)]),
            ]
            .map(|(name, probe)| ((BOTH_CROPS_BOTH_WAYS.0, enrolled), (name, kept(probe.to_vec()))))
        })
        .collect();
    let candidates: Vec<Candidate> =
        pairings.iter().flat_map(|(enrolled, probe)| [*enrolled, *probe]).chain([AS_FOUND]).collect();
    let both = Set::of(&networks, &frames, &of_folds[0].union(&of_folds[1]).cloned().collect(), &candidates);
    let [first, second] = of_folds.map(|names| both.among(&names));
    let mut scored: Vec<(f64, Pairing)> =
        pairings.into_iter().map(|pairing| (first.criterion(pairing), pairing)).collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (place, (criterion, pairing)) in scored.iter().enumerate() {
        let [small, large, ..] = pairing.0.1 else { unreachable!("four looks are enrolled") };
        eprintln!("{}. {criterion:.4} {} of {:?} and {:?}", place + 1, pairing.1.0, small.found, large.found);
        for (name, set) in [("fold 1", &first), ("fold 2", &second), ("both", &both)] {
            eprintln!("  {name}: {}", set.words(*pairing));
        }
    }
    let [_, high] = first.tell_difference("fold 1", scored[0].1, SHIPPED);
    assert!(high >= 0.0, "fold 1 alone shows that crops of other sizes are better than those that ship: ship them");
}

/// What a mirror buys the small pack, whose detector gives no points that could be found again.
#[test]
#[ignore = "takes minutes, and is a procedure: run it before the looks of a template are changed"]
fn the_small_pack_s_single_look_is_picked_on_the_first_fold_alone() {
    let Some((frames, engine)) = faces_and_engine("starter") else { return };
    let networks = Networks::open("starter", &engine);
    let of_folds = folds(&frames);
    let all = [AS_FOUND, AS_FOUND_BOTH_WAYS];
    let both = Set::of(&networks, &frames, &of_folds[0].union(&of_folds[1]).cloned().collect(), &all);
    let [first, second] = of_folds.map(|names| both.among(&names));
    for candidate in all {
        for (name, set) in [("fold 1", &first), ("fold 2", &second), ("both", &both)] {
            eprintln!("{}: {name}: {}", candidate.0, set.words((candidate, candidate)));
        }
    }
    let [_, high] = first.tell_difference("fold 1", (AS_FOUND_BOTH_WAYS, AS_FOUND_BOTH_WAYS), PLAIN);
    assert!(high >= 0.0, "fold 1 alone shows that a mirror is worth its time with the small networks: use one");
}

fn in_words((enrolled, probe): Pairing) -> String {
    format!("{} looked for among {}", probe.0, enrolled.0)
}

/// A pack's networks: those of the program, and the parts of it that find points.
struct Networks<'a> {
    engine: &'a Engine,
    /// None where the detector gives no points.
    finders: Option<([Refiner; SIZES.len()], Detector)>,
}

impl<'a> Networks<'a> {
    fn open(pack: &str, engine: &'a Engine) -> Self {
        let pack = Pack::open(&models_dir(), pack).expect("the pack opens");
        let mut manifest = pack.manifest().clone();
        let finders = (manifest.detector_kind().expect("it is known") == DetectorKind::YuNet).then(|| {
            let usual = Detector::load(&pack, &manifest).expect("the detector runs");
            let refiners = SIZES.map(|(_, times)| {
                let refiner = Refiner::load_sized(&pack, &manifest, &usual, times).expect("it runs in crops");
                refiner.expect("such a detector gives points")
            });
            manifest.detector.input.width *= 2;
            manifest.detector.input.height *= 2;
            let larger = Detector::load(&pack, &manifest).expect("the detector runs at twice the size");
            (refiners, larger)
        });
        Self { engine, finders }
    }

    fn eyes(&self) -> Eyes {
        Eyes {
            session: self.engine.session().expect("a session"),
            finders: self.finders.as_ref().map(|(refiners, larger)| {
                let refiners = refiners.each_ref().map(|refiner| refiner.state().expect("it runs in crops"));
                (refiners, larger.state().expect("it runs at twice the size"))
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
    finders: Option<([RefinerState; SIZES.len()], DetectorState)>,
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
            let points = self.points(photo, face, look.found, &mut known, &mut finding);
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
            Found::Small(size) => self.again((Points::Small, size), photo, face, timings),
            Found::Large(size) => self.again((Points::Large, size), photo, face, timings),
            Found::BothSizes => self.mean([Found::Whole, Found::Larger], photo, face, known, timings),
            Found::BothCrops => self.mean([SMALL, LARGE], photo, face, known, timings),
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

    fn again(
        &mut self,
        (points, size): (Points, Size),
        photo: &RgbImage,
        face: &Face,
        timings: &mut Timings,
    ) -> Landmarks {
        let (refiners, _) = self.finders.as_mut().expect("the pack finds points again");
        let at = SIZES.iter().position(|(known, _)| *known == size).expect("every size is among them");
        refiners[at].find(points, photo, &face.landmarks, &mut self.scaler, timings).expect("the detector runs")
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

    fn criterion(&self, pairing: Pairing) -> f64 {
        let rates = self.comparisons(pairing).rates();
        mean_of_logarithms([1, 2, 3].map(|at| rates[at].fnmr))
    }

    /// The 95 % interval of the one's criterion less the other's, over the same draws of people.
    fn difference(&self, one: Pairing, other: Pairing) -> [f64; 2] {
        let criteria = |pairing| {
            let of = |fnmrs: Vec<f64>| mean_of_logarithms([fnmrs[1], fnmrs[2], fnmrs[3]]);
            self.comparisons(pairing).fnmrs_of_resamples().into_iter().map(of).collect::<Vec<_>>()
        };
        interval(criteria(one).into_iter().zip(criteria(other)).map(|(one, other)| one - other))
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
