//! What is sent again: requests with an `Idempotency-Key`, and photographs that were seen a moment ago.

use std::thread;

use serde_json::json;

use crate::support::{
    Server,
    http::{self, Form, Reply},
    photo,
};

fn enrol(server: &Server, subject: &str, picture: &str, keys: &[&str]) -> Reply {
    let bearer = format!("Bearer {}", server.keys[0]);
    let kind = Form::content_type();
    let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", &kind)];
    headers.extend(keys.iter().map(|key| ("Idempotency-Key", *key)));
    let form = Form::new().text("subject_id", subject).image(&photo(picture)).bytes();
    http::call(server.address, "POST", "/v1/face-matching/enroll", &headers, Some(&form))
}

fn count(server: &Server) -> u64 {
    server.call("GET", "/embeddings?active_only=false", None).body["count"].as_u64().expect("a number")
}

#[test]
fn a_request_with_a_key_is_done_once() {
    let server = Server::start();
    let first = enrol(&server, "EMP-001", "obama.jpg", &["order 7"]);
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None), "{:?}", first.body);
    let again = enrol(&server, "EMP-001", "obama.jpg", &["order 7"]);
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!((&again.body["embeddingId"], count(&server)), (&first.body["embeddingId"], 1));
    for (subject, picture) in [("EMP-002", "obama.jpg"), ("EMP-001", "obama2.jpg")] {
        let reused = enrol(&server, subject, picture, &["order 7"]);
        assert_eq!((reused.status, reused.code()), (422, "idempotency_key_reused"));
    }
    for keys in [&[""][..], &["k\u{e9}y"], &["a", "b"], &[&"x".repeat(129)]] {
        assert_eq!(enrol(&server, "EMP-001", "obama.jpg", keys).code(), "invalid_field", "{keys:?}");
    }
    assert_eq!(enrol(&server, "EMP-003", "biden.jpg", &["order 8"]).status, 200);
    assert_eq!(enrol(&server, "EMP-001", "obama.jpg", &[]).status, 200, "without a key as ever");
    assert_eq!(count(&server), 3);
    let id = first.body["embeddingId"].as_str().expect("an id");
    assert_eq!(server.call("DELETE", &format!("/embeddings/{id}"), None).status, 200);
    let anew = enrol(&server, "EMP-001", "obama.jpg", &["order 7"]);
    assert_eq!((anew.status, anew.header("idempotency-replayed")), (200, None), "nothing was left of it");
}

#[test]
fn what_fails_is_tried_again_and_many_at_once_enrol_once() {
    let server = Server::start();
    let form = Form::new().text("subject_id", "EMP-001").image(b"no picture").bytes();
    let (bearer, kind) = (format!("Bearer {}", server.keys[0]), Form::content_type());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind.as_str()), ("Idempotency-Key", "order 7")];
    let broken = http::call(server.address, "POST", "/v1/face-matching/enroll", &headers, Some(&form));
    assert_eq!(broken.code(), "unsupported_image_format");
    let replies: Vec<Reply> = thread::scope(|scope| {
        let calls: Vec<_> =
            (0..6).map(|_| scope.spawn(|| enrol(&server, "EMP-001", "obama.jpg", &["order 7"]))).collect();
        calls.into_iter().map(|call| call.join().expect("it ends")).collect()
    });
    for reply in &replies {
        assert!(reply.status == 200 || reply.code() == "request_in_progress", "{:?}", reply.body);
        if reply.status == 409 {
            assert!(reply.header("retry-after").is_some());
        }
    }
    assert!(replies.iter().any(|reply| reply.status == 200));
    assert_eq!(count(&server), 1);
}

#[test]
fn a_photograph_that_comes_again_skips_the_networks_until_somebody_is_deleted() {
    let server = Server::start();
    let cache = |reply: &Reply| reply.header("embedding-cache").map(str::to_owned);
    let probe = |tenant: usize| {
        let reply = server.call_as(tenant, "POST", "/search", Some(&Form::new().image(&photo("obama2.jpg"))));
        assert_eq!(reply.status, 200);
        (cache(&reply), reply.body["matches"].clone())
    };
    let id = server.enrol(0, "EMP-001", &photo("obama.jpg"));
    let (first, second) = (probe(0), probe(0));
    assert_eq!((first.0.as_deref(), second.0.as_deref()), (Some("miss"), Some("hit")));
    assert_eq!(first.1, second.1);
    assert_eq!(probe(1).0.as_deref(), Some("miss"), "another tenant learns nothing of it");
    let verify = server.call("POST", "/verify/EMP-001", Some(&Form::new().image(&photo("obama2.jpg"))));
    assert_eq!((cache(&verify).as_deref(), &verify.body["verified"]), (Some("hit"), &json!(true)));
    let refused =
        server.call("POST", "/enroll", Some(&Form::new().text("subject_id", "x").image(&photo("obama2.jpg"))));
    assert_ne!(cache(&refused).as_deref(), Some("hit"), "it has passed no gate yet");
    let both = Form::new().image_as("image1", &photo("obama.jpg")).image_as("image2", &photo("obama2.jpg"));
    let compared = server.call("POST", "/compare", Some(&both));
    assert_eq!(cache(&compared).as_deref(), Some("miss"), "one of them was seen for an enrolment alone");
    assert_eq!(cache(&server.call("POST", "/compare", Some(&both))).as_deref(), Some("hit"));
    let again = server.call("POST", "/enroll", Some(&Form::new().text("subject_id", "y").image(&photo("obama.jpg"))));
    assert_eq!(cache(&again).as_deref(), Some("hit"));
    assert_eq!(server.call("DELETE", &format!("/embeddings/{id}"), None).status, 200);
    assert_eq!(probe(0).0.as_deref(), Some("miss"));
}

#[test]
fn a_photograph_is_as_alike_whether_it_was_enrolled_a_moment_ago_or_not() {
    let server = Server::start();
    server.enrol(0, "EMP-001", &photo("obama.jpg"));
    let alike = || {
        let reply = server.call("POST", "/verify/EMP-001", Some(&Form::new().image(&photo("obama2.jpg"))));
        reply.body["similarity"].clone()
    };
    let before = alike();
    server.enrol(0, "EMP-002", &photo("obama2.jpg"));
    assert_eq!(alike(), before, "known from a search and from an enrolment");
    let other = Server::start();
    other.enrol(0, "EMP-001", &photo("obama.jpg"));
    other.enrol(0, "EMP-002", &photo("obama2.jpg"));
    let reply = other.call("POST", "/verify/EMP-001", Some(&Form::new().image(&photo("obama2.jpg"))));
    assert_eq!(reply.body["similarity"], before, "known from an enrolment alone");
}

#[test]
fn a_request_that_is_sent_again_gets_the_same_warnings() {
    let server = Server::start();
    enrol(&server, "EMP-001", "obama.jpg", &[]);
    let first = enrol(&server, "EMP-002", "obama2.jpg", &["order 7"]);
    let again = enrol(&server, "EMP-002", "obama2.jpg", &["order 7"]);
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.body["warnings"], first.body["warnings"]);
    assert_eq!(again.body["warnings"][0]["code"], "duplicate_subject");
    assert_eq!(again.body["warnings"][0]["subject_id"], "EMP-001");
    assert_eq!(server.call("DELETE", "/embeddings?subject_id=EMP-001", None).status, 200);
    let again = enrol(&server, "EMP-002", "obama2.jpg", &["order 7"]);
    assert!(!again.body.to_string().contains("EMP-001"), "of whom was deleted nothing is told: {:?}", again.body);
    assert_eq!(again.body["warnings"][0]["code"], "duplicate_subject");
}

#[test]
fn who_enrols_somebody_suspended_is_told_that_nobody_will_match_the_face() {
    let server = Server::start();
    server.enrol(0, "EMP-001", &photo("obama.jpg"));
    let bearer = format!("Bearer {}", server.keys[0]);
    let patch = |body: &[u8]| {
        let path = "/v1/face-matching/subjects/EMP-001";
        http::call(server.address, "PATCH", path, &[("Authorization", &bearer)], Some(body)).status
    };
    assert_eq!(patch(b"{\"active\": false}"), 200);
    for key in ["order 7", "order 7"] {
        let reply = enrol(&server, "EMP-001", "obama2.jpg", &[key]);
        assert_eq!((reply.status, &reply.body["warnings"][0]["code"]), (200, &json!("subject_suspended")));
    }
    assert_eq!(patch(b"{\"active\": true}"), 200);
    let reply = enrol(&server, "EMP-001", "obama2.jpg", &[]);
    assert_eq!((reply.status, reply.body.get("warnings")), (200, None));
}
