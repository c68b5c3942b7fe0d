//! A tenant moved from one board to another, over REST and by the command line.

use facegate::gallery::Right;

use crate::support::{
    Server,
    daemon::Board,
    http::{connect, everything},
    photo,
};

/// What the server sends, from the status line on; lines of JSON are no one document.
fn raw(server: &Server, key: &str, path: &str) -> (u16, String) {
    use std::io::Write;

    let mut stream = connect(server.address);
    let head = format!(
        "POST /v1/face-matching{path} HTTP/1.0\r\nHost: door\r\nAuthorization: Bearer {key}\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the server takes the head");
    let answer = String::from_utf8(everything(&mut stream)).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
}

#[test]
fn a_tenant_goes_from_the_api_of_one_board_to_the_store_of_another() {
    let server = Server::start();
    let id = server.enrol(0, "EMP-001", &photo("obama.jpg"));
    server.enrol(1, "theirs", &photo("biden.jpg"));
    let (status, refused) = raw(&server, &server.keys[0], "/export");
    assert_eq!(status, 403, "the usual rights are not enough: {refused}");
    let rights = [Right::Transfer].into_iter().collect();
    let key = server.gallery.add_key(&"acme".parse().expect("a name"), None, rights).expect("a key");
    let (status, file) = raw(&server, &key.secret, "/export");
    assert_eq!((status, file.lines().count()), (200, 3), "{file}");
    assert!(file.contains(&id) && !file.contains("theirs"));

    let board = Board::new();
    board.write("acme.ndjson", &file);
    let done = board.run(&["tenants", "import", "branch", "acme.ndjson", "--json"]).must(0, &[]).json();
    assert_eq!((&done[0]["imported"], &done[0]["foreign"]), (&1.into(), &0.into()), "{done:?}");
    let found =
        board.run(&["search", &crate::support::photo_path("obama2.jpg").to_string_lossy(), "--tenant", "branch"]);
    found.must(0, &["EMP-001"]);
    board.run(&["tenants", "export", "branch", "again.ndjson"]).must(0, &["1"]);
    board.run(&["tenants", "export", "branch", "again.ndjson"]).must(74, &["again.ndjson"]);
    let again = std::fs::read_to_string(board.path("again.ndjson")).expect("a file");
    assert_eq!(again.lines().nth(1), file.lines().nth(1), "the same embedding, to the bit");
    let cut: String = file.lines().take(2).map(|line| format!("{line}\n")).collect();
    board.write("cut.ndjson", cut);
    board.run(&["tenants", "import", "branch", "cut.ndjson"]).must(64, &["cut.ndjson", "the whole file"]);
}
