//! `POST /enroll`

use std::{future::ready, sync::Arc, time::Instant};

use axum::{
    Extension, Json,
    extract::State as Shared,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};

use utoipa::ToSchema;

use super::Binary;
use crate::{
    api::{
        State,
        audit::{About, Caller},
        auth::Tenant,
        dto::{Enrolled, Warned, seconds_since},
        enrolling::{Wanted, enrol},
        error::Failure,
        form::{Fields, Form},
        openapi::failures,
    },
    error::{Error, Kind, Result},
    vision::DIMENSION,
};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest key, in bytes.
const LONGEST_KEY: usize = 128;

const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));

/// The space of the keys that clients choose.
const CLIENTS: &str = "client";

/// The fields of the form, as they are told to clients.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form is read field by field")]
pub(in crate::api) struct EnrolForm {
    /// A photograph that shows one face.
    image: Binary,
    /// Your own id of the person: 1 to 256 bytes of UTF-8 without control characters.
    #[schema(min_length = 1, max_length = 256)]
    subject_id: String,
    /// Stored as given; where there is none, the daemon stores its own measure.
    #[schema(minimum = 0, maximum = 1)]
    quality_score: Option<f64>,
    /// Stored as given; where there is none, the daemon stores its own measure, if it has one.
    #[schema(minimum = 0, maximum = 1)]
    liveness_score: Option<f64>,
    /// Where the photograph comes from: at most 256 bytes.
    #[schema(max_length = 256)]
    enrollment_source: Option<String>,
    /// A JSON object, given back with each match.
    #[schema(example = r#"{"name": "Jane Doe"}"#)]
    metadata: Option<String>,
    /// Whether the face must look like a living person's; `true` asks for more than the daemon is set to, `false` for no less.
    require_liveness: Option<bool>,
}

impl Fields for EnrolForm {
    const TEXTS: &'static [&'static str] = Wanted::FIELDS;
}

/// Enrols a face.
///
/// When the answer arrives, the enrolment survives a power cut. The face must be large, sharp, towards the camera, neither dark nor
/// glaring. `warnings` says what looks wrong all the same: a face like another subject's, or unlike this one's others; the daemon can be
/// set to refuse both. Each subject keeps its newest embeddings active (`gallery.keep_active`); older ones are kept and never matched.
#[utoipa::path(post, path = "/enroll", request_body(content = EnrolForm, content_type = "multipart/form-data"),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 128, pattern = "^[ -~]*$",
        description = "Your name for this request: with it, it is done once, however often it is sent.")),
    responses((status = 200, description = "It is stored.", body = Enrolled,
        headers(
            ("Embedding-Cache" = Option<String>, description = "Whether the photograph was seen a moment ago."),
            ("Idempotency-Replayed" = Option<bool>, description = "It was stored by the same request before."))),
        failures::Once,
        failures::Form, failures::Photograph, failures::OneFace, failures::Capacity, failures::Alike, failures::Stores))]
pub(in crate::api) async fn enroll(
    Shared(state): Shared<Arc<State>>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    Extension(about): Extension<About>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    mut form: Form<EnrolForm>,
) -> Result<Response, Failure> {
    let started = Instant::now();
    about.subject(&Wanted::whose(&form.values)?);
    let image = form.image("image");
    let wanted = Wanted::read(&form.values, image)?;
    let once = key(&headers)?.map(|key| wanted.once(&state, CLIENTS, Some(key)));
    // It has paid when it was let in.
    let enrolled = enrol(&state, &tenant, wanted, once, ready(Ok(()))).await?;
    about.embedding(&enrolled.enrolment.id);
    let answer = Enrolled {
        success: true,
        embedding_id: enrolled.enrolment.id,
        subject_id: enrolled.enrolment.subject,
        embedding_dimension: DIMENSION,
        processing_time: seconds_since(started),
        warnings: Warned::all(enrolled.warnings, caller.operator()),
    };
    let mut response = Json(answer).into_response();
    let replayed = enrolled.repeated.then_some(REPLAYED);
    response.headers_mut().extend(enrolled.known.map(|known| known.header()).into_iter().chain(replayed));
    Ok(response)
}

/// What the client calls its request, where it wants it done once.
fn key(headers: &HeaderMap) -> Result<Option<&[u8]>> {
    let mut all = headers.get_all(KEY).iter();
    let Some(key) = all.next().map(HeaderValue::as_bytes) else { return Ok(None) };
    let fits = (1..=LONGEST_KEY).contains(&key.len()) && key.iter().all(|byte| (b' '..=b'~').contains(byte));
    if fits && all.next().is_none() {
        return Ok(Some(key));
    }
    let rule = format!("Idempotency-Key must be one header of 1 to {LONGEST_KEY} printable ASCII characters");
    Err(Error::new(Kind::InvalidField, rule))
}
