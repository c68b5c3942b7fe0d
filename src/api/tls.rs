//! TLS by rustls: a certificate, its key and, where only known clients may connect, the authority that signs theirs.
//!
//! The files are looked at every few seconds. New ones hold for new connections; where they are broken, the old ones stay and
//! the log says what is wrong, once.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

use crate::error::{Context as _, Error, Kind, Result};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What is offered by ALPN, the best first.
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];

/// HTTP/2's name in ALPN.
pub(super) const HTTP_2: &[u8] = b"h2";

/// `[api.tls]` of the configuration. All files are PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The certificate, followed by those between it and the root.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
    /// Where this is given, only clients with a certificate that one of these has signed may connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

/// What makes TLS of a connection; follows its files.
#[derive(Debug)]
pub struct Tls {
    settings: Settings,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// `Config` where one cannot be read, is not what it should be, or the key is not the certificate's.
    pub fn open(settings: &Settings) -> Result<Arc<Self>> {
        let config = ArcSwap::from(load(settings)?);
        Ok(Arc::new(Self { settings: settings.clone(), config }))
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Takes over the files whenever they change. Never ends.
    pub(super) async fn follow(&self) {
        // None: whatever changed between reading them and now is read again.
        let mut seen = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let stamps = Some(self.settings.files().map(stamp).collect::<Vec<_>>());
            if seen == stamps {
                continue;
            }
            let first = seen.is_none();
            seen = stamps;
            match load(&self.settings) {
                Ok(config) => {
                    self.config.store(config);
                    if !first {
                        tracing::info!("the API's TLS files have changed and are in use");
                    }
                }
                Err(error) => {
                    let help = error.advice();
                    tracing::error!(%error, help, "the API's new TLS files cannot be used; the old ones stay in use");
                }
            }
        }
    }
}

impl Settings {
    fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_ca).map(PathBuf::as_path)
    }
}

/// What tells one state of a file from another: its time, its length and which file it is.
fn stamp(path: &Path) -> Option<(i64, i64, u64, u64)> {
    let about = fs::metadata(path).ok()?;
    Some((about.mtime(), about.mtime_nsec(), about.size(), about.ino()))
}

fn load(settings: &Settings) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates("certificate", &settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|error| unusable("key", &settings.key, error))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context(Kind::Internal, || "TLS has no version")?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates("client_ca", path)? {
                roots.add(root).map_err(|error| unusable("client_ca", path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|error| unusable("client_ca", path, error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        Error::new(Kind::Config, "api.tls.certificate and api.tls.key do not go together")
            .source(error)
            .help("give the key that the certificate was made for")
    })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

/// The certificates of a file; at least one.
fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unusable(key, path, error))?;
    if found.is_empty() {
        return Err(unusable(key, path, "there is no certificate in it"));
    }
    Ok(found)
}

fn unusable(key: &str, path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Config, format!("api.tls.{key} cannot be used: {}", path.display()))
        .source(error)
        .help(format!("set api.tls.{key} to a PEM file that the daemon's user can read"))
}
