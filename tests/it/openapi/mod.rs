//! The OpenAPI document and its page as the real daemon serves them.

use crate::support::{
    daemon::{Board, Daemon},
    http::{Reply, call},
};

fn get(daemon: &Daemon, path: &str) -> Reply {
    call(daemon.api.expect("the API is on"), "GET", path, &[], None)
}

#[test]
fn the_document_is_what_the_command_line_prints() {
    let board = Board::new();
    let daemon = board.start();
    let printed = board.run(&["openapi", "--json"]).must(0, &[]);
    let served = get(&daemon, "/openapi.json");
    assert_eq!(served.status, 200);
    assert_eq!(served.body, printed.json()[0]);
}

#[test]
fn the_page_may_load_its_own_files_and_nothing_else_may() {
    let board = Board::new();
    let daemon = board.start();
    let policy = |path: &str| {
        // Without its body, which is no JSON.
        let reply = call(daemon.api.expect("the API is on"), "HEAD", path, &[], None);
        reply.header("content-security-policy").expect("a policy").to_owned()
    };
    for part in ["/docs", "/docs/page.js", "/docs/page.css"] {
        let policy = policy(part);
        assert!(policy.contains("script-src 'self';") && policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    }
    for other in ["/healthz", "/openapi.json", "/docs/other.js"] {
        assert!(!policy(other).contains("script-src"), "{other}");
    }
}
