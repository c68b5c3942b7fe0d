//! `facegate models`: which packs there are, and how far their int8 networks agree with the published floats.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Answer, Context,
    output::{BAD, DIM, GOOD, WARN},
};
use crate::{
    error::Result,
    vision::{
        agreement,
        models::{self, Pack},
    },
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the packs, their networks' licences and whether their files are there and right.
    List,
    /// Compare a pack's recogniser with another version of it, on a folder of aligned or whole faces.
    Agreement {
        /// The pack.
        pack: String,
        /// The other version: an ONNX file with the same input, such as the published float network.
        #[arg(long, value_name = "FILE")]
        with: PathBuf,
        /// A folder of pictures.
        folder: PathBuf,
    },
}

pub fn run(context: &Context, command: Command) -> Result<Answer> {
    let models = context.load()?.models;
    match command {
        Command::List => {
            let mut answer = Answer::Yes;
            for name in models::list(&models.dir)? {
                let opened = Pack::open(&models.dir, &name);
                let problem = opened.as_ref().err().map(ToString::to_string);
                if problem.is_some() && name == models.pack {
                    answer = Answer::No;
                }
                let in_use = name == models.pack;
                match Pack::describe(&models.dir, &name) {
                    Ok(pack) => context.out.result(
                        &json!({ "name": name, "in_use": in_use, "problem": problem, "manifest": pack.manifest() }),
                        |_| describe(&pack, in_use, problem.as_deref()),
                    ),
                    Err(_) => {
                        context.out.result(&json!({ "name": name, "in_use": in_use, "problem": problem }), |_| {
                            format!("{name}: {BAD}{}{BAD:#}", problem.as_deref().unwrap_or_default())
                        })
                    }
                }
            }
            Ok(answer)
        }
        Command::Agreement { pack, with, folder } => {
            let pack = Pack::open(&models.dir, &pack)?;
            let bar = context.out.progress(0, "comparing");
            let found = agreement::compare(&pack, &with, &folder, |done, all| {
                bar.set_length(all);
                bar.set_position(done);
            })?;
            bar.finish_and_clear();
            context.out.result(&found, |found| {
                format!(
                    "{} pictures: mean cosine {:.5}, lowest {:.5}\nsize on disk {} bytes, {:.0} % of the other's {}",
                    found.images,
                    found.mean_cosine,
                    found.lowest_cosine,
                    found.bytes,
                    100.0 * found.bytes as f64 / found.other_bytes as f64,
                    found.other_bytes
                )
            });
            Ok(Answer::Yes)
        }
    }
}

fn describe(pack: &Pack, in_use: bool, problem: Option<&str>) -> String {
    let manifest = pack.manifest();
    let mut lines = vec![format!(
        "{GOOD}{}{GOOD:#}{} — {}",
        manifest.name,
        if in_use { " (in use)" } else { "" },
        manifest.summary
    )];
    for part in manifest.parts() {
        lines.push(format!(
            "  {:<22} {:>9} bytes  {}  {DIM}{}{DIM:#}",
            part.file, part.bytes, part.licence, part.origin
        ));
        if !part.caveats.is_empty() {
            lines.push(format!("  {WARN}{:<22}{WARN:#} {}", "", part.caveats));
        }
    }
    lines.push(match problem {
        None => format!("  {GOOD}all files are there and have the manifest's hashes{GOOD:#}"),
        Some(problem) => format!("  {BAD}{problem}{BAD:#}"),
    });
    lines.join("\n")
}
