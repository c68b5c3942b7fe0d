//! `POST /search`

use std::{sync::Arc, time::Instant};

use axum::{Extension, Json, extract::State as Shared};

use super::{Cached, Threshold};
use crate::api::{
    State,
    audit::About,
    auth::Tenant,
    blocking,
    cache::For,
    dto::{Found, Match, seconds_since},
    form::Form,
};

const DEFAULT_LIMIT: usize = 10;
const MOST: usize = 100;

pub(in crate::api) async fn search(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Extension(about): Extension<About>,
    mut form: Form,
) -> Cached<Found> {
    let started = Instant::now();
    let threshold = Threshold::read(&form.values)?;
    let limit = form.values.count("limit", MOST)?.unwrap_or(DEFAULT_LIMIT);
    let image = form.image()?;

    let recognition = state.recognition()?;
    let (probe, known) = state.cache.look(&state.gallery, recognition, &tenant, For::Matching, image).await?;
    let calibration = recognition.calibration();
    let (gallery, least) = (Arc::clone(&state.gallery), threshold.least_cosine(calibration));
    let found = blocking(move || gallery.search(&tenant, &probe.embedding, limit, least)).await?;
    let matches: Vec<_> = found
        .into_iter()
        .map(|found| Match::new(found.enrolment, calibration.similarity(found.cosine)))
        .filter(|found| threshold.passes(found.similarity))
        .collect();
    if let Some(best) = matches.first() {
        about.subject(&best.subject_id);
    }
    let answer = Found {
        success: true,
        match_count: matches.len(),
        matches,
        threshold_used: threshold.given,
        processing_time: seconds_since(started),
    };
    Ok(([known.header()], Json(answer)))
}
