//! A list of any length as an answer: page by page from the gallery, so that memory holds one of them, however many faces are
//! enrolled and however slowly the client reads.

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use super::{dto::Embedding, error::Failure};
use crate::{
    error::{Context, Kind, Result},
    gallery::{EmbeddingId, Page},
};

/// The embeddings of `first` and of all pages behind it, as the one object that [`Listed`](super::dto::Listed) is.
///
/// What is enrolled or deleted meanwhile may be in it or not. Where the gallery fails half-way, or `next` refuses to go on, the answer breaks off: no
/// client takes that for the whole of it.
pub(super) fn all<N, F>(first: Page, next: N) -> Response
where
    N: Fn(EmbeddingId) -> F + Send + 'static,
    F: Future<Output = Result<Page, Failure>> + Send,
{
    let start = Progress::Page { page: first, count: 0 };
    let pages = stream::try_unfold((start, next), |(progress, next)| async move {
        let Progress::Page { page, count } = progress else { return Ok(None) };
        let (after, shown) = (page.next, count + page.enrolments.len());
        let mut chunk = written(page, count == 0)?;
        let progress = match after {
            Some(after) => {
                let page = next(after).await.map_err(|Failure(error)| error)?;
                Progress::Page { page, count: shown }
            }
            None => {
                chunk.extend_from_slice(format!("],\"count\":{shown}}}").as_bytes());
                Progress::Done
            }
        };
        Ok::<_, crate::error::Error>(Some((Bytes::from(chunk), (progress, next))))
    });
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([json], Body::from_stream(pages)).into_response()
}

/// How far it has got.
enum Progress {
    /// This page is to be written, after so many embeddings.
    Page {
        page: Page,
        count: usize,
    },
    Done,
}

fn written(page: Page, is_first: bool) -> Result<Vec<u8>> {
    let mut chunk = Vec::new();
    let mut between: &[u8] = if is_first { b"{\"success\":true,\"embeddings\":[" } else { b"," };
    if page.enrolments.is_empty() && is_first {
        chunk.extend_from_slice(between);
    }
    for enrolment in page.enrolments {
        chunk.extend_from_slice(between);
        serde_json::to_writer(&mut chunk, &Embedding::from(enrolment))
            .context(Kind::Internal, || "an embedding has no form in JSON")?;
        between = b",";
    }
    Ok(chunk)
}
