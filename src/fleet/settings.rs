use std::path::PathBuf;

use facegate_fleet::Name;
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    error::{Error, Kind, Result},
};

/// `[fleet]` of the configuration: one of the doors of a site, which know the same people. Without the section this board
/// shares nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The site: 1 to 32 of `a`–`z`, `0`–`9` and `-`.
    pub site: Name,
    /// This device, likewise; no other device of the site has its name.
    pub device: Name,
    /// The broker's host and port. TLS, always: the host's name is in the broker's certificate.
    pub broker: String,
    /// Which MQTT it speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// What `facegate fleet join` installed: keys, vouchers, certificates; for the owner only. Also what waits for the broker.
    #[serde(default = "default_dir")]
    pub dir: PathBuf,
    /// The authorities that may have signed the broker's certificate, PEM; `None`: `ca.pem` in [`dir`](Self::dir).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// This device's certificate for the broker and those between it and the root, PEM; `None`: `tls.pem` in
    /// [`dir`](Self::dir), or none where there is a [`user`](Self::user).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1; `None`: `tls.key` there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The user's name for brokers that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The file with that user's password, such as a credential of systemd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Whether the board's clock can be relied on: commands and vouchers then end by it.
    #[serde(default)]
    pub clock: ClockTrust,
    /// How often the broker is told that the connection lives, 5 to 600 seconds.
    #[serde(default = "default_keep_alive")]
    pub keep_alive_s: u16,
    /// How often figures are sent, 60 to 86,400 seconds; 0: never.
    #[serde(default = "default_telemetry")]
    pub telemetry_s: u32,
    /// Events that wait for the broker on the disk, 16 to 1,000,000: beyond, the oldest routine ones go.
    #[serde(default = "default_events")]
    pub max_events: usize,
    /// Home Assistant finds this device's doors by itself; `None`: it is told nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_assistant: Option<HomeAssistant>,
}

/// `[fleet.home_assistant]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HomeAssistant {
    /// What the topics begin with that Home Assistant looks at: 1 to 64 bytes, no wildcards.
    pub prefix: String,
}

impl Default for HomeAssistant {
    fn default() -> Self {
        Self { prefix: "homeassistant".into() }
    }
}

/// The versions of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// MQTT 5.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1, for brokers that have no 5.
    #[serde(rename = "3.1.1")]
    V311,
}

/// Whether the wall clock can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockTrust {
    /// Where systemd says that a time server has set it.
    #[default]
    Auto,
    /// Always: it is set by other means.
    Always,
    /// Never. Commands still hold for one connection only, and for minutes at most.
    Never,
}

impl ClockTrust {
    /// Whether it can be relied on now.
    pub fn now(self) -> bool {
        match self {
            Self::Auto => clock::set_by_server().is_some(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

fn default_dir() -> PathBuf {
    "data/fleet".into()
}

const fn default_keep_alive() -> u16 {
    30
}

const fn default_telemetry() -> u32 {
    900
}

const fn default_events() -> usize {
    10_000
}

impl Settings {
    /// Refuses values out of their range.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the key, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let refused = |message: String, help: &str| Err(Error::new(Kind::Config, message).help(help));
        self.host_and_port()?;
        if !(5..=600).contains(&self.keep_alive_s) {
            return refused(
                format!("fleet.keep_alive_s is {}; it takes 5 to 600", self.keep_alive_s),
                "30 is a good one",
            );
        }
        if self.telemetry_s != 0 && !(60..=86_400).contains(&self.telemetry_s) {
            let message = format!("fleet.telemetry_s is {}; it takes 0, or 60 to 86400", self.telemetry_s);
            return refused(message, "900 is a good one; 0 sends no figures");
        }
        if !(16..=1_000_000).contains(&self.max_events) {
            return refused(
                format!("fleet.max_events is {}; it takes 16 to 1000000", self.max_events),
                "10000 are some 5 MB",
            );
        }
        if self.certificate.is_some() != self.key.is_some() {
            return refused("fleet.certificate and fleet.key go together".into(), "give both or none");
        }
        if self.user.is_none() && self.password_file.is_some() {
            return refused("fleet.password_file is given without fleet.user".into(), "give both or none");
        }
        let bad = |prefix: &String| prefix.is_empty() || prefix.len() > 64 || prefix.contains(['+', '#', '\0']);
        if self.home_assistant.as_ref().is_some_and(|home| bad(&home.prefix)) {
            return refused(
                "fleet.home_assistant.prefix is no beginning of a topic".into(),
                "Home Assistant's own default is \"homeassistant\"",
            );
        }
        Ok(())
    }

    /// Where the authorities' certificates are.
    pub fn ca(&self) -> PathBuf {
        self.ca.clone().unwrap_or_else(|| self.dir.join("ca.pem"))
    }

    /// Where this device's certificate and its key are, where it shows one.
    pub fn pair(&self) -> Option<(PathBuf, PathBuf)> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            _ if self.user.is_some() => None,
            _ => Some((self.dir.join("tls.pem"), self.dir.join("tls.key"))),
        }
    }

    /// The broker's host and port.
    ///
    /// # Errors
    /// [`Kind::Config`] where there is none of either.
    pub fn host_and_port(&self) -> Result<(&str, u16)> {
        let parts = self.broker.rsplit_once(':');
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok().filter(|&port| port != 0)?)));
        match parts {
            Some((host, port)) if !host.is_empty() && !host.contains(['/', '@']) => Ok((host, port)),
            _ => Err(Error::new(
                Kind::Config,
                format!("fleet.broker is \"{}\", not a host and a port", self.broker.escape_debug()),
            )
            .help("write it as \"broker.example:8883\"")),
        }
    }
}
