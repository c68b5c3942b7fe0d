//! A small site for tests: its keys, its devices, and engines that talk to each other through a list of retained messages.
#![allow(dead_code, reason = "each test uses some of it")]

use std::{collections::BTreeMap, sync::Arc};

use chacha20::ChaCha8Rng;
use facegate_fleet::{
    Name, Now,
    document::{Document, DocumentKey, Embedding, Fixed, Kind, Lww, SubjectDocument},
    keys::{SealingKey, SecretKey},
    open::{Body, Opener},
    refusal::Refusal,
    registry::Registry,
    stamp::Clock,
    sync::{Action, Identity, Memory, Publish, Replica, Timing},
    topic::Topic,
    voucher::{Role, Voucher},
    wire::V1,
};
use rand::SeedableRng as _;

pub const NOW: Now = Now { wall: 1_780_000_000_000, mono: 1_000, trusted: true };

pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub struct Site {
    pub name: Name,
    pub key: SecretKey,
    pub sealing: SealingKey,
    pub registry: Registry,
    pub devices: BTreeMap<Name, SecretKey>,
}

impl Site {
    /// A site with doors `a`, `b`, `c`, an operator `op`, an admin `admin` and an observer `eye`.
    pub fn new() -> Self {
        let mut rng = rng(7);
        let key = SecretKey::random(&mut rng);
        let sealing = SealingKey::random(&mut rng);
        let registry = Registry::new(key.public());
        let mut this = Self { name: name("hq"), key, sealing, registry, devices: BTreeMap::new() };
        for device in ["a", "b", "c"] {
            this.add(device, Role::Door, &mut rng);
        }
        this.add("op", Role::Operator, &mut rng);
        this.add("admin", Role::Admin, &mut rng);
        this.add("eye", Role::Observer, &mut rng);
        this
    }

    /// Lets a device join.
    pub fn add(&mut self, device: &str, role: Role, rng: &mut ChaCha8Rng) {
        let key = SecretKey::random(rng);
        let voucher = self.voucher(device, &key, role, 1, false);
        self.devices.insert(name(device), key);
        self.take(&voucher);
    }

    pub fn voucher(&self, device: &str, key: &SecretKey, role: Role, issued: u64, revoked: bool) -> Voucher {
        let device = name(device);
        Voucher { v: V1, device, key: key.public(), role, issued, not_before: 0, expires: None, revoked }
    }

    /// Makes a voucher known to everybody.
    pub fn take(&mut self, voucher: &Voucher) {
        let opened = self.opener().open(
            &self.topic(&Topic::Device(voucher.device.clone())),
            &voucher.sign(&self.name, &self.key),
            NOW,
        );
        let Ok(Body::Voucher(vouched)) = opened.map(|opened| opened.body) else { panic!("the site signed it") };
        self.registry.take(vouched);
    }

    pub fn opener(&self) -> Opener {
        Opener {
            site: self.name.clone(),
            sealing: Some(self.sealing.clone()),
            registry: Arc::new(self.registry.clone()),
        }
    }

    pub fn topic(&self, topic: &Topic) -> String {
        topic.of(&self.name)
    }

    pub fn key(&self, device: &str) -> &SecretKey {
        &self.devices[&name(device)]
    }

    pub fn subject_key(&self, subject: &str) -> DocumentKey {
        DocumentKey::new(&self.sealing, Kind::Subject, "acme", subject)
    }

    pub fn door(&self, device: &str, timing: &Timing) -> Door {
        let identity = Identity {
            site: self.name.clone(),
            device: name(device),
            key: self.key(device).clone(),
            sealing: self.sealing.clone(),
        };
        let seed = u64::from(device.as_bytes()[0]);
        Door {
            replica: Replica::new(identity, timing.clone(), self.registry.clone(), rng(seed)),
            memory: Memory::default(),
            clock: Clock::new(name(device), 0),
            opener: self.opener(),
        }
    }
}

/// A door: the engine, and a store in memory.
pub struct Door {
    pub replica: Replica<ChaCha8Rng>,
    pub memory: Memory,
    pub clock: Clock,
    pub opener: Opener,
}

impl Door {
    /// Changes a person here, and says what is to be published.
    pub fn change(
        &mut self,
        site: &Site,
        subject: &str,
        now: Now,
        act: impl FnOnce(&mut SubjectDocument, &mut Clock),
    ) -> Vec<Action> {
        let key = site.subject_key(subject);
        let own = self.memory.documents().find(|(at, _)| **at == key).map(|(_, document)| document.clone());
        let mut document = match own {
            Some(Document::Subject(document)) => document,
            _ => SubjectDocument::default(),
        };
        if let Some(latest) = document.latest() {
            self.clock.see(&latest.clone());
        }
        document.owner = SubjectDocument::new("acme", subject).owner;
        act(&mut document, &mut self.clock);
        if !document.is_alive() {
            document.owner = None;
        }
        self.memory.put(key, Document::Subject(document));
        let Ok(actions) = self.replica.changed(&mut self.memory, &[key], now);
        actions
    }

    /// Enrols somebody.
    pub fn enrol(&mut self, site: &Site, subject: &str, id: u8, now: Now) -> Vec<Action> {
        self.change(site, subject, now, |document, clock| {
            let stamp = clock.next((now.wall > 0).then_some(now.wall));
            document.add([id; 16], embedding(stamp, id));
        })
    }

    pub fn connect(&mut self, now: Now) {
        self.replica.connected(&mut self.memory, false, now);
    }

    /// Receives one message, as the daemon does.
    pub fn receive(&mut self, topic: &str, payload: &[u8], now: Now) -> (Option<Refusal>, Vec<Action>) {
        self.opener.registry = Arc::new(self.replica.registry().clone());
        match self.opener.open(topic, payload, now) {
            Ok(opened) => {
                let mut actions = Vec::new();
                let Ok(()) = self.replica.receive(&mut self.memory, &[opened], true, now, &mut actions);
                (None, actions)
            }
            Err(refusal) => {
                let Ok(told) = self.replica.refuse(&mut self.memory, &refusal, now);
                (Some(refusal), told.into_iter().collect())
            }
        }
    }

    /// Lets time pass until nothing is due before `until`; gives what was to be done.
    pub fn pass(&mut self, now: &mut Now, until: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(due) = self.replica.due().filter(|due| *due <= until) {
            *now = now.after(due.saturating_sub(now.mono));
            let Ok(more) = self.replica.tick(&mut self.memory, *now);
            actions.extend(more);
        }
        *now = now.after(until.saturating_sub(now.mono));
        actions
    }
}

pub fn embedding(added: facegate_fleet::stamp::Stamp, id: u8) -> Embedding {
    let fixed = Fixed {
        created: 0,
        model: "door".into(),
        template: vec![id; 1024].into(),
        quality: 0.9,
        liveness: None,
        source: None,
    };
    Embedding { fixed, metadata: Lww { stamp: added.clone(), value: None }, added }
}

/// What is to be published.
pub fn published(actions: &[Action]) -> Vec<&Publish> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Publish(publish) => Some(publish),
            _ => None,
        })
        .collect()
}
