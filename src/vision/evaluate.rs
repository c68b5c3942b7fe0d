//! How often a pack is wrong: every picture of a folder of known people through the whole pipeline, every pair compared.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use image::RgbImage;
use parking_lot::Mutex;
use serde::Serialize;

use super::{Embedding, Face, engine::Engine};
use crate::{
    error::{Context, Error, Kind, Result},
    intake,
};

/// False match rates that are reported.
const RATES: [f64; 2] = [1e-3, 1e-4];

/// Samples of subjects from which the intervals are made.
const RESAMPLES: usize = 400;

/// What was found over a folder of pictures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The recogniser's name.
    pub model: String,
    /// Pictures that were read.
    pub images: usize,
    /// Different people among them.
    pub subjects: usize,
    /// Pictures that could not be read.
    pub unreadable: usize,
    /// Pictures in which no face was found; each of their pairs counts as one that does not match.
    pub without_face: usize,
    pub genuine_pairs: u64,
    pub impostor_pairs: u64,
    pub rates: Vec<Rate>,
}

/// The price of a false match rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rate {
    /// The false match rate that was asked for.
    pub fmr: f64,
    /// The least cosine at which no more impostor pairs match.
    pub cosine: f32,
    /// The share of genuine pairs below it.
    pub fnmr: f64,
    /// The 95 % interval of `fnmr`: bootstrap over subjects, threshold included.
    pub fnmr_interval: [f64; 2],
}

/// A picture of somebody: the name of the file before its last `_` and number, as LFW has it.
struct Picture {
    path: PathBuf,
    subject: usize,
}

/// Runs the pipeline over the folder's JPEG and PNG files called `Name_0001.jpg`, on `threads` threads; `progress` is told
/// of each picture that is done.
///
/// # Errors
/// [`Kind::NotFound`] where the folder cannot be read or gives no pair of either sort; [`Kind::Model`] where a network fails.
/// A picture that cannot be read is counted.
pub fn evaluate(engine: &Arc<Engine>, folder: &Path, threads: usize, progress: impl Fn() + Sync) -> Result<Report> {
    let (pictures, subjects) = list(folder)?;
    let next = AtomicUsize::new(0);
    let results = Mutex::new(vec![Outcome::Unreadable; pictures.len()]);
    let work = || -> Result<()> {
        let mut session = engine.session()?;
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&at| at < pictures.len()) {
            let bytes = std::fs::read(&pictures[at].path).unwrap_or_default();
            if let Ok(picture) = intake::decode(&bytes, &intake::Limits::default()) {
                let faces = session.detect(&picture)?;
                let outcome = match main_face(&picture, &faces) {
                    Some(face) => Outcome::Seen(session.embed(&picture, &face.landmarks)?),
                    None => Outcome::NoFace,
                };
                results.lock()[at] = outcome;
            }
            progress();
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a worker panicked"))))
            .collect::<Result<Vec<()>>>()
    })?;
    let results = results.into_inner();
    let unreadable = results.iter().filter(|r| matches!(r, Outcome::Unreadable)).count();
    let without_face = results.iter().filter(|r| matches!(r, Outcome::NoFace)).count();
    let read: Vec<(usize, Option<&Embedding>)> = pictures
        .iter()
        .zip(&results)
        .filter_map(|(picture, outcome)| match outcome {
            Outcome::Unreadable => None,
            Outcome::NoFace => Some((picture.subject, None)),
            Outcome::Seen(embedding) => Some((picture.subject, Some(embedding))),
        })
        .collect();
    let pairs = Pairs::of(&read, subjects);
    if pairs.genuine.is_empty() || pairs.impostor_count == 0 {
        return Err(Error::new(Kind::NotFound, format!("{} gives no pairs to compare", folder.display()))
            .help("at least two people and one with two pictures are needed, named like Name_0001.jpg"));
    }
    Ok(Report {
        model: engine.model_id().to_owned(),
        images: read.len(),
        subjects,
        unreadable,
        without_face,
        genuine_pairs: pairs.genuine.len() as u64,
        impostor_pairs: pairs.impostor_count,
        rates: RATES.iter().map(|&fmr| pairs.rate(fmr)).collect(),
    })
}

#[derive(Clone)]
enum Outcome {
    Unreadable,
    NoFace,
    Seen(Embedding),
}

fn list(folder: &Path) -> Result<(Vec<Picture>, usize)> {
    let entries = std::fs::read_dir(folder).context(Kind::NotFound, || format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut subjects = HashMap::new();
    let pictures = paths.into_iter().filter_map(|path| {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        let (name, number) = path.file_stem()?.to_str()?.rsplit_once('_')?;
        if !matches!(&*extension, "jpg" | "jpeg" | "png") || number.parse::<u32>().is_err() {
            return None;
        }
        let count = subjects.len();
        let subject = *subjects.entry(name.to_owned()).or_insert(count);
        Some(Picture { path, subject })
    });
    let pictures = pictures.collect();
    Ok((pictures, subjects.len()))
}

/// The face that a picture is of: large and in the middle.
fn main_face<'a>(picture: &RgbImage, faces: &'a [Face]) -> Option<&'a Face> {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let weight = |face: &Face| {
        let off_x = (face.area.left + face.area.width / 2.0) / width - 0.5;
        let off_y = (face.area.top + face.area.height / 2.0) / height - 0.5;
        face.area.size() / (width * height) * (1.0 - 2.0 * off_x.hypot(off_y)).max(0.0)
    };
    faces.iter().max_by(|a, b| weight(a).total_cmp(&weight(b)))
}

/// All pairs of pictures: the genuine ones, and the impostor ones that come nearest to matching.
struct Pairs {
    subjects: usize,
    /// Pictures of each subject.
    counts: Vec<f64>,
    /// Subject and cosine.
    genuine: Vec<(usize, f32)>,
    /// Two subjects and cosine, highest first: as many as any resample can need.
    near_impostors: Vec<(usize, usize, f32)>,
    impostor_count: u64,
}

/// A picture without a face matches nobody.
const NO_MATCH: f32 = -1.0;

impl Pairs {
    fn of(read: &[(usize, Option<&Embedding>)], subjects: usize) -> Self {
        let mut counts = vec![0.0; subjects];
        let mut genuine = Vec::new();
        let mut impostors = Vec::new();
        for (at, &(subject, embedding)) in read.iter().enumerate() {
            counts[subject] += 1.0;
            for &(other, with) in &read[..at] {
                let cosine = embedding.zip(with).map_or(NO_MATCH, |(a, b)| a.cosine(b));
                if subject == other {
                    genuine.push((subject, cosine));
                } else {
                    impostors.push((subject, other, cosine));
                }
            }
        }
        let impostor_count = impostors.len() as u64;
        // A resample weighs some pairs several times; twenty times the highest rate is beyond all of them.
        let most = (impostors.len() as f64 * RATES[0] * 20.0) as usize + 100;
        if impostors.len() > most {
            impostors.select_nth_unstable_by(most, |a, b| b.2.total_cmp(&a.2));
            impostors.truncate(most);
        }
        impostors.sort_by(|a, b| b.2.total_cmp(&a.2));
        Self { subjects, counts, genuine, near_impostors: impostors, impostor_count }
    }

    fn rate(&self, fmr: f64) -> Rate {
        let (cosine, fnmr) = self.weighted(fmr, &vec![1.0; self.subjects]);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut resampled: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let mut weights = vec![0.0; self.subjects];
                for _ in 0..self.subjects {
                    // SplitMix64 (Steele et al. 2014): the report is the same at every run.
                    random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mut mixed = random;
                    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    weights[((mixed ^ (mixed >> 31)) % self.subjects as u64) as usize] += 1.0;
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
        Rate { fmr, cosine, fnmr, fnmr_interval: [quantile(0.025), quantile(0.975)] }
    }

    /// Threshold and FNMR where each subject counts as often as its weight says.
    fn weighted(&self, fmr: f64, weights: &[f64]) -> (f32, f64) {
        let (sum, squares) = self.counts.iter().zip(weights).fold((0.0, 0.0), |(sum, squares), (count, weight)| {
            (sum + count * weight, squares + (count * weight).powi(2))
        });
        let allowed = fmr * (sum * sum - squares) / 2.0;
        let mut matched = 0.0;
        let mut cosine = NO_MATCH;
        for &(a, b, near) in &self.near_impostors {
            matched += weights[a] * weights[b];
            if matched > allowed {
                // Just above the first that may not match any more, and so above all that are as near as it.
                cosine = near.next_up();
                break;
            }
        }
        let (missed, all) = self.genuine.iter().fold((0.0, 0.0), |(missed, all), &(subject, same)| {
            let weight = weights[subject];
            (missed + if same < cosine { weight } else { 0.0 }, all + weight)
        });
        (cosine, missed / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::DIMENSION;

    fn embedding(axis: usize, towards: usize, cosine: f32) -> Embedding {
        let mut raw = [0.0; DIMENSION];
        raw[axis] = cosine;
        raw[towards] += (1.0 - cosine * cosine).sqrt();
        Embedding::normalised(&raw).unwrap()
    }

    #[test]
    fn rates_are_those_of_the_pairs() {
        // Fifty subjects with two pictures each: the second of every tenth is unlike the first.
        let all: Vec<(usize, Embedding)> = (0..50)
            .flat_map(|subject| {
                let alike = if subject % 10 == 0 { -0.1 } else { 0.9 };
                [(subject, embedding(subject, 500, 1.0)), (subject, embedding(subject, 100 + subject, alike))]
            })
            .collect();
        let read: Vec<_> = all.iter().map(|(subject, embedding)| (*subject, Some(embedding))).collect();
        let pairs = Pairs::of(&read, 50);
        assert_eq!((pairs.genuine.len(), pairs.impostor_count), (50, 4900));
        let rate = pairs.rate(1e-3);
        assert!((rate.fnmr - 0.1).abs() < 1e-9, "{rate:?}");
        assert!(rate.fnmr_interval[0] < 0.1 && rate.fnmr_interval[1] > 0.1, "{rate:?}");
    }

    #[test]
    fn a_picture_without_a_face_is_a_miss() {
        let one = embedding(0, 1, 1.0);
        let pairs = Pairs::of(&[(0, Some(&one)), (0, None), (1, Some(&embedding(2, 3, 1.0)))], 2);
        assert_eq!(pairs.weighted(1e-3, &[1.0, 1.0]).1, 1.0);
    }
}
