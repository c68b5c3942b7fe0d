//! A client that sends exactly what it is told, right or wrong.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// `error.code`, or nothing where it is no error.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

/// The parts of a form: name, file name, bytes.
#[derive(Clone, Default)]
pub struct Form(Vec<(String, Option<String>, Vec<u8>)>);

const BOUNDARY: &str = "----facegate-test-7MA4YWxkTrZu0gW";

impl Form {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.into(), None, value.as_bytes().to_vec()));
        self
    }

    pub fn image(self, bytes: &[u8]) -> Self {
        self.image_as("image", bytes)
    }

    pub fn image_as(mut self, name: &str, bytes: &[u8]) -> Self {
        self.0.push((name.into(), Some("photo.jpg".into()), bytes.to_vec()));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, file, bytes) in &self.0 {
            body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"").bytes());
            if let Some(file) = file {
                body.extend(format!("; filename=\"{file}\"\r\nContent-Type: application/octet-stream").bytes());
            }
            body.extend(b"\r\n\r\n");
            body.extend(bytes);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{BOUNDARY}--\r\n").bytes());
        body
    }

    pub fn content_type() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }
}

/// Opens a connection whose reads and writes give up after a while.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
    stream.set_write_timeout(Some(Duration::from_secs(60))).expect("a timeout can be set");
    stream
}

/// One request on a connection of its own.
pub fn call(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Reply {
    let mut stream = connect(address);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).expect("the server takes the head");
    stream.write_all(body.unwrap_or_default()).expect("the server hears a client out");
    receive(&mut stream)
}

/// Reads one answer, up to the end of the connection.
pub fn receive(stream: &mut TcpStream) -> Reply {
    let raw = everything(stream);
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| {
        panic!("no whole answer: {:?}", String::from_utf8_lossy(&raw));
    });
    let head = std::str::from_utf8(&raw[..end]).expect("a head is ASCII");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let headers: Vec<(String, String)> = headers;
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { &dechunked(&raw[end + 4..])[..] } else { &raw[end + 4..] };
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).expect("every body is JSON") };
    Reply { status: status.expect("a status line"), headers, body }
}

/// A body that came in chunks (RFC 9112, 7.1), which must be all there.
fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|pair| pair == b"\r\n").expect("a chunk's length");
        let length = std::str::from_utf8(&rest[..line]).expect("a length is ASCII");
        let length = usize::from_str_radix(length, 16).expect("a length is hexadecimal");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..][..length]);
        rest = &rest[line + 2 + length + 2..];
    }
}

/// Everything until the server closes the connection.
pub fn everything(stream: &mut TcpStream) -> Vec<u8> {
    let mut raw = Vec::new();
    match stream.read_to_end(&mut raw) {
        Ok(_) => raw,
        Err(error) => panic!("the connection broke: {error}, after {:?}", String::from_utf8_lossy(&raw)),
    }
}
