//! Somebody with a certificate for the broker, who does as they like there.

use std::{sync::Arc, time::Duration};

use facegate::fleet::{Settings, tls};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};

/// How long the broker may take for one step.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Stranger {
    port: u16,
    config: Arc<rumqttc::tokio_rustls::rustls::ClientConfig>,
}

impl Stranger {
    /// With the certificate of these settings.
    pub fn new(settings: &Settings) -> Self {
        let (_, port) = settings.host_and_port().expect("a port");
        Self { port, config: tls(settings).expect("certificates") }
    }

    fn client(&self, id: &str, clean: bool) -> (Client, rumqttc::Connection) {
        let mut options = MqttOptions::new(id, "localhost", self.port);
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&self.config))));
        options.set_clean_session(clean);
        options.set_max_packet_size(1 << 20, 1 << 20);
        Client::new(options, 64)
    }

    /// Subscribes in a session that outlasts its connection, and goes: the broker queues what comes.
    pub fn leave_a_queue(&self, id: &str, filter: &str) {
        let (client, mut connection) = self.client(id, false);
        client.subscribe(filter, QoS::AtLeastOnce).expect("room");
        until(&mut connection, |packet| matches!(packet, Packet::SubAck(_)));
        client.disconnect().expect("room");
        while let Ok(Ok(_)) = connection.recv_timeout(Duration::from_millis(500)) {}
    }

    /// What the broker has queued since [`leave_a_queue`](Self::leave_a_queue), but for what it kept before: payloads.
    pub fn queued(&self, id: &str) -> Vec<Vec<u8>> {
        let (client, mut connection) = self.client(id, false);
        let mut queued = Vec::new();
        let mut patience = PATIENCE;
        while let Ok(happened) = connection.recv_timeout(patience) {
            match happened.expect("the connection holds") {
                Event::Incoming(Packet::Publish(publish)) if !publish.retain => queued.push(publish.payload.to_vec()),
                // What it has queued follows at once.
                Event::Incoming(Packet::ConnAck(_)) => patience = Duration::from_millis(500),
                _ => {}
            }
        }
        drop(client);
        queued
    }

    /// What the broker keeps below a filter.
    pub fn kept(&self, id: &str, filter: &str) -> Vec<(String, Vec<u8>)> {
        let (client, mut connection) = self.client(id, true);
        client.subscribe(filter, QoS::AtLeastOnce).expect("room");
        let mut kept = Vec::new();
        let mut patience = PATIENCE;
        while let Ok(happened) = connection.recv_timeout(patience) {
            match happened.expect("the connection holds") {
                Event::Incoming(Packet::Publish(publish)) if publish.retain => {
                    kept.push((publish.topic, publish.payload.to_vec()));
                }
                // What it keeps follows at once.
                Event::Incoming(Packet::SubAck(_)) => patience = Duration::from_millis(300),
                _ => {}
            }
        }
        kept
    }

    /// Publishes these, and waits until the broker has them all.
    pub fn publish(&self, id: &str, messages: &[(String, Vec<u8>, bool)]) {
        let (client, mut connection) = self.client(id, true);
        for (topic, payload, retain) in messages {
            client.publish(topic, QoS::AtLeastOnce, *retain, payload.clone()).expect("room");
            until(&mut connection, |packet| matches!(packet, Packet::PubAck(_)));
        }
    }
}

fn until(connection: &mut rumqttc::Connection, is: impl Fn(&Packet) -> bool) {
    loop {
        match connection.recv_timeout(PATIENCE).expect("the broker answers").expect("the connection holds") {
            Event::Incoming(packet) if is(&packet) => return,
            _ => {}
        }
    }
}
