//! The command line of the tools. Exit statuses: 0, everything asked for is there; 1, something is not; 2, the arguments
//! cannot be understood.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use facegate_models::convert::Make;
use facegate_models::error::{Context, Error, Result};
use facegate_models::fetch::Fetcher;
use facegate_models::identity::Identity;

/// Fetches facegate's networks and makes them from the files as they are published.
///
/// Exit status: 0, everything asked for is there; 1, something is not; 2, the arguments cannot be understood.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Obtain packs: from a folder of this machine, or by npm, pip and git from where they were published
    Fetch(Fetch),
    /// Make what the daemon loads from a published file, and print what a manifest says of it
    Convert {
        /// How it is made
        make: Make,
        /// The file as published
        from: PathBuf,
        /// The file to write
        to: PathBuf,
    },
    /// Write man pages for a package
    #[command(hide = true)]
    Man {
        /// The folder to write them to
        folder: PathBuf,
    },
}

/// Files that are there and right are left alone, so a run that was stopped goes on where it was.
///
/// What is downloaded is kept in ~/.cache/facegate/downloads (or under XDG_CACHE_HOME). Files under the folders that
/// FACEGATE_MODELS and FACEGATE_EVAL name (several are separated by colons) are taken before anything is downloaded: any
/// file of the right size and SHA-256 counts, whatever its name.
#[derive(clap::Args)]
struct Fetch {
    /// Packs to obtain; without any, starter
    packs: Vec<String>,
    /// A pack that may fail without failing the whole; may be given several times
    #[arg(long, value_name = "PACK")]
    optional: Vec<String>,
    /// A folder whose files are taken before anything is downloaded; may be given several times
    #[arg(long, value_name = "FOLDER")]
    from: Vec<PathBuf>,
    /// The folder that holds one folder a pack: `models` where there is one, else that of the Debian package
    #[arg(long, value_name = "FOLDER", env = "FACEGATE_MODELS_DIR", default_value_os_t = models_here())]
    models: PathBuf,
    /// Only look whether everything is there and right
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Subcommands::Fetch(arguments) => fetch(arguments),
        Subcommands::Convert { make, from, to } => convert(make, &from, &to).map(|()| true),
        Subcommands::Man { folder } => man(&folder).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain("", &error);
            ExitCode::FAILURE
        }
    }
}

fn models_here() -> PathBuf {
    let (here, packaged) = (PathBuf::from("models"), PathBuf::from("/var/lib/facegate/models"));
    if here.is_dir() || !packaged.is_dir() { here } else { packaged }
}

fn man(folder: &Path) -> Result<()> {
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Arguments::command(), folder));
    written.context(|| format!("the man pages cannot be written to {}", folder.display()))
}

fn complain(place: &str, error: &Error) {
    eprintln!("{place}{error}");
    if let Some(advice) = error.advice() {
        eprintln!("  what to do: {advice}");
    }
}

/// Whether every pack that must be there is.
fn fetch(arguments: Fetch) -> Result<bool> {
    let mut packs = arguments.packs;
    packs.extend(arguments.optional.iter().cloned());
    if packs.is_empty() {
        packs.push("starter".into());
    }
    let mut seen = Vec::new();
    packs.retain(|pack| {
        !seen.contains(pack) && {
            seen.push(pack.clone());
            true
        }
    });
    let mut from = arguments.from;
    for name in ["FACEGATE_MODELS", "FACEGATE_EVAL"] {
        let folders = std::env::var_os(name).unwrap_or_default();
        from.extend(std::env::split_paths(&folders).filter(|folder| !folder.as_os_str().is_empty()));
    }
    let mut fetcher = Fetcher::new(arguments.models, from, cache())?;
    let mut all = true;
    for pack in &packs {
        let done = if arguments.check { fetcher.check(pack) } else { fetcher.fetch(pack) };
        match done {
            Ok(()) => eprintln!("{pack}: complete"),
            Err(error) if arguments.optional.contains(pack) => {
                complain(&format!("{pack}: "), &error);
                eprintln!("{pack}: not complete; going on without it");
            }
            Err(error) => {
                complain(&format!("{pack}: "), &error);
                all = false;
            }
        }
    }
    Ok(all)
}

/// Where downloads are kept, if there is a home for them.
fn cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    caches.map(|caches| caches.join("facegate/downloads"))
}

fn convert(make: Make, from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let original = std::fs::read(from).context(|| format!("cannot read {}", from.display()))?;
    let made = make.run(&original).map_err(|error| error.within(&from.display().to_string()))?;
    std::fs::write(to, &made).context(|| format!("cannot write {}", to.display()))?;
    for (what, bytes) in [("the published file", &original), ("what was made", &made)] {
        let Identity { bytes, sha256 } = Identity::of(bytes);
        println!("# {what}\nbytes = {bytes}\nsha256 = \"{sha256}\"");
    }
    Ok(())
}
