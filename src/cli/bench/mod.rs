//! `facegate bench`: how fast every stage is, and how a daemon with a full gallery behaves, on this machine, now.
//!
//! Each figure that is a promise is printed with what it is measured against, in the same run.

mod api;
mod board;
mod daemon;
mod decision;
mod reference;
mod search;
mod stages;

use std::{path::PathBuf, sync::Arc};

use serde::Serialize;

use self::board::Board;
use super::{Answer, Context, output::read_file};
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
    /// Faces in the gallery of the daemon that is started to measure memory, readiness, idling and the API; 0 leaves that out.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    faces: u32,
    /// One part of it alone.
    #[arg(long, value_enum)]
    only: Option<Part>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// A frame's way, stage by stage, and the networks elsewhere where there is a reference.
    Stages,
    /// From a decision to the relay's edge, through the rules of a large site.
    Decision,
    /// Searches among 1,000, 10,000 and 100,000 templates, which takes half a gigabyte of memory.
    Search,
    /// Memory, readiness and idling of a daemon with a full gallery.
    Daemon,
    /// Its REST API: calls, searches a second, listing, and the door under a flood.
    Api,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<stages::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<decision::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<Vec<search::Report>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<reference::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<daemon::Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<api::Report>,
}

pub fn run(context: &Context, args: Args) -> Result<Answer> {
    let pack = Pack::open(&args.models, &args.pack)?;
    let photo = intake::decode(&read_file(&args.photo)?, &intake::Limits::default())
        .map_err(|error| error.within(&args.photo.display().to_string()))?;
    if photo.width() < 64 || photo.height() < 64 {
        return Err(Error::new(Kind::ImageUndecodable, format!("{} is too small", args.photo.display())));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let wanted = |part| args.only.is_none_or(|only| only == part);
    let stages = wanted(Part::Stages).then(|| stages::measure(context.out, &pack, &args)).transpose()?;
    let reference = args.reference.as_deref().filter(|_| wanted(Part::Stages));
    let reference = reference.map(|program| reference::measure(program, &pack)).transpose()?;
    let daemons = args.faces > 0 && (wanted(Part::Daemon) || wanted(Part::Api));
    let board = daemons.then(|| Board::filled(context.out, &args)).transpose()?;
    let of = |part| board.as_ref().filter(|_| wanted(part));
    let daemon = of(Part::Daemon).map(|board| daemon::measure(board, args.faces)).transpose()?;
    let api = of(Part::Api).map(|board| api::measure(board, &pack, &photo, args.faces, args.frames)).transpose()?;
    let decision = wanted(Part::Decision).then(|| decision::measure(&clock)).transpose()?;
    let search = wanted(Part::Search).then(|| search::measure(args.frames)).transpose()?;
    let model = pack.manifest().recogniser.id.clone().unwrap_or_default();
    let report = Report { pack: args.pack, model, stages, decision, search, reference, daemon, api };
    context.out.result(&report, words);
    Ok(Answer::Yes)
}

fn words(report: &Report) -> String {
    let mut lines = vec![format!("pack '{}', model {}", report.pack, report.model)];
    if let Some(stages) = &report.stages {
        stages.words(&mut lines);
    }
    if let Some(decision) = &report.decision {
        decision.words(&mut lines);
    }
    if let Some(search) = &report.search {
        search::words(search, &mut lines);
    }
    if let Some(reference) = &report.reference {
        reference.words(&mut lines);
    }
    if let Some(daemon) = &report.daemon {
        daemon.words(&mut lines);
    }
    if let Some(api) = &report.api {
        api.words(&mut lines);
    }
    lines.join("\n")
}
