//! `docs/access.md` against the code.

use facegate::{
    access::rules::{RuleReason, Rulebook, Rules},
    rulebook::zones,
};

use crate::support::{daemon::Board, photo_path};

const MANUAL: &str = include_str!("../../../docs/access.md");

fn block(language: &str, number: usize) -> &'static str {
    let block = MANUAL.split(&format!("```{language}\n")).nth(number).and_then(|rest| rest.split("```").next());
    block.unwrap_or_else(|| panic!("there is no block {number} of {language}"))
}

#[test]
fn the_manual_s_rules_are_rules() {
    let rules: Rules = serde_json::from_str(block("json", 1)).expect("they can be read");
    Rulebook::compile(&rules, &zones).expect("they are in order");
}

#[test]
fn the_manual_s_explanation_is_what_the_program_says() {
    let board = Board::with_door(&[photo_path("obama.jpg")]);
    board.write("rules.json", block("json", 1));
    board.run(&["access", "import", "rules.json"]).must(0, &[]);
    let said = board
        .run(&["access", "explain", "EMP-001", "--door", "vault", "--at", "2026-12-25T10:00[Europe/Brussels]"])
        .must(1, &[]);
    // The fence that ends a block looks like one that begins one.
    assert_eq!(said.out, block("", 2));
}

#[test]
fn every_reason_is_in_the_manual() {
    for reason in RuleReason::ALL {
        assert!(MANUAL.contains(&format!("`{}`", reason.code())), "{}", reason.code());
    }
}
