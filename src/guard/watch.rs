//! The daemon's side of the guard.

use std::{
    io::{PipeWriter, Write},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use super::{ALIVE, GOODBYE, Orders, Settings};
use crate::{
    door,
    error::{Context, Kind, Result},
};

/// How often the door threads are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long the guard may take to go when it is told to.
const PARTING: Duration = Duration::from_millis(200);

/// A guard that died is replaced no more often than this.
const AGAIN: Duration = Duration::from_secs(1);

/// The daemon's hold on its guard. Where it is dropped instead of [dismissed](Watch::dismiss), the guard acts.
pub struct Watch {
    stop: Arc<AtomicBool>,
    at_rest: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts the guard and the thread that keeps it informed. `still` gives for how long the slowest door thread has not
    /// moved.
    ///
    /// # Errors
    /// [`Kind::Lock`] where the guard cannot be started: a door without the guard that was asked for does not open.
    pub fn start(
        settings: &Settings,
        relays: Vec<door::Relay>,
        still: impl Fn() -> Duration + Send + 'static,
    ) -> Result<Self> {
        let silence = Duration::from_millis(settings.patience_ms / 2);
        let daemon = rustix::process::getpid().as_raw_nonzero().get();
        let orders = Orders { daemon, silence_ms: settings.patience_ms / 2, relays };
        let mut guard = Guard::start(&orders)?;
        let stop = Arc::new(AtomicBool::new(false));
        let at_rest = Arc::new(AtomicBool::new(false));
        let (stopped, dismissed) = (Arc::clone(&stop), Arc::clone(&at_rest));
        let body = move || {
            let mut told = false;
            while !stopped.load(Ordering::Relaxed) {
                let hung = still() >= silence;
                if hung && !told {
                    tracing::error!(
                        "a door's thread has not moved for {} ms: the guard will end this process",
                        silence.as_millis()
                    );
                }
                told = hung;
                if !hung && guard.say(ALIVE).is_err() {
                    tracing::error!("the guard is gone; another is started");
                    // Not longer than the daemon runs.
                    thread::park_timeout(AGAIN);
                    // It has ended.
                    let _ = guard.process.wait();
                    match Guard::start(&orders) {
                        Ok(another) => guard = another,
                        Err(error) => tracing::error!(%error, "there is no guard"),
                    }
                }
                thread::park_timeout(LOOK);
            }
            if dismissed.load(Ordering::Relaxed) {
                guard.dismiss();
            }
        };
        let thread = thread::Builder::new()
            .name("guard".into())
            .spawn(body)
            .context(Kind::Lock, || "cannot start the thread guard")?;
        Ok(Self { stop, at_rest, thread: Some(thread) })
    }

    /// Sends the guard home: every relay is at rest.
    pub fn dismiss(self) {
        self.at_rest.store(true, Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has nothing to wait for but the guard, and that not for long.
            let _ = thread.join();
        }
    }
}

/// The guard's process and our end of its pipe.
struct Guard {
    process: Child,
    pipe: PipeWriter,
}

impl Guard {
    fn start(orders: &Orders) -> Result<Self> {
        let doing = || "the guard of the relays cannot be started";
        let mut line = serde_json::to_vec(orders).context(Kind::Internal, doing)?;
        line.push(b'\n');
        // The orders lie in the pipe before anybody reads: a daemon that is killed at any moment of this leaves a guard that
        // knows what to do, or none.
        let (reader, mut pipe) = std::io::pipe().context(Kind::Lock, doing)?;
        if line.len() > fcntl_getpipe_size(&pipe).context(Kind::Lock, doing)? {
            fcntl_setpipe_size(&pipe, line.len()).context(Kind::Lock, doing)?;
        }
        pipe.write_all(&line).context(Kind::Lock, doing)?;
        // The very program that runs, also where an upgrade has replaced its file.
        let process = Command::new("/proc/self/exe")
            .arg("guard")
            .stdin(reader)
            .stdout(Stdio::null())
            .spawn()
            .context(Kind::Lock, doing)?;
        Ok(Self { process, pipe })
    }

    fn say(&mut self, word: u8) -> std::io::Result<()> {
        self.pipe.write_all(&[word])
    }

    /// Sends it home.
    fn dismiss(mut self) {
        // It has gone already, where nobody reads.
        let _ = self.say(GOODBYE);
        drop(self.pipe);
        let begun = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) {
            if begun.elapsed() > PARTING {
                tracing::warn!("the guard did not go when told to");
                let _ = self.process.kill();
                let _ = self.process.wait();
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
