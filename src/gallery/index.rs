//! The guard before FAISS: one `IDMap2,Flat` inner-product index, and the checks that its safe functions lack.
//!
//! `add_with_ids` reads past the end when there are too few ids, a wrong length is cut off in silence, a NaN is taken, and so
//! is an id that is there already. So nothing reaches C++ from anywhere else, and here only after its length, numbers,
//! norm, ids and count were checked. Of many vectors it reads those that can be among the nearest, as [`Sketches`] tell, and all where
//! they tell little. The index is a copy: the store is the truth, and no index is ever written to a file.
//!
//! FAISS translates ids in an OpenMP loop, which would start a team of threads beside the door's. Every thread that
//! comes here first tells OpenMP to use itself alone; that is the one foreign function declared by hand.

use std::{collections::HashMap, ffi::c_int};

use faiss::{ConcurrentIndex, FlatIndex, IdMap, Idx, Index, MetricType, index_factory, selector::IdSelector};
use zeroize::Zeroize as _;

use super::sketch::Sketches;
use crate::{
    error::{Error, Kind, Result},
    vision::{DIMENSION, cosine, cosine_of},
};

/// How far a vector's norm may be from 1.
const NORM_TOLERANCE: f64 = 1e-3;

/// Where more than one in so many vectors can be among the nearest, all are read one after the other: that is sooner done than so many
/// here and there.
const WORTH_IT: usize = 8;

// SAFETY: the declaration is that of the OpenMP specification; it sets a number of the calling thread and nothing else.
#[allow(unsafe_code)]
unsafe extern "C" {
    safe fn omp_set_num_threads(threads: c_int);
}

/// Vectors by internal id, with something of the caller's beside each.
pub(super) struct FaceIndex<T> {
    faiss: IdMap<FlatIndex>,
    sketches: Sketches,
    /// Whose sketch is in each place.
    ids: Vec<u64>,
    /// The place of the sketch beside what is the caller's.
    faces: HashMap<u64, (usize, T)>,
}

impl<T> FaceIndex<T> {
    /// An empty index.
    pub fn new() -> Result<Self> {
        let faiss = index_factory(DIMENSION as u32, "IDMap2,Flat", MetricType::InnerProduct)
            .and_then(|index| index.into_id_map())
            .and_then(IdMap::try_cast_inner_index::<FlatIndex>)
            .map_err(|error| failed("make", error))?;
        Ok(Self { faiss, sketches: Sketches::default(), ids: Vec::new(), faces: HashMap::new() })
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.faces.len()
    }

    /// What stands beside the vector of `id`.
    pub fn get(&self, id: u64) -> Option<&T> {
        self.faces.get(&id).map(|(_, face)| face)
    }

    /// All ids, in no order.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.faces.keys().copied()
    }

    /// Adds vectors, one after the other in `vectors`, [`DIMENSION`] numbers each. All or none.
    pub fn add(&mut self, vectors: &[f32], faces: Vec<(u64, T)>) -> Result<()> {
        if faces.is_empty() && vectors.is_empty() {
            return Ok(());
        }
        if vectors.len() != faces.len() * DIMENSION {
            return Err(refused("the number of vectors is not the number of ids"));
        }
        let (each, _) = vectors.as_chunks::<DIMENSION>();
        each.iter().try_for_each(|vector| check_vector(vector).map(|_| ()))?;
        let mut ids = Vec::with_capacity(faces.len());
        for &(id, _) in &faces {
            if id > i64::MAX as u64 || self.faces.contains_key(&id) {
                return Err(refused("an internal id is taken or out of range"));
            }
            ids.push(id);
        }
        let native: Vec<Idx> = ids.iter().map(|&id| Idx::new(id)).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(refused("an internal id stands twice"));
        }
        omp_set_num_threads(1);
        self.faiss.add_with_ids(vectors, &native).map_err(|error| failed("add to", error))?;
        for ((id, face), vector) in faces.into_iter().zip(each) {
            self.faces.insert(id, (self.ids.len(), face));
            self.ids.push(id);
            self.sketches.push(vector);
        }
        self.check_count()
    }

    /// Removes those of `ids` that are there; how many those were.
    pub fn remove(&mut self, ids: &[u64]) -> Result<usize> {
        let mut known: Vec<u64> = ids.iter().copied().filter(|id| self.faces.contains_key(id)).collect();
        known.sort_unstable();
        known.dedup();
        if known.is_empty() {
            return Ok(0);
        }
        let native: Vec<Idx> = known.iter().map(|&id| Idx::new(id)).collect();
        omp_set_num_threads(1);
        let selector = IdSelector::batch(&native).map_err(|error| failed("select from", error))?;
        self.faiss.remove_ids(&selector).map_err(|error| failed("remove from", error))?;
        for id in &known {
            let Some((place, _)) = self.faces.remove(id) else { continue };
            if self.ids.get(place) != Some(id) {
                return Err(out_of_step());
            }
            self.sketches.swap_remove(place);
            self.ids.swap_remove(place);
            if let Some((moved, _)) = self.ids.get(place).and_then(|moved| self.faces.get_mut(moved)) {
                *moved = place;
            }
        }
        self.check_count()?;
        Ok(known.len())
    }

    /// The `k` vectors with the greatest inner product with `probe`, greatest first; fewer where there are fewer.
    pub fn nearest(&self, probe: &[f32], k: usize) -> Result<Vec<(u64, f32)>> {
        let probe = check_vector(probe)?;
        if k == 0 {
            return Err(refused("a search for nothing"));
        }
        let k = k.min(self.len());
        if k == 0 {
            return Ok(Vec::new());
        }
        let worth_it = self.len() / WORTH_IT;
        // There are no fewer candidates than are asked for.
        let candidates = (k <= worth_it).then(|| self.sketches.candidates(probe, k));
        let Some(candidates) = candidates.filter(|candidates| candidates.len() <= worth_it) else {
            return self.all_by_faiss(probe, k);
        };
        let mut hits = Vec::with_capacity(candidates.len());
        let mut vector = [0.0; DIMENSION];
        for place in candidates {
            let id = *self.ids.get(place).ok_or_else(out_of_step)?;
            self.faiss.reconstruct(Idx::new(id), &mut vector).map_err(|error| failed("read from", error))?;
            hits.push((id, cosine(probe, &vector)));
        }
        vector.zeroize();
        hits.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
        hits.truncate(k);
        Ok(hits)
    }

    /// The same by FAISS alone, which reads them all: what [`FaceIndex::nearest`] is measured against.
    pub fn nearest_of_all(&self, probe: &[f32], k: usize) -> Result<Vec<(u64, f32)>> {
        self.all_by_faiss(check_vector(probe)?, k.min(self.len()))
    }

    fn all_by_faiss(&self, probe: &[f32; DIMENSION], k: usize) -> Result<Vec<(u64, f32)>> {
        omp_set_num_threads(1);
        let found = ConcurrentIndex::search(&self.faiss, probe, k).map_err(|error| failed("search", error))?;
        let pairs = found.labels.iter().zip(found.distances);
        let hits: Vec<_> = pairs.filter_map(|(label, cosine)| Some((label.get()?, cosine_of(cosine)))).collect();
        if hits.len() != k || hits.iter().any(|(id, _)| !self.faces.contains_key(id)) {
            return Err(out_of_step());
        }
        Ok(hits)
    }

    /// The vector of `id`, as FAISS has it.
    pub fn vector(&self, id: u64) -> Result<Option<Vec<f32>>> {
        if !self.faces.contains_key(&id) {
            return Ok(None);
        }
        let mut vector = vec![0.0; DIMENSION];
        self.faiss.reconstruct(Idx::new(id), &mut vector).map_err(|error| failed("read from", error))?;
        Ok(Some(vector))
    }

    /// Whether the sketch of `id` is that of this vector.
    pub fn has_sketch_of(&self, id: u64, vector: &[f32; DIMENSION]) -> bool {
        self.faces.get(&id).is_some_and(|&(place, _)| self.sketches.is_of(place, vector))
    }

    #[cfg(test)]
    pub fn spoil_sketch(&mut self, id: u64) {
        self.sketches.spoil(self.faces[&id].0);
    }

    fn check_count(&self) -> Result<()> {
        let all = [self.faiss.ntotal(), self.ids.len() as u64, self.sketches.len() as u64];
        if all == [self.faces.len() as u64; 3] { Ok(()) } else { Err(out_of_step()) }
    }
}

fn check_vector(vector: &[f32]) -> Result<&[f32; DIMENSION]> {
    let vector: &[f32; DIMENSION] = vector.try_into().map_err(|_| refused("a vector is not of the right length"))?;
    let norm = vector.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
    // Not finite, where a number is not; and then the comparison does not hold.
    if (norm - 1.0).abs() <= NORM_TOLERANCE { Ok(vector) } else { Err(refused("a vector is not of unit length")) }
}

fn refused(why: &str) -> Error {
    Error::new(Kind::Internal, format!("refused by the index of faces: {why}"))
}

fn out_of_step() -> Error {
    Error::new(Kind::Internal, "the index of faces is out of step").help("restart: it is built anew from the store")
}

fn failed(what: &str, error: faiss::error::Error) -> Error {
    Error::new(Kind::Internal, format!("cannot {what} the index of faces")).source(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{gallery::tests::numbers, vision::Embedding};

    /// What somebody may try.
    #[derive(Clone, Debug)]
    enum Attempt {
        /// Vectors of these lengths, made from seeds, each with a fault or none; and ids, perhaps of another number.
        Add {
            vectors: Vec<(u64, Fault)>,
            ids: Vec<u64>,
        },
        Remove(Vec<u64>),
        Search {
            seed: u64,
            fault: Fault,
            k: usize,
        },
    }

    #[derive(Clone, Copy, Debug)]
    enum Fault {
        None,
        Short,
        Long,
        Empty,
        Scaled(f32),
        Value(f32),
    }

    /// A unit vector, the same for the same seed, with a fault.
    fn vector(seed: u64, fault: Fault) -> Vec<f32> {
        let mut vector = Embedding::normalised(&numbers(seed)).unwrap().as_slice().to_vec();
        match fault {
            Fault::None => {}
            Fault::Short => vector.truncate(DIMENSION - 1),
            Fault::Long => vector.push(0.0),
            Fault::Empty => vector.clear(),
            Fault::Scaled(by) => vector.iter_mut().for_each(|value| *value *= by),
            Fault::Value(value) => vector[7] = value,
        }
        vector
    }

    fn is_unit(vector: &[f32]) -> bool {
        vector.len() == DIMENSION
            && vector.iter().all(|v| v.is_finite())
            && (vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt() - 1.0).abs() <= 1e-3
    }

    fn fault() -> impl Strategy<Value = Fault> {
        prop_oneof![
            12 => Just(Fault::None),
            1 => Just(Fault::Short),
            1 => Just(Fault::Long),
            1 => Just(Fault::Empty),
            1 => prop_oneof![Just(0.0), Just(0.99), Just(1.01), Just(1e30), Just(0.9995), -2.0f32..2.0].prop_map(Fault::Scaled),
            1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(f32::MAX), Just(5.0)]
                .prop_map(Fault::Value),
        ]
    }

    fn id() -> impl Strategy<Value = u64> {
        prop_oneof![20 => 0u64..40, 1 => Just(i64::MAX as u64), 1 => Just(u64::MAX), 1 => Just(1 << 63)]
    }

    fn attempt() -> impl Strategy<Value = Attempt> {
        let seed = 0u64..20;
        prop_oneof![
            4 => prop::collection::vec(((seed.clone(), fault()), id()), 0..4).prop_map(|rows| {
                let (vectors, ids) = rows.into_iter().unzip();
                Attempt::Add { vectors, ids }
            }),
            1 => (prop::collection::vec((seed.clone(), fault()), 0..4), prop::collection::vec(id(), 0..4))
                .prop_map(|(vectors, ids)| Attempt::Add { vectors, ids }),
            2 => prop::collection::vec(id(), 0..6).prop_map(Attempt::Remove),
            3 => (seed, fault(), prop_oneof![0usize..6, Just(1000), Just(usize::MAX)])
                .prop_map(|(seed, fault, k)| Attempt::Search { seed, fault, k }),
        ]
    }

    /// Those of many are found that FAISS finds which reads them all, also when some are gone and others have their places.
    #[test]
    fn of_many_the_nearest_are_those_that_faiss_finds() {
        let mut index = FaceIndex::new().unwrap();
        let add = |index: &mut FaceIndex<()>, ids: std::ops::Range<u64>| {
            let vectors: Vec<f32> = ids.clone().flat_map(|id| vector(id, Fault::None)).collect();
            index.add(&vectors, ids.map(|id| (id, ())).collect()).unwrap();
        };
        add(&mut index, 0..2000);
        let agree = |index: &FaceIndex<()>| {
            for (seed, k) in [(1999, 1), (17, 1), (5000, 3), (5001, 8), (5002, 60), (5003, 1000)] {
                let probe = vector(seed, Fault::None);
                let of_all = index.nearest_of_all(&probe, k).unwrap();
                let found = index.nearest(&probe, k).unwrap();
                let ids = |hits: &[(u64, f32)]| hits.iter().map(|hit| hit.0).collect::<Vec<_>>();
                assert_eq!(ids(&found), ids(&of_all));
                assert!(found.iter().zip(&of_all).all(|(a, b)| (a.1 - b.1).abs() < 1e-6));
            }
        };
        agree(&index);
        assert_eq!(index.nearest(&vector(17, Fault::None), 1).unwrap(), [(17, 1.0)]);
        assert_eq!(index.remove(&(0..2000).step_by(3).chain([1999]).collect::<Vec<_>>()).unwrap(), 668);
        agree(&index);
        add(&mut index, 2000..2300);
        agree(&index);
        assert!(index.nearest(&vector(1999, Fault::None), 1).unwrap()[0].1 < 0.5, "it was removed");
        assert_eq!(index.nearest(&vector(17, Fault::None), 1).unwrap(), [(17, 1.0)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever is tried, FAISS holds what a plain map holds and answers as a plain scan does.
        #[test]
        fn nothing_unchecked_reaches_faiss(attempts in prop::collection::vec(attempt(), 1..40)) {
            let mut index = FaceIndex::new().unwrap();
            let mut model: HashMap<u64, Vec<f32>> = HashMap::new();
            for attempt in attempts {
                match attempt {
                    Attempt::Add { vectors, ids } => {
                        // As it would arrive: one row of numbers. Faults that cancel out in length are only faults of norm.
                        let flat: Vec<f32> = vectors.iter().flat_map(|&(seed, fault)| vector(seed, fault)).collect();
                        let distinct: std::collections::HashSet<_> = ids.iter().collect();
                        let fine = flat.len() == ids.len() * DIMENSION
                            && flat.chunks(DIMENSION).all(is_unit)
                            && distinct.len() == ids.len()
                            && ids.iter().all(|id| *id <= i64::MAX as u64 && !model.contains_key(id));
                        let answer = index.add(&flat, ids.iter().map(|&id| (id, ())).collect());
                        prop_assert_eq!(answer.is_ok(), fine);
                        if fine {
                            model.extend(ids.into_iter().zip(flat.chunks(DIMENSION).map(<[f32]>::to_vec)));
                        }
                    }
                    Attempt::Remove(ids) => {
                        let expected = ids.iter().filter(|id| model.remove(id).is_some()).count();
                        prop_assert_eq!(index.remove(&ids).unwrap(), expected);
                    }
                    Attempt::Search { seed, fault, k } => {
                        let probe = vector(seed, fault);
                        let answer = index.nearest(&probe, k);
                        prop_assert_eq!(answer.is_ok(), is_unit(&probe) && k > 0);
                        let Ok(hits) = answer else { continue };
                        prop_assert_eq!(hits.len(), k.min(model.len()));
                        let cosine = |id: u64| -> f32 { model[&id].iter().zip(&probe).map(|(a, b)| a * b).sum() };
                        for &(id, given) in &hits {
                            prop_assert!((cosine(id) - given).abs() < 1e-5);
                        }
                        prop_assert!(hits.windows(2).all(|pair| pair[0].1 >= pair[1].1));
                        let worst = hits.last().map_or(f32::INFINITY, |hit| hit.1);
                        let better = model.keys().filter(|&&id| cosine(id) > worst + 1e-5).count();
                        prop_assert!(better < hits.len().max(1), "a better one was left out");
                    }
                }
                prop_assert_eq!(index.len(), model.len());
                prop_assert_eq!(index.faiss.ntotal(), model.len() as u64);
            }
            for (id, expected) in &model {
                prop_assert!(index.has_sketch_of(*id, expected.as_slice().try_into().unwrap()));
                prop_assert_eq!(&index.vector(*id).unwrap().unwrap(), expected);
            }
            prop_assert_eq!(index.vector(41).unwrap(), None);
        }
    }
}
