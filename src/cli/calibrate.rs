//! `facegate calibrate`: a pack's similarity scale, measured over a folder of labelled faces and written into its manifest.

use std::path::PathBuf;

use super::{Answer, Context, evaluate::pictures::Pictures};
use crate::{
    error::{Context as _, Kind, Result},
    vision::{
        evaluate::Options,
        models::{AtThreshold, Calibration, Manifest},
        template::Purpose,
    },
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of pictures called Name_0001.jpg, as LFW's are, or of folders named after people: several pictures of some.
    folder: PathBuf,
    /// What these pictures are, for people: it stands beside the figures.
    #[arg(long)]
    data: String,
    #[command(flatten)]
    pictures: Pictures,
    /// Write it into the pack's manifest; else it is only shown.
    #[arg(long)]
    write: bool,
}

pub fn run(context: &Context, args: Args) -> Result<Answer> {
    let config = context.load()?;
    let (networks, _) = args.pictures.networks(&config, None)?;
    let options = args.pictures.options(&config)?;
    let measured = args.pictures.measure(context, &networks, &args.folder, &options, "calibrating")?;
    // Beside the result, which may be read by a machine; also where it comes to none.
    measured.notes().iter().for_each(|note| context.out.aside(format!("note: {note}")));
    let date = jiff::Zoned::now().date().to_string();
    let scale = Calibration { data: args.data, date: Some(date), ..measured.scale()? };
    // A door looks once where a photograph may be looked at twice: the same thresholds mean something else there.
    let frames = if networks.looks(Purpose::Frame) == networks.looks(options.probe) {
        scale.thresholds.clone()
    } else {
        let options = Options { probe: Purpose::Frame, ..options };
        let framed =
            args.pictures.measure(context, &networks, &args.folder, &options, "calibrating a door's frames")?;
        framed.at_thresholds(&scale)
    };
    let scale = Calibration { frames, ..scale };
    let section = section(&scale);
    if args.write {
        let file = config.models.dir.join(&networks.identity().pack).join("manifest.toml");
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
    lines.extend(
        scale
            .measured_to
            .map(|fmr| format!("measured_to = {} # below, fewer than ten false matches: extrapolated", plain(fmr))),
    );
    lines.extend(scale.extrapolated_to.map(|fmr| format!("extrapolated_to = {} # below, a guess", plain(fmr))));
    lines.push("points = [".to_owned());
    lines.extend(scale.points.iter().map(|point| {
        format!(
            "  {{ fmr = {:e}, false_matches = {}, cosine = {:.4}, fnmr = {:.5}, fnmr_interval = [{:.5}, {:.5}] }},",
            point.fmr, point.false_matches, point.cosine, point.fnmr, point.fnmr_interval[0], point.fnmr_interval[1]
        )
    }));
    lines.push("]".to_owned());
    for (key, rates) in [
        ("thresholds = [ # of a photograph that is looked for", &scale.thresholds),
        ("frames = [ # of a door's single frame", &scale.frames),
    ] {
        lines.push(key.to_owned());
        lines.extend(rates.iter().map(|AtThreshold { threshold, false_matches, fmr, fnmr }| {
            format!(
                "  {{ threshold = {threshold:.1}, false_matches = {false_matches}, fmr = {fmr:.3e}, fnmr = {fnmr:.5} }},"
            )
        }));
        lines.push("]".to_owned());
    }
    lines.join("\n") + "\n"
}

/// A rate without the digits that a division leaves behind.
fn plain(fmr: f64) -> String {
    let rounded: f64 = format!("{fmr:.8e}").parse().unwrap_or(fmr);
    format!("{rounded:e}")
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
            measured_to: Some(1e-4),
            extrapolated_to: Some(1e-5),
            points: vec![rate(1e-3, 100, 0.24), rate(1e-4, 10, 0.2891)],
            thresholds: vec![AtThreshold { threshold: 0.6, false_matches: 10, fmr: 1e-4, fnmr: 0.0123 }],
            frames: vec![AtThreshold { threshold: 0.6, false_matches: 9, fmr: 9e-5, fnmr: 0.0234 }],
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_changes() {
        for pack in ["door", "starter"] {
            let project = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package lies");
            let file = std::path::Path::new(&project).join("models").join(pack).join("manifest.toml");
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
            assert_eq!(with_section(&written, ""), with_section(&text, ""));
            assert!(with_section(&text, "").contains("[[source]]"));
            assert_eq!(with_section(&written, &section(&scale())), written);
        }
    }

    #[test]
    fn a_rate_is_written_as_a_person_would() {
        assert_eq!([1e-5, 1e-5 / 10.0, 2.5e-7].map(plain), ["1e-5", "1e-6", "2.5e-7"]);
    }
}
