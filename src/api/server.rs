//! The connections: how many, for how long, and how they end.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Version, header},
    response::Response,
};
use hyper::server::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt as _};

use super::{
    activity::Activity,
    limits::network,
    lingering::{HeardOut, LINGER, Lingering},
    local::Socket,
    settings::Settings,
    shares::{Share, Shares},
    tls::{HTTP_2, Tls},
};
use crate::error::{Context as _, Kind, Result};

/// How long requests that are under way at a shutdown may take to end.
const GRACE: Duration = Duration::from_millis(500);

/// How long a new try waits after `accept` failed: most likely, all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much of an answer the system takes before the client does, in bytes: what a client that reads slowly costs, and how
/// much it must have read until that is seen.
const SENT_AHEAD: usize = 128 << 10;

/// As many connections every network may have, however few there may be.
const LEAST_OF_ONE: usize = 8;

/// Largest head of a request, in bytes. Over HTTP/1 that is how much is kept before it is seen to be too long: what came with the
/// last bytes that fitted passes, too, so that some heads of up to twice as many do.
const LARGEST_HEAD: usize = 32 << 10;

/// Most requests at a time on one connection of HTTP/2, and most bytes of an answer that wait to be sent.
const MOST_STREAMS: u32 = 32;
const SEND_BUFFER: usize = 64 << 10;

/// Where the API is reached.
#[derive(Debug)]
pub enum Listener {
    /// An address and port.
    Tcp(std::net::TcpListener),
    /// The same, encrypted.
    Tls(std::net::TcpListener, Arc<Tls>),
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

/// What is accepted: a connection, who is at its other end, and what encrypts it.
struct Accepted {
    stream: Pin<Box<dyn Stream>>,
    peer: Peer,
    tls: Option<TlsAcceptor>,
}

/// Bytes in and out.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

enum Accepting {
    Tcp(TcpListener, Option<Arc<Tls>>),
    /// With its file, which goes when it does.
    Local {
        listener: UnixListener,
        _file: Socket,
    },
}

impl Accepting {
    fn new(listener: Listener) -> io::Result<Self> {
        let tcp = |listener: std::net::TcpListener, tls| {
            listener.set_nonblocking(true)?;
            Ok(Self::Tcp(TcpListener::from_std(listener)?, tls))
        };
        match listener {
            Listener::Tcp(listener) => tcp(listener, None),
            Listener::Tls(listener, tls) => tcp(listener, Some(tls)),
            Listener::Local(socket) => {
                socket.listener.set_nonblocking(true)?;
                let listener = UnixListener::from_std(socket.listener.try_clone()?)?;
                Ok(Self::Local { listener, _file: socket })
            }
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                // Answers are small: none should wait for the next one. Fails where the client is gone already.
                let _ = stream.set_nodelay(true);
                let _ = SockRef::from(&stream).set_send_buffer_size(SENT_AHEAD);
                let (peer, tls) = (Peer::Address(address.ip()), tls.as_ref().map(|tls| tls.acceptor()));
                Ok(Accepted { stream: Box::pin(stream), peer, tls })
            }
            Self::Local { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred()?.uid();
                Ok(Accepted { stream: Box::pin(stream), peer: Peer::User(user), tls: None })
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
    let mut following = JoinSet::new();
    for listener in listeners {
        if let Listener::Tls(_, tls) = &listener {
            let tls = Arc::clone(tls);
            following.spawn(async move { tls.follow().await });
        }
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
    let shares = Shares::new((settings.max_connections / 4).max(LEAST_OF_ONE));
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
            Ok(accepted) => {
                let Ok(share) = share_of(&shares, accepted.peer, &settings) else {
                    tracing::debug!("a network has all the connections that it may");
                    continue;
                };
                let connection = connection(accepted, router.clone(), settings.clone(), stopping.clone());
                connections.spawn(async move {
                    connection.await;
                    drop((place, share));
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

/// What a connection takes of its network's share: nothing where addresses are not told apart, which is said of a proxy's, nor on
/// the board itself, where a proxy may be.
fn share_of(shares: &Shares<IpAddr>, peer: Peer, settings: &Settings) -> Result<Option<Share<IpAddr>>, Full> {
    match peer {
        Peer::Address(address) if settings.limits.address_factor > 0 && !address.to_canonical().is_loopback() => {
            shares.take(network(address)).map(Some).ok_or(Full)
        }
        Peer::Address(_) | Peer::User(_) => Ok(None),
    }
}

/// A network has all the connections that it may.
struct Full;

async fn connection(accepted: Accepted, router: Router, settings: Settings, stopping: watch::Receiver<()>) {
    let Accepted { stream, peer, tls } = accepted;
    let (stream, http2): (Pin<Box<dyn Stream>>, bool) = match tls {
        None => (stream, false),
        Some(tls) => match timeout(settings.header_timeout(), tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
                (Box::pin(stream), http2)
            }
            // Nothing to wake anybody for: a scanner, a client that speaks no TLS, or one without a certificate.
            Ok(Err(error)) => return tracing::debug!(%error, "a connection could not be encrypted"),
            Err(_) => return tracing::debug!("a connection took too long to be encrypted"),
        },
    };
    let activity = Arc::<Activity>::default();
    // Over HTTP/2, pings come and go also where nothing else does.
    let io = TokioIo::new(Lingering::new(stream, (!http2).then(|| Arc::clone(&activity))));
    let service = TowerToHyperService::new(service(router, peer, Arc::clone(&activity), settings.request_timeout()));
    if http2 {
        let connection = http2_limits(&settings).serve_connection(io, service);
        let idle = Arc::clone(&activity).idle(settings.header_timeout());
        drive(connection, |it| it.graceful_shutdown(), idle, &activity, &settings, stopping).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(settings.header_timeout())
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(io, service);
        // Its heads have a time limit of their own.
        drive(connection, |it| it.graceful_shutdown(), pending(), &activity, &settings, stopping).await;
    }
}

/// The limits of HTTP/1 in terms of HTTP/2. Each stream is a request with its own time limit; a client that does not answer
/// a ping is gone.
fn http2_limits(settings: &Settings) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(LARGEST_HEAD as u32)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(settings.header_timeout())
        .keep_alive_timeout(settings.header_timeout());
    builder
}

/// For how long nothing may come or go on a connection before it is cut: an item may take as long to arrive, and as long to be
/// worked on. A client that reads no answer would keep its place otherwise.
fn patience(settings: &Settings) -> Duration {
    2 * settings.request_timeout().max(settings.header_timeout()) + LINGER
}

/// Serves a connection until it ends, is idle, stands still, is too old, or the daemon stops. What is under way on one that is too old goes on
/// as long as it gets anywhere: a batch of thousands, a list that is read slowly.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    graceful_shutdown: impl FnOnce(Pin<&mut C>),
    idle: impl Future<Output = ()>,
    activity: &Activity,
    settings: &Settings,
    mut stopping: watch::Receiver<()>,
) {
    let mut connection = pin!(connection);
    let last = tokio::select! {
        outcome = connection.as_mut() => return note(outcome),
        _ = stopping.changed() => GRACE,
        () = idle => LINGER,
        () = activity.stands_still(patience(settings)) => return tracing::debug!("a connection stood still"),
        () = sleep(settings.max_connection_age()) => {
            graceful_shutdown(connection.as_mut());
            return while_it_moves(connection, activity, settings, stopping).await;
        }
    };
    graceful_shutdown(connection.as_mut());
    if let Ok(outcome) = timeout(last, connection).await {
        note(outcome);
    }
}

async fn while_it_moves<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
    settings: &Settings,
    mut stopping: watch::Receiver<()>,
) {
    tokio::select! {
        outcome = connection.as_mut() => return note(outcome),
        _ = stopping.changed() => {}
        () = activity.stands_still(patience(settings)) => return tracing::debug!("a connection stood still"),
    }
    if let Ok(outcome) = timeout(GRACE, connection).await {
        note(outcome);
    }
}

fn service(
    router: Router,
    peer: Peer,
    activity: Arc<Activity>,
    patience: Duration,
) -> impl Service<Request<hyper::body::Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send
{
    tower::service_fn(move |request: Request<hyper::body::Incoming>| {
        let under_way = activity.begin();
        // HTTP/2 lets clients send without being told to.
        let waits = request.version() < Version::HTTP_2 && request.headers().contains_key(header::EXPECT);
        let mut request =
            request.map(|body| Body::new(HeardOut::new(activity.watch(Body::new(body), None), waits, patience)));
        request.extensions_mut().insert(peer);
        let (activity, answer) = (Arc::clone(&activity), router.clone().oneshot(request));
        async move { Ok(answer.await?.map(|body| activity.watch(body, Some(under_way)))) }
    })
}

/// A client that goes away, is too slow or does not speak HTTP is nothing to wake anybody for.
fn note(outcome: Result<(), hyper::Error>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_share_of_the_connections_and_the_board_itself_as_many_as_there_are() {
        let settings = Settings::default();
        let shares = Shares::new(2);
        let peer = |text: &str| Peer::Address(text.parse().expect("an address"));
        let take = |peer| share_of(&shares, peer, &settings).ok();
        let held: Vec<_> =
            (1..=2).map(|host| take(peer(&format!("2001:db8::{host}"))).expect("there is room")).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(take(peer("2001:db8::3")).is_none(), "the network has all that it may");
        for other in ["2001:db8:0:1::1", "192.0.2.7"] {
            assert!(take(peer(other)).is_some(), "{other}");
        }
        for (free, settings) in [
            (peer("127.0.0.1"), &settings),
            (peer("::1"), &settings),
            (peer("::ffff:127.0.0.2"), &settings),
            (Peer::User(0), &settings),
            (peer("2001:db8::3"), &Settings { limits: crate::api::Limits::off(), ..Settings::default() }),
        ] {
            let held: Vec<_> = (0..9).map(|_| share_of(&shares, free, settings)).collect();
            assert!(held.iter().all(|share| matches!(share, Ok(None))), "{free:?}");
        }
    }
}
