//! What browsers are told by every answer, and which pages of other origins may read one.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tower_http::cors::CorsLayer;

use crate::error::{Error, Kind, Result};

/// Answers are nobody's to keep, frame, guess the type of or load into another page.
const ALWAYS: [(HeaderName, HeaderValue); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// How long a browser may go on without asking again whether it may call.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// Adds the headers, save those that a handler has set for reasons of its own.
pub(super) fn secure(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
}

/// Lets pages of these origins call; none where there are none.
///
/// # Errors
/// `Config` for what is no origin.
pub(super) fn cors(origins: &[String]) -> Result<Option<CorsLayer>> {
    if origins.is_empty() {
        return Ok(None);
    }
    let origins = origins.iter().map(|text| origin(text)).collect::<Result<Vec<_>>>()?;
    let own = |name: &'static str| HeaderName::from_static(name);
    let told = [
        "embedding-cache",
        "idempotency-replayed",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "x-request-id",
    ]
    .map(own);
    let asked = [header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH, header::IF_NONE_MATCH];
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(asked.into_iter().chain(["idempotency-key", "x-request-id"].map(own)).collect::<Vec<_>>())
        .expose_headers(told.into_iter().chain([header::ETAG, header::RETRY_AFTER]).collect::<Vec<_>>())
        .max_age(PREFLIGHT_AGE);
    Ok(Some(layer))
}

/// An origin as browsers send it: scheme, host, and port where it is not the scheme's own; nothing behind.
fn origin(text: &str) -> Result<HeaderValue> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]_".contains(&byte);
    let value = HeaderValue::from_str(text).ok().filter(|_| !host.is_empty() && host.bytes().all(fits));
    value.ok_or_else(|| {
        Error::new(Kind::Config, format!("api.cors_origins has {text:?}, which is no origin"))
            .help("write it as browsers send it, in lower case and with nothing behind: \"https://desk.example\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_taken_as_browsers_send_them_and_anything_else_is_refused() {
        for good in ["https://desk.example", "http://localhost:3000", "http://[2001:db8::1]:80"] {
            assert_eq!(origin(good).expect("an origin"), good);
        }
        for bad in [
            "*",
            "",
            "null",
            "desk.example",
            "https://",
            "https://desk.example/",
            "https://*.example",
            "https://Desk.example",
        ] {
            assert_eq!(origin(bad).expect_err("no origin").kind(), Kind::Config, "{bad}");
        }
        assert!(cors(&[]).expect("none").is_none());
    }

    #[test]
    fn what_a_handler_has_set_stays() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        secure(&mut headers);
        assert_eq!(headers[header::CACHE_CONTROL], "max-age=60");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
