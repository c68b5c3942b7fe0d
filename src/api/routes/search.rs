//! `POST /search`

use std::{sync::Arc, time::Instant};

use axum::{Extension, Json, extract::State as Shared};

use utoipa::ToSchema;

use super::{Binary, Cached, Threshold};
use crate::api::{
    State,
    audit::About,
    auth::Tenant,
    blocking,
    cache::For,
    dto::{Found, Match, seconds_since},
    form::{Fields, Form},
    openapi::failures,
};

const DEFAULT_LIMIT: usize = 10;
const MOST: usize = 100;

/// The fields of the form, as they are told to clients.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form is read field by field")]
pub(in crate::api) struct SearchForm {
    /// Where it shows several faces, the largest counts.
    image: Binary,
    /// The least similarity that counts. **Higher is stricter**: fewer strangers match, and the right person is refused more often.
    #[schema(minimum = 0, maximum = 1, default = 0.6)]
    threshold: Option<f64>,
    /// Most matches to return.
    #[schema(minimum = 1, maximum = 100, default = 10)]
    limit: Option<u32>,
}

impl Fields for SearchForm {
    const TEXTS: &'static [&'static str] = &["threshold", "limit"];
}

/// Finds out whose face it is, among all who are enrolled (1:n).
///
/// The best embedding of each subject, best first, ties by id; only those that reach the threshold. No match is no error.
#[utoipa::path(post, path = "/search", request_body(content = SearchForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "Who it may be.", body = Found,
        headers(("Embedding-Cache" = String, description = "Whether the photograph was seen a moment ago."))),
        failures::Form, failures::Photograph, failures::AFace))]
pub(in crate::api) async fn search(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Extension(about): Extension<About>,
    mut form: Form<SearchForm>,
) -> Cached<Found> {
    let started = Instant::now();
    let threshold = Threshold::read(&form.values)?;
    let limit = form.values.count("limit", MOST)?.unwrap_or(DEFAULT_LIMIT);
    let image = form.image("image")?;

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
