//! `POST /enroll/batch`: many enrolments in one call, each with an outcome of its own.
//!
//! The answer begins at once and has a line for each item as soon as it is stored, and one that ends it: whoever does not see
//! that one sends everything again, and what was enrolled is not enrolled twice. Memory holds one photograph, or of an archive three.

pub(in crate::api) mod archive;
mod head;
mod json;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension,
    extract::{
        FromRequest, Multipart, Request, State as Shared,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header},
    response::Response,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::Receiver,
    time::{sleep, timeout},
};
use utoipa::ToSchema;

use self::head::Seeking;
use super::Binary;
use crate::{
    api::{
        State,
        audit::{self, Caller},
        auth::{Tenant, still_allowed},
        dto::Warned,
        enrolling::{Enrolled, Wanted, enrol},
        error::{self, Failure},
        form::{check_encoding, collect},
        limits::Fare,
        lines::{self, Bounds, Lines, Teller},
        openapi::failures,
        settings::Settings,
        values::Values,
    },
    error::{Error, Kind, Result},
    gallery::{EmbeddingId, SubjectId, TenantId},
    operator::no_longer_good,
};

/// The space of keys that are made of what an item says.
const ITEMS: &str = "batch";

/// How long an item waits before it asks again for a place before the networks, or in the journal.
const PAUSE: Duration = Duration::from_millis(50);

/// What came of an item.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(rename = "index")]
    index: u64,
    #[serde(rename = "subject_id")]
    subject_id: Option<SubjectId>,
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
/// The body is a form of items and photographs in turns; or (`application/x-ndjson`) a line for each item with `image` in Base64; or
/// (`application/zip`) an archive whose first file, `items.ndjson`, has a line for each item with the name of its photograph in `file`. The
/// answer begins at once and has a line for each item as soon as it is stored, and a last one with `done`. Whoever does not see that
/// one sends everything again: what was enrolled in the last 24 hours is not enrolled twice. Each photograph that is looked at counts as a
/// call of its own: an item waits until the key may make one, and where that takes too long it fails (`rate_limited`) and the next is worked on.
#[utoipa::path(post, path = "/enroll/batch",
    request_body(content((BatchForm = "multipart/form-data"), (String = "application/x-ndjson"), (Binary = "application/zip"))),
    responses((status = 200, description = "What came of each.", body = String, content_type = "application/x-ndjson"),
        failures::JsonBody, failures::Uncompressed, failures::Recorded))]
pub(in crate::api) async fn batch(
    Shared(state): Shared<Arc<State>>,
    Extension(caller): Extension<Caller>,
    Extension(Tenant(tenant)): Extension<Tenant>,
    request: Request,
) -> Result<Response, Failure> {
    state.recognition()?;
    check_encoding(request.headers())?;
    let place = state.uploads.place(&tenant)?;
    let fare = Fare::of(&request, caller.operator());
    let items = Items::of(&state, request).await?;
    let (teller, response) = lines::answer();
    tokio::spawn(async move {
        let _place = place;
        Batch { state, caller, tenant, fare, teller, counts: Counts::default(), heard: true }.run(items).await;
    });
    Ok(audit::begun(response))
}

/// A batch under way.
struct Batch {
    state: Arc<State>,
    caller: Caller,
    tenant: TenantId,
    fare: Fare,
    teller: Teller,
    counts: Counts,
    /// Whether there is somebody who listens.
    heard: bool,
}

impl Batch {
    async fn run(mut self, mut items: Items) {
        let mut line = self.caller.rest(&self.state);
        let ended = loop {
            match self.next(&mut items).await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if self.heard {
            line.ended(ended.as_ref().copied());
        }
        let Counts { items, enrolled, repeated, failed } = self.counts;
        line.counted([("items", items), ("enrolled", enrolled), ("repeated", repeated), ("failed", failed)]);
        drop(line);
        let mut end = match ended {
            Ok(()) => json!({ "done": true }),
            Err(error) => json!({ "done": false, "error": error::told(&error) }),
        };
        if let (Some(end), Ok(Value::Object(counts))) = (end.as_object_mut(), serde_json::to_value(self.counts)) {
            end.extend(counts);
        }
        self.teller.tell(&end);
    }

    /// Whether there may be another item.
    async fn next(&mut self, items: &mut Items) -> Result<bool> {
        let Some(item) = items.next(&self.state).await? else { return Ok(false) };
        if self.counts.items == self.state.settings.max_batch_items {
            return Err(too_many(self.counts.items));
        }
        // A key that is revoked meanwhile stops at the next item.
        still_allowed(&self.state, self.caller.operator()).await?;
        let index = item.place.unwrap_or(self.counts.items);
        self.counts.items += 1;
        let subject_id = item.whose();
        let outcome = self.one(item).await;
        let told = match outcome {
            Ok(Enrolled { enrolment, repeated, warnings, .. }) => {
                *(if repeated { &mut self.counts.repeated } else { &mut self.counts.enrolled }) += 1;
                let (embedding_id, repeated) = (Some(enrolment.id), Some(repeated));
                let warnings = Warned::all(warnings, self.caller.operator());
                Told { index, subject_id, success: true, embedding_id, repeated, warnings, error: None }
            }
            Err(Failure(error)) => {
                if error.kind() == Kind::NotFound {
                    return Err(no_longer_good());
                }
                self.counts.failed += 1;
                let error = Some(error::told(&error));
                let warnings = Vec::new();
                Told { index, subject_id, success: false, embedding_id: None, repeated: None, warnings, error }
            }
        };
        // Nobody listens any more: what was done is done, and the rest is not begun.
        self.heard = self.teller.tell(&told);
        Ok(self.heard)
    }

    async fn one(&mut self, item: Item) -> Result<Enrolled, Failure> {
        // Where nobody was looked at, the count in the batch's own entry will do: a line of twenty bytes costs nothing, and hundreds of
        // thousands of entries would push out of the journal what happened before.
        let wanted = Wanted::read(&item.values?, item.image)?;
        self.wait_for(|| self.state.journal.has_room()).await?;
        let (about, mut line) = self.caller.item(&self.state);
        about.subject(&wanted.subject);
        let outcome = self.patiently(wanted).await;
        match &outcome {
            Ok(enrolled) => {
                about.embedding(&enrolled.enrolment.id);
                line.ended(Ok(()));
            }
            Err(Failure(error)) if was_not_looked_at(error) => line.leave_out(),
            Err(Failure(error)) => line.ended(Err(error)),
        }
        outcome
    }

    /// Waits for a place, and for its turn by the limits, rather than to give up: the client has sent the photograph already.
    async fn patiently(&mut self, wanted: Wanted) -> Result<Enrolled, Failure> {
        let Self { state, tenant, fare, .. } = self;
        let once = wanted.once(state, ITEMS, None);
        let until = Instant::now() + state.settings.request_timeout();
        fare.begin_another();
        loop {
            let paid = fare.pay(&state.limits, until);
            match enrol(state, tenant, wanted.clone(), Some(once), paid).await {
                Err(Failure(error)) if passes(&error) && Instant::now() < until => sleep(PAUSE).await,
                outcome => return outcome,
            }
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

/// Whether no network has looked: there was nothing that one could look at, or it was not its turn.
fn was_not_looked_at(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::UnsupportedImageFormat | Kind::ImageUndecodable | Kind::ImageTooLarge | Kind::RateLimited
    )
}

/// Whether it is otherwise in a moment. The same item may be under way in a batch that its client has given up and sends again.
fn passes(error: &Error) -> bool {
    matches!(error.kind(), Kind::Busy | Kind::RequestInProgress)
}

fn too_many(most: u64) -> Error {
    Error::new(Kind::TooLarge, format!("the batch has more than {most} items")).help("send several")
}

/// An item as it came, or what is wrong with it.
pub(in crate::api) struct Item {
    /// Its place among all that were sent, from 0, where they are not worked on in the order in which they were listed.
    place: Option<u64>,
    pub(in crate::api) values: Result<Values>,
    pub(in crate::api) image: Result<Vec<u8>>,
}

impl Item {
    /// Whose face it is, where that can be read.
    fn whose(&self) -> Option<SubjectId> {
        self.values.as_ref().ok().and_then(|values| Wanted::whose(values).ok())
    }

    /// One of which nothing can be read but what is wrong.
    fn unreadable(error: Error) -> Self {
        Self { place: None, values: Err(error), image: Ok(Vec::new()) }
    }

    /// A line of JSON with the image in Base64.
    fn of_line(line: &[u8], state: &State) -> Self {
        match json::with_image(line, state.settings.max_field_bytes) {
            Ok((values, image)) => Self {
                place: None,
                values: Ok(values),
                image: image.and_then(|image| check_image(image, &state.settings)),
            },
            Err(error) => Self::unreadable(error),
        }
    }
}

/// The items of a body, one after the other.
enum Items {
    Form(Box<Multipart>, Seeking),
    Lines(Lines),
    Archive(Receiver<Result<Item>>),
}

impl Items {
    async fn of(state: &Arc<State>, request: Request) -> Result<Self, Failure> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "multipart/form-data" => {
                let (request, seeking) = head::bounded(request);
                match Multipart::from_request(request, &()).await {
                    Ok(form) => Ok(Self::Form(Box::new(form), seeking)),
                    Err(_) => Err(Failure::new(Kind::MalformedRequest, "the form has no boundary")),
                }
            }
            "application/x-ndjson" => {
                let settings = &state.settings;
                let bounds = Bounds {
                    line: settings.recognition.max_image_bytes.div_ceil(3) * 4 + settings.max_field_bytes,
                    whole: settings.max_batch_bytes,
                    patience: settings.request_timeout(),
                };
                Ok(Self::Lines(Lines::new(request.into_body(), bounds)))
            }
            "application/zip" => Ok(Self::Archive(archive::open(&state.settings, request.into_body()))),
            _ => Err(Failure::new(
                Kind::MalformedRequest,
                "the body must be multipart/form-data, application/x-ndjson or application/zip, and Content-Type say which",
            )),
        }
    }

    /// The next one; `None` behind the last.
    ///
    /// # Errors
    /// Where no more can be read: the body breaks off, passes a bound or does not come.
    async fn next(&mut self, state: &State) -> Result<Option<Item>> {
        match self {
            Self::Lines(lines) => {
                let line = lines.next().await?;
                Ok(line.map(|line| match line {
                    Ok(line) => Item::of_line(&line, state),
                    Err(_) => Item::unreadable(too_large(&state.settings)),
                }))
            }
            Self::Archive(items) => items.recv().await.transpose(),
            Self::Form(form, seeking) => {
                match timeout(state.settings.request_timeout(), of_form(form, seeking, state)).await {
                    Ok(item) => item,
                    Err(_) => Err(Error::new(Kind::RequestTimeout, "the next item took too long to arrive")),
                }
            }
        }
    }
}

fn check_image(image: Vec<u8>, settings: &Settings) -> Result<Vec<u8>> {
    if image.is_empty() {
        return Err(Error::new(Kind::MissingField, "image is required: the photograph"));
    }
    if image.len() > settings.recognition.max_image_bytes {
        return Err(too_large(settings));
    }
    Ok(image)
}

fn too_large(settings: &Settings) -> Error {
    let most = settings.recognition.max_image_bytes;
    Error::new(Kind::ImageTooLarge, format!("the image is larger than {most} bytes"))
}

/// A field `item` and the field `image` behind it.
async fn of_form(form: &mut Multipart, seeking: &Seeking, state: &State) -> Result<Option<Item>> {
    let order = || Error::new(Kind::MalformedRequest, "each field item must be followed by its field image");
    let Some(field) = next_field(form, seeking).await? else { return Ok(None) };
    if field.name() != Some("item") {
        return Err(order());
    }
    let most = state.settings.max_field_bytes;
    let json = collect(field, most).await.map_err(unreadable)?;
    let field = next_field(form, seeking).await?.filter(|field| field.name() == Some("image"));
    let image = collect(field.ok_or_else(order)?, state.settings.recognition.max_image_bytes);
    let image = image.await.map_err(unreadable)?;
    let json = json.ok_or_else(|| Error::new(Kind::InvalidField, format!("item is longer than {most} bytes")));
    let image = image.ok_or_else(|| too_large(&state.settings)).and_then(|image| check_image(image, &state.settings));
    Ok(Some(Item { place: None, values: json.and_then(|json| json::without_image(&json)), image }))
}

async fn next_field<'f>(form: &'f mut Multipart, seeking: &Seeking) -> Result<Option<Field<'f>>> {
    seeking.begin();
    let field = form.next_field().await.map_err(|error| {
        if seeking.is_over() {
            return Error::new(Kind::MalformedRequest, "the head of a field, or what stands before it, is too long");
        }
        unreadable(error)
    });
    seeking.end();
    field
}

fn unreadable(error: MultipartError) -> Error {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::new(Kind::TooLarge, "the body is larger than allowed");
    }
    Error::new(Kind::MalformedRequest, "the body is not a complete multipart/form-data form")
}
