//! What a connection does: whether anything is under way on it, and whether that gets anywhere.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::sleep;

/// What a connection does.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    under_way: AtomicU64,
    /// Requests that began, pieces of bodies that came or went, and where they are told, bytes.
    moved: AtomicU64,
}

impl Activity {
    /// A request begins, which is under way until what is given back is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.has_moved();
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Ends when no request was under way for `time` or little more.
    pub(super) async fn idle(self: Arc<Self>, time: Duration) {
        let mut seen = 0;
        loop {
            sleep(time).await;
            let begun = self.begun.load(Ordering::Relaxed);
            if begun == seen && self.under_way.load(Ordering::Relaxed) == 0 {
                return;
            }
            seen = begun;
        }
    }

    /// Something came or went.
    pub(super) fn has_moved(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends when nothing came or went for `time`, or up to twice as long.
    pub(super) async fn stands_still(&self, time: Duration) {
        loop {
            let before = self.moved.load(Ordering::Relaxed);
            sleep(time).await;
            if self.moved.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    /// The same body, whose pieces are counted.
    pub(super) fn watch(self: &Arc<Self>, body: Body, under_way: Option<UnderWay>) -> Body {
        Body::new(Watched { body, activity: Arc::clone(self), _under_way: under_way })
    }
}

/// A request, until it is answered to the end or given up.
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Watched {
    body: Body,
    activity: Arc<Activity>,
    _under_way: Option<UnderWay>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_ready() {
            self.activity.has_moved();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
