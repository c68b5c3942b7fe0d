//! What the service manager (systemd) is told, and what it gives: readiness, the watchdog, sockets, credentials.
//!
//! The daemon tells that it is ready once networks, store and locks are, and every camera has given a frame. A camera that is
//! not there keeps it from being ready for as long as it is not there, but ends nothing: the request to exit and the API work,
//! so each time the doors' threads have moved the manager is asked for more time. When it is ready, the same threads feed the
//! watchdog. Either way a thread of the door that hangs lets a deadline of the manager's pass, which then ends the daemon.
//!
//! Without `NOTIFY_SOCKET` in the environment nobody listens, and no thread is started.

pub mod credentials;
mod sockets;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use self::sockets::Sockets;
use crate::{
    daemon::Pulse,
    error::{Context, Error, Kind, Result},
};
use sd_notify::NotifyState;

/// How often the doors' threads and cameras are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Without a watchdog of the manager's: for how long a thread may stand still before no more time is asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// More time is asked for until so much later.
const MORE: Duration = Duration::from_secs(20);

/// How often it is asked for.
const AGAIN: Duration = Duration::from_secs(2);

/// Longest status line, in bytes.
const LONGEST: usize = 400;

/// The thread that tells the manager how the doors do. Dropping it ends it.
pub struct Service {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Begins to tell the manager, where there is one.
    ///
    /// # Errors
    /// [`Kind::Io`] where no thread can be had.
    pub fn start(pulse: Pulse) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(Self { stop, thread: None });
        }
        let stopped = Arc::clone(&stop);
        let mut teller = Teller::new(sd_notify::watchdog_enabled());
        let body = move || {
            while !stopped.load(Ordering::Relaxed) {
                let words = teller.look(&Doors { still: pulse.still(), ails: pulse.ails() }, Instant::now(), || {
                    format!("watching {}", pulse.doors())
                });
                words.into_iter().for_each(|word| tell(&[word.into()]));
                if let Some(status) = teller.status() {
                    tell(&[NotifyState::Status(&status)]);
                }
                thread::park_timeout(LOOK);
            }
        };
        let thread = thread::Builder::new().name("service".into()).spawn(body);
        let thread = thread.context(Kind::Io, || "cannot start the thread service")?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Left to end by itself: the manager may be what hangs.
            thread.thread().unpark();
        }
    }
}

/// Tells the manager that the daemon ends, and why.
pub fn stopping(why: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(&line(&format!("stopping on {why}")))]);
}

/// Tells the manager what the daemon is about, or why it could not start: `systemctl status` shows it.
pub fn status(words: &str) {
    tell(&[NotifyState::Status(&line(words))]);
}

/// Tells the manager why the daemon could not start, with the cure.
pub fn failed(error: &Error) {
    status(&match error.advice() {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    });
}

fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// One line of bounded length: a line break would begin another assignment.
fn line(words: &str) -> String {
    let mut line: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > LONGEST {
        line.truncate(line.floor_char_boundary(LONGEST));
        line.push('…');
    }
    line
}

/// What the manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Ready,
    /// Feeds the watchdog.
    Alive,
    /// More time to become ready is wanted.
    More,
}

impl From<Word> for NotifyState<'_> {
    fn from(word: Word) -> Self {
        match word {
            Word::Ready => Self::Ready,
            Word::Alive => Self::Watchdog,
            Word::More => Self::ExtendTimeoutUsec(u32::try_from(MORE.as_micros()).unwrap_or(u32::MAX)),
        }
    }
}

/// How the doors do at one look.
struct Doors {
    /// For how long the slowest thread has not come round.
    still: Duration,
    /// What does not work, in words.
    ails: Option<String>,
}

/// Decides what the manager is told. Pure: it is given the time.
struct Teller {
    /// Within how long the watchdog wants to hear of us.
    watchdog: Option<Duration>,
    ready: bool,
    /// When it was told last that the threads move.
    told: Option<Instant>,
    /// What stands in the status line, and whether it is news.
    status: (String, bool),
}

impl Teller {
    fn new(watchdog: Option<Duration>) -> Self {
        Self { watchdog, ready: false, told: None, status: (String::new(), false) }
    }

    /// What to tell after a look at the doors; `well` is the status line where all is well.
    fn look(&mut self, doors: &Doors, now: Instant, well: impl FnOnce() -> String) -> Vec<Word> {
        let mut words = Vec::new();
        // Half of the manager's deadline: the other half is for us to notice, and for it to hear.
        let patience = self.watchdog.map_or(PATIENCE, |watchdog| watchdog / 2);
        let moves = doors.still < patience;
        if !self.ready && moves && doors.ails.is_none() {
            self.ready = true;
            words.push(Word::Ready);
        }
        let every = if self.ready { self.watchdog.map(|watchdog| watchdog / 4) } else { Some(AGAIN) };
        let due = every.is_some_and(|every| self.told.is_none_or(|told| now.duration_since(told) >= every));
        if moves && (due || !words.is_empty()) {
            words.push(if self.ready { Word::Alive } else { Word::More });
            self.told = Some(now);
        }
        let status = match &doors.ails {
            _ if !moves => format!("a thread of a door has not moved for {} s", doors.still.as_secs()),
            None => well(),
            Some(ails) if self.ready => ails.clone(),
            Some(ails) => format!("waiting: {ails}"),
        };
        if self.status.0 != status {
            self.status = (status, true);
        }
        words
    }

    /// The status line, where it is news.
    fn status(&mut self) -> Option<String> {
        std::mem::take(&mut self.status.1).then(|| line(&self.status.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    fn teller() -> (Teller, Instant) {
        (Teller::new(Some(DEADLINE)), Instant::now())
    }

    fn looked(teller: &mut Teller, now: Instant, still_s: u64, ails: Option<&str>) -> Vec<Word> {
        let doors = Doors { still: Duration::from_secs(still_s), ails: ails.map(Into::into) };
        teller.look(&doors, now, || "watching front".into())
    }

    #[test]
    fn a_camera_that_is_missing_puts_readiness_off_and_asks_for_time() {
        let (mut teller, start) = teller();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(looked(&mut teller, at(0), 0, Some("no camera")), [Word::More]);
        assert_eq!(teller.status().as_deref(), Some("waiting: no camera"));
        assert_eq!(looked(&mut teller, at(200), 0, Some("no camera")), []);
        assert_eq!(teller.status(), None, "it is no news");
        assert_eq!(looked(&mut teller, at(2_000), 0, Some("no camera")), [Word::More]);
        assert_eq!(looked(&mut teller, at(2_200), 0, None), [Word::Ready, Word::Alive]);
        assert_eq!(teller.status().as_deref(), Some("watching front"));
        assert_eq!(looked(&mut teller, at(2_400), 0, Some("no camera")), [], "once ready it stays so");
        assert_eq!(teller.status().as_deref(), Some("no camera"));
    }

    #[test]
    fn a_thread_that_hangs_starves_both_deadlines() {
        for ready in [false, true] {
            let (mut teller, start) = teller();
            looked(&mut teller, start, 0, (!ready).then_some("no camera"));
            for second in 1..100 {
                assert_eq!(looked(&mut teller, start + Duration::from_secs(second), 10, None), []);
            }
            assert_eq!(teller.status().as_deref(), Some("a thread of a door has not moved for 10 s"));
        }
    }

    #[test]
    fn the_watchdog_is_fed_four_times_within_its_deadline_and_no_more() {
        let (mut teller, start) = teller();
        let fed = (0..100u32).filter(|look| looked(&mut teller, start + *look * LOOK, 0, None).contains(&Word::Alive));
        assert_eq!(fed.count(), 4, "in 20 s");
        let mut without = Teller::new(None);
        let words = (0..100u32).flat_map(|look| looked(&mut without, start + look * LOOK, 0, None)).collect::<Vec<_>>();
        assert_eq!(words, [Word::Ready, Word::Alive]);
    }

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        assert_eq!(line("a\nREADY=1"), "a READY=1");
        let long = line(&"ü".repeat(1_000));
        assert!(long.len() <= LONGEST + '…'.len_utf8() && long.ends_with('…'));
    }
}
