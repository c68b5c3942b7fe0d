//! Lines of a GPIO character device: edges with the kernel's time stamps, and levels where edges were lost.
//!
//! The kernel keeps the edges of a line in a buffer, and throws the oldest away when it is full; it numbers them, so that a
//! gap is seen. What was lost is then not guessed: the level is read again, while no edge is pending, and told as an edge.
//! The same is done at the start, after the chip has come back, and every second without a reason, because some expanders
//! lose interrupts and some kernels tell of an unplugged chip only when they are asked.
//!
//! A line that cannot be read any more is an error, again and again until all are claimed anew, at longer and longer
//! intervals. Levels and edges are one story: [`Inputs::levels`] is what the edges have told so far.

mod wire;

pub(super) use wire::probe;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{InputEdge, Inputs};
use crate::{
    clock::{Clock, Moment},
    door::{GpiochipInput, kernel_time::KernelTime, lock_error},
    error::{Error, Result},
};

/// Lines that were lost are claimed again after this long; the time doubles at each failure.
const BACK_OFF: Duration = Duration::from_millis(250);

/// And is at most this long.
const MAX_BACK_OFF: Duration = Duration::from_secs(8);

/// The levels are read again as often as this, whatever the edges say.
const REREAD: Duration = Duration::from_secs(1);

/// A level counts when no edge came while it was read; as often is it tried at once before the next call does.
const QUIET_TRIES: usize = 8;

/// An edge as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KernelEdge {
    active: bool,
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    at_ns: u64,
    /// From 1 for each line, with every edge, also those that are thrown away.
    number: u32,
}

/// The system calls. A line is named by its place in the list.
trait Wire: Send {
    /// Claims the line with both edges. Says what it is.
    fn claim(&mut self, line: usize) -> Result<String>;

    /// Lets go of the line, if it is claimed.
    fn release(&mut self, line: usize);

    /// Waits until a claimed line may have something to tell.
    fn wait(&mut self, timeout: Duration);

    /// The edges that are pending; never waits.
    fn edges(&mut self, line: usize, into: &mut Vec<KernelEdge>) -> Result<()>;

    /// Whether the line is active now.
    fn level(&mut self, line: usize) -> Result<bool>;
}

/// One line, as far as it is known.
#[derive(Clone, Debug, Default)]
struct Line {
    description: String,
    /// The number of the next edge, where none is lost.
    next: u32,
    /// The newest level, and since when.
    newest: Option<(bool, Moment)>,
    /// The level that the reader knows.
    told: bool,
    /// Whether the level is to be read: edges were lost, or it never came to rest.
    doubtful: bool,
    /// How often edges were lost, and how often the level was not what the edges had told.
    gaps: u64,
    mended: u64,
}

/// Several lines that are there together or not at all: those of one chip.
pub(super) struct GpioInputs {
    wire: Box<dyn Wire>,
    lines: Vec<Line>,
    clock: Arc<dyn Clock>,
    time: KernelTime,
    /// Edges that wait to be told, oldest first for each line.
    waiting: VecDeque<InputEdge>,
    reread_at: Moment,
    /// When to claim the lines again, and why they were lost; none while they are claimed.
    lost: Option<(Moment, String)>,
    back_off: Duration,
    buffer: Vec<KernelEdge>,
}

impl GpioInputs {
    /// Claims the lines and reads their levels. The errors say what to do.
    pub(super) fn open(lines: Vec<GpiochipInput>, clock: Arc<dyn Clock>) -> Result<Self> {
        let (count, time) = (lines.len(), KernelTime::new(Arc::clone(&clock)));
        Self::with(Box::new(wire::Kernel::new(lines)), count, clock, time)
    }

    fn with(wire: Box<dyn Wire>, count: usize, clock: Arc<dyn Clock>, time: KernelTime) -> Result<Self> {
        let mut inputs = Self {
            wire,
            lines: vec![Line::default(); count],
            reread_at: clock.now() + REREAD,
            clock,
            time,
            waiting: VecDeque::new(),
            lost: None,
            back_off: BACK_OFF,
            buffer: Vec::new(),
        };
        inputs.claim()?;
        Ok(inputs)
    }

    /// Claims every line; its level is where the story begins.
    fn claim(&mut self) -> Result<()> {
        for at in 0..self.lines.len() {
            let description = self.wire.claim(at)?;
            let line = &mut self.lines[at];
            *line = Line { description, next: 1, gaps: line.gaps, mended: line.mended, ..Line::default() };
        }
        for at in 0..self.lines.len() {
            self.settle(at)?;
        }
        self.waiting.clear();
        for line in &mut self.lines {
            line.told = line.newest.is_some_and(|newest| newest.0);
        }
        Ok(())
    }

    /// Sees that the lines are claimed, or says why they are not.
    fn claimed(&mut self) -> Result<()> {
        let Some((retry_at, why)) = &self.lost else { return Ok(()) };
        if self.clock.now() < *retry_at {
            return Err(lock_error(why.clone()));
        }
        self.claim().map_err(|error| self.lose(error))?;
        self.lost = None;
        self.back_off = BACK_OFF;
        Ok(())
    }

    /// Lets go of every line, for now.
    fn lose(&mut self, error: Error) -> Error {
        for at in 0..self.lines.len() {
            self.wire.release(at);
        }
        self.waiting.clear();
        self.lost = Some((self.clock.now() + self.back_off, error.to_string()));
        self.back_off = (self.back_off * 2).min(MAX_BACK_OFF);
        error
    }

    /// Takes in what a line is like. What is known already is no news, and the times of a line never go back, although
    /// edges and levels are timed apart.
    fn note(&mut self, at: usize, active: bool, when: Moment) {
        let line = &mut self.lines[at];
        let when = match line.newest {
            Some((known, _)) if known == active => return,
            Some((_, before)) => when.max(before),
            None => when,
        };
        line.newest = Some((active, when));
        self.waiting.push_back(InputEdge { input: at, active, at: when });
    }

    /// Takes in the pending edges. Says whether there were any.
    fn take(&mut self, at: usize) -> Result<bool> {
        let mut edges = std::mem::take(&mut self.buffer);
        edges.clear();
        self.wire.edges(at, &mut edges)?;
        for edge in &edges {
            let line = &mut self.lines[at];
            let lost = edge.number.wrapping_sub(line.next);
            if lost > 0 {
                line.doubtful = true;
                line.gaps += 1;
                seldom(line.gaps, || {
                    tracing::warn!(line = line.description, lost, gaps = line.gaps, "edges were lost")
                });
            }
            line.next = edge.number.wrapping_add(1);
            self.note(at, edge.active, self.time.moment(edge.at_ns));
        }
        let any = !edges.is_empty();
        self.buffer = edges;
        Ok(any)
    }

    /// Reads the level, and takes it in if no edge came meanwhile: a level that is older than an edge must not follow it.
    fn settle(&mut self, at: usize) -> Result<()> {
        for _ in 0..QUIET_TRIES {
            let active = self.wire.level(at)?;
            if self.take(at)? {
                continue;
            }
            let line = &mut self.lines[at];
            line.doubtful = false;
            if line.newest.is_some_and(|newest| newest.0 != active) {
                line.mended += 1;
                seldom(line.mended, || {
                    tracing::warn!(
                        line = line.description,
                        mended = line.mended,
                        "the level was not what its edges told"
                    );
                });
            }
            self.note(at, active, self.clock.now());
            return Ok(());
        }
        // It never came to rest: its edges tell what it does, and the next call tries again.
        self.lines[at].doubtful = true;
        Ok(())
    }

    /// Waits for news, and takes them in.
    fn listen(&mut self, timeout: Duration) -> Result<()> {
        let doubtful = self.lines.iter().any(|line| line.doubtful);
        let patience = self.reread_at.since(self.clock.now());
        self.wire.wait(if doubtful { Duration::ZERO } else { timeout.min(patience) });
        let now = self.clock.now();
        let reread = now >= self.reread_at;
        if reread {
            self.reread_at = now + REREAD;
        }
        for at in 0..self.lines.len() {
            self.take(at)?;
            if reread || self.lines[at].doubtful {
                self.settle(at)?;
            }
        }
        Ok(())
    }
}

/// For the log of what may happen a thousand times a second: once, twice, four times...
fn seldom(count: u64, log: impl FnOnce()) {
    if count.is_power_of_two() {
        log();
    }
}

impl Inputs for GpioInputs {
    fn next(&mut self, timeout: Duration) -> Result<Option<InputEdge>> {
        self.claimed()?;
        if self.waiting.is_empty() {
            self.listen(timeout).map_err(|error| self.lose(error))?;
        }
        let edge = self.waiting.pop_front();
        if let Some(edge) = edge {
            self.lines[edge.input].told = edge.active;
        }
        Ok(edge)
    }

    fn levels(&mut self) -> Result<Vec<bool>> {
        self.claimed()?;
        Ok(self.lines.iter().map(|line| line.told).collect())
    }

    fn describe(&self) -> String {
        self.lines.iter().map(|line| line.description.as_str()).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
#[path = "gpiochip_tests.rs"]
mod tests;
