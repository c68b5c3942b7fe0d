//! Strangers before a door: some people are enrolled, the others come, and the threshold is the one that a door would derive.

use serde::Serialize;

use super::comparisons::{Taken, mixed};
use crate::vision::{
    Embedding,
    models::{Calibration, Support},
};

/// How many embeddings are enrolled.
const ENROLLED: [usize; 3] = [100, 500, 1000];

/// One stranger in so many may be let in.
const ONE_IN: [u32; 2] = [20, 100];

/// How often other people are drawn to be enrolled.
const DRAWS: usize = 20;

/// What came of one size of gallery and one chance that was asked for, one photograph being one attempt (ISO/IEC 19795-1's
/// open-set identification).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OpenSet {
    /// Embeddings enrolled.
    pub enrolled: usize,
    /// One stranger in so many may be let in.
    pub one_in: u32,
    /// The threshold that follows, a similarity.
    pub threshold: f32,
    pub support: Support,
    /// The share of strangers who were taken for somebody, over all draws: false positive identification rate.
    pub fpir: f64,
    /// The lowest and the highest of it among the draws.
    pub fpir_range: [f64; 2],
    /// The share of enrolled people's other photographs that were not taken for them: false negative identification rate.
    pub fnir: f64,
    /// Strangers' photographs, and others of the enrolled, over all draws.
    pub strangers: usize,
    pub mates: usize,
}

/// Who is enrolled in a draw, and who comes.
struct Draw<'a> {
    enrolled: Vec<&'a Taken>,
    strangers: Vec<&'a Taken>,
    mates: Vec<&'a Taken>,
}

/// Every size and chance that there are enough pictures for: as many strangers as enrolled, or at least a hundred.
pub fn measure(taken: &[Taken], subjects: usize, scale: &Calibration) -> Vec<OpenSet> {
    let mut found = Vec::new();
    for enrolled in ENROLLED {
        let draws: Option<Vec<Draw<'_>>> = (0..DRAWS).map(|number| draw(taken, subjects, enrolled, number)).collect();
        let Some(draws) = draws else { continue };
        let nearest: Vec<_> = draws.iter().map(Draw::nearest).collect();
        for one_in in ONE_IN {
            let Some(needed) = scale.needed(1.0 / f64::from(one_in) / enrolled as f64) else { continue };
            let share = |cosines: &[f32]| {
                let over = cosines.iter().filter(|cosine| **cosine >= needed.cosine).count();
                (over, cosines.len())
            };
            let strangers: Vec<_> = nearest.iter().map(|(strangers, _)| share(strangers)).collect();
            let mates: Vec<_> = nearest.iter().map(|(_, mates)| share(mates)).collect();
            let all = |of: &[(usize, usize)]| of.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            let rates = strangers.iter().map(|(let_in, of)| *let_in as f64 / *of as f64);
            let (low, high) = rates.fold((1.0f64, 0.0f64), |range, rate| (range.0.min(rate), range.1.max(rate)));
            let ((let_in, came), (known, again)) = (all(&strangers), all(&mates));
            found.push(OpenSet {
                enrolled,
                one_in,
                threshold: needed.similarity,
                support: needed.support,
                fpir: let_in as f64 / came as f64,
                fpir_range: [low, high],
                fnir: 1.0 - known as f64 / again.max(1) as f64,
                strangers: came,
                mates: again,
            });
        }
    }
    found
}

/// Enrols people in an order of chance, all their pictures but the last of those who have several, until there are enough.
fn draw(taken: &[Taken], subjects: usize, size: usize, number: usize) -> Option<Draw<'_>> {
    let mut order: Vec<usize> = (0..subjects).collect();
    // Each draw in the order of a hash of its own: the report is the same at every run.
    order.sort_by_key(|&subject| mixed((number as u64) << 32 | subject as u64));
    let mut of_subject: Vec<Vec<&Taken>> = vec![Vec::new(); subjects];
    taken.iter().for_each(|one| of_subject[one.subject].push(one));
    let mut draw = Draw { enrolled: Vec::new(), strangers: Vec::new(), mates: Vec::new() };
    for subject in order {
        let mut pictures = std::mem::take(&mut of_subject[subject]);
        if draw.enrolled.len() >= size {
            draw.strangers.append(&mut pictures);
            continue;
        }
        if pictures.len() > 1 {
            draw.mates.extend(pictures.pop());
        }
        let room = size - draw.enrolled.len();
        draw.enrolled.extend(pictures.into_iter().take(room));
    }
    let enough = draw.enrolled.len() == size && draw.strangers.len() >= 100;
    enough.then_some(draw)
}

impl Draw<'_> {
    /// The highest cosine of each stranger with anybody, and of each mate with himself.
    fn nearest(&self) -> (Vec<f32>, Vec<f32>) {
        let highest = |probe: &Taken, among: &mut dyn Iterator<Item = &&Taken>| {
            let Some(probe) = probe.templates.as_ref().map(|templates| &templates.probe) else { return -1.0 };
            let enrolled = among.filter_map(|one| one.templates.as_ref()).map(|templates| &templates.enrolled);
            enrolled.map(|enrolled: &Embedding| enrolled.cosine(probe)).fold(-1.0, f32::max)
        };
        let strangers = self.strangers.iter().map(|probe| highest(probe, &mut self.enrolled.iter()));
        let mates = self.mates.iter().map(|probe| {
            highest(probe, &mut self.enrolled.iter().filter(|enrolled| enrolled.subject == probe.subject))
        });
        (strangers.collect(), mates.collect())
    }
}
