//! `POST /compare`

use std::{sync::Arc, time::Instant};

use axum::{Extension, Json, extract::State as Shared};

use super::{Cached, Threshold};
use crate::api::{
    State,
    auth::Tenant,
    cache::For,
    dto::{Compared, seconds_since},
    form::Form,
};

/// Nobody's enrolments are looked at, and nothing is stored. One photograph is decoded and let go before the other.
pub(in crate::api) async fn compare(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    mut form: Form,
) -> Cached<Compared> {
    let started = Instant::now();
    let threshold = Threshold::read(&form.values)?;
    let (first, second) = form.two_images()?;
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
