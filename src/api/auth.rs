//! Who is calling: the key in `Authorization: Bearer KEY` names the tenant and what it may do. On the daemon's own socket,
//! whoever sends no key is the user of this machine at its other end.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header, uri::Authority},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use utoipa_axum::router::UtoipaMethodRouter;

use super::{State, blocking, error::Failure, limits::Visit, openapi, server::Peer};
use crate::{
    error::{Error, Kind, Result},
    gallery::{Caller, Right, TenantId},
    operator::{Operator, no_longer_good},
};

/// Calls with their documents, as `routes!` makes them.
type Documented = UtoipaMethodRouter<Arc<State>>;

/// Longest key that is looked at, in bytes; ours are far shorter.
const LONGEST_KEY: usize = 256;

/// The caller, as an extension of the request (for the handlers) and of the response (for the log).
#[derive(Clone, Debug)]
pub(super) struct Tenant(pub(super) TenantId);

/// Lets only requests with a valid key through, and hands on who calls, for which tenant.
pub(super) async fn tenants(Shared(state): Shared<Arc<State>>, mut request: Request, next: Next) -> Response {
    let caller = match admitted(&state, &request).await {
        Ok(caller) => caller,
        Err(failure) => return failure.into_response(),
    };
    let tenant = Tenant(caller.tenant.clone());
    request.extensions_mut().insert(tenant.clone());
    request.extensions_mut().insert(Operator::Key(caller));
    let headers = request.headers().clone();
    let mut response = next.run(request).await;
    if was_not_found(&response)
        && let Err(failure) = self::caller(&state, &headers).await
    {
        // Its tenant was deleted while it ran, or the key revoked: nothing else is said about that.
        response = failure.into_response();
    }
    response.extensions_mut().insert(tenant);
    response
}

fn was_not_found(response: &Response) -> bool {
    response.extensions().get::<Arc<Error>>().is_some_and(|error| error.kind() == Kind::NotFound)
}

/// Lets through what needs no key, as often as its address may read.
pub(super) async fn anybody(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    match Visit::of_anybody(&request).arrived(&state.limits) {
        Ok(()) => next.run(request).await,
        Err(error) => Failure(error).into_response(),
    }
}

/// As [`tenants`], for calls about doors, which a user of this machine may make without a key.
pub(super) async fn operators(Shared(state): Shared<Arc<State>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    match peer {
        Some(Peer::User(user)) if !request.headers().contains_key(header::AUTHORIZATION) => {
            if let Err(error) = state.readiness.api() {
                return Failure(error).into_response();
            }
            request.extensions_mut().insert(Operator::Local { user });
            next.run(request).await
        }
        _ => tenants(Shared(state), request, next).await,
    }
}

/// The same for the metrics, which this machine may read without a key: by the daemon's socket, or by a loopback address. A
/// request that a proxy of this machine hands on is somebody else's, as far as it can be told from one of this machine's own.
pub(super) async fn watchers(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let here = match request.extensions().get::<Peer>() {
        Some(Peer::User(_)) => true,
        Some(Peer::Address(address)) => address.to_canonical().is_loopback() && !handed_on(&request),
        None => false,
    };
    if here && !request.headers().contains_key(header::AUTHORIZATION) {
        return anybody(Shared(state), request, next).await;
    }
    tenants(Shared(state), request, next).await
}

/// Whether a proxy hands a request on, by what gives one away: headers that proxies add, HTTP/1.0, which clients have not
/// spoken for long and proxies still do, and a name of the client's that is not this machine's to itself.
fn handed_on(request: &Request) -> bool {
    let added = |name: &HeaderName| {
        let name = name.as_str();
        ["forwarded", "via", "x-real-ip"].contains(&name) || name.starts_with("x-forwarded")
    };
    request.version() < Version::HTTP_11 || request.headers().keys().any(added) || !asks_this_machine(request)
}

/// Whether the client has called this machine `localhost` or by a loopback address, wherever it says what it has called.
fn asks_this_machine(request: &Request) -> bool {
    let authority = |host: &HeaderValue| host.to_str().ok()?.parse::<Authority>().ok();
    let in_headers = request.headers().get_all(header::HOST).iter().map(authority);
    // HTTP/2 has it in the place of a header.
    let mut hosts = request.uri().authority().cloned().map(Some).into_iter().chain(in_headers).peekable();
    hosts.peek().is_some() && hosts.all(|host| host.is_some_and(|host| is_this_machine(host.host())))
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whose key it is, where its address and the key have calls left.
fn admitted(state: &State, request: &Request) -> impl Future<Output = Result<Caller, Failure>> + Send {
    let (visit, headers) = (Visit::of(request), request.headers().clone());
    async move {
        visit.arrived(&state.limits)?;
        let caller = caller(state, &headers).await.map_err(|failure| visit.refused(&state.limits, failure))?;
        visit.recognised(&state.limits, &caller.key)?;
        Ok(caller)
    }
}

/// Whose key it is. A request without one takes the same way through the gallery as one with a wrong key, so that both take
/// the same time.
async fn caller(state: &State, headers: &HeaderMap) -> Result<Caller, Failure> {
    state.readiness.api()?;
    let key = bearer(headers);
    let given = key.is_some();
    let key = key.unwrap_or_default();
    // As a rule nothing has changed since the last call, and no other thread need be woken.
    let outcome = match state.gallery.authenticate_at_once(key) {
        Some(outcome) => outcome.map_err(Failure),
        None => {
            let (gallery, key) = (Arc::clone(&state.gallery), key.to_owned());
            blocking(move || gallery.authenticate(&key)).await
        }
    };
    match outcome {
        Ok(caller) if given => Ok(caller),
        Ok(_) => Err(missing()),
        Err(Failure(error)) if error.kind() == Kind::InvalidApiKey && !given => Err(missing()),
        Err(Failure(error)) if error.kind() == Kind::InvalidApiKey => Err(no_longer_good().into()),
        Err(failure) => Err(failure),
    }
}

/// Refuses a key that was revoked or has ended since the head of its request came: a body may take its time, and what comes
/// of it is to be nothing by then. To be asked once the body is there.
pub(super) async fn still_allowed(state: &State, operator: &Operator) -> Result<()> {
    if let Operator::Key(caller) = operator
        && state.gallery.has_key_at_once(&caller.key) == Some(true)
    {
        return Ok(());
    }
    let (gallery, operator) = (Arc::clone(&state.gallery), operator.clone());
    blocking(move || operator.still_allowed(&gallery)).await.map_err(|Failure(error)| error)
}

/// Who makes a request. To be used within [`tenants`] or [`operators`].
pub(super) fn operator(request: &Request) -> Result<&Operator> {
    request.extensions().get::<Operator>().ok_or_else(|| Error::new(Kind::Internal, "a call without its caller"))
}

/// Calls for those alone who have this right, which is told in their documents. To be used within [`tenants`].
pub(super) fn needs(right: Right, (schemas, mut paths, route): Documented) -> Documented {
    for item in paths.paths.values_mut() {
        let all = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        all.into_iter().flatten().for_each(|operation| openapi::told(operation, right));
    }
    let route = route
        .route_layer(from_fn(move |request: Request, next: Next| async move { checked(right, request, next).await }));
    (schemas, paths, route)
}

/// Reading needs the right to read, everything else the right to administer. To be used within [`tenants`].
pub(super) async fn reading_or_changing(request: Request, next: Next) -> Result<Response, Failure> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    checked(if reads { Right::Read } else { Right::Admin }, request, next).await
}

async fn checked(right: Right, request: Request, next: Next) -> Result<Response, Failure> {
    operator(&request)?.must_have(right)?;
    Ok(next.run(request).await)
}

fn missing() -> Failure {
    Failure::new(Kind::MissingApiKey, "no API key: send the header Authorization: Bearer KEY")
}

/// The key of a request, or `None` where there is no single, readable `Authorization: Bearer KEY`.
///
/// The scheme's name is compared without case (RFC 9110, 11.1). Two such headers are as good as none: which of them
/// counts must not depend on who reads them.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let value = all.next()?;
    if all.next().is_some() {
        return None;
    }
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && (1..=LONGEST_KEY).contains(&key.len())).then_some(key)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use proptest::prelude::*;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a legal value"));
        }
        headers
    }

    #[test]
    fn a_bearer_key_is_found_whatever_the_case_of_the_scheme() {
        for value in ["Bearer k3y", "bearer k3y", "BEARER  k3y ", "Bearer   k3y"] {
            assert_eq!(bearer(&headers(&[value])), Some("k3y"), "{value:?}");
        }
    }

    #[test]
    fn anything_else_is_no_key() {
        for value in ["", "Bearer", "Bearer ", "Basic k3y", "k3y", "Bearerk3y", &format!("Bearer {}", "x".repeat(257))]
        {
            assert_eq!(bearer(&headers(&[value])), None, "{value:?}");
        }
        assert_eq!(bearer(&headers(&[])), None);
        assert_eq!(bearer(&headers(&["Bearer a", "Bearer b"])), None, "two keys are none");
    }

    #[test]
    fn a_request_of_this_machine_s_own_is_told_from_one_that_a_proxy_hands_on() {
        let on = |version, uri: &str, headers: &[(&str, &str)]| {
            let mut request = Request::builder().version(version).uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            handed_on(&request.body(Body::empty()).expect("a legal request"))
        };
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]", "[::1]:8080"] {
            assert!(!on(one, "/metrics", &[("host", host)]), "{host}");
            assert!(!on(two, &format!("http://{host}/metrics"), &[]), "{host}");
            assert!(on(Version::HTTP_10, "/metrics", &[("host", host)]), "{host}");
        }
        for host in ["door.example", "192.0.2.7:8080", "[2001:db8::1]", "localhost.example", "", "127.0.0.1, door", "é"]
        {
            assert!(on(one, "/metrics", &[("host", host)]), "{host}");
        }
        assert!(on(one, "/metrics", &[]), "it names nobody");
        assert!(on(one, "/metrics", &[("host", "localhost"), ("host", "door.example")]));
        assert!(on(one, "http://door.example/metrics", &[("host", "localhost")]));
        assert!(on(two, "https://door.example/metrics", &[]));
        for name in ["forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"] {
            assert!(on(one, "/metrics", &[("host", "localhost"), (name, "x")]), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_printable_key_comes_through_as_it_is(key in "[!-~]{1,256}") {
            let headers = headers(&[&format!("Bearer {key}")]);
            prop_assert_eq!(bearer(&headers), Some(key.as_str()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(header::AUTHORIZATION, value);
            }
            bearer(&headers);
        }
    }
}
