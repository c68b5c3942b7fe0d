//! What a connection tells of the device by itself: how it is, its figures, which configuration it runs, what Home Assistant makes
//! of it.

use std::sync::{Arc, atomic::Ordering};

use facegate_fleet::{
    Now,
    home_assistant::{Device, Door},
    keys,
    sync::Replica,
    topic::Topic,
    wire::{self, Answer, DoorStatus, Status, Telemetry, V1},
};
use rand::rngs::ThreadRng;

use super::{Session, sending::Tag};
use crate::{
    error::{Error, Result},
    fleet::{
        client::Outgoing,
        link::{self, Keeper},
    },
};

/// How often it is looked for who needs enrolling again, where anything changed.
const ENROL_AGAIN_LOOK: u64 = 60_000;

/// How often it is looked how the doors are.
const STATUS_LOOK: u64 = 500;

impl Session<'_> {
    /// Publishes the site's word for this device: the newest, as what was installed may be older than what the broker had.
    pub(super) fn introduce_itself(&mut self) {
        self.introduce = None;
        let identity = &self.keeper.installed.identity;
        let registry = self.replica.registry();
        // Where the site has revoked it meanwhile, that is what the broker has, and what counts.
        if registry.revoked().any(|key| *key == identity.key.public()) {
            return;
        }
        let payload = registry.vouched(&identity.device).unwrap_or(&self.keeper.installed.voucher).message.to_vec();
        let topic = Topic::Device(identity.device.clone()).of(&identity.site);
        self.queue.push_front((Outgoing { topic, payload, retain: true, expiry: None }, Tag::Nothing));
    }

    /// Which configuration this device runs, and what became of the last that was ordered, where the broker does not know yet.
    pub(super) fn tell_config(&mut self, now: Now) {
        let Some(configuring) = self.keeper.hands.configuring.clone() else { return };
        let by = self.keeper.settings.device.clone();
        let told = || Ok::<_, Error>((configuring.report(&by, now.wall)?, configuring.unsent()?));
        match told() {
            Ok((report, verdict)) => {
                self.urge(&report, &Topic::Config(by.clone()), true, Tag::Nothing);
                let Some(verdict) = verdict else { return };
                let (outcome, code, message) = match verdict.why {
                    None => (wire::Outcome::Done, None, format!("revision {} is kept", verdict.revision)),
                    Some(why) => {
                        let message = format!("revision {} is rolled back: {why}", verdict.revision);
                        (wire::Outcome::Failed, Some("rolled_back".into()), message)
                    }
                };
                let (to, id, message) = (verdict.to, verdict.id.clone(), Some(message));
                let answer = Answer { v: V1, by: by.clone(), to, id, at: now.wall, outcome, code, message };
                self.urge(&answer, &Topic::Answer(by), false, Tag::Verdict(verdict.id));
            }
            Err(error) => tracing::error!(%error, help = error.advice(), "which configuration runs cannot be told"),
        }
    }

    /// Where a configuration is tried: whether the device has come back with it.
    pub(super) fn come_back(&mut self, now: Now) -> Result<()> {
        let Some(configuring) = self.keeper.hands.configuring.clone().filter(|configuring| configuring.tries()) else {
            return Ok(());
        };
        let ailing = self.keeper.hands.ailing()?;
        if self.heard && ailing.iter().all(|door| configuring.excuses(door)) {
            configuring.keep()?;
            link::tell_verdict(&configuring, &self.keeper.queue, &self.keeper.journal, now.wall);
            self.tell_config(now);
        }
        Ok(())
    }

    /// What Home Assistant makes entities of, where it is wanted and is not what it was told last.
    fn tell_home_assistant(&mut self, status: &Status) {
        let Some(home) = &self.keeper.settings.home_assistant else { return };
        let identity = &self.keeper.installed.identity;
        let doors: Vec<_> =
            status.doors.iter().map(|door| Door { name: &door.name, contact: door.open.is_some() }).collect();
        let device = Device {
            site: &identity.site,
            device: &identity.device,
            version: env!("CARGO_PKG_VERSION"),
            model: &self.keeper.model,
            doors: &doors,
        };
        let (topic, payload) = (device.topic(&home.prefix), device.discovery().to_string().into_bytes());
        if self.discovery != payload {
            self.discovery.clone_from(&payload);
            self.queue.push_back((Outgoing { topic, payload, retain: true, expiry: None }, Tag::Nothing));
        }
    }

    /// Who needs enrolling again is counted elsewhere: it reads all records.
    pub(super) fn count_to_enrol_again(&mut self, now: Now) {
        let newest = self.keeper.hands.gallery.newest_transaction();
        let (due, looked_at) = self.enrol_again;
        if due > now.mono || looked_at == newest {
            return;
        }
        self.enrol_again = (now.mono + ENROL_AGAIN_LOOK, newest);
        let (gallery, stats) = (Arc::clone(&self.keeper.hands.gallery), Arc::clone(&self.keeper.stats));
        tokio::task::spawn_blocking(move || match gallery.to_enrol_again(None) {
            Ok(all) => stats.to_enrol_again.store(all.len() as u64, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "who needs enrolling again cannot be counted"),
        });
    }

    pub(super) fn tell_status(&mut self, now: Now) {
        self.status_due = now.mono + STATUS_LOOK;
        let status = status(self.keeper, self.id, self.replica);
        // Its time alone is no news.
        if self.status.as_ref().is_some_and(|told| Status { at: told.at, ..status.clone() } == *told) {
            return;
        }
        self.urge(&status, &Topic::Status(status.by.clone()), true, Tag::Nothing);
        self.tell_home_assistant(&status);
        self.status = Some(status);
    }

    pub(super) fn tell_figures(&mut self, now: Now) {
        self.telemetry_due = now.mono + u64::from(self.keeper.settings.telemetry_s) * 1000;
        let stats = &self.keeper.stats;
        let mut figures: std::collections::BTreeMap<_, _> =
            stats.counters().into_iter().map(|(name, _, value)| (format!("{name}_total"), value as f64)).collect();
        figures.extend(stats.gauges().into_iter().map(|(name, _, value)| (name.to_owned(), value as f64)));
        figures.insert("uptime_seconds".into(), (now.mono / 1000) as f64);
        let by = self.keeper.settings.device.clone();
        let telemetry = Telemetry { v: V1, by: by.clone(), at: now.wall, figures };
        self.urge(&telemetry, &Topic::Telemetry(by), false, Tag::Nothing);
    }
}

/// How the device is.
pub(super) fn status(keeper: &Keeper, session: keys::Session, replica: &Replica<ThreadRng>) -> Status {
    let doors = keeper.hands.desk.every_door().unwrap_or_default();
    let doors = doors.into_iter().take(64).map(|door| DoorStatus {
        name: door.door,
        mode: code(door.mode),
        locked: !door.unlocked,
        open: door.open,
        camera: door.cameras_work,
        alarms: door.alarms.into_iter().map(code).collect(),
    });
    Status {
        v: V1,
        by: keeper.settings.device.clone(),
        online: true,
        at: keeper.now().wall,
        session,
        version: env!("CARGO_PKG_VERSION").into(),
        model: Some(keeper.model.clone()),
        doors: doors.collect(),
        needs_enrolling_again: keeper.stats.to_enrol_again.load(Ordering::Relaxed),
        filling: replica.filling(),
    }
}

/// A word as it stands on the wire.
fn code(word: impl serde::Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}
