//! The seven calls as the reference tells them, on real faces.

use serde_json::{Value, json};

use crate::support::{
    Server,
    http::{self, Form, Reply},
    photo,
};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn probe(name: &str) -> Form {
    Form::new().image(&photo(name))
}

fn ok(reply: Reply) -> Value {
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.body["success"], true);
    reply.body
}

fn took_time(body: &Value) {
    let seconds = body["processing_time"].as_f64().expect("seconds");
    assert!(seconds > 0.0 && seconds < 60.0, "{seconds}");
}

#[test]
fn a_person_is_enrolled_found_verified_listed_and_deleted() {
    let server = Server::start();
    let metadata = json!({"name": "Jane Doe", "email": "jane@example.org", "badge": ["B", 8472]});
    let form = Form::new()
        .text("subject_id", "EMP-001")
        .image(&photo("obama.jpg"))
        .text("quality_score", "0.95")
        .text("liveness_score", "0.88")
        .text("enrollment_source", "hr_registration")
        .text("metadata", &metadata.to_string())
        .text("a_field_of_another_version", "ignored");
    let enrolled = ok(server.call("POST", "/enroll", Some(&form)));
    assert_eq!(
        keys(&enrolled),
        ["embeddingDimension", "embeddingId", "processing_time", "subjectId", "success"],
        "a strict client of the reference's fields never breaks"
    );
    assert_eq!(enrolled["subjectId"], "EMP-001");
    assert_eq!(enrolled["embeddingDimension"], 512);
    took_time(&enrolled);
    let id = enrolled["embeddingId"].clone();
    server.enrol(0, "EMP-002", &photo("biden.jpg"));

    // Another photograph of the same person finds the first, and only the first.
    let found = ok(server.call("POST", "/search", Some(&probe("obama2.jpg"))));
    assert_eq!(keys(&found), ["matchCount", "matches", "processing_time", "success", "thresholdUsed"]);
    assert_eq!(found["thresholdUsed"], 0.6);
    assert_eq!(found["matchCount"], 1, "{found}");
    took_time(&found);
    let first = &found["matches"][0];
    assert_eq!(first["id"], id);
    assert_eq!(first["subject_id"], "EMP-001");
    assert_eq!(first["quality_score"], 0.95, "as given");
    assert_eq!(first["liveness_score"], 0.88, "as given");
    assert_eq!(first["enrollment_source"], "hr_registration");
    assert_eq!(first["metadata"], metadata);
    assert_eq!((&first["user_name"], &first["user_email"]), (&metadata["name"], &metadata["email"]));
    assert!(first["created_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{first}");
    let similarity = first["similarity"].as_f64().expect("a number");
    assert!((0.6..1.0).contains(&similarity), "{similarity}");

    // Higher is stricter: what is seen passes at its own similarity and fails above it.
    let at = |threshold: f64| {
        let form = probe("obama2.jpg").text("threshold", &threshold.to_string()).text("limit", "1");
        ok(server.call("POST", "/search", Some(&form)))["matchCount"].clone()
    };
    assert_eq!(at(similarity), 1);
    assert_eq!(at(f64::midpoint(similarity, 1.0)), 0);
    let everybody = ok(server.call("POST", "/search", Some(&probe("obama2.jpg").text("threshold", "0"))));
    assert_eq!(everybody["matchCount"], 2, "0 lets everybody in");
    assert_eq!(everybody["matches"][0]["subject_id"], "EMP-001", "best first");
    assert!(everybody["matches"][1].get("user_name").is_none(), "no metadata, no alias");

    let verified = ok(server.call("POST", "/verify/EMP-001", Some(&probe("obama2.jpg").text("threshold", "0.6"))));
    assert_eq!(
        keys(&verified),
        ["embeddingId", "enrollmentSource", "processing_time", "similarity", "success", "threshold", "verified"]
    );
    assert_eq!(verified["verified"], true);
    assert_eq!(verified["threshold"], 0.6);
    assert_eq!(verified["embeddingId"], id);
    assert_eq!(verified["enrollmentSource"], "hr_registration");
    let other = ok(server.call("POST", "/verify/EMP-001", Some(&probe("biden.jpg"))));
    assert_eq!(other["verified"], false);
    assert!(other["similarity"].as_f64().is_some_and(|similarity| similarity < 0.6), "{other}");
    assert_eq!(other["embeddingId"], id, "the best one is named when it fails, too");

    let listed = ok(server.call("GET", "/embeddings?subject_id=EMP-001", None));
    assert_eq!(listed["count"], 1);
    let entry = &listed["embeddings"][0];
    for name in ["id", "subject_id", "quality_score", "liveness_score", "enrollment_source", "created_at"] {
        assert_eq!(entry[name], first[name], "{name}");
    }
    assert_eq!(entry["verification_count"], 1, "only the success counts");
    assert!(entry["last_verified_at"].as_str() > entry["created_at"].as_str());
    for time in [&first["created_at"], &entry["created_at"], &entry["last_verified_at"]] {
        assert_eq!(time.as_str().map(str::len), Some("2026-11-23T10:00:00.000000Z".len()), "six decimals: {time}");
    }
    assert_eq!(entry["active"], true);
    assert_eq!(entry["metadata"], metadata);
    assert!(entry["model"].as_str().is_some_and(|model| !model.is_empty()));
    assert!(!listed.to_string().contains("vector"), "a template is never given out");

    let path = format!("/embeddings/{}", id.as_str().expect("an id"));
    let deleted = ok(server.call("DELETE", &path, None));
    assert_eq!(deleted["message"], "Face embedding deleted successfully");
    assert_eq!(deleted["deleted"], 1);
    let again = server.call("DELETE", &path, None);
    assert_eq!((again.status, again.code()), (404, "embedding_not_found"));
    let gone = server.call("POST", "/verify/EMP-001", Some(&probe("obama2.jpg")));
    assert_eq!((gone.status, gone.code()), (404, "subject_not_found"));
    assert_eq!(ok(server.call("POST", "/search", Some(&probe("obama2.jpg"))))["matchCount"], 0);
}

#[test]
fn what_the_client_does_not_measure_the_daemon_does() {
    let server = Server::start();
    server.enrol(0, "EMP-001", &photo("obama.jpg"));
    let entry = ok(server.call("GET", "/embeddings", None))["embeddings"][0].clone();
    for score in ["quality_score", "liveness_score"] {
        let measured = entry[score].as_f64().unwrap_or_else(|| panic!("{score} is measured: {entry}"));
        assert!((0.0..=1.0).contains(&measured));
    }
    assert_eq!(entry["enrollment_source"], Value::Null);
    assert_eq!(entry["last_verified_at"], Value::Null);
    assert_eq!(entry["metadata"], json!({}));

    // Empty fields are absent ones.
    let form = Form::new().text("subject_id", "EMP-002").image(&photo("biden.jpg"));
    let form =
        form.text("quality_score", "").text("liveness_score", "").text("enrollment_source", "").text("metadata", "");
    ok(server.call("POST", "/enroll", Some(&form)));
}

#[test]
fn a_tenant_s_data_is_as_good_as_absent_for_another() {
    let server = Server::start();
    let id = server.enrol(0, "EMP-001", &photo("obama.jpg"));
    let nowhere = "550e8400-e29b-41d4-a716-446655440000";
    let same = |call: &str, theirs: Reply, absent: Reply| {
        assert_eq!(theirs.status, absent.status, "{call}");
        assert_eq!(theirs.code(), absent.code(), "{call}");
        assert_eq!(theirs.body["error"]["message"], absent.body["error"]["message"], "{call}");
        let names = |reply: &Reply| reply.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&theirs), names(&absent), "{call}");
    };
    let form = probe("obama.jpg");
    same(
        "verify",
        server.call_as(1, "POST", "/verify/EMP-001", Some(&form)),
        server.call_as(1, "POST", "/verify/EMP-999", Some(&form)),
    );
    same(
        "delete one",
        server.call_as(1, "DELETE", &format!("/embeddings/{id}"), None),
        server.call_as(1, "DELETE", &format!("/embeddings/{nowhere}"), None),
    );
    same(
        "delete a subject's",
        server.call_as(1, "DELETE", "/embeddings?subject_id=EMP-001", None),
        server.call_as(1, "DELETE", "/embeddings?subject_id=EMP-999", None),
    );
    let form = form.text("threshold", "0");
    assert_eq!(ok(server.call_as(1, "POST", "/search", Some(&form)))["matchCount"], 0);
    assert_eq!(ok(server.call_as(1, "GET", "/embeddings?active_only=false", None))["count"], 0);
    let page = format!("/embeddings?cursor={id}");
    assert_eq!(ok(server.call_as(1, "GET", &page, None))["count"], 0, "another tenant's cursor shows nothing");
    assert_eq!(ok(server.call_as(1, "DELETE", "/embeddings", None))["deleted"], 0);

    assert_eq!(ok(server.call("GET", "/embeddings", None))["count"], 1, "nothing of the first tenant's was touched");
}

#[test]
fn a_search_gives_ten_matches_unless_told_otherwise() {
    let server = Server::start();
    let photo = photo("obama.jpg");
    for number in 0..11 {
        server.enrol(0, &format!("EMP-{number}"), &photo);
    }
    assert_eq!(ok(server.call("POST", "/search", Some(&probe("obama.jpg"))))["matchCount"], 10);
    assert_eq!(ok(server.call("POST", "/search", Some(&probe("obama.jpg").text("limit", "11"))))["matchCount"], 11);
}

#[test]
fn subjects_keep_their_newest_five_active_and_lists_come_in_pages() {
    let server = Server::start();
    let photo = photo("obama.jpg");
    let mut ids: Vec<String> = (0..7).map(|_| server.enrol(0, "EMP-001", &photo)).collect();
    assert!(ids.is_sorted(), "ids sort by time");
    assert_eq!(ok(server.call("GET", "/embeddings", None))["count"], 5);
    assert_eq!(ok(server.call("GET", "/embeddings?active_only=true", None))["count"], 5);
    assert_eq!(ok(server.call("GET", "/embeddings?active_only=False", None))["count"], 7, "as Python writes it");

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = ok(server.call("GET", &format!("/embeddings?active_only=false&limit=3{cursor}"), None));
        let entries = page["embeddings"].as_array().expect("a list");
        assert_eq!(page["count"], entries.len());
        seen.extend(entries.iter().map(|entry| entry["id"].as_str().expect("an id").to_owned()));
        match page.get("next_cursor") {
            Some(next) => cursor = format!("&cursor={}", next.as_str().expect("a cursor")),
            None => break,
        }
    }
    seen.sort_unstable();
    ids.sort_unstable();
    assert_eq!(seen, ids, "each once");
    // One subject, however many of its embeddings match.
    assert_eq!(ok(server.call("POST", "/search", Some(&probe("obama2.jpg"))))["matchCount"], 1);
}

#[test]
fn whose_active_embeddings_are_deleted_is_matched_by_the_older_ones() {
    let server = Server::start();
    let photo = photo("obama.jpg");
    let ids: Vec<String> = (0..7).map(|_| server.enrol(0, "EMP-001", &photo)).collect();
    for id in &ids[2..] {
        assert_eq!(server.call("DELETE", &format!("/embeddings/{id}"), None).status, 200);
    }
    let listed = ok(server.call("GET", "/embeddings", None));
    assert_eq!(listed["count"], 2, "active ones");
    let verified = ok(server.call("POST", "/verify/EMP-001", Some(&probe("obama2.jpg"))));
    assert_eq!(verified["verified"], true);
    assert_eq!(ok(server.call("POST", "/search", Some(&probe("obama2.jpg"))))["matchCount"], 1);
}

#[test]
fn the_same_face_is_as_alike_as_can_be_wherever_it_is_compared() {
    let server = Server::start();
    let at_most = |name: &str| probe(name).text("threshold", "1");
    for picture in ["obama.jpg", "obama2.jpg", "biden.jpg"] {
        // What a search makes of a photograph, stored as an enrolment would be.
        let both = Form::new().image_as("image1", &photo(picture)).image_as("image2", &photo(picture));
        let compared = ok(server.call("POST", "/compare", Some(&both.text("threshold", "1"))));
        assert_eq!((&compared["similarity"], &compared["same_person"]), (&json!(1.0), &json!(true)), "{picture}");
    }
    server.enrol(0, "EMP-001", &photo("obama.jpg"));
    for picture in ["obama.jpg", "obama2.jpg", "biden.jpg"] {
        let verified = ok(server.call("POST", "/verify/EMP-001", Some(&probe(picture))));
        let found = ok(server.call("POST", "/search", Some(&probe(picture).text("threshold", "0"))));
        assert_eq!(found["matches"][0]["similarity"], verified["similarity"], "{picture}");
        let (verified, found) = (
            ok(server.call("POST", "/verify/EMP-001", Some(&at_most(picture)))),
            ok(server.call("POST", "/search", Some(&at_most(picture)))),
        );
        assert_eq!(verified["verified"] == true, found["matchCount"] == 1, "{picture}");
    }
}

#[test]
fn a_query_that_is_no_utf_8_is_refused_and_nothing_is_deleted() {
    let server = Server::start();
    server.enrol(0, "\u{fffd}", &photo("obama.jpg"));
    server.enrol(0, "a b+c", &photo("obama.jpg"));
    for query in ["subject_id=%fe", "subject_id=%c3", "subject%ff_id=x", "subject_id=%ed%a0%80"] {
        for method in ["DELETE", "GET"] {
            let refused = server.call(method, &format!("/embeddings?{query}"), None);
            assert_eq!((refused.status, refused.code()), (400, "malformed_request"), "{method} {query}");
        }
    }
    assert_eq!(ok(server.call("GET", "/embeddings?", None))["count"], 2);
    assert_eq!(ok(server.call("GET", "/embeddings?subject_id=%EF%BF%BD&", None))["count"], 1);
    assert_eq!(ok(server.call("DELETE", "/embeddings?subject_id=a+b%2Bc", None))["deleted"], 1);
}

#[test]
fn a_subject_s_or_everybody_s_embeddings_are_deleted_at_once() {
    let server = Server::start();
    let (first, second) = (photo("obama.jpg"), photo("biden.jpg"));
    server.enrol(0, "EMP-001", &first);
    server.enrol(0, "EMP-001", &first);
    server.enrol(0, "EMP-002", &second);
    server.enrol(1, "EMP-001", &first);
    assert_eq!(ok(server.call("DELETE", "/embeddings?subject_id=EMP-001", None))["deleted"], 2);
    assert_eq!(ok(server.call("GET", "/embeddings", None))["embeddings"][0]["subject_id"], "EMP-002");

    // What looks like a subject's must never be taken for everybody's.
    for query in ["?subject_id=", "?subjectId=EMP-002", "?subject_id=a&subject_id=b", "?subject_id=%0A"] {
        let refused = server.call("DELETE", &format!("/embeddings{query}"), None);
        assert_eq!((refused.status, refused.code()), (400, "invalid_field"), "{query}");
    }
    assert_eq!(server.call("DELETE", "/embeddings/", None).status, 404);
    let bearer = format!("Bearer {}", server.keys[0]);
    let with_body = |body: &[u8]| {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        http::call(server.address, "DELETE", "/v1/face-matching/embeddings", &headers, Some(body))
    };
    for body in [&br#"{"subject_id": "nobody"}"#[..], b"subject_id=EMP-002", b"{}", b"\n"] {
        let refused = with_body(body);
        assert_eq!((refused.status, refused.code()), (400, "invalid_field"), "{body:?}");
    }
    assert_eq!(ok(server.call("GET", "/embeddings", None))["count"], 1);

    assert_eq!(ok(with_body(b""))["deleted"], 1, "an empty body with a type is none");
    assert_eq!(ok(server.call("GET", "/embeddings?active_only=false", None))["count"], 0);
    assert_eq!(ok(server.call("DELETE", "/embeddings", None))["deleted"], 0);
    assert_eq!(ok(server.call_as(1, "GET", "/embeddings", None))["count"], 1, "the other tenant keeps its own");
}

#[test]
fn subject_ids_may_be_any_text() {
    let server = Server::start();
    let photo = photo("obama.jpg");
    let pairs = [
        ("名前 Ünïcode", "%E5%90%8D%E5%89%8D%20%C3%9Cn%C3%AFcode"),
        ("a/b?c#d&e=f%2F+", "a%2Fb%3Fc%23d%26e%3Df%252F%2B"),
        ("..", "%2E%2E"),
    ];
    for (subject, encoded) in pairs {
        let form = Form::new().text("subject_id", subject).image(&photo);
        assert_eq!(ok(server.call("POST", "/enroll", Some(&form)))["subjectId"], subject);
        let verified = ok(server.call("POST", &format!("/verify/{encoded}"), Some(&probe("obama.jpg"))));
        assert_eq!(verified["verified"], true, "{subject}");
        let listed = ok(server.call("GET", &format!("/embeddings?subject_id={encoded}"), None));
        assert_eq!(listed["count"], 1, "{subject}");
        assert_eq!(listed["embeddings"][0]["subject_id"], subject);
        assert_eq!(ok(server.call("DELETE", &format!("/embeddings?subject_id={encoded}"), None))["deleted"], 1);
    }
}
