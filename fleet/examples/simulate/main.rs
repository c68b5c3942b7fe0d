//! `cargo run --release -p facegate-fleet --example simulate-fleet -- [--seed N] [--doors N] [--subjects N] [--changes N] [--small]`:
//! a site of many doors in simulated time, from a seed that replays. Prints what its broker has to bear. Exits with 1 where
//! the doors do not come to have the same.

mod simulation;

use std::{process::ExitCode, time::Instant};

use simulation::{Plan, simulate};

fn main() -> ExitCode {
    let mut plan = Plan::full(1);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--small" {
            plan = Plan::small(plan.seed);
            continue;
        }
        let value = arguments.next().and_then(|value| value.parse::<usize>().ok());
        match (argument.as_str(), value) {
            ("--seed", Some(value)) => plan.seed = value as u64,
            ("--doors", Some(value @ 2..)) => plan.doors = value,
            ("--subjects", Some(value @ 1..)) => plan.subjects = value,
            ("--changes", Some(value)) => plan.changes = value,
            _ => {
                eprintln!("usage: simulate-fleet [--small] [--seed N] [--doors N] [--subjects N] [--changes N]");
                return ExitCode::from(2);
            }
        }
    }
    let begun = Instant::now();
    let report = simulate(&plan);
    print!("{report}");
    println!("took                          {:.1} s", begun.elapsed().as_secs_f64());
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
