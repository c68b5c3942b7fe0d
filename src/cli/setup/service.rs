//! The service that runs the door, where systemd does.

use std::process::{Command, Stdio};

use super::super::{
    Context,
    output::{DIM, GOOD, WARN},
};
use crate::error::{Context as _, Error, Kind, Result};

const UNIT: &str = "facegate.service";

/// Opens the API's port for it, where it is enabled.
const SOCKET: &str = "facegate.socket";

/// The unit as systemd has it.
pub(super) struct Service {
    /// It runs, or is about to.
    runs: bool,
}

impl Service {
    /// None where no systemd answers, or it has no such unit.
    pub fn look() -> Option<Self> {
        let said = shown(UNIT)?;
        let runs = ["active", "reloading", "activating"].iter().any(|state| is(&said, "ActiveState", state));
        is(&said, "LoadState", "loaded").then_some(Self { runs })
    }

    /// Whether it runs, or is about to: its camera and its lines are in use then.
    pub fn runs(&self) -> bool {
        self.runs
    }

    /// Has it start now, with the configuration that is there now, and at every boot.
    ///
    /// # Errors
    /// [`Kind::Io`] where systemd refuses.
    pub fn start(&self, context: &Context) -> Result<()> {
        // What failed too often is started by nobody until this; one that has not failed is none the worse for it.
        let _ = systemctl(&["--quiet", "reset-failed", UNIT]);
        // Nor a port that too many called at while the door would not start. It can only be opened while the door is down.
        if shown(SOCKET).is_some_and(|said| is(&said, "ActiveState", "failed")) {
            let _ = systemctl(&["--quiet", "reset-failed", SOCKET]);
            if !(systemctl(&["stop", UNIT])? && systemctl(&["start", SOCKET])?) {
                context
                    .out
                    .say(format!("{WARN}{SOCKET} had given up and cannot be started{WARN:#}: its port stays closed"));
            }
        }
        // One that runs has the old configuration. Nothing waits for it: it is ready once its camera is, which may take a while.
        let done = systemctl(&["enable", UNIT])? && systemctl(&["--no-block", "restart", UNIT])?;
        if !done {
            return Err(Error::new(Kind::Io, format!("systemctl could not enable and start {UNIT}"))
                .help(format!("all else is done. As root: systemctl enable {UNIT} && systemctl restart {UNIT}")));
        }
        let what = if self.runs { "started anew" } else { "started" };
        context.out.say(format!("{GOOD}{what}{GOOD:#}  {UNIT}; `systemctl status facegate` tells how it does"));
        Ok(())
    }

    /// Says what is left to do where it is not to be touched.
    pub fn leave(&self, context: &Context) {
        if self.runs {
            context.out.say(format!(
                "{WARN}{UNIT} goes on with the old configuration{WARN:#} until: systemctl restart {UNIT}"
            ));
        } else {
            context.out.say(format!("{DIM}to start it: systemctl enable --now {UNIT}{DIM:#}"));
        }
    }
}

/// What systemd says of a unit, a line a property. None where no systemd answers.
fn shown(unit: &str) -> Option<String> {
    let mut command = Command::new("systemctl");
    command.args(["show", "--property=LoadState,ActiveState", unit]).stdin(Stdio::null()).stderr(Stdio::null());
    Some(String::from_utf8_lossy(&command.output().ok()?.stdout).into_owned())
}

fn is(said: &str, property: &str, value: &str) -> bool {
    said.lines().any(|line| line.split_once('=') == Some((property, value)))
}

/// Says what a running door means for whoever sets up another in its place.
pub(super) fn warn(context: &Context) {
    context.out.say(format!(
        "{WARN}{UNIT} runs{WARN:#}: its camera and its lines are in use and cannot be tried here. To try them, end setup and \
         stop the door first: systemctl stop {UNIT}"
    ));
}

/// Says that there is no service to be started, and what that means where the door had another configuration.
pub(super) fn absent(context: &Context, replaced: bool) {
    if shown(UNIT).is_some_and(|said| is(&said, "LoadState", "masked")) {
        context.out.say(format!(
            "{WARN}no service is started: somebody has forbidden it{WARN:#} (masked). To allow it: systemctl unmask {UNIT} && \
             systemctl enable --now {UNIT}"
        ));
        return;
    }
    let old = if replaced { "; one that runs already goes on with the old configuration" } else { "" };
    context.out.say(format!(
        "{DIM}no service is started: systemd has no {UNIT} here; `facegate run` runs the door{old}{DIM:#}"
    ));
}

/// Whether systemctl did it; why not, it says itself.
fn systemctl(args: &[&str]) -> Result<bool> {
    let done = Command::new("systemctl").args(args).stdin(Stdio::null()).status();
    Ok(done.context(Kind::Io, || "systemctl cannot be run")?.success())
}
