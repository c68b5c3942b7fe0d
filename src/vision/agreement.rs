//! How far two versions of a recogniser agree: the same faces through both, their embeddings compared.

use std::path::Path;

use serde::Serialize;

use super::{
    Embedding,
    align::{self, Aligned},
    engine::Engine,
    models::{Network, Pack},
    picture::Scaler,
};
use crate::{
    error::{Context, Error, Kind, Result},
    intake,
};

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Agreement {
    /// Pictures with a face.
    pub images: usize,
    /// Mean of the cosines between the two embeddings of the same face.
    pub mean_cosine: f64,
    pub lowest_cosine: f32,
    /// Size of the pack's file.
    pub bytes: u64,
    /// Size of the other file.
    pub other_bytes: u64,
}

/// Compares the pack's recogniser with the network in the ONNX file `other`, on every picture of `folder` that shows a face.
/// Both get the same aligned face. `progress` is told how many pictures of how many are done.
///
/// # Errors
/// [`Kind::Model`] where `other` is no such network; [`Kind::NotFound`] where the folder shows no face.
pub fn compare(pack: &Pack, other: &Path, folder: &Path, progress: impl Fn(u64, u64)) -> Result<Agreement> {
    let part = &pack.manifest().recogniser;
    let other_bytes = std::fs::read(other).context(Kind::NotFound, || format!("cannot read {}", other.display()))?;
    let mut networks = [
        Network::load(pack, part)?.state()?,
        Network::from_bytes(&other.display().to_string(), &other_bytes, part.input)?.state()?,
    ];
    let (mut session, mut scaler) = (Engine::load(pack)?.session()?, Scaler::default());
    let entries = std::fs::read_dir(folder).context(Kind::NotFound, || format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let (mut images, mut sum, mut lowest) = (0, 0.0, 1f32);
    for (done, path) in paths.iter().enumerate() {
        progress(done as u64, paths.len() as u64);
        let file = std::fs::read(path).unwrap_or_default();
        let Ok(picture) = intake::decode(&file, &intake::Limits::default()) else { continue };
        let Some(face) = session.detect(&picture)?.into_iter().next() else { continue };
        let Some(to_template) = align::to_template(&face.landmarks) else { continue };
        let aligned = Aligned::of(&picture, &to_template, &mut scaler)?;
        let [ours, theirs] = networks.each_mut().map(|network| {
            let outputs = network.run(|planes| aligned.write(false, &part.input, planes))?;
            outputs
                .first()
                .and_then(|output| Embedding::normalised(output))
                .ok_or_else(|| Error::new(Kind::Model, "a recogniser gave no embedding"))
        });
        let cosine = ours?.cosine(&theirs?);
        images += 1;
        sum += f64::from(cosine);
        lowest = lowest.min(cosine);
    }
    if images == 0 {
        return Err(Error::new(Kind::NotFound, format!("no picture in {} shows a face", folder.display())));
    }
    Ok(Agreement {
        images,
        mean_cosine: sum / images as f64,
        lowest_cosine: lowest,
        bytes: part.bytes,
        other_bytes: other_bytes.len() as u64,
    })
}
