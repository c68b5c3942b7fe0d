//! The OpenAPI document and its page as the real daemon serves them, and Schemathesis, which calls everything that the document
//! has and fails where an answer is not written there.

mod foreign;

use std::process::Command;

use serde_json::Value;

use crate::support::{
    daemon::{Board, Daemon, finish},
    http::{Reply, call},
    photo_path,
};

/// Every error of the server but those that say "not now", and every answer that the document does not have.
const CHECKS: &str = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance";

/// Examples of each call: all in less than a minute on a small board.
const EXAMPLES: &str = "8";

fn board() -> Board {
    let mut board = Board::new();
    for class in ["photographs", "reads", "changes"] {
        let unlimited = toml::toml! { per_s = 0
        burst = 1 };
        board.set(&format!("api.limits.{class}"), unlimited);
    }
    board.set("api.limits.address_factor", 0);
    board.set("api.limits.failed_keys_per_minute", 0);
    board
}

/// A key with every right.
fn key(board: &Board) -> String {
    key_of(board, "acme")
}

fn key_of(board: &Board, tenant: &str) -> String {
    let mut args = vec!["keys", "add", tenant, "--json"];
    for right in ["enrol", "match", "read", "delete", "admin", "door", "transfer"] {
        args.extend(["--right", right]);
    }
    let made = board.run(&args).must(0, &[]);
    made.json()[0]["key"].as_str().expect("a key").to_owned()
}

fn get(daemon: &Daemon, path: &str) -> Reply {
    call(daemon.api.expect("the API is on"), "GET", path, &[], None)
}

/// Says of every object of an answer's schema that it has no other fields: what is not written there is to be noticed.
fn closed(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(closed);
            // A part of several (`allOf`) sees only its own fields.
            if map.contains_key("properties") && map.contains_key("type") && !map.contains_key("allOf") {
                map.entry("additionalProperties").or_insert(false.into());
            }
        }
        Value::Array(list) => list.iter_mut().for_each(closed),
        _ => {}
    }
}

/// Closes the schemas whose objects stand in no `allOf`, where they would refuse the fields of their neighbours.
fn strict(mut document: Value) -> Value {
    let schemas = document["components"]["schemas"].as_object_mut().expect("schemas");
    let parts: Vec<String> = schemas.values().flat_map(parts).collect();
    let whole = |name: &str| !parts.iter().any(|part| part.ends_with(&format!("/{name}")));
    schemas.iter_mut().filter(|(name, _)| whole(name) && !name.ends_with("Form")).for_each(|(_, schema)| {
        if schema.get("allOf").is_none() && schema.get("oneOf").is_none() {
            closed(schema);
        }
    });
    document
}

fn parts(schema: &Value) -> Vec<String> {
    let all = schema["allOf"].as_array().into_iter().flatten();
    all.filter_map(|part| part["$ref"].as_str().map(str::to_owned)).collect()
}

/// Calls that end keys: Schemathesis learns keys' ids from answers, its own key's too, and would get nothing but 401 from then on.
const ENDS_KEYS: &str = "/v1/admin/keys/";

fn schemathesis(board: &Board, daemon: &Daemon, key: &str, which: [&str; 2]) {
    let mut command = Command::new("python3");
    command.args(["-m", "schemathesis.cli", "run", "openapi.json", "--no-color", "--seed", "1"]).args(which);
    command.args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing"]);
    command.args(["--generation-database", "none", "--generation-with-security-parameters", "false"]);
    command.args(["--url", &format!("http://{}", daemon.api.expect("the API is on"))]);
    command.args(["--header", &format!("Authorization: Bearer {key}")]);
    if let Some(packages) = std::env::var_os("FACEGATE_PYTHONPATH") {
        command.env("PYTHONPATH", packages);
    }
    command.current_dir(board.path("."));
    let ended = finish(command);
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert!(ended.out.contains("generated"), "it called nothing: {}", ended.said());
}

#[test]
fn every_answer_to_schemathesis_is_in_the_document() {
    let board = board();
    let (first, second) = (key(&board), key(&board));
    let photo = photo_path("obama.jpg");
    let enrol =
        ["enroll", "EMP-001", &photo.to_string_lossy(), "--tenant", "acme", "--metadata", "{\"name\": \"Jane Doe\"}"];
    board.run(&enrol).must(0, &[]);
    let daemon = board.start();
    board.write("openapi.json", strict(get(&daemon, "/openapi.json").body).to_string());
    schemathesis(&board, &daemon, &first, ["--exclude-path-regex", ENDS_KEYS]);
    // It still counts: what was tested was not one 401 after the other.
    let listed = daemon.call("GET", "/v1/face-matching/subjects", Some(&first), None);
    assert_eq!(listed.status, 200, "{:?}", listed.body);
    schemathesis(&board, &daemon, &second, ["--include-path-regex", ENDS_KEYS]);
}

#[test]
fn the_document_is_what_the_command_line_prints() {
    let board = Board::new();
    let daemon = board.start();
    let printed = board.run(&["openapi", "--json"]).must(0, &[]);
    let served = get(&daemon, "/openapi.json");
    assert_eq!(served.status, 200);
    assert_eq!(served.body, printed.json()[0]);
}

#[test]
fn the_page_may_load_its_own_files_and_nothing_else_may() {
    let board = Board::new();
    let daemon = board.start();
    let policy = |path: &str| {
        // Without its body, which is no JSON.
        let reply = call(daemon.api.expect("the API is on"), "HEAD", path, &[], None);
        reply.header("content-security-policy").expect("a policy").to_owned()
    };
    for part in ["/docs", "/docs/page.js", "/docs/page.css"] {
        let policy = policy(part);
        assert!(policy.contains("script-src 'self';") && policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    }
    for other in ["/healthz", "/openapi.json", "/docs/other.js"] {
        assert!(!policy(other).contains("script-src"), "{other}");
    }
}
