//! What a device of the fleet may order, done: by the operator's desk, or by the daemon itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use facegate_control::{Passage, door::Command as DoorCommand};
use facegate_fleet::wire::{Command, Order, Outcome};
use parking_lot::Mutex;
use rustix::process::{Signal, getpid, kill_process};

use super::{
    configuring::{Configuring, Wanted},
    rules::{self, Upload},
};
use crate::{
    camera::Feed,
    error::{Error, Kind, Result},
    gallery::{Gallery, NewEnrolment, SubjectId, TenantId},
    operator::{Desk, Operator},
    recognition::{Probe, Recogniser, Settings as RecognitionSettings},
    vision::engine::Engine,
};

/// Longest that is looked for a face, in seconds.
const LONGEST_LOOK: u16 = 120;

/// Longest that a lamp blinks, in seconds.
const LONGEST_BLINK: u16 = 3600;

/// How long a frame is waited for before it is looked whether the time is over.
const FRAME: Duration = Duration::from_millis(500);

/// Orders that are done at a time of those that take their time: others do not wait for them.
pub const SLOW_AT_ONCE: usize = 2;

/// Whether doors are commanded. That is done in order, by a thread that does nothing else.
pub const fn is_for_doors(order: &Order) -> bool {
    matches!(
        order,
        Order::Unlock { .. }
            | Order::Lockdown { .. }
            | Order::Release { .. }
            | Order::FreeAccess { .. }
            | Order::EndFreeAccess { .. }
    )
}

/// Whether it may take minutes.
pub const fn is_slow(order: &Order) -> bool {
    matches!(order, Order::Enrol { .. } | Order::Identify { .. })
}

/// Who does it.
pub struct Hands {
    pub desk: Arc<Desk>,
    pub gallery: Arc<Gallery>,
    pub engine: Arc<Engine>,
    pub recognition: RecognitionSettings,
    /// The lamps of the board, as the kernel knows them.
    pub leds: std::path::PathBuf,
    /// Where another configuration can be ordered.
    pub configuring: Option<Arc<Configuring>>,
    /// Rules that come in parts.
    pub upload: Mutex<Option<Upload>>,
}

/// What came of it.
pub struct Told {
    pub outcome: Outcome,
    pub code: Option<String>,
    pub message: Option<String>,
    /// What the daemon is to hear once this is on its way.
    pub then: Option<Signal>,
}

impl Told {
    fn new(outcome: Outcome, code: Option<&str>, message: impl Into<String>) -> Self {
        Self { outcome, code: code.map(Into::into), message: Some(message.into()), then: None }
    }

    fn done(message: impl Into<String>) -> Self {
        Self::new(Outcome::Done, None, message)
    }

    fn begun(message: impl Into<String>) -> Self {
        Self::new(Outcome::Begun, None, message)
    }

    /// A refusal of the door itself, or by its code.
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::new(Outcome::Refused, Some(code), message)
    }

    /// An error, without what lies below it: that is for the log.
    pub fn failed(error: &Error) -> Self {
        let mut message = error.message().to_owned();
        if let Some(help) = error.advice() {
            message = format!("{message}; {help}");
        }
        message.truncate(message.floor_char_boundary(1000));
        Self::new(Outcome::Failed, Some(error.kind().code()), message)
    }
}

impl Hands {
    /// Does what was ordered. Takes as long as it takes: call it where that holds nobody up.
    pub fn obey(&self, command: &Command) -> Told {
        let operator = Operator::Device { name: command.by.to_string() };
        let told = match &command.order {
            Order::Unlock { door, exit } => {
                let passage = if *exit { Passage::Exit } else { Passage::Entry };
                self.command(&operator, door.as_deref(), DoorCommand::Unlock { passage })
            }
            Order::Lockdown { door } => self.command(&operator, door.as_deref(), DoorCommand::Lockdown),
            Order::Release { door } => self.command(&operator, door.as_deref(), DoorCommand::Release),
            Order::FreeAccess { door } => {
                self.command(&operator, door.as_deref(), DoorCommand::FreeAccess { on: true })
            }
            Order::EndFreeAccess { door } => {
                self.command(&operator, door.as_deref(), DoorCommand::FreeAccess { on: false })
            }
            Order::Enrol { door, tenant, subject, seconds, groups } => {
                self.enrol(&operator, door.as_deref(), (tenant, subject, groups), *seconds)
            }
            Order::SetRules { tenant, rules, part, parts } => {
                self.set_rules(&command.by, tenant, rules, (*part, *parts))
            }
            Order::Identify { seconds } => self.blink(*seconds),
            Order::Reload {} => Ok(Told { then: Some(Signal::HUP), ..Told::done("reads its configuration again") }),
            Order::Restart {} => Ok(Told { then: Some(Signal::USR1), ..Told::begun("restarts") }),
            Order::SetConfig { revision, config, seconds } => {
                let (by, id) = (&command.by, &*command.id);
                self.configure(&Wanted { revision, config, seconds: *seconds, by, id })
            }
        };
        told.unwrap_or_else(|error| Told::failed(&error))
    }

    /// Another configuration, from the next start on, which follows at once.
    fn configure(&self, wanted: &Wanted<'_>) -> Result<Told> {
        let configuring = self.configuring.as_ref().ok_or_else(|| {
            Error::new(Kind::Config, "this daemon's configuration is from no file").help("start it by facegate run")
        })?;
        configuring.order(wanted, self.ailing()?)?;
        let words =
            format!("restarts with revision {}; the old one is back where it does not come back", wanted.revision);
        Ok(Told { then: Some(Signal::USR1), ..Told::begun(words) })
    }

    /// The doors that do not work: a camera gives no frames, or a line does not answer.
    pub fn ailing(&self) -> Result<Vec<String>> {
        let doors = self.desk.every_door()?.into_iter();
        Ok(doors
            .filter(|door| !(door.cameras_work && door.lock_works && door.inputs_work))
            .map(|door| door.door)
            .collect())
    }

    /// A part of rules, and with the last one all of them.
    fn set_rules(&self, by: &facegate_fleet::Name, tenant: &str, text: &str, part: (u16, u16)) -> Result<Told> {
        let whole = Upload::take(&mut self.upload.lock(), by, tenant, text, part)?;
        let Some(whole) = whole else { return Ok(Told::done(format!("part {} of {}", part.0, part.1))) };
        let subjects = rules::replace(&self.gallery, &tenant.parse()?, &whole)?;
        Ok(Told::done(format!("the rules of {tenant} are replaced; {subjects} subjects have rules of their own")))
    }

    /// One door, or all of them: the first that fails is told, the others are commanded all the same.
    fn command(&self, operator: &Operator, door: Option<&str>, command: DoorCommand) -> Result<Told> {
        let names = self.desk.names();
        let doors: Vec<&str> = door.map_or_else(|| names.iter().map(String::as_str).collect(), |door| vec![door]);
        if doors.is_empty() {
            return Err(Error::new(Kind::NotFound, "this device has no door"));
        }
        let (mut failed, mut refused) = (None, None);
        for (door, done) in self.desk.command_all(operator, &doors, command) {
            match done {
                Ok(done) => refused = refused.or(done.refused.map(|why| (door, why))),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(match refused {
            Some((door, why)) => Told::refused("door_refused", format!("door '{door}' refuses: {}", why.sentence())),
            None => Told::done(command.describe()),
        })
    }

    /// Enrols whoever stands before a door's camera, as soon as a face is good enough.
    fn enrol(
        &self,
        operator: &Operator,
        door: Option<&str>,
        (tenant, subject, groups): (&str, &str, &[String]),
        seconds: u16,
    ) -> Result<Told> {
        let (tenant, subject): (TenantId, SubjectId) = (tenant.parse()?, subject.parse()?);
        // Before anybody is waited for.
        rules::known(&self.gallery, &tenant, groups)?;
        if !(1..=LONGEST_LOOK).contains(&seconds) {
            return Err(Error::new(Kind::InvalidField, format!("seconds must be 1 to {LONGEST_LOOK}")));
        }
        let feed: Arc<Feed> = self.desk.feed(operator, door)?;
        let settings = &self.recognition.enrolment;
        let mut recogniser = Recogniser::new(&self.engine, &self.recognition)?;
        let deadline = Instant::now() + Duration::from_secs(seconds.into());
        let (mut after, mut last) = (0, Error::new(Kind::NoFaceDetected, "no frame came from the camera in time"));
        while Instant::now() < deadline {
            let Some(frame) = feed.latest(after, FRAME) else { continue };
            after = frame.sequence;
            let living = |probe: Probe| Ok((settings.living(probe.liveness.as_ref(), false)?, probe));
            match recogniser.enrolment_image(&frame.image).and_then(living) {
                Ok((mut warnings, probe)) => {
                    let new = NewEnrolment {
                        subject: subject.clone(),
                        quality_score: probe.quality_score(),
                        liveness_score: probe.liveness_score(),
                        embedding: probe.embedding,
                        source: Some("fleet".into()),
                        metadata: None,
                        photograph: None,
                    };
                    let done = self.gallery.enroll_in(&tenant, new, None, |new| {
                        if settings.compares() {
                            let likeness = self.gallery.likeness(&tenant, &new.subject, &new.embedding)?;
                            warnings.extend(settings.compare(&likeness, self.engine.calibration())?);
                        }
                        Ok(warnings)
                    })?;
                    let mut message = format!("enrolled as embedding {}", done.enrolment.id);
                    if !groups.is_empty() {
                        let joined = rules::join(&self.gallery, &tenant, &subject, groups);
                        joined.map_err(|error| error.within("enrolled, but in no group"))?;
                        message = format!("{message}, in {}", groups.join(", "));
                    }
                    done.warnings.iter().for_each(|warning| message = format!("{message}; {}", warning.message));
                    return Ok(Told::done(message));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Blinks a lamp of the board; ends with it lit as it was.
    fn blink(&self, seconds: u16) -> Result<Told> {
        if !(1..=LONGEST_BLINK).contains(&seconds) {
            return Err(Error::new(Kind::InvalidField, format!("seconds must be 1 to {LONGEST_BLINK}")));
        }
        let lamp = std::fs::read_dir(&self.leds)
            .ok()
            .and_then(|lamps| lamps.flatten().map(|lamp| lamp.path().join("brightness")).find(|lamp| writable(lamp)));
        let lamp = lamp.ok_or_else(|| {
            Error::new(Kind::NotFound, "the board has no lamp that may be used")
                .help("give the daemon's user the right to write /sys/class/leds/*/brightness")
        })?;
        let before = std::fs::read_to_string(&lamp).unwrap_or_else(|_| "0".into());
        let deadline = Instant::now() + Duration::from_secs(seconds.into());
        for lit in [true, false].into_iter().cycle() {
            if Instant::now() >= deadline {
                break;
            }
            let _ = std::fs::write(&lamp, if lit { "1" } else { "0" });
            std::thread::sleep(Duration::from_millis(250));
        }
        let _ = std::fs::write(&lamp, before.trim());
        Ok(Told::done("blinked"))
    }
}

fn writable(path: &std::path::Path) -> bool {
    std::fs::OpenOptions::new().write(true).open(path).is_ok()
}

/// What the daemon hears from a terminal or from systemd, too.
///
/// # Errors
/// `Io`.
pub fn signal(signal: Signal) -> Result<()> {
    kill_process(getpid(), signal)
        .map_err(|error| Error::new(Kind::Io, "the daemon cannot signal itself").source(error))
}
