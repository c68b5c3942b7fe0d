//! Errors as a client sees them: one JSON body for all, nothing of the inside in a 5xx.
//!
//! A handler returns [`Failure`]. It travels to the outermost layer as an extension of an empty response; only there is the
//! request's id known, the body written and a 5xx logged. So there is one place that decides what a client is told.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::error::{Error, Kind};

/// How long a client should wait before it tries again, in seconds, where it is told so.
const RETRY_AFTER_S: u64 = 1;

/// What a handler returns instead of an answer.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Error::new(kind, message))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = status(self.0.kind()).into_response();
        response.extensions_mut().insert(Arc::new(self.0));
        response
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    success: bool,
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    code: &'static str,
    message: &'a str,
    request_id: &'a str,
}

/// An error within an answer that is otherwise fine: its code and what the client is told, with when to try again in the place of a
/// header.
pub(super) fn told(error: &Error) -> serde_json::Value {
    let mut told = serde_json::json!({ "code": code(error.kind()), "message": public_message(error) });
    if may_be_tried_again(error.kind()) {
        told["retry_after"] = RETRY_AFTER_S.into();
    }
    told
}

/// Turns a response that carries an [`Error`] into what the client gets. A response of an error status that carries none
/// (made by a library) gets the words of its status. Others pass.
pub(super) fn render(mut response: Response, request_id: &str) -> Response {
    let error = match response.extensions_mut().remove::<Arc<Error>>() {
        Some(error) => error,
        None if response.status().is_client_error() || response.status().is_server_error() => {
            Arc::new(foreign(response.status()))
        }
        None => return response,
    };
    let kind = error.kind();
    if kind == Kind::Busy {
        // A flood says it thousands of times a second: its lines must not be the next flood. The request's own line has it.
        tracing::debug!(request_id, error = %error, "a request was told to wait");
    } else if status(kind).is_server_error() {
        let advice = error.advice().unwrap_or_default();
        tracing::error!(request_id, code = kind.code(), error = %error, advice, "a request failed");
    }
    let body =
        Envelope { success: false, error: Detail { code: code(kind), message: &public_message(&error), request_id } };
    let rendered = (status(kind), Json(body)).into_response();
    *response.status_mut() = rendered.status();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(rendered.headers().clone());
    for (name, value) in extra_headers(kind) {
        headers.insert(name, value);
    }
    *response.body_mut() = rendered.into_body();
    response
}

fn status(kind: Kind) -> StatusCode {
    StatusCode::from_u16(kind.http_status()).expect("the table of kinds has only HTTP statuses, a test says so")
}

/// The kinds that only an operator can act on are one to a client.
fn code(kind: Kind) -> &'static str {
    if kind.http_status() == 500 { Kind::Internal.code() } else { kind.code() }
}

/// What the client is told: everything about its own mistake, and only a fixed sentence about ours.
fn public_message(error: &Error) -> String {
    match error.kind() {
        Kind::Busy => "too much is being worked on; try again in a moment".into(),
        Kind::NotReady => "the daemon is starting or stopping; try again in a moment".into(),
        Kind::StorageFull => "there is no room left to store anything, so that this was not stored".into(),
        kind if kind.http_status() >= 500 => {
            "the daemon failed to do this; its log has the reason under this request id".into()
        }
        _ => match error.advice() {
            Some(advice) => format!("{}: {advice}", error.message()),
            None => error.message().into(),
        },
    }
}

/// Whether the same may be done in a moment.
fn may_be_tried_again(kind: Kind) -> bool {
    matches!(kind, Kind::Busy | Kind::NotReady | Kind::RateLimited | Kind::RequestInProgress)
}

fn extra_headers(kind: Kind) -> Vec<(HeaderName, HeaderValue)> {
    match kind {
        Kind::MissingApiKey | Kind::InvalidApiKey => {
            vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))]
        }
        kind if may_be_tried_again(kind) => vec![(header::RETRY_AFTER, RETRY_AFTER_S.into())],
        // What follows on the connection is the rest of a body that nobody reads.
        Kind::RequestTimeout => vec![(header::CONNECTION, HeaderValue::from_static("close"))],
        _ => Vec::new(),
    }
}

/// The error for a response that a library made.
fn foreign(status: StatusCode) -> Error {
    let kind = match status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Kind::ImageTooLarge,
        status if status.is_client_error() => Kind::MalformedRequest,
        _ => Kind::Internal,
    };
    Error::new(kind, "the request cannot be read")
}

/// The answer to a panic in a handler. What it said goes to the log by the panic hook, never to the client.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::http::Response<Body> {
    Failure::new(Kind::Internal, "a handler panicked").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body_of(response: Response) -> serde_json::Value {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("the body is in memory");
        serde_json::from_slice(&bytes).expect("every error is JSON")
    }

    #[tokio::test]
    async fn every_kind_has_a_whole_answer_and_no_5xx_tells_the_inside() {
        for &kind in Kind::ALL {
            let error =
                Error::new(kind, "secret-path").help("secret-help").source(std::io::Error::other("secret-source"));
            let response = render(Failure(error).into_response(), "id-1");
            assert_eq!(response.status().as_u16(), kind.http_status());
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
            let body = body_of(response).await;
            assert_eq!(body["success"], false);
            assert_eq!(body["error"]["request_id"], "id-1");
            assert_eq!(body["error"].as_object().map(|error| error.len()), Some(3));
            let message = body["error"]["message"].as_str().expect("a message");
            assert_eq!(message.contains("secret"), kind.http_status() < 500, "{kind:?}: {message}");
            assert!(!message.contains("source"));
            if kind.http_status() == 500 {
                assert_eq!(body["error"]["code"], "internal");
            }
        }
    }

    #[tokio::test]
    async fn headers_of_the_table_are_there() {
        let header_of = |kind: Kind, name: HeaderName| {
            render(Failure::new(kind, "x").into_response(), "i").headers().get(name).cloned()
        };
        assert_eq!(header_of(Kind::InvalidApiKey, header::WWW_AUTHENTICATE), Some(HeaderValue::from_static("Bearer")));
        assert!(header_of(Kind::Busy, header::RETRY_AFTER).is_some());
        assert!(header_of(Kind::NotReady, header::RETRY_AFTER).is_some());
        assert!(header_of(Kind::NoFaceDetected, header::RETRY_AFTER).is_none());
    }

    #[tokio::test]
    async fn a_library_s_own_error_gets_our_body() {
        let response = render((StatusCode::BAD_REQUEST, "internals of a library").into_response(), "i");
        let body = body_of(response).await;
        assert_eq!(body["error"]["code"], "malformed_request");
        assert!(!body.to_string().contains("library"));
    }
}
