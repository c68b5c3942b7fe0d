//! The lines that a door drives, and one that does not take its level.

use std::{sync::Arc, time::Duration};

use super::{Lock, LockSettings, Settings, Source, Wiegand, WiegandSettings, open, open_inputs};
use crate::{
    clock::{Clock, Moment},
    error::Result,
};

/// A line is asked again after this long where it failed.
const RETRY: Duration = Duration::from_millis(100);

/// Everything that a door reads and drives, claimed, with every relay at rest.
pub struct Hardware {
    /// None where a panel keeps the relay.
    pub lock: Option<Box<dyn Lock>>,
    /// A turnstile's relay for people who go out.
    pub exit_lock: Option<Box<dyn Lock>>,
    pub green: Option<Box<dyn Lock>>,
    pub red: Option<Box<dyn Lock>>,
    pub buzzer: Option<Box<dyn Lock>>,
    pub alarm: Option<Box<dyn Lock>>,
    pub inputs: Vec<Source>,
    /// The output to a panel.
    pub wiegand: Option<Arc<Wiegand>>,
}

impl Hardware {
    /// Claims every output that the settings name, each at rest: the locks first. Nothing is read yet. The errors say what to
    /// do.
    pub fn at_rest(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Self> {
        let rest = settings.fail.rest_energised();
        let outputs = &settings.outputs;
        let line = |key: &str, line: &Option<LockSettings>, rest| {
            let opened = line.as_ref().map(|line| open(line, rest, Arc::clone(clock)));
            opened.transpose().map_err(|error| error.within(key))
        };
        Ok(Self {
            lock: match &settings.lock {
                LockSettings::None => None,
                lock => Some(open(lock, rest, Arc::clone(clock))?),
            },
            exit_lock: line("exit_lock", &outputs.exit_lock, rest)?,
            green: line("green", &outputs.green, false)?,
            red: line("red", &outputs.red, false)?,
            buzzer: line("buzzer", &outputs.buzzer, false)?,
            alarm: line("alarm", &outputs.alarm, false)?,
            inputs: Vec::new(),
            wiegand: settings.wiegand.as_ref().map(|wiegand| panel(wiegand, clock)).transpose()?,
        })
    }

    /// The same with every input claimed. The errors say what to do.
    pub fn with_inputs(mut self, settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Self> {
        self.inputs = open_inputs(&settings.inputs, clock)?;
        Ok(self)
    }

    /// A lock, and nothing else.
    pub fn only(lock: Box<dyn Lock>) -> Self {
        Self {
            lock: Some(lock),
            exit_lock: None,
            green: None,
            red: None,
            buzzer: None,
            alarm: None,
            inputs: Vec::new(),
            wiegand: None,
        }
    }
}

fn panel(settings: &WiegandSettings, clock: &Arc<dyn Clock>) -> Result<Arc<Wiegand>> {
    let wire = |(key, wire): (&str, _)| open(wire, false, Arc::clone(clock)).map_err(|error| error.within(key));
    let [d0, d1] = settings.wired().map(wire);
    Wiegand::start(settings, [d0?, d1?]).map(Arc::new)
}

/// A line, and the level that it has taken.
pub(super) struct Output {
    pub line: Box<dyn Lock>,
    /// What it does at rest.
    pub rest: bool,
    /// None where it failed, and nobody knows.
    pub level: Option<bool>,
    retry_at: Option<Moment>,
}

impl Output {
    /// A line that is at rest.
    pub(super) fn new(line: Box<dyn Lock>, rest: bool) -> Self {
        Self { line, rest, level: Some(rest), retry_at: None }
    }

    /// Sees that the line has that level; the answer is whether it has taken it, where it was asked. One that has failed is
    /// asked again after a while, or at once where something has `happened`.
    pub(super) fn set(&mut self, level: bool, happened: bool, now: Moment) -> Option<Result<()>> {
        if self.level == Some(level) || !(happened || self.retry_at.is_none_or(|at| at <= now)) {
            return None;
        }
        self.retry_at = None;
        // In case that setting it panics.
        self.level = None;
        let set = self.line.set(level);
        if set.is_ok() {
            self.level = Some(level);
        } else {
            self.retry_at = Some(now + RETRY);
        }
        Some(set)
    }

    /// When it is to be asked again.
    pub(super) fn due(&self) -> Option<Moment> {
        self.retry_at
    }

    /// One last try more, where there is no later one.
    pub(super) fn insist(&mut self) {
        self.retry_at = None;
    }
}
