//! The record of calls, from the API to the journal.

use serde_json::{Value, json};

use crate::support::{
    daemon::{Board, Daemon, eventually},
    http::Form,
    photo, photo_path,
};

const BASE: &str = "/v1/face-matching";

/// The entries of calls, once there are so many: method, route, subject and outcome of each.
fn calls(board: &Board, count: usize) -> Vec<Value> {
    eventually(&format!("{count} calls in the journal"), || {
        let mut entries = board.journal();
        entries.retain(|entry| entry["event"] == "call");
        (entries.len() >= count).then_some(entries)
    })
}

fn summary(entry: &Value) -> (&str, Option<&str>, &str) {
    let text = |name: &str| entry[name].as_str();
    (text("call").expect("a call"), text("subject"), text("outcome").expect("an outcome"))
}

fn probe() -> Form {
    Form::new().image(&photo("obama2.jpg"))
}

/// Makes each of the calls that use or change a template or a rule, and some that do not; gives how many are recorded.
fn use_the_api(daemon: &Daemon, key: &str, reader: &str) -> usize {
    let call =
        |method: &str, path: &str, form: Option<&Form>| daemon.call(method, &format!("{BASE}{path}"), Some(key), form);
    let enrolment = Form::new().text("subject_id", "EMP-001").image(&photo("obama.jpg"));
    let enrolled = call("POST", "/enroll", Some(&enrolment));
    assert_eq!(enrolled.status, 200, "{:?}", enrolled.body);
    assert_eq!(call("POST", "/enroll", Some(&Form::new().image(&photo("obama.jpg")))).code(), "missing_field");
    assert_eq!(call("POST", "/search", Some(&probe())).status, 200);
    assert_eq!(call("POST", "/verify/EMP-001", Some(&probe())).status, 200);
    assert_eq!(call("POST", "/verify/EMP-002", Some(&probe())).code(), "subject_not_found");
    assert_eq!(daemon.call("POST", &format!("{BASE}/search"), Some(reader), Some(&probe())).code(), "forbidden");
    let id = enrolled.body["embeddingId"].as_str().expect("an id");
    assert_eq!(call("GET", &format!("/embeddings/{id}/photograph"), None).code(), "not_found", "none is kept");
    assert_eq!(call("DELETE", &format!("/embeddings/{id}"), None).status, 200);
    assert_eq!(call("DELETE", "/embeddings?subject_id=EMP-001", None).code(), "subject_not_found");
    // Not recorded: it only reads, or nobody knows who it was.
    assert_eq!(call("GET", "/embeddings", None).status, 200);
    assert_eq!(daemon.call("POST", &format!("{BASE}/search"), Some("wrong"), Some(&probe())).status, 401);
    let unruled = daemon.call("DELETE", "/v1/access/subjects/EMP-003", Some(key), None);
    assert_eq!(unruled.code(), "subject_not_found");
    10
}

#[test]
fn whoever_uses_or_changes_a_template_stands_in_the_journal() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    let key = |rights: &[&str]| {
        let mut args = vec!["keys", "add", "main", "--json"];
        args.extend(rights);
        board.run(&args).must(0, &[]).json().remove(0)
    };
    let (all, reader) = (key(&[]), key(&["--right", "read"]));
    let secret = |key: &Value| key["key"].as_str().expect("a key").to_owned();
    let daemon = board.start();
    let count = use_the_api(&daemon, &secret(&all), &secret(&reader));
    let entries = calls(&board, count);
    let said: Vec<_> = entries.iter().map(summary).collect();
    let verify = "POST /v1/face-matching/verify/{subject_id}";
    assert_eq!(
        said,
        [
            ("POST /v1/face-matching/enroll", Some("EMP-001"), "ok"),
            ("POST /v1/face-matching/enroll", None, "missing_field"),
            ("POST /v1/face-matching/search", Some("EMP-001"), "ok"),
            (verify, Some("EMP-001"), "ok"),
            (verify, Some("EMP-002"), "subject_not_found"),
            ("POST /v1/face-matching/search", None, "forbidden"),
            ("GET /v1/face-matching/embeddings/{embedding_id}/photograph", None, "not_found"),
            ("DELETE /v1/face-matching/embeddings/{embedding_id}", None, "ok"),
            ("DELETE /v1/face-matching/embeddings", Some("EMP-001"), "subject_not_found"),
            ("DELETE /v1/access/subjects/{subject_id}", Some("EMP-003"), "subject_not_found"),
        ]
    );
    assert_eq!(entries[0]["embedding"], entries[7]["embedding"], "the one that was made was deleted");
    let by = |key: &Value| json!(format!("key {}", key["id"].as_str().expect("an id")));
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(entry["by"], by(if at == 5 { &reader } else { &all }));
        assert_eq!(entry["tenant"], "main");
    }
    daemon.stop();
    board.run(&["audit", "verify"]).must(0, &["unbroken"]);
    let exported = board.run(&["audit", "export"]).must(0, &[]).out;
    let kept = std::fs::read_to_string(board.path("journal/journal.ndjson")).expect("the journal");
    assert_eq!(exported, kept, "line by line as it stands, so that its hashes can be checked elsewhere");
    let from = board.run(&["audit", "export", "--from", "3"]).must(0, &[]).json();
    assert_eq!(from[0]["seq"], 3);
}
