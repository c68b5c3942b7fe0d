//! A client of the daemon that keeps its connection.

use std::net::SocketAddr;

use axum::body::{Body, Bytes, to_bytes};
use hyper::{
    Method, Request,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::error::{Context, Error, Kind, Result};

const BOUNDARY: &str = "facegate-bench-7MA4YWxkTrZu0gW";

/// The longest answer, in bytes.
const LONGEST: usize = 64 << 20;

/// A form with a photograph and, where it is enrolled, its subject.
pub fn form(photo: &[u8], subject: Option<&str>) -> Bytes {
    let mut body = Vec::new();
    let mut part = |name: &str, more: &str, bytes: &[u8]| {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    };
    if let Some(subject) = subject {
        part("subject_id", "", subject.as_bytes());
    }
    part("image", "; filename=\"photo.jpg\"\r\nContent-Type: image/jpeg", photo);
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body.into()
}

/// A connection to the daemon, and the key that is sent along.
pub struct Client {
    sender: SendRequest<Body>,
    authorization: String,
}

impl Client {
    /// Connects. To be used within a runtime, which serves the connection.
    pub async fn connect(address: SocketAddr, key: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context(Kind::Io, broken)?;
        stream.set_nodelay(true).context(Kind::Io, broken)?;
        // What the machine's own choice does on loopback, such as pacing, is the network's time and not the daemon's. It is
        // left as it is where the system has no other.
        let _ = socket2::SockRef::from(&stream).set_tcp_congestion(b"reno");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.context(Kind::Io, broken)?;
        tokio::spawn(connection);
        Ok(Self { sender, authorization: format!("Bearer {key}") })
    }

    /// Sends a form.
    pub async fn post(&mut self, path: &str, form: &Bytes) -> Result<(u16, Bytes)> {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = Request::post(path).header(header::CONTENT_TYPE, kind);
        self.send(request, Body::from(form.clone())).await
    }

    /// Asks for something.
    pub async fn get(&mut self, path: &str) -> Result<(u16, Bytes)> {
        self.send(Request::builder().method(Method::GET).uri(path), Body::empty()).await
    }

    async fn send(&mut self, request: hyper::http::request::Builder, body: Body) -> Result<(u16, Bytes)> {
        let request = request
            .header(header::HOST, "bench")
            .header(header::AUTHORIZATION, &self.authorization)
            .body(body)
            .context(Kind::Internal, || "a call cannot be written")?;
        self.sender.ready().await.context(Kind::Io, broken)?;
        let answer = self.sender.send_request(request).await.context(Kind::Io, broken)?;
        let status = answer.status().as_u16();
        let body = to_bytes(Body::new(answer.into_body()), LONGEST).await.context(Kind::Io, broken)?;
        Ok((status, body))
    }
}

fn broken() -> &'static str {
    "the connection to the daemon broke"
}

/// The body of a call that must go well.
pub fn fine((status, body): (u16, Bytes)) -> Result<Bytes> {
    if status == 200 {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    Err(Error::new(Kind::Internal, format!("a call was answered {status}: {text}")))
}
