//! `GET /docs`: a page on which one reads about the calls and tries them. It needs nothing from anywhere else.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderName, HeaderValue, header},
    response::IntoResponse,
};

use crate::{
    api::{
        error::Failure,
        openapi::{self, failures},
    },
    error::Kind,
};

/// What the page may do that no other answer may: load its own script and style, and call this API. Nothing inline, nothing of
/// other hosts.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

type Part = ([(HeaderName, HeaderValue); 3], &'static str);

const fn part(content_type: &'static str, text: &'static str) -> Part {
    let content_type = HeaderValue::from_static(content_type);
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, openapi::CACHED),
    ];
    (headers, text)
}

/// Shows the page on which one reads about the calls and tries them.
#[utoipa::path(get, path = "/docs",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html; charset=utf-8")))]
pub(in crate::api) async fn page() -> impl IntoResponse {
    part("text/html; charset=utf-8", include_str!("../docs/page.html"))
}

/// Gives what the page is made of.
#[utoipa::path(get, path = "/docs/{file}", params(("file" = String, Path, description = "`page.js` or `page.css`.")),
    responses((status = 200, description = "Its script or its style.", content(
        (String = "text/javascript; charset=utf-8"), (String = "text/css; charset=utf-8"))), failures::NotThere))]
pub(in crate::api) async fn file(file: Result<Path<String>, PathRejection>) -> Result<impl IntoResponse, Failure> {
    match file.as_ref().map(|Path(name)| name.as_str()) {
        Ok("page.js") => Ok(part("text/javascript; charset=utf-8", include_str!("../docs/page.js"))),
        Ok("page.css") => Ok(part("text/css; charset=utf-8", include_str!("../docs/page.css"))),
        _ => Err(Failure::new(Kind::NotFound, "the page has no such file")),
    }
}
