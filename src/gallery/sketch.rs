//! Templates in one byte a number, which tell in a third of the time which of the exact ones can be among the nearest.
//!
//! A search among many is what the memory gives: all templates are read, 2 KiB each. So first these sketches of them are read, half a
//! kibibyte each. What a sketch leaves out of its template is known by its length, and so how far the product with a sketch can be from that
//! with the template: whatever may be among the nearest by that is left, and nothing else. So the answer is that of the exact templates
//! alone, whatever they are; only how many are left depends on them.
//!
//! With a probe `q`, a template `t` and its sketch `s`, `|q·t − q·s| = |q·(t − s)| ≤ ‖q‖ ‖t − s‖` (Cauchy and Schwarz); so with what is left
//! out of the probe, whose numbers have two bytes.

use zeroize::Zeroize;

use crate::{vision::DIMENSION, widest::widest};

/// The greatest magnitude of a sketch's numbers and of a probe's. The sum of all products stays below 2³¹.
const SKETCH_TOP: f32 = i8::MAX as f32;
const PROBE_TOP: f32 = i16::MAX as f32;

/// The greatest lengths of a probe and of a sketch: a template is of unit length by a thousandth, and what half a unit for each number
/// makes of it is no longer than √512 / 254.
const LONGEST: f32 = 1.002;
const LONGEST_SKETCH: f32 = 1.1;

/// What rounding floats adds to the bound, in parts of it and besides: some hundred times what 512 sums of numbers up to 1 can be off.
const ROUNDING: f32 = 1e-4;

type Numbers = [i8; DIMENSION];

/// Sketches, each in its place: 0 to their number.
#[derive(Default)]
pub(super) struct Sketches {
    numbers: Vec<Numbers>,
    /// What a sketch's numbers count, and the length of what it leaves out.
    scales: Vec<Scale>,
}

#[derive(Clone, Copy)]
struct Scale {
    unit: f32,
    left_out: f32,
}

impl Sketches {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Adds that of a template, in the next place.
    pub fn push(&mut self, template: &[f32; DIMENSION]) {
        let (numbers, unit) = sketch(template);
        self.numbers.push(numbers);
        self.scales.push(Scale { unit, left_out: left_out(template, &numbers, unit) });
    }

    /// Whether the one in that place is that template's.
    pub fn is_of(&self, place: usize, template: &[f32; DIMENSION]) -> bool {
        self.numbers.get(place) == Some(&sketch(template).0)
    }

    #[cfg(test)]
    pub fn spoil(&mut self, place: usize) {
        self.numbers[place][0] ^= 1;
    }

    /// Takes one away; the last one takes its place.
    ///
    /// # Panics
    /// Where there is none in that place.
    pub fn swap_remove(&mut self, place: usize) {
        self.scales.swap_remove(place);
        let last = self.numbers.len() - 1;
        self.numbers.swap(place, last);
        self.numbers[last].zeroize();
        self.numbers.truncate(last);
    }

    /// The places of all that can be among the `k` with the greatest products with the probe, in no order: those, and others.
    pub fn candidates(&self, probe: &[f32; DIMENSION], k: usize) -> Vec<usize> {
        if k >= self.len() {
            return (0..self.len()).collect();
        }
        let unit = greatest(probe) / PROBE_TOP;
        let mut rounded = probe.map(|value| (value / unit).round() as i16);
        let probe_left_out = left_out(probe, &rounded, unit);
        let mut products = vec![0; self.len()];
        multiply(&self.numbers, &rounded, &mut products);
        rounded.zeroize();
        // The least and the most that each exact product can be.
        let (mut least, most): (Vec<f32>, Vec<f32>) = products
            .iter()
            .zip(&self.scales)
            .map(|(&product, scale)| {
                let product = product as f32 * unit * scale.unit;
                let off =
                    (1.0 + ROUNDING) * (LONGEST * scale.left_out + LONGEST_SKETCH * probe_left_out) + 0.1 * ROUNDING;
                (product - off, product + off)
            })
            .unzip();
        let (_, kth, _) = least.select_nth_unstable_by(k.saturating_sub(1), |a, b| b.total_cmp(a));
        let kth = *kth;
        most.iter().enumerate().filter(|(_, most)| **most >= kth).map(|(place, _)| place).collect()
    }
}

/// A template's sketch, and what its numbers count.
fn sketch(template: &[f32; DIMENSION]) -> (Numbers, f32) {
    let unit = greatest(template) / SKETCH_TOP;
    (template.map(|value| (value / unit).round() as i8), unit)
}

/// The length of what numbers that count `unit` each leave out.
fn left_out<N: Copy + Into<f32>>(exact: &[f32; DIMENSION], numbers: &[N; DIMENSION], unit: f32) -> f32 {
    let by = exact.iter().zip(numbers).map(|(&exact, &number)| exact - number.into() * unit);
    by.map(|by| by * by).sum::<f32>().sqrt()
}

/// The greatest magnitude of numbers that are not all 0.
fn greatest(numbers: &[f32; DIMENSION]) -> f32 {
    numbers.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()))
}

widest! {
    /// The product of each sketch with the probe.
    fn multiply(sketches: &[Numbers], probe: &[i16; DIMENSION], products: &mut [i32]) {
        for (product, sketch) in products.iter_mut().zip(sketches) {
            *product = sketch.iter().zip(probe).fold(0, |sum: i32, (&ours, &theirs)| {
                sum.wrapping_add(i32::from(ours).wrapping_mul(i32::from(theirs)))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{gallery::tests::numbers, vision::Embedding};

    fn unit(numbers: &[f32]) -> [f32; DIMENSION] {
        *Embedding::normalised(numbers).unwrap().as_slice()
    }

    /// How a gallery's templates lie to each other.
    #[derive(Clone, Copy, Debug)]
    enum Spread {
        Anywhere,
        /// All as near to one as this.
        Together(f32),
        /// Few numbers are not 0: what is left out of each is not alike.
        Few(usize),
        /// All numbers are of one magnitude, where the sums are greatest.
        Even,
    }

    fn template(spread: Spread, seed: u64) -> [f32; DIMENSION] {
        let mut numbers = numbers(seed + 1);
        match spread {
            Spread::Anywhere => {}
            Spread::Together(by) => {
                let middle = self::numbers(0);
                numbers.iter_mut().zip(middle).for_each(|(number, middle)| *number = middle + *number * by);
            }
            Spread::Few(kept) => numbers[kept..].fill(0.0),
            Spread::Even => numbers.iter_mut().for_each(|number| *number = number.signum()),
        }
        unit(&numbers)
    }

    fn spread() -> impl Strategy<Value = Spread> {
        prop_oneof![
            Just(Spread::Anywhere),
            Just(Spread::Even),
            (0f32..0.3).prop_map(Spread::Together),
            (1usize..40).prop_map(Spread::Few),
        ]
    }

    proptest! {
        /// Whoever is nearer than the k-th nearest is among them, whatever the templates are.
        #[test]
        fn the_nearest_are_among_the_candidates(spread in spread(), seeds in prop::collection::vec(0u64..500, 1..80), probe in 0u64..500, k in 1usize..90) {
            let templates: Vec<_> = seeds.iter().map(|&seed| template(spread, seed)).collect();
            let probe = template(spread, probe);
            let mut sketches = Sketches::default();
            templates.iter().for_each(|template| sketches.push(template));
            let product = |template: &[f32; DIMENSION]| -> f64 {
                template.iter().zip(&probe).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let products: Vec<f64> = templates.iter().map(product).collect();
            let mut sorted = products.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let kth = sorted[k.min(sorted.len()) - 1];
            let candidates = sketches.candidates(&probe, k);
            prop_assert!(candidates.len() >= k.min(templates.len()));
            for (place, product) in products.iter().enumerate() {
                prop_assert!(*product < kth || candidates.contains(&place), "{product} of {kth} is missed");
            }
        }
    }

    /// Else they would be worth nothing.
    #[test]
    fn few_of_many_are_candidates() {
        let mut sketches = Sketches::default();
        (0..5000).for_each(|seed| sketches.push(&template(Spread::Anywhere, seed)));
        let candidates = sketches.candidates(&template(Spread::Anywhere, 9000), 8);
        assert!((8..300).contains(&candidates.len()), "{}", candidates.len());
        let candidates = sketches.candidates(&template(Spread::Anywhere, 77), 1);
        assert_eq!(candidates, [77]);
    }

    #[test]
    fn the_last_takes_the_place_of_one_that_is_taken_away() {
        let mut sketches = Sketches::default();
        (0..40).for_each(|seed| sketches.push(&template(Spread::Anywhere, seed)));
        assert!(sketches.is_of(5, &template(Spread::Anywhere, 5)));
        sketches.swap_remove(5);
        assert_eq!(sketches.len(), 39);
        assert!(sketches.is_of(5, &template(Spread::Anywhere, 39)));
        assert!(!sketches.is_of(39, &template(Spread::Anywhere, 39)));
        assert_eq!(sketches.candidates(&template(Spread::Anywhere, 39), 1), [5]);
        sketches.swap_remove(38);
        assert_eq!(sketches.candidates(&template(Spread::Anywhere, 39), 1), [5]);
        assert_eq!(sketches.candidates(&template(Spread::Anywhere, 37), 1), [37]);
    }
}
