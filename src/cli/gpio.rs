//! `facegate gpio`: an installer's look at chips, lines and wires, beside the configuration.
//!
//! `watch` reads by the same code as the daemon's inputs, so that what it shows is what a door will be told, but undebounced.

use std::{
    num::NonZeroU64,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Answer, Context,
    output::{BAD, DIM, WARN},
    pulse,
};
use crate::{
    clock::{Clock, SystemClock},
    door::{
        self, Bias, Drive, GpiochipInput, GpiochipSettings, InputEdge, Line, LockSettings, chips::Chips,
        kernel_time::KernelTime,
    },
    error::{Error, Kind, Result},
};

/// `watch` looks whether its time is over as often as this at least.
const ROUND: Duration = Duration::from_millis(100);

/// Lines that were lost are asked for again after this long.
const RETRY: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the GPIO chips of this machine and their lines, with who uses each.
    List,
    /// Print the level of input lines, then every change, as JSON lines, until it is stopped.
    ///
    /// Each is a document such as {"line":"GPIO27","active":true,"first":false,"at":"2026-01-31T08:00:00.123456Z",
    /// "monotonic_us":5123456}: `active` is the level after `--active-low`, `first` whether it is the level that was found at
    /// the start (or after the chip had come back), `at` the kernel's time stamp as wall-clock time and `monotonic_us` the
    /// same on CLOCK_MONOTONIC. {"lost":"why"} says that the lines cannot be read; they are tried again. Nothing is debounced.
    ///
    /// A button from a Pi's GPIO27 to ground: facegate gpio watch --chip pinctrl-bcm2711 --line GPIO27 --active-low --bias
    /// pull_up
    #[command(verbatim_doc_comment)]
    Watch {
        #[command(flatten)]
        wires: Wires,
        /// A line's name or offset. Give it once for each line.
        #[arg(long = "line", required = true, value_name = "LINE", value_parser = line)]
        lines: Vec<Line>,
        /// The line's resistor: pull_up, pull_down or disabled [default: left as it is].
        #[arg(long, value_parser = bias)]
        bias: Option<Bias>,
        /// Stop after so many seconds.
        #[arg(long = "for", value_name = "SECONDS")]
        seconds: Option<NonZeroU64>,
        /// Stop after so many changes, the levels at the start not counted.
        #[arg(long, value_name = "N")]
        count: Option<NonZeroU64>,
    },
    /// Move an output line: active for a time, then inactive. It does so only with --yes.
    ///
    /// Whatever is wired to the line moves: a door may unlock. The line is released afterwards; what it does then is up to
    /// its driver.
    Pulse {
        #[command(flatten)]
        wires: Wires,
        /// The line's name or offset.
        #[arg(long, value_name = "LINE", value_parser = line)]
        line: Line,
        /// For how long it is active, 1 to 60000 ms.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
        ms: u64,
        /// Really move it.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
pub struct Wires {
    /// The chip's label, name or path.
    #[arg(long)]
    chip: String,
    /// A low level is the active one.
    #[arg(long)]
    active_low: bool,
}

/// A number is an offset, all else a name: as in the configuration.
fn line(text: &str) -> Result<Line, String> {
    match text {
        "" => Err("a line's name, such as GPIO27, or its offset, such as 27".into()),
        text => Ok(text.parse().map_or_else(|_| Line::Name(text.into()), Line::Offset)),
    }
}

fn bias(text: &str) -> Result<Bias, String> {
    match text {
        "pull_up" => Ok(Bias::PullUp),
        "pull_down" => Ok(Bias::PullDown),
        "disabled" => Ok(Bias::Disabled),
        _ => Err("pull_up, pull_down or disabled".into()),
    }
}

pub fn run(context: &Context, command: Command) -> Result<Answer> {
    match command {
        Command::List => Ok(list(context)),
        Command::Watch { wires, lines, bias, seconds, count } => {
            let end = seconds.map(|seconds| Duration::from_secs(seconds.get()));
            watch(&wires, &lines, bias, end, count.map(NonZeroU64::get))
        }
        Command::Pulse { wires, line, ms, yes } => move_line(context, wires, line, Duration::from_millis(ms), yes),
    }
}

/// The answer is yes where there is a chip that can be read.
fn list(context: &Context) -> Answer {
    let chips = door::chips::chips();
    context.out.result(&chips, describe);
    if chips.readable.is_empty() { Answer::No } else { Answer::Yes }
}

fn describe(chips: &Chips) -> String {
    let mut text = Vec::new();
    for chip in &chips.readable {
        text.push(format!("{} [{}], {} lines, {}", chip.name, chip.label, chip.lines.len(), chip.path.display()));
        text.extend(chip.lines.iter().enumerate().map(|(offset, line)| {
            let name = if line.name.is_empty() { "-" } else { &line.name };
            let user = match line.used_by.as_deref() {
                None => String::new(),
                Some("") => format!("  {WARN}in use{WARN:#}"),
                Some(user) => format!("  {WARN}in use by {user}{WARN:#}"),
            };
            format!("{DIM}{offset:>5}{DIM:#}  {name}{user}")
        }));
    }
    let forbidden = chips
        .forbidden
        .iter()
        .map(|path| format!("{BAD}{}{BAD:#}: no permission; join the group `gpio`, or use sudo", path.display()));
    text.extend(forbidden);
    text.extend(chips.broken.iter().map(|(path, error)| format!("{BAD}{}{BAD:#}: {error}", path.display())));
    if text.is_empty() {
        text.push("this machine has no GPIO at all; on a board see that its GPIO driver is loaded".into());
    }
    text.join("\n")
}

/// A line of what `watch` prints.
#[derive(Serialize)]
struct Seen<'a> {
    line: &'a Line,
    active: bool,
    first: bool,
    at: Timestamp,
    monotonic_us: u64,
}

/// Prints the lines' levels and changes.
struct Printer<'a> {
    out: super::Output,
    lines: &'a [Line],
    clock: Arc<dyn Clock>,
    time: KernelTime,
}

impl Printer<'_> {
    fn print(&self, edge: InputEdge, first: bool) {
        let Some(line) = self.lines.get(edge.input) else { return };
        let age = self.clock.now().since(edge.at);
        let at = self.clock.wall().checked_sub(age).unwrap_or(Timestamp::MIN);
        let monotonic_us = self.time.kernel_ns(edge.at) / 1_000;
        self.out.result(&Seen { line, active: edge.active, first, at, monotonic_us }, |_| String::new());
    }

    fn levels(&self, levels: &[bool]) {
        let at = self.clock.now();
        for (input, &active) in levels.iter().enumerate() {
            self.print(InputEdge { input, active, at }, true);
        }
    }
}

fn watch(
    wires: &Wires,
    lines: &[Line],
    bias: Option<Bias>,
    end: Option<Duration>,
    count: Option<u64>,
) -> Result<Answer> {
    let begun = Instant::now();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let wanted = lines.iter().map(|line| GpiochipInput {
        chip: wires.chip.clone(),
        line: line.clone(),
        active_low: wires.active_low,
        bias,
        debounce_ms: 0,
    });
    let mut inputs = door::open_lines(wanted.collect(), &clock)?;
    let time = KernelTime::new(Arc::clone(&clock));
    let printer = Printer { out: super::Output::new(true), lines, clock, time };
    printer.levels(&inputs.levels()?);
    let (mut changes, mut lost) = (0, false);
    while end.is_none_or(|end| begun.elapsed() < end) && count.is_none_or(|count| changes < count) {
        if lost {
            let Ok(levels) = inputs.levels() else {
                thread::sleep(RETRY);
                continue;
            };
            lost = false;
            printer.levels(&levels);
        }
        let left = end.map_or(ROUND, |end| end.saturating_sub(begun.elapsed()).min(ROUND));
        match inputs.next(left) {
            Ok(None) => {}
            Ok(Some(edge)) => {
                changes += 1;
                printer.print(edge, false);
            }
            Err(error) => {
                lost = true;
                printer.out.result(&serde_json::json!({ "lost": error.to_string() }), |_| String::new());
            }
        }
    }
    Ok(Answer::Yes)
}

fn move_line(context: &Context, wires: Wires, line: Line, length: Duration, yes: bool) -> Result<Answer> {
    let lock = LockSettings::Gpiochip(GpiochipSettings {
        chip: wires.chip,
        line,
        active_low: wires.active_low,
        bias: None,
        drive: Drive::PushPull,
    });
    let ms = length.as_millis();
    if !yes {
        let which = door::probe(&lock)?;
        return Err(Error::new(Kind::InvalidField, format!("{which}: not moved")).help(format!(
            "what is wired to it would be active for {ms} ms, and a door may unlock; to do it, add --yes"
        )));
    }
    let which = pulse::pulse(&lock, length)?;
    context.out.result(&serde_json::json!({ "line": which, "ms": ms }), |_| {
        format!("{which}: active for {ms} ms, inactive again")
    });
    Ok(Answer::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::chips::{ChipDescription, LineDescription};

    #[test]
    fn lines_are_named_as_in_the_configuration() {
        assert_eq!(line("27"), Ok(Line::Offset(27)));
        assert_eq!(line("GPIO27"), Ok(Line::Name("GPIO27".into())));
        assert_eq!(line("-1"), Ok(Line::Name("-1".into())));
        assert!(line("").is_err() && bias("up").is_err());
        assert_eq!(bias("pull_down"), Ok(Bias::PullDown));
    }

    #[test]
    fn the_list_shows_lines_and_users() {
        let lines = vec![
            LineDescription { name: "GPIO17".into(), used_by: Some("facegate".into()) },
            LineDescription::default(),
        ];
        let chip = ChipDescription {
            path: "/dev/gpiochip0".into(),
            name: "gpiochip0".into(),
            label: "pinctrl-bcm2711".into(),
            lines,
        };
        let text = describe(&Chips { readable: vec![chip], forbidden: vec!["/dev/gpiochip1".into()], broken: vec![] });
        for words in
            ["gpiochip0 [pinctrl-bcm2711], 2 lines", "GPIO17", "in use by facegate", "/dev/gpiochip1", "`gpio`"]
        {
            assert!(text.contains(words), "{text}");
        }
        assert!(describe(&Chips::default()).contains("no GPIO at all"));
    }

    #[test]
    fn a_line_that_is_not_there_is_watched_and_moved_by_nobody() {
        let wires = || Wires { chip: "no such chip".into(), active_low: false };
        let second = Some(Duration::from_secs(1));
        let error = watch(&wires(), &[Line::Offset(1)], None, second, None).expect_err("no such chip");
        assert_eq!(error.kind(), Kind::Lock);
        for yes in [false, true] {
            let context = Context { config: None, out: super::super::Output::new(true) };
            let error = move_line(&context, wires(), Line::Offset(1), ROUND, yes).expect_err("no such chip");
            assert_eq!(error.kind(), Kind::Lock, "{error}");
        }
    }
}
