//! `[api.limits]` of the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bucket::Pace;
use crate::error::{Error, Kind, Result};

/// How many calls one source may make. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Calls with a photograph, for each key: `POST` below `/v1/face-matching`.
    pub photographs: Rate,
    /// Calls that read, for each key: `GET`.
    pub reads: Rate,
    /// All other calls, for each key.
    pub changes: Rate,
    /// An address, behind which several clients may be, may do so many times what a key may: 1 to 1,000; 0 for no limit by
    /// address.
    pub address_factor: u32,
    /// Wrong keys from one address in a minute, beyond which it is told to wait: 1 to 10,000; 0 for no limit.
    pub failed_keys_per_minute: u32,
}

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// In the long run, calls a second: 1 to 10,000; 0 for no limit.
    pub per_s: u32,
    /// At once, after a rest: 1 to 100,000.
    pub burst: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            photographs: Rate { per_s: 20, burst: 60 },
            reads: Rate { per_s: 100, burst: 300 },
            changes: Rate { per_s: 50, burst: 200 },
            address_factor: 4,
            failed_keys_per_minute: 10,
        }
    }
}

impl Settings {
    /// Nothing is limited.
    pub fn off() -> Self {
        let off = Rate { per_s: 0, burst: 1 };
        Self { photographs: off, reads: off, changes: off, address_factor: 0, failed_keys_per_minute: 0 }
    }

    /// Refuses values out of their range.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the key and its range.
    pub fn validate(&self) -> Result<()> {
        let mut ranges = vec![
            ("address_factor".to_owned(), self.address_factor, 0, 1_000),
            ("failed_keys_per_minute".to_owned(), self.failed_keys_per_minute, 0, 10_000),
        ];
        for (name, rate) in [("photographs", self.photographs), ("reads", self.reads), ("changes", self.changes)] {
            ranges.push((format!("{name}.per_s"), rate.per_s, 0, 10_000));
            ranges.push((format!("{name}.burst"), rate.burst, 1, 100_000));
        }
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(Error::new(Kind::Config, format!("api.limits.{key} is {value}"))
                    .help(format!("set api.limits.{key} to {least} to {most}")));
            }
        }
        Ok(())
    }

    /// The pace of wrong keys; none where they are not limited.
    pub(super) fn failures(&self) -> Option<Pace> {
        let burst = self.failed_keys_per_minute;
        (burst > 0).then(|| Pace { interval: Duration::from_secs(60) / burst, burst })
    }
}

impl Rate {
    /// The pace, `times` as fast; none where it is not limited.
    pub(super) fn pace(self, times: u32) -> Option<Pace> {
        let per_s = self.per_s.saturating_mul(times);
        (per_s > 0)
            .then(|| Pace { interval: Duration::from_secs(1) / per_s, burst: self.burst.saturating_mul(times).max(1) })
    }
}
