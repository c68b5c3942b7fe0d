//! How a connection ends: when its client has been heard out.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::server::Stream;

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
    until: Option<Pin<Box<Sleep>>>,
    discarded: usize,
}

impl Lingering {
    pub(super) fn new(stream: Pin<Box<dyn Stream>>) -> Self {
        Self { stream, until: None, discarded: 0 }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, bufs)
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
