//! Reading and proving a journal. Both work while a daemon writes it.

use std::{
    collections::VecDeque,
    fs::{File, TryLockError},
    io::{BufRead, BufReader, ErrorKind, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    Entry, Event, FILE, Record,
    chain::{Anchor, Position, check_line},
    disk::closed_files,
};
use crate::error::{Context, Error, Kind, Result};

/// No record of ours is longer.
const MAX_LINE: u64 = 1 << 20;

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many records the unbroken chain has, from the oldest that is kept on.
    pub entries: u64,
    /// The oldest record that is kept.
    pub first: Option<Anchor>,
    /// The last of the unbroken chain. Note it elsewhere: the chain alone cannot show that records after it were cut off.
    pub last: Option<Anchor>,
    /// Bytes of an unfinished line at the end: being written at this moment, or left by a power cut.
    pub unfinished: u64,
    /// Where the chain breaks, if it does.
    pub broken: Option<Break>,
}

/// Where a chain breaks. Nothing from this line on is proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The file's name.
    pub file: String,
    /// The line in that file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl Break {
    /// Records before the oldest one are missing, and no record says why.
    fn missing(folder: &Path) -> Result<Self> {
        let reason = "the records before it are missing, and none says that they were let go";
        Ok(Self { file: name(&Source::open(folder)?.path), line: 1, reason: reason.into() })
    }
}

/// All lines of a journal, from file to file.
struct Source {
    /// The files still to come, the next one last.
    files: Vec<PathBuf>,
    /// The file that is written, opened before the others were listed: it may be closed meanwhile.
    newest: Option<File>,
    path: PathBuf,
    reader: BufReader<File>,
    /// Lines given of this file.
    line: u64,
}

impl Source {
    fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let newest = open(&path)?;
        let closed = closed_files(folder)
            .context(Kind::Io, || format!("the journal's folder {} cannot be read", folder.display()))?;
        // What was closed since is what is open here.
        let first = first_number(&newest, &path)?;
        let mut files: Vec<_> = closed
            .into_iter()
            .filter(|(begin, _)| first.is_none_or(|first| *begin < first))
            .map(|(_, file)| file)
            .collect();
        files.reverse();
        let mut source = Self { files, newest: None, path, line: 0, reader: BufReader::with_capacity(1 << 16, newest) };
        if let Some(oldest) = source.files.pop() {
            let reader = BufReader::with_capacity(1 << 16, open(&oldest)?);
            source.newest = Some(std::mem::replace(&mut source.reader, reader).into_inner());
            source.files.insert(0, std::mem::replace(&mut source.path, oldest));
        }
        Ok(source)
    }

    /// The next line with its newline; without one at an unfinished end, which only the newest file may have; empty at the
    /// end.
    fn next(&mut self) -> Result<Vec<u8>> {
        loop {
            let mut line = Vec::new();
            let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
            read.context(Kind::Io, || format!("the journal {} cannot be read", self.path.display()))?;
            if !line.is_empty() || !self.turn()? {
                self.line += 1;
                return Ok(line);
            }
        }
    }

    /// Goes on to the next file; false where this was the last.
    fn turn(&mut self) -> Result<bool> {
        let Some(path) = self.files.pop() else { return Ok(false) };
        let file = match self.newest.take_if(|_| self.files.is_empty()) {
            Some(newest) => newest,
            None => open(&path)?,
        };
        (self.reader, self.path, self.line) = (BufReader::with_capacity(1 << 16, file), path, 0);
        Ok(true)
    }

    fn is_last(&self) -> bool {
        self.files.is_empty()
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| {
        let missing = error.kind() == ErrorKind::NotFound;
        let kind = if missing { Kind::NotFound } else { Kind::Io };
        Error::new(kind, format!("the journal {} cannot be opened", path.display())).source(error)
    })
}

/// The number of the first record of an open file, whose place is not moved.
fn first_number(file: &File, path: &Path) -> Result<Option<u64>> {
    let mut start = vec![0; 1 << 16];
    let read =
        file.read_at(&mut start, 0).context(Kind::Io, || format!("the journal {} cannot be read", path.display()))?;
    let line = start[..read].split(|&byte| byte == b'\n').next().unwrap_or_default();
    Ok(check_line(line).ok().map(|(anchor, _)| anchor.seq))
}

/// Whether a daemon is writing the journal in this folder.
pub fn in_use(folder: &Path) -> bool {
    File::open(folder.join(FILE)).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Follows the chain from the oldest record that is kept, to its end or to where it breaks.
///
/// Records before the oldest may be missing only where a later record says that they were let go.
pub fn verify(folder: &Path) -> Result<Report> {
    let mut lines = Source::open(folder)?;
    let mut report = Report::default();
    let mut beginning = None;
    let mut position = Position::start();
    loop {
        let line = lines.next()?;
        let broken = match line.strip_suffix(b"\n") {
            Some(whole) => {
                // Whoever has closed no file has let nothing go: then it begins with the first of all.
                if report.entries == 0
                    && !lines.is_last()
                    && let Ok(start) = Position::of(whole)
                {
                    beginning = (start != position).then(|| start.clone());
                    position = start;
                }
                match position.check(whole) {
                    Ok(anchor) => {
                        position = Position::after(&anchor);
                        beginning = beginning.filter(|beginning| !forgotten(whole, beginning));
                        report.entries += 1;
                        report.first.get_or_insert_with(|| anchor.clone());
                        report.last = Some(anchor);
                        continue;
                    }
                    Err(reason) => reason,
                }
            }
            None if line.len() as u64 >= MAX_LINE => "it is far too long for a record",
            None if !lines.is_last() => "it has no end, though the file is closed",
            None if beginning.is_some() => {
                return Ok(Report { broken: Some(Break::missing(folder)?), ..Report::default() });
            }
            None => {
                report.unfinished = line.len() as u64;
                return Ok(report);
            }
        };
        report.broken = Some(Break { file: name(&lines.path), line: lines.line, reason: broken.into() });
        return Ok(report);
    }
}

/// Whether a record says that everything before this beginning was let go.
fn forgotten(line: &[u8], beginning: &Position) -> bool {
    let Ok(Record { entry: Entry { event: Event::Forgotten { through, last }, .. }, .. }) =
        serde_json::from_slice(line)
    else {
        return false;
    };
    through.checked_add(1) == Some(beginning.next) && last == beginning.prev
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Which records to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All from this number on.
    From(u64),
    /// The last so many.
    Last(usize),
}

/// Records of a journal, oldest first. Ends at the last whole line.
pub struct Records {
    lines: Source,
    which: Which,
    kept: Option<VecDeque<(u64, Vec<u8>)>>,
}

/// Reads records. The chain is not checked on the way: that is [`verify`]'s.
pub fn read(folder: &Path, which: Which) -> Result<Records> {
    Ok(Records { lines: Source::open(folder)?, which, kept: None })
}

impl Records {
    fn next_line(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        let mut line = self.lines.next()?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        Ok(Some((self.lines.line, line)))
    }

    fn next_wanted(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        match self.which {
            Which::From(seq) => loop {
                let Some((number, line)) = self.next_line()? else { return Ok(None) };
                // A line that cannot be read is shown, not skipped.
                if check_line(&line).map_or(number, |(anchor, _)| anchor.seq) >= seq {
                    return Ok(Some((number, line)));
                }
            },
            Which::Last(count) => {
                if self.kept.is_none() {
                    let mut kept = VecDeque::new();
                    while let Some(line) = self.next_line()? {
                        kept.push_back(line);
                        if kept.len() > count {
                            kept.pop_front();
                        }
                    }
                    self.kept = Some(kept);
                }
                Ok(self.kept.as_mut().and_then(VecDeque::pop_front))
            }
        }
    }
}

/// Lines of a journal as they stand in the file, newline included, oldest first. Ends at the last whole line.
pub struct Lines(Records);

/// The lines of the records from this number on. The chain is not checked on the way.
pub fn lines(folder: &Path, from: u64) -> Result<Lines> {
    Ok(Lines(read(folder, Which::From(from))?))
}

impl Iterator for Lines {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.0.next_wanted().transpose()?;
        Some(line.map(|(_, mut line)| {
            line.push(b'\n');
            line
        }))
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let (number, line) = self.next_wanted().transpose()?.map_or_else(|error| (0, Err(error)), |(n, l)| (n, Ok(l)));
        Some(line.and_then(|line| {
            serde_json::from_slice(&line).context(Kind::Io, || {
                format!("line {number} of {} is no record that this version knows", self.lines.path.display())
            })
        }))
    }
}
