//! What goes to the broker, first that which cannot wait, and what becomes of it there.

use std::sync::atomic::Ordering;

use facegate_fleet::{
    document::DocumentKey,
    topic::{self, Topic},
    wire::{self, Answer},
};

use super::{QUEUE, Session};
use crate::{
    fleet::client::{Happened, Outgoing},
    gallery,
};

/// What the broker's acknowledgement of a message means.
pub(super) enum Tag {
    Nothing,
    Document(DocumentKey, u64),
    Event(u64),
    /// What became of the configuration that this command ordered.
    Verdict(String),
}

/// What was published: what its acknowledgement means, and the kind of its topic.
pub(super) type Sent = (Tag, String);

impl Session<'_> {
    pub(super) fn answer(&mut self, answer: &Answer) {
        if self.urgent.len() >= QUEUE {
            tracing::error!(id = %answer.id.escape_debug(), "an answer to the fleet is lost: the broker takes nothing, and too many wait");
            return;
        }
        self.urge(answer, &Topic::Answer(answer.by.clone()), false, Tag::Nothing);
    }

    /// Signs a message and puts it before those that can wait.
    pub(super) fn urge<M: wire::Message>(&mut self, message: &M, topic: &Topic, retain: bool, tag: Tag) {
        let identity = &self.keeper.installed.identity;
        match wire::write(message, &identity.site, topic, &identity.key) {
            Ok(payload) => {
                let message = Outgoing { topic: topic.of(&identity.site), payload, retain, expiry: None };
                self.urgent.push_back((message, tag));
            }
            Err(error) => tracing::error!(%error, "a message to the fleet is not sent"),
        }
    }

    /// Hands over what waits, as far as there is room.
    pub(super) fn pump(&mut self) {
        loop {
            let urgent = !self.urgent.is_empty();
            let Some((message, tag)) = self.urgent.pop_front().or_else(|| self.queue.pop_front()) else { return };
            let (bytes, kind) = (message.payload.len() as u64, kind(&message.topic));
            if let Err(back) = self.client.publish(message) {
                let queue = if urgent { &mut self.urgent } else { &mut self.queue };
                queue.push_front((back, tag));
                return;
            }
            self.keeper.stats.sent.fetch_add(1, Ordering::Relaxed);
            self.keeper.stats.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.unnumbered.push_back((tag, kind));
        }
    }

    pub(super) fn note(&mut self, happened: Happened) {
        match happened {
            Happened::Sent(number) => {
                if let Some(sent) = self.unnumbered.pop_front() {
                    self.inflight.insert(number, sent);
                }
            }
            Happened::Acknowledged(number) => match self.inflight.remove(&number).inspect(|_| self.heard = true) {
                Some((Tag::Document(key, version), _)) => self.acknowledged.push(gallery::Outgoing { key, version }),
                Some((Tag::Event(seq), _)) => {
                    self.events_inflight -= 1;
                    self.events_done.push(seq);
                }
                Some((Tag::Verdict(id), _)) => self.verdicts.push(id),
                Some((Tag::Nothing, _)) | None => {}
            },
            Happened::Denied(number, why) => {
                // What waits in the store goes on waiting there, for the next connection.
                let Some((tag, kind)) = self.inflight.remove(&number) else { return };
                if let Tag::Event(_) = tag {
                    self.events_inflight -= 1;
                }
                self.keeper.stats.denied.fetch_add(1, Ordering::Relaxed);
                if !self.denied.contains(&kind) {
                    tracing::error!(
                        broker = self.keeper.settings.broker,
                        kind,
                        "the broker does not take what this device publishes there: {why}; see what it may publish"
                    );
                    self.denied.insert(kind);
                }
            }
            Happened::Connected | Happened::Message(_) | Happened::Ended(_) => {}
        }
    }
}

/// The kind of a topic, for people.
fn kind(topic: &str) -> String {
    let below = topic.strip_prefix(topic::PREFIX).and_then(|below| below.split('/').nth(2));
    below.unwrap_or("home assistant's discovery").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_told_by_their_kinds() {
        assert_eq!(kind("facegate/v1/hq/events/front"), "events");
        assert_eq!(kind("facegate/v1/hq/subjects/ab/abab"), "subjects");
        assert_eq!(kind("homeassistant/device/facegate_hq/front/config"), "home assistant's discovery");
    }
}
