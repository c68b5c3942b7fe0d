//! Subjects over a real socket: listed, read, suspended, their metadata changed; and lists of any length.

use facegate::{
    gallery::{NewEnrolment, SubjectId},
    vision::{DIMENSION, Embedding},
};
use serde_json::{Value, json};

use crate::support::{
    Server,
    http::{self, Form, Reply},
    photo,
};

fn change(server: &Server, tenant: usize, subject: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {}", server.keys[tenant]);
    let path = format!("/v1/face-matching/subjects/{subject}");
    http::call(server.address, "PATCH", &path, &[("Authorization", &bearer)], Some(body.to_string().as_bytes()))
}

fn found(server: &Server) -> usize {
    let form = Form::new().image(&photo("obama2.jpg"));
    server.call("POST", "/search", Some(&form)).body["matchCount"].as_u64().expect("a number") as usize
}

#[test]
fn a_subject_is_read_suspended_and_admitted_again() {
    let server = Server::start();
    let id = server.enrol(0, "EMP-001", &photo("obama.jpg"));
    server.enrol(0, "EMP-002", &photo("biden.jpg"));
    let list = server.call("GET", "/subjects?limit=1", None).body;
    assert_eq!((&list["count"], &list["next_cursor"]), (&json!(1), &json!("EMP-001")));
    let rest = server.call("GET", "/subjects?cursor=EMP-001", None).body;
    assert_eq!((&rest["subjects"][0]["subject_id"], rest.get("next_cursor")), (&json!("EMP-002"), None));

    assert_eq!(found(&server), 1);
    let reply = change(&server, 0, "EMP-001", &json!({"active": false, "metadata": {"name": "B. O."}}));
    assert_eq!((reply.status, &reply.body["subject"]["active"]), (200, &json!(false)), "{:?}", reply.body);
    assert_eq!(reply.body["embeddings"][0]["metadata"], json!({"name": "B. O."}));
    assert_eq!((found(&server), reply.body["embeddings"][0]["active"].clone()), (0, json!(false)));
    let verify = server.call("POST", "/verify/EMP-001", Some(&Form::new().image(&photo("obama2.jpg"))));
    assert_eq!((verify.status, verify.code()), (404, "subject_not_found"));

    assert_eq!(change(&server, 0, "EMP-001", &json!({"active": true, "metadata": null})).status, 200);
    assert_eq!(found(&server), 1);
    let one = server.call("GET", "/subjects/EMP-001", None).body;
    assert_eq!((&one["subject"]["embedding_count"], &one["subject"]["last_seen"]), (&json!(1), &Value::Null));
    assert_eq!((&one["embeddings"][0]["id"], &one["embeddings"][0]["metadata"]), (&json!(id), &json!({})));
}

#[test]
fn a_change_that_is_none_is_refused_and_anothers_subject_is_nobody() {
    let server = Server::start();
    server.enrol(0, "EMP-001", &photo("obama.jpg"));
    for (body, code) in [
        (json!({"acitve": false}), "invalid_field"),
        (json!({"active": "no"}), "invalid_field"),
        (json!({"metadata": []}), "invalid_field"),
        (json!([true]), "invalid_field"),
        (json!({"metadata": {"note": "x".repeat(5_000)}}), "invalid_metadata"),
        (json!({"metadata": {"note": "x".repeat(200_000)}}), "too_large"),
    ] {
        let reply = change(&server, 0, "EMP-001", &body);
        assert_eq!(reply.code(), code, "{:.60}", body.to_string());
    }
    for (tenant, subject) in [(1, "EMP-001"), (0, "EMP-009")] {
        let reply = change(&server, tenant, subject, &json!({"active": false}));
        assert_eq!((reply.status, reply.code()), (404, "subject_not_found"));
        let reply = server.call_as(tenant, "GET", &format!("/subjects/{subject}"), None);
        assert_eq!((reply.status, reply.code()), (404, "subject_not_found"));
    }
    assert_eq!(server.call("GET", "/subjects?limit=0", None).code(), "invalid_field");
    assert_eq!(found(&server), 1);
}

#[test]
fn a_list_without_a_limit_is_whole_however_long_it_is() {
    let server = Server::start();
    let tenant = "acme".parse().expect("a name");
    for number in 0..2_345u32 {
        let mut raw = [0.0; DIMENSION];
        raw[number as usize % DIMENSION] = 1.0;
        let subject: SubjectId = format!("s{}", number % 1_500).parse().expect("an id");
        let embedding = Embedding::normalised(&raw).expect("a vector");
        let new = NewEnrolment {
            subject,
            embedding,
            quality_score: 0.5,
            liveness_score: None,
            source: None,
            metadata: None,
            photograph: None,
        };
        server.gallery.enroll(&tenant, new).expect("there is room");
    }
    let list = server.call("GET", "/embeddings?active_only=false", None).body;
    assert_eq!((&list["success"], &list["count"], list.get("next_cursor")), (&json!(true), &json!(2_345), None));
    let ids: Vec<&str> =
        list["embeddings"].as_array().expect("a list").iter().filter_map(|one| one["id"].as_str()).collect();
    assert!(ids.len() == 2_345 && ids.is_sorted_by(|a, b| a < b), "each once, oldest first");
    let rest = server.call("GET", &format!("/embeddings?active_only=false&cursor={}", ids[1_200]), None).body;
    assert_eq!(rest["count"], json!(1_144));
    let page = server.call("GET", "/embeddings?active_only=false&limit=1000", None).body;
    assert_eq!((&page["count"], &page["next_cursor"]), (&json!(1_000), &json!(ids[999])));
    assert_eq!(server.call("GET", "/subjects?limit=1000", None).body["count"], json!(1_000));
}
