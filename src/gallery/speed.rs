//! How fast a search is, for `facegate bench`: among made templates, against FAISS that reads them all.

use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::index::FaceIndex;
use crate::{
    error::Result,
    vision::{DIMENSION, Embedding},
};

/// What searches among so many templates took.
pub(crate) struct Searches {
    /// As the gallery searches.
    pub ours: Vec<Duration>,
    /// FAISS alone, by turns with it.
    pub faiss: Vec<Duration>,
}

/// Searches for the `nearest` of `faces` templates, for one stranger after the other.
///
/// # Errors
/// [`crate::error::Kind::Internal`] where FAISS fails.
pub(crate) fn searches(faces: usize, nearest: usize, times: usize) -> Result<Searches> {
    let mut rng = StdRng::seed_from_u64(faces as u64);
    let mut index = FaceIndex::new()?;
    for id in 0..faces as u64 {
        index.add(stranger(&mut rng).as_slice(), vec![(id, ())])?;
    }
    let mut found = Searches { ours: Vec::with_capacity(times), faiss: Vec::with_capacity(times) };
    for _ in 0..times {
        let probe = stranger(&mut rng);
        let begun = Instant::now();
        index.nearest(probe.as_slice(), nearest)?;
        let between = Instant::now();
        index.nearest_of_all(probe.as_slice(), nearest)?;
        found.ours.push(between - begun);
        found.faiss.push(between.elapsed());
    }
    Ok(found)
}

/// A template that is as alike to others as a recogniser's of two people are. The cosine of two has the deviation √Σλ² / Σλ, where the
/// λ are their numbers' variances: 0.079 for these. In the door pack's manifest one in a hundred cosines of strangers is above 0.178 and one
/// in ten thousand above 0.289, which of normal ones are 2.33 and 3.72 deviations of 0.077.
fn stranger(rng: &mut StdRng) -> Embedding {
    loop {
        let numbers: [f32; DIMENSION] = std::array::from_fn(|at| {
            // Near enough to a normal number: the sum of twelve even ones, whose variance is a twelfth.
            let normal = (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
            normal / (1.0 + at as f32 / 10.0).sqrt()
        });
        if let Some(template) = Embedding::normalised(&numbers) {
            return template;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_as_alike_as_people_are() {
        let mut rng = StdRng::seed_from_u64(1);
        let cosines: Vec<f32> = (0..3000).map(|_| stranger(&mut rng).cosine(&stranger(&mut rng))).collect();
        let deviation = (cosines.iter().map(|cosine| cosine * cosine).sum::<f32>() / cosines.len() as f32).sqrt();
        assert!((0.074..0.084).contains(&deviation), "{deviation}");
    }
}
