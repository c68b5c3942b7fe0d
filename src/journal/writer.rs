//! The thread that writes, and the file that it writes to.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvError, RecvTimeoutError};
use jiff::Timestamp;

use super::{
    Entry, Event, FILE, Job, Shared,
    chain::{Anchor, Position, write_line},
    disk::{Disk, MAX_TORN, Medium, Tip, closed_files, find_tip},
    settings::Limits,
};
use crate::{
    clock::Clock,
    error::{Context, Error, Kind, Result},
    storage,
};

/// At most so many entries share one sync.
const BATCH: usize = 256;

/// After a failure the disk is asked again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// A journal that is claimed and whose end is whole.
pub(super) struct Opened {
    pub(super) disk: Disk,
    pub(super) tip: Tip,
    /// How many bytes of a torn end were set aside, if any.
    pub(super) set_aside: Option<u64>,
    /// When the newest record was made.
    pub(super) last: Option<Timestamp>,
}

/// The file, claimed for this process. Where it is missing it is made if `make` says so, else there is nothing to claim.
pub(super) fn claim(folder: &Path, make: bool) -> Result<Option<File>> {
    let path = folder.join(FILE);
    let failed = |what: &str| format!("the journal {} cannot be {what}", path.display());
    if make {
        storage::make_folder(Kind::Io, "the journal's folder", folder)?;
    }
    let opened = OpenOptions::new().read(true).write(true).create(make).truncate(false).mode(0o640).open(&path);
    let file = match opened {
        Err(error) if !make && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| storage::refused(Kind::Io, failed("opened"), error))?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(Kind::Io, format!("the journal {} is in use by another process", path.display()))
                .help("one daemon at a time writes it: stop the other one, or give this one another folder"))
        }
        Err(TryLockError::Error(error)) => Err(Error::new(Kind::Io, failed("locked")).source(error)),
    }
}

/// Continues in the file that was claimed, or claims it now, and mends its end.
pub(super) fn open(folder: &Path, claimed: Option<File>, limits: Limits) -> Result<Opened> {
    let path = folder.join(FILE);
    let failed = |what: &str| format!("the journal {} cannot be {what}", path.display());
    let claimed = match claimed {
        Some(file) => Some(file),
        None => claim(folder, true)?,
    };
    let mut file = claimed.ok_or_else(|| Error::new(Kind::Internal, failed("made")))?;
    // The file's name survives a power cut from here on.
    File::open(folder).and_then(|folder| folder.sync_all()).context(Kind::Io, || failed("made durable"))?;
    let (mut tip, torn, last) = find_tip(&mut file).context(Kind::Io, || failed("read"))?;
    if last.is_none() {
        tip.position = after_the_closed(folder)?;
    }
    let last = last.map(|anchor| anchor.at);
    let disk = |file, tip: &Tip| Disk::new(folder.to_owned(), file, tip, limits).context(Kind::Io, || failed("read"));
    if torn.is_empty() {
        return Ok(Opened { disk: disk(file, &tip)?, tip, set_aside: None, last });
    }
    // A first write that was torn has no newline yet.
    let foreign = tip.length == 0 && torn.contains(&b'\n');
    if foreign || torn.len() as u64 > MAX_TORN {
        return Err(Error::new(Kind::Io, format!("the journal {} does not end with a record", path.display()))
            .help("it is damaged, or no journal of ours: move it away and keep it; a new one is begun"));
    }
    set_aside(folder, &torn, tip.position.next);
    let mut disk = disk(file, &tip)?;
    disk.cut(tip.length).context(Kind::Io, || failed("mended"))?;
    Ok(Opened { disk, tip, set_aside: Some(torn.len() as u64), last })
}

/// Where the chain of the closed files ends: a file that has no record yet goes on from there.
fn after_the_closed(folder: &Path) -> Result<Position> {
    let failed = || format!("the closed files of the journal in {} cannot be read", folder.display());
    let Some((_, newest)) = closed_files(folder).context(Kind::Io, failed)?.pop() else { return Ok(Position::start()) };
    let tip = File::open(&newest).and_then(|mut file| find_tip(&mut file)).context(Kind::Io, failed)?;
    match tip.2 {
        Some(anchor) => Ok(Position::after(&anchor)),
        None => {
            Err(Error::new(Kind::Io, format!("the journal's file {} does not end with a record", newest.display()))
                .help("it is damaged: move the journal's folder away and keep it; a new one is begun"))
        }
    }
}

/// Keeps a torn end for whoever wants to look. It was never acknowledged, so that the journal goes on without it where the
/// disk has no room.
fn set_aside(folder: &Path, torn: &[u8], next: u64) {
    let path = folder.join(format!("torn-before-{next}.bin"));
    let kept = fs::write(&path, torn).and_then(|()| File::open(&path)?.sync_all());
    match kept {
        Ok(()) => tracing::warn!(
            bytes = torn.len(),
            path = %path.display(),
            "the journal ended with an unfinished line, as after a power cut; it was set aside"
        ),
        Err(error) => tracing::warn!(
            bytes = torn.len(),
            %error,
            "the journal ended with an unfinished line, as after a power cut; it was cut off and could not be kept"
        ),
    }
}

/// Writes what is queued, as many entries at once as there are.
pub(super) struct Writer<M> {
    medium: M,
    tip: Tip,
    jobs: Receiver<Job>,
    /// Disconnected once the journal is being dropped.
    closing: Receiver<()>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// Whether there may be bytes behind the tip.
    ragged: bool,
    /// The last record of the closed files that go once a record of that is on the disk.
    forgetting: Option<Anchor>,
}

impl<M: Medium> Writer<M> {
    pub(super) fn new(
        medium: M,
        tip: Tip,
        jobs: Receiver<Job>,
        closing: Receiver<()>,
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { medium, tip, jobs, closing, shared, clock, ragged: false, forgetting: None }
    }

    /// Runs until the journal is dropped and all is written, or cannot be.
    pub(super) fn run(mut self) {
        let mut batch: Vec<Job> = Vec::new();
        let mut open = true;
        while open {
            if batch.is_empty() {
                match self.jobs.recv() {
                    Ok(job) => batch.push(job),
                    Err(RecvError) => open = false,
                }
            } else if self.closing.recv_timeout(RETRY) == Err(RecvTimeoutError::Disconnected) {
                // After a failure the batch waits here, and the queue fills behind it.
                open = false;
            }
            self.collect(&mut batch);
            self.write(&mut batch);
        }
        // Whatever did not fit into that batch.
        while batch.is_empty() {
            self.collect(&mut batch);
            if batch.is_empty() {
                return;
            }
            self.write(&mut batch);
        }
        tracing::error!(entries = batch.len() + self.jobs.len(), "the journal ends without its last entries");
    }

    /// Fills the batch from the queue. Where that empties the queue, a gap is told after what came before it.
    fn collect(&self, batch: &mut Vec<Job>) {
        batch.extend(self.jobs.try_iter().take(BATCH.saturating_sub(batch.len())));
        if batch.len() >= BATCH {
            return;
        }
        let entries = self.shared.gap.swap(0, Ordering::SeqCst);
        if entries > 0 {
            let entry = Entry { door: None, event: Event::Lost { entries } };
            batch.push(Job { at: self.clock.wall(), entry, done: None });
        }
    }

    /// Writes the batch and empties it. Where that fails, what somebody waits for is refused, the rest stays.
    fn write(&mut self, batch: &mut Vec<Job>) {
        if batch.is_empty() {
            return;
        }
        self.turn();
        match self.try_write(batch) {
            Ok(position) => {
                self.tip = position;
                self.forget();
                let mut stats = self.shared.stats.lock();
                stats.written += batch.len() as u64;
                if !stats.healthy {
                    tracing::info!("the journal is written again");
                }
                stats.healthy = true;
                drop(stats);
                for done in batch.drain(..).filter_map(|job| job.done) {
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(Ok(()));
                }
            }
            Err(error) => {
                let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
                let mut stats = self.shared.stats.lock();
                stats.errors += 1;
                if stats.healthy {
                    tracing::error!(%error, "the journal cannot be written; the door goes on, and it is tried again");
                }
                stats.healthy = false;
                stats.last_error = Some(error.to_string());
                drop(stats);
                batch.retain(|job| {
                    let Some(done) = &job.done else { return true };
                    let kind = if full { Kind::StorageFull } else { Kind::Io };
                    let refused = Error::new(kind, "the journal cannot be written").source(error.to_string());
                    let _ = done.send(Err(refused.help("see that its disk has room and is well")));
                    false
                });
            }
        }
    }

    /// Closes the file where it is time. Where that fails the journal goes on in it.
    fn turn(&mut self) {
        // What lies behind the tip would stay in the closed file.
        if self.ragged || !self.medium.is_due(self.tip.length, self.clock.wall()) {
            return;
        }
        match self.medium.turn(self.tip.position.next, self.clock.wall()) {
            Ok(()) => {
                self.tip.length = 0;
                self.forgetting = self.medium.surplus().unwrap_or_else(|error| {
                    tracing::warn!(%error, "it cannot be seen which of the journal's files are too old");
                    None
                });
            }
            Err(error) => tracing::warn!(%error, "the journal's file cannot be closed; it grows"),
        }
    }

    /// Deletes what the record on the disk says is forgotten.
    fn forget(&mut self) {
        let Some(Anchor { seq, .. }) = self.forgetting.take() else { return };
        if let Err(error) = self.medium.forget(seq) {
            tracing::warn!(%error, "an old file of the journal cannot be deleted");
        }
    }

    /// The new tip, where all is on the disk.
    fn try_write(&mut self, batch: &[Job]) -> io::Result<Tip> {
        let Tip { length, position } = &self.tip;
        let (length, mut position) = (*length, position.clone());
        let mut lines = Vec::new();
        let mut line = |at, entry: &Entry| -> io::Result<()> {
            position.prev = write_line(&mut lines, position.next, at, entry, &position.prev)?;
            position.next += 1;
            Ok(())
        };
        if let Some(Anchor { seq, hash, .. }) = &self.forgetting {
            let event = Event::Forgotten { through: *seq, last: hash.clone() };
            line(self.clock.wall(), &Entry { door: None, event })?;
        }
        for job in batch {
            line(job.at, &job.entry)?;
        }
        // Half of a batch that failed must not stay behind a shorter one that succeeds.
        if self.ragged {
            self.medium.cut(length)?;
        }
        self.ragged = true;
        self.medium.put(length, &lines)?;
        self.ragged = false;
        Ok(Tip { length: length + lines.len() as u64, position })
    }
}
