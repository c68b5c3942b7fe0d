//! Sockets that listen already when the daemon starts: socket activation, as `sd_listen_fds(3)` tells it.

// One call: what the manager passes is a number, and only its word says whose the descriptor is.
#![allow(unsafe_code)]

use std::{
    net::TcpListener,
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::net::UnixListener,
    },
};

use socket2::{Domain, Socket, Type};

use crate::error::{Context, Error, Kind, Result};

/// What was passed. Sockets of TCP are the API's, one of the file system is the daemon's own.
#[derive(Debug, Default)]
pub struct Sockets {
    /// In the place of `api.listen`.
    pub api: Vec<TcpListener>,
    /// In the place of `api.socket`.
    pub operator: Option<UnixListener>,
}

impl Sockets {
    /// Takes what the service manager passed to this process; nothing where there is none. To be called once.
    ///
    /// # Errors
    /// [`Kind::Config`] where something else was passed than stream sockets that listen.
    pub fn passed() -> Result<Self> {
        let passed = sd_notify::listen_fds()
            .context(Kind::Config, || "the sockets that the service manager passed cannot be taken")?;
        // SAFETY: the manager passes these numbers to this process alone (LISTEN_PID is ours), each open, and says so by
        // LISTEN_FDS; sd-notify has just set a flag on each, so that it is open. `run` calls this once, before anything else
        // could have taken one of these numbers for its own.
        let owned = passed.map(|number| unsafe { OwnedFd::from_raw_fd(number) });
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').map(str::to_owned).chain(std::iter::repeat("unknown".into()));
        Self::sort(owned.zip(names))
    }

    /// Whether nothing was passed.
    pub const fn is_empty(&self) -> bool {
        self.api.is_empty() && self.operator.is_none()
    }

    fn sort(passed: impl Iterator<Item = (OwnedFd, String)>) -> Result<Self> {
        let mut sockets = Self::default();
        for (descriptor, name) in passed {
            let refuse = |why: &str| {
                Error::new(Kind::Config, format!("the service manager passed '{name}', which {why}"))
                    .help("in facegate.socket, ListenStream= may name addresses with a port, and one path")
            };
            let socket = Socket::from(descriptor);
            let listens =
                socket.is_listener().unwrap_or(false) && socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
            match socket.domain() {
                Ok(Domain::IPV4 | Domain::IPV6) if listens => sockets.api.push(socket.into()),
                Ok(Domain::UNIX) if listens && sockets.operator.is_none() => sockets.operator = Some(socket.into()),
                Ok(Domain::UNIX) if listens => return Err(refuse("is a second socket of the file system")),
                _ => return Err(refuse("is no stream socket that listens")),
            }
        }
        Ok(sockets)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn sort(passed: Vec<OwnedFd>) -> Result<Sockets> {
        Sockets::sort(passed.into_iter().map(|descriptor| (descriptor, "it".to_owned())))
    }

    #[test]
    fn sockets_are_told_apart_by_what_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let tcp = |address| OwnedFd::from(TcpListener::bind(address).expect("a free port"));
        let unix = |name| OwnedFd::from(UnixListener::bind(folder.path().join(name)).expect("a socket"));
        let sockets = sort(vec![tcp("127.0.0.1:0"), unix("a"), tcp("127.0.0.1:0")]).expect("all can be used");
        assert!(sockets.api.len() == 2 && sockets.operator.is_some());
        assert!(sort(vec![unix("b"), unix("c")]).expect_err("one too many").to_string().contains("second"));
        let datagram = OwnedFd::from(UnixDatagram::unbound().expect("a socket"));
        let file = OwnedFd::from(tempfile::tempfile().expect("a file"));
        for other in [datagram, file] {
            let error = sort(vec![other]).expect_err("it listens to nobody");
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.to_string().contains("'it'"));
        }
    }
}
