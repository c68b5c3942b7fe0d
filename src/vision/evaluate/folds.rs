//! Accuracy over the folds of a list of pairs, as results on LFW are told (Huang et al. 2007): for each fold, the threshold that
//! is right most often on the other folds.

use serde::{Deserialize, Serialize};

use super::{comparisons::Comparisons, pairs::Pair};

/// Accuracy over folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Folds {
    /// Each fold's, with the threshold of the others.
    pub folds: Vec<Fold>,
    /// The mean over folds.
    pub accuracy: f64,
    /// The standard error of that mean.
    pub standard_error: f64,
}

/// One fold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    pub pairs: usize,
    /// The cosine that was right most often on the other folds.
    pub cosine: f32,
    /// The share of this fold's pairs that it is right about.
    pub accuracy: f64,
}

/// None where there is but one fold: a threshold that is chosen on the pairs it is measured on proves nothing.
pub fn measure(comparisons: &Comparisons, pairs: &[Pair]) -> Option<Folds> {
    let count = pairs.iter().map(|pair| pair.fold + 1).max().filter(|count| *count > 1)?;
    let all = comparisons.genuine.iter().chain(&comparisons.near_impostors);
    let cosines: std::collections::HashMap<_, _> =
        all.map(|score| ((score.enrolled, score.probe), score.cosine)).collect();
    let scored: Vec<(usize, bool, f32)> = pairs
        .iter()
        .filter_map(|pair| Some((pair.fold, pair.same, *cosines.get(&(pair.enrolled as u32, pair.probe as u32))?)))
        .collect();
    let mut folds = Vec::new();
    for fold in 0..count {
        let others: Vec<_> = scored.iter().filter(|one| one.0 != fold).map(|one| (one.2, one.1)).collect();
        let own: Vec<_> = scored.iter().filter(|one| one.0 == fold).collect();
        if own.is_empty() {
            continue;
        }
        let cosine = best(others);
        let right = own.iter().filter(|one| (one.2 >= cosine) == one.1).count();
        folds.push(Fold { pairs: own.len(), cosine, accuracy: right as f64 / own.len() as f64 });
    }
    let n = folds.len() as f64;
    let accuracy = folds.iter().map(|fold| fold.accuracy).sum::<f64>() / n;
    let variance = folds.iter().map(|fold| (fold.accuracy - accuracy).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    Some(Folds { folds, accuracy, standard_error: (variance / n).sqrt() })
}

/// The threshold that is right most often about these, half-way between the scores next to it; the lowest of several.
fn best(mut scored: Vec<(f32, bool)>) -> f32 {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Below all scores everything matches: right about the genuine ones.
    let mut right = scored.iter().filter(|one| one.1).count();
    let (mut most, mut cosine) = (right, -1.0);
    for at in 0..scored.len() {
        right = if scored[at].1 { right - 1 } else { right + 1 };
        let next = scored.get(at + 1).map_or(1.0, |next| next.0);
        if right > most && next > scored[at].0 {
            (most, cosine) = (right, (scored[at].0 + next) / 2.0);
        }
    }
    cosine
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::evaluate::comparisons::tests::fifty;

    #[test]
    fn each_fold_is_judged_by_the_threshold_of_the_others() {
        let all = fifty();
        let pair =
            |enrolled: usize, probe: usize, fold| Pair { enrolled, probe, same: enrolled / 2 == probe / 2, fold };
        // Fold 0 is wrong about one of four: person 0's pictures are unlike.
        let pairs: Vec<Pair> =
            [(0, 1, 0), (2, 3, 0), (0, 2, 0), (4, 6, 0), (4, 5, 1), (6, 7, 1), (8, 10, 1), (12, 14, 1)]
                .map(|(a, b, f)| pair(a, b, f))
                .into();
        let found = measure(&Comparisons::of_pairs(&all, 50, &pairs, 1), &pairs).unwrap();
        assert_eq!(found.folds.iter().map(|fold| fold.accuracy).collect::<Vec<_>>(), [0.75, 1.0]);
        assert_eq!(found.accuracy, 0.875);
        assert!((found.standard_error - 0.125).abs() < 1e-9, "{found:?}");
        let one: Vec<Pair> = pairs.iter().map(|pair| Pair { fold: 0, ..*pair }).collect();
        assert_eq!(measure(&Comparisons::of_pairs(&all, 50, &one, 1), &one), None);
    }

    #[test]
    fn the_best_threshold_lies_between_the_scores() {
        assert_eq!(best(vec![(0.2, false), (0.4, true)]), 0.3);
        assert_eq!(best(vec![(0.2, true), (0.2, true)]), -1.0);
        // Alike scores cannot be told apart.
        assert_eq!(best(vec![(0.2, false), (0.2, true), (0.2, false)]), 0.6);
    }
}
