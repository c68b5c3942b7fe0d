//! A frame as pulses on two wires, in real microseconds.

use std::{
    hint, thread,
    time::{Duration, Instant},
};

use facegate_control::Frame;

use crate::{door::Lock, error::Result};

/// Sleeping can take this much longer than it was asked to; the rest is spun.
const SPIN: Duration = Duration::from_micros(300);

/// Time, as the pulses need it: the edge at which tests put another.
pub(super) trait Pace: Send + Sync {
    /// Monotonic, from any zero.
    fn now(&self) -> Duration;

    /// Waits until then, as exactly as can be.
    fn until(&self, at: Duration);
}

/// `CLOCK_MONOTONIC`: sleeps for the long part, spins for the rest.
pub(super) struct RealPace(Instant);

impl RealPace {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Pace for RealPace {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn until(&self, at: Duration) {
        if let Some(long) = at.checked_sub(self.now()).and_then(|left| left.checked_sub(SPIN)) {
            thread::sleep(long);
        }
        while self.now() < at {
            hint::spin_loop();
        }
    }
}

/// How long a pulse lasts, and how long it is from one pulse's start to the next one's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) pulse: Duration,
    pub(super) interval: Duration,
}

/// How a frame went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) longest_pulse: Duration,
    /// From one pulse's start to the next one's.
    pub(super) longest_interval: Duration,
}

/// The two wires, each at rest (inactive, high on the wire) but for its pulses.
pub(super) struct Wires {
    /// D0 and D1: a pulse on the one is a 0, on the other a 1.
    lines: [Box<dyn Lock>; 2],
}

impl Wires {
    pub(super) fn new(lines: [Box<dyn Lock>; 2]) -> Self {
        Self { lines }
    }

    /// Puts both wires at rest. The error is the first; the other wire is put at rest all the same.
    pub(super) fn rest(&mut self) -> Result<()> {
        let [d0, d1] = &mut self.lines;
        let (d0, d1) = (d0.set(false), d1.set(false));
        d0.and(d1)
    }

    /// What is driven, for logs.
    pub(super) fn describe(&self) -> String {
        format!("D0 {}; D1 {}", self.lines[0].describe(), self.lines[1].describe())
    }

    /// Sends a frame, and says how well. No pulse is shorter than it should be, and no two are
    /// closer, whatever the scheduler does. Where a wire fails, both are put at rest.
    pub(super) fn send(&mut self, frame: Frame, timing: Timing, pace: &dyn Pace) -> Result<Sent> {
        self.pulses(frame, timing, pace).inspect_err(|_| {
            let _ = self.rest();
        })
    }

    fn pulses(&mut self, frame: Frame, timing: Timing, pace: &dyn Pace) -> Result<Sent> {
        let (mut sent, mut last) = (Sent::default(), None);
        let mut at = pace.now() + SPIN;
        for bit in frame.iter() {
            let line = &mut self.lines[usize::from(bit)];
            pace.until(at);
            let begun = pace.now();
            let interval = last.replace(begun).map(|last| begun.saturating_sub(last)).unwrap_or_default();
            sent.longest_interval = sent.longest_interval.max(interval);
            line.set(true)?;
            // From here on, since it may have taken a while until the wire was low.
            pace.until(pace.now() + timing.pulse);
            line.set(false)?;
            let ended = pace.now();
            sent.longest_pulse = sent.longest_pulse.max(ended.saturating_sub(begun));
            at = (begun + timing.interval).max(ended + timing.interval.saturating_sub(timing.pulse));
        }
        Ok(sent)
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
pub(super) mod tests;
