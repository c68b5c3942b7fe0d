//! What `evaluate` and `calibrate` have in common: a folder of labelled faces, the pack, and how the work is done.

use std::{
    collections::HashSet,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    thread,
};

use super::super::Context;
use crate::{
    config::Config,
    error::{Context as _, Kind, Result},
    vision::{
        engine::Networks,
        evaluate::{self, Measured, Options},
        models::{Calibration, Pack},
    },
};

#[derive(Debug, clap::Args)]
pub struct Pictures {
    /// The pack; else the configured one.
    #[arg(long)]
    pack: Option<String>,
    /// How many threads [default: one a processor].
    #[arg(long)]
    threads: Option<usize>,
    /// Only pictures whose file names stand in this file, one or several a line, as in a list of pairs; all are compared with all.
    #[arg(long, value_name = "FILE")]
    named_in: Option<PathBuf>,
    /// Only these lines of that file, counted from 1; the first fold of LFW's pairs is 1-600 after a headline: 2-601.
    #[arg(long, value_name = "FROM-TO", requires = "named_in", value_parser = lines)]
    lines: Option<RangeInclusive<usize>>,
    /// Keep what each picture gives in this file, and go on from it where a run was interrupted. It holds templates, which are
    /// biometric data: only you may read it; delete it when you are done.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
}

fn lines(text: &str) -> std::result::Result<RangeInclusive<usize>, String> {
    let range = text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?));
    range
        .filter(|range| *range.start() > 0 && !range.is_empty())
        .ok_or_else(|| "takes two numbers of lines, as in 2-601".into())
}

/// The text of a file that was named.
pub fn text_of(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).context(Kind::NotFound, || format!("cannot read {}", file.display()))
}

/// The words of those lines of a file.
fn words_of(file: &Path, lines: Option<&RangeInclusive<usize>>) -> Result<HashSet<String>> {
    let text = text_of(file)?;
    let named = text.lines().enumerate().filter(|(at, _)| lines.is_none_or(|lines| lines.contains(&(at + 1))));
    Ok(named.flat_map(|(_, line)| line.split(['\t', ',', ' '])).map(str::to_owned).collect())
}

impl Pictures {
    /// How many threads there are to be.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
    }

    /// The pack that was named here, else in the arguments, else in the configuration.
    pub fn pack(&self, config: &Config, named: Option<&str>) -> Result<Pack> {
        Pack::open(&config.models.dir, named.or(self.pack.as_deref()).unwrap_or(&config.models.pack))
    }

    /// The networks of a pack, else of the one that was named, else of the configured one; and its scale, where it has one.
    pub fn networks(&self, config: &Config, pack: Option<&str>) -> Result<(Networks, Option<Calibration>)> {
        let pack = self.pack(config, pack)?;
        Ok((Networks::load(&pack)?, pack.manifest().recogniser.calibration.clone()))
    }

    /// What these arguments say, and what else is as usual.
    pub fn options(&self, config: &Config) -> Result<Options> {
        Ok(Options {
            among: self.named_in.as_deref().map(|file| words_of(file, self.lines.as_ref())).transpose()?,
            quality: config.api.recognition.quality.clone(),
            resume: self.resume.clone(),
            threads: self.threads(),
            ..Options::default()
        })
    }

    /// Measures, with a bar that counts pictures.
    pub fn measure(
        &self,
        context: &Context,
        networks: &Networks,
        folder: &Path,
        options: &Options,
        what: &'static str,
    ) -> Result<Measured> {
        let bar = context.out.progress(0, what);
        let measured = evaluate::measure(networks, folder, options, |all| {
            bar.set_length(all as u64);
            bar.inc(1);
        })?;
        bar.finish_and_clear();
        if let Some(file) = &self.resume {
            context
                .out
                .aside(format!("{} holds templates of these people: delete it when you are done", file.display()));
        }
        Ok(measured)
    }
}
