//! Every template compared with every probe, or those of a list of pairs, and what error rates follow.

use super::{
    super::models::Rate,
    bootstrap::{interval, none_seen, resampled},
    curves::Scores,
    pairs::Pair,
    parallel,
    taking::Taken,
};

/// False match rates that are reported, the highest first.
pub const RATES: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];

/// A picture without a template matches nobody.
pub const NO_MATCH: f32 = -1.0;

/// So many times the impostors that the highest rate lets match are kept: a resample's may be others, and count several
/// times.
const SPARE: f64 = 4.0;

/// Pictures whose comparisons are made before the impostors that are too far off are forgotten.
const BATCH: usize = 256;

/// One comparison: two pictures by their numbers, and the cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    pub enrolled: u32,
    pub probe: u32,
    pub cosine: f32,
}

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every picture with every other, either enrolled and the other looked for.
    All,
    /// The pairs of a list, the first enrolled and the second looked for.
    Listed,
}

/// Comparisons of two pictures: the genuine ones, and the impostors that come nearest to matching.
#[derive(Clone)]
pub struct Comparisons {
    pub(super) extent: Extent,
    /// Each picture's person.
    pub(super) subjects: Vec<u32>,
    /// How many people there are.
    pub(super) people: usize,
    pub(super) genuine: Vec<Score>,
    /// Highest first: as many as any resample can need; all of them where pairs were listed.
    pub(super) near_impostors: Vec<Score>,
    pub(super) impostors: u64,
    pub(super) scores: Scores,
    /// Whether every impostor is kept, not the nearest alone.
    complete: bool,
    threads: usize,
}

/// The errors at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Errors {
    pub false_matches: u64,
    pub fmr: f64,
    pub fmr_interval: [f64; 2],
    pub false_non_matches: u64,
    pub fnmr: f64,
    pub fnmr_interval: [f64; 2],
}

/// What one picture's comparisons gave.
#[derive(Default)]
struct Row {
    genuine: Vec<Score>,
    near: Vec<Score>,
    scores: Scores,
}

impl Comparisons {
    /// Compares all with all.
    pub fn of(taken: &[Taken], people: usize, threads: usize) -> Self {
        let mut found = Self::none(taken, people, Extent::All, threads);
        let most = (found.impostors_weight(&vec![1.0; people]) * RATES[0] * SPARE) as usize + 100;
        let mut least = f32::NEG_INFINITY;
        for from in (0..taken.len()).step_by(BATCH) {
            let rows = parallel::map(threads, BATCH.min(taken.len() - from), |at| row(taken, from + at, least));
            for row in rows {
                found.genuine.extend(row.genuine);
                found.near_impostors.extend(row.near);
                found.scores.add(&row.scores);
            }
            if found.near_impostors.len() > most {
                least = found.keep_nearest(most);
            }
        }
        found.finish()
    }

    /// Compares the pairs alone.
    pub fn of_pairs(taken: &[Taken], people: usize, pairs: &[Pair], threads: usize) -> Self {
        let mut found = Self::none(taken, people, Extent::Listed, threads);
        let all = parallel::map(threads, pairs.len(), |at| {
            let Pair { enrolled, probe, .. } = pairs[at];
            score(taken, enrolled, probe)
        });
        for (score, pair) in all.into_iter().zip(pairs) {
            found.scores.count(score.cosine, pair.same);
            if pair.same { found.genuine.push(score) } else { found.near_impostors.push(score) }
        }
        found.finish()
    }

    fn none(taken: &[Taken], people: usize, extent: Extent, threads: usize) -> Self {
        let subjects = taken.iter().map(|one| one.subject as u32).collect();
        let (genuine, near_impostors) = (Vec::new(), Vec::new());
        let scores = Scores::default();
        Self { extent, subjects, people, genuine, near_impostors, impostors: 0, scores, complete: false, threads }
    }

    /// Counts and sorts what was compared.
    pub(super) fn finish(mut self) -> Self {
        self.near_impostors.sort_unstable_by(nearest_first);
        self.impostors = self.scores.impostors.iter().sum();
        self.complete = self.near_impostors.len() as u64 == self.impostors;
        self
    }

    /// What was compared in another run, yet to be filled in.
    pub(super) fn empty(extent: Extent, subjects: Vec<u32>, people: usize, threads: usize) -> Self {
        Self { subjects, ..Self::none(&[], people, extent, threads) }
    }

    /// The comparisons of some pictures among other people: `subject` gives each picture's number among them, or none where it
    /// is left out.
    pub(super) fn among(&self, people: usize, subject: impl Fn(u32) -> Option<u32>) -> Self {
        let kept = |all: &[Score]| -> Vec<Score> {
            all.iter().filter(|one| subject(one.enrolled).is_some() && subject(one.probe).is_some()).copied().collect()
        };
        // Nobody's pictures count as those of one more person, who takes part in nothing.
        let nobody = people as u32;
        let subjects = (0..self.subjects.len() as u32).map(|picture| subject(picture).unwrap_or(nobody)).collect();
        let (genuine, near_impostors) = (kept(&self.genuine), kept(&self.near_impostors));
        Self { subjects, people, genuine, near_impostors, ..self.clone() }
    }

    /// Forgets all impostors but the nearest ones; gives the cosine of the last that is kept.
    fn keep_nearest(&mut self, most: usize) -> f32 {
        let (_, last, _) = self.near_impostors.select_nth_unstable_by(most, nearest_first);
        let last = last.cosine;
        self.near_impostors.truncate(most);
        last
    }

    /// Comparisons of two pictures of one person, and of two people.
    pub fn counts(&self) -> (u64, u64) {
        (self.genuine.len() as u64, self.impostors)
    }

    /// What the false match rates cost, and the 95 % intervals.
    pub fn rates(&self) -> Vec<Rate> {
        let found = self.weighted(&RATES, &vec![1.0; self.people]);
        let resamples = self.fnmrs_of_resamples();
        let each = RATES.iter().zip(found).enumerate().map(|(at, (&fmr, (cosine, fnmr)))| Rate {
            fmr,
            false_matches: (fmr * self.impostors as f64 + 1e-9) as u64,
            cosine,
            fnmr,
            fnmr_interval: interval(resamples.iter().map(|resample| resample[at])),
        });
        each.collect()
    }

    /// FNMR at each of [`RATES`] in each resample of the people, thresholds included; NaN where too few impostors were kept to tell.
    /// The same people are drawn in every run over them, so that two runs can be compared resample by resample.
    pub fn fnmrs_of_resamples(&self) -> Vec<Vec<f64>> {
        let fnmrs = |weights: &[f64]| self.weighted(&RATES, weights).into_iter().map(|(_, fnmr)| fnmr).collect();
        resampled(self.threads, self.people, fnmrs)
    }

    /// The errors at that cosine. None for a cosine that is so low that not all that match were kept.
    pub fn at(&self, cosine: f32) -> Option<Errors> {
        if !self.complete && self.near_impostors.last().is_none_or(|last| last.cosine >= cosine) {
            return None;
        }
        let matched = self.near_impostors.partition_point(|near| near.cosine >= cosine);
        let (near, all) = (&self.near_impostors[..matched], self.impostors as f64);
        let missed: Vec<&Score> = self.genuine.iter().filter(|same| same.cosine < cosine).collect();
        let resamples = resampled(self.threads, self.people, |weights| {
            let fmr = self.weight(near, weights) / self.impostors_weight(weights);
            let fnmr = missed.iter().map(|same| self.weight_of(same, weights)).sum::<f64>();
            (fmr, fnmr / self.genuine_weight(weights))
        });
        let known = self.people_with_genuine() as f64;
        Some(Errors {
            false_matches: matched as u64,
            fmr: matched as f64 / all,
            // Two people stand behind a comparison of impostors.
            fmr_interval: if matched == 0 {
                none_seen(self.people as f64 / 2.0)
            } else {
                interval(resamples.iter().map(|resample| resample.0))
            },
            false_non_matches: missed.len() as u64,
            fnmr: missed.len() as f64 / self.genuine.len() as f64,
            fnmr_interval: if missed.is_empty() {
                none_seen(known)
            } else {
                interval(resamples.iter().map(|resample| resample.1))
            },
        })
    }

    fn people_with_genuine(&self) -> usize {
        let mut seen = vec![false; self.people + 1];
        self.genuine.iter().for_each(|same| seen[self.subject(same.probe)] = true);
        seen.into_iter().filter(|seen| *seen).count()
    }

    pub(super) fn subject(&self, picture: u32) -> usize {
        self.subjects[picture as usize] as usize
    }

    /// How often a resample has that comparison: one of one person as often as the person, one of two people as often as there
    /// are pairs of them.
    pub(super) fn weight_of(&self, score: &Score, weights: &[f64]) -> f64 {
        let (enrolled, probe) = (self.subject(score.enrolled), self.subject(score.probe));
        if enrolled == probe { weights[enrolled] } else { weights[enrolled] * weights[probe] }
    }

    fn weight(&self, scores: &[Score], weights: &[f64]) -> f64 {
        scores.iter().map(|score| self.weight_of(score, weights)).sum()
    }

    pub(super) fn genuine_weight(&self, weights: &[f64]) -> f64 {
        self.weight(&self.genuine, weights)
    }

    /// How many comparisons of two people a resample has.
    pub(super) fn impostors_weight(&self, weights: &[f64]) -> f64 {
        if self.extent == Extent::Listed {
            return self.weight(&self.near_impostors, weights);
        }
        let mut counts = vec![0.0; self.people];
        for &subject in &self.subjects {
            // Pictures that are left out are nobody's.
            counts.get_mut(subject as usize).into_iter().for_each(|count| *count += 1.0);
        }
        let (sum, squares) = counts.iter().zip(weights).fold((0.0, 0.0), |(sum, squares), (count, weight)| {
            (sum + count * weight, squares + (count * weight) * (count * weight))
        });
        sum * sum - squares
    }

    /// Threshold and FNMR at each rate, the highest first, where each person counts as often as the weight says. NaN where too
    /// few impostors were kept to tell.
    pub(super) fn weighted(&self, rates: &[f64], weights: &[f64]) -> Vec<(f32, f64)> {
        let all = self.impostors_weight(weights);
        let mut cosines = vec![f32::NAN; rates.len()];
        let mut unknown = rates.len();
        let mut matched = 0.0;
        for near in &self.near_impostors {
            matched += self.weight_of(near, weights);
            while unknown > 0 && matched > rates[unknown - 1] * all {
                unknown -= 1;
                // Just above the first that may not match any more, and so above all that are as near as it.
                cosines[unknown] = near.cosine.next_up();
            }
            if unknown == 0 {
                break;
            }
        }
        if self.complete {
            let least = self.near_impostors.last().map_or(NO_MATCH, |last| last.cosine.next_up());
            cosines[..unknown].fill(least);
        }
        let mut missed = vec![0.0; rates.len()];
        let mut of = 0.0;
        for same in &self.genuine {
            let weight = self.weight_of(same, weights);
            of += weight;
            for (missed, cosine) in missed.iter_mut().zip(&cosines) {
                *missed += if same.cosine < *cosine { weight } else { 0.0 };
            }
        }
        let fnmr = |cosine: f32, missed: f64| if cosine.is_nan() { f64::NAN } else { missed / of };
        cosines.into_iter().zip(missed).map(|(cosine, missed)| (cosine, fnmr(cosine, missed))).collect()
    }
}

fn nearest_first(a: &Score, b: &Score) -> std::cmp::Ordering {
    b.cosine.total_cmp(&a.cosine).then((a.enrolled, a.probe).cmp(&(b.enrolled, b.probe)))
}

fn score(taken: &[Taken], enrolled: usize, probe: usize) -> Score {
    let both = taken[enrolled].templates.as_ref().zip(taken[probe].templates.as_ref());
    let cosine = both.map_or(NO_MATCH, |(a, b)| a.enrolled.cosine(&b.probe));
    Score { enrolled: enrolled as u32, probe: probe as u32, cosine }
}

/// The comparisons of that picture with those before it, both ways; of the impostors those that are as near as `least`.
fn row(taken: &[Taken], at: usize, least: f32) -> Row {
    let mut row = Row::default();
    for before in 0..at {
        let same = taken[at].subject == taken[before].subject;
        for (enrolled, probe) in [(at, before), (before, at)] {
            let score = score(taken, enrolled, probe);
            row.scores.count(score.cosine, same);
            if same {
                row.genuine.push(score);
            } else if score.cosine >= least {
                row.near.push(score);
            }
        }
    }
    row
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::vision::{DIMENSION, Embedding, evaluate::taking::Templates};

    /// A picture whose template is turned from one axis towards another.
    pub fn taken(subject: usize, axis: usize, towards: usize, cosine: f32) -> Taken {
        let mut raw = [0.0; DIMENSION];
        raw[axis] = cosine;
        raw[towards] += (1.0 - cosine * cosine).sqrt();
        let embedding = Embedding::normalised(&raw).unwrap();
        Taken::of(subject, Some(Templates { enrolled: embedding.clone(), probe: embedding }))
    }

    /// Fifty subjects with two pictures each: the second of every tenth is unlike the first.
    pub fn fifty() -> Vec<Taken> {
        let both = |subject: usize| {
            let alike = if subject.is_multiple_of(10) { -0.1 } else { 0.9 };
            [taken(subject, subject, 500, 1.0), taken(subject, subject, 100 + subject, alike)]
        };
        (0..50).flat_map(both).collect()
    }

    #[test]
    fn rates_are_those_of_the_pairs() {
        let comparisons = Comparisons::of(&fifty(), 50, 2);
        assert_eq!(comparisons.counts(), (100, 9800));
        let rate = comparisons.rates()[1];
        assert_eq!((rate.fmr, rate.false_matches), (1e-3, 9));
        assert!((rate.fnmr - 0.1).abs() < 1e-9, "{rate:?}");
        assert!(rate.fnmr_interval[0] < 0.1 && rate.fnmr_interval[1] > 0.1, "{rate:?}");
        let errors = comparisons.at(0.5).unwrap();
        assert_eq!((errors.false_matches, errors.false_non_matches), (0, 10));
        assert_eq!(errors.fmr_interval, [0.0, 3.0 / 25.0], "none was seen: the rule of three over pairs of people");
    }

    #[test]
    fn however_many_threads_the_comparisons_are_the_same() {
        let all: Vec<Taken> = (0..400).map(|n| taken(n / 2, 400 + n % 7, n, 0.2 + n as f32 * 0.001)).collect();
        let [one, three] = [1, 3].map(|threads| Comparisons::of(&all, 200, threads));
        assert_eq!(one.near_impostors, three.near_impostors);
        assert!(one.near_impostors.len() < 10_000, "{} of {} were kept", one.near_impostors.len(), one.impostors);
        assert_eq!(one.genuine, three.genuine);
        assert_eq!(format!("{:?}", one.rates()), format!("{:?}", three.rates()));
    }

    #[test]
    fn no_more_impostors_match_than_the_rate_allows() {
        // Impostors at known cosines: subject n's picture is turned towards one axis more and more.
        let all: Vec<Taken> = (0..40).map(|n| taken(n, 400, n, 0.3 + n as f32 * 0.015)).collect();
        let comparisons = Comparisons::of(&all, 40, 1);
        let mut cosines: Vec<f32> = Vec::new();
        for (at, one) in all.iter().enumerate() {
            for other in &all[..at] {
                let both = one.templates.as_ref().zip(other.templates.as_ref()).unwrap();
                cosines.extend([both.0.enrolled.cosine(&both.1.probe); 2]);
            }
        }
        for (fmr, (cosine, _)) in RATES.into_iter().zip(comparisons.weighted(&RATES, &[1.0; 40])) {
            let matching = cosines.iter().filter(|each| **each >= cosine).count();
            assert!(matching as f64 <= fmr * cosines.len() as f64, "{fmr}: {matching} of {}", cosines.len());
            let errors = comparisons.at(cosine).unwrap();
            let share = matching as f64 / cosines.len() as f64;
            assert_eq!((errors.false_matches as usize, errors.fmr), (matching, share));
        }
    }

    #[test]
    fn a_picture_without_a_face_is_a_miss() {
        let faceless = Taken::of(0, None);
        let comparisons = Comparisons::of(&[taken(0, 0, 1, 1.0), faceless, taken(1, 2, 3, 1.0)], 2, 1);
        assert_eq!(comparisons.weighted(&[1e-3], &[1.0, 1.0])[0].1, 1.0);
    }

    #[test]
    fn pairs_of_a_list_are_compared_and_no_others() {
        let all = fifty();
        let pair = |enrolled: usize, probe: usize| Pair { enrolled, probe, same: enrolled / 2 == probe / 2, fold: 0 };
        let pairs = [pair(0, 1), pair(2, 3), pair(0, 2), pair(4, 7), pair(8, 2)];
        let comparisons = Comparisons::of_pairs(&all, 50, &pairs, 2);
        assert_eq!(comparisons.counts(), (2, 3));
        let errors = comparisons.at(0.5).unwrap();
        assert_eq!((errors.false_matches, errors.fnmr), (0, 0.5), "{errors:?}");
    }
}
