//! Which looks a template is the mean of, and which points each is aligned by: how they are picked, what each step buys, and what it
//! costs. `docs/accuracy.md` has the outcome.

mod eyes;
mod sets;

use std::path::Path;

use facegate::vision::{
    evaluate::{people, taking::Time},
    refine::{self, Counting, Crop},
};

use self::{
    eyes::{Found, Look, Networks, Nudge, mirrored, plain},
    sets::{Measured, Set, Sets},
};
use super::{faces_and_engine, folds, photo};

/// In how many pixels both ways the detector may see the crops.
const SMALL_SIDES: [usize; 3] = [128, 160, 192];
const LARGE_SIDES: [usize; 3] = [256, 320, 384];

/// The farthest that is tried: 4 % of the eyes' distance.
const HIGHER: f32 = 1.4;
const LARGER_BY: f32 = 0.06;

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

/// How the looks of the templates and the crops' sizes are picked, from the first 600 pairs' pictures alone: the least
/// [`Measured::criterion`] of all. Each is then told for the next 600, and for all. `docs/accuracy.md` has the outcome.
#[test]
#[ignore = "takes minutes, and is a procedure: run it before looks or crops are changed"]
fn looks_and_crops_are_picked_on_the_first_fold_alone() {
    let Some((frames, engine)) = faces_and_engine("door") else { return };
    let pairings = pairings();
    let candidates: Vec<Candidate> =
        pairings.iter().flat_map(|(enrolled, probe)| [*enrolled, *probe]).chain([AS_FOUND]).collect();
    let sets = Sets::of("door", &frames, &engine, &candidates);
    let mut measured: Vec<Measured> = pairings.into_iter().map(|pairing| sets.first.measure(pairing)).collect();
    measured.sort_by(|a, b| a.criterion().total_cmp(&b.criterion()));
    for (place, one) in measured.iter().enumerate() {
        eprintln!("{}. {:.4} {}: {:?}", place + 1, one.criterion(), in_words(one.pairing), one.pairing.1.1);
        sets.tell(one.pairing);
    }
    let picked = &measured[0];
    let (enrolled, probe) = picked.pairing;
    assert_eq!(
        (enrolled.1, probe.1),
        (SHIPPED.0.1, SHIPPED.1.1),
        "fold 1 picks others than those that ship: ship them"
    );
    for other in &measured[1..4] {
        other.less(picked);
    }
    let plain = sets.first.measure(PLAIN);
    picked.less(&plain);
    assert!(picked.criterion() < plain.criterion(), "finding points again and looking twice buys something");
}

/// What lies beside that: crops of more and less of the picture, seen in a mirror too or not; more and fewer of the detector's finds that
/// count in them; and looks a little beside the points, the face higher or lower and larger or smaller in the recogniser's input, at one
/// of the two places so, at the other one the other way.
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
    let counting = countings().map(|counting| [large, small].map(|crop| Crop { counting, ..crop }).into());
    let crops = parts.into_iter().flatten().chain(mirrors).chain(counting);
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
    let ships = first.measure(SHIPPED);
    eprintln!("{:.4}: what ships: {}", ships.criterion(), ships.words);
    let mut better = Vec::new();
    for pairing in pairings {
        let beside = first.measure(pairing);
        eprintln!("{:.4}: {:?}: {}", beside.criterion(), pairing.1.1, beside.words);
        let [_, high] = beside.less(&ships);
        better.extend((high < 0.0).then_some(pairing.1.1));
    }
    assert!(better.is_empty(), "fold 1 shows that these are better than what ships: {better:?}");
}

/// Which finds may count beside those that do: one of the limits lower or higher.
fn countings() -> impl Iterator<Item = Counting> {
    let ships = refine::SMALL.counting;
    let face = [0.3, 0.7].map(|face| Counting { face, ..ships });
    let voter = [0.15, 0.5].map(|voter| Counting { voter, ..ships });
    let overlap = [0.3, 0.7].map(|overlap| Counting { overlap, ..ships });
    let farthest = [0.5, 2.0].map(|times| Counting { farthest: ships.farthest * times, ..ships });
    [face, voter, overlap, farthest].into_iter().flatten()
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
    time(&Networks::open("door", &engine, &STEPS), &frames);
    for pairing in [SHIPPED, SHIPPED_AT_A_DOOR, PLAIN] {
        eprintln!("{}", in_words(pairing));
        sets.tell(pairing);
    }
    let plain = sets.both.measure(PLAIN);
    for reading in READINGS {
        sets.both.measure((reading, reading)).less(&plain);
    }
    let at_a_door = sets.first.measure(SHIPPED_AT_A_DOOR);
    for probe in [LARGER, BOTH_SIZES] {
        eprintln!("a door's frame by the points of the {}", probe.0);
        sets.tell((SHIPPED.0, probe));
        let [_, high] = sets.first.measure((SHIPPED.0, probe)).less(&at_a_door);
        assert!(high >= 0.0, "fold 1 shows that a door should look at the whole picture at another size: {}", probe.0);
    }
}

/// Over so many pictures the times are means.
const TIMED: usize = 100;

/// Prints what each step takes of one picture on one thread, the steps one after the other with each picture.
fn time(networks: &Networks<'_>, frames: &Path) {
    let people = people::list(frames, None).expect("the folder can be read");
    let mut eyes = networks.eyes();
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
    let both_ways = sets.first.measure((AS_FOUND_BOTH_WAYS, AS_FOUND_BOTH_WAYS));
    let [_, high] = both_ways.less(&sets.first.measure(PLAIN));
    assert!(high >= 0.0, "fold 1 alone shows that a mirror is worth its time with the small networks: use one");
}

fn in_words((enrolled, probe): Pairing) -> String {
    format!("{} looked for among {}", probe.0, enrolled.0)
}
