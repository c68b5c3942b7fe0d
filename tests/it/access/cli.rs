use serde_json::{Value, json};

use super::office;
use crate::support::{daemon::Board, photo_path};

fn board() -> Board {
    let board = Board::with_door(&[photo_path("obama.jpg")]);
    board.write("rules.json", office().to_string());
    board
}

#[test]
fn rules_are_imported_shown_changed_and_exported() {
    let board = board();
    board.run(&["access", "show"]).must(0, &["no rules", "whoever is enrolled"]);
    board.run(&["access", "export"]).must(66, &["has no rules"]);
    board.run(&["access", "import", "rules.json"]).must(0, &["rules of tenant main", "staff, guards"]);
    board.run(&["access", "show", "group", "staff"]).must(0, &["\"schedule\":\"office\""]);
    board.run(&["access", "show", "group", "nobody"]).must(66, &["no group of this name"]);
    board
        .run(&["access", "set", "subject", "cyd", r#"{"groups": ["staff"], "valid_until": "2027-01-01T00:00:00Z"}"#])
        .must(0, &["set", "cyd"]);
    board.run(&["access", "set", "area", "lab", r#"{"anti_passback": "timed", "minutes": 5}"#]).must(0, &["lab"]);
    board
        .run(&["access", "set", "group", "staff", r#"{"access": [{"doors": ["attic"]}]}"#])
        .must(65, &["there is no door 'attic'", "front, side"]);
    board.run(&["access", "set", "group", "staff", r#"{"name": "other"}"#]).must(64, &["not 'staff'"]);
    board.run(&["access", "remove", "door", "front"]).must(65, &["there is no door 'front'"]);
    board.run(&["access", "remove", "subject", "ann"]).must(0, &["removed"]);
    board.run(&["access", "remove", "subject", "ann"]).must(66, &["no subject"]);

    let exported: Value = serde_json::from_str(&board.run(&["access", "export"]).must(0, &[]).out).expect("JSON");
    let ids: Vec<_> = exported["subjects"].as_array().expect("a list").iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, ["bob", "cyd"]);
    assert_eq!(
        exported["areas"][1],
        json!({"name": "lab", "anti_passback": "timed", "minutes": 5, "exit_without_entry": "flag"})
    );
    board.run(&["access", "export", "copy.json"]).must(0, &[]);
    board.run(&["access", "import", "copy.json", "--tenant", "other"]).must(0, &["tenant other"]);
    assert_eq!(board.run(&["access", "export", "--tenant", "other", "--json"]).must(0, &[]).json(), [exported]);

    board.write("broken.json", r#"{"groups": [{"name": "x", "acces": []}]}"#);
    board.run(&["access", "import", "broken.json"]).must(65, &["broken.json", "acces"]);
    board.run(&["access", "clear"]).must(64, &["--yes"]);
    board.run(&["access", "clear", "--yes"]).must(0, &["no rules"]);
}

#[test]
fn explaining_answers_by_its_exit_status() {
    let board = board();
    let explain = |more: &[&str]| {
        let mut args = vec!["access", "explain", "ann", "--door", "front"];
        args.extend_from_slice(more);
        board.run(&args)
    };
    explain(&[]).must(0, &["would be let in", "there are no rules"]);
    board.run(&["access", "import", "rules.json"]).must(0, &[]);
    explain(&["--at", "2026-11-23T10:00:00+01:00"]).must(0, &["would be let in", "on schedule 'office': 10:00 there"]);
    explain(&["--at", "2026-11-23T19:00[Europe/Brussels]"])
        .must(1, &["would not be let in", "at other hours", "next change 2026-11-24T07:00:00Z"]);
    explain(&["--at", "2026-12-25T10:00:00Z"]).must(1, &["Christmas (calendar 'be'): closed all day"]);
    explain(&["--at", "noon"]).must(64, &["offset or zone"]);
    let json =
        board.run(&["access", "explain", "eve", "--door", "side", "--passage", "exit", "--json"]).must(1, &[]).json();
    assert_eq!((&json[0]["code"], &json[0]["passage"]), (&"not_in_rules".into(), &"exit".into()));
    board.run(&["access", "presence"]).must(0, &[]);
    board.run(&["access", "forgive", "ann"]).must(1, &["forgiven: 0"]);
    board.run(&["access", "forgive"]).must(64, &["SUBJECT"]);
}
