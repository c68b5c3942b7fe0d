//! The record of calls, from the API to the journal.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{
    daemon::{Board, Daemon, eventually},
    http::{Form, connect, everything},
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

#[test]
fn what_goes_on_behind_its_answer_is_recorded_when_it_has_ended() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    let made = board.run(&["keys", "add", "main", "--right", "transfer", "--json"]).must(0, &[]).json().remove(0);
    let key = made["key"].as_str().expect("a key");
    board.enrol("EMP-001", "obama.jpg");
    let daemon = board.start();
    let send = |path: &str, body: &[u8]| {
        let mut stream = connect(daemon.api.expect("an address"));
        let head = format!(
            "POST {BASE}{path} HTTP/1.0\r\nHost: door\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("the server takes the head");
        stream.write_all(body).expect("the server hears a client out");
        let answer = String::from_utf8(everything(&mut stream)).expect("text");
        answer.split_once("\r\n\r\n").expect("a whole answer").1.to_owned()
    };
    let file = send("/export", b"");
    let cut: String = file.lines().take(2).map(|line| format!("{line}\n")).collect();
    assert!(send("/import", cut.as_bytes()).contains("invalid_field"));
    let entries = calls(&board, 4);
    let (export, import) = ("POST /v1/face-matching/export", "POST /v1/face-matching/import");
    let of = |call: &str| -> Vec<(String, Value)> {
        let entries = entries.iter().filter(|entry| entry["call"] == call);
        entries.map(|entry| (summary(entry).2.to_owned(), entry["counts"].clone())).collect()
    };
    assert!(of(export).contains(&("begun".into(), Value::Null)), "{entries:?}");
    assert!(of(export).contains(&("ok".into(), json!({ "embeddings": 1 }))), "{entries:?}");
    assert!(of(import).contains(&("begun".into(), Value::Null)), "{entries:?}");
    let counts = json!({ "already_there": 1, "foreign": 0, "imported": 0, "suspended": 0 });
    assert!(of(import).contains(&("invalid_field".into(), counts)), "{entries:?}");
    daemon.stop();
    board.run(&["audit", "verify"]).must(0, &["unbroken"]);
}

#[test]
fn items_without_a_picture_fill_no_journal() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    let made = board.run(&["keys", "add", "main", "--json"]).must(0, &[]).json().remove(0);
    let daemon = board.start();
    let picture = STANDARD.encode(photo("obama.jpg"));
    let body = [
        "{\"subject_id\": \"EMP-001\"}\n".repeat(50),
        "{\"subject_id\": \"EMP-002\", \"image\": \"YWJj\"}\n".repeat(50),
        format!("{{\"subject_id\": \"EMP-003\", \"image\": \"{picture}\"}}\n"),
    ]
    .concat();
    let mut stream = connect(daemon.api.expect("an address"));
    let head = format!(
        "POST {BASE}/enroll/batch HTTP/1.0\r\nHost: door\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        made["key"].as_str().expect("a key"),
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the server takes the head");
    stream.write_all(body.as_bytes()).expect("the server hears a client out");
    everything(&mut stream);
    let entries = calls(&board, 3);
    let said: Vec<_> = entries.iter().map(|entry| (summary(entry).1, summary(entry).2)).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    for one in [(None, "begun"), (Some("EMP-003"), "ok"), (None, "ok")] {
        assert!(said.contains(&one), "{said:?}");
    }
    assert_eq!(entries[2]["counts"], json!({ "enrolled": 1, "failed": 100, "items": 101, "repeated": 0 }));
    daemon.stop();
}
