//! `facegate journal`: what was decided and why.

use std::io::{ErrorKind, Write};

use anstyle::Style;
use facegate_control::door::Happening;

use super::{
    Answer, Context,
    output::{BAD, DIM, GOOD},
};
use crate::{
    error::{Context as _, Kind, Result},
    journal::{self, Call, Event, Pad, Record, Verdict, Which},
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
    /// Print the entries as they stand in the file, one JSON object a line: their hashes can be checked elsewhere.
    Export {
        /// The first entry's number.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },
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
                    format!("{BAD}broken{BAD:#} in {}, line {}: {}. Nothing from there on is proven", broken.file, broken.line, broken.reason)
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
        Command::Export { from } => export(journal::lines(&dir, from)?),
    }
}

/// Prints lines byte by byte as they are: written anew they might not have their hashes.
fn export(lines: journal::Lines) -> Result<Answer> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        let written = out.write_all(&line?);
        match written {
            // Whoever reads has had enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            written => written.context(Kind::Io, || "the journal cannot be printed")?,
        }
    }
    Ok(Answer::Yes)
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
        Event::Liveness { subject, passed, liveness: Pad { score, frames, reasons }, .. } => {
            let (style, word) = if *passed { (GOOD, "looks alive") } else { (BAD, "does not look alive") };
            let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
            format!("{subject} {style}{word}{style:#}{reasons}: {score:.2} over {frames} frames")
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
        Event::Order { order, by, outcome } => format!("order of the fleet: {order} ({by}): {outcome}"),
        Event::Erased { document, by } => format!("erased, as in all of the fleet: document {document} ({by})"),
        Event::Call(Call { call, by, tenant, subject, embedding, key, outcome, counts }) => {
            let style = match outcome.as_str() {
                "ok" => GOOD,
                "begun" => Style::new(),
                _ => BAD,
            };
            let counts = counts.iter().map(|(name, count)| format!(", {name}: {count}")).collect::<String>();
            let named = [subject, embedding, key].into_iter().flatten();
            let about = named.map(|name| format!(" {name}")).collect::<String>();
            format!("{call}{about}: {style}{outcome}{style:#}{counts} ({by} of {tenant})")
        }
        Event::Threshold { false_accept, enrolled, threshold, support, .. } => {
            let reservation = support.reservation();
            format!("threshold {threshold:.3}: {false_accept} with up to {enrolled} embeddings enrolled{reservation}")
        }
        Event::ClockJumped { seconds } => format!("the wall clock jumped by {seconds} s"),
        Event::RecordsAhead { newest } => {
            format!("earlier entries, up to {newest}, were made by a clock that was ahead")
        }
        Event::Lost { entries } => {
            format!("{BAD}{entries} entries before this one were lost{BAD:#}: the disk was too slow or full")
        }
        Event::Forgotten { through, .. } => {
            format!("the entries up to number {through} were let go: they were too old")
        }
        Event::Recovered { bytes } => format!("{bytes} bytes of an unfinished entry were set aside"),
    };
    format!("{DIM}{:>6}  {}{DIM:#}  {door}  {what}", record.seq, record.at)
}
