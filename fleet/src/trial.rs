//! A configuration that somebody far away ordered, tried: what is remembered of it, so that a device that it cuts off finds
//! back by itself.
//!
//! The device keeps one [`Ledger`] on its disk and writes it whole, durably, before anything follows from it:
//!
//! | step | the ledger | what runs |
//! | --- | --- | --- |
//! | [`begin`](Ledger::begin) | a trial, not started | still the old one |
//! | the daemon's next [`start`](Ledger::start) | the trial, started | the new one |
//! | [`keep`](Ledger::keep): it reached the broker, its doors work | the new one is kept, a verdict waits | the new one |
//! | [`give_up`](Ledger::give_up): it did not in time | a verdict waits | the old one, from the next start |
//! | any other start | the same as given up | the old one |
//!
//! A trial is started once. Whatever ends the daemon meanwhile, `kill -9`, a defect, a power cut, the next start is with the
//! old one. Whoever changes the device's own file has the last word: what was ordered over it holds no more.

use serde::{Deserialize, Serialize};

use crate::{
    Name,
    wire::{ConfigState, V1},
};

/// Longest name of a revision, in bytes.
pub const MAX_REVISION: usize = 64;

/// Longest configuration, in bytes.
pub const MAX_CONFIG: usize = 16 << 10;

/// How long a device may be given to come back, in seconds.
pub const SECONDS: std::ops::RangeInclusive<u16> = 10..=3600;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    v: V1,
    /// The [`digest`] of the device's own file, over which all this was ordered.
    base: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<Revision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<Trial>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

/// A configuration as it was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// What its sender calls it.
    pub name: String,
    /// TOML.
    pub config: String,
}

/// One that is to be tried, or is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    pub revision: Revision,
    /// Who ordered it, and the command's id: the verdict is for them.
    pub by: Name,
    pub id: String,
    /// How long the device may take to come back.
    pub seconds: u16,
    /// Doors that did not work before either: they need not work for it to be kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excused: Vec<String>,
    #[serde(default)]
    started: bool,
}

/// What became of the last trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The revision's name.
    pub revision: String,
    pub to: Name,
    pub id: String,
    /// Why it was given up; `None` where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether it is among the device's events.
    noted: bool,
    /// Whether the broker has it.
    sent: bool,
}

/// Another one is being tried, or its verdict is on its way: ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Tells one configuration from another: BLAKE3, 64 hexadecimal digits.
pub fn digest(config: &str) -> String {
    blake3::hash(config.as_bytes()).to_hex().to_string()
}

impl Trial {
    /// One that is not started yet.
    pub const fn new(revision: Revision, by: Name, id: String, seconds: u16, excused: Vec<String>) -> Self {
        Self { revision, by, id, seconds, excused, started: false }
    }
}

impl Ledger {
    /// The ledger of a device whose own file has this digest, and that was ordered nothing.
    pub const fn new(base: String) -> Self {
        Self { v: V1, base, kept: None, trial: None, verdict: None }
    }

    /// What is in force in the place of the device's own file, where that has this digest; `None`: the file itself.
    pub fn in_force(&self, base: &str) -> Option<&Revision> {
        if self.base != base {
            return None;
        }
        self.running().map(|trial| &trial.revision).or(self.kept.as_ref())
    }

    /// The same as if nothing were tried.
    pub fn kept(&self, base: &str) -> Option<&Revision> {
        self.kept.as_ref().filter(|_| self.base == base)
    }

    /// The trial that was started.
    pub fn running(&self) -> Option<&Trial> {
        self.trial.as_ref().filter(|trial| trial.started)
    }

    /// Takes a configuration to be tried from the next start on.
    ///
    /// # Errors
    /// [`Busy`]: nothing changed.
    pub fn begin(&mut self, trial: Trial) -> Result<(), Busy> {
        if self.trial.is_some() || self.verdict.as_ref().is_some_and(|verdict| !verdict.sent) {
            return Err(Busy);
        }
        self.trial = Some(Trial { started: false, ..trial });
        Ok(())
    }

    /// The daemon starts, and its own file has this digest. Gives the trial that it is to run with.
    pub fn start(&mut self, base: &str) -> Option<&Trial> {
        if self.base != base {
            self.give_up("the device's own configuration file was changed meanwhile");
            (self.base, self.kept) = (base.to_owned(), None);
        } else if self.running().is_some() {
            self.give_up("the daemon ended while it was tried");
        }
        if let Some(trial) = &mut self.trial {
            trial.started = true;
        }
        self.trial.as_ref()
    }

    /// The device has come back with what is tried: it stays. Whether anything was tried.
    pub fn keep(&mut self) -> bool {
        let Some(trial) = self.trial.take_if(|trial| trial.started) else { return false };
        self.verdict = Some(Verdict::of(&trial, None));
        self.kept = Some(trial.revision);
        true
    }

    /// What is tried, or to be tried, is given up: the one before is back from the next start on. Whether there was any.
    pub fn give_up(&mut self, why: &str) -> bool {
        let Some(trial) = self.trial.take() else { return false };
        let mut why = why.to_owned();
        why.truncate(why.floor_char_boundary(700));
        self.verdict = Some(Verdict::of(&trial, Some(why)));
        true
    }

    /// What is tried, or was tried last: its revision and whether it stays; `None` where nothing was ordered over this file.
    pub fn state(&self) -> Option<(&str, ConfigState)> {
        match (&self.trial, &self.verdict, &self.kept) {
            (Some(trial), ..) => Some((&trial.revision.name, ConfigState::Trying)),
            (None, Some(verdict), _) if verdict.why.is_some() => Some((&verdict.revision, ConfigState::RolledBack)),
            (None, _, Some(kept)) => Some((&kept.name, ConfigState::Kept)),
            (None, ..) => None,
        }
    }

    /// The last verdict.
    pub const fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// A verdict that the broker does not have yet.
    pub fn unsent(&self) -> Option<&Verdict> {
        self.verdict.as_ref().filter(|verdict| !verdict.sent)
    }

    /// A verdict that is not among the events yet.
    pub fn unnoted(&self) -> Option<&Verdict> {
        self.verdict.as_ref().filter(|verdict| !verdict.noted)
    }

    /// The verdict is among the events.
    pub fn noted(&mut self) {
        if let Some(verdict) = &mut self.verdict {
            verdict.noted = true;
        }
    }

    /// The broker has the verdict of this command.
    pub fn sent(&mut self, id: &str) {
        if let Some(verdict) = self.verdict.as_mut().filter(|verdict| verdict.id == id) {
            verdict.sent = true;
        }
    }
}

impl Verdict {
    fn of(trial: &Trial, why: Option<String>) -> Self {
        let (revision, to, id) = (trial.revision.name.clone(), trial.by.clone(), trial.id.clone());
        Self { revision, to, id, why, noted: false, sent: false }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trial(number: usize) -> Trial {
        let revision = Revision { name: format!("r{number}"), config: format!("# {number}") };
        Trial::new(revision, "office".parse().expect("a name"), format!("c{number}"), 10, Vec::new())
    }

    /// What the world does to a device. What was not written when the power goes is gone.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Order,
        /// The daemon ends, however, and starts.
        Start,
        /// It starts, and the power goes before the ledger is written.
        LostStart,
        ComesBack,
        Deadline,
        Acknowledged,
        Edited,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        use Step::*;
        let step = prop_oneof![
            4 => Just(Order), 4 => Just(Start), 1 => Just(LostStart), 3 => Just(ComesBack), 2 => Just(Deadline),
            4 => Just(Acknowledged), 1 => Just(Edited)
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn a_configuration_that_did_not_come_back_runs_once_and_each_order_has_one_verdict(steps in steps()) {
            let mut disk = Ledger::new("own0".into());
            let (mut orders, mut edits) = (0, 0);
            let mut runs: Vec<usize> = Vec::new();
            // By the model: what has proved itself, and what waits for its verdict.
            let mut proven: Option<String> = None;
            let mut open: Option<String> = None;
            let mut verdicts = Vec::new();
            let mut running = None::<String>;
            for step in steps {
                // What is in memory is what was written last.
                let mut ledger: Ledger = serde_json::from_slice(&serde_json::to_vec(&disk).expect("JSON")).expect("a ledger");
                prop_assert_eq!(&ledger, &disk);
                let base = format!("own{edits}");
                match step {
                    Step::Order => {
                        let taken = ledger.begin(trial(orders));
                        prop_assert_eq!(taken.is_ok(), open.is_none() && ledger.unsent().is_none());
                        if taken.is_ok() {
                            open = Some(format!("r{orders}"));
                            runs.push(0);
                            orders += 1;
                        }
                    }
                    Step::Start | Step::LostStart => {
                        let tried = ledger.start(&base).map(|trial| trial.revision.name.clone());
                        if matches!(step, Step::LostStart) {
                            continue;
                        }
                        if let Some(name) = &tried {
                            runs[name[1..].parse::<usize>().expect("a number")] += 1;
                        } else {
                            open = None;
                        }
                        running = ledger.in_force(&base).map(|revision| revision.name.clone());
                        if tried.is_some() {
                            prop_assert_eq!(&running, &tried);
                        } else {
                            prop_assert_eq!(&running, &proven);
                        }
                    }
                    Step::ComesBack => {
                        if ledger.keep() {
                            prop_assert_eq!(&running, &open);
                            proven = open.take();
                        }
                    }
                    Step::Deadline => {
                        if ledger.running().is_some() {
                            prop_assert!(ledger.give_up("too late"));
                            open = None;
                        }
                    }
                    Step::Acknowledged => {
                        if let Some(id) = ledger.unsent().map(|verdict| verdict.id.clone()) {
                            verdicts.push(id.clone());
                            ledger.sent(&id);
                        }
                    }
                    Step::Edited => {
                        edits += 1;
                        proven = None;
                        let base = format!("own{edits}");
                        prop_assert!(ledger.in_force(&base).is_none());
                        if ledger.running().is_some() {
                            ledger.start(&base);
                            open = None;
                        }
                    }
                }
                disk = ledger;
            }
            prop_assert!(runs.iter().all(|runs| *runs <= 1), "{:?}", runs);
            let waiting = usize::from(disk.unsent().is_some()) + usize::from(open.is_some());
            prop_assert_eq!(verdicts.len() + waiting, orders);
            verdicts.dedup();
            prop_assert!(verdicts.len() + waiting == orders, "a verdict was told twice");
        }
    }

    #[test]
    fn a_verdict_is_among_the_events_once() {
        let mut ledger = Ledger::new("own".into());
        ledger.begin(trial(1)).expect("nothing is tried");
        assert_eq!(ledger.state(), Some(("r1", ConfigState::Trying)));
        assert!(ledger.in_force("own").is_none());
        ledger.start("own");
        assert_eq!(ledger.in_force("own").map(|revision| &*revision.config), Some("# 1"));
        assert!(ledger.start("own").is_none());
        assert_eq!(ledger.state(), Some(("r1", ConfigState::RolledBack)));
        assert!(ledger.unnoted().is_some_and(|verdict| verdict.why.is_some()));
        ledger.noted();
        assert!(ledger.unnoted().is_none());
        assert_eq!(ledger.begin(trial(2)), Err(Busy));
        ledger.sent("another");
        assert_eq!(ledger.begin(trial(2)), Err(Busy));
        ledger.sent("c1");
        assert_eq!(ledger.begin(trial(2)), Ok(()));
    }
}
