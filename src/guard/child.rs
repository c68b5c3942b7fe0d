//! The guard's own process.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    os::fd::AsFd,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getppid, kill_process};
use tokio::{
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{GOODBYE, Orders};
use crate::{
    clock::SystemClock,
    door,
    error::{Context, Error, Kind, Result},
};

/// Orders are no longer than this.
const MAX_ORDERS: u64 = 1 << 20;

/// For how long a relay is tried that cannot be had: the kernel needs a moment to take its lines from a dead process.
const TRY: Duration = Duration::from_secs(10);

/// For how long a killed daemon is waited for.
const GONE: Duration = Duration::from_secs(1);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Goodbye,
    Died,
    Hung,
}

/// Watches the daemon whose orders and signs of life come on standard input, until it ends.
///
/// # Errors
/// [`Kind::Internal`] where standard input brings no orders; [`Kind::Lock`] where a relay could not be put at rest.
pub fn guard() -> Result<()> {
    let orders = read_orders()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(Kind::Io, || "the guard cannot wait for the daemon")?;
    let end = runtime.block_on(watch(Duration::from_millis(orders.silence_ms)))?;
    if end == End::Goodbye {
        return Ok(());
    }
    if end == End::Hung {
        kill(orders.daemon);
    }
    rest(&orders, end)
}

/// The line of orders. Read byte by byte from the pipe itself, so that no sign of life is swallowed with it: the standard
/// library's own standard input would read ahead.
fn read_orders() -> Result<Orders> {
    let unread = || "the guard's orders cannot be read";
    let pipe = File::from(std::io::stdin().as_fd().try_clone_to_owned().context(Kind::Io, unread)?);
    let mut line = Vec::new();
    for byte in pipe.take(MAX_ORDERS).bytes() {
        let byte = byte.context(Kind::Io, unread)?;
        if byte == b'\n' {
            return serde_json::from_slice(&line).context(Kind::Internal, || "the guard's orders make no sense");
        }
        line.push(byte);
    }
    Err(Error::new(Kind::Internal, "the guard has no orders").help("it is started by `facegate run`, not by hand"))
}

/// Waits until the daemon ends, one way or another. Signals that are meant for the daemon do not end the guard: it ends
/// after it.
async fn watch(silence: Duration) -> Result<End> {
    let _ignored = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let pipe = std::io::stdin().as_fd().try_clone_to_owned();
    let pipe = pipe
        .and_then(pipe::Receiver::from_owned_fd)
        .context(Kind::Io, || "the guard cannot read standard input: it is no pipe")?;
    let mut signs = [0; 64];
    loop {
        let Ok(ready) = timeout(silence, pipe.readable()).await else { return Ok(End::Hung) };
        match ready.and_then(|()| pipe.try_read(&mut signs)) {
            Ok(read) if signs[..read].contains(&GOODBYE) => return Ok(End::Goodbye),
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return Ok(End::Died),
        }
    }
}

/// Kills the daemon where it still is our parent (its number may belong to another process by now), and waits until it is
/// gone: a thread of it must not move a relay after us.
fn kill(daemon: i32) {
    let parent = || getppid().filter(|parent| Some(*parent) == Pid::from_raw(daemon));
    let begun = Instant::now();
    while let Some(parent) = parent() {
        // Gone already, where it fails.
        let _ = kill_process(parent, Signal::KILL);
        if begun.elapsed() > GONE {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Puts every relay at rest, those first that can be had at once, and then says so.
fn rest(orders: &Orders, end: End) -> Result<()> {
    let begun = Instant::now();
    let clock = Arc::new(SystemClock::new());
    let (mut left, mut done): (Vec<_>, Vec<_>) = (orders.relays.iter().collect(), Vec::new());
    loop {
        let mut last = None;
        left.retain(|relay| match door::put_at_rest(relay, clock.clone()) {
            Ok(described) => {
                done.push(described);
                false
            }
            Err(error) => {
                last = Some(error);
                true
            }
        });
        if last.is_none() || begun.elapsed() > TRY {
            let what = if end == End::Hung { "hung and was killed" } else { "died" };
            // Nobody may be left to read it.
            let _ = writeln!(std::io::stderr(), "facegate guard: the daemon {what}; at rest: {}", done.join("; "));
            return last.map_or(Ok(()), Err);
        }
        thread::sleep(PAUSE);
    }
}
