//! `docs/conformance.md` against the tests that it names.

use std::fs;

use facegate::error::Kind;

use super::folder;
use crate::support::project;

const TABLE: &str = include_str!("../../../docs/conformance.md");

/// The source of a test's module: `api::calls` is `tests/it/api/calls.rs`.
fn source(module: &str) -> String {
    let place = project("tests/it").join(module.replace("::", "/"));
    let files = [place.with_extension("rs"), place.join("mod.rs")];
    files
        .iter()
        .find_map(|file| fs::read_to_string(file).ok())
        .unwrap_or_else(|| panic!("docs/conformance.md names tests in {module}, which is no module of the tests"))
}

#[test]
fn every_test_that_the_table_names_is_there_and_no_row_is_without() {
    let mut named = 0;
    for line in TABLE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let last = cells.last().expect("a row has cells");
        if ["the reference says", "where", "status"].contains(&cells[0]) {
            continue;
        }
        let tests: Vec<_> = last.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test holds: {line}");
        for test in tests {
            let (module, name) = test.rsplit_once("::").unwrap_or_else(|| panic!("{test} has no module"));
            assert!(source(module).contains(&format!("fn {name}(")), "there is no test {test}");
            named += 1;
        }
    }
    assert!(named > 30, "the table is there: {named}");
}

#[test]
fn every_error_has_a_row_with_a_test_that_asks_for_it() {
    for kind in Kind::ALL {
        // Those of 500 are one to a client.
        if kind.http_status() == 500 {
            continue;
        }
        let start = format!("| {} | `{}` | ", kind.http_status(), kind.code());
        let row = TABLE.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no row {start}"));
        let last = row.trim_matches('|').rsplit(" | ").next().expect("a row has cells");
        let tests: Vec<_> = last.split('`').skip(1).step_by(2).collect();
        let asks = |test: &&str| {
            let (module, name) = test.rsplit_once("::").expect("a module and a name");
            let source = source(module);
            let body = source.split_once(&format!("fn {name}(")).map_or("", |(_, rest)| rest);
            let body = body.split("\n}\n").next().unwrap_or_default();
            body.contains(&format!("\"{}\"", kind.code())) || body.contains(&format!("Kind::{kind:?}"))
        };
        assert!(!tests.is_empty() && tests.iter().all(asks), "a test does not ask for {}: {tests:?}", kind.code());
    }
}

#[test]
fn every_sample_that_lies_here_is_run() {
    let tests = fs::read_to_string(folder().join("mod.rs")).expect("it is there");
    for sample in fs::read_dir(folder().join("samples")).expect("it is there") {
        let name = sample.expect("it can be listed").file_name().into_string().expect("UTF-8");
        assert!(tests.contains(&format!("\"{name}\"")), "{name} is run by no test");
    }
}
