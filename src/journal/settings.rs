//! The `[journal]` section.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// Where the record is kept, and how much of it. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The folder of the journal's files; made where it is missing.
    pub dir: PathBuf,
    /// A file that has grown to so many MiB is closed and another begun: 1 to 1,024. Default 16.
    pub max_mb: u32,
    /// The same, after so many days: 1 to 3,650. Default 31.
    pub max_days: u32,
    /// How many closed files are kept, 1 to 10,000: the oldest go. Default 24.
    pub keep_files: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { dir: "data/journal".into(), max_mb: 16, max_days: 31, keep_files: 24 }
    }
}

impl Settings {
    /// Refuses values out of their range.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the key and its range.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("max_mb", u64::from(self.max_mb), 1_024),
            ("max_days", u64::from(self.max_days), 3_650),
            ("keep_files", self.keep_files as u64, 10_000),
        ];
        for (key, value, most) in ranges {
            if !(1..=most).contains(&value) {
                return Err(Error::new(Kind::Config, format!("journal.{key} is {value}"))
                    .help(format!("set journal.{key} to 1 to {most}")));
            }
        }
        Ok(())
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            bytes: u64::from(self.max_mb) << 20,
            age: Duration::from_secs(u64::from(self.max_days) * 24 * 60 * 60),
            files: self.keep_files,
        }
    }
}

/// How large and old a file grows, and how many closed ones are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) age: Duration,
    pub(super) files: usize,
}
