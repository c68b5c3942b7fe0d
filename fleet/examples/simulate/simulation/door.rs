use std::{collections::BTreeSet, rc::Rc};

use chacha20::ChaCha8Rng;
use facegate_fleet::{
    Now,
    document::{Bytes, Document, Embedding, Fixed, Lww, SubjectDocument},
    stamp::{Clock, Stamp},
    sync::Replica,
};
use rand::{RngExt as _, rngs::SmallRng};

use super::{
    broker::Message,
    shared::{Shared, Table, Version},
};

/// Noon of a day in 2026.
const START_MS: i64 = 1_780_000_000_000;

/// A simulated door: the engine that ships, a table for a store, and a connection that comes and goes.
pub struct Door {
    pub replica: Replica<ChaCha8Rng>,
    pub clock: Clock,
    pub table: Table,
    /// What was changed here and not acknowledged.
    pub dirty: BTreeSet<usize>,
    /// By how much its wall clock is wrong.
    pub skew: i64,
    /// How long a message takes to it or from it, as a class.
    pub distance: usize,
    /// Counts connections: what was on its way on an older one is lost.
    pub connection: u32,
    pub connected: bool,
    /// Whether it is one of those that others trust.
    pub revoked: bool,
    /// Whether the broker has a session of it, and what it keeps for it.
    pub session: Option<Vec<Rc<Message>>>,
    /// When its tick is planned.
    pub tick: Option<u64>,
    pub received: Traffic,
    pub sent: Traffic,
}

/// Messages and bytes: payloads, topics and MQTT's own 7 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub messages: u64,
    pub bytes: u64,
}

impl Traffic {
    pub fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

impl Door {
    pub fn now(&self, time: u64) -> Now {
        let wall = START_MS + time as i64 + self.skew;
        Now { wall: wall.max(0) as u64, mono: time, trusted: false }
    }

    /// Changes a document, at random, as somebody at this door would.
    pub fn change(&mut self, shared: &mut Shared, place: usize, time: u64, rng: &mut SmallRng) -> Version {
        let own = shared.state(self.table.versions[place]).cloned();
        if let Some(latest) = own.as_ref().and_then(|own| own.latest()) {
            self.clock.see(latest);
        }
        let stamp = self.clock.next(Some(self.now(time).wall));
        let fresh = || SubjectDocument::new("site", format!("person-{place:06}"));
        let mut subject = match own.as_deref() {
            Some(Document::Subject(subject)) if subject.owner.is_some() => subject.clone(),
            Some(Document::Subject(subject)) => SubjectDocument { owner: fresh().owner, ..subject.clone() },
            _ => fresh(),
        };
        act(&mut subject, stamp, rng);
        if !subject.is_alive() {
            subject.owner = None;
        }
        let version = shared.intern(&shared.keys[place].clone(), std::sync::Arc::new(Document::Subject(subject)));
        self.table.set(shared, place, version);
        self.dirty.insert(place);
        version
    }
}

fn act(subject: &mut SubjectDocument, stamp: Stamp, rng: &mut SmallRng) {
    let some = subject.embeddings.keys().copied().nth(rng.random_range(0..subject.embeddings.len().max(1)));
    match (some, rng.random_range(0..10)) {
        (None, _) | (_, 0..=3) => {
            subject.add(rng.random(), embedding(stamp, rng));
            // As the gallery keeps the newest few.
            while subject.embeddings.len() > 3 {
                let oldest = subject.embeddings.iter().min_by_key(|(_, embedding)| &embedding.added);
                let (id, stamp) = oldest.map(|(id, embedding)| (*id, embedding.added.clone())).expect("there are four");
                subject.embeddings.remove(&id);
                subject.removed.insert(id, stamp);
            }
        }
        (Some(id), 4..=5) => {
            let metadata = format!("{{\"name\":\"{}\"}}", rng.random::<u32>()).into_bytes();
            let embedding = subject.embeddings.get_mut(&id).expect("it was there");
            embedding.metadata = Lww { stamp, value: Some(metadata.into()) };
        }
        (Some(_), 6) => subject.active = Some(Lww { stamp, value: rng.random() }),
        (Some(_), 7) => {
            let rules = rng.random::<bool>().then(|| Bytes::from(rng.random::<[u8; 16]>().to_vec()));
            subject.rules = Some(Lww { stamp, value: rules });
        }
        (Some(id), 8) => {
            subject.remove(&id, stamp);
        }
        (Some(_), _) => subject.erase(stamp),
    }
}

fn embedding(stamp: Stamp, rng: &mut SmallRng) -> Embedding {
    let mut template = vec![0; 1024];
    rng.fill(&mut template[..]);
    let fixed = Fixed {
        created: 0,
        model: "door".into(),
        template: template.into(),
        quality: 0.9,
        liveness: Some(0.9),
        source: Some("camera".into()),
    };
    Embedding { added: stamp.clone(), fixed, metadata: Lww { stamp, value: None } }
}
