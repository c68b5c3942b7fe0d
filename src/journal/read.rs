//! Reading and proving a journal. Both work while a daemon writes it.

use std::{
    collections::VecDeque,
    fs::{File, TryLockError},
    io::{BufRead, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    FILE, Record,
    chain::{Anchor, Position, check_line},
};
use crate::error::{Context, Error, Kind, Result};

/// No record of ours is longer.
const MAX_LINE: u64 = 1 << 20;

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many records the unbroken chain has, from the first on.
    pub entries: u64,
    /// The first record.
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
    /// The line, from 1; of an unbroken chain it is the record's number too.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

struct Source {
    path: PathBuf,
    reader: BufReader<File>,
}

impl Source {
    fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let file = File::open(&path).map_err(|error| {
            let missing = error.kind() == ErrorKind::NotFound;
            let kind = if missing { Kind::NotFound } else { Kind::Io };
            Error::new(kind, format!("the journal {} cannot be opened", path.display())).source(error)
        })?;
        Ok(Self { path, reader: BufReader::with_capacity(1 << 16, file) })
    }

    /// The next line with its newline; without one at an unfinished end; empty at the end.
    fn next(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        read.context(Kind::Io, || format!("the journal {} cannot be read", self.path.display()))?;
        Ok(line)
    }
}

/// Whether a daemon is writing the journal in this folder.
pub fn in_use(folder: &Path) -> bool {
    File::open(folder.join(FILE)).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Follows the chain from the first record on, to its end or to where it breaks.
pub fn verify(folder: &Path) -> Result<Report> {
    let mut lines = Source::open(folder)?;
    let mut report = Report::default();
    let mut position = Position::start();
    loop {
        let line = lines.next()?;
        let broken = match line.strip_suffix(b"\n") {
            Some(whole) => match position.check(whole) {
                Ok(anchor) => {
                    position = Position::after(&anchor);
                    report.entries += 1;
                    report.first.get_or_insert_with(|| anchor.clone());
                    report.last = Some(anchor);
                    continue;
                }
                Err(reason) => reason,
            },
            None if line.len() as u64 >= MAX_LINE => "it is far too long for a record",
            None => {
                report.unfinished = line.len() as u64;
                return Ok(report);
            }
        };
        report.broken = Some(Break { line: report.entries + 1, reason: broken.into() });
        return Ok(report);
    }
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
    line: u64,
    which: Which,
    kept: Option<VecDeque<(u64, Vec<u8>)>>,
}

/// Reads records. The chain is not checked on the way: that is [`verify`]'s.
pub fn read(folder: &Path, which: Which) -> Result<Records> {
    Ok(Records { lines: Source::open(folder)?, line: 0, which, kept: None })
}

impl Records {
    fn next_line(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        let mut line = self.lines.next()?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        self.line += 1;
        Ok(Some((self.line, line)))
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
