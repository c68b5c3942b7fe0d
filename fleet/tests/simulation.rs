//! Small sites, many histories: everybody's doors come to have the same, and what they should.
//!
//! `FACEGATE_FLEET_SEED=17` replays one seed; `FACEGATE_FLEET_SEEDS=100` takes more time.

#[path = "../examples/simulate/simulation/mod.rs"]
mod simulation;

use simulation::{Plan, simulate};

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number")))
}

#[test]
fn fifty_doors_come_to_have_the_same_whatever_befalls_them() {
    let seeds = match number("FACEGATE_FLEET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FACEGATE_FLEET_SEEDS").unwrap_or(6),
    };
    for seed in seeds {
        let report = simulate(&Plan::small(seed));
        assert!(report.is_good(), "{report}");
        // What was simulated is worth the name.
        assert!(report.lost > 0 && report.dropped > 0 && report.receipts > 0 && report.resubscriptions > 0, "{report}");
        assert!(report.idle_out < 1_000 && report.documents < 3 * report.changes, "{report}");
    }
}

#[test]
fn a_seed_is_the_same_history_again() {
    let plan = Plan { doors: 10, subjects: 100, changes: 100, ..Plan::small(5) };
    assert_eq!(simulate(&plan), simulate(&plan));
    assert_ne!(simulate(&plan), simulate(&Plan { seed: 6, ..plan }));
}
