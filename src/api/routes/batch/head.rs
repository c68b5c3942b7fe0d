//! A bound for what a form has between its fields: the reader of forms keeps a field's head, and what stands before the first one, in
//! memory until its end has come, and searches all of it again with each piece.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::Request,
};
use futures_util::{Stream, StreamExt as _};

/// How many bytes may come while the next field is looked for. A head has some hundred.
const LONGEST: usize = 64 << 10;

/// None is looked for.
const FOUND: usize = usize::MAX;

/// How many bytes have come since a field is looked for.
#[derive(Clone)]
pub(super) struct Seeking(Arc<AtomicUsize>);

impl Seeking {
    /// A field is looked for from now on.
    pub(super) fn begin(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// It has begun: what comes now is its, and read as it comes.
    pub(super) fn end(&self) {
        self.0.store(FOUND, Ordering::Relaxed);
    }

    /// Whether the body was broken off because none came.
    pub(super) fn is_over(&self) -> bool {
        (LONGEST..FOUND).contains(&self.0.load(Ordering::Relaxed))
    }
}

/// The same request, whose body breaks off where the next field does not begin.
pub(super) fn bounded(request: Request) -> (Request, Seeking) {
    let seeking = Seeking(Arc::new(AtomicUsize::new(FOUND)));
    let counted = seeking.clone();
    let request = request
        .map(|body| Body::from_stream(Bounded { chunks: body.into_data_stream(), seeking: counted, has_given: false }));
    (request, seeking)
}

struct Bounded {
    chunks: BodyDataStream,
    seeking: Seeking,
    /// A piece was given that may have what is looked for.
    has_given: bool,
}

impl Stream for Bounded {
    type Item = Result<Bytes, axum::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let so_far = self.seeking.0.load(Ordering::Relaxed);
        if so_far == FOUND {
            return self.chunks.poll_next_unpin(context).map_err(Into::into);
        }
        // The reader takes all that there is before it looks at it. It shall look at each piece, or it would read on into the field.
        if std::mem::take(&mut self.has_given) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if so_far >= LONGEST {
            return Poll::Ready(Some(Err(io::Error::other("no field begins").into())));
        }
        let chunk = self.chunks.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(chunk))) = &chunk {
            self.has_given = true;
            self.seeking.0.store(so_far.saturating_add(chunk.len()).min(FOUND - 1), Ordering::Relaxed);
        }
        chunk.map_err(Into::into)
    }
}
