//! Which lock, and whether its relay moves.

use std::{path::PathBuf, time::Duration};

use super::{
    super::{Context, output::GOOD, pulse},
    ask::Asker,
};
use crate::{
    door::{self, Drive, GpiochipSettings, Line, LockSettings, SimulatedSettings, chips},
    error::{Error, Kind as Wrong, Result},
};

/// For how long the relay is moved.
const MOVE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Gpiochip,
    Simulated,
}

/// What options say of the lock.
pub(super) struct Given {
    pub kind: Option<Kind>,
    pub chip: Option<String>,
    pub line: Option<String>,
    pub active_low: bool,
    pub edges: Option<PathBuf>,
}

/// The lock that the options name, or that is chosen of the chips and lines that there are. Where the service `runs`, the line may be
/// the one that it has.
pub(super) fn choose(ask: &Asker, given: Given, runs: bool) -> Result<LockSettings> {
    let Given { kind, chip, line, active_low, edges } = given;
    let chips = chips::chips();
    let kind = match kind {
        Some(kind) => kind,
        None if chip.is_some() || !chips.readable.is_empty() || ask.asks_nothing() => Kind::Gpiochip,
        None if ask.yes_or_no("This machine has no GPIO chip. Simulate the lock?", true, false)? => Kind::Simulated,
        None => Kind::Gpiochip,
    };
    if kind == Kind::Simulated {
        return Ok(LockSettings::Simulated(SimulatedSettings { edges }));
    }
    if edges.is_some() {
        return Err(Error::new(Wrong::InvalidField, "--edges is for --lock simulated: hardware writes nothing down"));
    }
    let chip = match chip {
        Some(chip) => chip,
        None => {
            let words: Vec<_> = chips
                .readable
                .iter()
                .map(|chip| (chip.label.clone(), format!("{} ({}, {} lines)", chip.label, chip.name, chip.lines.len())))
                .collect();
            let none =
                "see that the board's GPIO driver is loaded and that you may open its chips, or try --lock simulated";
            ask.choice("--chip", "Which GPIO chip is the relay on?", &words, none)?
        }
    };
    let question = "Which line switches the relay (a name, such as GPIO17, or an offset)?";
    let line = ask.text("--line", question, line, None)?;
    let line = line.parse().map_or_else(|_| Line::Name(line.clone()), Line::Offset);
    let active_low = active_low || ask.yes_or_no("Does the relay board switch on a low level?", false, false)?;
    let lock = LockSettings::Gpiochip(GpiochipSettings { chip, line, active_low, bias: None, drive: Drive::PushPull });
    // Whether it is there and free.
    if runs {
        door::probe_beside_ours(&lock)?
    } else {
        door::probe(&lock)?
    };
    Ok(lock)
}

/// Moves the relay, where that is wanted, and asks whether it was heard. Nobody is asked about one that a running door has.
pub(super) fn try_it(ask: &Asker, context: &Context, lock: &LockSettings, wanted: bool) -> Result<()> {
    let question = "Move the relay now, for half a second? Whatever is wired to it moves";
    let free = door::probe(lock);
    if !wanted && (free.is_err() || !ask.yes_or_no(question, false, false)?) {
        return Ok(());
    }
    let which = free?;
    pulse::apart(context, lock, MOVE)?;
    context.out.result(&serde_json::json!({ "relay": which }), |_| {
        format!("{GOOD}moved{GOOD:#}  {which}: active for {} ms, inactive again", MOVE.as_millis())
    });
    if ask.yes_or_no("Did it move, and is it back?", true, true)? {
        return Ok(());
    }
    Err(Error::new(Wrong::Lock, format!("the relay did not move by {which}")).help(
        "see docs/wiring.md: is it the right line (`facegate gpio list`), has the relay board its power, and does it switch \
         on a low level (--active-low)?",
    ))
}
