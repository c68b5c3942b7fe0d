//! Clients that are slow, rude or broken; and the server's own end.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use facegate::api;
use proptest::{prelude::*, test_runner::TestRunner};

use crate::support::{
    Server,
    http::{Form, Reply, call, connect, everything, receive},
    photo,
};

fn impatient() -> api::Settings {
    api::Settings { header_timeout_s: 1, request_timeout_s: 2, ..api::Settings::default() }
}

fn serves(server: &Server) {
    assert_eq!(call(server.address, "GET", "/healthz", &[], None).status, 200);
}

fn head(server: &Server, path: &str, more: &str) -> String {
    let (key, content_type) = (&server.keys[0], Form::content_type());
    format!(
        "POST /v1/face-matching{path} HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {key}\r\nContent-Type: \
         {content_type}\r\n{more}\r\n"
    )
}

#[test]
fn what_is_no_http_is_turned_away() {
    let server = Server::start();
    let long = format!("GET /{} HTTP/1.1\r\nHost: door\r\n\r\n", "x".repeat(100_000));
    let headers = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X-More: yes\r\n".repeat(5_000));
    let texts = [
        "hello, door\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "GET /healthz\r\n\r\n",
        "GET /healthz HTTP/9.9\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        &long,
        &headers,
    ];
    for text in texts {
        let mut stream = connect(server.address);
        // The server may have closed the connection before it was told everything.
        let _ = stream.write_all(text.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let line = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
        assert!(line.is_empty() || line.starts_with("HTTP/1.1 4"), "{:?} got {line:?}", &text[..text.len().min(40)]);
    }
    serves(&server);
}

#[test]
fn a_body_without_its_length_is_refused() {
    let server = Server::start();
    for more in ["Connection: close\r\nTransfer-Encoding: chunked\r\n", "Connection: close\r\n"] {
        let mut stream = connect(server.address);
        stream.write_all(head(&server, "/search", more).as_bytes()).expect("the head is sent");
        let reply = receive(&mut stream);
        assert_eq!((reply.status, reply.code()), (411, "length_required"), "{more:?}");
    }
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    let server = Server::with(impatient());
    let start = Instant::now();
    let mut silent = connect(server.address);
    let mut slow = connect(server.address);
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost:").expect("the start of a head");
    everything(&mut silent);
    everything(&mut slow);
    let waited = start.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&waited), "{waited:?}");
    serves(&server);
}

#[test]
fn a_body_that_does_not_come_is_told_that_its_time_is_over() {
    let server = Server::with(impatient());
    let start = Instant::now();
    let mut stream = connect(server.address);
    stream.write_all(head(&server, "/search", "Content-Length: 5000\r\n").as_bytes()).expect("the head is sent");
    stream.write_all(&Form::new().image(b"abc").bytes()[..60]).expect("the start of a body");
    let reply = receive(&mut stream);
    assert_eq!((reply.status, reply.code()), (408, "request_timeout"));
    let waited = start.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(10)).contains(&waited), "{waited:?}");
    serves(&server);
}

#[test]
fn connections_over_the_limit_wait_until_there_is_room() {
    let settings = api::Settings { max_connections: 4, ..impatient() };
    let server = Server::with(settings);
    let idle: Vec<TcpStream> = (0..4).map(|_| connect(server.address)).collect();
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    serves(&server);
    assert!(start.elapsed() > Duration::from_millis(500), "it waited until idle connections were closed");
    drop(idle);
    serves(&server);
}

/// So many answers that no system keeps them all for a client that reads none.
const UNREAD: usize = 200;

#[test]
fn a_client_that_reads_no_answer_loses_its_place() {
    let server = Server::with(api::Settings {
        max_connections: 1,
        request_timeout_s: 1,
        limits: api::Limits::off(),
        ..impatient()
    });
    let mut deaf = connect(server.address);
    let asked = "GET /openapi.json HTTP/1.1\r\nHost: door\r\n\r\n".repeat(UNREAD);
    deaf.write_all(asked.as_bytes()).expect("the requests are taken");
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    serves(&server);
    let waited = start.elapsed();
    // Nothing may move for twice a second and two, and that is looked at each so many seconds.
    assert!((Duration::from_secs(2)..Duration::from_secs(30)).contains(&waited), "{waited:?}");
    drop(deaf);
}

#[test]
fn a_client_that_reads_slowly_gets_every_answer() {
    let server = Server::with(api::Settings { request_timeout_s: 1, limits: api::Limits::off(), ..impatient() });
    let mut slow = connect(server.address);
    let mut asked = "GET /openapi.json HTTP/1.1\r\nHost: door\r\n\r\n".repeat(UNREAD - 1);
    asked.push_str("GET /openapi.json HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n");
    slow.write_all(asked.as_bytes()).expect("the requests are taken");
    let (mut answers, mut part) = (Vec::new(), vec![0; 256 << 10]);
    let start = Instant::now();
    // For much longer than nothing may move.
    while start.elapsed() < Duration::from_secs(12) {
        let count = slow.read(&mut part).expect("it goes on");
        answers.extend_from_slice(&part[..count]);
        std::thread::sleep(Duration::from_millis(200));
    }
    answers.extend(everything(&mut slow));
    let line = b"HTTP/1.1 200 OK\r\n";
    assert_eq!(answers.windows(line.len()).filter(|window| window == line).count(), UNREAD);
}

#[test]
fn one_connection_serves_many_requests() {
    let server = Server::start();
    let mut stream = connect(server.address);
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: door\r\n\r\n").expect("the connection is kept");
        let mut answer = [0; 2048];
        let count = stream.read(&mut answer).expect("an answer");
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
    }
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let settings = api::Settings { max_uploads: 2, ..api::Settings::default() };
    let server = Server::with(settings);
    let body = Form::new().image(&photo("obama.jpg")).bytes();
    let head = head(&server, "/search", &format!("Content-Length: {}\r\n", body.len()));
    for part in [0, 10, 1000, body.len() - 1, body.len()] {
        let mut stream = connect(server.address);
        stream.write_all(head.as_bytes()).expect("the head is sent");
        stream.write_all(&body[..part]).expect("a part of the body is sent");
        drop(stream);
    }
    // The places for uploads come back.
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = server.call("POST", "/search", Some(&Form::new().image(&photo("obama.jpg"))));
        if reply.status == 200 {
            break;
        }
        assert!(reply.status == 503 && Instant::now() < until, "{reply:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn it_stops_within_a_second_whatever_is_under_way() {
    let mut server = Server::start();
    let idle = connect(server.address);
    let mut half = connect(server.address);
    half.write_all(head(&server, "/search", "Content-Length: 5000\r\n").as_bytes()).expect("the head is sent");
    let form = Form::new().image(&photo("obama.jpg"));
    let (address, key) = (server.address, format!("Bearer {}", server.keys[0]));
    let busy = std::thread::spawn(move || {
        let mut stream = connect(address);
        let body = form.bytes();
        let head = format!(
            "POST /v1/face-matching/search HTTP/1.1\r\nHost: door\r\nAuthorization: {key}\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\n\r\n",
            Form::content_type(),
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).expect("the request is sent");
        let mut answer = Vec::new();
        // Answered or cut, but ended.
        let _ = stream.read_to_end(&mut answer);
    });
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    busy.join().expect("the client ends, too");
    drop((idle, half));
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
}

#[test]
fn no_form_however_damaged_makes_a_5xx() {
    let server = Server::start();
    let whole =
        Form::new().text("subject_id", "EMP-001").text("threshold", "0.6").image(b"\xff\xd8\xff\xe0 no JPEG").bytes();
    let key = format!("Bearer {}", server.keys[0]);
    let content_type = Form::content_type();
    let send = |path: &str, body: &[u8]| -> Reply {
        let headers = [("Authorization", key.as_str()), ("Content-Type", &content_type)];
        call(server.address, "POST", &format!("/v1/face-matching{path}"), &headers, Some(body))
    };
    let damage = prop::collection::vec((0..whole.len(), any::<u8>()), 0..8);
    let paths = prop::sample::select(vec!["/enroll", "/search", "/verify/EMP-001"]);
    let mut runner = TestRunner::new(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() });
    let outcome = runner.run(&(damage, 0..=whole.len(), paths), |(damage, length, path)| {
        let mut body = whole.clone();
        for (at, byte) in damage {
            body[at] = byte;
        }
        body.truncate(length);
        let reply = send(path, &body);
        prop_assert!((400..500).contains(&reply.status), "{:?}", reply);
        prop_assert!(!reply.code().is_empty());
        Ok(())
    });
    outcome.expect("every answer is a client's error");
}

/// Sends `start`, then a byte every now and then, until the server ends the connection; gives what it said.
fn trickle(mut stream: TcpStream, start: &str) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout can be set");
    stream.write_all(start.as_bytes()).expect("the start is sent");
    let until = Instant::now() + Duration::from_secs(60);
    let (mut answer, mut part) = (Vec::new(), [0; 1024]);
    while Instant::now() < until {
        // Refused once the server has closed the connection, which reading tells.
        let _ = stream.write_all(b"x");
        match stream.read(&mut part) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return answer,
        }
    }
    panic!("after a minute it may still send: {:?}", String::from_utf8_lossy(&answer));
}

#[test]
fn heads_and_uploads_that_trickle_are_cut_while_others_are_served() {
    // One tenant may have half of the places.
    let server = Server::with(api::Settings { request_timeout_s: 3, max_uploads: 24, ..impatient() });
    let form = Form::new().image(b"abc").bytes();
    let begun = std::str::from_utf8(&form[..60]).expect("ASCII");
    let upload = format!("{}{begun}", head(&server, "/search", "Content-Length: 50000\r\n"));
    let slow = |start: &str| {
        let (stream, start) = (connect(server.address), start.to_owned());
        std::thread::spawn(move || trickle(stream, &start))
    };
    let heads: Vec<_> = (0..20).map(|_| slow("GET /healthz HTTP/1.1\r\nX-Slow: ")).collect();
    let uploads: Vec<_> = (0..10).map(|_| slow(&upload)).collect();
    let ended = || heads.iter().chain(&uploads).filter(|thread| thread.is_finished()).count();
    let mut served = 0;
    while ended() < 30 {
        serves(&server);
        served += 1;
    }
    assert!(served > 1, "nobody was served meanwhile");
    for thread in heads {
        let answer = thread.join().expect("it was cut");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    }
    for thread in uploads {
        let answer = String::from_utf8(thread.join().expect("it was cut")).expect("text");
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer:?}");
    }
    // Their places for uploads are free again.
    let reply = server.call("POST", "/search", Some(&Form::new().image(&photo("obama.jpg"))));
    assert_eq!(reply.status, 200, "{reply:?}");
}
