//! `POST /enroll/batch`: many enrolments in one call, each with an outcome of its own.
//!
//! The answer begins at once and has a line for each item as soon as it is stored, and one that ends it: whoever does not see
//! that one sends everything again, and what was enrolled is not enrolled twice. Memory holds one photograph.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{FromRequest, Multipart, Request, State as Shared, multipart::MultipartError},
    http::{StatusCode, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};
use utoipa::ToSchema;

use super::Binary;
use crate::{
    api::{
        State,
        audit::Caller,
        auth::Tenant,
        blocking,
        dto::Warned,
        enrolling::{Enrolled, LONGEST_SOURCE, Wanted, enrol},
        error::{self, Failure},
        form::collect,
        lines::{self, Bounds, Lines, Teller},
        openapi::failures,
        values,
    },
    error::{Error, Kind, Result},
    gallery::{EmbeddingId, SubjectId, TenantId},
    operator::Operator,
};

/// The space of keys that are made of what an item says.
const ITEMS: &str = "batch";

/// How long an item waits before it asks again for a place before the networks, or in the journal.
const PAUSE: Duration = Duration::from_millis(50);

/// Who is to be enrolled.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    subject_id: String,
    quality_score: Option<f64>,
    liveness_score: Option<f64>,
    enrollment_source: Option<String>,
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    require_liveness: bool,
    /// In Base64; in a form it is a field of its own.
    image: Option<String>,
}

/// What came of an item.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(rename = "index")]
    index: u64,
    #[serde(rename = "subject_id")]
    subject_id: Option<String>,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding_id: Option<EmbeddingId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<bool>,
    #[serde(rename = "warnings", skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

/// How many came to what.
#[derive(Clone, Copy, Default, Serialize)]
struct Counts {
    items: u64,
    enrolled: u64,
    repeated: u64,
    failed: u64,
}

/// The fields of the form, as they are told to clients: as many of each as there are items, in turns.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form is read field by field")]
pub(in crate::api) struct BatchForm {
    /// JSON: `subject_id`, and what else an enrolment takes.
    #[schema(example = r#"{"subject_id": "EMP-001", "metadata": {"name": "Jane Doe"}}"#)]
    item: String,
    /// The photograph of the item before it.
    image: Binary,
}

/// Enrols many, each with an outcome of its own.
///
/// The body is a form of items and photographs in turns, or (`application/x-ndjson`) a line for each item with `image` in Base64. The
/// answer begins at once and has a line for each item as soon as it is stored, and a last one with `done`. Whoever does not see that
/// one sends everything again: what was enrolled in the last 24 hours is not enrolled twice.
#[utoipa::path(post, path = "/enroll/batch", request_body(content = BatchForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "What came of each.", body = String, content_type = "application/x-ndjson"),
        failures::JsonBody, failures::Recorded))]
pub(in crate::api) async fn batch(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    request: Request,
) -> Result<Response, Failure> {
    state.recognition()?;
    let place = Arc::clone(&state.uploads)
        .try_acquire_owned()
        .map_err(|_| Failure::new(Kind::Busy, "all places for uploads are taken"))?;
    let items = Items::of(&state, request).await?;
    let (teller, response) = lines::answer();
    tokio::spawn(async move {
        let _place = place;
        Batch { state, caller, tenant, teller, counts: Counts::default() }.run(items).await;
    });
    Ok(response)
}

/// A batch under way.
struct Batch {
    state: Arc<State>,
    caller: Caller,
    tenant: TenantId,
    teller: Teller,
    counts: Counts,
}

impl Batch {
    async fn run(mut self, mut items: Items) {
        let end = loop {
            match self.next(&mut items).await {
                Ok(true) => {}
                Ok(false) => break json!({ "done": true }),
                Err(error) => break json!({ "done": false, "error": error::told(&error) }),
            }
        };
        let mut end = end;
        if let (Some(end), Ok(Value::Object(counts))) = (end.as_object_mut(), serde_json::to_value(self.counts)) {
            end.extend(counts);
        }
        self.teller.tell(&end);
    }

    /// Whether there may be another item.
    async fn next(&mut self, items: &mut Items) -> Result<bool> {
        let Some(item) = items.next(&self.state).await? else { return Ok(false) };
        if self.counts.items == self.state.settings.max_batch_items {
            let most = self.counts.items;
            return Err(
                Error::new(Kind::TooLarge, format!("the batch has more than {most} items")).help("send several")
            );
        }
        self.still_allowed().await?;
        let index = self.counts.items;
        self.counts.items += 1;
        let subject_id = item.as_ref().ok().and_then(|(item, _)| item.subject_id.parse().ok());
        let outcome = self.one(item).await;
        let subject_id = subject_id.map(|subject: SubjectId| subject.to_string());
        let told = match outcome {
            Ok(Enrolled { enrolment, repeated, warnings, .. }) => {
                *(if repeated { &mut self.counts.repeated } else { &mut self.counts.enrolled }) += 1;
                let (embedding_id, repeated) = (Some(enrolment.id), Some(repeated));
                let warnings = Warned::all(warnings, self.caller.operator());
                Told { index, subject_id, success: true, embedding_id, repeated, warnings, error: None }
            }
            Err(Failure(error)) => {
                if error.kind() == Kind::NotFound {
                    return Err(gone());
                }
                self.counts.failed += 1;
                let error = Some(error::told(&error));
                let warnings = Vec::new();
                Told { index, subject_id, success: false, embedding_id: None, repeated: None, warnings, error }
            }
        };
        // Nobody listens any more: what was done is done, and the rest is not begun.
        Ok(self.teller.tell(&told))
    }

    /// A key that is revoked meanwhile stops at the next item.
    async fn still_allowed(&self) -> Result<()> {
        let Operator::Key(caller) = self.caller.operator() else { return Ok(()) };
        let (gallery, id) = (Arc::clone(&self.state.gallery), caller.key.clone());
        let key = blocking(move || gallery.key(&id)).await.map_err(|Failure(error)| match error.kind() {
            Kind::NotFound => gone(),
            _ => error,
        })?;
        if key.has_ended(self.state.gallery.clock().wall()) { Err(gone()) } else { Ok(()) }
    }

    async fn one(&self, item: Result<(Item, Vec<u8>)>) -> Result<Enrolled, Failure> {
        self.wait_for(|| self.state.journal.has_room()).await?;
        let (about, mut line) = self.caller.item(&self.state);
        let outcome = async {
            let (item, image) = item?;
            let wanted = item.wanted(image)?;
            about.subject(&wanted.subject);
            let enrolled = self.patiently(wanted).await?;
            about.embedding(&enrolled.enrolment.id);
            Ok(enrolled)
        }
        .await;
        line.ended(outcome.as_ref().map(drop).map_err(|Failure(error)| error));
        outcome
    }

    /// Waits for a place rather than to give up: the client has sent the photograph already.
    async fn patiently(&self, wanted: Wanted) -> Result<Enrolled, Failure> {
        let once = wanted.once(&self.state, ITEMS, None);
        let mut left = self.state.settings.request_timeout();
        loop {
            let outcome = enrol(&self.state, &self.tenant, wanted.clone(), Some(once)).await;
            match outcome {
                Err(Failure(error)) if passes(&error) && !left.is_zero() => sleep(PAUSE).await,
                outcome => return outcome,
            }
            left = left.saturating_sub(PAUSE);
        }
    }

    async fn wait_for(&self, is_so: impl Fn() -> bool) -> Result<()> {
        let mut left = self.state.settings.request_timeout();
        while !is_so() {
            if left.is_zero() {
                return Err(Error::new(Kind::Busy, "the journal takes no more calls at the moment"));
            }
            sleep(PAUSE).await;
            left = left.saturating_sub(PAUSE);
        }
        Ok(())
    }
}

/// Whether it is otherwise in a moment. The same item may be under way in a batch that its client has given up and sends again.
fn passes(error: &Error) -> bool {
    matches!(error.kind(), Kind::Busy | Kind::RequestInProgress)
}

fn gone() -> Error {
    Error::new(Kind::InvalidApiKey, "the API key is unknown, revoked or has ended")
}

impl Item {
    fn read(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(|error| {
            let words = error.to_string().chars().take(200).collect::<String>();
            Error::new(Kind::InvalidField, format!("the item is not what this call takes: {words}"))
        })
    }

    fn wanted(self, image: Vec<u8>) -> Result<Wanted> {
        let subject = values::subject("subject_id", &self.subject_id)?;
        let within = |name: &str, given: Option<f64>| match given {
            Some(number) if !(0.0..=1.0).contains(&number) => {
                Err(Error::new(Kind::InvalidField, format!("{name} must be a number from 0 to 1")))
            }
            given => Ok(given),
        };
        let (quality, liveness) =
            (within("quality_score", self.quality_score)?, within("liveness_score", self.liveness_score)?);
        let source = self.enrollment_source.filter(|source| !source.is_empty());
        if source.as_ref().is_some_and(|source| source.len() > LONGEST_SOURCE || source.chars().any(char::is_control)) {
            let rule =
                format!("enrollment_source must be text of at most {LONGEST_SOURCE} bytes without control characters");
            return Err(Error::new(Kind::InvalidField, rule));
        }
        let (metadata, require_liveness) = (self.metadata, self.require_liveness);
        Ok(Wanted { subject, quality, liveness, source, metadata, require_liveness, image })
    }
}

/// The items of a body, one after the other.
enum Items {
    Form(Box<Multipart>),
    Lines(Lines),
}

impl Items {
    async fn of(state: &State, request: Request) -> Result<Self, Failure> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "multipart/form-data" => match Multipart::from_request(request, &()).await {
                Ok(form) => Ok(Self::Form(Box::new(form))),
                Err(_) => Err(Failure::new(Kind::MalformedRequest, "the form has no boundary")),
            },
            "application/x-ndjson" => {
                let settings = &state.settings;
                let bounds = Bounds {
                    line: settings.recognition.max_image_bytes.div_ceil(3) * 4 + settings.max_field_bytes,
                    whole: settings.max_batch_bytes,
                    patience: settings.request_timeout(),
                };
                Ok(Self::Lines(Lines::new(request.into_body(), bounds)))
            }
            _ => Err(Failure::new(
                Kind::MalformedRequest,
                "the body must be multipart/form-data or application/x-ndjson, and Content-Type say which",
            )),
        }
    }

    /// The next one, or what is wrong with it; `None` behind the last.
    ///
    /// # Errors
    /// Where no more can be read: the body breaks off, passes a bound or does not come.
    async fn next(&mut self, state: &State) -> Result<Option<Result<(Item, Vec<u8>)>>> {
        match self {
            Self::Lines(lines) => {
                let line = lines.next().await?;
                Ok(line.map(|line| of_line(&line.map_err(|_| too_large(state))?, state)))
            }
            Self::Form(form) => match timeout(state.settings.request_timeout(), of_form(form, state)).await {
                Ok(item) => item,
                Err(_) => Err(Error::new(Kind::RequestTimeout, "the next item took too long to arrive")),
            },
        }
    }
}

fn of_line(line: &[u8], state: &State) -> Result<(Item, Vec<u8>)> {
    let mut item = Item::read(line)?;
    let text = item.image.take().ok_or_else(|| Error::new(Kind::MissingField, "image is required: Base64"))?;
    let image =
        STANDARD.decode(text).map_err(|_| Error::new(Kind::InvalidField, "image must be Base64 with its padding"))?;
    check_image(image, state).map(|image| (item, image))
}

fn check_image(image: Vec<u8>, state: &State) -> Result<Vec<u8>> {
    if image.is_empty() {
        return Err(Error::new(Kind::MissingField, "image is required: the photograph"));
    }
    if image.len() > state.settings.recognition.max_image_bytes {
        return Err(too_large(state));
    }
    Ok(image)
}

fn too_large(state: &State) -> Error {
    let most = state.settings.recognition.max_image_bytes;
    Error::new(Kind::ImageTooLarge, format!("the image is larger than {most} bytes"))
}

/// A field `item` and the field `image` behind it.
async fn of_form(form: &mut Multipart, state: &State) -> Result<Option<Result<(Item, Vec<u8>)>>> {
    let order = || Error::new(Kind::MalformedRequest, "each field item must be followed by its field image");
    let Some(field) = form.next_field().await.map_err(unreadable)? else { return Ok(None) };
    if field.name() != Some("item") {
        return Err(order());
    }
    // What is left of a field that is too long is passed over when the next one is asked for.
    let most = state.settings.max_field_bytes;
    let json = collect(field, most).await?;
    let field = form.next_field().await.map_err(unreadable)?.filter(|field| field.name() == Some("image"));
    let image = collect(field.ok_or_else(order)?, state.settings.recognition.max_image_bytes).await?;
    let json = json.ok_or_else(|| Error::new(Kind::InvalidField, format!("item is longer than {most} bytes")));
    let image = image.ok_or_else(|| too_large(state));
    Ok(Some(json.and_then(|json| Item::read(&json)).and_then(|item| {
        if item.image.is_some() {
            return Err(Error::new(
                Kind::InvalidField,
                "in a form the image is a field of its own, not one of the item",
            ));
        }
        check_image(image?, state).map(|image| (item, image))
    })))
}

fn unreadable(error: MultipartError) -> Error {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::new(Kind::TooLarge, "the body is larger than allowed");
    }
    Error::new(Kind::MalformedRequest, "the body is not a complete multipart/form-data form")
}
