//! `facegate config`: the configuration in force, or an example to begin with.

use super::{Answer, Context};
use crate::{config::EXAMPLE, error::Result};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print every value as it is in force: file, environment and defaults together.
    Show,
    /// Print a commented example with every key at its default.
    Example,
}

pub fn run(context: &Context, command: Command) -> Result<Answer> {
    match command {
        Command::Show => {
            let config = context.load()?;
            let text = config.to_toml()?;
            context.out.result(&config, |_| text.trim_end().to_owned());
        }
        Command::Example => context.out.say(EXAMPLE.trim_end()),
    }
    Ok(Answer::Yes)
}
