//! `facegate evaluate`: error rates over a folder of labelled faces.

use std::{
    collections::HashSet,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    thread,
};

use super::{Answer, Context, pad};
use crate::{
    error::{Context as _, Kind, Result},
    vision::{
        engine::Engine,
        evaluate::{self, Options},
        models::Pack,
        template::Purpose,
    },
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of pictures called Name_0001.jpg, as LFW's are, or of folders named after people: several pictures of some.
    folder: PathBuf,
    /// The pack; else the configured one.
    #[arg(long)]
    pack: Option<String>,
    /// How many threads [default: one a processor].
    #[arg(long)]
    threads: Option<usize>,
    /// How pictures are made into templates where they are enrolled.
    #[arg(long, value_enum, default_value = "enrolment")]
    enrolled: Purpose,
    /// How pictures are made into templates where they are looked for: "frame" is what a door does.
    #[arg(long, value_enum, default_value = "probe")]
    probe: Purpose,
    /// Only pictures whose file names stand in this file, one or several a line, as in a list of pairs.
    #[arg(long, value_name = "FILE")]
    named_in: Option<PathBuf>,
    /// Only these lines of that file, counted from 1; the first fold of LFW's pairs is 1-600 after a headline: 2-601.
    #[arg(long, value_name = "FROM-TO", requires = "named_in", value_parser = lines)]
    lines: Option<RangeInclusive<usize>>,
    #[command(flatten)]
    pad: pad::Args,
}

fn lines(text: &str) -> std::result::Result<RangeInclusive<usize>, String> {
    let range = text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?));
    range
        .filter(|range| *range.start() > 0 && !range.is_empty())
        .ok_or_else(|| "takes two numbers of lines, as in 2-601".into())
}

/// The words of those lines of a file.
fn words_of(file: &Path, lines: Option<&RangeInclusive<usize>>) -> Result<HashSet<String>> {
    let text = std::fs::read_to_string(file).context(Kind::NotFound, || format!("cannot read {}", file.display()))?;
    let named = text.lines().enumerate().filter(|(at, _)| lines.is_none_or(|lines| lines.contains(&(at + 1))));
    Ok(named.flat_map(|(_, line)| line.split(['\t', ',', ' '])).map(str::to_owned).collect())
}

pub fn run(context: &Context, args: Args) -> Result<Answer> {
    let models = context.load()?.models;
    let engine = Engine::load(&Pack::open(&models.dir, args.pack.as_deref().unwrap_or(&models.pack))?)?;
    let threads = args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    if args.pad.pad {
        return pad::run(context, &engine, &args.folder, threads, &args.pad);
    }
    let among = args.named_in.as_deref().map(|file| words_of(file, args.lines.as_ref())).transpose()?;
    let total = among.as_ref().map_or_else(|| std::fs::read_dir(&args.folder).map_or(0, Iterator::count), HashSet::len);
    let options = Options { enrolled: args.enrolled, probe: args.probe, among, threads };
    let bar = context.out.progress(total as u64, "evaluating");
    let report = evaluate::evaluate(&engine, &args.folder, &options, || bar.inc(1))?;
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
        let time = report.time;
        lines.push(format!(
            "  a picture took {:.1} ms of decoding, {:.1} of the detector, {:.1} of landmarks, {:.1} of the recogniser and {:.1} \
             around them",
            time.decode, time.detector, time.landmarks, time.recogniser, time.around
        ));
        lines.extend(report.rates.iter().map(|rate| {
            format!(
                "  FMR {:.0e} ({} false matches): FNMR {:.2} % (95 %: {:.2} to {:.2} %) at cosine {:.3}, similarity {:.3}",
                rate.fmr,
                rate.false_matches,
                100.0 * rate.fnmr,
                100.0 * rate.fnmr_interval[0],
                100.0 * rate.fnmr_interval[1],
                rate.cosine,
                engine.calibration().similarity(rate.cosine)
            )
        }));
        lines.extend(report.thresholds.iter().map(|at| {
            format!(
                "  threshold {:.1}: FMR {:.2e} ({} false matches), FNMR {:.2} %",
                at.threshold,
                at.fmr,
                at.false_matches,
                100.0 * at.fnmr
            )
        }));
        lines.extend(report.open_set.iter().map(|open| {
            format!(
                "  {} enrolled, 1 stranger in {} allowed in: {:.2} % were (of {}; draws {:.2} to {:.2} %) at threshold {:.3}; {:.2} % of the \
                 enrolled were not known",
                open.enrolled,
                open.one_in,
                100.0 * open.fpir,
                open.strangers,
                100.0 * open.fpir_range[0],
                100.0 * open.fpir_range[1],
                open.threshold,
                100.0 * open.fnir
            )
        }));
        lines.join("\n")
    });
    Ok(Answer::Yes)
}
