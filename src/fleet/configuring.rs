//! A configuration that the fleet orders: checked, tried, and kept only where the device comes back with it.
//!
//! The file of the device stays as it is: below systemd it is read-only, and whoever is at the device has the last word by it.
//! What is ordered lies in `config.json` of [`Settings::dir`](super::Settings::dir), a [`Ledger`], which is read whenever a
//! configuration is loaded. Each change of it is on the disk before anything follows from it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use facegate_fleet::trial::digest;
use facegate_fleet::{
    Name,
    trial::{self, Ledger, Revision, Trial, Verdict},
    wire::{ConfigReport, ConfigState, V1},
};
use parking_lot::Mutex;

use super::identity::{self, write_private};
use crate::{
    config::{Config, Origin},
    error::{Context as _, Error, Kind, Result},
};

const LEDGER: &str = "config.json";

/// One change of the ledger at a time, in this process; no other one changes it.
static TURN: Mutex<()> = Mutex::new(());

/// Whether what was to be tried is not run by this process: that its trial begins could not be written down.
static ASIDE: AtomicBool = AtomicBool::new(false);

/// What is in force over the device's own file of this digest, by what lies in `dir`.
///
/// # Errors
/// `Config` where the ledger cannot be read.
pub fn in_force(dir: &Path, own: &str) -> Result<Option<Revision>> {
    let Some(ledger) = read(dir)? else { return Ok(None) };
    let aside = ASIDE.load(Ordering::Relaxed);
    Ok(if aside { ledger.kept(own) } else { ledger.in_force(own) }.cloned())
}

fn read(dir: &Path) -> Result<Option<Ledger>> {
    let path = dir.join(LEDGER);
    match path.exists() {
        true => identity::json(&path).map(Some).map_err(|error| {
            let message = error.to_string();
            Error::new(Kind::Config, message).help("remove it: the device's own configuration file is in force then")
        }),
        false => Ok(None),
    }
}

/// Changes the ledger, durably; gives what `change` gives.
fn change<T>(dir: &Path, own: &str, change: impl FnOnce(&mut Ledger) -> T) -> Result<T> {
    let _turn = TURN.lock();
    let before = read(dir)?;
    let mut ledger = before.clone().unwrap_or_else(|| Ledger::new(own.to_owned()));
    let given = change(&mut ledger);
    if before.as_ref().is_none_or(|before| *before != ledger) {
        let bytes = serde_json::to_vec(&ledger).context(Kind::Internal, || "a ledger has no form in JSON")?;
        write_private(&dir.join(LEDGER), &bytes)?;
    }
    Ok(given)
}

/// A configuration that this process tries.
#[derive(Debug)]
pub struct Trying {
    dir: PathBuf,
    own: String,
    /// From the start of the process.
    pub patience: Duration,
}

impl Trying {
    /// Gives it up: the one before is back from the next start on. Whether it had not been kept meanwhile.
    ///
    /// # Errors
    /// `Io` where that cannot be written; the next start gives it up all the same.
    pub fn give_up(&self, why: &str) -> Result<bool> {
        change(&self.dir, &self.own, |ledger| ledger.give_up(why))
    }
}

/// The daemon starts: what was being tried is given up, and what is to be tried begins. To be called once, before the
/// configuration is loaded.
///
/// # Errors
/// Those of the device's own file. That the ledger cannot be written is none: then nothing is tried.
pub fn start(path: &Path) -> Result<Option<Trying>> {
    let (config, _) = Config::load_own(path)?;
    let (Some(settings), Some(Origin { own, .. })) = (config.fleet, config.origin) else { return Ok(None) };
    let dir = settings.dir;
    if !dir.join(LEDGER).exists() {
        return Ok(None);
    }
    let begun = change(&dir, &own, |ledger| ledger.start(&own).map(|trial| trial.seconds));
    match begun {
        Ok(seconds) => Ok(seconds.map(|seconds| Trying { dir, own, patience: Duration::from_secs(seconds.into()) })),
        Err(_) => {
            // Loading says why, where it cannot be read; where it cannot be written, the disk's other users do.
            ASIDE.store(true, Ordering::Relaxed);
            Ok(None)
        }
    }
}

/// What the link does with the configuration of this device.
pub struct Configuring {
    origin: Origin,
    dir: PathBuf,
    trying: AtomicBool,
    excused: Mutex<Vec<String>>,
    check: Check,
}

/// Looks at what a configuration names beside itself: networks.
type Check = Box<dyn Fn(&Config) -> Result<()> + Send + Sync>;

/// An order to run another configuration.
pub struct Wanted<'a> {
    pub revision: &'a str,
    pub config: &'a str,
    pub seconds: u16,
    /// Who ordered it, and the command's id.
    pub by: &'a Name,
    pub id: &'a str,
}

impl Configuring {
    /// For a daemon whose configuration is from there, with its keys in `dir`; `check` looks at what a configuration names beside
    /// itself.
    pub fn new(
        origin: Origin,
        dir: PathBuf,
        check: impl Fn(&Config) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let running = read(&dir).ok().flatten().and_then(|ledger| ledger.running().cloned());
        let running = running.filter(|_| !ASIDE.load(Ordering::Relaxed));
        let (trying, excused) = (running.is_some(), running.map(|trial| trial.excused).unwrap_or_default());
        let check = Box::new(check);
        Arc::new(Self { origin, dir, trying: trying.into(), excused: excused.into(), check })
    }

    /// Takes a configuration to be tried from the next start on, after it was checked wholly. `ailing`: doors that do not work
    /// now, either.
    ///
    /// # Errors
    /// `InvalidField`, `TooLarge`, `Config` where it cannot be used: nothing changed. `RequestInProgress` where another one is
    /// tried; `PreconditionFailed` where the device's own file was changed since the daemon started; `Io`.
    pub fn order(&self, wanted: &Wanted<'_>, ailing: Vec<String>) -> Result<()> {
        let Wanted { revision, config, seconds, by, id } = *wanted;
        if revision.is_empty() || revision.len() > trial::MAX_REVISION || revision.contains(char::is_control) {
            let message = format!("revision must be 1 to {} bytes without control characters", trial::MAX_REVISION);
            return Err(Error::new(Kind::InvalidField, message));
        }
        if config.len() > trial::MAX_CONFIG {
            let message = format!("the configuration has {} bytes; it may have {}", config.len(), trial::MAX_CONFIG);
            return Err(Error::new(Kind::TooLarge, message).help("leave comments out, and what is at its default"));
        }
        if !trial::SECONDS.contains(&seconds) {
            let (least, most) = (trial::SECONDS.start(), trial::SECONDS.end());
            return Err(Error::new(Kind::InvalidField, format!("seconds must be {least} to {most}")));
        }
        let (_, own) = Config::load_own(&self.origin.path)?;
        if digest(&own) != self.origin.own {
            return Err(Error::new(
                Kind::PreconditionFailed,
                "the device's own configuration file was changed since its daemon started",
            )
            .help("restart the device first, so that it is clear over which file this is ordered"));
        }
        (self.check)(&Config::over(&own, config)?)?;
        let revision = Revision { name: revision.into(), config: config.into() };
        let trial = Trial::new(revision, by.clone(), id.into(), seconds, ailing);
        change(&self.dir, &self.origin.own, |ledger| ledger.begin(trial))?.map_err(|trial::Busy| {
            Error::new(Kind::RequestInProgress, "another configuration is being tried").help("try again in a moment")
        })
    }

    /// Whether this process tries a configuration, and has to come back with it.
    pub fn tries(&self) -> bool {
        self.trying.load(Ordering::Relaxed)
    }

    /// Whether a door need not work for what is tried to be kept: it did not before.
    pub fn excuses(&self, door: &str) -> bool {
        self.excused.lock().iter().any(|excused| excused == door)
    }

    /// The device has come back: what is tried stays.
    ///
    /// # Errors
    /// `Io`: it is tried on.
    pub fn keep(&self) -> Result<()> {
        change(&self.dir, &self.origin.own, Ledger::keep)?;
        self.trying.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// A verdict that is not among the events yet.
    ///
    /// # Errors
    /// `Config` where the ledger cannot be read.
    pub fn unnoted(&self) -> Result<Option<Verdict>> {
        Ok(read(&self.dir)?.and_then(|ledger| ledger.unnoted().cloned()))
    }

    /// The verdict is among the events.
    ///
    /// # Errors
    /// `Io`: it will be there twice.
    pub fn noted(&self) -> Result<()> {
        change(&self.dir, &self.origin.own, Ledger::noted)
    }

    /// A verdict that the broker does not have yet.
    ///
    /// # Errors
    /// `Config` where the ledger cannot be read.
    pub fn unsent(&self) -> Result<Option<Verdict>> {
        Ok(read(&self.dir)?.and_then(|ledger| ledger.unsent().cloned()))
    }

    /// The broker has the verdict of this command.
    ///
    /// # Errors
    /// `Io`: it is sent again.
    pub fn sent(&self, id: &str) -> Result<()> {
        change(&self.dir, &self.origin.own, |ledger| ledger.sent(id))
    }

    /// What this device runs, for its topic.
    ///
    /// # Errors
    /// `Config` where the ledger cannot be read.
    pub fn report(&self, by: &Name, at: u64) -> Result<ConfigReport> {
        let ledger = read(&self.dir)?;
        let state = ledger.as_ref().and_then(Ledger::state);
        let own = &self.origin.own;
        let in_force = ledger.as_ref().and_then(|ledger| ledger.in_force(own));
        let (revision, state) = match state {
            Some((revision, state)) => (Some(revision.to_owned()), state),
            None => (None, ConfigState::Kept),
        };
        let why = ledger.as_ref().and_then(Ledger::verdict).and_then(|verdict| verdict.why.clone());
        let why = why.filter(|_| state == ConfigState::RolledBack);
        let digest = in_force.map_or_else(|| own.clone(), |revision| digest(&revision.config));
        Ok(ConfigReport { v: V1, by: by.clone(), at, revision, state, digest, why })
    }
}
