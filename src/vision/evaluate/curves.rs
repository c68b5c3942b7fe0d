//! How scores are spread, and the curve of one error against the other.

use serde::{Deserialize, Serialize};

/// Bins a unit of cosine.
const BINS_A_UNIT: usize = 200;

/// Bins from cosine −1 to 1, and one for 1 itself.
const BINS: usize = 2 * BINS_A_UNIT + 1;

/// Bins that a bar of the histogram joins.
const BINS_A_BAR: usize = 4;

/// How many comparisons had which cosine.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    pub genuine: Vec<u64>,
    pub impostors: Vec<u64>,
}

impl Default for Scores {
    fn default() -> Self {
        Self { genuine: vec![0; BINS], impostors: vec![0; BINS] }
    }
}

/// A bar of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Where it begins, a cosine; it ends where the next one begins.
    pub cosine: f64,
    /// The share of the genuine comparisons in it.
    pub genuine: f64,
    /// The share of the impostors' in it.
    pub impostors: f64,
}

/// A point of the curve of detection error trade-off (DET).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The threshold, a cosine.
    pub cosine: f64,
    pub fmr: f64,
    pub fnmr: f64,
}

/// Where the bin begins.
fn begins(bin: usize) -> f64 {
    bin as f64 / BINS_A_UNIT as f64 - 1.0
}

impl Scores {
    /// Counts one comparison.
    pub fn count(&mut self, cosine: f32, genuine: bool) {
        let bin = ((f64::from(cosine) + 1.0) * BINS_A_UNIT as f64).clamp(0.0, (BINS - 1) as f64) as usize;
        if genuine { self.genuine[bin] += 1 } else { self.impostors[bin] += 1 }
    }

    /// Counts what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.genuine.iter_mut().zip(&other.genuine).for_each(|(ours, theirs)| *ours += theirs);
        self.impostors.iter_mut().zip(&other.impostors).for_each(|(ours, theirs)| *ours += theirs);
    }

    /// From the lowest score to the highest. Failures to acquire, which have the cosine −1, are in no bar.
    pub fn histogram(&self) -> Vec<Bar> {
        let (genuine, impostors) = (self.genuine.iter().sum::<u64>() as f64, self.impostors.iter().sum::<u64>() as f64);
        let sum = |bins: &[u64], from: usize| bins[from..(from + BINS_A_BAR).min(BINS)].iter().sum::<u64>() as f64;
        let bars = (0..BINS).step_by(BINS_A_BAR).map(|from| Bar {
            cosine: begins(from),
            genuine: sum(&self.genuine, from) / genuine,
            impostors: sum(&self.impostors, from) / impostors,
        });
        let bars: Vec<Bar> = bars.skip(1).collect();
        let filled = |bar: &Bar| bar.genuine > 0.0 || bar.impostors > 0.0;
        let first = bars.iter().position(filled).unwrap_or(0);
        let last = bars.iter().rposition(filled).map_or(0, |last| last + 1);
        bars[first..last].to_vec()
    }

    /// Both errors at thresholds that rise by 0.005, without those at which nothing changes.
    pub fn det(&self) -> Vec<Point> {
        let (genuine, impostors) = (self.genuine.iter().sum::<u64>(), self.impostors.iter().sum::<u64>());
        let (mut missed, mut matching) = (0, impostors);
        let mut points: Vec<Point> = Vec::new();
        for bin in 0..BINS {
            let (fmr, fnmr) = (matching as f64 / impostors as f64, missed as f64 / genuine as f64);
            // A threshold that rises to no effect is the same point: the highest of them stands for all.
            if points.last().is_some_and(|last| last.fmr == fmr && last.fnmr == fnmr) {
                points.pop();
            }
            points.push(Point { cosine: begins(bin), fmr, fnmr });
            missed += self.genuine[bin];
            matching -= self.impostors[bin];
        }
        points
    }
}

/// The equal error rate: where the curve's errors are alike, a straight line being drawn between its points.
pub fn equal_error_rate(curve: &[Point]) -> Option<f64> {
    let pair = curve.windows(2).find(|pair| pair[0].fmr >= pair[0].fnmr && pair[1].fmr <= pair[1].fnmr)?;
    let (over, under) = (pair[0].fmr - pair[0].fnmr, pair[1].fnmr - pair[1].fmr);
    let share = if over + under > 0.0 { over / (over + under) } else { 0.0 };
    Some(pair[0].fmr + (pair[1].fmr - pair[0].fmr) * share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_curve_is_what_counting_gives(
            genuine in prop::collection::vec(-1.0f32..=1.0, 1..60), impostors in prop::collection::vec(-1.0f32..=1.0, 1..60),
        ) {
            let mut scores = Scores::default();
            genuine.iter().for_each(|cosine| scores.count(*cosine, true));
            impostors.iter().for_each(|cosine| scores.count(*cosine, false));
            let curve = scores.det();
            for point in &curve {
                let share = |of: &[f32]| of.iter().filter(|c| f64::from(**c) >= point.cosine).count() as f64 / of.len() as f64;
                prop_assert!((share(&impostors) - point.fmr).abs() < 1e-9 && (1.0 - share(&genuine) - point.fnmr).abs() < 1e-9);
            }
            prop_assert!(curve.windows(2).all(|p| p[0].fmr >= p[1].fmr && p[0].fnmr <= p[1].fnmr));
            let rate = equal_error_rate(&curve).unwrap();
            prop_assert!((0.0..=1.0).contains(&rate));
            let bars = scores.histogram();
            prop_assert!(bars.iter().map(|bar| bar.genuine).sum::<f64>() <= 1.0 + 1e-9);
        }
    }

    #[test]
    fn sets_that_are_apart_have_no_equal_error() {
        let mut scores = Scores::default();
        (0..10).for_each(|_| scores.count(0.9, true));
        (0..10).for_each(|_| scores.count(0.1, false));
        assert_eq!(equal_error_rate(&scores.det()), Some(0.0));
        let bars = scores.histogram();
        assert!((bars[0].cosine - 0.1).abs() < 0.02 && bars[0].impostors == 1.0, "{bars:?}");
        assert_eq!(bars.last().unwrap().genuine, 1.0);
    }
}
