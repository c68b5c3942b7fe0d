//! Calls of the running daemon's API, by its socket in the file system.

use std::{path::Path, time::Duration};

use axum::body::{Body, to_bytes};
use hyper::{Method, Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::{
    config::Config,
    error::{Context, Error, Kind, Result},
};

/// How long the daemon may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer, in bytes.
const LONGEST: usize = 8 << 20;

/// Calls the daemon that this configuration describes, and gives the body of its answer.
///
/// # Errors
/// `NotReady` where no daemon runs; otherwise what the daemon says, as it says it.
pub fn call(config: &Config, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
    let socket = config.api.socket().ok_or_else(|| {
        Error::new(Kind::Config, "the daemon's socket is off").help("set api.socket, and start the daemon again")
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(Kind::Io, || "a connection to the daemon cannot be made")?;
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange(socket, method, path, body)).await });
    answer.map_err(|_| Error::new(Kind::NotReady, format!("the daemon did not answer within {PATIENCE:?}")))?
}

async fn exchange(socket: &Path, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
    let broken = || "the connection to the daemon broke";
    let stream = UnixStream::connect(socket).await.map_err(|error| nobody(socket, error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.context(Kind::Io, broken)?;
    // Ends with the exchange.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "facegate")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
        .context(Kind::Internal, || "a call cannot be written")?;
    let answer = sender.send_request(request).await.context(Kind::Io, broken)?;
    let ok = answer.status().is_success();
    let bytes = to_bytes(Body::new(answer.into_body()), LONGEST).await.context(Kind::Io, broken)?;
    let answer: Value = serde_json::from_slice(&bytes).context(Kind::Io, || "the daemon's answer cannot be read")?;
    if ok { Ok(answer) } else { Err(told(&answer)) }
}

fn nobody(socket: &Path, error: std::io::Error) -> Error {
    let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
    let help = if denied { "run this as root, or as the daemon's user" } else { "start it: facegate run" };
    let kind = if denied { Kind::Forbidden } else { Kind::NotReady };
    Error::new(kind, format!("no daemon can be reached by {}", socket.display())).source(error).help(help)
}

/// An error of the daemon's, with the same kind.
fn told(answer: &Value) -> Error {
    let word = |key: &str| answer["error"][key].as_str().unwrap_or_default();
    let kind = Kind::ALL.iter().find(|kind| kind.code() == word("code")).copied().unwrap_or(Kind::Internal);
    Error::new(kind, word("message"))
}
