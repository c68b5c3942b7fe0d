//! What a connection has to do with the store: what changed there goes out, and what the broker has is noted there.

use std::sync::atomic::Ordering;

use facegate_fleet::{Now, document::DocumentKey, topic::Topic, wire};

use super::{QUEUE, Session, sending::Tag};
use crate::{
    error::Result,
    fleet::{client::Outgoing, identity},
    gallery,
};

/// Events that are sent and not acknowledged, at most.
const EVENTS_INFLIGHT: usize = 64;

/// How far the documents that wait have been looked through.
#[derive(Default)]
pub(super) struct Scan {
    /// The last that was looked at.
    after: Option<DocumentKey>,
    /// Something changed since it began: it begins again when it has come to the end.
    again: bool,
    done: bool,
}

impl Session<'_> {
    /// Does what needs the store, all of it, whatever part of it fails.
    ///
    /// # Errors
    /// The first of the store's.
    pub(super) fn follow(&mut self, now: Now) -> Result<()> {
        let stored = self.store_registry().and(self.store_acknowledged());
        let changed = self.changes(now);
        let ticked = match self.queue.len() < QUEUE && self.replica.due().is_some_and(|due| due <= now.mono) {
            true => self.replica.tick(self.documents, now).map(|actions| self.act(actions)),
            false => Ok(()),
        };
        stored.and(changed).and(ticked).and(self.events())
    }

    /// Stores who is of the site, where that has changed: once for many vouchers.
    ///
    /// # Errors
    /// `Io`: it is tried again.
    pub(super) fn store_registry(&self) -> Result<()> {
        let changed = &self.keeper.registry_changed;
        if changed.load(Ordering::Relaxed) {
            identity::store_registry(&self.keeper.settings, self.replica.registry())?;
            changed.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn changes(&mut self, now: Now) -> Result<()> {
        let gallery = &self.keeper.hands.gallery;
        let newest = gallery.newest_transaction();
        if self.transaction != newest {
            self.keeper.stats.outgoing.store(gallery.outgoing_count()?, Ordering::Relaxed);
            let version = gallery.newest_version()?;
            // Asked for before: a change that comes meanwhile is seen the next time.
            self.transaction = newest;
            if version != self.version {
                self.version = version;
                // The first round is not over yet where it has not begun.
                match self.scan.done || self.scan.after.is_none() {
                    true => self.scan = Scan::default(),
                    false => self.scan.again = true,
                }
            }
        }
        if self.scan.done || self.queue.len() >= QUEUE {
            return Ok(());
        }
        // What waits may be all that there is: some of it at a time, from where it stopped.
        let outgoing = gallery.outgoing(self.scan.after.as_ref(), QUEUE)?;
        let last = outgoing.last().filter(|_| outgoing.len() == QUEUE).map(|last| last.key);
        let is_fresh = |outgoing: &gallery::Outgoing| self.handed.get(&outgoing.key) != Some(&outgoing.version);
        let fresh: Vec<_> = outgoing.into_iter().filter(is_fresh).collect();
        if !fresh.is_empty() {
            let keys: Vec<_> = fresh.iter().map(|outgoing| outgoing.key).collect();
            self.documents.changed(&keys)?;
            let actions = self.replica.changed(self.documents, &keys, now)?;
            // Only now: where that failed, they are looked at again.
            self.handed.extend(fresh.into_iter().map(|outgoing| (outgoing.key, outgoing.version)));
            self.act(actions);
        }
        match last {
            Some(last) => self.scan.after = Some(last),
            None => self.scan = Scan { done: !self.scan.again, ..Scan::default() },
        }
        Ok(())
    }

    /// Stores what the broker has. What cannot be stored stays noted, for the next time.
    fn store_acknowledged(&mut self) -> Result<()> {
        if !self.acknowledged.is_empty() {
            self.keeper.hands.gallery.documents_sent(&self.acknowledged)?;
            for gallery::Outgoing { key, version } in std::mem::take(&mut self.acknowledged) {
                if self.handed.get(&key) == Some(&version) {
                    self.handed.remove(&key);
                }
            }
        }
        if let Some(configuring) = self.keeper.hands.configuring.as_ref() {
            while let Some(id) = self.verdicts.last() {
                configuring.sent(id)?;
                self.verdicts.pop();
            }
        }
        if !self.events_done.is_empty() {
            self.keeper.queue.acknowledged(&self.events_done)?;
            self.events_done.clear();
            let (waiting, _) = self.keeper.queue.counts();
            self.keeper.stats.events_waiting.store(waiting, Ordering::Relaxed);
        }
        Ok(())
    }

    fn events(&mut self) -> Result<()> {
        // Nobody believes a device before its voucher is there.
        if self.introduce.is_some() {
            return Ok(());
        }
        while self.events_inflight < EVENTS_INFLIGHT {
            let Some(event) = self.keeper.queue.next()? else { break };
            let identity = &self.keeper.installed.identity;
            let topic = Topic::Event(identity.device.clone());
            match wire::write(&event, &identity.site, &topic, &identity.key) {
                Ok(payload) => {
                    let message = Outgoing { topic: topic.of(&identity.site), payload, retain: false, expiry: None };
                    self.events_inflight += 1;
                    self.queue.push_back((message, Tag::Event(event.seq)));
                }
                Err(error) => {
                    tracing::error!(%error, kind = event.kind, "an event is too long to be sent");
                    self.events_done.push(event.seq);
                }
            }
        }
        Ok(())
    }
}
