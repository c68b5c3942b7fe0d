//! `facegate evaluate`: error rates over a folder of labelled faces.

use std::{path::PathBuf, thread};

use super::{Answer, Context};
use crate::{
    error::Result,
    vision::{engine::Engine, evaluate, models::Pack},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of pictures called Name_0001.jpg, as LFW's are: several of some people.
    folder: PathBuf,
    /// The pack; else the configured one.
    #[arg(long)]
    pack: Option<String>,
    /// How many threads [default: one a processor].
    #[arg(long)]
    threads: Option<usize>,
}

pub fn run(context: &Context, args: Args) -> Result<Answer> {
    let models = context.load()?.models;
    let engine = Engine::load(&Pack::open(&models.dir, args.pack.as_deref().unwrap_or(&models.pack))?)?;
    let threads = args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let total = std::fs::read_dir(&args.folder).map_or(0, Iterator::count) as u64;
    let bar = context.out.progress(total, "evaluating");
    let report = evaluate::evaluate(&engine, &args.folder, threads, || bar.inc(1))?;
    bar.finish_and_clear();
    context.out.result(&report, |report| {
        let mut lines = vec![format!(
            "{}: {} pictures of {} people ({} unreadable, {} without a face), {} genuine and {} impostor pairs",
            report.model,
            report.images,
            report.subjects,
            report.unreadable,
            report.without_face,
            report.genuine_pairs,
            report.impostor_pairs
        )];
        lines.extend(report.rates.iter().map(|rate| {
            format!(
                "  FMR {:.0e}: FNMR {:.2} % (95 %: {:.2} to {:.2} %) at cosine {:.3}, similarity {:.3}",
                rate.fmr,
                100.0 * rate.fnmr,
                100.0 * rate.fnmr_interval[0],
                100.0 * rate.fnmr_interval[1],
                rate.cosine,
                engine.calibration().similarity(rate.cosine)
            )
        }));
        lines.join("\n")
    });
    Ok(Answer::Yes)
}
