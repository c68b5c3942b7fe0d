//! Who is calling: the key in `Authorization: Bearer KEY` names the tenant.

use std::sync::Arc;

use axum::{
    extract::{Request, State as Shared},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{State, blocking, error::Failure};
use crate::{error::Kind, gallery::TenantId};

/// Longest key that is looked at, in bytes; ours are far shorter.
const LONGEST_KEY: usize = 256;

/// The caller, as an extension of the request (for the handlers) and of the response (for the log).
#[derive(Clone, Debug)]
pub(super) struct Tenant(pub(super) TenantId);

/// Lets only requests with a valid key through, and hands the tenant on.
///
/// A request without a key takes the same way through the gallery as one with a wrong key, so that both take the same
/// time.
pub(super) async fn layer(Shared(state): Shared<Arc<State>>, mut request: Request, next: Next) -> Response {
    if let Err(error) = state.readiness.api() {
        return Failure(error).into_response();
    }
    let key = bearer(request.headers()).map(str::to_owned);
    let given = key.is_some();
    let gallery = Arc::clone(&state.gallery);
    let tenant = match blocking(move || gallery.authenticate(key.as_deref().unwrap_or_default())).await {
        Ok(tenant) if given => tenant,
        Ok(_) => return missing().into_response(),
        Err(Failure(error)) if error.kind() == Kind::InvalidApiKey && !given => return missing().into_response(),
        Err(Failure(error)) if error.kind() == Kind::InvalidApiKey => {
            return Failure::new(Kind::InvalidApiKey, "the API key is unknown or revoked").into_response();
        }
        Err(failure) => return failure.into_response(),
    };
    request.extensions_mut().insert(Tenant(tenant.clone()));
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Tenant(tenant));
    response
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
    use axum::http::HeaderValue;
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
