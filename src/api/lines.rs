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
    /// The line that is read is too long: it is thrown away as it comes.
    skipping: bool,
    so_far: u64,
    ended: bool,
}

impl Lines {
    pub(super) fn new(body: Body, bounds: Bounds) -> Self {
        let body = body.into_data_stream();
        Self { body, bounds, buffer: Vec::new(), searched: 0, skipping: false, so_far: 0, ended: false }
    }

    /// The next line without its end; empty ones are passed over. `None` at the end of the body. One that is too long was thrown
    /// away and is `TooLarge` itself: the next one can be read all the same.
    ///
    /// # Errors
    /// `TooLarge` past the bound of the whole, `RequestTimeout` where it does not come, `MalformedRequest` where the body breaks
    /// off.
    pub(super) async fn next(&mut self) -> Result<Option<Result<Vec<u8>>>> {
        match timeout(self.bounds.patience, self.read()).await {
            Ok(line) => line,
            Err(_) => Err(Error::new(Kind::RequestTimeout, "the next line took too long to arrive")),
        }
    }

    async fn read(&mut self) -> Result<Option<Result<Vec<u8>>>> {
        loop {
            while let Some(line) = self.cut() {
                if std::mem::take(&mut self.skipping) || line.len() > self.bounds.line {
                    return Ok(Some(Err(self.too_long())));
                }
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(Ok(line)));
                }
            }
            if self.ended {
                return Ok(None);
            }
            // With the first byte of a line end of two.
            if self.skipping || self.buffer.len() > self.bounds.line + 1 {
                self.skipping = true;
                self.buffer.clear();
                self.searched = 0;
            }
            match self.body.next().await {
                Some(Ok(chunk)) => self.take(&chunk)?,
                Some(Err(_)) => return Err(Error::new(Kind::MalformedRequest, "the body breaks off")),
                None => {
                    self.ended = true;
                    if self.skipping || !self.buffer.is_empty() {
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

    /// Every line, `None` for one that is too long.
    fn all(chunks: Vec<Vec<u8>>, bounds: Bounds) -> Result<Vec<Option<Vec<u8>>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let chunks = chunks.into_iter().map(|chunk| Ok::<_, std::io::Error>(Bytes::from(chunk)));
        let mut lines = Lines::new(Body::from_stream(stream::iter(chunks)), bounds);
        runtime.block_on(async {
            let mut found = Vec::new();
            while let Some(line) = lines.next().await? {
                if let Err(error) = &line {
                    assert_eq!(error.kind(), Kind::TooLarge);
                }
                assert!(lines.buffer.len() <= 2 * bounds.line + 50, "what is too long is kept");
                found.push(line.ok());
            }
            Ok(found)
        })
    }

    #[test]
    fn lines_come_out_as_they_went_in_however_they_were_cut_but_those_that_are_too_long() {
        let length = prop_oneof![4 => 1usize..=40, 1 => 41usize..=43, 1 => 44usize..300];
        let line = (length, any::<u8>()).prop_map(|(length, letter)| vec![b'a' + letter % 26; length]);
        TestRunner::default()
            .run(&(prop::collection::vec(line, 0..30), 1usize..50, any::<bool>()), |(lines, size, ends)| {
                let mut text = lines.join(&b'\n');
                if ends {
                    text.extend(b"\r\n\n");
                }
                let chunks = text.chunks(size).map(<[u8]>::to_vec).collect();
                let found = all(chunks, Bounds { whole: 10_000, ..BOUNDS }).expect("within bounds");
                let expected: Vec<_> = lines.into_iter().map(|line| (line.len() <= 40).then_some(line)).collect();
                prop_assert_eq!(found, expected);
                Ok(())
            })
            .expect("it holds");
    }

    #[test]
    fn what_passes_the_bound_of_the_whole_is_refused() {
        let kind = |chunks| all(chunks, BOUNDS).expect_err("too much").kind();
        assert_eq!(kind(vec![b"abc\n".to_vec(); 1_001]), Kind::TooLarge);
        assert_eq!(kind(vec![vec![b'x'; 50]; 81]), Kind::TooLarge, "one line that never ends");
    }
}
