//! The quality score: fitted anew on the first fold's people, and tried on the second's. `docs/quality.md` has the figures.

use std::collections::HashSet;

use facegate::vision::{
    Embedding, Face,
    align::{self, Aligned},
    engine::{Engine, Session},
    evaluate::{
        bootstrap::{interval, resampled},
        parallel,
        people::{self, People},
        taking::main_face,
    },
    models::{Input, Network, NetworkState, Pack},
    picture::Scaler,
    quality::{self, AT_BEST, Limits, Measures, TERMS},
    template::Purpose,
};
use image::RgbImage;

use super::{
    faces_and_engine, folds, photo,
    worse::{WAYS, Way},
};
use crate::support::models_dir;

/// A photograph is made worse in every second way, the next one in the others.
const EVERY: usize = 2;

/// A photograph is compared with so many others of its person at most.
const MOST_OTHERS: usize = 8;

/// The shares of the photographs that are thrown away.
const DISCARDED: [f64; 9] = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5];

/// From which scores on the photographs are put together.
const BINS: [f32; 9] = [0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.93, 0.95];

/// A photograph, as it is or made worse.
struct Shot {
    person: usize,
    fold: usize,
    way: Way,
    face: Face,
    measures: Measures,
    /// The program's own.
    score: f32,
    /// Of the recogniser's vector.
    length: f32,
    /// The share of the others of its person that it does not match.
    missed: f64,
}

/// Fails where the score that ships is not what the first fold gives, or does not keep on the second what the page says of it.
#[test]
#[ignore = "takes minutes, and is a measurement: run it before measures or weights of the quality score are changed"]
fn the_quality_score_is_fitted_on_the_first_fold_and_tried_on_the_second() {
    let Some((frames, engine)) = faces_and_engine("door") else { return };
    let folds = folds(&frames);
    let people = people::list(&frames, Some(&folds[0].union(&folds[1]).cloned().collect())).expect("it can be read");
    let shots = taken(&engine, &people, &folds);
    let of_fold = |number: usize| shots.iter().filter(|shot| shot.fold == number).collect::<Vec<_>>();
    let [first, second] = [0, 1].map(of_fold);
    let persons = |shots: &[&Shot]| shots.iter().map(|shot| shot.person).collect::<HashSet<_>>();
    assert!(persons(&first).is_disjoint(&persons(&second)), "nobody is of both folds");
    eprintln!("fold 1: {} pictures of {} people", first.len(), persons(&first).len());
    eprintln!("fold 2: {} pictures of {} people", second.len(), persons(&second).len());

    let (ships, refitted) = (Weights::shipped(), Weights::fitted(&first));
    ships.tell_beside(&refitted);
    for (name, shots) in [("fold 1", &first), ("fold 2", &second)] {
        let [low, high] = difference_of_losses(shots, &ships, &refitted, people.names.len());
        eprintln!(
            "loss of the weights that ship, {name}: {:.4}; of those fitted on fold 1: {:.4}; the difference {low:.4} to {high:.4}",
            ships.loss(shots),
            refitted.loss(shots)
        );
    }
    // The weights that ship are what that fit gives, but for how exactly photographs are made worse.
    let worse_by = ships.loss(&first) - refitted.loss(&first);
    assert!(worse_by < 0.005, "the weights that ship lose {worse_by:.4} to those that fold 1 gives");
    let [low, _] = difference_of_losses(&second, &ships, &refitted, people.names.len());
    assert!(low <= 0.0, "on fold 2 other weights are better beyond chance: ship what fold 1 gives");

    matched_by_score(&second);
    discarded(&second);
    by_way(&second);
    limits(&second);
}

/// Every photograph of whoever has two or more, as it is and made worse, compared with the others of its person as they are.
fn taken(engine: &Engine, people: &People, folds: &[HashSet<String>; 2]) -> Vec<Shot> {
    let mut of_person: Vec<Vec<usize>> = vec![Vec::new(); people.names.len()];
    people.pictures.iter().enumerate().for_each(|(at, picture)| of_person[picture.subject].push(at));
    let photographs: Vec<usize> =
        (0..people.pictures.len()).filter(|&at| of_person[people.pictures[at].subject].len() > 1).collect();
    let (network, input) = recogniser();
    let made = parallel::each(
        2,
        photographs.len(),
        || Ok(Eyes { session: engine.session()?, recogniser: network.state()?, input, scaler: Scaler::default() }),
        |eyes, number| {
            let at = photographs[number];
            let photo = photo(&people.pictures[at]);
            let ways = WAYS.into_iter().enumerate();
            let ways = ways.filter(|(way, _)| *way == 0 || (way + number) % EVERY == 0);
            Ok(ways.map(|(_, way)| (at, way, eyes.see(&way.of(&photo, at as u64)))).collect::<Vec<_>>())
        },
    );
    let made: Vec<(usize, Way, Option<Seen>)> = made.expect("the networks run").into_iter().flatten().collect();
    eprintln!("{} photographs, {} pictures of them", photographs.len(), made.len());
    for way in WAYS {
        let unseen = made.iter().filter(|(_, one, seen)| *one == way && seen.is_none()).count();
        let all = made.iter().filter(|(_, one, _)| *one == way).count();
        eprintln!("{way:?}: no face in {unseen} of {all}");
    }
    let as_they_are: Vec<(usize, &Embedding)> = made
        .iter()
        .filter(|(_, way, _)| *way == Way::AsItIs)
        .map(|(at, _, seen)| (*at, &seen.as_ref().expect("a face, as the photograph is").template))
        .collect();
    let template = |at: usize| as_they_are[as_they_are.binary_search_by_key(&at, |(at, _)| *at).expect("taken")].1;
    let threshold = engine.calibration().cosine;
    let shot = |(at, way, seen): &(usize, Way, Option<Seen>)| {
        let (picture, seen) = (&people.pictures[*at], seen.as_ref()?);
        let others: Vec<usize> =
            of_person[picture.subject].iter().copied().filter(|other| other != at).take(MOST_OTHERS).collect();
        let missed = others.iter().filter(|&&other| seen.template.cosine(template(other)) < threshold).count();
        let (score, _) = quality::score(&seen.measures);
        Some(Shot {
            person: picture.subject,
            fold: usize::from(!folds[0].contains(&picture.name)),
            way: *way,
            face: seen.face,
            measures: seen.measures,
            score,
            length: seen.length,
            missed: missed as f64 / others.len() as f64,
        })
    };
    made.iter().filter_map(shot).collect()
}

fn recogniser() -> (Network, Input) {
    let pack = Pack::open(&models_dir(), "door").expect("the pack opens");
    let part = &pack.manifest().recogniser;
    (Network::load(&pack, part).expect("the recogniser runs"), part.input)
}

/// One thread's use of the networks; the recogniser once more, since the program keeps no vector's length.
struct Eyes {
    session: Session,
    recogniser: NetworkState,
    input: Input,
    scaler: Scaler,
}

struct Seen {
    face: Face,
    measures: Measures,
    template: Embedding,
    length: f32,
}

impl Eyes {
    /// None where no face is found.
    fn see(&mut self, picture: &RgbImage) -> Option<Seen> {
        let faces = self.session.detect(picture).expect("the detector runs");
        let face = *main_face(picture, &faces)?;
        let to_template = align::to_template(&face.landmarks)?;
        let aligned = Aligned::of(picture, &to_template, &mut self.scaler).expect("the face can be shrunk");
        let outputs = self.recogniser.run(|planes| aligned.write(false, &self.input, planes));
        let vector = outputs.expect("the recogniser runs").remove(0);
        let template = Embedding::normalised(&vector)?;
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        Some(Seen { face, measures: quality::measure(picture, &face.landmarks), template, length })
    }
}

/// What the logarithm of the odds of a miss is made of: that of a flawless picture, and what each step of each term adds.
struct Weights {
    at_best: f64,
    of_terms: [f64; TERMS.len()],
}

impl Weights {
    fn shipped() -> Self {
        Self { at_best: f64::from(AT_BEST), of_terms: TERMS.map(|term| f64::from(term.weight)) }
    }

    /// Those that lose least, none below 0: Newton's steps along one weight after the other, until none moves.
    fn fitted(shots: &[&Shot]) -> Self {
        let steps: Vec<[f64; TERMS.len()]> = shots.iter().map(|shot| beyond(&shot.measures)).collect();
        let mut found = Self { at_best: -3.0, of_terms: [0.0; TERMS.len()] };
        for _ in 0..2000 {
            let mut moved = 0f64;
            for at in 0..=TERMS.len() {
                let (mut slope, mut bend) = (0.0, 1e-9);
                for (shot, steps) in shots.iter().zip(&steps) {
                    let step = if at == TERMS.len() { 1.0 } else { steps[at] };
                    if step > 0.0 {
                        let chance = found.chance_of_a_miss(steps);
                        slope += (chance - shot.missed) * step;
                        bend += chance * (1.0 - chance) * step * step;
                    }
                }
                let by = (-slope / bend).clamp(-0.5, 0.5);
                let weight = if at == TERMS.len() { &mut found.at_best } else { &mut found.of_terms[at] };
                let to = if at == TERMS.len() { *weight + by } else { (*weight + by).max(0.0) };
                moved = moved.max((to - *weight).abs());
                *weight = to;
            }
            if moved < 1e-6 {
                return found;
            }
        }
        panic!("the fit does not end");
    }

    fn chance_of_a_miss(&self, steps: &[f64; TERMS.len()]) -> f64 {
        let odds = self.at_best + self.of_terms.iter().zip(steps).map(|(weight, step)| weight * step).sum::<f64>();
        1.0 / (1.0 + (-odds).exp())
    }

    fn loss_of(&self, shot: &Shot) -> f64 {
        let chance = self.chance_of_a_miss(&beyond(&shot.measures)).clamp(1e-12, 1.0 - 1e-12);
        -(shot.missed * chance.ln() + (1.0 - shot.missed) * (1.0 - chance).ln())
    }

    /// The mean logarithmic loss, in nats a photograph.
    fn loss(&self, shots: &[&Shot]) -> f64 {
        shots.iter().map(|shot| self.loss_of(shot)).sum::<f64>() / shots.len() as f64
    }

    fn tell_beside(&self, fitted: &Self) {
        eprintln!("at best: {:.2} ships, fold 1 gives {:.2}", self.at_best, fitted.at_best);
        for ((term, ships), fitted) in TERMS.iter().zip(self.of_terms).zip(fitted.of_terms) {
            eprintln!("{}: {ships:.2} ships, fold 1 gives {fitted:.2}", term.counts);
        }
    }
}

fn beyond(measures: &Measures) -> [f64; TERMS.len()] {
    TERMS.map(|term| f64::from(term.beyond(measures)))
}

/// The 95 % interval of the one's loss less the other's, over draws of people.
fn difference_of_losses(shots: &[&Shot], one: &Weights, other: &Weights, people: usize) -> [f64; 2] {
    let differences: Vec<(usize, f64)> =
        shots.iter().map(|shot| (shot.person, one.loss_of(shot) - other.loss_of(shot))).collect();
    interval(resampled(2, people, |weights| {
        let sums = differences.iter().fold((0.0, 0.0), |(sum, of), (person, difference)| {
            (sum + weights[*person] * difference, of + weights[*person])
        });
        sums.0 / sums.1
    }))
}

fn misses<'a>(shots: impl IntoIterator<Item = &'a &'a Shot>) -> f64 {
    let (sum, count) = shots.into_iter().fold((0.0, 0), |(sum, count), shot| (sum + shot.missed, count + 1));
    sum / f64::from(count)
}

/// Prints how many match by score. Fails where the score is not the share that matches.
fn matched_by_score(shots: &[&Shot]) {
    for (number, from) in BINS.into_iter().enumerate() {
        let to = BINS.get(number + 1).copied().unwrap_or(f32::INFINITY);
        let within: Vec<&Shot> = shots.iter().copied().filter(|shot| (from..to).contains(&shot.score)).collect();
        if within.is_empty() {
            continue;
        }
        let matched = 1.0 - misses(&within);
        let mean = within.iter().map(|shot| f64::from(shot.score)).sum::<f64>() / within.len() as f64;
        eprintln!("score {from} to {to}: {} pictures, {:.1} % matched, {mean:.3} said", within.len(), 100.0 * matched);
        // With fewer it is a matter of chance.
        if within.len() >= 100 {
            assert!((matched - mean).abs() < 0.08, "score {from} to {to}: {matched:.3} matched, and {mean:.3} is said");
        }
    }
}

/// The share of misses in per cent where the worst by that measure, those with the least of it, are thrown away.
fn error_against_discard(shots: &[&Shot], goodness: impl Fn(&Shot) -> f64) -> [f64; DISCARDED.len()] {
    let mut sorted = shots.to_vec();
    sorted.sort_by(|a, b| goodness(a).total_cmp(&goodness(b)));
    DISCARDED.map(|share| 100.0 * misses(&sorted[(share * sorted.len() as f64) as usize..]))
}

/// Prints the error against discard. Fails where throwing away the worst by the score takes few of the misses away.
fn discarded(shots: &[&Shot]) {
    let by_score = error_against_discard(shots, |shot| f64::from(shot.score));
    let rows = [
        ("the score", by_score),
        ("the detector's confidence", error_against_discard(shots, |shot| f64::from(shot.face.confidence))),
        ("the length of the recogniser's vector", error_against_discard(shots, |shot| f64::from(shot.length))),
        ("the misses themselves", error_against_discard(shots, |shot| -shot.missed)),
    ];
    for (name, errors) in rows {
        eprintln!("discarded by {name}: {}", errors.map(|error| format!("{error:.1}")).join(", "));
    }
    let as_they_are: Vec<&Shot> = shots.iter().copied().filter(|shot| shot.way == Way::AsItIs).collect();
    let of_these = error_against_discard(&as_they_are, |shot| f64::from(shot.score));
    eprintln!("as they are, by the score: {}", of_these.map(|error| format!("{error:.2}")).join(", "));
    let [all, .., tenth, fifth, _, _, half] = by_score;
    assert!(tenth < 0.75 * all, "a tenth thrown away leaves {tenth:.1} of {all:.1} % of misses");
    assert!(fifth < 0.6 * all && half < 0.45 * all, "a fifth leaves {fifth:.1}, a half {half:.1} of {all:.1} %");
}

/// Prints what each way costs, and how much of it passes the score's limits.
fn by_way(shots: &[&Shot]) {
    for way in WAYS {
        let these: Vec<&Shot> = shots.iter().copied().filter(|shot| shot.way == way).collect();
        let eyes = these.iter().map(|shot| shot.measures.eye_distance_px).sum::<f32>() / these.len() as f32;
        let [door, enrolment] = [Limits::door(), Limits::enrolment()].map(|limits| {
            100.0 * these.iter().filter(|shot| shot.score >= limits.score).count() as f64 / these.len() as f64
        });
        eprintln!(
            "{way:?}: {} pictures, eyes {eyes:.0} apart, {:.1} % missed, {door:.1} % pass at a door, {enrolment:.1} % at an enrolment",
            these.len(),
            100.0 * misses(&these)
        );
    }
}

/// Prints what the limits make of it. Fails where they refuse good photographs, or what they let pass is no better.
fn limits(shots: &[&Shot]) {
    let all = misses(shots);
    for (name, limits, most_left) in [("door", Limits::door(), 0.9), ("enrolment", Limits::enrolment(), 0.6)] {
        let passes = |shot: &&Shot| shot.score >= limits.score;
        let (above, below): (Vec<&Shot>, Vec<&Shot>) = shots.iter().copied().partition(passes);
        let good: Vec<&Shot> = shots.iter().copied().filter(|shot| shot.way == Way::AsItIs).collect();
        let refused = good.iter().filter(|shot| shot.score < limits.score).count();
        eprintln!(
            "{name}, {}: {:.1} % of misses among all, {:.1} % in what passes, {:.1} % in what does not; {refused} of {} as they are are refused",
            limits.score,
            100.0 * all,
            100.0 * misses(&above),
            100.0 * misses(&below),
            good.len()
        );
        assert!(misses(&above) < most_left * all, "{name}: what passes is hardly better");
        assert!(refused * 50 <= good.len(), "{name}: more than one in fifty photographs as they are are refused");
    }
}

/// What is measured here is the program's own template, and its own score.
#[test]
fn the_vector_whose_length_is_taken_is_the_template_of_a_frame() {
    let Some((frames, engine)) = faces_and_engine("door") else { return };
    let people = people::list(&frames, None).expect("it can be read");
    let (network, input) = recogniser();
    let session = engine.session().expect("a session");
    let mut eyes = Eyes { session, recogniser: network.state().expect("it runs"), input, scaler: Scaler::default() };
    for picture in people.pictures.iter().step_by(400) {
        let photo = photo(picture);
        for way in WAYS {
            let Some(seen) = eyes.see(&way.of(&photo, 1)) else { continue };
            let picture = way.of(&photo, 1);
            let ships = eyes.session.embed(&picture, &seen.face.landmarks, Purpose::Frame).expect("it runs");
            assert_eq!(ships, seen.template);
            let steps = beyond(&seen.measures);
            let score = 1.0 - Weights::shipped().chance_of_a_miss(&steps);
            assert!((score - f64::from(quality::score(&seen.measures).0)).abs() < 1e-5);
        }
    }
}
