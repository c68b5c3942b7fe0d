//! What every refusal has, whatever it is about: keys that may not, and faults that are ours.

use std::fs;

use facegate::gallery::{Right, TenantId};

use crate::support::{
    Server,
    daemon::Board,
    http::{Form, Reply, call},
    photo,
};

const EMBEDDINGS: &str = "/v1/face-matching/embeddings";

/// What a client sees of an answer but for what differs from call to call: names of headers, names of fields.
fn shape(reply: &Reply) -> (u16, Vec<&str>, Vec<&str>) {
    let mut headers: Vec<_> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
    headers.sort_unstable();
    let error = reply.body["error"].as_object().expect("an error");
    (reply.status, headers, error.keys().map(String::as_str).collect())
}

#[test]
fn no_key_and_a_wrong_one_are_told_apart_by_their_code_alone() {
    let server = Server::start();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| call(server.address, method, path, headers, None);
    for (method, path) in [
        ("GET", EMBEDDINGS),
        ("DELETE", "/v1/face-matching/embeddings/x"),
        ("POST", "/v1/face-matching/search"),
        ("GET", "/v1/access/rules"),
        ("GET", "/v1/doors"),
        ("GET", "/v1/admin/keys"),
    ] {
        let (missing, wrong) = (ask(method, path, &[]), ask(method, path, &[("Authorization", "Bearer fg_wrong")]));
        assert_eq!((missing.code(), wrong.code()), ("missing_api_key", "invalid_api_key"), "{path}");
        assert_eq!(shape(&missing), shape(&wrong), "{path}");
        assert_eq!((missing.status, missing.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        assert_eq!(wrong.header("www-authenticate"), Some("Bearer"), "{path}");
    }
}

#[test]
fn a_key_without_the_right_is_refused_every_call_that_needs_it_and_told_which_it_has() {
    let server = Server::start();
    let tenant: TenantId = "acme".parse().expect("a tenant's name");
    let key = |right: Right| {
        let key = server.gallery.add_key(&tenant, None, [right].into_iter().collect()).expect("a key is added");
        format!("Bearer {}", key.secret)
    };
    let (reads, matches) = (key(Right::Read), key(Right::Match));
    let form = Form::new().text("subject_id", "EMP-001").image(&photo("obama.jpg")).bytes();
    let content_type = Form::content_type();
    let send = |key: &str, method: &str, path: &str| {
        let headers = [("Authorization", key), ("Content-Type", content_type.as_str())];
        let body = (method == "POST").then_some(form.as_slice());
        call(server.address, method, &format!("/v1/{path}"), &headers, body)
    };
    let calls = [
        (&reads, "POST", "face-matching/enroll", "read"),
        (&reads, "POST", "face-matching/search", "read"),
        (&reads, "POST", "face-matching/verify/EMP-001", "read"),
        (&reads, "POST", "face-matching/detect", "read"),
        (&reads, "POST", "face-matching/compare", "read"),
        (&reads, "GET", "models", "read"),
        (&reads, "DELETE", "face-matching/embeddings", "read"),
        (&reads, "DELETE", "face-matching/embeddings/x", "read"),
        (&reads, "PUT", "access/rules", "read"),
        (&reads, "GET", "admin/keys", "read"),
        (&matches, "POST", "face-matching/enroll", "match"),
        (&matches, "GET", "face-matching/embeddings", "match"),
        (&matches, "GET", "access/rules", "match"),
        (&matches, "GET", "doors", "match"),
    ];
    for (key, method, path, has) in calls {
        let reply = send(key, method, path);
        assert_eq!((reply.status, reply.code()), (403, "forbidden"), "{method} {path}: {:?}", reply.body);
        let message = reply.body["error"]["message"].as_str().expect("a message");
        assert!(message.contains(&format!("it has: {has}")), "{method} {path}: {message}");
    }
    assert_eq!(send(&reads, "GET", "face-matching/embeddings").body["count"], 0, "nothing was done");
}

#[test]
fn a_fault_of_ours_shows_nothing_of_its_reason_and_the_log_has_it() {
    let board = Board::new();
    board.enrol("barack", "obama.jpg");
    let key = board.run(&["keys", "add", "main", "--json"]).must(0, &[]).json().remove(0);
    let key = key["key"].as_str().expect("a key");
    let daemon = board.start();
    assert_eq!(daemon.call("GET", EMBEDDINGS, Some(key), None).status, 200);
    // Every secret that opens a record is another one from now on; the file's header stays.
    let seals = board.path("gallery/seal.keys");
    let mut bytes = fs::read(&seals).expect("it is there");
    bytes[32..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    fs::write(&seals, bytes).expect("it can be written");

    let reply = daemon.call("GET", EMBEDDINGS, Some(key), None);
    assert_eq!((reply.status, reply.code()), (500, "internal"), "{:?}", reply.body);
    let message = reply.body["error"]["message"].as_str().expect("a message");
    assert_eq!(message, "the daemon failed to do this; its log has the reason under this request id");
    let id = reply.header("x-request-id").expect("an id").to_owned();
    let log = daemon.stop();
    let line = log.iter().find(|line| line.contains(&id) && line.contains("a request failed")).expect("it is logged");
    assert!(line.contains("\"code\":\"store\""), "{line}");
}
