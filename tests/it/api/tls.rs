//! TLS: certificates and their renewal, clients with certificates, HTTP/2, and clients that never speak.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    process::Command,
    sync::Arc,
};

use axum::body::{Body, to_bytes};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName},
};

use crate::support::{
    certificates::{Authority, Identity},
    daemon::{Board, Daemon, eventually},
    http::{connect, everything},
};

/// What the server calls itself.
const NAME: &str = "door.example";

fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("a name")
}

/// A board that speaks TLS with this identity.
fn board(identity: &Identity) -> Board {
    let mut board = Board::new();
    put(&board, identity);
    board.set("api.tls.certificate", "tls/cert.pem");
    board.set("api.tls.key", "tls/key.pem");
    board
}

fn put(board: &Board, identity: &Identity) {
    board.write("tls/cert.pem", &identity.certificate);
    board.write("tls/key.pem", &identity.key);
}

fn address(daemon: &Daemon) -> SocketAddr {
    daemon.api.expect("the API is on")
}

/// The answer to `GET /version`, or why there is none.
fn version(daemon: &Daemon, client: &Arc<ClientConfig>) -> std::io::Result<String> {
    let connection = ClientConnection::new(Arc::clone(client), name()).expect("a client");
    let mut stream = StreamOwned::new(connection, connect(address(daemon)));
    stream.write_all(b"GET /version HTTP/1.1\r\nHost: door.example\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn the_address_speaks_tls_and_nothing_else() {
    let authority = Authority::new();
    let board = board(&authority.sign(&[NAME]));
    let daemon = board.start();
    let answer = version(&daemon, &authority.client(None, &[])).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"facegate\""), "{answer}");
    version(&daemon, &Authority::new().client(None, &[])).expect_err("a client that does not trust it");

    let mut plain = connect(address(&daemon));
    plain.write_all(b"GET /version HTTP/1.1\r\nHost: door.example\r\n\r\n").expect("it is sent");
    let mut answer = Vec::new();
    // Told by TLS that it is none, or cut.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{:?}", String::from_utf8_lossy(&answer));
    // The command line's socket goes on without.
    board.run(&["door", "status"]).must(0, &[]);
    daemon.stop();
}

#[test]
fn clients_that_want_it_get_http_2_with_the_same_limits() {
    let authority = Authority::new();
    let mut board = board(&authority.sign(&[NAME]));
    board.set("api.header_timeout_s", 1);
    let daemon = board.start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address(&daemon)).await.expect("it listens");
        let connector = TlsConnector::from(authority.client(None, &[b"h2", b"http/1.1"]));
        let stream = connector.connect(name(), stream).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let exchange = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = exchange.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        for (path, status) in [("/version", 200), ("/v1/face-matching/embeddings", 401), ("/nowhere", 404)] {
            let request = Request::get(format!("https://door.example{path}")).body(Body::empty()).expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            assert_eq!(answer.status(), status, "{path}");
            assert!(answer.headers().contains_key("x-request-id"), "{path}");
            assert!(answer.headers().contains_key("ratelimit-limit"), "{path}");
            let body = to_bytes(Body::new(answer.into_body()), 1 << 20).await.expect("a body");
            assert!(body.starts_with(b"{\"success\":"), "{body:?}");
        }
        let request = Request::get("https://door.example/version").header("x-long", "x".repeat(60_000));
        let answer = sender.send_request(request.body(Body::empty()).expect("a request")).await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431), "a head that is too long");
        // The sender is kept: it is the server that ends an idle connection.
        let ended = tokio::time::timeout(crate::support::daemon::patience(), connection).await;
        ended.expect("an idle connection is closed").expect("no panic").ok();
        drop(sender);
    });
    daemon.stop();
}

#[test]
fn renewed_files_are_taken_over_and_broken_ones_are_not() {
    let (first, second) = (Authority::new(), Authority::new());
    let board = board(&first.sign(&[NAME]));
    let daemon = board.start();
    version(&daemon, &first.client(None, &[])).expect("the first certificate");
    put(&board, &second.sign(&[NAME]));
    eventually("the second certificate", || version(&daemon, &second.client(None, &[])).ok());
    version(&daemon, &first.client(None, &[])).expect_err("the first one is gone");

    let seen = daemon.log().len();
    board.write("tls/cert.pem", "no certificate");
    let line = daemon.logged(seen, "the old ones stay in use");
    assert!(line.to_string().contains("api.tls.certificate"), "{line}");
    version(&daemon, &second.client(None, &[])).expect("the old one is still in use");

    put(&board, &first.sign(&[NAME]));
    eventually("the repaired certificate", || version(&daemon, &first.client(None, &[])).ok());
    daemon.stop();
}

#[test]
fn with_a_client_ca_only_its_clients_may_connect() {
    let (server, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let mut board = board(&server.sign(&[NAME]));
    board.write("tls/clients.pem", &clients.pem);
    board.set("api.tls.client_ca", "tls/clients.pem");
    let daemon = board.start();
    let known = version(&daemon, &server.client(Some(&clients.sign(&[NAME])), &[])).expect("a known client");
    assert!(known.starts_with("HTTP/1.1 200"), "{known}");
    version(&daemon, &server.client(None, &[])).expect_err("a client without a certificate");
    version(&daemon, &server.client(Some(&strangers.sign(&[NAME])), &[])).expect_err("a stranger's certificate");
    daemon.stop();
}

#[test]
fn files_that_cannot_be_used_end_run_with_what_is_wrong() {
    let authority = Authority::new();
    let mut board = board(&authority.sign(&[NAME]));
    board.write("tls/key.pem", authority.sign(&[NAME]).key);
    board.run(&["run"]).must(78, &["api.tls.certificate and api.tls.key do not go together"]);
    board.write("tls/key.pem", "");
    board.run(&["run"]).must(78, &["api.tls.key", "tls/key.pem", "help:"]);
    board.set("api.tls.certificate", "tls/none.pem");
    board.run(&["run"]).must(78, &["api.tls.certificate", "tls/none.pem", "help:"]);
}

#[test]
fn a_client_that_never_finishes_its_handshake_is_cut() {
    let authority = Authority::new();
    let mut board = board(&authority.sign(&[NAME]));
    board.set("api.header_timeout_s", 1);
    board.set("api.max_connections", 2);
    let daemon = board.start();
    let mut silent = connect(address(&daemon));
    let mut half = connect(address(&daemon));
    half.write_all(&[22, 3, 1, 2, 0, 1]).expect("the start of a handshake");
    // All places are taken, until their time is over.
    let answer = version(&daemon, &authority.client(None, &[])).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(everything(&mut silent).is_empty());
    everything(&mut half);
    daemon.stop();
}

/// What curl makes of a `POST` of this file: the status, and the body.
fn curl(board: &Board, daemon: &Daemon, path: &str, protocol: &str, more: &[&str]) -> (String, String) {
    let address = address(daemon);
    let (resolve, url) =
        (format!("{NAME}:{}:{}", address.port(), address.ip()), format!("https://{NAME}:{}", address.port()));
    let answer = board.path("answer");
    let done = Command::new("curl")
        .args(["-sS", "--max-time", "60", protocol, "--resolve", &resolve, "-w", "%{http_code}", "-o"])
        .args([answer.as_os_str(), "--cacert".as_ref(), board.path("tls/ca.pem").as_os_str()])
        .args(more)
        .arg(format!("{url}{path}"))
        .output()
        .expect("curl is installed");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{protocol} {path}: {}: {said}", done.status);
    let body = std::fs::read_to_string(answer).expect("an answer");
    (String::from_utf8(done.stdout).expect("a status"), body)
}

#[test]
fn whoever_is_refused_while_it_sends_gets_the_answer_all_the_same() {
    let authority = Authority::new();
    let mut board = board(&authority.sign(&[NAME]));
    board.write("tls/ca.pem", &authority.pem);
    board.set("api.max_batch_items", 1);
    let key = board.run(&["keys", "add", "main", "--json"]).must(0, &[]).json().remove(0);
    let key = format!("Authorization: Bearer {}", key["key"].as_str().expect("a key"));
    let daemon = board.start();
    board.write("large", vec![b'x'; 3 << 20]);
    board.write("huge", vec![b'x'; 20 << 20]);
    board.write("items", "{\"subject_id\": \"EMP-001\"}\n".repeat(300_000));
    let file = |name: &str, field: &str| format!("{field}@{}", board.path(name).display());
    let (large, huge, items) = (file("large", "image="), file("huge", "image="), file("items", ""));
    for protocol in ["--http2", "--http1.1"].repeat(4) {
        let curl = |path: &str, more: &[&str]| curl(&board, &daemon, path, protocol, more);
        let (status, body) = curl("/nowhere", &["-F", &large]);
        assert!(status == "404" && body.contains("not_found"), "{protocol}: {status} {body}");
        let (status, body) = curl("/v1/face-matching/search", &["-F", &large]);
        assert!(status == "401" && body.contains("missing_api_key"), "{protocol}: {status} {body}");
        let (status, body) = curl("/v1/face-matching/search", &["-H", &key, "-F", &huge]);
        assert!(status == "413" && body.contains("image_too_large"), "{protocol}: {status} {body}");
        let lines = ["-H", &key, "-H", "Content-Type: application/x-ndjson", "--data-binary", &items];
        let (status, body) = curl("/v1/face-matching/enroll/batch", &lines);
        let end = body.lines().last().unwrap_or_default();
        assert!(
            status == "200" && end.contains("too_large") && end.contains("\"items\":1"),
            "{protocol}: {status} {body}"
        );
    }
    daemon.stop();
}
