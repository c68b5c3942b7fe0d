//! Photographs that are kept with enrolments.

use std::io::Write;

use facegate::{
    api,
    gallery::{self, Right},
};
use serde_json::Value;

use crate::support::{
    Server,
    http::{connect, everything},
    photo,
};

/// The head and the body of what the server sends.
fn get(server: &Server, key: &str, id: &str) -> (String, Vec<u8>) {
    let mut stream = connect(server.address);
    let path = format!("/v1/face-matching/embeddings/{id}/photograph");
    let head = format!("GET {path} HTTP/1.0\r\nHost: door\r\nAuthorization: Bearer {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the server takes the head");
    let answer = everything(&mut stream);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole answer");
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec())
}

fn code(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).expect("an error is JSON");
    body["error"]["code"].as_str().expect("a code").to_owned()
}

#[test]
fn a_kept_photograph_is_small_holds_no_metadata_and_goes_with_its_embedding() {
    let settings = api::Settings { limits: api::Limits::off(), ..api::Settings::default() };
    let server = Server::of(settings, gallery::Settings { keep_photographs: true, ..gallery::Settings::default() });
    let sent = photo("obama.jpg");
    let id = server.enrol(0, "EMP-001", &sent);
    let (head, jpeg) = get(&server, &server.keys[0], &id);
    assert!(head.contains(" 200 ") && head.contains("image/jpeg") && head.contains("no-store"), "{head}");
    let kept = image::load_from_memory(&jpeg).expect("a JPEG");
    assert!(kept.width().max(kept.height()) <= 480 && jpeg.len() < sent.len());

    let rights = [Right::Read, Right::Enrol].into_iter().collect();
    let reader = server.gallery.add_key(&"acme".parse().expect("a name"), None, rights).expect("a key");
    assert_eq!(code(&get(&server, &reader.secret, &id).1), "forbidden");
    assert_eq!(code(&get(&server, &server.keys[1], &id).1), "embedding_not_found", "another tenant's");
    assert_eq!(server.call("DELETE", &format!("/embeddings/{id}"), None).status, 200);
    assert_eq!(code(&get(&server, &server.keys[0], &id).1), "embedding_not_found");
}

#[test]
fn none_is_kept_by_default() {
    let server = Server::start();
    let id = server.enrol(0, "EMP-001", &photo("obama.jpg"));
    assert_eq!(code(&get(&server, &server.keys[0], &id).1), "not_found");
}
