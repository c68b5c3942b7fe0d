//! The `facegate` command: see [`facegate::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    facegate::cli::main()
}
