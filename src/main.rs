//! The `facegate` command: see [`facegate::cli`].

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    facegate::cli::main()
}
