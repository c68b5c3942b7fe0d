//! Every template compared with every probe, and what error rates follow.

use super::super::{Embedding, models::Rate};

/// False match rates that are reported, the highest first.
pub const RATES: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];

/// Samples of subjects from which the intervals are made.
const RESAMPLES: usize = 400;

/// A picture without a face matches nobody.
const NO_MATCH: f32 = -1.0;

/// So many times the impostors that the highest rate lets match are kept: a resample's may be others, and count several
/// times.
const SPARE: f64 = 4.0;

/// What a picture gave: what it is enrolled as, and what it is looked for with. None where no face was found.
pub struct Taken {
    pub subject: usize,
    pub templates: Option<Templates>,
}

/// The two templates of one picture.
#[derive(Clone)]
pub struct Templates {
    pub enrolled: Embedding,
    pub probe: Embedding,
}

/// All comparisons of two pictures, each enrolled and the other looked for: the genuine ones, and the impostors that come
/// nearest to matching.
pub struct Comparisons {
    subjects: usize,
    /// Pictures of each subject.
    counts: Vec<f64>,
    /// Subject and cosine.
    genuine: Vec<(u32, f32)>,
    /// Two subjects and cosine, highest first: as many as any resample can need.
    near_impostors: Vec<(u32, u32, f32)>,
    impostors: u64,
}

impl Comparisons {
    /// Compares all with all.
    pub fn of(taken: &[Taken], subjects: usize) -> Self {
        let mut counts = vec![0.0; subjects];
        taken.iter().for_each(|one| counts[one.subject] += 1.0);
        let (all, same) = counts.iter().fold((0.0, 0.0), |(all, same), count| (all + count, same + count * count));
        let most = ((all * all - same) * RATES[0] * SPARE) as usize + 100;
        let mut found = Self { subjects, counts, genuine: Vec::new(), near_impostors: Vec::new(), impostors: 0 };
        let mut least = f32::NEG_INFINITY;
        for (at, one) in taken.iter().enumerate() {
            for other in &taken[..at] {
                for (enrolled, looked_for) in [(one, other), (other, one)] {
                    let both = enrolled.templates.as_ref().zip(looked_for.templates.as_ref());
                    let cosine = both.map_or(NO_MATCH, |(a, b)| a.enrolled.cosine(&b.probe));
                    let (a, b) = (enrolled.subject as u32, looked_for.subject as u32);
                    if a == b {
                        found.genuine.push((a, cosine));
                        continue;
                    }
                    found.impostors += 1;
                    if cosine > least {
                        found.near_impostors.push((a, b, cosine));
                    }
                }
            }
            if found.near_impostors.len() > 2 * most {
                least = found.keep_nearest(most);
            }
        }
        found.keep_nearest(most);
        found.near_impostors.sort_by(|a, b| b.2.total_cmp(&a.2));
        found
    }

    /// Forgets all impostors but the nearest ones; gives the cosine of the last that is kept.
    fn keep_nearest(&mut self, most: usize) -> f32 {
        if self.near_impostors.len() <= most {
            return f32::NEG_INFINITY;
        }
        let (_, last, _) = self.near_impostors.select_nth_unstable_by(most, |a, b| b.2.total_cmp(&a.2));
        let last = last.2;
        self.near_impostors.truncate(most);
        last
    }

    /// Comparisons of two pictures of one person, and of two people.
    pub fn counts(&self) -> (u64, u64) {
        (self.genuine.len() as u64, self.impostors)
    }

    /// What that false match rate costs.
    pub fn rate(&self, fmr: f64) -> Rate {
        let (cosine, fnmr) = self.weighted(fmr, &vec![1.0; self.subjects]);
        let mut random = 0;
        let mut resampled: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let mut weights = vec![0.0; self.subjects];
                for _ in 0..self.subjects {
                    weights[(mixed(random) % self.subjects as u64) as usize] += 1.0;
                    random = random.wrapping_add(1);
                }
                self.weighted(fmr, &weights).1
            })
            .filter(|fnmr| fnmr.is_finite())
            .collect();
        resampled.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let at = (resampled.len() as f64 * share) as usize;
            resampled.get(at.min(resampled.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
        };
        let false_matches = (fmr * self.impostors as f64 + 1e-9) as u64;
        Rate { fmr, false_matches, cosine, fnmr, fnmr_interval: [quantile(0.025), quantile(0.975)] }
    }

    /// The share of impostors that match at that cosine, with their number, and of genuine comparisons that do not. None for a
    /// cosine that is so low that not all that match were kept.
    pub fn at(&self, cosine: f32) -> Option<(u64, f64, f64)> {
        let kept_all = self.near_impostors.len() as u64 == self.impostors;
        if !kept_all && self.near_impostors.last().is_none_or(|last| last.2 >= cosine) {
            return None;
        }
        let matched = self.near_impostors.iter().take_while(|near| near.2 >= cosine).count() as u64;
        let missed = self.genuine.iter().filter(|same| same.1 < cosine).count();
        Some((matched, matched as f64 / self.impostors as f64, missed as f64 / self.genuine.len() as f64))
    }

    /// Threshold and FNMR where each subject counts as often as its weight says.
    fn weighted(&self, fmr: f64, weights: &[f64]) -> (f32, f64) {
        let (sum, squares) = self.counts.iter().zip(weights).fold((0.0, 0.0), |(sum, squares), (count, weight)| {
            (sum + count * weight, squares + (count * weight).powi(2))
        });
        let allowed = fmr * (sum * sum - squares);
        let mut matched = 0.0;
        let mut cosine = NO_MATCH;
        for &(a, b, near) in &self.near_impostors {
            matched += weights[a as usize] * weights[b as usize];
            // Just above the first that may not match any more, and so above all that are as near as it.
            cosine = near.next_up();
            if matched > allowed {
                break;
            }
        }
        let (missed, all) = self.genuine.iter().fold((0.0, 0.0), |(missed, all), &(subject, same)| {
            let weight = weights[subject as usize];
            (missed + if same < cosine { weight } else { 0.0 }, all + weight)
        });
        (cosine, missed / all)
    }
}

/// The number that SplitMix64 (Steele et al. 2014) gives as its `number`th: chance that is the same at every run.
pub fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::DIMENSION;

    fn taken(subject: usize, axis: usize, towards: usize, cosine: f32) -> Taken {
        let mut raw = [0.0; DIMENSION];
        raw[axis] = cosine;
        raw[towards] += (1.0 - cosine * cosine).sqrt();
        let embedding = Embedding::normalised(&raw).unwrap();
        Taken { subject, templates: Some(Templates { enrolled: embedding.clone(), probe: embedding }) }
    }

    #[test]
    fn rates_are_those_of_the_pairs() {
        // Fifty subjects with two pictures each: the second of every tenth is unlike the first.
        let all: Vec<Taken> = (0..50)
            .flat_map(|subject| {
                let alike = if subject % 10 == 0 { -0.1 } else { 0.9 };
                [taken(subject, subject, 500, 1.0), taken(subject, subject, 100 + subject, alike)]
            })
            .collect();
        let comparisons = Comparisons::of(&all, 50);
        assert_eq!(comparisons.counts(), (100, 9800));
        let rate = comparisons.rate(1e-3);
        assert_eq!(rate.false_matches, 9);
        assert!((rate.fnmr - 0.1).abs() < 1e-9, "{rate:?}");
        assert!(rate.fnmr_interval[0] < 0.1 && rate.fnmr_interval[1] > 0.1, "{rate:?}");
    }

    #[test]
    fn no_more_impostors_match_than_the_rate_allows() {
        // Impostors at known cosines: subject n's picture is turned towards one axis more and more.
        let all: Vec<Taken> = (0..40).map(|n| taken(n, 400, n, 0.3 + n as f32 * 0.015)).collect();
        let comparisons = Comparisons::of(&all, 40);
        let mut cosines: Vec<f32> = Vec::new();
        for (at, one) in all.iter().enumerate() {
            for other in &all[..at] {
                let both = one.templates.as_ref().zip(other.templates.as_ref()).unwrap();
                cosines.extend([both.0.enrolled.cosine(&both.1.probe); 2]);
            }
        }
        for fmr in RATES {
            let rate = comparisons.weighted(fmr, &[1.0; 40]);
            let matching = cosines.iter().filter(|cosine| **cosine >= rate.0).count();
            assert!(matching as f64 <= fmr * cosines.len() as f64, "{fmr}: {matching} of {}", cosines.len());
            let (matched, share, _) = comparisons.at(rate.0).unwrap();
            assert_eq!((matched as usize, share), (matching, matching as f64 / cosines.len() as f64));
        }
    }

    #[test]
    fn a_picture_without_a_face_is_a_miss() {
        let faceless = Taken { subject: 0, templates: None };
        let comparisons = Comparisons::of(&[taken(0, 0, 1, 1.0), faceless, taken(1, 2, 3, 1.0)], 2);
        assert_eq!(comparisons.weighted(1e-3, &[1.0, 1.0]).1, 1.0);
    }
}
