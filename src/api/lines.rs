//! Bodies of any length, a line of JSON at a time: in, within bounds of length and patience; and out, as soon as each is known.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

use crate::error::{Error, Kind, Result};

/// Lines of JSON.
pub(super) const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// How much a body may ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of a line, without its end.
    pub(super) line: usize,
    /// Bytes of the whole.
    pub(super) whole: u64,
    /// How long the next line may take to arrive.
    pub(super) patience: Duration,
}

/// The lines of a body.
pub(super) struct Lines {
    body: BodyDataStream,
    bounds: Bounds,
    buffer: Vec<u8>,
    /// How far the buffer was searched for an end of line.
    searched: usize,
    so_far: u64,
    ended: bool,
}

impl Lines {
    pub(super) fn new(body: Body, bounds: Bounds) -> Self {
        let body = body.into_data_stream();
        Self { body, bounds, buffer: Vec::new(), searched: 0, so_far: 0, ended: false }
    }

    /// The next line without its end; empty ones are passed over. `None` at the end of the body.
    ///
    /// # Errors
    /// `TooLarge` past a bound, `RequestTimeout` where it does not come, `MalformedRequest` where the body breaks off.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match timeout(self.bounds.patience, self.read()).await {
            Ok(line) => line,
            Err(_) => Err(Error::new(Kind::RequestTimeout, "the next line took too long to arrive")),
        }
    }

    async fn read(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            while let Some(line) = self.cut() {
                if line.len() > self.bounds.line {
                    return Err(self.too_long());
                }
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.ended {
                return Ok(None);
            }
            // With the first byte of a line end of two.
            if self.buffer.len() > self.bounds.line + 1 {
                return Err(self.too_long());
            }
            match self.body.next().await {
                Some(Ok(chunk)) => self.take(&chunk)?,
                Some(Err(_)) => return Err(Error::new(Kind::MalformedRequest, "the body breaks off")),
                None => {
                    self.ended = true;
                    if !self.buffer.is_empty() {
                        self.buffer.push(b'\n');
                    }
                }
            }
        }
    }

    fn take(&mut self, chunk: &Bytes) -> Result<()> {
        self.so_far += chunk.len() as u64;
        if self.so_far > self.bounds.whole {
            return Err(Error::new(Kind::TooLarge, format!("the body has more than {} bytes", self.bounds.whole)));
        }
        self.buffer.extend_from_slice(chunk);
        Ok(())
    }

    /// Cuts a line off the front of the buffer, where there is a whole one.
    fn cut(&mut self) -> Option<Vec<u8>> {
        let Some(end) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let rest = self.buffer.split_off(self.searched + end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        self.searched = 0;
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
    }

    fn too_long(&self) -> Error {
        Error::new(Kind::TooLarge, format!("a line has more than {} bytes", self.bounds.line))
    }
}

/// Tells the client, line by line. Never waits: a client that does not read while it sends would wait for us for ever. Whoever
/// tells bounds how many lines there are.
pub(super) struct Teller(UnboundedSender<Bytes>);

impl Teller {
    /// Whether there is still somebody who listens.
    pub(super) fn tell(&self, line: &impl Serialize) -> bool {
        let Ok(mut bytes) = serde_json::to_vec(line) else { return false };
        bytes.push(b'\n');
        self.0.send(bytes.into()).is_ok()
    }
}

/// An answer that is told line by line, and who tells it.
pub(super) fn answer() -> (Teller, Response) {
    let (teller, lines) = unbounded_channel();
    let body = stream::unfold(lines, |mut lines: UnboundedReceiver<Bytes>| async move {
        let line = lines.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(line), lines))
    });
    (Teller(teller), ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(body)).into_response())
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, test_runner::TestRunner};

    use super::*;

    const BOUNDS: Bounds = Bounds { line: 40, whole: 4_000, patience: Duration::from_secs(60) };

    fn all(chunks: Vec<Vec<u8>>, bounds: Bounds) -> Result<Vec<Vec<u8>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let chunks = chunks.into_iter().map(|chunk| Ok::<_, std::io::Error>(Bytes::from(chunk)));
        let mut lines = Lines::new(Body::from_stream(stream::iter(chunks)), bounds);
        runtime.block_on(async {
            let mut found = Vec::new();
            while let Some(line) = lines.next().await? {
                found.push(line);
            }
            Ok(found)
        })
    }

    #[test]
    fn lines_come_out_as_they_went_in_however_they_were_cut() {
        TestRunner::default()
            .run(&(prop::collection::vec("[a-z]{1,40}", 0..30), 1usize..50, any::<bool>()), |(lines, size, ends)| {
                let mut text = lines.join("\n");
                if ends {
                    text.push_str("\r\n\n");
                }
                let chunks = text.into_bytes().chunks(size).map(<[u8]>::to_vec).collect();
                let found = all(chunks, BOUNDS).expect("within bounds");
                prop_assert_eq!(found, lines.into_iter().map(String::into_bytes).collect::<Vec<_>>());
                Ok(())
            })
            .expect("it holds");
    }

    #[test]
    fn what_passes_a_bound_is_refused() {
        let kind = |chunks| all(chunks, BOUNDS).expect_err("too much").kind();
        assert_eq!(kind(vec![vec![b'x'; 41]]), Kind::TooLarge);
        assert_eq!(kind(vec![b"abc\n".to_vec(), vec![b'x'; 30], vec![b'x'; 30]]), Kind::TooLarge);
        assert_eq!(kind(vec![b"abc\n".to_vec(); 1_001]), Kind::TooLarge);
    }
}
