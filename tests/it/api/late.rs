//! Calls whose body comes when their key is good no more.

use std::{
    io::{Read, Write},
    thread::sleep,
    time::Duration,
};

use facegate::gallery::{NewKey, Rights, TenantId};
use serde_json::Value;

use crate::support::{
    Server,
    http::{self, Form, Reply, connect, receive},
    photo,
};

fn tenant() -> TenantId {
    "acme".parse().expect("a tenant's name")
}

fn key(server: &Server) -> NewKey {
    server.gallery.add_key(&tenant(), None, Rights::default()).expect("a key is added")
}

/// Sends a call's head and half of its body, revokes its key, and sends the rest a good second later.
fn revoked_meanwhile(server: &Server, key: &NewKey, call: (&str, &str), kind: &str, body: &[u8]) -> Reply {
    let (method, path) = call;
    let mut stream = connect(server.address);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: door\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Type: \
         {kind}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        key.secret.as_str(),
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the head is sent");
    // The server asks for the body when it has let the key through.
    let mut told = [0; 25];
    stream.read_exact(&mut told).expect("it goes on");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n", "{path}");
    let (first, rest) = body.split_at(body.len() / 2);
    stream.write_all(first).expect("half of the body is sent");
    server.gallery.revoke_key(&key.id).expect("it is there");
    sleep(Duration::from_millis(1_100));
    stream.write_all(rest).expect("the server hears a client out");
    receive(&mut stream)
}

#[test]
fn a_key_that_is_revoked_while_the_body_comes_does_nothing() {
    let server = Server::start();
    server.enrol(0, "EMP-001", &photo("obama.jpg"));
    let form = Form::new().text("subject_id", "EMP-002").image(&photo("biden.jpg")).bytes();
    let (form_type, json) = (Form::content_type(), "application/json");
    let calls: [(&str, &str, &str, &[u8]); 7] = [
        ("POST", "/v1/face-matching/enroll", &form_type, &form),
        ("POST", "/v1/face-matching/search", &form_type, &form),
        ("PATCH", "/v1/face-matching/subjects/EMP-001", json, br#"{"active": false}"#),
        ("PUT", "/v1/access/rules", json, br#"{"subjects": [{"id": "EMP-001"}]}"#),
        ("PUT", "/v1/access/groups/staff", json, br#"{"access": []}"#),
        ("POST", "/v1/admin/keys", json, br#"{"label": "another"}"#),
        ("POST", "/v1/admin/keys/ID/rotate", json, br#"{"overlap": "1h"}"#),
    ];
    let keys = server.gallery.keys().expect("a list").len();
    for (method, path, kind, body) in calls {
        let key = key(&server);
        let path = path.replace("ID", &key.id);
        let reply = revoked_meanwhile(&server, &key, (method, &path), kind, body);
        assert_eq!((reply.status, reply.code()), (401, "invalid_api_key"), "{method} {path}: {:?}", reply.body);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{method} {path}");
    }
    let subjects = server.call("GET", "/subjects", None).body;
    assert_eq!((&subjects["count"], &subjects["subjects"][0]["active"]), (&1.into(), &true.into()), "{subjects}");
    let bearer = format!("Bearer {}", server.keys[0]);
    let rules = http::call(server.address, "GET", "/v1/access/rules", &[("Authorization", &bearer)], None);
    assert_eq!((rules.status, &rules.body["rules"]), (200, &Value::Null), "{:?}", rules.body);
    assert_eq!(server.gallery.keys().expect("a list").len(), keys, "each key is revoked, and none was made");
}
