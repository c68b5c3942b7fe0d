//! How requests and connections end: when their client has been heard out.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Handle,
    time::{Instant, Sleep, timeout},
};

use super::{activity::Activity, server::Stream};

/// How long, and for how many bytes, a client is heard out whose request was answered before its end.
pub(super) const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;

/// A connection that is not slammed shut.
///
/// Closing a socket with unread bytes in it makes TCP drop the answer that is still on its way: a client that was told
/// 413 while it sent would only see a broken connection. So after the last answer the client is heard out, within
/// bounds, and what it says is thrown away.
pub(super) struct Lingering {
    stream: Pin<Box<dyn Stream>>,
    /// Told of bytes that come or go.
    activity: Option<Arc<Activity>>,
    until: Option<Pin<Box<Sleep>>>,
    discarded: usize,
}

impl Lingering {
    pub(super) fn new(stream: Pin<Box<dyn Stream>>, activity: Option<Arc<Activity>>) -> Self {
        Self { stream, activity, until: None, discarded: 0 }
    }

    fn note<T>(&self, outcome: &Poll<io::Result<T>>) {
        if let (Poll::Ready(Ok(_)), Some(activity)) = (outcome, &self.activity) {
            activity.has_moved();
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let outcome = self.stream.as_mut().poll_read(cx, buf);
        self.note(&outcome);
        outcome
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = self.stream.as_mut().poll_write(cx, buf);
        self.note(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.stream.as_mut().poll_write_vectored(cx, bufs);
        self.note(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.until.is_none() {
            ready!(this.stream.as_mut().poll_shutdown(cx))?;
        }
        let until = this.until.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + LINGER)));
        let mut scratch = [0; 16 << 10];
        loop {
            if until.as_mut().poll(cx).is_ready() || this.discarded > LINGER_BYTES {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(this.stream.as_mut().poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => this.discarded += buf.filled().len(),
                // The client has closed its side, or is gone.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// The body of a request, whose client is heard out also where nobody wants to hear the rest of it.
///
/// Over HTTP/2, to let go of half a body resets its stream: that tells the client to stop (RFC 9113, 8.1), but common ones take
/// it for a failure and throw the answer away that came right before. On a connection of HTTP/1.1 no other request could
/// follow. So what is left when the body is dropped is read by a task of its own, within bounds, and thrown away.
pub(super) struct HeardOut {
    body: Body,
    /// Whether the client sends no byte before it is told to go on, by the first look at the body.
    waits: bool,
    ended: bool,
    patience: Duration,
}

impl HeardOut {
    /// `waits`: the client has asked whether it may send (`Expect: 100-continue`). `patience`: how long the rest may take in all,
    /// for clients on slow networks; one that says nothing for [`LINGER`] is not waited for.
    pub(super) fn new(body: Body, waits: bool, patience: Duration) -> Self {
        Self { body, waits, ended: false, patience }
    }
}

impl HttpBody for HeardOut {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.waits = false;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for HeardOut {
    fn drop(&mut self) {
        if self.waits || self.ended || self.body.is_end_stream() {
            return;
        }
        let mut rest = std::mem::take(&mut self.body).into_data_stream();
        // Outside of a runtime there is no connection either.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(timeout(self.patience, async move {
            let mut discarded = 0;
            while let Ok(Some(Ok(chunk))) = timeout(LINGER, rest.next()).await {
                discarded += chunk.len();
                if discarded > LINGER_BYTES {
                    break;
                }
            }
        }));
    }
}
