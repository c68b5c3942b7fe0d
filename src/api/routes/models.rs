//! `GET /v1/models`

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use serde::Serialize;
use utoipa::ToSchema;

use super::Answer;
use crate::{
    api::State,
    vision::{DIMENSION, models::Calibration},
};

/// The recognisers that templates can be made with.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Models {
    success: bool,
    /// The one that is loaded.
    models: Vec<Model>,
}

/// A recogniser.
#[derive(Serialize, ToSchema)]
struct Model {
    /// As it stands beside every embedding of its making.
    id: String,
    /// Numbers in an embedding.
    dimension: usize,
    /// What its similarities mean, measured.
    calibration: Calibration,
}

/// Says which recogniser is loaded, and what its similarities mean.
///
/// `calibration` has the false match and false non-match rates beside thresholds and beside cosines, and on which photographs
/// they were measured: `thresholds` and `points` of a photograph that is looked for among enrolments, `frames` of a single frame of
/// a door. They are of single comparisons: a search compares with everybody who is enrolled.
#[utoipa::path(get, path = "/models", responses((status = 200, description = "The recognisers.", body = Models)))]
pub(in crate::api) async fn list(Shared(state): Shared<Arc<State>>) -> Answer<Models> {
    let recognition = state.recognition()?;
    let model = Model {
        id: recognition.model_id().to_owned(),
        dimension: DIMENSION,
        calibration: recognition.calibration().clone(),
    };
    Ok(Json(Models { success: true, models: vec![model] }))
}
