//! Seeds into days at doors, on every core. The same seed is the same days, whatever the machine.

mod access;
mod acts;
mod agenda;
mod common;
mod door_rules;
mod house;
mod ledger;
mod people;
mod random;
mod reception;
mod rules;
mod setups;
mod site;
mod totals;
mod turnstile_rules;
mod wires;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use site::{DOORS, Site};
pub use totals::Totals;

/// Time in the simulation, in microseconds.
type Micros = u64;

/// How many days a seed is.
const DAYS: u64 = 10;

/// As many seeds as are so many days of a door.
pub fn seeds_for(door_days: u64) -> u64 {
    door_days.div_ceil(DAYS * DOORS as u64)
}

/// One seed. Panics where a rule is broken. `trace` prints every input and what came of it.
pub fn simulate(seed: u64, checked: bool, trace: bool) -> Totals {
    Site::new(seed, checked, trace).run(DAYS)
}

/// So many seeds from `first` on, each with every rule checked.
///
/// # Errors
/// The least seed that breaks a rule, which rule, and how to see it again.
pub fn check(first: u64, seeds: u64) -> Result<Totals, String> {
    let next = AtomicU64::new(first);
    let work = || {
        let mut totals = Totals::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return Ok(totals);
            }
            match catch_unwind(AssertUnwindSafe(|| simulate(seed, true, false))) {
                Ok(more) => totals.add(more),
                Err(panic) => {
                    // The others need not go on.
                    next.store(first + seeds, Ordering::Relaxed);
                    let said = panic.downcast_ref::<String>().map(String::as_str);
                    let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
                    return Err((seed, said.to_owned()));
                }
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("panics are caught within")).collect()
    });
    let mut totals = Totals::default();
    let mut broken = Vec::new();
    for result in results {
        match result {
            Ok(more) => totals.add(more),
            Err(one) => broken.push(one),
        }
    }
    match broken.into_iter().min() {
        None => Ok(totals),
        Some((seed, said)) => Err(format!(
            "seed {seed} breaks a rule: {said}\nreplay: FACEGATE_SIMULATION_SEED={seed} for the test, or every step of it: \
             cargo run --release -p facegate-control --example simulate -- --seed {seed} --trace"
        )),
    }
}
