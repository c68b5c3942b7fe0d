//! Five points of a face from a network that gives 68, for detectors that give none.

use std::time::Instant;

use image::RgbImage;

use super::{
    Landmarks, Point, Rect,
    engine::Timings,
    models::{Input, Network, NetworkState},
    picture::{Scaler, write_planes},
};
use crate::error::{Error, Kind, Result};

/// Which of the 68 points (counted from 0, in the usual order of 300-W) are averaged to each of the five.
const MEANS: [&[usize]; 5] = [&[37, 38, 40, 41], &[43, 44, 46, 47], &[30], &[48, 60], &[54, 64]];

/// One thread's use of the network.
pub struct LandmarksState {
    input: Input,
    state: NetworkState,
}

impl LandmarksState {
    /// # Errors
    /// [`Kind::Model`].
    pub fn new(network: &Network, input: Input) -> Result<Self> {
        Ok(Self { input, state: network.state()? })
    }

    /// The five points of the face in `area`.
    ///
    /// # Errors
    /// [`Kind::Model`] where the network fails; [`Kind::ImageUndecodable`] where `area` lies outside the picture.
    pub fn find(
        &mut self,
        picture: &RgbImage,
        area: Rect,
        scaler: &mut Scaler,
        timings: &mut Timings,
    ) -> Result<Landmarks> {
        let begun = Instant::now();
        let area = area.within(picture.width() as f32, picture.height() as f32);
        let Input { width, height, .. } = self.input;
        let scaled = scaler.scale(picture, area, width, height)?;
        let mut network_from = begun;
        let input = &self.input;
        let outputs = self.state.run(|planes| {
            write_planes(scaled, width, input, planes, width, height);
            network_from = Instant::now();
        })?;
        timings.landmarks_prepare += network_from - begun;
        timings.landmarks_network += network_from.elapsed();
        let points = outputs.first().map_or(&[][..], Vec::as_slice).as_chunks::<2>().0;
        if points.len() != 68 || !points.as_flattened().iter().all(|v| v.is_finite()) {
            return Err(Error::new(Kind::Model, "the network for landmarks did not give 68 points"));
        }
        Ok(MEANS.map(|means| {
            let sum = |axis: usize| means.iter().map(|&point| points[point][axis]).sum::<f32>() / means.len() as f32;
            Point { x: area.left + sum(0) * area.width, y: area.top + sum(1) * area.height }
        }))
    }
}
