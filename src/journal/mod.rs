//! The record of what was decided and why: `journal.ndjson`, one JSON object a line, chained by hashes. Where it has grown
//! large or old it is closed and another begun, which continues the chain ([`disk`]).
//!
//! Each line ends with `"prev"`, the hash of the line before it (64 zeros in the first), and `"hash"`, the BLAKE3 hash of
//! everything in this line before `,"hash":`. So the chain can be checked with `b3sum` alone, and [`verify`] finds every
//! line that was changed, removed or moved. What it cannot find: lines cut off at the end, and a chain that somebody wrote
//! anew from some line on. Against those, note [`Report::last`] elsewhere now and then and compare.
//!
//! A thread of its own writes and syncs; the door never waits for the disk. Entries that find the queue full are counted
//! and the gap is told in the journal itself. No template and no photograph is ever in it.

mod chain;
mod disk;
mod entry;
mod read;
mod settings;
mod writer;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod turn_tests;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TryRecvError, bounded};
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::{
    clock::Clock,
    error::{Context, Error, Kind, Result},
};

pub use chain::Anchor;
pub(crate) use chain::check_line;
pub use entry::{Call, Entry, Event, Pad, Record, Verdict};
pub use read::{Break, Lines, Records, Report, Which, in_use, lines, read, verify};
pub use settings::Settings;

/// The file's name in the journal's folder.
pub const FILE: &str = "journal.ndjson";

/// As many entries may wait for the disk.
const QUEUE: usize = 1_024;

/// A caller that asked for durability waits for this long, and no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// For how long the end of the daemon waits for the last entries.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How the journal does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries on the disk since the start.
    pub written: u64,
    /// Entries that found the queue full since the start, or got lost on their way to it.
    pub lost: u64,
    /// Attempts to write that failed.
    pub errors: u64,
    /// Whether the last attempt succeeded.
    pub healthy: bool,
    pub last_error: Option<String>,
}

/// An entry on its way to the disk.
struct Job {
    at: Timestamp,
    entry: Entry,
    /// Told once the entry is on the disk, or cannot be.
    done: Option<Sender<Result<()>>>,
}

/// What the callers and the writer share.
#[derive(Default)]
struct Shared {
    stats: Mutex<Stats>,
    /// Entries lost since the last gap that was told.
    gap: AtomicU64,
}

/// The open journal. Dropping it writes what is queued, within half a second. One process at a time has it open.
pub struct Journal {
    path: PathBuf,
    jobs: Option<Sender<Job>>,
    closing: Option<Sender<()>>,
    ended: Receiver<()>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// When its newest record was made that was there at the start.
    last: Option<Timestamp>,
}

/// Whether a journal's thread runs.
#[derive(Clone, Debug)]
pub struct Running(Receiver<()>);

impl Running {
    /// Whether it has not ended.
    pub fn is_so(&self) -> bool {
        self.0.try_recv() != Err(TryRecvError::Disconnected)
    }
}

/// A journal that no other process can open meanwhile. See [`Journal::claim`].
#[derive(Debug)]
pub struct Claim(Option<std::fs::File>);

impl Journal {
    /// Opens the journal in its folder, made where it is missing, and continues its chain. The half of a line that a power cut
    /// left at the end is set aside in a file of its own, and both the log and the journal say so.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_claimed(settings, Claim(None), clock)
    }

    /// Sees that no other process writes the journal in `folder`, and that none does until this one has opened it. Makes
    /// nothing: where there is no journal yet, nobody writes it.
    ///
    /// # Errors
    /// Another process has it. Whatever else is wrong with it is left to [`Journal::open_claimed`] to say.
    pub fn claim(folder: &Path) -> Result<Claim> {
        match writer::claim(folder, false) {
            Ok(file) => Ok(Claim(file)),
            Err(error) if in_use(folder) => Err(error),
            Err(_) => Ok(Claim(None)),
        }
    }

    /// As [`Journal::open`], with what was claimed before.
    pub fn open_claimed(settings: &Settings, claim: Claim, clock: Arc<dyn Clock>) -> Result<Self> {
        let opened = writer::open(&settings.dir, claim.0, settings.limits())?;
        let recovered = opened.set_aside;
        let mut journal = Self::start(settings.dir.join(FILE), opened.disk, opened.tip, recovered, clock)?;
        journal.last = opened.last;
        Ok(journal)
    }

    fn start(
        path: PathBuf,
        medium: impl disk::Medium + 'static,
        tip: disk::Tip,
        recovered: Option<u64>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let (jobs, receive) = bounded(QUEUE);
        let (closing, receive_closing) = bounded(0);
        let (end, ended) = bounded(0);
        let shared = Arc::new(Shared::default());
        shared.stats.lock().healthy = true;
        let writer =
            writer::Writer::new(medium, tip, receive, receive_closing, Arc::clone(&shared), Arc::clone(&clock));
        let body = move || {
            writer.run();
            drop(end);
        };
        thread::Builder::new()
            .name("journal".into())
            .spawn(body)
            .context(Kind::Io, || "the journal's thread cannot be started")?;
        let journal = Self { path, jobs: Some(jobs), closing: Some(closing), ended, shared, clock, last: None };
        if let Some(bytes) = recovered {
            journal.append(Entry { door: None, event: Event::Recovered { bytes } });
        }
        Ok(journal)
    }

    /// When its newest record was made, of those that were there when it was opened.
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// Queues an entry. Never waits: where the queue is full the entry is lost, which is counted and told in a later entry.
    pub fn append(&self, entry: Entry) {
        let job = Job { at: self.clock.wall(), entry, done: None };
        if self.jobs.as_ref().is_none_or(|jobs| jobs.try_send(job).is_err()) {
            self.lose(1);
        }
    }

    /// Counts entries that are not written; the journal tells of them with the next one that is.
    pub fn lose(&self, entries: u64) {
        self.shared.gap.fetch_add(entries, Ordering::SeqCst);
        self.shared.stats.lock().lost += entries;
    }

    /// Whether there is room for entries of calls. The other half of the queue is the door's.
    pub fn has_room(&self) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.len() < QUEUE / 2)
    }

    /// As [`Journal::append`], for what must not displace the door's entries: where there is no [room](Self::has_room), the
    /// entry is lost.
    pub fn append_if_room(&self, entry: Entry) {
        if self.has_room() { self.append(entry) } else { self.lose(1) }
    }

    /// Appends an entry and waits until it would survive a power cut. Not for the door. An error means that the entry is
    /// not in the journal, save [`Kind::RequestTimeout`]: the disk did not answer within ten seconds, and nobody knows.
    pub fn append_durable(&self, entry: Entry) -> Result<()> {
        let (done, wait) = bounded(1);
        let job = Job { at: self.clock.wall(), entry, done: Some(done) };
        let Some(jobs) = &self.jobs else { return Err(self.gone()) };
        match jobs.send_timeout(job, PATIENCE) {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(_)) => {
                return Err(Error::new(Kind::Busy, "the journal's queue is full").help("see that its disk is well"));
            }
            Err(SendTimeoutError::Disconnected(_)) => return Err(self.gone()),
        }
        match wait.recv_timeout(PATIENCE) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(Error::new(
                Kind::RequestTimeout,
                format!("the disk under {} did not answer within ten seconds", self.path.display()),
            )),
            Err(RecvTimeoutError::Disconnected) => Err(self.gone()),
        }
    }

    fn gone(&self) -> Error {
        Error::new(Kind::NotReady, format!("the journal {} has ended", self.path.display()))
    }

    /// Tells whether the thread that writes runs, without keeping the journal open.
    pub fn running(&self) -> Running {
        Running(self.ended.clone())
    }

    /// How the journal does.
    pub fn stats(&self) -> Stats {
        self.shared.stats.lock().clone()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.closing = None;
        self.jobs = None;
        if self.ended.recv_timeout(LAST_WORDS) == Err(RecvTimeoutError::Timeout) {
            tracing::error!(path = %self.path.display(), "the journal's last entries may not be on the disk");
        }
    }
}
