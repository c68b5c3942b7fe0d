//! The command line: one file a subcommand, each with its arguments and its `run`.
//!
//! Exit statuses: 0, done and the answer is yes; 1, done and the answer is no (nobody found, not verified, `check` found
//! something to mend); else one of `sysexits.h`, from the table in [`crate::error`].

mod access;
mod bench;
mod calibrate;
mod check;
mod client;
mod config;
mod demo;
mod door;
mod evaluate;
mod fleet;
mod gallery;
mod generate;
mod gpio;
mod journal;
mod keys;
mod logging;
mod models;
mod openapi;
mod output;
mod pad;
mod pulse;
mod rest;
mod run;
mod setup;
mod tenants;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
pub use output::Output;

use crate::{
    config::Config,
    error::{Kind, Result},
};

/// A door controller that recognises faces.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_HELP)]
struct Cli {
    /// The configuration file [default: /etc/facegate/facegate.toml where there is one, else facegate.toml].
    #[arg(long, short, global = true, env = "FACEGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print results as JSON for machines, one document or one line an item.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

const EXIT_HELP: &str = "Exit status: 0 done, and yes; 1 done, and no (no match, not verified, not let in, a finding of check); \
64 wrong usage; 65 an image that cannot be used; 66 no such subject, embedding or file; 69 a network, camera or lock \
that cannot be used; 70 a defect of facegate; 74 storage; 75 try again; 77 not allowed; 78 configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Set up a board's first door: camera, lock, configuration, first key, service.
    Setup(setup::Args),
    /// Run the door: camera, recognition, lock and REST API, until SIGTERM.
    Run(run::Args),
    /// Show a door opening for an enrolled face and staying shut for a stranger, on a replayed camera.
    Demo(demo::Args),
    /// Enrol a face from one or several photographs.
    Enroll(gallery::EnrollArgs),
    /// Find out who is on a photograph.
    Search(gallery::SearchArgs),
    /// Find out whether a photograph shows a given subject.
    Verify(gallery::VerifyArgs),
    /// List what is enrolled.
    List(gallery::ListArgs),
    /// Delete an embedding, a subject or everything of a tenant.
    Delete(gallery::DeleteArgs),
    /// Say who may pass which door and when, who is where, and why somebody would be let in.
    #[command(subcommand)]
    Access(access::Command),
    /// Ask the running daemon how its doors are, and command them: unlock, hold, lock down, release.
    #[command(subcommand)]
    Door(door::Command),
    /// Run a site of many doors: let new ones join, see how all are, command them, watch what happens.
    #[command(subcommand)]
    Fleet(fleet::Command),
    /// Make, list, rotate and revoke keys of the REST API.
    #[command(subcommand)]
    Keys(keys::Command),
    /// List, make, limit and delete tenants.
    #[command(subcommand)]
    Tenants(tenants::Command),
    /// Show the model packs and what they agree to.
    #[command(subcommand)]
    Models(models::Command),
    /// Print the OpenAPI document of the REST API, in JSON.
    Openapi,
    /// Check configuration, networks, camera, lock and store, and say what to do about every finding.
    Check(check::Args),
    /// Put every lock at rest, where no daemon runs: what a service manager calls after the daemon's end.
    Rest(rest::Args),
    /// Test the wiring of a GPIO chip: list its lines, watch inputs, pulse an output.
    #[command(subcommand)]
    Gpio(gpio::Command),
    /// Write man pages for a package.
    #[command(hide = true)]
    Man(generate::ManArgs),
    /// Print completions for a shell.
    #[command(hide = true)]
    Completions(generate::CompletionsArgs),
    /// Started by `run`: puts the locks at rest where the daemon dies or hangs.
    #[command(hide = true)]
    Guard,
    /// Started by `setup`: moves a relay for a moment, and puts it at rest though `setup` was ended.
    #[command(hide = true, name = pulse::COMMAND)]
    MoveRelay(pulse::Args),
    /// Show, verify or export the record of decisions, commands and calls.
    #[command(subcommand, visible_alias = "audit")]
    Journal(journal::Command),
    /// Measure the speed of every stage.
    Bench(bench::Args),
    /// Measure error rates over a folder of labelled faces.
    Evaluate(evaluate::Args),
    /// Measures what a pack's similarities mean over a folder of labelled faces, and writes it into the pack's manifest.
    Calibrate(calibrate::Args),
    /// Print the configuration in force, or a commented example.
    #[command(subcommand)]
    Config(config::Command),
}

/// What every subcommand is given.
pub struct Context {
    config: Option<PathBuf>,
    /// Where results go.
    pub out: Output,
}

impl Context {
    /// The file that holds the configuration.
    fn config_path(&self) -> PathBuf {
        let installed = PathBuf::from("/etc/facegate/facegate.toml");
        self.config.clone().unwrap_or_else(|| if installed.exists() { installed } else { "facegate.toml".into() })
    }

    /// Reads the configuration.
    fn load(&self) -> Result<Config> {
        Config::load(&self.config_path())
    }
}

/// Parses the command line, runs it, tells what went wrong and gives the exit status.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Printing can only fail where nobody reads.
            let _ = error.print();
            let asked_for = !error.use_stderr();
            return ExitCode::from(if asked_for { 0 } else { Kind::InvalidField.exit_status() });
        }
    };
    let context = Context { config: cli.config, out: Output::new(cli.json) };
    let done = match cli.command {
        Command::Setup(args) => setup::run(&context, args),
        Command::Run(args) => run::run(&context, args),
        Command::Demo(args) => demo::run(&context, args),
        Command::Enroll(args) => gallery::enroll(&context, args),
        Command::Search(args) => gallery::search(&context, args),
        Command::Verify(args) => gallery::verify(&context, args),
        Command::List(args) => gallery::list(&context, args),
        Command::Delete(args) => gallery::delete(&context, args),
        Command::Access(command) => access::run(&context, command),
        Command::Door(command) => door::run(&context, command),
        Command::Keys(command) => keys::run(&context, command),
        Command::Fleet(command) => fleet::run(&context, command),
        Command::Tenants(command) => tenants::run(&context, command),
        Command::Models(command) => models::run(&context, command),
        Command::Openapi => openapi::run(&context),
        Command::Check(args) => check::run(&context, args),
        Command::Rest(args) => rest::run(&context, args),
        Command::Gpio(command) => gpio::run(&context, command),
        Command::Man(args) => generate::man(&args),
        Command::Completions(args) => generate::completions(&args),
        Command::MoveRelay(args) => pulse::run(&args),
        Command::Guard => crate::guard::guard().map(|()| Answer::Yes),
        Command::Journal(command) => journal::run(&context, command),
        Command::Bench(args) => bench::run(&context, args),
        Command::Evaluate(args) => evaluate::run(&context, args),
        Command::Calibrate(args) => calibrate::run(&context, args),
        Command::Config(command) => config::run(&context, command),
    };
    match done {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(error) => {
            context.out.error(&error);
            ExitCode::from(error.kind().exit_status())
        }
    }
}

/// Whether a command that was carried out answers yes or no; the exit status says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
