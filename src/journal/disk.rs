//! The journal's files: the one that is written, [`FILE`], and those that are closed.
//!
//! A closed file is called after the number of its first record, `journal-000000000001.ndjson`, and never written again. The
//! chain goes on from file to file. Closed files beyond the number that is kept are deleted, the oldest first, but only after
//! the record that says so ([`Event::Forgotten`](super::Event::Forgotten)) is on the disk: so the chain proves which records
//! before it were let go, and that none else is missing.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    FILE,
    chain::{Anchor, Position, check_line},
    settings::Limits,
};

/// A broken end longer than this is not a torn write: nothing we write at once is as long.
pub(super) const MAX_TORN: u64 = 1 << 20;

/// Where lines go.
pub(super) trait Medium: Send {
    /// Puts `bytes` at `offset`, which is the end, and onto the disk.
    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts everything from `offset` on.
    fn cut(&mut self, offset: u64) -> io::Result<()>;

    /// Whether a file of this length is to be closed now.
    fn is_due(&mut self, length: u64, now: Timestamp) -> bool;

    /// Closes the file and begins another, whose first record will have the number `next`. Where that fails, the old one is
    /// still the one that is written.
    fn turn(&mut self, next: u64, now: Timestamp) -> io::Result<()>;

    /// The last record of the closed files that are too many.
    fn surplus(&self) -> io::Result<Option<Anchor>>;

    /// Deletes the closed files up to the one that ends with this record.
    fn forget(&mut self, through: u64) -> io::Result<()>;
}

/// Where the journal ends.
pub(super) struct Tip {
    pub(super) length: u64,
    pub(super) position: Position,
}

/// The journal on a disk.
pub(super) struct Disk {
    folder: PathBuf,
    file: File,
    /// The number of the first record of the file that is written.
    first: u64,
    /// When that was, where there is one.
    begun: Option<Timestamp>,
    limits: Limits,
}

impl Disk {
    /// The journal in `folder`, whose open file is `file` and ends at `tip`.
    pub(super) fn new(folder: PathBuf, mut file: File, tip: &Tip, limits: Limits) -> io::Result<Self> {
        let begin = first_record(&mut file)?;
        let first = begin.as_ref().map_or(tip.position.next, |anchor| anchor.seq);
        Ok(Self { folder, file, first, begun: begin.map(|anchor| anchor.at), limits })
    }
}

impl Medium for Disk {
    fn put(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)?;
        self.file.sync_data()
    }

    fn cut(&mut self, offset: u64) -> io::Result<()> {
        self.file.set_len(offset)?;
        self.file.sync_data()
    }

    fn is_due(&mut self, length: u64, now: Timestamp) -> bool {
        if length == 0 {
            // Its first record is about to be written.
            self.begun = Some(now);
            return false;
        }
        let begun = *self.begun.get_or_insert(now);
        let age = now.duration_since(begun);
        length >= self.limits.bytes || age.unsigned_abs() >= self.limits.age && age.is_positive()
    }

    fn turn(&mut self, next: u64, now: Timestamp) -> io::Result<()> {
        let (path, new) = (self.folder.join(FILE), self.folder.join("journal.ndjson.new"));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o640).open(&new)?;
        // Claimed before it has its name: no other process finds it free.
        file.try_lock()?;
        let closed = self.folder.join(closed_name(self.first));
        fs::rename(&path, &closed)?;
        if let Err(error) = fs::rename(&new, &path) {
            fs::rename(&closed, &path)?;
            return Err(error);
        }
        (self.file, self.first, self.begun) = (file, next, Some(now));
        if let Err(error) = File::open(&self.folder).and_then(|folder| folder.sync_all()) {
            // The files have their names; a power cut within the next seconds may take the newest records.
            tracing::warn!(%error, "the names of the journal's files could not be made durable");
        }
        Ok(())
    }

    fn surplus(&self) -> io::Result<Option<Anchor>> {
        let closed = closed_files(&self.folder)?;
        let Some(newest) = closed.len().checked_sub(self.limits.files + 1) else { return Ok(None) };
        let mut file = File::open(&closed[newest].1)?;
        Ok(find_tip(&mut file)?.2)
    }

    fn forget(&mut self, through: u64) -> io::Result<()> {
        for (_, path) in closed_files(&self.folder)?.into_iter().take_while(|(first, _)| *first <= through) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn closed_name(first: u64) -> String {
    format!("journal-{first:012}.ndjson")
}

/// The closed files in a folder, oldest first, each with the number of its first record.
pub(super) fn closed_files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_prefix("journal-")?.strip_suffix(".ndjson")?.parse().ok());
        // A name of another form is nothing of ours.
        if let Some(first) = number.filter(|first| closed_name(*first).as_str() == name) {
            found.push((first, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The record that a file begins with, where it does.
fn first_record(file: &mut File) -> io::Result<Option<Anchor>> {
    file.seek(SeekFrom::Start(0))?;
    let mut start = Vec::new();
    file.take(MAX_TORN).read_to_end(&mut start)?;
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    Ok(check_line(line).ok().map(|(anchor, _)| anchor))
}

/// Where the last whole record of a file ends, what comes after it, and the record. Reads no more than the end of the file.
pub(super) fn find_tip(file: &mut File) -> io::Result<(Tip, Vec<u8>, Option<Anchor>)> {
    let length = file.metadata()?.len();
    // One more, so that a broken end that is too long shows as such.
    let start = length.saturating_sub(MAX_TORN + 1);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(length - start).read_to_end(&mut end)?;
    let mut whole = end.len();
    while let Some(newline) = end[..whole].iter().rposition(|&byte| byte == b'\n') {
        let begin = end[..newline].iter().rposition(|&byte| byte == b'\n').map_or(0, |before| before + 1);
        if let Ok((anchor, _)) = check_line(&end[begin..newline]) {
            let tip = Tip { length: start + newline as u64 + 1, position: Position::after(&anchor) };
            return Ok((tip, end.split_off(newline + 1), Some(anchor)));
        }
        whole = begin;
    }
    Ok((Tip { length: 0, position: Position::start() }, end, None))
}
