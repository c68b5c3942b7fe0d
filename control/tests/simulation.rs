//! At least 100,000 door-days of people, operators, faults and restarts, with every rule checked at every step.
//!
//! `FACEGATE_SIMULATION_SEED=17` replays one seed; `FACEGATE_SIMULATION_DOOR_DAYS=1000000` takes more time.

#[path = "../examples/simulate/simulation/mod.rs"]
mod simulation;

use simulation::{check, seeds_for, simulate};

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number")))
}

#[test]
fn every_rule_holds_on_100_000_door_days() {
    if let Some(seed) = number("FACEGATE_SIMULATION_SEED") {
        check(seed, 1).unwrap_or_else(|broken| panic!("{broken}"));
        return;
    }
    let door_days = number("FACEGATE_SIMULATION_DOOR_DAYS").unwrap_or(100_000);
    let totals = check(0, seeds_for(door_days)).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{totals:?}");
    // What was simulated is worth the name: people pass, alarms sound, processes end.
    let days = totals.door_days;
    assert!(totals.events > 20 * days && totals.unlocked > 2 * days && totals.alarms > days, "{totals:?}");
    assert!(totals.restarts * 20 > days, "{totals:?}");
    // The rules let people in, deny and flag, each often enough.
    let let_in = totals.asked - totals.denied;
    assert!(totals.asked > 3 * days && let_in * 3 > totals.asked && totals.denied * 5 > totals.asked, "{totals:?}");
    assert!(totals.flagged * 50 > totals.asked, "{totals:?}");
}

#[test]
fn a_seed_is_the_same_days_again() {
    let twice = [(); 2].map(|()| simulate(4, true, false));
    assert_eq!(format!("{:?}", twice[0]), format!("{:?}", twice[1]));
    assert_ne!(twice[0].events, simulate(5, true, false).events);
}
