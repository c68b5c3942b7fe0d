//! Many enrolments in one call, and a tenant taken in over REST.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use facegate::{api, gallery::Right};
use serde_json::{Value, json};

use crate::support::{
    Server,
    daemon::eventually,
    http::{Form, connect, everything, receive},
    photo,
};

fn begin(server: &Server, key: &str, path: &str, kind: &str, body: &[u8]) -> TcpStream {
    let mut stream = connect(server.address);
    let head = format!(
        "POST /v1/face-matching{path} HTTP/1.0\r\nHost: door\r\nAuthorization: Bearer {key}\r\nContent-Type: \
         {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the server takes the head");
    stream
}

/// The lines of the answer.
fn told(stream: &mut TcpStream) -> Vec<Value> {
    let answer = String::from_utf8(everything(stream)).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    assert!(head.contains(" 200 ") && head.contains("application/x-ndjson"), "{head}\n{body}");
    body.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

pub(super) fn send(server: &Server, path: &str, kind: &str, body: &[u8]) -> Vec<Value> {
    let mut stream = begin(server, &server.keys[0], path, kind, body);
    stream.write_all(body).expect("the server hears a client out");
    told(&mut stream)
}

pub(super) fn line(subject: &str, picture: &[u8]) -> String {
    json!({ "subject_id": subject, "image": STANDARD.encode(picture), "metadata": {"name": subject} }).to_string()
        + "\n"
}

pub(super) fn counts(end: &Value) -> [u64; 4] {
    ["items", "enrolled", "repeated", "failed"].map(|name| end[name].as_u64().expect("a number"))
}

/// Keys by which the enrolments of the first tenant are given out, and taken in for the second.
fn transfer_keys(server: &Server) -> [String; 2] {
    let rights = [Right::Transfer].into_iter().collect();
    ["acme", "beta"]
        .map(|tenant| server.gallery.add_key(&tenant.parse().expect("a name"), None, rights).expect("a key").secret)
}

/// The tenant of this key as a file.
fn exported(server: &Server, key: &str) -> String {
    let answer = everything(&mut begin(server, key, "/export", "text/plain", b""));
    let answer = String::from_utf8(answer).expect("text");
    answer.split_once("\r\n\r\n").expect("a whole answer").1.to_owned()
}

#[test]
fn a_tenant_that_leaves_its_batches_open_keeps_no_other_out() {
    let server = Server::with(api::Settings { max_uploads: 4, limits: api::Limits::off(), ..api::Settings::default() });
    let open = || begin(&server, &server.keys[0], "/enroll/batch", "application/x-ndjson", &[b' '; 1000]);
    let batches = [open(), open()].map(|mut stream| {
        // The answer begins when there is a place.
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("an answer");
        assert!(start.ends_with(b" 200"), "{:?}", String::from_utf8_lossy(&start));
        stream
    });
    let form = Form::new().image(&photo("obama.jpg"));
    for refused in [receive(&mut open()), server.call("POST", "/search", Some(&form))] {
        assert_eq!((refused.status, refused.code()), (503, "busy"), "{:?}", refused.body);
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(server.call_as(1, "POST", "/search", Some(&form)).status, 200, "another tenant");
    drop(batches);
    eventually("its places are free again", || {
        (server.call("POST", "/search", Some(&form)).status == 200).then_some(())
    });
}

#[test]
fn each_item_has_its_own_outcome_and_none_is_enrolled_twice() {
    let server = Server::start();
    let items = [
        line("EMP-001", &photo("obama.jpg")),
        line("EMP-002", b"no picture"),
        "{\"subject_id\": 7}\n".to_owned(),
        line("EMP-003", &photo("biden.jpg")),
        line("EMP-001", &photo("obama.jpg")),
    ];
    let lines = send(&server, "/enroll/batch", "application/x-ndjson", items.concat().as_bytes());
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert_eq!(
        (&lines[0]["success"], &lines[0]["subject_id"], &lines[0]["repeated"]),
        (&json!(true), &json!("EMP-001"), &json!(false))
    );
    assert_eq!(lines[1]["error"]["code"], "unsupported_image_format");
    assert_eq!((&lines[2]["index"], &lines[2]["error"]["code"]), (&json!(2), &json!("invalid_field")));
    assert_eq!((&lines[4]["repeated"], &lines[4]["embeddingId"]), (&json!(true), &lines[0]["embeddingId"]));
    assert_eq!((&lines[5]["done"], counts(&lines[5])), (&json!(true), [5, 2, 1, 2]));

    let again = send(&server, "/enroll/batch", "application/x-ndjson", items.concat().as_bytes());
    assert_eq!(counts(again.last().expect("an end")), [5, 0, 3, 2], "sent again, it goes on");
    let list = server.call("GET", "/embeddings", None).body;
    assert_eq!((&list["count"], &list["embeddings"][0]["metadata"]["name"]), (&json!(2), &json!("EMP-001")));
}

#[test]
fn a_form_of_many_is_taken_as_curl_sends_it() {
    let server = Server::start();
    let item = |subject: &str| json!({ "subject_id": subject, "enrollment_source": "badge office" }).to_string();
    let form = Form::new()
        .text("item", &item("EMP-001"))
        .image(&photo("obama.jpg"))
        .text("item", &item("EMP-002"))
        .image(b"")
        .text("item", &item("EMP-003"))
        .image(&photo("biden.jpg"));
    let lines = send(&server, "/enroll/batch", &Form::content_type(), &form.bytes());
    assert_eq!(counts(lines.last().expect("an end")), [3, 2, 0, 1], "{lines:?}");
    assert_eq!(lines[1]["error"]["code"], "missing_field");
    let list = server.call("GET", "/embeddings", None).body;
    assert_eq!(list["embeddings"][1]["enrollment_source"], "badge office");

    let astray = Form::new().text("item", &item("EMP-004")).text("item", &item("EMP-005")).image(&photo("biden.jpg"));
    let lines = send(&server, "/enroll/batch", &Form::content_type(), &astray.bytes());
    assert_eq!((&lines[0]["done"], &lines[0]["error"]["code"]), (&json!(false), &json!("malformed_request")));
    for (kind, body) in [("text/plain", &b"hello"[..]), ("multipart/form-data", b"x")] {
        let mut stream = begin(&server, &server.keys[0], "/enroll/batch", kind, body);
        stream.write_all(body).expect("the server hears a client out");
        let answer = String::from_utf8_lossy(&everything(&mut stream)).into_owned();
        assert!(answer.contains(" 400 ") && answer.contains("malformed_request"), "{answer}");
    }
}

#[test]
fn a_photograph_or_an_item_that_is_too_large_stops_no_other() {
    let mut settings = api::Settings { limits: api::Limits::off(), max_field_bytes: 1_024, ..api::Settings::default() };
    settings.recognition.max_image_bytes = 300_000;
    let server = Server::with(settings);
    // Longer than an image may be, and longer than a line.
    let large = [line("EMP-001", &vec![0; 300_001]), line("EMP-002", &vec![0; 5_000_000])].concat();
    let lines = [large, line("EMP-003", &photo("obama.jpg"))].concat();
    let told = send(&server, "/enroll/batch", "application/x-ndjson", lines.as_bytes());
    let end = told.last().expect("an end");
    assert_eq!((&end["done"], counts(end)), (&json!(true), [3, 1, 0, 2]), "{told:?}");
    assert!(told[..2].iter().all(|told| told["error"]["code"] == "image_too_large"), "{told:?}");

    // Metadata as long as a photograph may be: as values they would take many times as much memory.
    let nulls = format!(
        r#"{{"subject_id": "EMP-007", "image": "YWJj", "metadata": {{"a": [{}null]}}}}"#,
        "null,".repeat(60_000)
    );
    let lines = [nulls + "\n", line("EMP-008", &photo("obama2.jpg"))].concat();
    let told = send(&server, "/enroll/batch", "application/x-ndjson", lines.as_bytes());
    assert_eq!((&told[0]["error"]["code"], counts(&told[2])), (&json!("invalid_metadata"), [2, 1, 0, 1]), "{told:?}");

    let long = json!({ "subject_id": "EMP-005", "metadata": {"name": "x".repeat(50_000)} }).to_string();
    let form = Form::new()
        .text("item", r#"{"subject_id": "EMP-004"}"#)
        .image(&vec![0; 5_000_000])
        .text("item", &long)
        .image(&photo("obama.jpg"))
        .text("item", r#"{"subject_id": "EMP-006"}"#)
        .image(&photo("obama.jpg"));
    let told = send(&server, "/enroll/batch", &Form::content_type(), &form.bytes());
    let end = told.last().expect("an end");
    assert_eq!((&end["done"], counts(end)), (&json!(true), [3, 1, 0, 2]), "{told:?}");
    let codes = [&told[0]["error"]["code"], &told[1]["error"]["code"], &told[2]["subject_id"]];
    assert_eq!(codes, ["image_too_large", "invalid_field", "EMP-006"], "{told:?}");
}

#[test]
fn a_form_s_field_whose_head_does_not_end_ends_the_batch() {
    let server = Server::start();
    let whole = Form::new().text("item", r#"{"subject_id": "EMP-001"}"#).image(&photo("obama.jpg")).bytes();
    let padding = vec![b'x'; 1_000_000];
    let head = b"Content-Disposition: form-data; name=\"item\"\r\nX-More: ";
    let boundary = whole.split(|byte| *byte == b'\r').next().expect("a boundary");
    let end = b"\r\n\r\n{}\r\n";
    for body in [
        [&padding[..], b"\r\n", &whole].concat(),
        [boundary, b"\r\n", head, &padding, end, &whole].concat(),
        [boundary, &vec![b' '; 1_000_000], b"\r\n", head, end, &whole].concat(),
    ] {
        let told = send(&server, "/enroll/batch", &Form::content_type(), &body);
        assert_eq!((told.len(), &told[0]["done"]), (1, &json!(false)), "{told:?}");
        assert_eq!(told[0]["error"]["code"], "malformed_request");
        assert!(told[0]["error"]["message"].as_str().expect("text").contains("too long"), "{told:?}");
    }
    let told = send(&server, "/enroll/batch", &Form::content_type(), &whole);
    assert_eq!(counts(told.last().expect("an end")), [1, 1, 0, 0], "{told:?}");
}

#[test]
fn an_item_s_mistakes_have_the_codes_of_a_form_s_and_stand_beside_its_subject() {
    let server = Server::start();
    let image = STANDARD.encode(photo("obama.jpg"));
    let with = |fields: Value| {
        let mut item = json!({ "subject_id": "EMP-001", "image": image });
        item.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        format!("{item}\n")
    };
    let items = [
        (with(json!({ "subject_id": null })), "missing_field"),
        (with(json!({ "subject_id": "" })), "missing_field"),
        (with(json!({ "metadata": [1] })), "invalid_metadata"),
        (with(json!({ "quality_score": 2 })), "invalid_field"),
        (with(json!({ "image": "" })), "missing_field"),
        (format!("[\"EMP-001\", null, null, null, null, false, \"{image}\"]\n"), "invalid_field"),
        (
            format!("{{\"subject_id\": \"EMP-001\", \"subject_id\": \"EMP-002\", \"image\": \"{image}\"}}\n"),
            "invalid_field",
        ),
    ];
    let body: String = items.iter().map(|(item, _)| item.as_str()).collect();
    let fine = with(json!({ "metadata": null, "badge": {"number": 7} }));
    let told = send(&server, "/enroll/batch", "application/x-ndjson", (body + &fine).as_bytes());
    for (told, (_, code)) in told.iter().zip(&items) {
        assert_eq!(told["error"]["code"], *code, "{told}");
        assert!(!told.to_string().contains("struct"), "{told}");
    }
    let named: Vec<_> = told[..items.len()].iter().map(|told| told["subject_id"] == "EMP-001").collect();
    assert_eq!(named, [false, false, true, true, true, false, false], "{told:?}");
    assert_eq!(
        counts(told.last().expect("an end")),
        [8, 1, 0, 7],
        "what an enrolment has not is passed over: {told:?}"
    );
}

#[test]
fn bounds_end_a_batch_and_what_was_enrolled_stays() {
    let settings = api::Settings {
        limits: api::Limits::off(),
        max_batch_items: 2,
        request_timeout_s: 2,
        ..api::Settings::default()
    };
    let server = Server::with(settings);
    let bad = line("EMP-001", b"no picture");
    let lines = send(&server, "/enroll/batch", "application/x-ndjson", bad.repeat(3).as_bytes());
    let end = lines.last().expect("an end");
    assert_eq!((lines.len(), &end["done"], &end["error"]["code"]), (3, &json!(false), &json!("too_large")));

    // One that stops sending is told so, and is not waited for.
    let item = line("EMP-001", &photo("obama.jpg"));
    let mut stream = begin(&server, &server.keys[0], "/enroll/batch", "application/x-ndjson", &[0; 9_000_000]);
    stream.write_all(item.as_bytes()).expect("an item is sent");
    stream.write_all(b"{\"subj").expect("and the start of another");
    let lines = told(&mut stream);
    assert_eq!((&lines[0]["success"], lines.len()), (&json!(true), 2));
    assert_eq!((&lines[1]["done"], &lines[1]["error"]["code"]), (&json!(false), &json!("request_timeout")));
    assert_eq!(server.call("GET", "/embeddings", None).body["count"], 1);
}

#[test]
fn a_key_that_is_revoked_ends_its_batch() {
    let server = Server::start();
    let item = line("EMP-001", b"no picture");
    let mut stream = begin(&server, &server.keys[0], "/enroll/batch", "application/x-ndjson", &[0; 9_000_000]);
    stream.write_all(item.as_bytes()).expect("an item is sent");
    let mut so_far = Vec::new();
    while !so_far.ends_with(b"}\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a line comes at once");
        so_far.extend(byte);
    }
    let key = server.gallery.keys().expect("a list").into_iter().find(|key| key.tenant.as_str() == "acme");
    server.gallery.revoke_key(&key.expect("it is there").id).expect("it is revoked");
    stream.write_all(item.as_bytes()).expect("another item is sent");
    let end: Value = serde_json::from_slice(&everything(&mut stream)).expect("a line of JSON");
    assert_eq!((&end["done"], &end["error"]["code"]), (&json!(false), &json!("invalid_api_key")));
}

#[test]
fn a_key_that_is_revoked_ends_its_import_and_nothing_more_is_stored() {
    let server = Server::start();
    server.enrol(0, "EMP-001", &photo("obama.jpg"));
    let [from, into] = transfer_keys(&server);
    let file = exported(&server, &from);

    let mut stream = begin(&server, &into, "/import", "application/x-ndjson", &[0; 9_000_000]);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the answer begins at once");
        head.extend(byte);
    }
    let all = server.gallery.keys().expect("a list").into_iter();
    for key in all.filter(|key| key.tenant.as_str() == "beta" && key.rights.has(Right::Transfer)) {
        server.gallery.revoke_key(&key.id).expect("it is revoked");
    }
    stream.write_all(file.as_bytes()).expect("the file is sent");
    let end: Value = serde_json::from_slice(&everything(&mut stream)).expect("a line of JSON");
    assert_eq!((&end["done"], &end["error"]["code"]), (&json!(false), &json!("invalid_api_key")), "{end}");
    assert_eq!(
        (&end["imported"], &server.call_as(1, "GET", "/embeddings", None).body["count"]),
        (&json!(0), &json!(0))
    );
    let mut refused = begin(&server, &into, "/export", "text/plain", b"");
    assert!(String::from_utf8_lossy(&everything(&mut refused)).contains("invalid_api_key"));
}

#[test]
fn batches_that_say_the_same_at_the_same_time_enrol_once_and_neither_fails() {
    let server = Server::start();
    let item = line("EMP-001", &photo("obama.jpg"));
    let ends: Vec<Value> = std::thread::scope(|scope| {
        let call = || send(&server, "/enroll/batch", "application/x-ndjson", item.as_bytes()).remove(1);
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().expect("it ends")).collect()
    });
    let all = ends.iter().map(counts).fold([0; 4], |sum, one| [0, 1, 2, 3].map(|at| sum[at] + one[at]));
    assert_eq!(all, [4, 1, 3, 0], "{ends:?}");
    assert_eq!(server.call("GET", "/embeddings", None).body["count"], 1);
}

#[test]
fn whoever_goes_away_leaves_no_work_behind() {
    let server = Server::start();
    let item = line("EMP-001", &photo("obama.jpg"));
    let mut stream = begin(&server, &server.keys[0], "/enroll/batch", "application/x-ndjson", &[0; 9_000_000]);
    stream.write_all(item.as_bytes()).expect("an item is sent");
    eventually("the item is stored", || (server.call("GET", "/embeddings", None).body["count"] == 1).then_some(()));
    drop(stream);
    for _ in 0..20 {
        assert_eq!(send(&server, "/enroll/batch", "application/x-ndjson", b"").len(), 1, "its place is given back");
    }
}

#[test]
fn a_tenant_is_taken_in_over_rest_and_a_cut_file_told() {
    let server = Server::start();
    server.enrol(0, "EMP-001", &photo("obama.jpg"));
    let [from, into] = transfer_keys(&server);
    let file = told(&mut begin(&server, &from, "/export", "text/plain", b""));
    let text = exported(&server, &from);
    assert_eq!((file.len(), text.lines().count()), (3, 3));
    let import = |text: &str| {
        let mut stream = begin(&server, &into, "/import", "application/x-ndjson", text.as_bytes());
        stream.write_all(text.as_bytes()).expect("the server hears a client out");
        told(&mut stream).remove(0)
    };
    let cut: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    let end = import(&cut);
    assert_eq!((&end["done"], &end["error"]["code"]), (&json!(false), &json!("invalid_field")), "{end}");
    let end = import(&text);
    assert_eq!((&end["done"], &end["imported"], &end["already_there"]), (&json!(true), &json!(0), &json!(1)), "{end}");
    let found = server.call_as(1, "POST", "/search", Some(&Form::new().image(&photo("obama2.jpg"))));
    assert_eq!(found.body["matches"][0]["subject_id"], "EMP-001");
    assert_eq!(import("garbage\n")["error"]["code"], "invalid_field");

    let counts = |end: &Value| ["imported", "already_there"].map(|name| end[name].as_u64().expect("a number"));
    server.gallery.delete_all(&"beta".parse().expect("a name")).expect("all are gone");
    let end = import(&format!("{cut}garbage\n"));
    assert_eq!((&end["done"], counts(&end)), (&json!(false), [1, 0]), "what came before is stored, and told: {end}");
    let end = import(&format!("{cut}garbage\n"));
    assert_eq!((&end["done"], counts(&end)), (&json!(false), [0, 1]), "{end}");
    server.gallery.delete_all(&"beta".parse().expect("a name")).expect("all are gone");
    server.gallery.limit_tenant(&"beta".parse().expect("a name"), Some(0)).expect("it is limited");
    let end = import(&text);
    assert_eq!((&end["error"]["code"], counts(&end)), (&json!("capacity_reached"), [0, 0]), "{end}");
}
