//! How often a key and an address may call, and what is told about it.

use std::time::{Duration, Instant};

use facegate::api::{self, Limits, Rate};

use super::batch::{counts, line, send};
use crate::support::{
    Server,
    http::{Form, Reply, call},
    photo,
};

const EMBEDDINGS: &str = "/v1/face-matching/embeddings";

/// A server with these limits; what is not named is not limited. One call a minute comes back: none within a test.
fn server(limits: Limits) -> Server {
    Server::with(api::Settings { limits, ..api::Settings::default() })
}

fn few(burst: u32) -> Rate {
    Rate { per_s: 1, burst }
}

fn number(reply: &Reply, name: &str) -> Option<u64> {
    reply.header(name).map(|value| value.parse().expect("a number"))
}

fn with_key(server: &Server, key: &str) -> Reply {
    call(server.address, "GET", EMBEDDINGS, &[("Authorization", &format!("Bearer {key}"))], None)
}

/// Calls until one is refused, since tokens come back while a loaded machine works.
fn until_refused(what: &str, mut ask: impl FnMut() -> Reply) -> (Vec<Reply>, Reply) {
    let mut before = Vec::new();
    for _ in 0..500 {
        let reply = ask();
        if reply.status == 429 {
            return (before, reply);
        }
        before.push(reply);
    }
    panic!("{what}: 500 calls and none refused")
}

#[test]
fn a_key_that_calls_too_often_is_refused_and_told_for_how_long_and_others_are_served() {
    let server = server(Limits { reads: few(5), ..Limits::off() });
    let mut took = Duration::ZERO;
    let (before, refused) = until_refused("reads", || {
        let begun = Instant::now();
        let reply = server.call("GET", "/embeddings", None);
        took = begun.elapsed();
        reply
    });
    assert!(took >= Duration::from_millis(200), "who asks again at once is slowed: {took:?}");
    assert!(before.len() >= 5, "{}", before.len());
    assert_eq!((refused.status, refused.code()), (429, "rate_limited"), "{:?}", refused.body);
    assert_eq!(number(&refused, "retry-after"), Some(1));
    assert_eq!(number(&refused, "ratelimit-limit"), Some(5));
    assert_eq!(number(&refused, "ratelimit-remaining"), Some(0));
    assert_eq!(number(&refused, "ratelimit-reset"), Some(5));
    assert!(refused.body["error"]["message"].as_str().is_some_and(|words| words.contains("Retry-After")));
    let first = &before[0];
    assert_eq!((first.status, number(first, "ratelimit-remaining")), (200, Some(4)));
    assert_eq!(number(first, "retry-after"), None);

    assert_eq!(server.call_as(1, "GET", "/embeddings", None).status, 200, "another key");
    assert_eq!(server.call("DELETE", "/embeddings/x", None).status, 404, "another class");
    assert_eq!(call(server.address, "GET", "/healthz", &[], None).status, 200, "no class");
}

#[test]
fn an_address_is_limited_whatever_keys_it_uses() {
    let server = server(Limits { reads: few(3), address_factor: 2, ..Limits::off() });
    let mut turn = 0;
    let (before, refused) = until_refused("keys by turns", || {
        turn += 1;
        let reply = server.call_as(turn % 2, "GET", "/embeddings", None);
        // Each key has three calls, the address six: by turns, they end together at the earliest.
        assert!(reply.status == 200 || turn > 6, "{reply:?}");
        reply
    });
    assert!(before.len() >= 6, "{}", before.len());
    assert_eq!(refused.code(), "rate_limited");
    // Without a key nobody is counted but the address, which is told so on its errors too.
    let (before, refused) = until_refused("no key", || call(server.address, "GET", EMBEDDINGS, &[], None));
    assert!(before.iter().all(|reply| reply.status == 401 && number(reply, "ratelimit-limit") == Some(6)));
    assert_eq!(number(&refused, "ratelimit-limit"), Some(6));
}

#[test]
fn what_needs_no_key_and_what_is_not_there_is_limited_by_address_and_health_is_not() {
    let server = server(Limits { reads: few(2), address_factor: 2, ..Limits::off() });
    let ask = |method: &str, path: &str| call(server.address, method, path, &[], None);
    for (method, path, status) in [
        ("GET", "/version", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs/nothing", 404),
        ("GET", "/metrics", 401),
        ("GET", "/nowhere", 404),
        ("POST", "/v1/face-matching/nowhere", 404),
        ("PUT", "/version", 405),
        ("PATCH", "/v1/face-matching/embeddings", 405),
    ] {
        let (before, refused) = until_refused(path, || ask(method, path));
        assert!(before.iter().all(|reply| (reply.status, number(reply, "ratelimit-limit")) == (status, Some(4))));
        assert_eq!((refused.code(), number(&refused, "ratelimit-limit")), ("rate_limited", Some(4)), "{refused:?}");
        assert!(number(&refused, "retry-after").is_some());
    }
    for _ in 0..20 {
        let reply = ask("GET", "/healthz");
        assert_eq!((reply.status, reply.header("ratelimit-limit")), (200, None));
        assert_ne!(ask("GET", "/readyz").status, 429);
    }
}

#[test]
fn errors_tell_the_limit_too() {
    let limits = Limits { photographs: Rate { per_s: 1, burst: 50 }, ..Limits::off() };
    let cors_origins = vec!["https://desk.example".into()];
    let settings = api::Settings { limits, cors_origins, request_timeout_s: 1, ..api::Settings::default() };
    let server = Server::with(settings);
    let wrong = server.call("POST", "/search", Some(&Form::new().text("limit", "0").image(b"x")));
    assert_eq!((wrong.status, number(&wrong, "ratelimit-limit")), (400, Some(50)), "{wrong:?}");

    let key = format!("Bearer {}", server.keys[0]);
    let content_type = Form::content_type();
    let headers = [
        ("Authorization", key.as_str()),
        ("Content-Type", &content_type),
        ("Content-Length", "5000"),
        ("Origin", "https://desk.example"),
    ];
    let late = call(server.address, "POST", "/v1/face-matching/search", &headers, None);
    assert_eq!((late.status, number(&late, "ratelimit-limit")), (408, Some(50)), "{late:?}");
    assert_eq!(late.header("access-control-allow-origin"), Some("https://desk.example"), "a page can read that, too");
    assert_eq!(server.call("GET", "/embeddings", None).header("ratelimit-limit"), None, "reading is not limited");
}

#[test]
fn an_address_that_guesses_keys_has_to_wait_while_its_neighbours_are_served() {
    let server = server(Limits { failed_keys_per_minute: 4, ..Limits::off() });
    let (before, refused) = until_refused("wrong keys", || with_key(&server, "fg_wrong"));
    assert!(before.len() >= 4 && before.iter().all(|reply| reply.code() == "invalid_api_key"), "{before:?}");
    assert_eq!((refused.status, refused.code()), (429, "rate_limited"));
    assert!(number(&refused, "retry-after").is_some_and(|wait| (1..=15).contains(&wait)), "{refused:?}");
    assert_eq!(with_key(&server, &server.keys[0]).status, 200, "a right key from the same address");
    assert_eq!(call(server.address, "GET", EMBEDDINGS, &[], None).code(), "missing_api_key", "no key is no guess");
}

#[test]
fn without_limits_nothing_is_refused_nor_told() {
    let server = server(Limits::off());
    for _ in 0..400 {
        let reply = with_key(&server, "fg_wrong");
        assert_eq!((reply.status, reply.header("ratelimit-limit")), (401, None));
    }
}

/// Items that no network looks at for long, so that nothing but the limit takes time: what begins like a JPEG and is none.
fn quick_items(whose: &str) -> String {
    (0..6).map(|number| line(&format!("{whose}-{number}"), b"\xff\xd8 no picture")).collect()
}

#[test]
fn each_photograph_of_a_batch_counts_as_a_call_and_waits_for_its_turn() {
    let server = server(Limits { photographs: Rate { per_s: 2, burst: 2 }, ..Limits::off() });
    let begun = Instant::now();
    let told = send(&server, "/enroll/batch", "application/x-ndjson", quick_items("EMP").as_bytes());
    // The call has paid for the first, what was left for the second; the other four come back at two a second.
    assert!(begun.elapsed() >= Duration::from_millis(1_900), "{:?}", begun.elapsed());
    assert_eq!(counts(&told[6]), [6, 0, 0, 6], "{told:?}");
    assert!(told[..6].iter().all(|told| told["error"]["code"] == "image_undecodable"), "{told:?}");
}

#[test]
fn what_a_batch_enrols_a_second_time_costs_nothing() {
    let server = server(Limits { photographs: few(1), ..Limits::off() });
    let items = line("EMP-001", &photo("obama.jpg")).repeat(40);
    let begun = Instant::now();
    let told = send(&server, "/enroll/batch", "application/x-ndjson", items.as_bytes());
    assert_eq!(counts(told.last().expect("an end")), [40, 1, 39, 0], "{told:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "one a second: {:?}", begun.elapsed());
}

#[test]
fn an_item_whose_turn_does_not_come_in_time_says_so_and_stops_no_other() {
    let limits = Limits { photographs: few(4), ..Limits::off() };
    let server = Server::with(api::Settings { limits, request_timeout_s: 1, ..api::Settings::default() });
    // One photograph a second, for which four batches wait a second each.
    let all: Vec<_> = std::thread::scope(|scope| {
        let server = &server;
        let call = |whose| move || send(server, "/enroll/batch", "application/x-ndjson", quick_items(whose).as_bytes());
        let calls: Vec<_> = ["A", "B", "C", "D"].map(|whose| scope.spawn(call(whose))).into();
        calls.into_iter().map(|call| call.join().expect("it ends")).collect()
    });
    assert!(all.iter().all(|told| told[6]["done"] == true && counts(&told[6]) == [6, 0, 0, 6]), "{all:?}");
    let items = || all.iter().flat_map(|told| &told[..6]);
    let late: Vec<_> = items().filter(|told| told["error"]["code"] == "rate_limited").collect();
    assert!(!late.is_empty() && late.iter().all(|told| told["error"]["retry_after"] == 1), "{all:?}");
    assert!(items().filter(|told| told["error"]["code"] == "image_undecodable").count() >= 4, "{all:?}");
}
