//! `facegate bench`: how fast every stage is, and how a daemon with a full gallery behaves, on this machine, now.
//!
//! Each figure that is a promise is printed with what it is measured against, in the same run.

mod daemon;
mod decision;
mod reference;
mod stages;

use std::{path::PathBuf, sync::Arc};

use serde::Serialize;

use super::{
    Answer, Context,
    output::{DIM, read_file},
};
use crate::{
    clock::{Clock, SystemClock},
    error::{Error, Kind, Result},
    intake,
    vision::models::Pack,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder with the packs.
    #[arg(long, default_value = "models")]
    models: PathBuf,
    /// The pack.
    #[arg(long, default_value = "starter")]
    pack: String,
    /// A photograph with one face; it is shown with movement and noise.
    #[arg(long, default_value = "models/photos/obama.jpg")]
    photo: PathBuf,
    /// How many frames are measured.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    frames: u32,
    /// A program that times the same networks elsewhere: `tests/bench/onnxruntime`. It takes turns with our own runs.
    #[arg(long, value_name = "PROGRAM")]
    reference: Option<PathBuf>,
    /// Faces in the gallery of the daemon that is started to measure memory, readiness and idling; 0 leaves that out.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    faces: u32,
}

/// Median and 95th percentile of some times, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Times {
    median_ms: f64,
    p95_ms: f64,
}

impl Times {
    fn of(mut ms: Vec<f64>) -> Self {
        ms.sort_by(f64::total_cmp);
        let at = |share: f64| ms.get(((ms.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or(f64::NAN);
        Self { median_ms: at(0.5), p95_ms: at(0.95) }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    pack: String,
    model: String,
    stages: stages::Report,
    decision: decision::Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<reference::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<daemon::Report>,
}

pub fn run(context: &Context, args: Args) -> Result<Answer> {
    let pack = Pack::open(&args.models, &args.pack)?;
    let photo = intake::decode(&read_file(&args.photo)?, &intake::Limits::default())
        .map_err(|error| error.within(&args.photo.display().to_string()))?;
    if photo.width() < 64 || photo.height() < 64 {
        return Err(Error::new(Kind::ImageUndecodable, format!("{} is too small", args.photo.display())));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let stages = stages::measure(context.out, &pack, &args)?;
    let reference = args.reference.as_deref().map(|program| reference::measure(program, &pack)).transpose()?;
    let daemon = (args.faces > 0).then(|| daemon::measure(context.out, &args)).transpose()?;
    let decision = decision::measure(&clock)?;
    let model = pack.manifest().recogniser.id.clone().unwrap_or_default();
    let report = Report { pack: args.pack, model, stages, decision, reference, daemon };
    context.out.result(&report, words);
    Ok(Answer::Yes)
}

fn words(report: &Report) -> String {
    let stages = &report.stages;
    let mut lines = vec![
        format!("pack '{}', model {}, {}, {} frames", report.pack, report.model, stages.frame, stages.frames),
        format!("  {:<30} {:>10} {:>10}", "one thread, ms", "median", "p95"),
    ];
    let mut row = |name: &str, times: &Times| {
        lines.push(format!("  {name:<30} {:>10.2} {:>10.2}", times.median_ms, times.p95_ms));
    };
    for (name, times) in &stages.stages {
        row(name, times);
    }
    row("networks together", &stages.networks);
    row("all that is no network", &stages.around);
    row("frame to relay edge", &stages.frame_to_edge);
    lines.push(format!(
        "  frame to relay edge / networks: {:.3} (medians; promised: at most 1.15)",
        stages.edge_over_networks
    ));
    lines.push(format!("  all that is no network: {:.2} ms (promised: at most 5)", stages.around.median_ms));
    for threads in &stages.threads {
        lines.push(format!(
            "  {} thread{}: {:.1} frames a second, {:.2} ms a frame (p95 {:.2})",
            threads.threads,
            if threads.threads == 1 { "" } else { "s" },
            threads.frames_per_second,
            threads.frame.median_ms,
            threads.frame.p95_ms
        ));
    }
    let decision = &report.decision;
    lines.push(format!(
        "decision to relay edge, {} rules and {} subjects, {} grants: median {:.3} ms, p99 {:.3} ms: {:.2} times the \
         promised 1 ms",
        decision.rules,
        decision.subjects,
        decision.grants,
        decision.median_ms,
        decision.p99_ms,
        decision.p99_over_promised
    ));
    if let Some(reference) = &report.reference {
        lines.push(format!("against {} (one thread, taking turns):", reference.reference));
        for network in &reference.networks {
            lines.push(format!(
                "  {:<30} {:>7.2} ms, there {:>7.2} ms: {:.2} times",
                network.file, network.ours.median_ms, network.theirs.median_ms, network.ratio
            ));
        }
        lines.push(format!("  {DIM}promised of the recogniser: at most 1.6 times{DIM:#}"));
    }
    if let Some(daemon) = &report.daemon {
        lines.push(format!("a daemon with {} faces enrolled:", daemon.faces));
        lines.push(format!("  ready after {:.2} s (promised: 2)", daemon.ready_s));
        lines.push(format!("  {:.0} MB resident (promised: under 200)", daemon.resident_mb));
        lines.push(format!(
            "  nobody in view, {} frames a second: {:.1} % of a core (promised: under 15), the gate let {} of {} frames through",
            daemon.idle_fps, daemon.idle_core_percent, daemon.idle_searched, daemon.idle_frames
        ));
    }
    lines.join("\n")
}
