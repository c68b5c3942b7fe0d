//! `POST /compare`

use std::{sync::Arc, time::Instant};

use axum::{Extension, Json, extract::State as Shared};

use utoipa::ToSchema;

use super::{Binary, Cached, Threshold};
use crate::api::{
    State,
    auth::Tenant,
    cache::For,
    dto::{Compared, seconds_since},
    form::{Fields, Form},
    openapi::failures,
};

/// The fields of the form, as they are told to clients.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form is read field by field")]
pub(in crate::api) struct CompareForm {
    /// Of several faces, the largest counts.
    image1: Binary,
    /// Of several faces, the largest counts.
    image2: Binary,
    /// The least similarity that counts. **Higher is stricter**: fewer strangers match, and the right person is refused more often.
    #[schema(minimum = 0, maximum = 1, default = 0.6)]
    threshold: Option<f64>,
}

impl Fields for CompareForm {
    const IMAGES: &'static [&'static str] = &["image1", "image2"];
    const TEXTS: &'static [&'static str] = &["threshold"];
}

/// Compares the faces of two photographs.
///
/// Nobody's enrolments are looked at, and nothing is stored. One photograph is decoded and let go before the other.
#[utoipa::path(post, path = "/compare", request_body(content = CompareForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "How alike they are.", body = Compared,
        headers(("Embedding-Cache" = String, description = "Whether both photographs were seen a moment ago."))),
        failures::Form, failures::Photograph, failures::AFace))]
pub(in crate::api) async fn compare(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    mut form: Form<CompareForm>,
) -> Cached<Compared> {
    let started = Instant::now();
    let threshold = Threshold::read(&form.values)?;
    let (first, second) = (form.image("image1")?, form.image("image2")?);
    let recognition = state.recognition()?;
    let look = async |image, name| {
        let looked = state.cache.look(&state.gallery, recognition, &tenant, For::Matching, image).await;
        looked.map_err(|error| error.within(name))
    };
    let (first, knew_first) = look(first, "image1").await?;
    let (second, knew_second) = look(second, "image2").await?;
    let similarity = recognition.calibration().similarity(first.embedding.cosine(&second.embedding));
    let answer = Compared {
        success: true,
        same_person: threshold.passes(similarity),
        similarity,
        threshold: threshold.given,
        processing_time: seconds_since(started),
    };
    Ok(([knew_first.and(knew_second).header()], Json(answer)))
}
