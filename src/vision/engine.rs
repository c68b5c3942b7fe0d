//! A pack's networks, ready to run: an [`Engine`], which knows what their similarities mean, or the [`Networks`] alone are shared
//! by all threads; each uses its own [`Session`].

use std::{
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

use image::RgbImage;
use serde::{Deserialize, Serialize};

pub use super::models::Calibration;
use super::{
    DIMENSION, Embedding, Face, Landmarks, Rect,
    align::{self, Aligned},
    detect::{Candidate, Detector, DetectorState},
    landmarks::LandmarksState,
    liveness::LivenessState,
    models::{Input, Liveness, Network, NetworkState, Pack},
    picture::Scaler,
    refine::{Refiner, RefinerState},
    template::{Look, Points, Purpose},
};
use crate::error::{Error, Kind, Result};

/// A pack's networks and the scale of their similarities.
pub struct Engine {
    networks: Networks,
    calibration: Calibration,
}

/// A pack's networks.
pub struct Networks {
    detector: Detector,
    landmarks: Option<(Network, Input)>,
    refiner: Option<Refiner>,
    recogniser: (Network, Input),
    liveness: Vec<(Network, Input, Liveness)>,
    identity: Identity,
}

/// Which networks they are: what makes two runs comparable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The pack's name.
    pub pack: String,
    /// The recogniser's name.
    pub model: String,
    /// Each network's file and its SHA-256.
    pub networks: Vec<(String, String)>,
}

impl Engine {
    /// Makes the pack's networks ready. Takes some tenths of a second.
    ///
    /// # Errors
    /// [`Kind::Model`]: as [`Networks::load`]; or the pack is not calibrated.
    pub fn load(pack: &Pack) -> Result<Arc<Self>> {
        let calibration = pack.calibration()?.clone();
        Ok(Arc::new(Self { networks: Networks::load(pack)?, calibration }))
    }

    /// From cosines to similarities.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }
}

impl Deref for Engine {
    type Target = Networks;

    fn deref(&self) -> &Networks {
        &self.networks
    }
}

impl Networks {
    /// Makes the pack's networks ready, be it calibrated or not.
    ///
    /// # Errors
    /// [`Kind::Model`]: a file is not the manifest's, or not a network that can be run.
    pub fn load(pack: &Pack) -> Result<Self> {
        let manifest = pack.manifest();
        let network = |part| Network::load(pack, part);
        let missing = || Error::new(Kind::Model, "the manifest's [recogniser] lacks its id");
        let recogniser = &manifest.recogniser;
        if (recogniser.input.width, recogniser.input.height) != (align::SIZE, align::SIZE) {
            return Err(Error::new(Kind::Model, "a recogniser's input must be 112×112 pixels"));
        }
        let detector = Detector::load(pack, manifest)?;
        Ok(Self {
            refiner: Refiner::load(pack, manifest, &detector)?,
            detector,
            landmarks: manifest
                .landmarks
                .as_ref()
                .map(|part| Ok::<_, Error>((network(part)?, part.input)))
                .transpose()?,
            recogniser: (network(recogniser)?, recogniser.input),
            liveness: manifest
                .liveness
                .iter()
                .map(|part| Ok((network(part)?, part.input, part.liveness()?)))
                .collect::<Result<_>>()?,
            identity: Identity {
                pack: manifest.name.clone(),
                model: recogniser.id.clone().ok_or_else(missing)?,
                networks: manifest.parts().map(|part| (part.file.clone(), part.sha256.clone())).collect(),
            },
        })
    }

    /// The recogniser's name, stored with every embedding that it makes.
    pub fn model_id(&self) -> &str {
        &self.identity.model
    }

    /// Which networks these are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the pack has networks that tell a living face from a picture of one.
    pub fn judges_liveness(&self) -> bool {
        !self.liveness.is_empty()
    }

    /// The looks of a template for that purpose.
    pub fn looks(&self, purpose: Purpose) -> &'static [Look] {
        purpose.looks(self.refiner.is_some())
    }

    /// One thread's use of the networks.
    ///
    /// # Errors
    /// [`Kind::Model`].
    pub fn session(&self) -> Result<Session> {
        let landmarks = self.landmarks.as_ref().map(|(network, input)| LandmarksState::new(network, *input));
        let liveness = self.liveness.iter().map(|(network, input, how)| LivenessState::new(network, *input, *how));
        Ok(Session {
            detector: self.detector.state()?,
            landmarks: landmarks.transpose()?,
            refiner: self.refiner.as_ref().map(Refiner::state).transpose()?,
            recogniser: self.recogniser.0.state()?,
            recogniser_input: self.recogniser.1,
            liveness: liveness.collect::<Result<_>>()?,
            scaler: Scaler::default(),
            timings: Timings::default(),
        })
    }
}

/// One thread's use of [`Networks`]: states and buffers.
pub struct Session {
    detector: DetectorState,
    landmarks: Option<LandmarksState>,
    refiner: Option<RefinerState>,
    recogniser: NetworkState,
    recogniser_input: Input,
    liveness: Vec<LivenessState>,
    scaler: Scaler,
    timings: Timings,
}

impl Session {
    /// The faces of the picture, largest first.
    ///
    /// # Errors
    /// [`Kind::Model`] where a network fails.
    pub fn detect(&mut self, picture: &RgbImage) -> Result<Vec<Face>> {
        self.timings = Timings::default();
        let found = self.detector.detect(picture, &mut self.scaler, &mut self.timings)?;
        self.with_landmarks(picture, found)
    }

    /// The faces of a photograph, largest first: those of [`Session::detect`], and where there are none those that are too small for
    /// it in a large picture, which takes thirty times as long and more. A door's camera has the next frame instead: whoever is as far
    /// away from it does not stand at the door.
    ///
    /// # Errors
    /// [`Kind::Model`] where a network fails.
    pub fn detect_in_photograph(&mut self, picture: &RgbImage) -> Result<Vec<Face>> {
        let faces = self.detect(picture)?;
        if !faces.is_empty() {
            return Ok(faces);
        }
        let found = self.detector.detect_small(picture, &mut self.scaler, &mut self.timings)?;
        self.with_landmarks(picture, found)
    }

    fn with_landmarks(&mut self, picture: &RgbImage, found: Vec<Candidate>) -> Result<Vec<Face>> {
        let mut faces = Vec::with_capacity(found.len());
        for candidate in found {
            let landmarks = match (candidate.landmarks, &mut self.landmarks) {
                (Some(landmarks), _) => landmarks,
                (None, Some(network)) => network.find(picture, candidate.area, &mut self.scaler, &mut self.timings)?,
                (None, None) => return Err(Error::new(Kind::Model, "the pack finds no landmarks")),
            };
            faces.push(Face { area: candidate.area, confidence: candidate.confidence, landmarks });
        }
        faces.sort_by(|a, b| b.area.size().total_cmp(&a.area.size()));
        Ok(faces)
    }

    /// The template of the face with these landmarks.
    ///
    /// # Errors
    /// [`Kind::Model`] where a network fails; [`Kind::FaceQualityTooLow`] where the landmarks are not those of a face.
    pub fn embed(&mut self, picture: &RgbImage, landmarks: &Landmarks, purpose: Purpose) -> Result<Embedding> {
        let all = self.look(picture, landmarks, self.looks(purpose))?;
        Embedding::mean(&all).ok_or_else(|| Error::new(Kind::Model, "the recogniser's looks at a face cancel out"))
    }

    /// The looks of a template for that purpose.
    pub fn looks(&self, purpose: Purpose) -> &'static [Look] {
        purpose.looks(self.refiner.is_some())
    }

    /// What the recogniser says of each look at the face with these landmarks, in their order. Points are found again no more
    /// than once, and not at all in a pack whose detector gives none.
    ///
    /// # Errors
    /// As [`Session::embed`].
    pub fn look(&mut self, picture: &RgbImage, landmarks: &Landmarks, looks: &[Look]) -> Result<Vec<Embedding>> {
        let mut known: Vec<(Points, Landmarks)> = Vec::with_capacity(2);
        let mut all = Vec::with_capacity(looks.len());
        for &Look { points, mirrored } in looks {
            let again = match (known.iter().find(|(of, _)| *of == points), &mut self.refiner) {
                (Some((_, found)), _) => *found,
                (None, None) => *landmarks,
                (None, Some(refiner)) => {
                    refiner.find(points, picture, landmarks, &mut self.scaler, &mut self.timings)?
                }
            };
            known.push((points, again));
            all.push(self.run_recogniser(picture, &again, mirrored)?);
        }
        Ok(all)
    }

    fn run_recogniser(&mut self, picture: &RgbImage, landmarks: &Landmarks, mirrored: bool) -> Result<Embedding> {
        let begun = Instant::now();
        let to_template = align::to_template(landmarks)
            .ok_or_else(|| Error::new(Kind::FaceQualityTooLow, "the face's landmarks are all in one place"))?;
        let aligned = Aligned::of(picture, &to_template, &mut self.scaler)?;
        let mut network_from = begun;
        let outputs = self.recogniser.run(|planes| {
            aligned.write(mirrored, &self.recogniser_input, planes);
            network_from = Instant::now();
        })?;
        self.timings.align += network_from - begun;
        self.timings.embed_network += network_from.elapsed();
        outputs
            .first()
            .and_then(|output| Embedding::normalised(output))
            .ok_or_else(|| Error::new(Kind::Model, format!("the recogniser did not give {DIMENSION} finite numbers")))
    }

    /// How much the face in `area` looks like a living person's, 0 to 1; the mean over the pack's networks, `None` where it
    /// has none.
    ///
    /// # Errors
    /// [`Kind::Model`] where a network fails; [`Kind::ImageUndecodable`] where `area` lies outside the picture.
    pub fn liveness(&mut self, picture: &RgbImage, area: &Rect) -> Result<Option<f32>> {
        if self.liveness.is_empty() {
            return Ok(None);
        }
        let begun = Instant::now();
        let mut sum = 0.0;
        for network in &mut self.liveness {
            sum += network.score(picture, *area, &mut self.scaler)?;
        }
        self.timings.liveness = begun.elapsed();
        Ok(Some(sum / self.liveness.len() as f32))
    }

    /// How long the stages took since the last [`Session::detect`], which begins anew.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }
}

/// How long each stage of one picture took. What is done once a face is summed over the faces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timings {
    /// Scaling and normalising for the detector, as often as it looks: at the picture, and again at crops of a face.
    pub detect_prepare: Duration,
    pub detect_network: Duration,
    /// Reading boxes, suppressing doubles.
    pub detect_decode: Duration,
    pub landmarks_prepare: Duration,
    pub landmarks_network: Duration,
    /// Transform, alignment and normalising for the recogniser.
    pub align: Duration,
    pub embed_network: Duration,
    /// All of liveness, networks and around them.
    pub liveness: Duration,
}

impl Timings {
    /// The time of the networks that the door uses: detector, landmarks, recogniser.
    pub fn networks(&self) -> Duration {
        self.detect_network + self.landmarks_network + self.embed_network
    }

    /// The time of what is around those networks.
    pub fn around(&self) -> Duration {
        self.detect_prepare + self.detect_decode + self.landmarks_prepare + self.align
    }
}
