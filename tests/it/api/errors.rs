//! The table of errors: status, code, body and headers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use facegate::{
    api::{self, door_not_ready},
    error::Kind,
    gallery::{self, NewEnrolment, TenantId},
    recognition,
    vision::{DIMENSION, Embedding},
};

use crate::support::{
    Server,
    http::{Form, Reply, call},
    photo,
};

/// Checks the shape that every error has, and gives its status and code.
fn error(reply: &Reply) -> (u16, String) {
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.body["success"], false);
    let error = reply.body["error"].as_object().unwrap_or_else(|| panic!("an error: {:?}", reply.body));
    assert_eq!(error.len(), 3);
    assert_eq!(error["request_id"].as_str(), reply.header("x-request-id"));
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    (reply.status, reply.code().to_owned())
}

fn is(reply: &Reply, status: u16, code: &str) {
    assert_eq!(error(reply), (status, code.to_owned()), "{:?}", reply.body);
}

fn message(reply: &Reply) -> &str {
    reply.body["error"]["message"].as_str().expect("a message")
}

#[test]
fn fields_that_are_missing_or_out_of_range_are_named() {
    let server = Server::start();
    let photo = photo("obama.jpg");
    let image = || Form::new().image(&photo);

    is(&server.call("POST", "/enroll", Some(&image())), 400, "missing_field");
    is(&server.call("POST", "/enroll", Some(&image().text("subject_id", ""))), 400, "missing_field");
    let without = Form::new().text("subject_id", "EMP-001");
    for (path, form) in [("/enroll", &without), ("/search", &Form::new()), ("/verify/EMP-001", &Form::new())] {
        let reply = server.call("POST", path, Some(form));
        is(&reply, 400, "missing_field");
        assert!(message(&reply).contains("image"));
    }
    is(&server.call("POST", "/search", Some(&Form::new().image(b""))), 400, "missing_field");

    let long = "é".repeat(129);
    let cases = [
        ("/enroll", "quality_score", "1.1"),
        ("/enroll", "liveness_score", "-0.1"),
        ("/enroll", "enrollment_source", "a\nb"),
        ("/enroll", "subject_id", "a\u{7}b"),
        ("/enroll", "subject_id", &long),
        ("/search", "threshold", "1.5"),
        ("/search", "threshold", "NaN"),
        ("/search", "threshold", "0,6"),
        ("/search", "limit", "0"),
        ("/search", "limit", "101"),
        ("/search", "limit", "ten"),
        ("/verify/EMP-001", "threshold", "-1"),
    ];
    for (path, field, value) in cases {
        let mut form = image().text(field, value);
        if path == "/enroll" && field != "subject_id" {
            form = form.text("subject_id", "EMP-001");
        }
        let reply = server.call("POST", path, Some(&form));
        is(&reply, 400, "invalid_field");
        assert!(message(&reply).contains(field), "{reply:?} names {field}");
    }
    for query in ["limit=0", "limit=1001", "active_only=maybe", "cursor=x", "subject_id=%00", "limit=1&limit=2"] {
        is(&server.call("GET", &format!("/embeddings?{query}"), None), 400, "invalid_field");
    }
    is(&server.call("POST", "/verify/%FF%FE", Some(&image())), 400, "invalid_field");
    is(&server.call("POST", "/search", Some(&image().image(&photo))), 400, "invalid_field");
    let twice = image().text("subject_id", "a").text("subject_id", "b");
    is(&server.call("POST", "/enroll", Some(&twice)), 400, "invalid_field");

    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(64 << 10));
    let deep = format!("{}1{}", r#"{"a":"#.repeat(33), "}".repeat(33));
    for metadata in
        ["[]", "null", "{", "text", &large, r#"{"a": 18446744073709551616}"#, r#"{"a": {"b": 1, "b": 2}}"#, &deep]
    {
        let form = image().text("subject_id", "EMP-001").text("metadata", metadata);
        is(&server.call("POST", "/enroll", Some(&form)), 400, "invalid_metadata");
    }
    assert_eq!(server.call("GET", "/embeddings", None).body["count"], 0, "nothing was kept");
}

#[test]
fn fields_that_a_call_does_not_read_are_passed_over_whatever_is_in_them() {
    let server = Server::start();
    let more = |form: Form| {
        form.image_as("scan", b"\xff\xfe\0\x80")
            .text("note", &"x".repeat(100_000))
            .text("note", "again")
            .image_as("image1", b"no picture")
            .image_as("image1", b"nor this")
            .text("", "without a name")
            .text("", "nor this")
    };
    let form = more(Form::new()).text("subject_id", "EMP-001").image(&photo("obama.jpg"));
    let enrolled = server.call("POST", "/enroll", Some(&more(form)));
    assert_eq!(enrolled.status, 200, "{enrolled:?}");
    for path in ["/search", "/verify/EMP-001", "/detect"] {
        let form = more(Form::new()).text("subject_id", "a").text("subject_id", "b").image(&photo("obama.jpg"));
        let reply = server.call("POST", path, Some(&form));
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    }
    let metadata = Form::new().text("subject_id", "EMP-002").image_as("metadata", b"{\"a\": \"\xff\"}");
    is(&server.call("POST", "/enroll", Some(&metadata.image(&photo("obama.jpg")))), 400, "invalid_metadata");
}

#[test]
fn a_body_that_is_no_form_is_malformed() {
    let server = Server::start();
    let key = format!("Bearer {}", server.keys[0]);
    let send = |content_type: Option<&str>, body: &[u8]| {
        let mut headers = vec![("Authorization", key.as_str())];
        headers.extend(content_type.map(|value| ("Content-Type", value)));
        call(server.address, "POST", "/v1/face-matching/search", &headers, Some(body))
    };
    let content_type = Form::content_type();
    let whole = Form::new().image(&photo("obama.jpg")).bytes();
    is(&send(None, &whole), 400, "malformed_request");
    is(&send(Some("application/json"), b"{}"), 400, "malformed_request");
    is(&send(Some("multipart/form-data"), &whole), 400, "malformed_request");
    is(&send(Some("multipart/form-data; boundary=another"), &whole), 400, "malformed_request");
    is(&send(Some(&content_type), &whole[..whole.len() / 2]), 400, "malformed_request");
    is(&send(Some(&content_type), b""), 400, "malformed_request");
    let many = (0..40).fold(Form::new(), |form, number| form.text(&format!("field-{number}"), "x"));
    is(&send(Some(&content_type), &many.bytes()), 400, "malformed_request");
    assert_eq!(send(Some(&content_type), &whole).status, 200, "and a good one goes on");
}

#[test]
fn a_body_that_is_compressed_is_told_so() {
    let server = Server::start();
    let (key, kind) = (format!("Bearer {}", server.keys[0]), Form::content_type());
    let form = Form::new().image(&photo("obama.jpg")).bytes();
    let send = |path: &str, encoding: &str| {
        let headers = [("Authorization", key.as_str()), ("Content-Type", &kind), ("Content-Encoding", encoding)];
        call(server.address, "POST", &format!("/v1/face-matching{path}"), &headers, Some(&form))
    };
    for (path, encoding) in [("/search", "gzip"), ("/search", "br"), ("/enroll/batch", "gzip")] {
        is(&send(path, encoding), 415, "unsupported_media_type");
    }
    assert_eq!(send("/search", "identity").status, 200);
}

#[test]
fn a_call_without_a_valid_key_gets_nowhere() {
    let server = Server::start();
    let send = |headers: &[(&str, &str)]| {
        let reply = call(server.address, "GET", "/v1/face-matching/embeddings", headers, None);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        (error(&reply), reply)
    };
    let missing = (401, "missing_api_key".to_owned());
    let invalid = (401, "invalid_api_key".to_owned());
    assert_eq!(send(&[]).0, missing);
    assert_eq!(send(&[("Authorization", "Basic YWRtaW46YWRtaW4=")]).0, missing);
    assert_eq!(send(&[("Authorization", "Bearer ")]).0, missing);
    let (code, reply) = send(&[("Authorization", "Bearer not-a-key")]);
    assert_eq!(code, invalid);
    assert!(!message(&reply).contains("not-a-key"), "an answer never echoes a key");
    let mut close = server.keys[0].clone();
    let last = if close.pop() == Some('a') { 'b' } else { 'a' };
    close.push(last);
    assert_eq!(send(&[("Authorization", &format!("Bearer {close}"))]).0, invalid);

    // A revoked key ends at once.
    let tenant = "gamma".parse::<TenantId>().expect("a tenant's name");
    let key = server.gallery.add_key(&tenant, Some("to be revoked"), Default::default()).expect("a key is added");
    let authorization = format!("Bearer {}", key.secret);
    let path = "/v1/face-matching/embeddings";
    assert_eq!(call(server.address, "GET", path, &[("Authorization", &authorization)], None).status, 200);
    server.gallery.revoke_key(&key.id).expect("the key is there");
    assert_eq!(send(&[("Authorization", &authorization)]).0, invalid);

    // The key is looked at before the body: nobody uploads without one.
    let photo = Form::new().image(&photo("obama.jpg")).bytes();
    let headers = [("Content-Type", Form::content_type())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    is(&call(server.address, "POST", "/v1/face-matching/search", &headers, Some(&photo)), 401, "missing_api_key");
}

#[test]
fn paths_and_methods_that_are_not_there() {
    let server = Server::start();
    for path in ["/", "/v1", "/v1/face-matching", "/v1/face-matching/enrol", "/v2/face-matching/search", "/%00"] {
        is(&call(server.address, "GET", path, &[], None), 404, "not_found");
    }
    let allowed = |method: &str, path: &str| {
        let reply = call(server.address, method, path, &[], None);
        is(&reply, 405, "method_not_allowed");
        let mut allow: Vec<_> = reply.header("allow").expect("Allow is there").split(',').map(str::to_owned).collect();
        allow.sort_unstable();
        allow.join(",")
    };
    assert_eq!(allowed("GET", "/v1/face-matching/enroll"), "POST");
    assert_eq!(allowed("PUT", "/v1/face-matching/verify/EMP-001"), "POST");
    assert_eq!(allowed("POST", "/v1/face-matching/embeddings"), "DELETE,GET,HEAD");
    assert_eq!(allowed("PATCH", "/v1/face-matching/embeddings/x"), "DELETE");
    assert_eq!(allowed("DELETE", "/healthz"), "GET,HEAD");
    is(&server.call("DELETE", "/embeddings/not-a-uuid", None), 404, "embedding_not_found");
}

#[test]
fn a_request_keeps_its_id_where_that_is_well_formed() {
    let server = Server::start();
    let send = |id: &str| call(server.address, "GET", "/healthz", &[("X-Request-Id", id)], None);
    assert_eq!(send("abc-DEF.1_2").header("x-request-id"), Some("abc-DEF.1_2"));
    let own = send("not well formed").header("x-request-id").map(str::to_owned).expect("there is one");
    assert!(own != "not well formed" && !own.is_empty());
    let reply = call(server.address, "GET", "/nowhere", &[("x-request-id", "mine")], None);
    assert_eq!(reply.body["error"]["request_id"], "mine");
}

#[test]
fn what_watches_the_daemon_is_told_whether_it_works() {
    let server = Server::start();
    let health = |path: &str| call(server.address, "GET", path, &[], None);
    assert_eq!(health("/healthz").status, 200);
    is(&health("/readyz"), 503, "not_ready");
    let works = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&works);
    server.readiness.watch(move || if asked.load(Ordering::Relaxed) { Ok(()) } else { Err(door_not_ready()) });
    assert_eq!(health("/readyz").status, 200);
    works.store(false, Ordering::Relaxed);
    is(&health("/readyz"), 503, "not_ready");
    assert_eq!(server.call("GET", "/embeddings", None).status, 200, "the API does not wait for a door");

    server.readiness.stop();
    let reply = server.call("GET", "/embeddings", None);
    is(&reply, 503, "not_ready");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(health("/healthz").status, 200, "the process is up all the same");
}

#[test]
fn when_all_places_are_taken_a_call_is_told_to_come_again() {
    let recognition = recognition::Settings { workers: 1, queue: 1, ..recognition::Settings::default() };
    let server = Server::with(api::Settings { max_uploads: 3, recognition, ..api::Settings::default() });
    server.enrol(0, "EMP-001", &photo("obama.jpg"));
    let form = Form::new().image(&photo("obama3.jpg"));
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| server.call("POST", "/search", Some(&form)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a call is answered")).collect()
    });
    let (done, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert!(!done.is_empty(), "some are served");
    assert!(!refused.is_empty(), "one thread and a queue of one cannot take sixteen");
    for reply in refused {
        is(reply, 503, "busy");
        assert!(reply.header("retry-after").is_some());
    }
    assert_eq!(server.call("POST", "/search", Some(&form)).status, 200, "afterwards there is room again");
}

#[test]
fn when_the_store_is_full_nothing_of_an_enrolment_is_kept() {
    let store = gallery::Settings { max_mb: 1, ..gallery::Settings::default() };
    let server = Server::of(api::Settings::default(), store);
    let tenant: TenantId = "acme".parse().expect("a tenant's name");
    let full = (0..10_000).find_map(|number| {
        let mut vector = [0.1; DIMENSION];
        vector[number % DIMENSION] = 1.0;
        let new = NewEnrolment {
            subject: format!("EMP-{number}").parse().expect("a subject's id"),
            embedding: Embedding::normalised(&vector).expect("a direction"),
            quality_score: 1.0,
            liveness_score: None,
            source: None,
            metadata: None,
            photograph: None,
        };
        server.gallery.enroll(&tenant, new).err()
    });
    assert_eq!(full.expect("10,000 do not fit").kind(), Kind::StorageFull);
    let everything = || server.gallery.stats().expect("the store can be read").active;
    let before = everything();
    let form = Form::new().text("subject_id", "one-too-many").image(&photo("obama.jpg"));
    is(&server.call("POST", "/enroll", Some(&form)), 507, "storage_full");
    assert_eq!(everything(), before);
    is(&server.call("POST", "/verify/one-too-many", Some(&form)), 404, "subject_not_found");
    assert_eq!(server.call("DELETE", "/embeddings", None).status, 200, "there is always room to delete");
    assert_eq!(server.call("POST", "/enroll", Some(&form)).status, 200, "and then to enrol again");
}
