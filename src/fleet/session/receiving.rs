//! What comes from the broker.

use std::sync::{Arc, atomic::Ordering};

use facegate_fleet::{
    Now,
    open::{Body, Opened, Signer},
    refusal::Refusal,
    sync::Action,
    wire::Status,
};

use super::{Session, opening::Lot, sending::Tag};
use crate::{error::Result, fleet::client::Outgoing};

impl Session<'_> {
    /// Takes in messages.
    ///
    /// # Errors
    /// The first of the store's; whatever came after is taken in all the same.
    pub(super) fn receive(&mut self, lot: Lot) -> Result<()> {
        let retained = lot.iter().any(|(message, _)| message.retained);
        let now = self.keeper.now();
        let mut first = Ok(());
        let mut opened: Vec<Opened> = Vec::with_capacity(lot.len());
        let (mut own, mut vouchers_came) = (None, false);
        // Each keeps its part of the room until all are taken in.
        let mut held = Vec::with_capacity(lot.len());
        for (message, result) in lot {
            let stats = &self.keeper.stats;
            stats.received.fetch_add(1, Ordering::Relaxed);
            stats.received_bytes.fetch_add(message.payload.len() as u64, Ordering::Relaxed);
            let kept = message.retained;
            held.push(message);
            // The first subscription is to vouchers, so that what the broker keeps of other kinds comes behind them.
            vouchers_came |= kept && !matches!(&result, Ok(Opened { body: Body::Voucher(_), .. }));
            match result {
                Err(refusal) => {
                    // What was told there before comes before.
                    if refusal.topic.as_ref().is_some_and(|topic| opened.iter().any(|known| known.topic == *topic)) {
                        first = first.and(self.take_in(&std::mem::take(&mut opened), retained, now));
                    }
                    first = first.and(self.refuse(&refusal, now));
                }
                Ok(Opened { body: Body::Command(command), by: Signer::Device(_, key), .. }) => {
                    first = first.and(self.command(&command, &key, kept, now));
                }
                Ok(Opened { body: Body::Status(status), .. }) if !kept => self.hear_of_itself(&status),
                Ok(message) => {
                    if let (true, Body::Voucher(vouched)) = (kept, &message.body)
                        && vouched.voucher.device == self.keeper.settings.device
                    {
                        own = Some(Arc::clone(vouched));
                    }
                    // What came before a voucher is taken in before it: a revocation finds what the key has signed.
                    if opened.last().is_some_and(|last| is_voucher(last) != is_voucher(&message)) {
                        first = first.and(self.take_in(&std::mem::take(&mut opened), retained, now));
                    }
                    opened.push(message);
                }
            }
        }
        // What the store has no room for keeps nothing else from being heard.
        first = first.and(self.take_in(&opened, retained, now));
        if self.introduce.is_some() {
            let newest = self.replica.registry().vouched(&self.keeper.settings.device);
            match own {
                Some(own) if newest.is_some_and(|newest| newest.message == own.message) => self.introduce = None,
                None if !vouchers_came => {}
                _ => self.introduce_itself(),
            }
        }
        drop(held);
        if retained {
            self.kept = self.keeper.now().mono;
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
        let mut registry = false;
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
                Action::Registry => registry = true,
                Action::TooLarge(key) => {
                    tracing::error!(document = %key, "a document is too large for the fleet and stays at this door");
                }
            }
        }
        // Once for many vouchers.
        if registry {
            self.opener.registry = Arc::new(self.replica.registry().clone());
            self.keeper.registry_changed.store(true, Ordering::Relaxed);
        }
    }
}

fn is_voucher(opened: &Opened) -> bool {
    matches!(opened.body, Body::Voucher(_))
}
