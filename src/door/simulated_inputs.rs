//! Inputs without hardware: files that hold their levels, for the demo, for tests, and for trying a configuration.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    inputs::{InputEdge, Inputs},
    lock_error,
};
use crate::{
    clock::Clock,
    error::{Context, Kind, Result},
};

/// The files are read as often as this.
const LOOK: Duration = Duration::from_millis(5);

/// Levels in files.
pub(super) struct SimulatedInputs {
    files: Vec<PathBuf>,
    known: Vec<bool>,
    clock: Arc<dyn Clock>,
}

impl SimulatedInputs {
    pub(super) fn new(files: Vec<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { known: vec![false; files.len()], files, clock }
    }
}

fn level(path: &Path) -> Result<bool> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        text => text.context(Kind::Lock, || format!("the simulated input {} cannot be read", path.display()))?,
    };
    match text.trim() {
        "1" => Ok(true),
        // An empty one is just being written.
        "0" | "" => Ok(false),
        other => Err(lock_error(format!("the simulated input {} says {other:?}", path.display()))
            .help("write 1 (active) or 0 into it")),
    }
}

impl Inputs for SimulatedInputs {
    fn next(&mut self, timeout: Duration) -> Result<Option<InputEdge>> {
        let begun = Instant::now();
        loop {
            for (input, path) in self.files.iter().enumerate() {
                let active = level(path)?;
                if std::mem::replace(&mut self.known[input], active) != active {
                    return Ok(Some(InputEdge { input, active, at: self.clock.now() }));
                }
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(LOOK.min(left));
        }
    }

    fn levels(&mut self) -> Result<Vec<bool>> {
        self.known = self.files.iter().map(|path| level(path)).collect::<Result<_>>()?;
        Ok(self.known.clone())
    }

    fn describe(&self) -> String {
        let files: Vec<_> = self.files.iter().map(|path| path.display().to_string()).collect();
        format!("simulated inputs, levels in {}", files.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::clock::SimulatedClock;

    #[test]
    fn what_is_written_is_read_and_nonsense_is_a_broken_wire() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = ["contact", "rex"].map(|name| folder.path().join(name));
        let clock = Arc::new(SimulatedClock::new(Timestamp::UNIX_EPOCH));
        let mut inputs = SimulatedInputs::new(files.to_vec(), clock.clone());
        assert_eq!(inputs.levels().expect("no files yet"), [false, false]);
        assert_eq!(inputs.next(Duration::ZERO).expect("nothing"), None);
        clock.advance(Duration::from_secs(3));
        std::fs::write(&files[1], "1\n").expect("written");
        let edge = InputEdge { input: 1, active: true, at: clock.now() };
        assert_eq!(inputs.next(Duration::from_secs(1)).expect("an edge"), Some(edge));
        assert_eq!(inputs.levels().expect("levels"), [false, true]);
        std::fs::write(&files[1], "cut").expect("written");
        let error = inputs.next(Duration::ZERO).expect_err("cut");
        assert!(error.message().contains("says \"cut\"") && error.message().contains("rex"), "{error}");
        std::fs::write(&files[1], "").expect("written");
        assert!(!inputs.next(Duration::ZERO).expect("an edge").expect("an edge").active);
    }
}
