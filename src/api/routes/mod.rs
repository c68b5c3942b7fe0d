//! One file a resource. A handler reads the request, asks the recognition or the gallery, and writes the answer.

pub(super) mod access;
pub(super) mod admin;
pub(super) mod batch;
pub(super) mod compare;
pub(super) mod detect;
pub(super) mod docs;
pub(super) mod doors;
pub(super) mod embeddings;
pub(super) mod enroll;
pub(super) mod health;
pub(super) mod metrics;
pub(super) mod models;
pub(super) mod photographs;
pub(super) mod search;
pub(super) mod subjects;
pub(super) mod transfer;
pub(super) mod verify;

use axum::{
    extract::RawQuery,
    http::{HeaderName, HeaderValue},
};
use percent_encoding::percent_decode_str;

use super::{error::Failure, values::Values};
use crate::{
    error::{Error, Kind, Result},
    vision::engine::Calibration,
};

/// Least similarity that counts where the client names none.
const DEFAULT_THRESHOLD: f64 = 0.6;

/// A threshold as the client gave it, and what follows from it.
struct Threshold {
    /// As given, to be told back.
    given: f64,
}

impl Threshold {
    fn read(values: &Values) -> Result<Self> {
        Ok(Self { given: values.fraction("threshold")?.unwrap_or(DEFAULT_THRESHOLD) })
    }

    /// Whether `similarity` reaches it. Compared as the single-precision number that the client sees, so that an answer
    /// never says that 0.7 does not reach 0.7.
    fn passes(&self, similarity: f32) -> bool {
        similarity >= self.given as f32
    }

    /// A cosine that nothing which passes lies under. A hair less than the exact one: rounding must not lose a match;
    /// [`Threshold::passes`] has the last word.
    fn least_cosine(&self, calibration: &Calibration) -> f32 {
        (calibration.cosine(self.given as f32) - 1e-4).max(-1.0)
    }
}

/// Reads a query: pairs as in a form of HTML, but what is no UTF-8 is refused. To put a sign in its place, as browsers do, would
/// name another subject than the client meant.
///
/// # Errors
/// `MalformedRequest` for what is no UTF-8, `InvalidField` for a name that is given twice.
pub(super) fn read(RawQuery(query): RawQuery) -> Result<Values> {
    let query = query.unwrap_or_default();
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text).decode_utf8().map(|text| text.into_owned());
        decoded.map_err(|_| Error::new(Kind::MalformedRequest, "the query must be percent-encoded UTF-8"))
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(name)?, decoded(value)?))
    });
    Values::from_pairs(pairs.collect::<Result<Vec<_>>>()?)
}

/// An answer that says whether its photographs were known.
type Cached<T> = Result<([(HeaderName, HeaderValue); 1], axum::Json<T>), Failure>;
/// A photograph in a form, as it is told to clients.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary, content_media_type = "image/*")]
#[expect(dead_code, reason = "only told")]
struct Binary(Vec<u8>);

type Answer<T> = Result<axum::Json<T>, Failure>;
