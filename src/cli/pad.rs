//! `facegate evaluate --pad`: how often pictures of people pass for people, and people for pictures.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Answer, Context};
use crate::{
    access::Policy,
    error::Result,
    vision::{
        engine::Engine,
        pad::{self, Group, Options},
    },
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Judge liveness instead (presentation attack detection): FOLDER holds `live/` and a folder for each kind of attack, in them a
    /// folder of frames for each track.
    #[arg(long)]
    pub pad: bool,
    /// First make attacks into FOLDER, from the photographs of this folder.
    #[arg(long, value_name = "PHOTOGRAPHS", requires = "pad")]
    make_from: Option<PathBuf>,
    /// The least liveness that counts, 0 to 1 [default: a door's].
    #[arg(long, requires = "pad")]
    least_liveness: Option<f32>,
    /// Of how many frames at least [default: a door's].
    #[arg(long, requires = "pad")]
    least_frames: Option<u32>,
}

pub fn run(context: &Context, engine: &Arc<Engine>, folder: &Path, threads: usize, args: &Args) -> Result<Answer> {
    if let Some(photographs) = &args.make_from {
        let total = std::fs::read_dir(photographs).map_or(0, Iterator::count);
        let bar = context.out.progress(total as u64, "making attacks");
        let made = pad::make(engine, photographs, folder, || bar.inc(1))?;
        bar.finish_and_clear();
        context.out.result(&made, |made| {
            format!("made {} tracks of {} photographs, {} left out", made.tracks, made.photographs, made.left_out)
        });
    }
    let door = Policy::default();
    let options = Options {
        threshold: args.least_liveness.unwrap_or(door.liveness_threshold),
        frames: args.least_frames.unwrap_or(door.liveness_frames),
        threads,
    };
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let total: usize = entries(folder).map(|kind| entries(&kind).count()).sum();
    let bar = context.out.progress(total as u64, "judging");
    let report = pad::evaluate(engine, folder, &options, || bar.inc(1))?;
    bar.finish_and_clear();
    context.out.result(&report, |report| {
        let mut lines = vec![format!(
            "accepted from liveness {} over {} frames on; {} frames unreadable",
            report.threshold, report.frames, report.unreadable
        )];
        lines.extend(report.live.iter().map(|group| describe("BPCER", group)));
        lines.extend(report.attacks.iter().map(|group| describe("APCER", group)));
        lines.join("\n")
    });
    Ok(Answer::Yes)
}

fn describe(rate: &str, group: &Group) -> String {
    let percent = |share: f64| 100.0 * share;
    let against: Vec<_> = group.against.iter().map(|(cue, tracks)| format!("{cue} {tracks}")).collect();
    format!(
        "  {}: {rate} {:.1} % (95 %: {:.1} to {:.1} %) of {} tracks, {} without a face; against it: {}",
        group.kind,
        percent(group.rate),
        percent(group.interval[0]),
        percent(group.interval[1]),
        group.tracks,
        group.no_response,
        if against.is_empty() { "nothing".into() } else { against.join(", ") }
    )
}
