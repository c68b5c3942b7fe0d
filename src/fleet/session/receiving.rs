//! What comes from the broker.

use std::sync::{Arc, atomic::Ordering};

use facegate_fleet::{
    Now,
    open::{Body, Opened, Signer},
    refusal::Refusal,
    sync::Action,
    topic::Topic,
    wire::Status,
};

use super::{Session, opening::open_all, sending::Tag};
use crate::{
    error::Result,
    fleet::client::{Message, Outgoing},
};

impl Session<'_> {
    /// Takes in messages. A voucher counts from the next message on.
    ///
    /// # Errors
    /// The first of the store's; whatever came after is taken in all the same.
    pub(super) fn receive(&mut self, messages: &[Message]) -> Result<()> {
        let retained = messages.iter().any(|message| message.retained);
        let vouchers = Topic::Device(self.keeper.settings.device.clone()).of(&self.keeper.settings.site);
        let vouchers = vouchers.trim_end_matches(self.keeper.settings.device.as_str());
        let mut first = Ok(());
        for run in messages.split_inclusive(|message| message.topic.starts_with(vouchers)) {
            let now = self.keeper.now();
            let mut opened = Vec::with_capacity(run.len());
            for (message, result) in run.iter().zip(open_all(&self.opener, run, now)) {
                let stats = &self.keeper.stats;
                stats.received.fetch_add(1, Ordering::Relaxed);
                stats.received_bytes.fetch_add(message.payload.len() as u64, Ordering::Relaxed);
                match result {
                    Err(refusal) => first = first.and(self.refuse(&refusal, now)),
                    Ok(Opened { body: Body::Command(command), by: Signer::Device(_, key), .. }) => {
                        first = first.and(self.command(&command, &key, message.retained, now));
                    }
                    Ok(Opened { body: Body::Status(status), .. }) if !message.retained => self.hear_of_itself(&status),
                    Ok(message) => opened.push(message),
                }
            }
            // What the store has no room for keeps nothing else from being heard.
            first = first.and(self.take_in(&opened, retained, now));
        }
        first.and(self.store_registry())
    }

    /// The broker has somebody else's word about this device, such as the last will of a connection that it gave up late.
    fn hear_of_itself(&mut self, status: &Status) {
        self.retell |= status.by == self.keeper.settings.device && !(status.online && status.session == self.id);
    }

    fn take_in(&mut self, opened: &[Opened], retained: bool, now: Now) -> Result<()> {
        if opened.is_empty() {
            return Ok(());
        }
        // First: who was revoked must not come back by a loss of power that documents outlast.
        let known = match opened.iter().any(|opened| matches!(opened.body, Body::Document(_))) {
            true => self.store_registry(),
            false => Ok(()),
        };
        let mut actions = Vec::new();
        let stored = self.replica.receive(self.documents, opened, retained, now, &mut actions);
        self.act(actions);
        known.and(stored)
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal, now: Now) -> Result<()> {
        let action = self.replica.refuse(self.documents, refusal, now)?;
        self.act(action);
        self.keeper.stats.note_refusals(self.replica.refusals());
        Ok(())
    }

    pub(super) fn act(&mut self, actions: impl IntoIterator<Item = Action>) {
        for action in actions {
            match action {
                Action::Publish(publish) => {
                    let tag = match publish.document {
                        Some(key) => self.handed.get(&key).map_or(Tag::Nothing, |version| Tag::Document(key, *version)),
                        None => Tag::Nothing,
                    };
                    let (topic, payload) = (publish.topic, publish.payload);
                    let message = Outgoing { topic, payload, retain: publish.retain, expiry: publish.expiry };
                    self.queue.push_back((message, tag));
                }
                Action::Resubscribe(filter) => {
                    let client = self.client.clone();
                    tokio::spawn(async move { client.subscribe(filter).await });
                }
                Action::Tell(refusal) => {
                    tracing::warn!(source = %refusal.source.escape_debug(), cause = refusal.cause.code(), "{refusal}")
                }
                Action::Registry => {
                    self.opener.registry = Arc::new(self.replica.registry().clone());
                    self.keeper.registry_changed.store(true, Ordering::Relaxed);
                }
                Action::TooLarge(key) => {
                    tracing::error!(document = %key, "a document is too large for the fleet and stays at this door");
                }
            }
        }
    }
}
