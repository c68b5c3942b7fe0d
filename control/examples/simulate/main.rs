//! Simulates days at doors, checks every rule, and says how fast it was:
//!
//! ```text
//! cargo run --release -p facegate-control --example simulate -- [--door-days N] [--seed S] [--trace] [--bench]
//! ```
//!
//! Each seed is three doors (two of them an airlock, the third a turnstile in half of the cases) for ten days. In three of
//! five, people ask the rule book before a door opens, and areas count who is inside (anti-passback). A seed that breaks a
//! rule is printed, with the command that shows every step of it. `--bench` measures the state machines and the rules.

mod simulation;

use std::{process::ExitCode, time::Instant};

use simulation::{Totals, check, seeds_for, simulate};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let value = args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
        value.map(|value| value.parse::<u64>().unwrap_or_else(|_| panic!("{name} {value} is no number")))
    };
    let flag = |name: &str| args.iter().any(|arg| arg == name);
    if let Some(seed) = number("--seed") {
        simulate(seed, true, flag("--trace"));
        println!("seed {seed}: every rule holds");
        return ExitCode::SUCCESS;
    }
    let door_days = number("--door-days").unwrap_or(100_000);
    if flag("--bench") {
        bench(door_days);
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    match check(0, seeds_for(door_days)) {
        Ok(totals) => {
            let seconds = begun.elapsed().as_secs_f64();
            println!("{totals:?}: every rule holds, in {seconds:.1} s, rules checked, on every core");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            eprintln!("{broken}");
            ExitCode::FAILURE
        }
    }
}

/// The state machines and the rules alone, on one core, with whatever it takes to make up the events.
fn bench(door_days: u64) {
    let begun = Instant::now();
    let mut totals = Totals::default();
    for seed in 0..seeds_for(door_days) {
        totals.add(simulate(seed, false, false));
    }
    let rate = totals.events as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{} door-days, {} events: {rate:.0} events/s, {:.2} of 1,000,000",
        totals.door_days,
        totals.events,
        rate / 1e6
    );
}
