//! What `facegate check` looks at: the certificates, and whether the broker takes this device. Changes nothing.

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;

use super::{client, settings::Settings};
use crate::error::{Context as _, Error, Kind, Result};

/// A certificate that the connection needs.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Whose: `certificate`, `authority`.
    pub what: &'static str,
    pub path: PathBuf,
    pub begins: Timestamp,
    pub ends: Timestamp,
}

/// The device's own certificate, where it shows one, and those that it believes the broker's by.
///
/// # Errors
/// `Config` where a file is missing or not what it should be, or key and certificate do not go together.
pub fn certificates_of(settings: &Settings) -> Result<Vec<Certificate>> {
    client::tls(settings)?;
    let own = settings.pair().map(|(path, _)| ("certificate", path));
    let mut all = Vec::new();
    for (what, path) in own.into_iter().chain([("authority", settings.ca())]) {
        for (begins, ends) in client::validities(&path)? {
            all.push(Certificate { what, path: path.clone(), begins, ends });
        }
    }
    Ok(all)
}

/// Whether the broker takes this device, within so long.
///
/// # Errors
/// `Io` where it does not, with what it said; `Config` where a file cannot be read.
pub fn reach(settings: &Settings, patience: Duration) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(Kind::Io, || "the connection's runtime cannot be started")?;
    let id = format!("{}-check-{:08x}", settings.device, rand::random::<u32>());
    let reached = runtime.block_on(async {
        let (client, mut heard) = client::connect_without_will(settings, &id)?;
        let answer = tokio::time::timeout(patience, client::accepted(&mut heard));
        let answer = answer.await.unwrap_or_else(|_| Err(format!("no answer within {} s", patience.as_secs())));
        client.disconnect().await;
        Ok::<_, Error>(answer)
    });
    // A name that is still being looked for is left behind.
    runtime.shutdown_background();
    reached?.map_err(|why: String| {
        Error::new(Kind::Io, format!("{} does not take this device: {why}", settings.broker)).help(
            "see that fleet.broker is right, that the broker runs and trusts the site's ca.pem, and that the network lets it through \
             (as a service: examples/network.conf)",
        )
    })
}
