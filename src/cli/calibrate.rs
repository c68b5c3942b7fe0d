//! `facegate calibrate`: a pack's similarity scale, measured over a folder of labelled faces and written into its manifest.

use std::{path::PathBuf, thread};

use super::{Answer, Context};
use crate::{
    error::{Context as _, Error, Kind, Result},
    vision::{
        engine::Engine,
        evaluate::{self, Options, Report},
        models::{AtThreshold, Calibration, Manifest, Pack},
    },
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of pictures called Name_0001.jpg, as LFW's are, or of folders named after people: several pictures of some.
    folder: PathBuf,
    /// What these pictures are, for people: it stands beside the figures.
    #[arg(long)]
    data: String,
    /// The pack; else the configured one.
    #[arg(long)]
    pack: Option<String>,
    /// How many threads [default: one a processor].
    #[arg(long)]
    threads: Option<usize>,
    /// Write it into the pack's manifest; else it is only shown.
    #[arg(long)]
    write: bool,
}

/// The rate that similarity 0.6 stands for.
const ANCHOR: f64 = 1e-4;

pub fn run(context: &Context, args: Args) -> Result<Answer> {
    let models = context.load()?.models;
    let name = args.pack.as_deref().unwrap_or(&models.pack);
    let engine = Engine::load(&Pack::open(&models.dir, name)?)?;
    let threads = args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let bar = context.out.progress(std::fs::read_dir(&args.folder).map_or(0, Iterator::count) as u64, "calibrating");
    let options = Options { threads, ..Options::default() };
    let measured = evaluate::measure(&engine, &args.folder, &options, || bar.inc(1))?;
    bar.finish_and_clear();
    let scale = fit(measured.report(engine.calibration()), args.data)?;
    // The thresholds are those of the new scale.
    let scale = Calibration { thresholds: measured.report(&scale).thresholds, ..scale };
    let section = section(&scale);
    if args.write {
        let file = models.dir.join(name).join("manifest.toml");
        let text = std::fs::read_to_string(&file).context(Kind::Model, || format!("cannot read {}", file.display()))?;
        let text = with_section(&text, &section);
        Manifest::parse(&text, &file.display().to_string())?;
        let whole = file.with_extension("toml.new");
        std::fs::write(&whole, text)
            .and_then(|()| std::fs::rename(&whole, &file))
            .context(Kind::Model, || format!("cannot write {}", file.display()))?;
    }
    context.out.result(&scale, |_| section.trim_end().to_owned());
    Ok(Answer::Yes)
}

/// The scale that the report gives.
///
/// # Errors
/// [`Kind::NotFound`] where there are too few pictures to tell the rate that the scale hangs on.
fn fit(report: Report, data: String) -> Result<Calibration> {
    let anchor = report.rates.iter().find(|rate| rate.fmr == ANCHOR && rate.false_matches >= 10);
    let anchor = anchor.filter(|rate| rate.cosine > 0.0 && rate.cosine < 1.0).ok_or_else(|| {
        let pairs = report.impostor_pairs;
        Error::new(Kind::NotFound, format!("{pairs} pairs of different people are too few to calibrate by"))
            .help("50,000 or more are needed: photographs of some 320 people")
    })?;
    // Rounded as they are written, so that what is shown is what is stored.
    let rounded = |value: f32| (value * 1e4).ceil() / 1e4;
    let mut points = report.rates.clone();
    points.iter_mut().for_each(|point| point.cosine = rounded(point.cosine));
    points.dedup_by(|next, point| next.cosine <= point.cosine);
    Ok(Calibration {
        fmr: ANCHOR,
        cosine: rounded(anchor.cosine),
        data,
        date: Some(jiff::Zoned::now().date().to_string()),
        genuine_pairs: Some(report.genuine_pairs),
        impostor_pairs: Some(report.impostor_pairs),
        points,
        thresholds: Vec::new(),
    })
}

/// As it stands in a manifest.
fn section(scale: &Calibration) -> String {
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let mut lines = vec![
        "[recogniser.calibration]".to_owned(),
        "fmr = 1e-4".to_owned(),
        format!("cosine = {:.4}", scale.cosine),
        format!("data = {}", text(&scale.data)),
    ];
    lines.extend(scale.date.as_deref().map(|date| format!("date = {}", text(date))));
    lines.extend(scale.genuine_pairs.map(|pairs| format!("genuine_pairs = {pairs}")));
    lines.extend(scale.impostor_pairs.map(|pairs| format!("impostor_pairs = {pairs}")));
    lines.push("points = [".to_owned());
    lines.extend(scale.points.iter().map(|point| {
        format!(
            "  {{ fmr = {:e}, false_matches = {}, cosine = {:.4}, fnmr = {:.5}, fnmr_interval = [{:.5}, {:.5}] }},",
            point.fmr, point.false_matches, point.cosine, point.fnmr, point.fnmr_interval[0], point.fnmr_interval[1]
        )
    }));
    lines.push("]".to_owned());
    lines.push("thresholds = [".to_owned());
    lines.extend(scale.thresholds.iter().map(|AtThreshold { threshold, false_matches, fmr, fnmr }| {
        format!(
            "  {{ threshold = {threshold:.1}, false_matches = {false_matches}, fmr = {fmr:.3e}, fnmr = {fnmr:.5} }},"
        )
    }));
    lines.push("]\n".to_owned());
    lines.join("\n")
}

/// The manifest with that section in the place of the one that it has; at its end where it has none.
fn with_section(manifest: &str, section: &str) -> String {
    let head =
        |line: &str| line.trim_start().starts_with('[') && line.trim_end().ends_with(']') && !line.starts_with(' ');
    let mut before = Vec::new();
    let mut after = Vec::new();
    let mut lines = manifest.lines();
    before.extend(lines.by_ref().take_while(|line| line.trim() != "[recogniser.calibration]"));
    after.extend(lines.skip_while(|line| !head(line)));
    let before = before.join("\n");
    let parts = [before.trim_end(), section.trim_end(), &after.join("\n")];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::models::Rate;

    fn scale() -> Calibration {
        let rate = |fmr, false_matches, cosine| Rate {
            fmr,
            false_matches,
            cosine,
            fnmr: 0.0123,
            fnmr_interval: [0.001, 0.02],
        };
        Calibration {
            fmr: 1e-4,
            cosine: 0.2891,
            data: "faces, \"ours\"".into(),
            date: Some("2026-11-24".into()),
            genuine_pairs: Some(7),
            impostor_pairs: Some(100_000),
            points: vec![rate(1e-3, 100, 0.24), rate(1e-4, 10, 0.2891)],
            thresholds: vec![AtThreshold { threshold: 0.6, false_matches: 10, fmr: 1e-4, fnmr: 0.0123 }],
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_changes() {
        for pack in ["door", "starter"] {
            let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(pack).join("manifest.toml");
            let text = std::fs::read_to_string(file).unwrap();
            let old = Manifest::parse(&text, "old").unwrap();
            let written = with_section(&text, &section(&scale()));
            let new = Manifest::parse(&written, "new").unwrap();
            assert_eq!(new.recogniser.calibration, Some(scale()));
            let without = |mut manifest: Manifest| {
                manifest.recogniser.calibration = None;
                toml::to_string(&manifest).unwrap()
            };
            assert_eq!(without(new), without(old));
            // The sources, which the daemon does not read, are all there, and so are the comments.
            for mark in ["[[source]]", "#"] {
                assert_eq!(written.matches(mark).count(), text.matches(mark).count());
            }
            assert_eq!(with_section(&written, &section(&scale())), written);
        }
    }
}
