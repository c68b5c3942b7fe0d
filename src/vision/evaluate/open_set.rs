//! Strangers before a door: some people are enrolled, the others come (ISO/IEC 19795-1's open-set identification, one photograph
//! being one attempt). The threshold is the one that [`Strictness`] gives a door with so many enrolled, one of a single frame, since
//! a photograph is one.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    bootstrap::{interval, mixed, none_seen, resampled},
    comparisons::{Comparisons, NO_MATCH, RATES},
    parallel, scale,
    taking::Taken,
};
use crate::{
    access::{OneIn, Policy},
    strictness::Strictness,
    vision::models::{Calibration, Support},
};

/// How many embeddings are enrolled where a door's promise is tried.
const AT_DOORS: [usize; 3] = [100, 500, 1000];

/// How many are enrolled where thresholds are chosen freely.
const ENROLLED: [usize; 6] = [10, 50, 100, 500, 1000, 5000];

/// One stranger in so many may be let in.
const ONE_IN: [u32; 2] = [20, 100];

/// False positive identification rates that are reported.
const FPIRS: [f64; 3] = [0.1, 0.01, 0.001];

/// How often other people are drawn to be enrolled.
const DRAWS: usize = 20;

/// Fewest photographs of strangers, and most of strangers and of others of the enrolled, in one draw.
const FEWEST_STRANGERS: usize = 100;
const MOST_PROBES: usize = 2000;

/// Of the people who are held back, so many in ten are never enrolled.
const STRANGERS_IN_TEN: usize = 3;

/// What came of one size of gallery and one chance that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenSet {
    /// Embeddings enrolled.
    pub enrolled: usize,
    /// So many of them, in the mean over draws, are of people by whose photographs the curve was made.
    pub enrolled_of_the_curve: f64,
    /// One stranger in so many may be let in.
    pub one_in: u32,
    /// The threshold that follows, a similarity; the mean over draws.
    pub threshold: f32,
    pub support: Support,
    /// The share of strangers who were taken for somebody, over all draws: false positive identification rate.
    pub fpir: f64,
    /// Its 95 % interval: a bootstrap over the people who were strangers and over the draws, each on its own (Owen 2007: the
    /// pigeonhole bootstrap), since another door would have other people enrolled, and a curve made by others.
    pub fpir_interval: [f64; 2],
    /// The lowest and the highest of it among the draws.
    pub fpir_range: [f64; 2],
    /// The share of enrolled people's other photographs that were not taken for them: false negative identification rate.
    pub fnir: f64,
    /// Strangers' photographs, and others of the enrolled, over all draws.
    pub strangers: usize,
    pub mates: usize,
}

/// What a false positive identification rate costs with so many enrolled, the threshold being chosen for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identification {
    /// Embeddings enrolled.
    pub enrolled: usize,
    /// The share of strangers that may be taken for somebody.
    pub fpir: f64,
    /// How many that are, over all draws. Under some ten, the threshold is a matter of chance.
    pub false_positives: usize,
    pub cosine: f32,
    /// The share of enrolled people's other photographs that were not taken for them.
    pub fnir: f64,
    /// The lowest and the highest of it among the draws.
    pub fnir_range: [f64; 2],
}

/// Who is enrolled in a draw, and who comes; by the pictures' numbers.
#[derive(Default)]
struct Draw {
    enrolled: Vec<usize>,
    strangers: Vec<usize>,
    mates: Vec<usize>,
}

/// What a draw gave: each attempt's person and its highest cosine, strangers' with anybody, mates' with themselves.
struct Nearest {
    strangers: Vec<(usize, f32)>,
    mates: Vec<(usize, f32)>,
}

/// Doors that derive their threshold from that scale, at every size and chance for which there are enough pictures.
pub fn at_doors(taken: &[Taken], people: usize, scale: &Calibration, threads: usize) -> Vec<OpenSet> {
    let sizes = AT_DOORS.into_iter().filter_map(|size| {
        let draws: Option<Vec<_>> = (0..DRAWS).map(|number| draw(taken, &shuffled(people, number), size, 0)).collect();
        let nearest = draws?.iter().map(|draw| (draw.nearest(taken, threads), scale.clone(), 0)).collect::<Vec<_>>();
        Some((size, nearest))
    });
    sizes.flat_map(|(size, draws)| promised(size, &draws, people, threads)).collect()
}

/// The same where the scale is made by one half of the people and tried on the other half, anew in every draw: strangers are
/// never among those whose photographs the scale comes from. Where the other half has too few pictures to fill the gallery,
/// people of the first one are enrolled too. Empty where half of the people are too few for a scale.
pub fn held_back(taken: &[Taken], comparisons: &Comparisons, threads: usize) -> Vec<OpenSet> {
    let people = comparisons.people;
    let splits: Option<Vec<Split>> = (0..DRAWS).map(|number| Split::of(comparisons, number)).collect();
    let Some(splits) = splits else { return Vec::new() };
    let sizes = AT_DOORS.into_iter().filter_map(|size| {
        let draws = splits.iter().map(|split| {
            let draw = draw(taken, &split.order, size, split.strangers)?;
            let is_held = |picture: &&usize| split.held[taken[**picture].subject];
            // Who made the scale is no stranger.
            let strangers: Vec<usize> = draw.strangers.iter().filter(is_held).copied().collect();
            let of_the_curve = draw.enrolled.len() - draw.enrolled.iter().filter(is_held).count();
            let draw = Draw { strangers, ..draw };
            let enough = draw.strangers.len() >= FEWEST_STRANGERS;
            enough.then(|| (draw.nearest(taken, threads), split.scale.clone(), of_the_curve))
        });
        Some((size, draws.collect::<Option<Vec<_>>>()?))
    });
    sizes.flat_map(|(size, draws)| promised(size, &draws, people, threads)).collect()
}

/// A half of the people that gives a scale, and the other one that is held back.
struct Split {
    scale: Calibration,
    /// By person.
    held: Vec<bool>,
    /// All people in the order in which they are enrolled: who is held back, who made the scale, and last the strangers.
    order: Vec<usize>,
    /// How many of them, at the end of the order, are never enrolled.
    strangers: usize,
}

impl Split {
    fn of(comparisons: &Comparisons, number: usize) -> Option<Self> {
        let order = shuffled(comparisons.people, number);
        let (first, second) = order.split_at(comparisons.people / 2);
        let mut numbers = vec![None; comparisons.people];
        first.iter().enumerate().for_each(|(at, &person)| numbers[person] = Some(at as u32));
        let half = comparisons.among(first.len(), |picture| numbers[comparisons.subject(picture)]);
        let strangers = second.len() * STRANGERS_IN_TEN / 10;
        let (enrolled, never) = second.split_at(second.len() - strangers);
        Some(Self {
            scale: scale::quick(&half, &RATES).ok()?,
            held: numbers.iter().map(Option::is_none).collect(),
            order: [enrolled, first, never].concat(),
            strangers,
        })
    }
}

/// A door that lets one stranger in so many in and is opened by one frame; its own threshold, which the chance never lowers, asks for
/// nothing.
fn asking_for(one_in: u32) -> Option<Policy> {
    let chance: OneIn = format!("1 in {one_in}").parse().ok()?;
    let threshold = f32::MIN_POSITIVE;
    Some(Policy { false_accept: Some(chance), threshold, votes: 1, window: 1, ..Policy::default() })
}

/// What the doors' promises came to: of each draw what was nearest, the scale, and how many enrolled are of the scale's people.
fn promised(size: usize, draws: &[(Nearest, Calibration, usize)], people: usize, threads: usize) -> Vec<OpenSet> {
    let each = ONE_IN.into_iter().filter_map(|one_in| {
        let policy = asking_for(one_in)?;
        let derived: Option<Vec<Strictness>> =
            draws.iter().map(|(_, scale, _)| Strictness::of(&policy, scale, size).ok().flatten()).collect();
        let derived = derived?;
        // In each draw: each person who came as a stranger, how often, and how often let in.
        let mut attempts: Vec<HashMap<usize, (f64, f64)>> = Vec::new();
        let (mut known, mut mates, mut range) = (0, 0, [1.0f64, 0.0f64]);
        for ((nearest, scale, _), derived) in draws.iter().zip(&derived) {
            let matches = |cosine: f32| scale.similarity(cosine) >= derived.threshold;
            let mut by_person: HashMap<usize, (f64, f64)> = HashMap::new();
            for &(person, cosine) in &nearest.strangers {
                let (let_in, came) = by_person.entry(person).or_default();
                *let_in += f64::from(u8::from(matches(cosine)));
                *came += 1.0;
            }
            known += nearest.mates.iter().filter(|mate| matches(mate.1)).count();
            mates += nearest.mates.len();
            let rate = by_person.values().map(|of| of.0).sum::<f64>() / nearest.strangers.len() as f64;
            range = [range[0].min(rate), range[1].max(rate)];
            attempts.push(by_person);
        }
        let rate = |sums: &[(f64, f64)], weights: &[f64]| {
            let weighted = sums
                .iter()
                .zip(weights)
                .fold((0.0, 0.0), |all, ((let_in, came), weight)| (all.0 + let_in * weight, all.1 + came * weight));
            weighted.0 / weighted.1
        };
        let everybody = sums_by_draw(&attempts, &vec![1.0; people]);
        let every_draw = vec![1.0; draws.len()];
        let fpir = rate(&everybody, &every_draw);
        let came: f64 = everybody.iter().map(|(_, came)| came).sum();
        let strangers: HashSet<usize> = attempts.iter().flat_map(|draw| draw.keys().copied()).collect();
        let resampled_rates = || {
            let of_people = resampled(threads, people, |weights| sums_by_draw(&attempts, weights));
            let of_draws = resampled(threads, draws.len(), <[f64]>::to_vec);
            of_people.iter().zip(&of_draws).map(|(sums, weights)| rate(sums, weights)).collect::<Vec<_>>()
        };
        let mean = |of: &dyn Fn(usize) -> f64| (0..draws.len()).map(of).sum::<f64>() / draws.len() as f64;
        Some(OpenSet {
            enrolled: size,
            enrolled_of_the_curve: mean(&|at| draws[at].2 as f64),
            one_in,
            threshold: mean(&|at| f64::from(derived[at].threshold)) as f32,
            support: derived.iter().map(|derived| derived.support).max_by_key(|support| *support as u8)?,
            fpir,
            fpir_interval: if fpir > 0.0 { interval(resampled_rates()) } else { none_seen(strangers.len() as f64) },
            fpir_range: range,
            fnir: 1.0 - known as f64 / mates.max(1) as f64,
            strangers: came as usize,
            mates,
        })
    });
    each.collect()
}

/// How often strangers were let in and how often they came, by draw, where each person counts as often as the weight says.
fn sums_by_draw(attempts: &[HashMap<usize, (f64, f64)>], weights: &[f64]) -> Vec<(f64, f64)> {
    let sums = attempts.iter().map(|of| {
        of.iter().fold((0.0, 0.0), |sums, (&person, (let_in, came))| {
            (sums.0 + let_in * weights[person], sums.1 + came * weights[person])
        })
    });
    sums.collect()
}

/// What each false positive identification rate costs, by the gallery's size.
pub fn identification(taken: &[Taken], people: usize, threads: usize) -> Vec<Identification> {
    let mut found = Vec::new();
    for enrolled in ENROLLED {
        let draws: Option<Vec<_>> =
            (0..DRAWS).map(|number| draw(taken, &shuffled(people, number), enrolled, 0)).collect();
        let Some(draws) = draws else { continue };
        let nearest: Vec<Nearest> = draws.iter().map(|draw| draw.nearest(taken, threads)).collect();
        let mut strangers: Vec<f32> = nearest.iter().flat_map(|draw| &draw.strangers).map(|one| one.1).collect();
        strangers.sort_by(|a, b| b.total_cmp(a));
        for fpir in FPIRS {
            let false_positives = (fpir * strangers.len() as f64 + 1e-9) as usize;
            // Just above the first that may not be taken for anybody any more.
            let cosine = strangers[false_positives.min(strangers.len() - 1)].next_up();
            let missed = |of: &[(usize, f32)]| of.iter().filter(|mate| mate.1 < cosine).count() as f64;
            let rates = nearest.iter().filter(|draw| !draw.mates.is_empty());
            let rates: Vec<f64> = rates.map(|draw| missed(&draw.mates) / draw.mates.len() as f64).collect();
            let mates = nearest.iter().map(|draw| draw.mates.len()).sum::<usize>() as f64;
            if rates.is_empty() {
                continue;
            }
            found.push(Identification {
                enrolled,
                fpir,
                false_positives,
                cosine,
                fnir: nearest.iter().map(|draw| missed(&draw.mates)).sum::<f64>() / mates,
                fnir_range: [rates.iter().copied().fold(1.0, f64::min), rates.iter().copied().fold(0.0, f64::max)],
            });
        }
    }
    found
}

/// All people in an order of chance, of that draw alone and the same at every run.
fn shuffled(people: usize, number: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..people).collect();
    order.sort_by_key(|&person| mixed((number as u64) << 32 | person as u64));
    order
}

/// Enrols people in that order, all their pictures but the last of those who have several, until there are enough; the last
/// `strangers` people never. None where there are too few pictures.
fn draw(taken: &[Taken], order: &[usize], size: usize, strangers: usize) -> Option<Draw> {
    let mut of_person: Vec<Vec<usize>> = vec![Vec::new(); order.len()];
    taken.iter().enumerate().for_each(|(picture, one)| of_person[one.subject].push(picture));
    let mut draw = Draw::default();
    for (at, &person) in order.iter().enumerate() {
        let mut pictures = std::mem::take(&mut of_person[person]);
        if draw.enrolled.len() >= size || at + strangers >= order.len() {
            draw.strangers.append(&mut pictures);
            continue;
        }
        if pictures.len() > 1 {
            draw.mates.extend(pictures.pop());
        }
        let room = size - draw.enrolled.len();
        draw.enrolled.extend(pictures.into_iter().take(room));
    }
    let enough = draw.enrolled.len() == size && draw.strangers.len() >= FEWEST_STRANGERS;
    enough.then_some(draw)
}

impl Draw {
    /// The highest cosine of each stranger with anybody, and of each mate with himself.
    fn nearest(&self, taken: &[Taken], threads: usize) -> Nearest {
        let highest = |probe: usize, himself: bool| {
            let one = &taken[probe];
            let Some(templates) = &one.templates else { return (one.subject, NO_MATCH) };
            let enrolled = self.enrolled.iter().map(|&picture| &taken[picture]);
            let enrolled = enrolled.filter(|other| !himself || other.subject == one.subject);
            let cosines =
                enrolled.filter_map(|other| Some(other.templates.as_ref()?.enrolled.cosine(&templates.probe)));
            (one.subject, cosines.fold(NO_MATCH, f32::max))
        };
        let all = |probes: &[usize], himself: bool| {
            parallel::map(threads, probes.len().min(MOST_PROBES), |at| highest(probes[at], himself))
        };
        Nearest { strangers: all(&self.strangers, false), mates: all(&self.mates, true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::{DIMENSION, Embedding, evaluate::taking::Templates};

    /// Two pictures each of so many people, whose templates lie in few dimensions: strangers come near to each other.
    fn crowd(people: usize) -> Vec<Taken> {
        let chance = |number: u64| (mixed(number) >> 11) as f32 / (1u64 << 53) as f32 - 0.5;
        let picture = |at: usize| {
            let mut raw = [0.0; DIMENSION];
            for (axis, value) in raw.iter_mut().take(24).enumerate() {
                *value = chance((at / 2 * 24 + axis) as u64) + 0.3 * chance((1_000_000 + at * 24 + axis) as u64);
            }
            let embedding = Embedding::normalised(&raw).unwrap();
            Taken::of(at / 2, Some(Templates { enrolled: embedding.clone(), probe: embedding }))
        };
        (0..2 * people).map(picture).collect()
    }

    #[test]
    fn strangers_are_held_back_from_the_curve_and_the_chance_is_kept() {
        let taken = crowd(700);
        let comparisons = Comparisons::of(&taken, 700, 2);
        for number in 0..3 {
            let split = Split::of(&comparisons, number).unwrap();
            assert_eq!(split.held.iter().filter(|held| **held).count(), 350);
            let (enrolled, never) = split.order.split_at(700 - split.strangers);
            assert!(never.iter().all(|&person| split.held[person]), "strangers are held back");
            assert!(
                enrolled[..350 - split.strangers].iter().all(|&person| split.held[person]),
                "and so are the first enrolled"
            );
            let mut all = split.order.clone();
            all.sort_unstable();
            assert_eq!(all, (0..700).collect::<Vec<_>>());
        }
        let found = held_back(&taken, &comparisons, 2);
        assert_eq!(found.iter().map(|open| open.enrolled).collect::<Vec<_>>(), [100, 100, 500, 500]);
        for open in &found {
            let asked = 1.0 / f64::from(open.one_in);
            assert!(open.fpir_interval[0] <= asked && open.fpir > 0.0, "more than was asked are let in: {open:?}");
            // 245 people of the held half can be enrolled, with one picture each: the other one is looked for.
            assert_eq!(open.enrolled_of_the_curve, if open.enrolled == 100 { 0.0 } else { 255.0 });
        }
    }

    #[test]
    fn a_door_s_own_derivation_is_what_is_tried() {
        let taken = crowd(700);
        let comparisons = Comparisons::of(&taken, 700, 2);
        let scale = scale::quick(&comparisons, &RATES).unwrap();
        let found = at_doors(&taken, 700, &scale, 2);
        assert!(!found.is_empty());
        for open in found {
            let policy = Policy {
                false_accept: Some(format!("1 in {}", open.one_in).parse().unwrap()),
                threshold: 0.01,
                votes: 1,
                window: 1,
                ..Policy::default()
            };
            policy.validate().unwrap();
            let door = Strictness::of(&policy, &scale, open.enrolled).unwrap().unwrap();
            assert!(
                (door.threshold - open.threshold).abs() < 1e-6 && door.support == open.support,
                "{open:?} {door:?}"
            );
            // More frames that must agree are another door.
            let fused =
                Strictness::of(&Policy { votes: 2, window: 3, ..policy }, &scale, open.enrolled).unwrap().unwrap();
            assert!(fused.threshold > open.threshold);
        }
    }

    #[test]
    fn a_lower_rate_of_false_positives_never_knows_more_people() {
        let taken = crowd(200);
        let found = identification(&taken, 200, 2);
        assert_eq!(found.iter().map(|open| open.enrolled).collect::<Vec<_>>(), [10, 10, 10, 50, 50, 50, 100, 100, 100]);
        for same in found.chunks(3) {
            assert!(
                same.windows(2).all(|pair| pair[0].fnir <= pair[1].fnir && pair[0].cosine <= pair[1].cosine),
                "{same:?}"
            );
            assert!(same.iter().all(|open| open.fnir_range[0] <= open.fnir && open.fnir <= open.fnir_range[1]));
        }
        assert!(identification(&taken[..100], 50, 1).is_empty(), "a hundred photographs of strangers are needed");
    }
}
