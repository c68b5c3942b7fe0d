//! What packages are made with: man pages and completions, from the command line's own definition.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Answer, Cli};
use crate::error::{Context, Kind, Result};

#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The folder to write them to.
    folder: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Writes facegate.1 and a page for each subcommand, facegate-run.1 and so on.
pub fn man(args: &ManArgs) -> Result<Answer> {
    let failed = || format!("the man pages cannot be written to {}", args.folder.display());
    std::fs::create_dir_all(&args.folder).context(Kind::Io, failed)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).context(Kind::Io, failed)?;
    Ok(Answer::Yes)
}

/// Prints a shell's completions.
pub fn completions(args: &CompletionsArgs) -> Result<Answer> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "facegate", &mut text);
    std::io::Write::write_all(&mut std::io::stdout(), &text)
        .context(Kind::Io, || "the completions cannot be printed")?;
    Ok(Answer::Yes)
}
