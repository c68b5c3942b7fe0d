//! A lock without hardware: for the demo, for tests, and for trying a configuration.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::Write,
    sync::Arc,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

use super::{Lock, SimulatedSettings};
use crate::{
    clock::{Clock, Moment},
    error::{Context, Kind, Result},
};

/// As many edges are kept in memory; the oldest go first.
const KEPT: usize = 1_024;

/// What a simulated relay did, oldest first: its first level, then each change. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimulatedEdges(Arc<Mutex<VecDeque<(bool, Moment)>>>);

impl SimulatedEdges {
    /// The levels and when they were taken on.
    pub fn all(&self) -> Vec<(bool, Moment)> {
        self.0.lock().iter().copied().collect()
    }

    /// Whether the relay is energised now.
    pub fn energised(&self) -> bool {
        self.0.lock().back().is_some_and(|edge| edge.0)
    }

    fn push(&self, energised: bool, at: Moment) {
        let mut edges = self.0.lock();
        if edges.len() == KEPT {
            edges.pop_front();
        }
        edges.push_back((energised, at));
    }
}

/// A relay that is only a record of itself.
pub struct Simulated {
    energised: bool,
    edges: SimulatedEdges,
    file: Option<File>,
    clock: Arc<dyn Clock>,
    description: String,
}

/// A line of the file of edges.
#[derive(Serialize)]
struct Written {
    energised: bool,
    at: Timestamp,
    monotonic_us: u64,
}

impl SimulatedSettings {
    pub(super) fn describe(&self) -> String {
        match &self.edges {
            Some(path) => format!("simulated lock, edges in {}", path.display()),
            None => "simulated lock".into(),
        }
    }
}

impl Simulated {
    /// A relay at rest.
    pub fn open(settings: &SimulatedSettings, rest: bool, clock: Arc<dyn Clock>) -> Result<Self> {
        let file = settings.edges.as_ref().map(|path| {
            OpenOptions::new().create(true).append(true).open(path).context(Kind::Lock, || {
                format!("the file for the simulated lock's edges, {}, cannot be opened", path.display())
            })
        });
        let edges = SimulatedEdges::default();
        let mut lock =
            Self { energised: rest, edges, file: file.transpose()?, clock, description: settings.describe() };
        lock.record(rest)?;
        Ok(lock)
    }

    /// What the relay did and does; it can be read while the lock is in use.
    pub fn edges(&self) -> SimulatedEdges {
        self.edges.clone()
    }

    /// Writes the level down, then takes it on: a level that could not be written is tried again.
    fn record(&mut self, energised: bool) -> Result<()> {
        let now = self.clock.now();
        if let Some(file) = &mut self.file {
            let monotonic_us = u64::try_from(now.since_start().as_micros()).unwrap_or(u64::MAX);
            let written = Written { energised, at: self.clock.wall(), monotonic_us };
            let mut line =
                serde_json::to_vec(&written).context(Kind::Internal, || "an edge cannot be written as JSON")?;
            line.push(b'\n');
            file.write_all(&line).context(Kind::Lock, || "the simulated lock's edges cannot be written")?;
        }
        self.energised = energised;
        self.edges.push(energised, now);
        tracing::info!(energised, "the simulated relay moves");
        Ok(())
    }
}

impl Lock for Simulated {
    fn set(&mut self, energised: bool) -> Result<()> {
        if self.energised == energised {
            return Ok(());
        }
        self.record(energised)
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::SimulatedClock;

    #[test]
    fn edges_are_kept_and_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("edges.ndjson");
        let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
        let settings = SimulatedSettings { edges: Some(path.clone()) };
        let mut lock = Simulated::open(&settings, false, Arc::new(clock.clone())).expect("opens");
        let edges = lock.edges();
        clock.advance(Duration::from_millis(5));
        for energised in [false, true, true, false] {
            lock.set(energised).expect("sets");
        }
        let levels: Vec<_> = edges.all().iter().map(|edge| edge.0).collect();
        assert_eq!(levels, [false, true, false], "the rest level and two edges");
        let text = std::fs::read_to_string(&path).expect("written");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], r#"{"energised":true,"at":"1970-01-01T00:00:00.005Z","monotonic_us":5000}"#);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_about_the_lock() {
        let settings = SimulatedSettings { edges: Some("/nonexistent/edges".into()) };
        let clock = Arc::new(SimulatedClock::new(Timestamp::UNIX_EPOCH));
        let error = Simulated::open(&settings, false, clock).err().expect("no such folder");
        assert_eq!(error.kind(), Kind::Lock);
        assert!(error.to_string().contains("/nonexistent/edges"));
    }
}
