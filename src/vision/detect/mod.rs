//! Faces in a picture: the picture scaled into a network's input, the network's outputs read as boxes.

mod nms;
mod parts;
mod ultraface;
pub(super) mod yunet;

use std::time::Instant;

use image::RgbImage;
use nms::overlap;
use parts::{is_cut, parts};

pub(super) use nms::{suppress, vote};

use super::{
    Landmarks, Rect,
    engine::Timings,
    models::{DetectorKind, Input, Manifest, Network, NetworkState, Pack},
    picture::{Scaler, write_planes},
};
use crate::error::Result;

/// The least confidence of a face in a picture.
const LEAST_CONFIDENCE: f32 = 0.6;

/// How much larger than usual a picture is looked at whose faces may be too small.
const CLOSER: [f32; 2] = [2.0, 4.0];

/// So much larger than the time before it must be, or nothing new is to be seen.
const WORTH_A_LOOK: f32 = 1.25;

/// So many small faces at most are looked at one by one, the largest.
const MOST_SMALL: usize = 32;

/// A small face is looked at alone in so many times its size, both ways.
const AROUND: f32 = 3.0;

/// So much of its area, intersection over union, is then the same.
const SAME: f32 = 0.4;

/// A face as a detector sees it, in pixels of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub area: Rect,
    /// 0 to 1.
    pub confidence: f32,
    /// From detectors that give them.
    pub landmarks: Option<Landmarks>,
}

/// A pack's detector, for every shape of input that it is used with.
pub struct Detector {
    kind: DetectorKind,
    input: Input,
    networks: Vec<Network>,
}

impl Detector {
    /// Loads the pack's detector.
    ///
    /// # Errors
    /// [`crate::error::Kind::Model`].
    pub fn load(pack: &Pack, manifest: &Manifest) -> Result<Self> {
        let part = &manifest.detector;
        let kind = manifest.detector_kind()?;
        let (width, height) = (part.input.width, part.input.height);
        let heights = match kind {
            // Any multiple of 32 will do, and the padding below a wide frame costs as much time as the frame: one network
            // for 16:9, one for 4:3, one for the square.
            DetectorKind::YuNet => vec![height * 6 / 10 / 32 * 32, height * 8 / 10 / 32 * 32, height],
            DetectorKind::UltraFace => vec![height],
        };
        let networks = heights.into_iter().filter(|&height| height >= 32);
        let networks = networks.map(|height| Network::load_sized(pack, part, width, height)).collect::<Result<_>>()?;
        Ok(Self { kind, input: part.input, networks })
    }

    /// The network for squares of `side` pixels.
    ///
    /// # Errors
    /// [`crate::error::Kind::Model`].
    pub fn square(&self, pack: &Pack, manifest: &Manifest, side: usize) -> Result<Network> {
        match self.networks.iter().find(|network| network.input_size() == (side, side)) {
            Some(network) => Ok(network.clone()),
            None => Network::load_sized(pack, &manifest.detector, side, side),
        }
    }

    /// One thread's use of it.
    ///
    /// # Errors
    /// [`crate::error::Kind::Model`].
    pub fn state(&self) -> Result<DetectorState> {
        let states = self.networks.iter().map(Network::state).collect::<Result<_>>()?;
        Ok(DetectorState { kind: self.kind, input: self.input, states })
    }
}

/// One thread's use of a [`Detector`].
pub struct DetectorState {
    kind: DetectorKind,
    input: Input,
    /// By height of input, lowest first.
    states: Vec<NetworkState>,
}

impl DetectorState {
    /// The faces of the picture, overlapping finds of the same face removed; in no order.
    ///
    /// # Errors
    /// [`crate::error::Kind::Model`] where the network fails.
    pub fn detect(&mut self, picture: &RgbImage, scaler: &mut Scaler, timings: &mut Timings) -> Result<Vec<Candidate>> {
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let network = fitting(&self.states, width, height);
        let whole = Rect { left: 0.0, top: 0.0, width, height };
        self.look(network, picture, whole, scaler, timings)
    }

    /// The faces of a large picture that [`DetectorState::detect`] is too coarse for: the picture is looked at part by part, at twice
    /// the size of there, and where nobody is seen at four times, though never larger than it is. In no order.
    ///
    /// # Errors
    /// [`crate::error::Kind::Model`] where the network fails.
    pub fn detect_small(
        &mut self,
        picture: &RgbImage,
        scaler: &mut Scaler,
        timings: &mut Timings,
    ) -> Result<Vec<Candidate>> {
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let highest = self.states.len() - 1;
        let (across, down) = self.states[highest].input_size();
        let (across, down) = (across as f32, down as f32);
        let usual = (across / width).min(down / height);
        let mut before = usual;
        for times in CLOSER {
            let scale = (usual * times).min(1.0);
            if scale < before * WORTH_A_LOOK {
                break;
            }
            before = scale;
            let mut found = Vec::new();
            for part in parts(width, height, across / scale, down / scale) {
                let seen = self.look(highest, picture, part, scaler, timings)?;
                found.extend(seen.into_iter().filter(|face| !is_cut(&face.area, &part, width, height)));
            }
            let mut faces = suppress(found);
            faces.sort_by(|a, b| b.area.size().total_cmp(&a.area.size()));
            let mut sure = Vec::new();
            for face in faces.iter().take(MOST_SMALL) {
                sure.extend(self.confirm(picture, face, scaler, timings)?);
            }
            if !sure.is_empty() {
                return Ok(suppress(sure));
            }
        }
        Ok(Vec::new())
    }

    /// The same face as it is seen when the network looks at it alone, much larger: among many parts there are things that look like
    /// a face from afar. None where there is none.
    fn confirm(
        &mut self,
        picture: &RgbImage,
        face: &Candidate,
        scaler: &mut Scaler,
        timings: &mut Timings,
    ) -> Result<Option<Candidate>> {
        let highest = self.states.len() - 1;
        let (across, down) = self.states[highest].input_size();
        let Rect { left, top, width, height } = face.area;
        let high = width.max(height) * AROUND;
        let wide = high * across as f32 / down as f32;
        let around =
            Rect { left: left + (width - wide) / 2.0, top: top + (height - high) / 2.0, width: wide, height: high }
                .within(picture.width() as f32, picture.height() as f32);
        // A find beyond the picture's edge is none.
        if around.size() < 1.0 {
            return Ok(None);
        }
        let seen = self.look(highest, picture, around, scaler, timings)?;
        let shared = |other: &Candidate| overlap(&other.area, &face.area);
        let nearest = seen.into_iter().max_by(|a, b| shared(a).total_cmp(&shared(b)));
        Ok(nearest.filter(|other| shared(other) >= SAME))
    }

    /// The faces of a part of the picture, which is made as large as that network's input holds it.
    fn look(
        &mut self,
        network: usize,
        picture: &RgbImage,
        part: Rect,
        scaler: &mut Scaler,
        timings: &mut Timings,
    ) -> Result<Vec<Candidate>> {
        let begun = Instant::now();
        let state = &mut self.states[network];
        let (input_width, input_height) = state.input_size();
        let scale = (input_width as f32 / part.width).min(input_height as f32 / part.height);
        // At least a pixel of an extremely long picture is left.
        let scaled_width = ((part.width * scale).round() as usize).clamp(1, input_width);
        let scaled_height = ((part.height * scale).round() as usize).clamp(1, input_height);
        let scaled = scaler.scale(picture, part, scaled_width, scaled_height)?;
        let mut network_from = begun;
        let input = &self.input;
        let outputs = state.run(|planes| {
            write_planes(scaled, scaled_width, input, planes, input_width, input_height);
            network_from = Instant::now();
        })?;
        let network_to = Instant::now();
        let (across, down) = (part.width / scaled_width as f32, part.height / scaled_height as f32);
        let candidates = match self.kind {
            DetectorKind::YuNet => yunet::decode(&outputs, input_width, input_height, LEAST_CONFIDENCE)?,
            DetectorKind::UltraFace => ultraface::decode(&outputs, input_width, input_height)?,
        };
        let placed = |found: Candidate| found.scaled(across, down).moved(part.left, part.top);
        let faces = suppress(candidates).into_iter().map(placed).collect();
        timings.detect_prepare += network_from - begun;
        timings.detect_network += network_to - network_from;
        timings.detect_decode += network_to.elapsed();
        Ok(faces)
    }
}

/// The lowest input that still holds the picture at its full width; else the highest.
fn fitting(states: &[NetworkState], width: f32, height: f32) -> usize {
    let fits = |state: &NetworkState| {
        let (input_width, input_height) = state.input_size();
        (height * input_width as f32 / width).round() <= input_height as f32
    };
    states.iter().position(fits).unwrap_or(states.len() - 1)
}

impl Candidate {
    fn moved(self, right: f32, down: f32) -> Self {
        let area = Rect { left: self.area.left + right, top: self.area.top + down, ..self.area };
        let moved = |point: super::Point| super::Point { x: point.x + right, y: point.y + down };
        Self { area, landmarks: self.landmarks.map(|points| points.map(moved)), ..self }
    }

    fn scaled(self, across: f32, down: f32) -> Self {
        let area = Rect {
            left: self.area.left * across,
            top: self.area.top * down,
            width: self.area.width * across,
            height: self.area.height * down,
        };
        let landmarks = self.landmarks.map(|points| points.map(|p| super::Point { x: p.x * across, y: p.y * down }));
        Self { area, landmarks, ..self }
    }

    fn is_finite(&self) -> bool {
        let area = &self.area;
        let points = self.landmarks.iter().flatten().flat_map(|point| [point.x, point.y]);
        [area.left, area.top, area.width, area.height].into_iter().chain(points).all(f32::is_finite)
            && area.width > 0.0
            && area.height > 0.0
    }
}
