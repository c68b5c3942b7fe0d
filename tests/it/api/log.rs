//! What the daemon's log says about requests, and what it must never say.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::support::{
    Server,
    http::{Form, call, connect},
    photo,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics while it writes").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_request_has_one_line_that_names_nobody() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .try_init()
        .expect("no other test of this process logs");

    let server = Server::start();
    let key = format!("Bearer {}", server.keys[0]);
    let form = Form::new().text("subject_id", "Secret Person").image(&photo("obama.jpg")).bytes();
    let content_type = Form::content_type();
    let send = |id: &str, method: &str, path: &str, body: Option<&[u8]>| {
        let headers = [("Authorization", key.as_str()), ("Content-Type", &content_type), ("X-Request-Id", id)];
        call(server.address, method, &format!("/v1/face-matching{path}"), &headers, body).status
    };
    assert_eq!(send("log-1", "POST", "/enroll", Some(&form)), 200);
    assert_eq!(send("log-2", "POST", "/verify/Secret%20Person", Some(&form)), 200);
    assert_eq!(send("log-3", "GET", "/embeddings?subject_id=Secret%20Person", None), 200);
    assert_eq!(send("log-4", "DELETE", "/embeddings/Secret%20Person", None), 404);
    assert_eq!(send("log-5", "GET", "/Secret%20Person", None), 404);
    assert_eq!(send("log-7", &"BREW".repeat(500), "/embeddings", None), 405);
    // Gone as soon as everything is sent, long before a large photograph has been looked at.
    let large = Form::new().image(&photo("obama3.jpg")).bytes();
    let head = format!(
        "POST /v1/face-matching/search HTTP/1.1\r\nHost: door\r\nX-Request-Id: log-6\r\nAuthorization: {key}\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        large.len()
    );
    let mut leaving = connect(server.address);
    leaving.write_all(head.as_bytes()).and_then(|()| leaving.write_all(&large)).expect("the request is sent");
    drop(leaving);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let secret = server.keys[0].clone();
    drop(server);

    let text = String::from_utf8(log.0.lock().expect("nobody panicked").clone()).expect("a log is UTF-8");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let line = |id: &str| {
        let mut all = lines.iter().map(|line| &line["fields"]).filter(|fields| fields["request_id"] == id);
        let line = all.next().unwrap_or_else(|| panic!("{id} has a line"));
        assert!(all.next().is_none(), "{id} has only one");
        line
    };
    let enrolled = line("log-1");
    assert_eq!(enrolled["method"], "POST");
    assert_eq!(enrolled["route"], "/v1/face-matching/enroll");
    assert_eq!(enrolled["status"], 200);
    assert_eq!(enrolled["tenant"], "acme");
    assert!(enrolled["ms"].as_f64().is_some_and(|ms| ms > 0.0));
    let thousandths = enrolled["ms"].to_string().split_once('.').map_or(0, |(_, digits)| digits.len());
    assert!(thousandths <= 3, "{}", enrolled["ms"]);
    assert_eq!(line("log-2")["route"], "/v1/face-matching/verify/{subject_id}", "the pattern, not the path");
    assert_eq!(line("log-3")["route"], "/v1/face-matching/embeddings");
    assert_eq!(line("log-4")["status"], 404);
    assert_eq!(line("log-5")["route"], "-");
    assert_eq!(line("log-6")["status"], 499, "the client went away");
    assert_eq!((&line("log-7")["status"], &line("log-7")["method"]), (&405.into(), &"other".into()));
    assert!(!text.contains("Secret"), "no subject's id");
    assert!(!text.contains(&secret), "no key");
}
