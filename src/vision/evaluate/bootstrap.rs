//! Intervals: how the figures would vary had other people been photographed.
//!
//! People are drawn again with replacement, not comparisons: those of one person stand or fall together, and intervals over
//! comparisons would be far too narrow (Bolle, Ratha and Pankanti 2004: the subsets bootstrap).

use super::parallel;

/// Samples of people from which the intervals are made.
const RESAMPLES: usize = 400;

/// The number that SplitMix64 (Steele et al. 2014) gives as its `number`th: chance that is the same at every run.
pub fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What `of` makes of every resample: it is given how often each of that many people was drawn. The same draws at every call,
/// so that the figures of two runs over the same people can be compared resample by resample.
pub fn resampled<T: Send>(threads: usize, people: usize, of: impl Fn(&[f64]) -> T + Sync) -> Vec<T> {
    parallel::map(threads, RESAMPLES, |resample| {
        let mut weights = vec![0.0; people];
        for draw in 0..people {
            let number = (resample * people + draw) as u64;
            weights[(mixed(number) % people as u64) as usize] += 1.0;
        }
        of(&weights)
    })
}

/// The middle 95 % of the figures that came of the resamples; those that gave no number are left out. None where none gave one.
pub fn known_interval(of: impl IntoIterator<Item = f64>) -> Option<[f64; 2]> {
    let mut values: Vec<f64> = of.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some([0.025, 0.975].map(|share| values[((values.len() as f64 * share) as usize).min(last)]))
}

/// The same of rates: anything from 0 to 1 where nothing is known.
pub fn interval(of: impl IntoIterator<Item = f64>) -> [f64; 2] {
    known_interval(of).unwrap_or([0.0, 1.0])
}

/// The interval of a rate of which no error was seen among `people` who are independent of each other: the rule of three
/// (ISO/IEC 19795-1), since a resample of no errors has none either.
pub fn none_seen(people: f64) -> [f64; 2] {
    [0.0, (3.0 / people).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resample_has_as_many_people_and_every_run_the_same() {
        let sums = resampled(2, 30, |weights| (weights.iter().sum::<f64>(), weights.to_vec()));
        assert!(sums.iter().all(|(sum, _)| *sum == 30.0));
        assert_eq!(sums, resampled(1, 30, |weights| (weights.iter().sum::<f64>(), weights.to_vec())));
        assert_ne!(sums[0], sums[1]);
    }

    #[test]
    fn the_interval_leaves_a_fortieth_at_either_end() {
        assert_eq!(interval((0..400).map(f64::from).chain([f64::NAN])), [10.0, 390.0]);
        assert_eq!(interval([f64::NAN]), [0.0, 1.0]);
        assert_eq!((known_interval([f64::INFINITY]), known_interval([1.5])), (None, Some([1.5, 1.5])));
        assert_eq!(none_seen(2.0), [0.0, 1.0]);
    }
}
