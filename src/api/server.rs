//! The connections: how many, for how long, and how they end.

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, UnixListener},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, Sleep, sleep, timeout},
};
use tower::Service;

use super::{local::Socket, settings::Settings};
use crate::error::{Context as _, Kind, Result};

/// How long requests that are under way at a shutdown may take to end.
const GRACE: Duration = Duration::from_millis(500);

/// How long a new try waits after `accept` failed: most likely, all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long, and for how many bytes, a client is heard out whose request was answered before its end.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;

/// Largest head of a request, in bytes.
const LARGEST_HEAD: usize = 32 << 10;

/// Where the API is reached.
#[derive(Debug)]
pub enum Listener {
    /// An address and port.
    Tcp(std::net::TcpListener),
    /// The daemon's socket in the file system.
    Local(Socket),
}

/// Who is at the other end of a connection: an extension of every request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    /// By TCP: whoever has this address.
    Address(IpAddr),
    /// By the daemon's socket: this user of this machine.
    User(u32),
}

/// What is accepted: a connection, and who is at its other end.
type Accepted = (Pin<Box<dyn Stream>>, Peer);

/// Bytes in and out.
trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

enum Accepting {
    Tcp(TcpListener),
    /// With its file, which goes when it does.
    Local {
        listener: UnixListener,
        _file: Socket,
    },
}

impl Accepting {
    fn new(listener: Listener) -> io::Result<Self> {
        match listener {
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            Listener::Local(socket) => {
                socket.listener.set_nonblocking(true)?;
                let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
                Ok(Self::Local { listener, _file: socket })
            }
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are small: none should wait for the next one. Fails where the client is gone already.
                let _ = stream.set_nodelay(true);
                Ok((Box::pin(stream), Peer::Address(address.ip())))
            }
            Self::Local { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred()?.uid();
                Ok((Box::pin(stream), Peer::User(user)))
            }
        }
    }
}

/// Serves `router` on all of `listeners` until `shutdown` is ready; then requests under way get [`GRACE`].
pub(super) async fn run(
    listeners: Vec<Listener>,
    router: &Router,
    settings: &Settings,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let (stop, stopping) = watch::channel(());
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let listener = Accepting::new(listener).context(Kind::Io, || "a socket of the API cannot be used")?;
        accepting.spawn(serve(listener, router.clone(), settings.clone(), stopping.clone()));
    }
    shutdown.await;
    drop(stop);
    while accepting.join_next().await.is_some() {}
    Ok(())
}

/// Serves `router` on one listener until `stopping` says so. Each listener has places of its own: whoever floods the address
/// keeps no operator from the socket.
async fn serve(listener: Accepting, router: Router, settings: Settings, stopping: watch::Receiver<()>) {
    let places = Arc::new(Semaphore::new(settings.max_connections));
    let mut connections = JoinSet::new();
    let mut stop = stopping.clone();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            // An error says that the sender is gone, which is how a shutdown is told.
            _ = stop.changed() => break,
            // Ended ones are taken out as they end, or the set would grow for ever.
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, router.clone(), settings.clone(), stopping.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let ended = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut at the shutdown");
        connections.abort_all();
    }
}

async fn connection(
    stream: Pin<Box<dyn Stream>>,
    peer: Peer,
    router: Router,
    settings: Settings,
    mut stopping: watch::Receiver<()>,
) {
    let io = TokioIo::new(Lingering { stream, until: None, discarded: 0 });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout())
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(io, TowerToHyperService::new(service(router, peer)));
    let mut connection = pin!(connection);

    let last = tokio::select! {
        outcome = connection.as_mut() => return note(outcome),
        _ = stopping.changed() => GRACE,
        () = sleep(settings.max_connection_age()) => settings.request_timeout() + LINGER,
    };
    connection.as_mut().graceful_shutdown();
    if let Ok(outcome) = timeout(last, connection).await {
        note(outcome);
    }
}

fn service(
    router: Router,
    peer: Peer,
) -> impl Service<Request<hyper::body::Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send
{
    tower::util::MapRequest::new(router, move |request: Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request
    })
}

/// A client that goes away, is too slow or does not speak HTTP is nothing to wake anybody for.
fn note(outcome: Result<(), hyper::Error>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A connection that is not slammed shut.
///
/// Closing a socket with unread bytes in it makes TCP drop the answer that is still on its way: a client that was told
/// 413 while it sent would only see a broken connection. So after the last answer the client is heard out, within
/// bounds, and what it says is thrown away.
struct Lingering {
    stream: Pin<Box<dyn Stream>>,
    until: Option<Pin<Box<Sleep>>>,
    discarded: usize,
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.until.is_none() {
            ready!(this.stream.as_mut().poll_shutdown(cx))?;
        }
        let until = this.until.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + LINGER)));
        let mut scratch = [0; 16 << 10];
        loop {
            if until.as_mut().poll(cx).is_ready() || this.discarded > LINGER_BYTES {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(this.stream.as_mut().poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => this.discarded += buf.filled().len(),
                // The client has closed its side, or is gone.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
