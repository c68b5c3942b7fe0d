//! What monitors and browsers see: the version, the metrics, and the headers of every answer.

use std::{io::Write, net::IpAddr};

use facegate::api;

use crate::support::{
    Server,
    daemon::{Board, eventually},
    http::{Form, call, connect, everything},
    photo, photo_path,
};

fn text(server: std::net::SocketAddr, more: &str) -> String {
    asked(server, &format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n"))
}

fn asked(server: std::net::SocketAddr, head: &str) -> String {
    let mut stream = connect(server);
    stream.write_all(head.as_bytes()).expect("the head is sent");
    String::from_utf8(everything(&mut stream)).expect("text")
}

#[track_caller]
fn has(page: &str, start: &str) {
    assert!(page.lines().any(|line| line.starts_with(start)), "{start} is not in:\n{page}");
}

/// The number of the metric's line that starts like this.
fn count(page: &str, start: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(start)?.trim().parse().ok())
}

#[test]
fn the_version_needs_no_key() {
    let server = Server::start();
    let reply = call(server.address, "GET", "/version", &[], None);
    assert_eq!((reply.status, reply.body["name"].as_str()), (200, Some("facegate")));
    assert_eq!(reply.body["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_answer_is_nobody_s_to_keep_frame_or_guess() {
    let server = Server::start();
    let key = format!("Bearer {}", server.keys[0]);
    let calls = [
        ("GET", "/healthz", 200),
        ("GET", "/v1/face-matching/embeddings", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/healthz", 405),
        ("POST", "/v1/face-matching/search", 411),
    ];
    for (method, path, status) in calls {
        let reply = call(server.address, method, path, &[("Authorization", &key)], None);
        assert_eq!(reply.status, status, "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(reply.header("access-control-allow-origin"), None, "no page may read it");
    }
}

#[test]
fn only_pages_of_origins_that_are_named_may_call() {
    let settings = api::Settings { cors_origins: vec!["https://desk.example".into()], ..api::Settings::default() };
    let server = Server::with(settings);
    let asks = |origin: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "DELETE"),
            ("Access-Control-Request-Headers", "authorization"),
        ];
        call(server.address, "OPTIONS", "/v1/face-matching/embeddings", &headers, None)
    };
    let named = asks("https://desk.example");
    assert_eq!((named.status, named.header("access-control-allow-origin")), (200, Some("https://desk.example")));
    assert!(named.header("access-control-allow-methods").is_some_and(|methods| methods.contains("DELETE")));
    assert!(named.header("access-control-allow-headers").is_some_and(|names| names.contains("authorization")));
    assert_eq!(asks("https://other.example").header("access-control-allow-origin"), None);
    // An error can be read, too.
    let headers = [("Origin", "https://desk.example")];
    let error = call(server.address, "GET", "/v1/face-matching/embeddings", &headers, None);
    assert_eq!((error.status, error.header("access-control-allow-origin")), (401, Some("https://desk.example")));
    assert!(error.header("access-control-expose-headers").is_some_and(|names| names.contains("retry-after")));

    let closed = Server::start();
    let reply = call(closed.address, "OPTIONS", "/v1/face-matching/embeddings", &headers, None);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (405, None), "off unless named");
}

#[test]
fn the_metrics_tell_how_the_board_is_and_name_nobody() {
    let board = Board::with_door(&[photo_path("obama2.jpg")]);
    board.enrol("barack", "obama.jpg");
    let daemon = board.start();
    daemon.ready();
    let address = daemon.api.expect("the API is on");
    assert!(matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback()));
    let page = text(address, "");
    has(&page, "HTTP/1.1 200");
    has(&page, "content-type: application/openmetrics-text");
    has(&page, "facegate_http_requests_total{route=\"/readyz\",method=\"GET\",status=\"2xx\"} 1");
    has(&page, "facegate_http_request_duration_seconds_bucket{le=\"+Inf\",route=\"/readyz\",method=\"GET\"}");
    for line in [
        "facegate_recognition_waiting 0",
        "facegate_uploads 0",
        "facegate_faces{state=\"active\"} 1",
        "facegate_faces{state=\"inactive\"} 0",
        "facegate_store_used_bytes ",
        "facegate_store_max_bytes 536870912",
        "facegate_journal_written_total ",
        "facegate_journal_lost_total 0",
        "facegate_door_mode{door=\"front\",mode=\"",
        "facegate_door_lock_healthy{door=\"front\"} 1",
        "facegate_door_cameras_healthy{door=\"front\"} 1",
        "facegate_door_unlocked{door=\"front\"} ",
        "facegate_uptime_seconds ",
    ] {
        has(&page, line);
    }
    assert!(!page.contains("barack") && !page.contains("\"main\""), "{page}");
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn the_metrics_tell_how_long_each_stage_takes_at_the_door_and_of_a_photograph() {
    let board = Board::with_door(&[photo_path("obama2.jpg")]);
    board.enrol("barack", "obama.jpg");
    let key = board.run(&["keys", "add", "main", "--json"]).must(0, &[]).json().remove(0);
    let daemon = board.start();
    let address = daemon.api.expect("the API is on");
    eventually("the door opens", || {
        let page = text(address, "");
        count(&page, "facegate_door_frame_to_edge_seconds_count{door=\"front\"}").filter(|count| *count > 0.0)
    });
    let searched = Form::new().image(&photo("obama.jpg"));
    let reply = daemon.call("POST", "/v1/face-matching/search", key["key"].as_str(), Some(&searched));
    assert_eq!(reply.status, 200, "{:?}", reply.body);

    let page = text(address, "");
    let some = |metric: String| {
        let count = count(&page, &metric);
        assert!(count.is_some_and(|count| count > 0.0), "{metric} is {count:?} in:\n{page}");
    };
    for stage in ["motion", "detect", "track", "quality", "embed", "match", "decide"] {
        some(format!("facegate_door_stage_seconds_count{{door=\"front\",stage=\"{stage}\"}}"));
        some(format!("facegate_door_stage_seconds_sum{{door=\"front\",stage=\"{stage}\"}}"));
    }
    for stage in ["waiting", "decode", "detect", "embed"] {
        let metric = format!("facegate_recognition_stage_seconds_count{{stage=\"{stage}\"}}");
        assert_eq!(count(&page, &metric), Some(1.0), "{metric}:\n{page}");
    }
    some("facegate_door_frame_to_edge_seconds_sum{door=\"front\"}".into());
    some("facegate_door_faces_total{door=\"front\",outcome=\"known\"}".into());
    some("facegate_door_decisions_total{door=\"front\",outcome=\"granted\"}".into());
    some("facegate_camera_frames_total{door=\"front\",camera=\"0\"}".into());
    has(&page, "facegate_camera_frames_dropped_total{door=\"front\",camera=\"0\"} ");
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn the_metrics_need_a_key_where_a_proxy_hands_the_call_on() {
    let board = Board::with_door(&[photo_path("obama2.jpg")]);
    let key = |tenant: &str, right: &str| {
        let added = board.run(&["keys", "add", tenant, "--json", "--right", right]).must(0, &[]).json().remove(0);
        added["key"].as_str().expect("a key").to_owned()
    };
    let (reader, other, door) = (key("main", "read"), key("other", "read"), key("main", "door"));
    let daemon = board.start();
    let address = daemon.api.expect("the API is on");
    let with = |more: &str| text(address, more);
    for header in [
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: https",
        "Forwarded: for=192.0.2.7",
        "Via: 1.1 proxy",
        "X-Real-IP: 192.0.2.7",
    ] {
        has(&with(&format!("{header}\r\n")), "HTTP/1.1 401");
    }
    // A proxy that adds no header gives itself away by what it hands on, or by how it speaks.
    for (version, host) in [("1.1", "door.example"), ("1.0", "127.0.0.1:8080")] {
        let page = asked(address, &format!("GET /metrics HTTP/{version}\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        assert!(page.lines().next().is_some_and(|line| line.contains(" 401")), "{version} {host}: {page}");
    }
    let bearer = |key: &str| with(&format!("Authorization: Bearer {key}\r\n"));
    has(&bearer("fg_wrong"), "HTTP/1.1 401");
    has(&bearer(&door), "HTTP/1.1 403");
    has(&bearer(&reader), "facegate_door_mode{door=\"front\"");
    let foreign = bearer(&other);
    has(&foreign, "HTTP/1.1 200");
    assert!(!foreign.contains("front"), "another tenant's door:\n{foreign}");
}

#[test]
fn long_answers_are_compressed_for_whoever_can_read_it() {
    let server = Server::start();
    let key = format!("Bearer {}", server.keys[0]);
    let ask = |path: &str, accept: &str| {
        let mut stream = connect(server.address);
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: door\r\nConnection: close\r\nAuthorization: {key}\r\n{accept}\r\n");
        stream.write_all(head.as_bytes()).expect("the head is sent");
        everything(&mut stream)
    };
    let gzip = "Accept-Encoding: gzip\r\n";
    let (plain, packed) = (ask("/metrics", ""), ask("/metrics", gzip));
    let has = |answer: &[u8], text: &[u8]| answer.windows(text.len()).any(|window| window == text);
    assert!(has(&plain, b"facegate_uptime_seconds") && !has(&plain, b"content-encoding"));
    assert!(has(&packed, b"content-encoding: gzip") && has(&packed, b"\r\n\r\n"));
    assert!(!has(&packed, b"facegate_uptime_seconds") && packed.len() < plain.len());
    let short = call(server.address, "GET", "/version", &[("Accept-Encoding", "gzip")], None);
    assert_eq!(short.header("content-encoding"), None);

    // The document, which is compressed once: its length is known, and at its end stands how long it was.
    let body = |answer: &[u8]| {
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole answer");
        answer[head + 4..].to_vec()
    };
    let plain = body(&ask("/openapi.json", ""));
    let packed = [ask("/openapi.json", gzip), ask("/openapi.json", gzip)];
    let length = format!("content-length: {}\r\n", body(&packed[0]).len());
    for packed in &packed {
        assert!(has(packed, length.as_bytes()) && has(packed, b"content-encoding: gzip\r\n"));
        assert!(has(packed, b"vary: accept-encoding\r\n") && has(packed, b"application/json"));
    }
    let packed = packed.map(|answer| body(&answer));
    assert!(packed[0].starts_with(b"\x1f\x8b") && packed[0].len() < plain.len() / 2 && packed[0] == packed[1]);
    assert!(packed[0].ends_with(&(plain.len() as u32).to_le_bytes()));
}
