//! The daemon's log: to standard error, or with all its fields to systemd's journal where that is what standard error goes to,
//! by a thread of its own.
//!
//! A door must not wait for whoever reads its log: a pipe that nobody empties would stop every thread that has something
//! to say. So lines are handed over, and where too many wait the newest are lost.

mod journald;

use std::{
    io::{self, IsTerminal, Write},
    thread,
    time::{Duration, Instant},
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use self::journald::Journald;
use crate::error::{Context, Kind, Result};

/// As many lines may wait to be written.
const LINES: usize = 4_096;

/// For how long the last lines may take to be written when the daemon ends.
const FLUSH: Duration = Duration::from_millis(200);

/// The running log. Dropping it writes what still waits, as far as somebody reads it.
pub struct Log {
    guard: Option<WorkerGuard>,
    lost: ErrorCounter,
}

impl Log {
    /// Starts the log of this process; panics go to it too.
    ///
    /// # Errors
    /// [`Kind::InvalidField`] where `filter` is none, such as `info` or `facegate::camera=debug,info`.
    pub fn start(filter: &str, json: bool) -> Result<Self> {
        let mut parsed = EnvFilter::try_new(filter).context(Kind::InvalidField, || format!("--log '{filter}'"))?;
        // What matters of it is told by us. Its own lines go on with bytes of the stream: pictures are not for the log.
        parsed = parsed.add_directive("retina=off".parse().expect("a directive"));
        // To standard error: standard output is for what was asked for.
        // JSON that was asked for is for whoever reads standard error.
        let journald = if json { None } else { Journald::of_standard_error() };
        let fields = json || journald.is_some();
        let to: Box<dyn Write + Send> = match journald {
            Some(journald) => Box::new(journald),
            None => Box::new(io::stderr()),
        };
        let (writer, guard) =
            NonBlockingBuilder::default().buffered_lines_limit(LINES).lossy(true).thread_name("log").finish(to);
        let lost = writer.error_counter();
        let registry = tracing_subscriber::registry().with(parsed);
        if fields {
            registry.with(fmt::layer().json().with_writer(writer)).init();
        } else {
            let colour = std::io::stderr().is_terminal();
            registry.with(fmt::layer().with_target(false).with_ansi(colour).with_writer(writer)).init();
        }
        // The usual hook writes to standard error itself, and a thread of the door may be the one that panics.
        std::panic::set_hook(Box::new(|panic| {
            let thread = thread::current();
            tracing::error!(thread = thread.name().unwrap_or("?"), "{panic}");
        }));
        Ok(Self { guard: Some(guard), lost })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let lost = self.lost.dropped_lines();
        if lost > 0 {
            tracing::warn!("{lost} lines of the log were lost: nobody read them in time");
        }
        let Some(guard) = self.guard.take() else { return };
        // Where nobody reads it the flush hangs, and is left behind.
        let Ok(flush) = thread::Builder::new().name("log-end".into()).spawn(move || drop(guard)) else { return };
        let begun = Instant::now();
        while !flush.is_finished() && begun.elapsed() < FLUSH {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
