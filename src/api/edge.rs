//! The outermost layer of every request: its id, its line in the log, and the body of its error; and its time limit.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
    middleware::Next,
    response::{IntoResponse, Response},
};
use uuid::Uuid;

use super::{
    State,
    auth::Tenant,
    error, headers,
    limits::Ledger,
    metrics::{Requests, known},
};
use crate::{
    error::{Error, Kind},
    gallery::TenantId,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who is told to come back later is told so after this time. The answer says to wait a second at least; a client that does
/// not, and sends its next photograph at once, is slowed to a few a second on each of its connections.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs the rest and finishes the response.
pub(super) async fn layer(Shared(state): Shared<Arc<State>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    // The pattern, not the path: a path may hold a subject's id.
    let route = request.extensions().get::<MatchedPath>().cloned();

    let ledger = Ledger::default();
    request.extensions_mut().insert(ledger.clone());

    let requests = Arc::clone(&state.requests);
    let mut line = Line { id: id.clone(), method, route, started, tenant: None, status: CLIENT_GONE, requests };
    let response = next.run(request).await;
    let error = response.extensions().get::<Arc<Error>>().map(|error| error.kind());
    if matches!(error, Some(Kind::Busy | Kind::RateLimited)) {
        tokio::time::sleep(PAUSE).await;
    }
    let mut response = error::render(response, &id);
    let header = HeaderValue::from_str(&id).expect("a request id is ASCII letters, digits, dots, dashes");
    response.headers_mut().insert(REQUEST_ID, header);
    headers::secure(response.headers_mut());
    ledger.write(&mut response);

    line.status = response.status().as_u16();
    line.tenant = response.extensions().get::<Tenant>().map(|Tenant(tenant)| tenant.clone());
    response
}

/// Runs the rest within the time limit.
pub(super) async fn time_limit(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(state.settings.request_timeout(), next.run(request)).await;
    answer.unwrap_or_else(|_| {
        error::Failure::new(Kind::RequestTimeout, "the request took too long to arrive or to answer").into_response()
    })
}

/// The status in the log for a client that went away before its answer: no status of HTTP's, but widely understood.
const CLIENT_GONE: u16 = 499;

/// A request's line in the log and its count, written when it is dropped: also when the client goes away and the rest is
/// never run.
struct Line {
    id: String,
    method: Method,
    route: Option<MatchedPath>,
    started: Instant,
    tenant: Option<TenantId>,
    status: u16,
    requests: Arc<Requests>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let route = self.route.as_ref().map_or("-", MatchedPath::as_str);
        let seconds = self.started.elapsed().as_secs_f64();
        self.requests.count(route, &self.method, self.status, seconds);
        tracing::info!(
            target: "facegate::access",
            request_id = %self.id,
            // A client may make up as long a one as it likes.
            method = known(&self.method),
            route,
            status = self.status,
            ms = (seconds * 1e6).round() / 1e3,
            tenant = self.tenant.as_ref().map(tracing::field::display),
            "request"
        );
    }
}

/// The client's own id where it is well-formed, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given {
        Some(id) if well_formed(id) => id.to_owned(),
        _ => Uuid::now_v7().simple().to_string(),
    }
}

/// 1 to 64 of `[A-Za-z0-9._-]`: nothing that could break a line of a log.
fn well_formed(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn given(id: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).expect("a legal header value"));
        request_id(&headers)
    }

    #[test]
    fn a_well_formed_id_is_taken_and_any_other_replaced() {
        assert_eq!(given("abc.DEF_1-2"), "abc.DEF_1-2");
        assert_eq!(given(&"x".repeat(64)), "x".repeat(64));
        for bad in ["", "a b", "a\tb", "é", "a\"b", "a=b", &"x".repeat(65)] {
            assert_ne!(given(bad), bad);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()), "each request has its own");
    }

    proptest! {
        #[test]
        fn whatever_comes_the_id_is_well_formed(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(REQUEST_ID, value);
            }
            prop_assert!(well_formed(&request_id(&headers)));
        }
    }
}
