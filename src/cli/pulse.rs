//! A relay that is moved by hand for a moment, and rests again whatever signal that can be caught ends that moment.
//!
//! Chips keep a line as it was left: whoever moves one must live until it rests. So signals that would end the program end the
//! pulse instead. `facegate setup`, which has questions to ask and may be killed at any of them, leaves the pulse to a process
//! of its own, [`Args`], which comes to its end though setup is killed.

use std::{
    future::poll_fn,
    process::{Command, Stdio},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Answer, Context};
use crate::{
    clock::SystemClock,
    door::{self, LockSettings, Relay},
    error::{Context as _, Error, Kind, Result},
};

/// The command that [`apart`] calls.
pub const COMMAND: &str = "move-relay";

/// What it is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The lock, as JSON.
    lock: String,
    /// For how long, in milliseconds.
    ms: u64,
}

/// Moves the relay as [`apart`] orders it.
pub fn run(args: &Args) -> Result<Answer> {
    let lock = serde_json::from_str(&args.lock)
        .context(Kind::InvalidField, || "this is started by `facegate setup`, not by hand")?;
    pulse(&lock, Duration::from_millis(args.ms)).map(|_| Answer::Yes)
}

/// Energises a relay for so long, by a process that ends by itself, whatever becomes of this one.
///
/// # Errors
/// [`Kind::Lock`] where it could not be moved, or not for so long. It rests then, too. Why has been said by the other process.
pub fn apart(context: &Context, lock: &LockSettings, length: Duration) -> Result<()> {
    let orders = serde_json::to_string(lock).context(Kind::Internal, || "a lock has no form in JSON")?;
    let mut command = Command::new("/proc/self/exe");
    command.args([COMMAND, &orders, &length.as_millis().to_string()]);
    if context.out.is_json() {
        command.arg("--json");
    }
    let done = command.stdin(Stdio::null()).status().context(Kind::Io, || "the relay cannot be moved")?;
    if done.success() {
        return Ok(());
    }
    // Whoever was killed could not do it. Where the line cannot be had, it was not had by the other one, either.
    let _ = door::put_at_rest(&Relay { lock: lock.clone(), rest: false }, Arc::new(SystemClock::new()));
    Err(Error::new(Kind::Lock, format!("the relay was not moved as it should have been ({done})")))
}

/// Energises a relay for so long and puts it at rest again. Says which it is.
///
/// # Errors
/// [`Kind::Lock`] where it cannot be moved; [`Kind::Io`] where a signal ended the pulse early. It rests in any case.
pub fn pulse(lock: &LockSettings, length: Duration) -> Result<String> {
    let mut output = door::open(lock, false, Arc::new(SystemClock::new()))?;
    let ends = Ends::caught()?;
    let moved = output.set(true);
    let ended = moved.is_ok() && ends.come_within(length);
    // At rest in any case, before anything is said.
    output.set(false)?;
    moved?;
    match ended {
        true => Err(Error::new(Kind::Io, format!("{}: ended early, inactive again", output.describe()))),
        false => Ok(output.describe()),
    }
}

/// Signals that would end the program, or have it stand still.
struct Ends {
    runtime: tokio::runtime::Runtime,
    signals: Vec<Signal>,
}

impl Ends {
    fn caught() -> Result<Self> {
        let failed = || "signals cannot be waited for";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context(Kind::Io, failed)?;
        let caught = [Number::INT, Number::TERM, Number::HUP, Number::QUIT, Number::TSTP].map(|number| {
            let _inside = runtime.enter();
            signal(SignalKind::from_raw(number.as_raw())).context(Kind::Io, failed)
        });
        let signals = caught.into_iter().collect::<Result<_>>()?;
        Ok(Self { runtime, signals })
    }

    /// Waits for one of them, for so long at most; whether one came.
    fn come_within(self, length: Duration) -> bool {
        let Self { runtime, mut signals } = self;
        let come = poll_fn(|context| match signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        runtime.block_on(async { tokio::time::timeout(length, come).await.is_ok() })
    }
}
