//! `/v1/access`: the rules of the caller's tenant, who is where, and why somebody would be let in.
//!
//! Every change is made to the whole of the rules, checked with all the rest of them, and is stored and in force when its
//! answer is given. An `ETag` stands for what was read; `If-Match` makes a change depend on it.

pub(in crate::api) mod explain;
pub(in crate::api) mod items;
pub(in crate::api) mod presence;
pub(in crate::api) mod rules;
pub(in crate::api) mod subjects;

use std::{ops::Deref, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Path, RawQuery, Request, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::read;
use crate::{
    api::{
        State,
        auth::{operator, still_allowed},
        dto::Done,
        error::Failure,
        openapi,
        values::Values,
    },
    error::{Error, Kind, Result},
    gallery::{Right, changed_meanwhile},
    rulebook,
};

/// The routes, without their authentication.
pub(in crate::api) fn router() -> OpenApiRouter<Arc<State>> {
    let mut router = OpenApiRouter::new()
        .routes(routes!(rules::get, rules::put, rules::delete))
        .routes(routes!(subjects::list))
        .routes(routes!(subjects::get, subjects::put, subjects::delete))
        .routes(routes!(explain::explain))
        .routes(routes!(presence::list, presence::forgive_all))
        .routes(routes!(presence::forgive))
        .merge(items::router());
    openapi::all_told(&mut router, Right::Read, Right::Admin);
    router
}

/// The conditions of a change, as they are told to clients.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the headers are read one by one")]
pub(in crate::api) struct Conditions {
    /// The `ETag` of what was read: 412 where it is no longer that. `*`: it must be there.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// `*`: it must not be there yet.
    #[param(rename = "If-None-Match", pattern = r"^\*$")]
    if_none_match: Option<String>,
}

pub(super) type Name = Result<Path<String>, PathRejection>;
pub(super) type Body = Result<Whole, Failure>;

/// The bytes of a body that has come to its end while its key was good.
#[derive(Clone)]
pub(in crate::api) struct Whole(Bytes);

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl FromRequest<Arc<State>> for Whole {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, Failure> {
        let operator = operator(&request)?.clone();
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Error::new(Kind::TooLarge, "the body has too many bytes"),
            _ => Error::new(Kind::MalformedRequest, "the body cannot be read"),
        })?;
        still_allowed(state, &operator).await?;
        Ok(Self(bytes))
    }
}

/// Reads a query, of which every parameter must be known: a misspelt `at` would ask about another time.
fn query(query: RawQuery, known: &[&str]) -> Result<Values> {
    let values = read(query)?;
    if let Some(other) = values.names().find(|name| !known.contains(name)) {
        let message = format!(
            "'{}' is not a parameter of this call",
            other.escape_debug().to_string().chars().take(40).collect::<String>()
        );
        return Err(Error::new(Kind::InvalidField, message).help(format!("it takes: {}", known.join(", "))));
    }
    Ok(values)
}

/// The name at the end of a path.
pub(super) fn name(path: Name) -> Result<String> {
    path.map(|Path(name)| name)
        .map_err(|_| Error::new(Kind::InvalidField, "the name in the path must be percent-encoded UTF-8"))
}

/// A body of JSON, no longer than `most` bytes.
pub(super) fn body<T: DeserializeOwned>(body: Body, most: usize) -> Result<T> {
    let bytes = body.map_err(|Failure(error)| error)?;
    if bytes.len() > most {
        return Err(Error::new(Kind::TooLarge, format!("the body has more than {most} bytes")));
    }
    rulebook::read(&bytes).map_err(unfit)
}

/// The same of a body that holds no rules.
pub(super) fn fields<T: DeserializeOwned>(sent: Body, most: usize) -> Result<T> {
    body(sent, most).map_err(|error| match error.kind() {
        Kind::InvalidRules => Error::new(Kind::InvalidField, error.message()),
        _ => error,
    })
}

/// JSON that is none, or that is not what this call takes. The parser's words name the key and its place.
fn unfit(error: serde_json::Error) -> Error {
    let kind = if error.is_data() { Kind::InvalidRules } else { Kind::MalformedRequest };
    let words = error.to_string().chars().take(300).collect::<String>();
    Error::new(kind, format!("the body is not what this call takes: {words}"))
}

/// What must be true of the thing that is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Condition {
    /// `If-Match`: one of these tags; empty for "it must be there".
    matches: Option<Vec<String>>,
    /// `If-None-Match: *`: it must not be there.
    absent: bool,
}

impl Condition {
    fn read(headers: &HeaderMap) -> Result<Self> {
        let text = |name: header::HeaderName| -> Result<Option<String>> {
            let all: Vec<_> = headers
                .get_all(&name)
                .iter()
                .map(HeaderValue::to_str)
                .collect::<Result<_, _>>()
                .map_err(|_| Error::new(Kind::MalformedRequest, format!("the header {name} must be ASCII")))?;
            Ok((!all.is_empty()).then(|| all.join(",")))
        };
        let matches = text(header::IF_MATCH)?.map(|tags| match tags.trim() {
            "*" => Vec::new(),
            tags => tags.split(',').map(|tag| tag.trim().to_owned()).collect(),
        });
        let absent = match text(header::IF_NONE_MATCH)?.as_deref().map(str::trim) {
            None => false,
            Some("*") => true,
            Some(_) => {
                return Err(Error::new(
                    Kind::InvalidField,
                    "If-None-Match takes only * here: it must not be there yet",
                ));
            }
        };
        Ok(Self { matches, absent })
    }

    /// Whether it is met by a thing with this tag; none where there is no such thing.
    fn check(&self, tag: Option<&str>) -> Result<()> {
        let matches = self
            .matches
            .as_ref()
            .is_none_or(|tags| tag.is_some_and(|tag| tags.is_empty() || tags.iter().any(|given| given == tag)));
        if matches && !(self.absent && tag.is_some()) { Ok(()) } else { Err(changed_meanwhile()) }
    }
}

/// The tag of a thing: the same as long as it is.
fn tag(item: &impl Serialize) -> String {
    let bytes = serde_json::to_vec(item).unwrap_or_default();
    let hash = blake3::hash(&bytes).to_hex();
    format!("\"{}\"", hash.get(..16).unwrap_or_default())
}

/// An answer with its tag.
fn tagged(value: impl Serialize, tag: &str) -> Response {
    let mut response = Json(value).into_response();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn deleted() -> Response {
    Json(Done::new()).into_response()
}

pub(super) type Answered = Result<Response, Failure>;
