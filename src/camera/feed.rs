//! A camera on a thread of its own, opened anew after every failure. The newest frame wins.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{After, Camera, Frame, Settings};
use crate::{
    clock::{Clock, Moment},
    error::{Context, Error, Kind, Result},
};

/// The first wait before a camera is opened anew; each further one is twice as long, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// How long [`Feed::stop`] waits for the thread. One that a driver holds back longer is left to end by itself.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a feed has seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedStats {
    /// Frames that came.
    pub frames: u64,
    /// Frames that were replaced by a newer one before anybody took them.
    pub dropped: u64,
    /// How often the camera was opened again after the first time.
    pub reopened: u64,
    /// Everything that went wrong: frames that could not be read, openings that failed, stalls, panics.
    pub errors: u64,
    /// Whether a frame came within the source's stall time.
    pub healthy: bool,
    /// Whether the source has come to its end; no more frames will come.
    pub ended: bool,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The open camera, in its own words.
    pub camera: Option<String>,
}

/// A running camera.
pub struct Feed {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    stall: Duration,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// A frame came, or none will any more.
    news: Condvar,
    /// The thread is to end.
    stop: Condvar,
    /// Apart from the state, for which threads wait: one that hangs just then is handed the state's lock all the same, and keeps it.
    /// Those who watch over the threads must not hang with it. Taken after the other lock where both are, and never for long.
    record: Mutex<Record>,
}

#[derive(Default)]
struct State {
    latest: Option<Arc<Frame>>,
    taken: bool,
    stopping: bool,
    done: bool,
}

/// What is told of a feed.
#[derive(Default)]
struct Record {
    /// When the last frame came.
    seen: Option<Moment>,
    stats: FeedStats,
}

impl Feed {
    /// Starts the source that `settings` name. A camera that cannot be opened now is tried again and again: that is told
    /// by [`Feed::stats`], not here.
    ///
    /// # Errors
    /// [`Kind::Config`] where a value is out of range; [`Kind::Io`] where no thread can be had.
    pub fn start(settings: Settings, clock: Arc<dyn Clock>) -> Result<Feed> {
        settings.validate()?;
        let stall = settings.stall();
        let of_camera = clock.clone();
        Feed::start_with(move || super::open(&settings, of_camera.clone()), stall, clock)
    }

    /// Starts a feed over whatever `open` gives, which is called again after each failure.
    ///
    /// # Errors
    /// [`Kind::Io`] where no thread can be had.
    pub fn start_with(
        open: impl FnMut() -> Result<Box<dyn Camera>> + Send + 'static,
        stall: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Feed> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            news: Condvar::new(),
            stop: Condvar::new(),
            record: Mutex::default(),
        });
        let worker = Worker { shared: shared.clone(), clock: clock.clone(), stall, sequence: 0 };
        let thread = std::thread::Builder::new()
            .name("camera".into())
            .spawn(move || worker.run(open))
            .context(Kind::Io, || "cannot start the camera's thread")?;
        Ok(Feed { shared, clock, stall, thread: Mutex::new(Some(thread)) })
    }

    /// The newest frame whose sequence is above `after`; waits up to `timeout` for it. `None` where none came, at once
    /// where none can come any more.
    pub fn latest(&self, after: u64, timeout: Duration) -> Option<Arc<Frame>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state.lock();
        loop {
            if let Some(frame) = state.latest.as_ref().filter(|frame| frame.sequence > after).cloned() {
                state.taken = true;
                return Some(frame);
            }
            if state.done || state.stopping || self.shared.news.wait_until(&mut state, deadline).timed_out() {
                return None;
            }
        }
    }

    /// What was seen so far. Never waits for a thread of the door.
    pub fn stats(&self) -> FeedStats {
        let record = self.shared.record.lock();
        let mut stats = record.stats.clone();
        let seen = record.seen.is_some_and(|seen| self.clock.now().since(seen) < self.stall);
        stats.healthy = seen && stats.camera.is_some();
        stats
    }

    /// Ends the thread and waits for it, at most 0.3 s: one that hangs in a driver is left behind.
    pub fn stop(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        let deadline = Instant::now() + PATIENCE;
        let done = self.shared.state.try_lock_until(deadline).is_some_and(|mut state| {
            state.stopping = true;
            self.shared.stop.notify_all();
            self.shared.news.notify_all();
            while !state.done && !self.shared.news.wait_until(&mut state, deadline).timed_out() {}
            state.done
        });
        if done {
            // Nothing is left of it but its return.
            let _ = thread.join();
        } else {
            tracing::warn!("the camera's thread does not end; it is left behind");
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Why streaming from one opened camera ended.
enum Ended {
    Stopped,
    OfItself,
    Failed,
}

struct Worker {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    stall: Duration,
    sequence: u64,
}

impl Worker {
    fn run(mut self, mut open: impl FnMut() -> Result<Box<dyn Camera>>) {
        let mut wait = FIRST_WAIT;
        let mut opened = 0u64;
        while !self.shared.state.lock().stopping {
            match guarded(&mut open) {
                Ok(mut camera) => {
                    let words = guarded(|| Ok(camera.describe())).unwrap_or_else(|_| "a camera".to_owned());
                    tracing::info!(camera = %words, reopened = opened, "camera opened");
                    {
                        let stats = &mut self.shared.record.lock().stats;
                        stats.reopened = opened;
                        stats.camera = Some(words);
                    }
                    opened += 1;
                    let before = self.sequence;
                    let ended = self.stream(&mut *camera);
                    self.shared.record.lock().stats.camera = None;
                    if let Err(error) = guarded(|| {
                        drop(camera);
                        Ok(())
                    }) {
                        self.failed(&error);
                    }
                    if self.sequence > before {
                        wait = FIRST_WAIT;
                    }
                    match ended {
                        Ended::Stopped => break,
                        Ended::OfItself => {
                            self.shared.record.lock().stats.ended = true;
                            break;
                        }
                        Ended::Failed => {}
                    }
                }
                Err(error) => self.failed(&error),
            }
            tracing::debug!(?wait, "the camera is opened again after a while");
            if self.pause(Instant::now() + wait) {
                break;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        let mut state = self.shared.state.lock();
        state.done = true;
        self.shared.news.notify_all();
    }

    /// Takes frames until the feed is stopped or the camera is spent.
    fn stream(&mut self, camera: &mut dyn Camera) -> Ended {
        let mut good = self.clock.now();
        let mut bad = 0u32;
        let mut due = Instant::now();
        loop {
            if let Some(every) = camera.pace() {
                due = (due + every).max(Instant::now());
                if self.pause(due) {
                    return Ended::Stopped;
                }
            } else if self.shared.state.lock().stopping {
                return Ended::Stopped;
            }
            match guarded(|| camera.next_frame()) {
                Ok(frame) => {
                    good = self.clock.now();
                    bad = 0;
                    self.publish(frame);
                }
                Err(error) => {
                    let after = guarded(|| Ok(camera.after_error())).unwrap_or(After::Reopen);
                    match after {
                        After::End => return Ended::OfItself,
                        // The first of a row of bad frames is worth a line, the others are counted.
                        After::Retry if bad > 0 => self.count(&error),
                        After::Retry | After::Reopen => self.failed(&error),
                    }
                    bad += 1;
                    if after == After::Reopen {
                        return Ended::Failed;
                    }
                    if self.clock.now().since(good) >= self.stall {
                        let message = format!("only bad frames for {:.1} s", self.stall.as_secs_f32());
                        self.failed(&Error::new(Kind::Camera, message));
                        return Ended::Failed;
                    }
                }
            }
        }
    }

    fn publish(&mut self, mut frame: Frame) {
        self.sequence += 1;
        frame.sequence = self.sequence;
        let mut state = self.shared.state.lock();
        {
            let mut record = self.shared.record.lock();
            record.stats.frames += 1;
            record.stats.dropped += u64::from(state.latest.is_some() && !state.taken);
            record.seen = Some(self.clock.now());
        }
        state.latest = Some(Arc::new(frame));
        state.taken = false;
        self.shared.news.notify_all();
    }

    fn failed(&self, error: &Error) {
        tracing::warn!(help = error.advice(), "{error}");
        self.count(error);
    }

    fn count(&self, error: &Error) {
        let stats = &mut self.shared.record.lock().stats;
        stats.errors += 1;
        stats.last_error = Some(error.to_string());
    }

    /// Waits until `deadline`. True where the feed is to stop.
    fn pause(&self, deadline: Instant) -> bool {
        let mut state = self.shared.state.lock();
        while !state.stopping {
            if self.shared.stop.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.stopping
    }
}

/// Runs a camera's code so that a panic in it is an error like any other.
fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(panic_error(&*panic)))
}

/// What a panic in a camera's code said.
pub(crate) fn panic_error(panic: &(dyn Any + Send)) -> Error {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(Kind::Camera, format!("the camera's code panicked: {}", words.unwrap_or("no reason given")))
}

#[cfg(test)]
mod tests;
