//! What the link counts, for `/metrics`, `facegate fleet status` and the device's own telemetry.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use facegate_fleet::refusal::{Cause, Refusals};
use parking_lot::Mutex;

/// How the link does. Shared with whoever asks.
#[derive(Debug, Default)]
pub struct Stats {
    /// Whether the broker has accepted the connection.
    pub connected: AtomicBool,
    /// Connections that were made since the start.
    pub connections: AtomicU64,
    /// Messages that were handed to the network, and their bytes without topics.
    pub sent: AtomicU64,
    pub sent_bytes: AtomicU64,
    /// Messages that came, likewise.
    pub received: AtomicU64,
    pub received_bytes: AtomicU64,
    /// Messages that the broker did not take.
    pub denied: AtomicU64,
    /// Documents that there are, that changed by what came, and that could not be stored.
    pub documents: AtomicU64,
    pub applied: AtomicU64,
    pub unstorable: AtomicU64,
    /// Documents that wait for the broker.
    pub outgoing: AtomicU64,
    /// Events that wait, and that were dropped.
    pub events_waiting: AtomicU64,
    pub events_dropped: AtomicU64,
    /// Commands that were obeyed.
    pub commands: AtomicU64,
    /// Subjects whose embeddings are all another recogniser's.
    pub to_enrol_again: AtomicU64,
    refused: Mutex<Vec<(&'static str, u64)>>,
}

impl Stats {
    /// Takes over what was refused.
    pub(super) fn note_refusals(&self, refusals: &Refusals) {
        *self.refused.lock() = Cause::ALL.into_iter().map(|cause| (cause.code(), refusals.of(cause))).collect();
    }

    /// Refused messages by cause.
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        self.refused.lock().clone()
    }

    /// All numbers but refusals, by their names in `/metrics` and what they mean.
    pub fn counters(&self) -> [(&'static str, &'static str, u64); 10] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("fleet_connections", "Connections to the broker", of(&self.connections)),
            ("fleet_sent", "Messages sent to the broker", of(&self.sent)),
            ("fleet_sent_bytes", "Their bytes", of(&self.sent_bytes)),
            ("fleet_denied", "Messages that the broker did not take", of(&self.denied)),
            ("fleet_received", "Messages that came from the broker", of(&self.received)),
            ("fleet_received_bytes", "Their bytes", of(&self.received_bytes)),
            ("fleet_applied", "Documents of others that changed something here", of(&self.applied)),
            ("fleet_unstorable", "Documents of others that could not be stored", of(&self.unstorable)),
            ("fleet_commands", "Commands that were obeyed", of(&self.commands)),
            ("fleet_events_dropped", "Events that gave way since their queue was full", of(&self.events_dropped)),
        ]
    }

    /// The same of what rises and falls.
    pub fn gauges(&self) -> [(&'static str, &'static str, u64); 5] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            (
                "fleet_connected",
                "Whether the broker has accepted the connection",
                self.connected.load(Ordering::Relaxed).into(),
            ),
            ("fleet_documents", "Documents that the site's doors share", of(&self.documents)),
            ("fleet_outgoing", "Documents that wait for the broker", of(&self.outgoing)),
            ("fleet_events_waiting", "Events that wait for the broker", of(&self.events_waiting)),
            (
                "fleet_to_enrol_again",
                "Subjects whose embeddings are all another recogniser's",
                of(&self.to_enrol_again),
            ),
        ]
    }
}
