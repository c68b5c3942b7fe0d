//! `facegate journal`: what was decided and why.

use anstyle::Style;
use facegate_control::door::Happening;

use super::{
    Answer, Context,
    output::{BAD, DIM, GOOD},
};
use crate::{
    error::Result,
    journal::{self, Event, Record, Verdict, Which},
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the newest entries.
    Tail {
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20)]
        lines: usize,
    },
    /// Prove that no entry was changed, removed from the middle or moved.
    Verify,
}

pub fn run(context: &Context, command: Command) -> Result<Answer> {
    let dir = context.load()?.journal.dir;
    match command {
        Command::Tail { lines } => {
            for record in journal::read(&dir, Which::Last(lines))? {
                context.out.result(&record?, describe);
            }
            Ok(Answer::Yes)
        }
        Command::Verify => {
            let report = journal::verify(&dir)?;
            context.out.result(&report, |report| match (&report.broken, &report.last) {
                (Some(broken), _) => {
                    format!("{BAD}broken{BAD:#} in line {}: {}. Nothing from there on is proven", broken.line, broken.reason)
                }
                (None, None) => "the journal is empty".into(),
                (None, Some(last)) => format!(
                    "{GOOD}unbroken{GOOD:#}: {} entries; the last is number {}, hash {}\n\
                     {DIM}Note that hash elsewhere: the chain alone cannot show that entries after it were cut off.{DIM:#}",
                    report.entries, last.seq, last.hash
                ),
            });
            Ok(if report.broken.is_some() { Answer::No } else { Answer::Yes })
        }
    }
}

fn describe(record: &Record) -> String {
    let door = record.entry.door.as_deref().unwrap_or("-");
    let what = match &record.entry.event {
        Event::Started { version, model } => format!("started, version {version}, model {model}"),
        Event::Stopped => "stopped".into(),
        Event::Decision { outcome, subject, similarity, reason, flag, latency_ms, .. } => {
            let (style, word) = match outcome {
                Verdict::Granted => (GOOD, "granted"),
                Verdict::Denied => (BAD, "denied"),
            };
            let similarity = similarity.map(|s| format!(", similarity {s:.2}")).unwrap_or_default();
            let subject = subject.as_deref().unwrap_or("somebody unknown");
            let flag = flag.as_ref().map(|flag| format!(" {BAD}({flag}){BAD:#}")).unwrap_or_default();
            format!("{style}{word}{style:#} {subject}: {reason}{flag}{similarity}, {latency_ms:.0} ms")
        }
        Event::DoorEdge { energised, open, latency_ms } => {
            let latency = latency_ms.map(|ms| format!(", {ms:.0} ms after the frame")).unwrap_or_default();
            let (relay, door) = (if *energised { "on" } else { "off" }, if *open { "unlocked" } else { "locked" });
            format!("relay {relay}, door {door}{latency}")
        }
        Event::Door { happening, subject } => {
            let subject = subject.as_ref().map(|subject| format!(" ({subject})")).unwrap_or_default();
            let style = if matches!(happening, Happening::Raised { .. }) { BAD } else { Style::new() };
            format!("{style}{}{style:#}{subject}", happening.describe())
        }
        Event::Card { sent, subject, latency_ms } => {
            let subject = subject.as_deref().unwrap_or("somebody");
            match sent {
                true => format!("{GOOD}card sent{GOOD:#} for {subject}, {latency_ms:.0} ms after the frame"),
                false => format!("{BAD}card not sent{BAD:#} for {subject}"),
            }
        }
        Event::Command { command, by } => format!("command: {} ({by})", command.describe()),
        Event::ClockJumped { seconds } => format!("the wall clock jumped by {seconds} s"),
        Event::Lost { entries } => {
            format!("{BAD}{entries} entries before this one were lost{BAD:#}: the disk was too slow or full")
        }
        Event::Recovered { bytes } => format!("{bytes} bytes of an unfinished entry were set aside"),
    };
    format!("{DIM}{:>6}  {}{DIM:#}  {door}  {what}", record.seq, record.at)
}
