//! The daemon as a server of its REST API.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
};

use super::{Daemon, STOP_PATIENCE, spawn};
use crate::{
    api::{self, Listener, Socket, Tls},
    error::{Context, Error, Kind, Result},
    priority::Behind,
    recognition::Recognition,
    service::Sockets,
};

/// Most calls of the API that wait for the store at a time; more queue up. As many threads compete with the door's.
const API_BLOCKING: usize = 8;

/// The API while it is served.
pub(super) struct ApiServer {
    /// None where only the daemon's socket is served.
    pub address: Option<SocketAddr>,
    pub stop: tokio::sync::oneshot::Sender<()>,
    pub thread: JoinHandle<()>,
}

impl Daemon {
    /// Serves the API where the configuration and the service manager say; none where that is nowhere. What it gives tells the API that
    /// the daemon is ready.
    pub(super) fn start_api(&mut self, sockets: Sockets) -> Result<Option<Arc<api::Readiness>>> {
        let settings = self.config.api.clone();
        let (mut listeners, mut address, mut recognition) = (Vec::new(), None, None);
        if let Some(listen) = settings.listen {
            let tls = settings.tls.as_ref().map(Tls::open).transpose()?;
            let bound = if sockets.api.is_empty() {
                vec![TcpListener::bind(listen).map_err(|error| {
                    Error::new(Kind::Io, format!("the API cannot listen on {listen}"))
                        .source(error)
                        .help("is another facegate running? Choose another address in [api] listen")
                })?]
            } else {
                sockets.api
            };
            recognition = Some(Recognition::start(Arc::clone(&self.engine), &settings.recognition)?);
            for listener in bound {
                let found = listener.local_addr().context(Kind::Io, || "the API's address cannot be read")?;
                address = address.or(Some(found));
                listeners.push(match &tls {
                    Some(tls) => Listener::Tls(listener, Arc::clone(tls)),
                    None => Listener::Tcp(listener),
                });
            }
        } else if !sockets.api.is_empty() {
            tracing::warn!("a socket for the API was passed, but api.listen is \"off\": nobody is served there");
        }
        if let Some(listener) = sockets.operator {
            listeners.push(Listener::Local(Socket::passed(listener)));
        } else if let Some(socket) = settings.socket() {
            listeners.push(Listener::Local(Socket::bind(socket)?));
        }
        if listeners.is_empty() {
            return Ok(None);
        }
        let state = api::State::new(
            settings,
            Arc::clone(&self.gallery),
            recognition,
            Arc::clone(&self.desk),
            Arc::clone(&self.journal),
        )
        .with_fleet(self.fleet.as_ref().map(|fleet| Arc::clone(fleet.stats())));
        let readiness = Arc::clone(state.readiness());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(API_BLOCKING)
            .on_thread_start(|| Behind::Api.step_back_if_possible())
            .thread_name("api")
            .enable_all()
            .build()
            .context(Kind::Io, || "the API's threads cannot be started")?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = spawn("api-main", move || {
            let served = runtime.block_on(api::serve(listeners, state, async {
                // Sent, or dropped with the daemon: both mean stop.
                let _ = stopped.await;
            }));
            if let Err(error) = served {
                tracing::error!(%error, "the API ended");
            }
            runtime.shutdown_timeout(STOP_PATIENCE / 2);
        })?;
        self.api = Some(ApiServer { address, stop, thread });
        Ok(Some(readiness))
    }
}
