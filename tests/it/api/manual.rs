//! `docs/api.md` against the code.

use facegate::{api, error::Kind};
use serde::Deserialize;

const MANUAL: &str = include_str!("../../../docs/api.md");

#[test]
fn the_manual_s_settings_are_the_defaults() {
    #[derive(Deserialize)]
    struct Tables {
        api: api::Settings,
    }
    let block = MANUAL.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of TOML");
    let tables: Tables = toml::from_str(block).expect("it can be read");
    assert_eq!(tables.api, api::Settings::default());
    let given: toml::Table = toml::from_str(block).expect("it can be read");
    let all = toml::Table::try_from(api::Settings::default()).expect("settings are a table");
    let documented = given["api"].as_table().expect("a table");
    assert!(all.keys().all(|key| documented.contains_key(key)), "every key of [api] is documented");
}

#[test]
fn the_manual_s_errors_are_those_of_the_table() {
    for line in MANUAL.lines().filter(|line| line.starts_with("| ") && line.contains(" | `")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let Some(Ok(status)) = cells.next().map(str::parse::<u16>) else { continue };
        let code = cells.next().unwrap_or_default().trim_matches('`');
        let kind = Kind::ALL.iter().find(|kind| kind.code() == code).unwrap_or_else(|| panic!("{code} is no code"));
        assert_eq!(kind.http_status(), status, "{code}");
    }
    // What a client can meet.
    for kind in Kind::ALL.iter().filter(|kind| kind.http_status() != 500 || **kind == Kind::Internal) {
        assert!(MANUAL.contains(&format!("| {} | `{}` |", kind.http_status(), kind.code())), "{}", kind.code());
    }
}
