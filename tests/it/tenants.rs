//! Tenants apart from one another, and what a key may do about keys.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    Server,
    daemon::{Board, eventually, patience},
    http::{self, Form, Reply},
    photo, photo_path,
};

fn ask(server: &Server, key: &str, method: &str, path: &str, body: Option<&[u8]>, form: bool) -> Reply {
    let bearer = format!("Bearer {key}");
    let form_type = Form::content_type();
    let kind = if form { form_type.as_str() } else { "application/json" };
    http::call(server.address, method, path, &[("Authorization", &bearer), ("Content-Type", kind)], body)
}

/// What a client can tell apart: the status and the body but for the request's id, and for what was asked for.
fn told(reply: Reply, asked: &str) -> (u16, String) {
    let mut body = reply.body;
    if let Some(error) = body["error"].as_object_mut() {
        error.remove("request_id");
    }
    body.as_object_mut().expect("an object").remove("processing_time");
    (reply.status, body.to_string().replace(asked, "ID"))
}

/// A low quantile, which other programs on the machine hardly move.
fn usual(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 5]
}

/// By how much a call is slower with one of two ids, measured by turns.
fn difference(mut call: impl FnMut(bool), tries: usize) -> Duration {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for number in 0..2 * tries {
        let first = number % 2 == 0;
        let start = Instant::now();
        call(first);
        if first { one.push(start.elapsed()) } else { other.push(start.elapsed()) }
    }
    usual(one).abs_diff(usual(other))
}

/// Panics where the two differ by 4 ms however often it is measured; a loaded machine lets them agree some time.
fn alike(what: &str, mut call: impl FnMut(bool), tries: usize) {
    let rounds: Vec<_> =
        (0..6).map_while(|_| Some(difference(&mut call, tries)).filter(|by| by.as_millis() >= 4)).collect();
    assert!(rounds.len() < 6, "{what}: the time tells another's id from one that never was: {rounds:?}");
}

#[test]
fn a_difference_of_5_ms_would_be_seen() {
    let slow = |first| {
        if first {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    assert!(difference(slow, 10) >= Duration::from_millis(4));
}

#[test]
fn anothers_ids_answer_as_ids_that_never_were() {
    let server = Server::start();
    let picture = photo("obama.jpg");
    let theirs = server.enrol(1, "their-subject", &picture);
    server.enrol(0, "my-subject", &picture);
    let rules = json!({ "groups": [{ "name": "staff", "access": [] }], "subjects": [{ "id": "their-subject", "groups": ["staff"] }] });
    let made = ask(&server, &server.keys[1], "PUT", "/v1/access/rules", Some(rules.to_string().as_bytes()), false);
    assert_eq!(made.status, 200, "{:?}", made.body);
    let mine = json!({ "groups": [{ "name": "staff", "access": [] }] });
    ask(&server, &server.keys[0], "PUT", "/v1/access/rules", Some(mine.to_string().as_bytes()), false);
    let listed = ask(&server, &server.keys[1], "GET", "/v1/admin/keys", None, false).body;
    let key = listed["keys"][0]["id"].as_str().expect("an id").to_owned();

    let form = Form::new().image(&picture).bytes();
    let never = "0193a000-0000-7000-8000-000000000000";
    let base = "/v1/face-matching";
    for (method, path, body, theirs, never) in [
        ("DELETE", format!("{base}/embeddings/ID"), None, theirs.as_str(), never),
        ("GET", format!("{base}/embeddings?subject_id=ID"), None, "their-subject", "never-subject"),
        ("DELETE", format!("{base}/embeddings?subject_id=ID"), None, "their-subject", "never-subject"),
        ("GET", "/v1/access/subjects/ID".into(), None, "their-subject", "never-subject"),
        ("DELETE", "/v1/access/subjects/ID".into(), None, "their-subject", "never-subject"),
        ("DELETE", "/v1/access/presence/ID".into(), None, "their-subject", "never-subject"),
        (
            "GET",
            "/v1/access/explain?subject=ID&door=front&at=2026-11-23T10:00:00Z".into(),
            None,
            "their-subject",
            "never-subject",
        ),
        ("DELETE", "/v1/admin/keys/ID".into(), None, &key, "00000000"),
        ("POST", "/v1/admin/keys/ID/rotate".into(), None, &key, "00000000"),
        ("POST", format!("{base}/verify/ID"), Some(form.as_slice()), "their-subject", "never-subject"),
        ("GET", format!("{base}/embeddings/ID/photograph"), None, theirs.as_str(), never),
        ("GET", format!("{base}/subjects/ID"), None, "their-subject", "never-subject"),
        ("PATCH", format!("{base}/subjects/ID"), Some(&br#"{"active": false}"#[..]), "their-subject", "never-subject"),
        // The last, for it makes both of them subjects of one's own rules.
        (
            "PUT",
            "/v1/access/subjects/ID".into(),
            Some(&br#"{"groups": ["staff"]}"#[..]),
            "their-subject",
            "never-subject",
        ),
    ] {
        let is_form = path.contains("/verify/");
        let call = |id: &str| ask(&server, &server.keys[0], method, &path.replace("ID", id), body, is_form);
        let (one, other) = (told(call(theirs), theirs), told(call(never), never));
        assert_eq!(one, other, "{method} {path}");
        let tries = if body.is_some() { 5 } else { 25 };
        alike(&format!("{method} {path}"), |first| drop(call(if first { theirs } else { never })), tries);
    }
    // And nothing of it has changed anything of theirs.
    let left = server.call_as(1, "GET", "/embeddings", None).body;
    assert_eq!((&left["count"], &left["embeddings"][0]["id"]), (&1.into(), &theirs.into()));
    assert_eq!(left["embeddings"][0]["active"], true);
    assert_eq!(ask(&server, &server.keys[1], "GET", "/v1/access/subjects/their-subject", None, false).status, 200);
}

#[test]
fn a_key_manages_the_keys_of_its_tenant_and_gives_nothing_that_it_lacks() {
    let server = Server::start();
    let call = |key: &str, method: &str, path: &str, body: Value| {
        let body = (!body.is_null()).then(|| body.to_string());
        ask(&server, key, method, &format!("/v1/admin{path}"), body.as_deref().map(str::as_bytes), false)
    };
    let admin = server.keys[0].as_str();
    let made = call(admin, "POST", "/keys", json!({ "label": "hr", "rights": ["read", "admin"], "expires": "30d" }));
    assert_eq!(made.status, 200, "{:?}", made.body);
    let (id, secret) = (&made.body["key"]["id"], made.body["key"]["key"].as_str().expect("shown once"));
    assert_eq!((&made.body["key"]["tenant"], &made.body["key"]["rights"]), (&"acme".into(), &json!(["read", "admin"])));
    let listed = call(admin, "GET", "/keys", Value::Null);
    assert!(listed.body["count"] == 2 && !listed.body.to_string().contains(secret), "{:?}", listed.body);
    let until = call(admin, "POST", "/keys", json!({ "label": "visitors", "expires": "2099-01-31T18:00:00Z" }));
    assert_eq!(until.body["key"]["expires_at"], "2099-01-31T18:00:00.000000Z", "times are told to the microsecond");

    // The usual rights are given as far as the caller has them; what it lacks is refused, and so is a longer life.
    let less = call(secret, "POST", "/keys", json!({}));
    assert_eq!(less.body["key"]["rights"], json!(["read", "admin"]));
    assert_eq!(less.body["key"]["expires_at"], made.body["key"]["expires_at"]);
    for body in [
        json!({ "rights": ["door"] }),
        json!({ "rights": ["read", "enrol"] }),
        json!({ "expires": "31d" }),
        json!({ "tenant": "beta" }),
    ] {
        let reply = call(secret, "POST", "/keys", body.clone());
        assert_eq!((reply.status, reply.code()), (403, "forbidden"), "{body}");
    }
    let stronger = call(admin, "GET", "/keys", Value::Null).body["keys"][0]["id"].as_str().expect("an id").to_owned();
    let reply = call(secret, "POST", &format!("/keys/{stronger}/rotate"), Value::Null);
    assert_eq!((reply.status, reply.code()), (403, "forbidden"), "rotating a stronger key would give its rights");
    for body in [
        json!({ "rights": ["open"] }),
        json!({ "expires": "soon" }),
        json!({ "colour": 1 }),
        json!([]),
        json!({ "label": "a\nb" }),
    ] {
        assert_eq!(call(admin, "POST", "/keys", body.clone()).code(), "invalid_field", "{body}");
    }
    let id = id.as_str().expect("an id");
    let turned = call(admin, "POST", &format!("/keys/{id}/rotate"), json!({ "overlap": "1h" }));
    let new = turned.body["key"]["key"].as_str().expect("shown once");
    assert_eq!(
        (call(secret, "GET", "/keys", Value::Null).status, call(new, "GET", "/keys", Value::Null).status),
        (200, 200)
    );
    assert_eq!(call(admin, "DELETE", &format!("/keys/{id}"), Value::Null).status, 200);
    let gone = call(secret, "GET", "/keys", Value::Null);
    assert_eq!((gone.status, gone.code()), (401, "invalid_api_key"));
    // Without the right to it there is nothing, and tenants are no key's business.
    let reader = call(admin, "POST", "/keys", json!({ "rights": ["read"] })).body["key"]["key"].clone();
    assert_eq!(call(reader.as_str().expect("a key"), "GET", "/keys", Value::Null).status, 403);
    assert_eq!(call(admin, "GET", "/tenants", Value::Null).status, 403);
    assert_eq!(http::call(server.address, "GET", "/v1/admin/keys", &[], None).status, 401);
}

#[test]
fn tenants_are_limited_and_deleted_beside_a_running_daemon_and_by_its_socket() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    board.run(&["tenants", "add", "acme", "--max-faces", "1"]).must(0, &["at most 1"]);
    board.run(&["tenants", "add", "acme"]).must(64, &["already"]);
    let daemon = board.start();
    let add = |more: &[&str]| {
        let args = [&["keys", "add", "acme", "--json"], more].concat();
        board.run(&args).must(0, &[]).json()[0].clone()
    };
    let (key, short) = (add(&[]), add(&["--expires", "2s"]));
    let (key, short) = (key["key"].as_str().expect("a key"), short["key"].as_str().expect("a key"));
    let list = |key: &str| daemon.call("GET", "/v1/face-matching/embeddings", Some(key), None);
    eventually("the key ends", || (list(short).code() == "invalid_api_key").then_some(()));
    board.run(&["keys", "list"]).must(0, &["ended", "without an end"]);
    board.run(&["keys", "add", "acme", "--expires", "yesterday"]).must(64, &["neither a length of time"]);

    let enrol = |photo_name: &str| {
        let form = Form::new().text("subject_id", "anna").image(&photo(photo_name));
        daemon.call("POST", "/v1/face-matching/enroll", Some(key), Some(&form))
    };
    assert_eq!(enrol("obama.jpg").status, 200);
    let full = enrol("obama2.jpg");
    assert_eq!((full.status, full.code()), (409, "capacity_reached"), "{:?}", full.body);
    board.run(&["tenants", "limit", "acme", "none"]).must(0, &["any number"]);
    assert_eq!(enrol("obama2.jpg").status, 200);
    board.run(&["tenants", "list"]).must(0, &["acme  embeddings: 2 (any number)  keys: 2"]);

    let local = |method: &str, path: &str, body: Value| socket(&board, method, &format!("/v1/admin{path}"), &body);
    assert_eq!(local("PUT", "/tenants/acme/limit", json!({})).0, 400, "a limit is not taken away by a slip");
    assert_eq!(local("PUT", "/tenants/acme/limit", json!({ "max_faces": 2 })).0, 200);
    assert_eq!(enrol("obama.jpg").status, 409);
    assert_eq!(local("POST", "/tenants", json!({ "name": "globex", "max_faces": 3 })).0, 200);
    let made = local("POST", "/keys", json!({ "tenant": "globex", "rights": ["door"] }));
    assert_eq!((made.0, &made.1["key"]["tenant"]), (200, &"globex".into()));
    assert_eq!(local("POST", "/keys", json!({})).0, 400, "a user of the machine says whose it is");
    assert_eq!(local("DELETE", "/tenants/globex", Value::Null).0, 200);
    assert_eq!(local("DELETE", "/tenants/globex", Value::Null).0, 404);

    board.run(&["tenants", "delete", "acme"]).must(64, &["--yes"]);
    assert_eq!(list(key).body["count"], 2);
    board.run(&["tenants", "delete", "acme", "--yes"]).must(0, &["2 embeddings"]);
    assert_eq!(list(key).code(), "invalid_api_key", "from the next call on");
    assert_eq!(local("GET", "/tenants", Value::Null).1["count"], 0);
    let (user, key) = (format!("user {}", rustix::process::getuid().as_raw()), made.1["key"]["id"].clone());
    eventually("what was done by the socket is in the journal", || {
        let entries = board.journal();
        let find = |call: &str, tenant: &str| {
            entries.iter().find(|entry| entry["call"] == call && entry["tenant"] == tenant && entry["outcome"] == "ok")
        };
        find("DELETE /v1/admin/tenants/{tenant}", "globex")?;
        let named = find("POST /v1/admin/keys", "globex")?;
        (named["key"] == key && named["by"] == user.as_str()).then_some(())
    });
    assert!(!std::fs::read_to_string(board.path("journal/journal.ndjson")).expect("the journal").contains("fg_"));
    board.run(&["tenants", "delete", "acme", "--yes"]).must(66, &["no tenant"]);
    daemon.stop();
}

/// A call by the daemon's own socket, without a key.
fn socket(board: &Board, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = UnixStream::connect(board.path("data/facegate.sock")).expect("the daemon's socket");
    stream.set_read_timeout(Some(patience())).expect("a timeout");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: facegate\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).expect("JSON"))
}

#[test]
fn a_call_that_was_under_way_brings_no_deleted_tenant_back() {
    let server = Server::start();
    let rules = br#"{"subjects": [{"id": "eve"}]}"#;
    let head = format!(
        "PUT /v1/access/rules HTTP/1.1\r\nHost: door\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: \
         {}\r\nExpect: 100-continue\r\n\r\n",
        server.keys[0],
        rules.len()
    );
    let mut stream = http::connect(server.address);
    stream.write_all(head.as_bytes()).expect("the head is sent");
    // The server asks for the body when it has let the key through.
    let mut told = [0; 25];
    stream.read_exact(&mut told).expect("it goes on");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    server.gallery.delete_tenant(&"acme".parse().expect("a name")).expect("it is there");
    stream.write_all(rules).expect("the body is sent");
    let reply = http::receive(&mut stream);
    assert_eq!((reply.status, reply.code()), (401, "invalid_api_key"));
    assert!(server.gallery.tenants().expect("a list").iter().all(|tenant| tenant.name.as_str() != "acme"));
}
