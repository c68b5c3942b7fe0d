//! What a door promises that is set by a chance of a false accept, tried on people who are held back: the threshold is the one that the
//! door itself derives ([`Strictness::of`]: from the calibration, the number enrolled and the frames that must agree), and the door's
//! own decider counts the votes.

use std::{sync::Arc, thread, time::Duration};

use facegate::{
    access::{Decider, Observation, Policy, Sighting, Subject, Track},
    clock::Moment,
    strictness::Strictness,
    vision::{
        Embedding,
        engine::{Calibration, Engine},
        evaluate::{
            RATES,
            bootstrap::{interval, mixed, resampled},
            comparisons::Comparisons,
            people::People,
            scale,
            taking::Taken,
        },
    },
};

use super::frames::{self, FAIR};

/// Embeddings enrolled, and one stranger in so many who may be let in.
const ENROLLED: [usize; 3] = [100, 500, 1000];
const ONE_IN: [u32; 2] = [20, 100];

/// How often it is drawn who makes the curve, who is enrolled and who comes.
const DRAWS: usize = 20;

/// Of those who are held back, so many in ten are never enrolled.
const STRANGERS_IN_TEN: usize = 3;

/// A door is stricter than it has to be by no more than that: it takes the worst for granted of how alike frames are, and of how
/// unlike the people are whom a stranger may be taken for.
const AT_MOST_STRICTER: f64 = 6.0;

/// A photograph of somebody who stands before the door: the frames that fill its window.
struct Visit {
    person: usize,
    frames: Vec<Embedding>,
}

/// Who is enrolled in a draw, by the photographs' numbers, who comes as a stranger, and the scale that others gave.
struct Draw {
    scale: Calibration,
    enrolled: Vec<usize>,
    strangers: Vec<bool>,
}

/// Fails where more strangers are let in than was asked for, by more than chance explains; or far fewer.
pub fn assert_kept(engine: &Arc<Engine>, people: &People, taken: &[Taken]) {
    let policy = Policy { threshold: f32::MIN_POSITIVE, ..Policy::default() };
    let visits = visits(engine, people, policy.window as usize);
    let count = people.names.len();
    for size in ENROLLED {
        let draws: Vec<Draw> = (0..DRAWS).map(|number| Draw::of(taken, count, number, size)).collect();
        // Whom each frame is most like, and who comes next, does not depend on the chance.
        let nearest: Vec<Vec<(usize, Vec<Sight>)>> = draws.iter().map(|draw| draw.nearest(taken, &visits)).collect();
        for one_in in ONE_IN {
            let policy =
                Policy { false_accept: Some(format!("1 in {one_in}").parse().expect("a chance")), ..policy.clone() };
            policy.validate().expect("a door can be set so");
            let mut let_in: Vec<(usize, usize, f64)> = Vec::new();
            let mut thresholds = 0.0;
            for (number, (draw, nearest)) in draws.iter().zip(&nearest).enumerate() {
                let derived = Strictness::of(&policy, &draw.scale, size)
                    .expect("there is a curve")
                    .expect("a chance is asked for");
                thresholds += derived.threshold;
                let door = Policy { threshold: derived.threshold, ..policy.clone() };
                let each = nearest
                    .iter()
                    .map(|(person, sights)| (number, *person, f64::from(u8::from(opens(&door, &draw.scale, sights)))));
                let_in.extend(each);
            }
            let (rate, [low, high]) = rate(&let_in, count);
            let asked = 1.0 / f64::from(one_in);
            let words = format!(
                "pack {}, {size} enrolled, 1 in {one_in}, two of three frames: {:.2} % let in ({:.2} to {:.2}) of {}, threshold {:.3}",
                engine.identity().pack,
                100.0 * rate,
                100.0 * low,
                100.0 * high,
                let_in.len(),
                thresholds / DRAWS as f32
            );
            eprintln!("{words}");
            assert!(low <= asked && rate <= 1.2 * asked, "more than was asked for: {words}");
            assert!(high * AT_MOST_STRICTER >= asked, "far fewer than was asked for: {words}");
        }
    }
}

/// The first photograph of each person, as a camera sees it in a row of frames. Where a face is missed in one, they do not come.
fn visits(engine: &Arc<Engine>, people: &People, window: usize) -> Vec<Visit> {
    let firsts: Vec<_> = (0..people.names.len())
        .map(|person| people.pictures.iter().find(|picture| picture.subject == person).expect("a picture"))
        .collect();
    let (one, other) = firsts.split_at(firsts.len() / 2);
    let work = |pictures: &[&facegate::vision::evaluate::people::Picture]| {
        let mut session = engine.session().expect("a session");
        let each = pictures.iter().filter_map(|picture| {
            let seen = frames::in_a_row(&mut session, &picture.path, FAIR, picture.subject as u64, window);
            let frames: Option<Vec<Embedding>> = seen.into_iter().map(|seen| Some(seen?.embedding)).collect();
            Some(Visit { person: picture.subject, frames: frames? })
        });
        each.collect::<Vec<_>>()
    };
    let visits: Vec<Visit> = thread::scope(|scope| {
        let workers = [one, other].map(|part| scope.spawn(move || work(part)));
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker ends")).collect()
    });
    assert!(visits.len() * 100 >= people.names.len() * 98, "faces are found in the frames: {}", visits.len());
    visits
}

impl Draw {
    fn of(taken: &[Taken], people: usize, number: usize, size: usize) -> Self {
        let mut order: Vec<usize> = (0..people).collect();
        order.sort_by_key(|&person| mixed((number as u64) << 32 | person as u64));
        let (curve, held) = order.split_at(people / 2);
        let mut place = vec![None; people];
        curve.iter().enumerate().for_each(|(at, &person)| place[person] = Some(at));
        let of_the_curve: Vec<Taken> =
            taken.iter().filter_map(|one| Some(Taken { subject: place[one.subject]?, ..one.clone() })).collect();
        let comparisons = Comparisons::of(&of_the_curve, curve.len(), 2);
        let scale = scale::quick(&comparisons, &RATES).expect("half of the people give a scale");
        let (known, never) = held.split_at(held.len() - held.len() * STRANGERS_IN_TEN / 10);
        let mut strangers = vec![false; people];
        never.iter().for_each(|&person| strangers[person] = true);
        let mut of_person = vec![Vec::new(); people];
        taken.iter().enumerate().for_each(|(picture, one)| of_person[one.subject].push(picture));
        // Half of the people do not fill a large gallery: those of the curve are enrolled too, and are never the strangers.
        let enrolled: Vec<usize> =
            known.iter().chain(curve).flat_map(|&person| of_person[person].iter().copied()).take(size).collect();
        assert_eq!(enrolled.len(), size, "there are photographs enough");
        Self { scale, enrolled, strangers }
    }

    /// Each stranger, and whom their frames are most like.
    fn nearest(&self, taken: &[Taken], visits: &[Visit]) -> Vec<(usize, Vec<Sight>)> {
        let strangers = visits.iter().filter(|visit| self.strangers[visit.person]);
        let each = strangers.map(|visit| {
            let sights = visit.frames.iter().map(|frame| {
                let enrolled = self.enrolled.iter().map(|&picture| &taken[picture]);
                enrolled.fold(Sight::default(), |sight, one| {
                    let template = &one.templates.as_ref().expect("every photograph has one").enrolled;
                    sight.with(one.subject, template.cosine(frame))
                })
            });
            (visit.person, sights.collect())
        });
        each.collect()
    }
}

/// The two people whom a frame is most like.
#[derive(Clone, Copy)]
struct Sight {
    best: (usize, f32),
    second: (usize, f32),
}

impl Default for Sight {
    fn default() -> Self {
        Self { best: (usize::MAX, -1.0), second: (usize::MAX, -1.0) }
    }
}

impl Sight {
    fn with(self, person: usize, cosine: f32) -> Self {
        match self {
            Self { best, .. } if best.0 == person => Self { best: (person, best.1.max(cosine)), ..self },
            Self { best, .. } if cosine > best.1 => Self { best: (person, cosine), second: best },
            Self { second, .. } if cosine > second.1 => Self { second: (person, cosine), ..self },
            _ => self,
        }
    }
}

/// Whether that door opens for somebody whose frames are so like whom it knows.
fn opens(policy: &Policy, scale: &Calibration, sights: &[Sight]) -> bool {
    let mut decider = Decider::new(policy.clone());
    sights.iter().zip(1..).any(|(sight, number)| {
        let sighting = Sighting::Match {
            subject: Subject::from(sight.best.0.to_string().as_str()),
            similarity: scale.similarity(sight.best.1),
            runner_up: Some(scale.similarity(sight.second.1)),
        };
        let at = Moment::from_start(Duration::from_millis(100 * number));
        let decision = decider.observe(Observation { track: Track(1), sighting, living: None, at });
        decision.is_some_and(|decision| decision.granted())
    })
}

/// The share who were let in, and its 95 % interval: a bootstrap over the people and over the draws, each on its own, as the
/// evaluation's is.
fn rate(let_in: &[(usize, usize, f64)], people: usize) -> (f64, [f64; 2]) {
    let share = |of_people: &[f64], of_draws: &[f64]| {
        let sums = let_in.iter().fold((0.0, 0.0), |(passed, came), &(draw, person, opened)| {
            let weight = of_people[person] * of_draws[draw];
            (passed + weight * opened, came + weight)
        });
        sums.0 / sums.1
    };
    let all = share(&vec![1.0; people], &[1.0; DRAWS]);
    let of_people = resampled(2, people, <[f64]>::to_vec);
    let of_draws = resampled(2, DRAWS, <[f64]>::to_vec);
    (all, interval(of_people.iter().zip(&of_draws).map(|(people, draws)| share(people, draws))))
}
