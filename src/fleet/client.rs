//! One connection to the broker, MQTT 5 or 3.1.1, over TLS that is always verified.
//!
//! A connection is used once: where it fails, everything that the library queued goes with it, and what was not acknowledged
//! is published anew from the store. So nothing old is sent on a new connection, and no state of the library can be stuck.

use std::{fs, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use rumqttc::{
    AsyncClient, MqttOptions, Packet, QoS, SubscribeReasonCode, TlsConfiguration, Transport,
    tokio_rustls::rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    v5,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::settings::{Protocol, Settings};
use crate::error::{Context as _, Error, Kind, Result};

/// Largest packet that is taken, in bytes: a document, with its topic and properties. Larger ones end the connection where
/// the broker ignores what MQTT 5 told it, and with 3.1.1.
const MAX_PACKET: usize = 256 << 10;

/// Messages that are published and not acknowledged at a time.
const INFLIGHT: u16 = 100;

/// What waits between the library's loop and ours.
const CHANNEL: usize = 1024;

/// Bytes of messages that were received and are not dealt with yet, at most: a broker may send faster than a door can believe.
const ROOM: usize = 16 << 20;

/// Why a connection is of no use on which a subscription failed: what others say would never be heard.
const NO_SUBSCRIPTION: &str = "the broker refuses a subscription; see what this device may read there";

/// How long a connection may take to be there.
const CONNECT_SECONDS: u64 = 10;

/// A message from the broker.
#[derive(Debug)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    /// The broker kept it, and sends it because of a subscription.
    pub retained: bool,
    /// Its part of the [`ROOM`], given back when it is dropped.
    _room: OwnedSemaphorePermit,
}

#[cfg(test)]
impl Message {
    /// One that comes of no connection.
    pub fn of(topic: impl Into<String>, payload: Vec<u8>) -> Self {
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is room for one");
        Self { topic: topic.into(), payload, retained: true, _room: room }
    }
}

/// What comes of a connection.
#[derive(Debug)]
pub enum Happened {
    /// The broker has accepted it.
    Connected,
    Message(Message),
    /// A message of ours was handed to the network under this number.
    Sent(u16),
    /// The broker has it.
    Acknowledged(u16),
    /// The broker does not take it, for this reason.
    Denied(u16, String),
    /// The connection is over, for this reason.
    Ended(String),
}

/// Waits until the broker has accepted the connection.
///
/// # Errors
/// Why the connection is over instead.
pub async fn accepted(heard: &mut mpsc::Receiver<Happened>) -> std::result::Result<(), String> {
    loop {
        match heard.recv().await {
            Some(Happened::Connected) => return Ok(()),
            Some(Happened::Ended(why)) => return Err(why),
            Some(_) => {}
            None => return Err("the connection ended".into()),
        }
    }
}

/// Who publishes and subscribes.
#[derive(Clone)]
pub enum Client {
    V5(v5::AsyncClient),
    V311(AsyncClient),
}

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub topic: String,
    pub payload: Vec<u8>,
    pub retain: bool,
    /// How long the broker keeps it for whoever is away, in seconds.
    pub expiry: Option<u32>,
}

impl Client {
    /// Hands a message over, at least once; gives it back where there is no room for it now.
    pub fn publish(&self, message: Outgoing) -> std::result::Result<(), Outgoing> {
        let Outgoing { topic, payload, retain, expiry } = message.clone();
        let taken = match self {
            Self::V5(client) => {
                let properties = v5::mqttbytes::v5::PublishProperties {
                    message_expiry_interval: expiry,
                    ..v5::mqttbytes::v5::PublishProperties::default()
                };
                let qos = v5::mqttbytes::QoS::AtLeastOnce;
                client.try_publish_with_properties(topic, qos, retain, payload, properties).is_ok()
            }
            Self::V311(client) => client.try_publish(topic, QoS::AtLeastOnce, retain, payload).is_ok(),
        };
        if taken { Ok(()) } else { Err(message) }
    }

    /// Subscribes; the broker sends what it keeps there.
    pub async fn subscribe(&self, filter: String) -> std::result::Result<(), String> {
        match self {
            Self::V5(client) => {
                client.subscribe(filter, v5::mqttbytes::QoS::AtLeastOnce).await.map_err(|error| error.to_string())
            }
            Self::V311(client) => client.subscribe(filter, QoS::AtLeastOnce).await.map_err(|error| error.to_string()),
        }
    }

    /// Takes leave: the last will is not sent.
    pub async fn disconnect(&self) {
        // It may be over already.
        match self {
            Self::V5(client) => drop(client.disconnect().await),
            Self::V311(client) => drop(client.disconnect().await),
        }
    }
}

/// Begins a connection, within a runtime of tokio, with this last will; what comes of it arrives at the receiver.
///
/// # Errors
/// `Config` where a file of [`Settings`] cannot be read or is not what it should be.
pub fn connect(settings: &Settings, id: &str, will: Outgoing) -> Result<(Client, mpsc::Receiver<Happened>)> {
    begin(settings, id, Some(will))
}

/// The same for whoever has nothing to leave behind.
///
/// # Errors
/// The same.
pub fn connect_without_will(settings: &Settings, id: &str) -> Result<(Client, mpsc::Receiver<Happened>)> {
    begin(settings, id, None)
}

fn begin(settings: &Settings, id: &str, will: Option<Outgoing>) -> Result<(Client, mpsc::Receiver<Happened>)> {
    let tls = TlsConfiguration::Rustls(tls(settings)?);
    let (host, port) = settings.host_and_port()?;
    let login = settings.user.as_ref().map(|user| Ok::<_, Error>((user.clone(), password(settings)?))).transpose()?;
    let keep_alive = Duration::from_secs(settings.keep_alive_s.into());
    let (say, heard) = mpsc::channel(CHANNEL);
    let client = match settings.protocol {
        Protocol::V5 => {
            let mut options = v5::MqttOptions::new(id, host, port);
            options.set_transport(Transport::tls_with_config(tls));
            options.set_keep_alive(keep_alive);
            options.set_clean_start(true);
            options.set_max_packet_size(Some(MAX_PACKET as u32));
            options.set_outgoing_inflight_upper_limit(INFLIGHT);
            options.set_connection_timeout(CONNECT_SECONDS);
            if let Some(Outgoing { topic, payload, retain, .. }) = will {
                let qos = v5::mqttbytes::QoS::AtLeastOnce;
                options.set_last_will(v5::mqttbytes::v5::LastWill::new(topic, payload, qos, retain, None));
            }
            if let Some((user, password)) = login {
                options.set_credentials(user, password);
            }
            let (client, events) = v5::AsyncClient::new(options, CHANNEL);
            tokio::spawn(run_v5(events, say));
            Client::V5(client)
        }
        Protocol::V311 => {
            let mut options = MqttOptions::new(id, host, port);
            options.set_transport(Transport::tls_with_config(tls));
            options.set_keep_alive(keep_alive);
            options.set_clean_session(true);
            options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
            options.set_inflight(INFLIGHT);
            if let Some(Outgoing { topic, payload, retain, .. }) = will {
                options.set_last_will(rumqttc::LastWill::new(topic, payload, QoS::AtLeastOnce, retain));
            }
            if let Some((user, password)) = login {
                options.set_credentials(user, password);
            }
            let (client, mut events) = AsyncClient::new(options, CHANNEL);
            let mut network = rumqttc::NetworkOptions::new();
            network.set_connection_timeout(CONNECT_SECONDS).set_tcp_nodelay(true);
            events.set_network_options(network);
            tokio::spawn(run_v311(events, say));
            Client::V311(client)
        }
    };
    Ok((client, heard))
}

/// A message, as soon as there is room for it.
async fn message(room: &Arc<Semaphore>, topic: String, payload: Vec<u8>, retained: bool) -> Happened {
    let bytes = payload.len().clamp(1, ROOM);
    let permits = u32::try_from(bytes).expect("the room is less than 4 GiB");
    let room = Arc::clone(room).acquire_many_owned(permits).await.expect("nobody closes it");
    Happened::Message(Message { topic, payload, retained, _room: room })
}

/// What an acknowledgement says.
fn taken(number: u16, reason: v5::mqttbytes::v5::PubAckReason) -> Happened {
    use v5::mqttbytes::v5::PubAckReason;
    match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Happened::Acknowledged(number),
        reason => Happened::Denied(number, format!("{reason:?}")),
    }
}

/// Why a subscription does not hold, where it does not.
fn unsubscribed(codes: &[v5::mqttbytes::v5::SubscribeReasonCode]) -> Option<String> {
    use v5::mqttbytes::v5::SubscribeReasonCode;
    let refused = codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
    refused.map(|reason| format!("{NO_SUBSCRIPTION}: {reason:?}"))
}

/// The same in the older protocol, which knows no reasons.
fn unsubscribed_v311(codes: &[SubscribeReasonCode]) -> Option<String> {
    codes.contains(&SubscribeReasonCode::Failure).then(|| NO_SUBSCRIPTION.into())
}

/// Polls until the connection ends, or nobody listens.
async fn run_v5(mut events: v5::EventLoop, say: mpsc::Sender<Happened>) {
    use v5::{Event, mqttbytes::v5::Packet};
    let room = Arc::new(Semaphore::new(ROOM));
    loop {
        let happened = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Happened::Connected,
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                message(&room, topic, publish.payload.into(), publish.retain).await
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => taken(ack.pkid, ack.reason),
            Ok(Event::Incoming(Packet::SubAck(ack))) => match unsubscribed(&ack.return_codes) {
                None => continue,
                Some(why) => Happened::Ended(why),
            },
            Ok(Event::Incoming(Packet::Disconnect(told))) => {
                Happened::Ended(format!("the broker: {:?}", told.reason_code))
            }
            Ok(Event::Outgoing(rumqttc::Outgoing::Publish(number))) => Happened::Sent(number),
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
            Ok(_) => continue,
            Err(error) => Happened::Ended(chain(&error)),
        };
        let ended = matches!(happened, Happened::Ended(_));
        if say.send(happened).await.is_err() || ended {
            return;
        }
    }
}

/// The same in the older protocol.
async fn run_v311(mut events: rumqttc::EventLoop, say: mpsc::Sender<Happened>) {
    use rumqttc::Event;
    let room = Arc::new(Semaphore::new(ROOM));
    loop {
        let happened = match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Happened::Connected,
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                message(&room, publish.topic, publish.payload.into(), publish.retain).await
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => Happened::Acknowledged(ack.pkid),
            Ok(Event::Incoming(Packet::SubAck(ack))) => match unsubscribed_v311(&ack.return_codes) {
                None => continue,
                Some(why) => Happened::Ended(why),
            },
            Ok(Event::Outgoing(rumqttc::Outgoing::Publish(number))) => Happened::Sent(number),
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
            Ok(_) => continue,
            Err(error) => Happened::Ended(chain(&error)),
        };
        let ended = matches!(happened, Happened::Ended(_));
        if say.send(happened).await.is_err() || ended {
            return;
        }
    }
}

/// An error with all that lies below it.
fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut below) = (error.to_string(), error.source());
    while let Some(error) = below {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        below = error.source();
    }
    text
}

/// Read anew for every connection: certificates are renewed while the daemon runs.
pub fn tls(settings: &Settings) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let ca = settings.ca();
    for certificate in certificates(&ca, "fleet.ca")? {
        roots.add(certificate).map_err(|error| broken("fleet.ca", &ca).source(error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context(Kind::Internal, || "TLS has no version")?
        .with_root_certificates(roots);
    let config = match settings.pair() {
        Some((certificate, key)) => {
            let chain = certificates(&certificate, "fleet.certificate")?;
            let pem = zeroize::Zeroizing::new(read(&key, "fleet.key")?);
            let pair = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| broken("fleet.key", &key).source(error))?;
            builder.with_client_auth_cert(chain, pair).map_err(|error| {
                Error::new(Kind::Config, "fleet.key is not the key of fleet.certificate").source(error)
            })?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path, name)?;
    let all = CertificateDer::pem_slice_iter(&pem).collect::<std::result::Result<Vec<_>, _>>();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(broken(name, path)),
        Err(error) => Err(broken(name, path).source(error)),
    }
}

/// From when to when each certificate of a file is valid.
pub fn validities(path: &Path) -> Result<Vec<(Timestamp, Timestamp)>> {
    let read = |certificate: &CertificateDer<'_>| {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        // One that lasts beyond our calendar lasts.
        Some((at(parsed.validity().not_before)?, at(parsed.validity().not_after).unwrap_or(Timestamp::MAX)))
    };
    let all = certificates(path, "fleet")?;
    all.iter().map(|certificate| read(certificate).ok_or_else(|| broken("fleet", path))).collect()
}

fn password(settings: &Settings) -> Result<String> {
    let Some(path) = &settings.password_file else { return Ok(String::new()) };
    let bytes = read(path, "fleet.password_file")?;
    let text = String::from_utf8(bytes).map_err(|_| broken("fleet.password_file", path))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>> {
    fs::read(path)
        .context(Kind::Config, || format!("{name}: {} cannot be read", path.display()))
        .map_err(|error| error.help("facegate fleet join puts it there; or name another file"))
}

fn broken(name: &str, path: &Path) -> Error {
    Error::new(Kind::Config, format!("{name}: {} is not what it should be", path.display()))
        .help("it is a PEM file, with -----BEGIN in front")
}

#[cfg(test)]
mod tests {
    use v5::mqttbytes::v5::{PubAckReason, SubscribeReasonCode as ReasonCode};

    use super::*;

    #[test]
    fn what_the_broker_refuses_to_take_is_not_delivered() {
        for reason in [PubAckReason::Success, PubAckReason::NoMatchingSubscribers] {
            assert!(matches!(taken(7, reason), Happened::Acknowledged(7)));
        }
        for reason in [PubAckReason::NotAuthorized, PubAckReason::QuotaExceeded, PubAckReason::UnspecifiedError] {
            assert!(matches!(taken(7, reason), Happened::Denied(7, _)), "{reason:?}");
        }
    }

    #[test]
    fn one_subscription_that_fails_is_told() {
        let good = ReasonCode::Success(v5::mqttbytes::QoS::AtLeastOnce);
        assert_eq!(unsubscribed(&[good, good]), None);
        let why = unsubscribed(&[good, ReasonCode::NotAuthorized]).expect("it fails");
        assert!(why.contains("refuses a subscription") && why.contains("NotAuthorized"), "{why}");
        // 0x80 of MQTT 3.1.1.
        let good = SubscribeReasonCode::Success(QoS::AtLeastOnce);
        assert_eq!(unsubscribed_v311(&[good, good]), None);
        assert!(unsubscribed_v311(&[good, SubscribeReasonCode::Failure]).is_some());
    }
}
