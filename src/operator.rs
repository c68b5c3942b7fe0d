//! What an operator asks of the doors while the daemon runs: how they are, and commands. The API and the command line both
//! come here; every command is recorded with whoever gave it.
//!
//! A lockdown outlasts the daemon: it is stored before the answer is given, and in force again before the door hears of
//! anybody ([`resume`]). A hold, free access by command and an emergency that latches end with the daemon.

use std::{fmt, sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use facegate_control::{
    CardFormat,
    door::{Alarm, Command, Mode, Refusal},
};
use parking_lot::Mutex;
use serde::Serialize;

use crate::{
    camera::{Feed, FeedStats},
    door::{ANSWER, Driver, Heard},
    error::{Error, Kind, Result},
    gallery::{Caller, Gallery, Right, Standing, TenantId},
    journal::{self, Entry, Event, Journal},
    tally,
};

/// For how long the end of a lockdown waits until the one before it is stored. Whoever asked has been told by then that nothing came
/// of it, and a door must not be released when nobody expects it any more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Whoever has this API key: the doors of its tenant are theirs.
    Key(Caller),
    /// A user of this machine whom the daemon's socket lets in: root, or the daemon's own. All doors are theirs.
    Local { user: u32 },
    /// A device of the fleet that the site lets command doors. All doors are theirs.
    Device { name: String },
}

impl Operator {
    /// Refuses whoever has not this right.
    ///
    /// # Errors
    /// `Forbidden`, saying which rights there are.
    pub fn must_have(&self, right: Right) -> Result<()> {
        match self {
            Self::Key(caller) if !caller.rights.has(right) => {
                let message = format!("this key has no right to '{}'; it has: {}", right.name(), caller.rights);
                Err(Error::new(Kind::Forbidden, message).help("`facegate keys add --right` makes one that has"))
            }
            Self::Key(_) | Self::Local { .. } | Self::Device { .. } => Ok(()),
        }
    }

    /// Refuses whoever has a key that was revoked or has ended since it was looked at. For what goes on for longer than a moment.
    ///
    /// # Errors
    /// `InvalidApiKey`; `Store` where that cannot be known.
    pub fn still_allowed(&self, gallery: &Gallery) -> Result<()> {
        let Self::Key(caller) = self else { return Ok(()) };
        let key = gallery.key(&caller.key).map_err(|error| match error.kind() {
            Kind::NotFound => no_longer_good(),
            _ => error,
        })?;
        if key.has_ended(gallery.clock().wall()) { Err(no_longer_good()) } else { Ok(()) }
    }

    /// Whether this tenant's doors and keys are theirs.
    pub fn owns(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Key(caller) => caller.tenant == *tenant,
            Self::Local { .. } | Self::Device { .. } => true,
        }
    }
}

/// Refuses a key of which no more is told than that it opens nothing.
pub(crate) fn no_longer_good() -> Error {
    Error::new(Kind::InvalidApiKey, "the API key is unknown, revoked or has ended")
}

impl fmt::Display for Operator {
    /// As it stands in the journal: `key 1a2b3c4d`, `user 0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(caller) => write!(f, "key {}", caller.key),
            Self::Local { user } => write!(f, "user {user}"),
            Self::Device { name } => write!(f, "device {name}"),
        }
    }
}

/// A door that takes commands.
pub struct Post {
    pub name: Arc<str>,
    pub tenant: TenantId,
    pub driver: Arc<Driver>,
    /// How it sends cards, where it is the reader of a panel.
    pub reader: Option<CardFormat>,
    /// What its cameras show.
    pub feeds: Vec<Arc<Feed>>,
    /// What its loops did.
    pub tally: Arc<tally::Door>,
    pub gallery: Arc<Gallery>,
    pub journal: Arc<Journal>,
}

/// What a door did since the start.
#[derive(Clone, Debug)]
pub struct Work {
    pub door: Arc<str>,
    pub tally: Arc<tally::Door>,
    /// What its cameras did.
    pub cameras: Vec<FeedStats>,
}

/// How a door is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = DoorStatus)]
pub struct Status {
    pub door: String,
    pub tenant: TenantId,
    /// The first that applies of `emergency`, `lockdown`, `forced`, `held_open`, `held`, `free_access`, `unlocked`, `locked`.
    pub mode: Mode,
    /// Whether a lock has let go.
    pub unlocked: bool,
    /// Who ordered the lockdown and when, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockdown: Option<Standing>,
    /// Whether the door stands open; left out where no contact tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// The alarms that stand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<Alarm>,
    /// Whether the locks take the levels that they are given.
    pub lock_works: bool,
    /// Whether the lamps, the buzzer and the alarm relay do.
    pub signals_work: bool,
    /// Whether every input can be read.
    pub inputs_work: bool,
    /// Whether every camera gives frames.
    pub cameras_work: bool,
    /// What a line said when it failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Why the door itself refused; none where it obeyed.
    pub refused: Option<Refusal>,
    pub mode: Mode,
}

/// Where operators find the doors of this board.
#[derive(Default)]
pub struct Desk {
    posts: Vec<Post>,
    /// Of each door: what is stored of a lockdown is what the door was told last. No door waits for another's disk.
    turns: Vec<Mutex<()>>,
}

impl Desk {
    /// The desk of these doors.
    pub fn new(posts: Vec<Post>) -> Self {
        let turns = posts.iter().map(|_| Mutex::default()).collect();
        Self { posts, turns }
    }

    /// How all the doors of this operator are.
    ///
    /// # Errors
    /// `Forbidden` without the right to read; `Store` where it cannot be read which of them are in lockdown.
    pub fn doors(&self, operator: &Operator) -> Result<Vec<Status>> {
        operator.must_have(Right::Read)?;
        self.posts.iter().filter(|post| operator.owns(&post.tenant)).map(Post::status).collect()
    }

    /// How all the doors of this board are, for whoever may know it of every tenant.
    ///
    /// # Errors
    /// `Store` where it cannot be read which of them are in lockdown.
    pub fn every_door(&self) -> Result<Vec<Status>> {
        self.posts.iter().map(Post::status).collect()
    }

    /// What the doors of this operator did; without one, for whoever may know it of every tenant, those of this board.
    pub fn work(&self, operator: Option<&Operator>) -> Vec<Work> {
        let theirs = self.posts.iter().filter(|post| operator.is_none_or(|operator| operator.owns(&post.tenant)));
        theirs.map(Post::work).collect()
    }

    /// How the journal does; none without a door.
    pub fn journal(&self) -> Option<journal::Stats> {
        self.posts.first().map(|post| post.journal.stats())
    }

    /// How one door is.
    ///
    /// # Errors
    /// As [`Desk::doors`]; `NotFound` where this operator has no such door.
    pub fn door(&self, operator: &Operator, door: &str) -> Result<Status> {
        operator.must_have(Right::Read)?;
        self.post(operator, door)?.0.status()
    }

    /// Has a door obey, and tells what came of it. A lockdown and its end are stored when this returns. May wait for the disk, which
    /// keeps no lockdown: the door is in it before anything is stored.
    ///
    /// # Errors
    /// `Forbidden` without the right to command doors; `NotFound` where this operator has no such door; `Lock` where it does
    /// not answer, or its relay does not follow; `Store` where it obeyed, but a restart will not know; `DoorRefused` where it is not
    /// released because its lockdown is still being stored.
    pub fn command(&self, operator: &Operator, door: &str, command: Command) -> Result<Done> {
        self.lock_down(operator, &[door], command);
        self.obey(operator, door, command)
    }

    /// Has several doors obey, and tells what came of it at each. A lockdown reaches all of them before it is stored of any.
    ///
    /// # Errors
    /// As [`Desk::command`], for each.
    pub fn command_all<'d>(
        &self,
        operator: &Operator,
        doors: &[&'d str],
        command: Command,
    ) -> Vec<(&'d str, Result<Done>)> {
        self.lock_down(operator, doors, command);
        doors.iter().map(|&door| (door, self.obey(operator, door, command))).collect()
    }

    /// Tells the doors of a lockdown at once, whatever else is waited for. What comes of it is heard when it is told again.
    fn lock_down(&self, operator: &Operator, doors: &[&str], command: Command) {
        if command != Command::Lockdown || operator.must_have(Right::Door).is_err() {
            return;
        }
        for door in doors {
            // One that there is not is refused in its turn.
            let Ok((post, _)) = self.post(operator, door) else { continue };
            if let Err(error) = post.driver.command(command) {
                tracing::warn!(door, %error, "the door does not hear of a lockdown at once");
            }
        }
    }

    fn obey(&self, operator: &Operator, door: &str, command: Command) -> Result<Done> {
        operator.must_have(Right::Door)?;
        let (post, turn) = self.post(operator, door)?;
        let by = operator.to_string();
        tracing::info!(door, %by, "command: {}", command.describe());
        post.journal.append(Entry { door: Some(door.into()), event: Event::Command { command, by: by.clone() } });
        match command {
            Command::Lockdown => {
                let _turn = turn.lock();
                // Once more: a release that was under way may have reached the door after the first time. In doubt it is locked.
                let heard = post.driver.command(command);
                // While the door obeys; and where it does not answer, all the more.
                let stored = post.gallery.set_lockdown(door, Some(&by));
                let heard = post.heard(heard)?;
                stored.map_err(unstored)?;
                post.works(heard)
            }
            Command::Release => {
                let _turn = turn.try_lock_for(PATIENCE).ok_or_else(|| {
                    Error::new(
                        Kind::DoorRefused,
                        "it is not released: its lockdown is still being stored, try it again",
                    )
                    .help("the disk is slow, or an import is under way")
                })?;
                // One that does not hear it stays in lockdown, also after a restart.
                let heard = post.heard(post.driver.command(command))?;
                if heard.refused.is_none() {
                    post.gallery.set_lockdown(door, None).map_err(unstored)?;
                }
                post.works(heard)
            }
            _ => post.works(post.heard(post.driver.command(command))?),
        }
    }

    /// The names of all doors of this board.
    pub fn names(&self) -> Vec<String> {
        self.posts.iter().map(|post| post.name.to_string()).collect()
    }

    /// What a door's camera shows; without a name, that of the only door.
    ///
    /// # Errors
    /// `NotFound` where this operator has no such door, or it is not told which of several.
    pub fn feed(&self, operator: &Operator, door: Option<&str>) -> Result<Arc<Feed>> {
        let post = match (door, self.posts.as_slice()) {
            (Some(door), _) => self.post(operator, door)?.0,
            (None, [only]) => only,
            (None, _) => {
                return Err(Error::new(Kind::NotFound, "it is not told which door").help("name one of its doors"));
            }
        };
        post.feeds.first().cloned().ok_or_else(|| Error::new(Kind::Camera, "this door has no camera"))
    }

    /// How a tenant's door sends cards, where it is the reader of a panel.
    pub fn reader(&self, tenant: &TenantId, door: &str) -> Option<CardFormat> {
        self.posts.iter().find(|post| *post.name == *door && post.tenant == *tenant)?.reader
    }

    /// A door of somebody else is none: that it is there is nobody's business.
    fn post(&self, operator: &Operator, door: &str) -> Result<(&Post, &Mutex<()>)> {
        let mut both = self.posts.iter().zip(&self.turns);
        both.find(|(post, _)| *post.name == *door && operator.owns(&post.tenant))
            .ok_or_else(|| Error::new(Kind::NotFound, "there is no door of this name").help("`facegate door status`"))
    }
}

fn unstored(error: Error) -> Error {
    error.within("the door obeyed, but this will not outlast a restart")
}

impl Post {
    /// What came of a command that the door was told.
    fn heard(&self, told: Result<Receiver<Heard>>) -> Result<Heard> {
        let door = &self.name;
        told?.recv_timeout(ANSWER).map_err(|error| match error {
            RecvTimeoutError::Timeout => Error::new(Kind::Lock, format!("door '{door}' does not answer"))
                .help("see the log for what its lock said last, and check its wiring"),
            RecvTimeoutError::Disconnected => Error::new(Kind::NotReady, format!("door '{door}' has been stopped")),
        })
    }

    /// Whether its lock follows.
    fn works(&self, heard: Heard) -> Result<Done> {
        if !heard.works {
            let message = format!("door '{}' heard it, but its lock does not take its level", self.name);
            return Err(
                Error::new(Kind::Lock, message).help("see the log for what the lock said last, and check its wiring")
            );
        }
        Ok(Done { refused: heard.refused, mode: heard.mode })
    }

    fn work(&self) -> Work {
        let cameras = self.feeds.iter().map(|feed| feed.stats()).collect();
        Work { door: Arc::clone(&self.name), tally: Arc::clone(&self.tally), cameras }
    }

    fn status(&self) -> Result<Status> {
        let health = self.driver.health();
        Ok(Status {
            door: self.name.to_string(),
            tenant: self.tenant.clone(),
            mode: health.mode,
            unlocked: health.open,
            open: health.door_open,
            alarms: Alarm::ALL
                .into_iter()
                .zip(health.alarms)
                .filter_map(|(alarm, stands)| stands.then_some(alarm))
                .collect(),
            lockdown: self.gallery.lockdown(&self.name)?,
            lock_works: health.healthy,
            signals_work: health.signals_healthy,
            inputs_work: health.inputs_healthy,
            cameras_work: self.feeds.iter().all(|feed| feed.stats().healthy),
            last_error: health.last_error,
        })
    }
}

/// Puts a door that was in lockdown when the daemon ended in lockdown again, before anything else is asked of it.
///
/// # Errors
/// `Store` where it cannot be read whether it was; `Lock` where the door does not take it.
pub fn resume(gallery: &Gallery, door: &str, driver: &Driver) -> Result<()> {
    let Some(standing) = gallery.lockdown(door)? else { return Ok(()) };
    let by = standing.by.unwrap_or_else(|| "an order that cannot be read any more".into());
    tracing::warn!(door, %by, "in lockdown, as before the restart; `facegate door release` ends it");
    driver.command(Command::Lockdown).map(drop)
}
