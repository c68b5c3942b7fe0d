//! The photographs of the folds, and what errors are made with them.

use std::{collections::HashSet, path::Path};

use facegate::vision::{
    Embedding,
    engine::Engine,
    evaluate::{
        bootstrap::interval,
        comparisons::Comparisons,
        parallel, people,
        taking::{Taken, Templates},
    },
    template::Purpose,
};
use image::RgbImage;

use super::{
    super::{folds, photo},
    Candidate, Pairing, SHIPPED, SHIPPED_AT_A_DOOR,
    eyes::{Eyes, Look, Networks},
    in_words,
};

/// The pictures of the first 600 pairs, of the next 600, and all of them.
pub struct Sets {
    pub first: Set,
    pub second: Set,
    pub both: Set,
}

impl Sets {
    /// With every look of these candidates.
    pub fn of(pack: &str, frames: &Path, engine: &Engine, candidates: &[Candidate]) -> Self {
        let networks = Networks::open(pack, engine, candidates);
        let [first, second] = folds(frames);
        let both = Set::of(&networks, frames, &first.union(&second).cloned().collect(), candidates);
        Self { first: both.among(&first), second: both.among(&second), both }
    }

    /// Prints the error rates in each.
    pub fn tell(&self, pairing: Pairing) {
        for (name, set) in [("fold 1", &self.first), ("fold 2", &self.second), ("both", &self.both)] {
            eprintln!("  {name}: {}", set.measure(pairing).words);
        }
    }
}

/// Pictures, each with what the recogniser says of all looks.
#[derive(Clone)]
pub struct Set {
    names: Vec<String>,
    subjects: Vec<usize>,
    people: usize,
    looks: Vec<Vec<(Look, Embedding)>>,
}

impl Set {
    /// With every look of these candidates.
    pub fn of(networks: &Networks<'_>, frames: &Path, among: &HashSet<String>, candidates: &[Candidate]) -> Self {
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
                if at % 100 == 0 && networks.find_points() {
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

    /// What that pairing's errors are here.
    pub fn measure(&self, pairing: Pairing) -> Measured {
        let comparisons = self.comparisons(pairing);
        let rates = comparisons.rates();
        let percent = |at: usize| {
            let [low, high] = rates[at].fnmr_interval;
            format!("{:.2} % ({:.2} to {:.2})", 100.0 * rates[at].fnmr, 100.0 * low, 100.0 * high)
        };
        let criterion = |fnmrs: Vec<f64>| mean_of_logarithms([fnmrs[1], fnmrs[2], fnmrs[3]]);
        Measured {
            pairing,
            criteria: comparisons.fnmrs_of_resamples().into_iter().map(criterion).collect(),
            words: [1, 2, 3].map(percent).join(", "),
        }
    }
}

/// A pairing's errors in a set.
pub struct Measured {
    pub pairing: Pairing,
    /// The mean of the logarithm of FNMR at FMR 1e-3, 1e-4 and 1e-5 of each draw of people, who are the same for every pairing.
    criteria: Vec<f64>,
    /// FNMR at FMR 1e-3, 1e-4 and 1e-5, with the intervals.
    pub words: String,
}

impl Measured {
    /// By which pairings are picked: the mean over the draws, so that what single comparisons do at the edge is evened out.
    pub fn criterion(&self) -> f64 {
        self.criteria.iter().sum::<f64>() / self.criteria.len() as f64
    }

    /// The 95 % interval of this criterion less the other's, over the same draws of people; printed.
    pub fn less(&self, other: &Self) -> [f64; 2] {
        let both = self.criteria.iter().zip(&other.criteria);
        let [low, high] = interval(both.map(|(one, other)| one - other));
        let [one, other] = [self, other].map(|measured| in_words(measured.pairing));
        eprintln!("the criterion of '{one}' less that of '{other}': {low:.3} to {high:.3}");
        [low, high]
    }
}

/// The template that is the mean of the candidate's looks.
fn mean(seen: &[(Look, Embedding)], of: Candidate) -> Embedding {
    let among = seen.iter().filter(|(look, _)| of.1.contains(look)).map(|(_, embedding)| embedding);
    Embedding::mean(among).expect("looks at one face are alike")
}

/// The program's own templates are what is measured here for them.
fn assert_what_ships_is_among_them(eyes: &mut Eyes, photo: &RgbImage, seen: &[(Look, Embedding)]) {
    let purposes =
        [(Purpose::Enrolment, SHIPPED.0), (Purpose::Probe, SHIPPED.1), (Purpose::Frame, SHIPPED_AT_A_DOOR.1)];
    for (purpose, candidate) in purposes {
        let alike = eyes.embed(photo, purpose).cosine(&mean(seen, candidate));
        assert!(alike > 0.99999, "{purpose:?} is not what {} gives: {alike}", candidate.0);
    }
}

/// No error seen counts as one in 10,000.
fn mean_of_logarithms(fnmrs: [f64; 3]) -> f64 {
    fnmrs.iter().map(|fnmr| fnmr.max(1e-4).ln()).sum::<f64>() / 3.0
}
