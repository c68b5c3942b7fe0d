//! The threads that read a door's inputs and tell the door's own thread.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use facegate_control::door::Input;

use super::inputs::Source;
use crate::error::{Context, Kind, Result};

/// For how long an edge is waited for before the thread looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// Every level is told again as often as this: an edge that got lost is lost for no longer.
const REPEAT: Duration = Duration::from_secs(1);

/// Inputs that cannot be read are tried again after this long.
const RETRY: Duration = Duration::from_millis(500);

/// Reads `source` on a thread of its own until `stop`, and tells `to`. Inputs that cannot be read are told as lost.
pub(super) fn start(door: &str, source: Source, to: Sender<Input>, stop: Arc<AtomicBool>) -> Result<()> {
    let mut feed = Feed { door: door.to_owned(), source, to, told_at: None, lost: false };
    let body = move || {
        while !stop.load(Ordering::Relaxed) {
            if let Some(after) = feed.turn() {
                thread::sleep(after);
            }
        }
    };
    thread::Builder::new()
        .name("inputs".into())
        .spawn(body)
        .context(Kind::Lock, || "the thread for a door's inputs cannot be started")?;
    Ok(())
}

struct Feed {
    door: String,
    source: Source,
    to: Sender<Input>,
    /// When every level was told last; none where they have to be told now.
    told_at: Option<Instant>,
    lost: bool,
}

impl Feed {
    /// Waits for an edge, or tells how long to wait before the next attempt.
    fn turn(&mut self) -> Option<Duration> {
        let read = catch_unwind(AssertUnwindSafe(|| self.read()));
        let message = match read {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "reading them panicked".into(),
        };
        self.told_at = None;
        if !std::mem::replace(&mut self.lost, true) {
            tracing::error!(
                door = self.door,
                inputs = self.source.inputs.describe(),
                "inputs cannot be read: {message}"
            );
        }
        // Again and again: whoever was too busy to hear it the first time must hear it.
        for &sensor in &self.source.sensors {
            let _ = self.to.try_send(Input::SensorLost(sensor));
        }
        Some(RETRY)
    }

    fn read(&mut self) -> Result<()> {
        if self.told_at.is_none_or(|at| at.elapsed() >= REPEAT) {
            let levels = self.source.inputs.levels()?;
            if std::mem::replace(&mut self.lost, false) {
                tracing::info!(door = self.door, inputs = self.source.inputs.describe(), "inputs can be read again");
            }
            let mut heard = true;
            for (&sensor, active) in self.source.sensors.iter().zip(levels) {
                heard &= self.to.try_send(Input::SensorFound(sensor)).is_ok();
                heard &= self.to.try_send(Input::Level { sensor, active }).is_ok();
            }
            // Where there was no room, at the next turn.
            self.told_at = heard.then(Instant::now);
        }
        if let Some(edge) = self.source.inputs.next(PATIENCE)?
            && let Some(&sensor) = self.source.sensors.get(edge.input)
            && self.to.try_send(Input::Level { sensor, active: edge.active }).is_err()
        {
            self.told_at = None;
        }
        Ok(())
    }
}
