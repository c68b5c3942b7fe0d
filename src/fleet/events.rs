//! Events on their way to the broker: a queue on the disk, bounded, in order, at least once.
//!
//! Its own LMDB environment in `events` of [`Settings::dir`](super::Settings::dir): a gallery that is full, or busy, is nothing to it.
//!
//! | database | key | value |
//! | --- | --- | --- |
//! | `meta` | `queue` | 16 random bytes, the queue's life |
//! | | `last`, `dropped` | u64, little-endian: the last number given, how many gave way |
//! | `events` | number u64, big-endian | the event as JSON, not signed yet |

use std::{path::Path, sync::Arc};

use facegate_fleet::{
    Name,
    keys::Nonce,
    outbox::Outbox,
    wire::{Class, Event, V1},
};
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, RoTxn, RwTxn, types::Bytes};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::{
    access::{Outcome, Subject},
    daemon::events::Event as Happened,
    error::{Context as _, Error, Kind, Result},
};

/// Bytes that an event takes on the disk, at most, with what LMDB adds.
const EVENT_BYTES: usize = 8 << 10;

/// Address space beside the events; LMDB needs pages in order to delete.
const RESERVE: usize = 4 << 20;

/// What happened, before it has a number.
pub struct NewEvent {
    /// The wall clock, milliseconds since 1970.
    pub at: u64,
    pub class: Class,
    pub kind: String,
    pub door: Option<String>,
    pub details: Map<String, Value>,
}

type Table = Database<'static, Bytes, Bytes>;

/// The queue.
pub struct Queue {
    env: Env,
    meta: Table,
    events: Table,
    order: Mutex<Outbox>,
    id: Nonce,
    by: Name,
}

impl Queue {
    /// Opens the queue in `dir`, of at most `capacity` events, making it where there is none.
    ///
    /// # Errors
    /// `Store` where it cannot be opened.
    pub fn open(dir: &Path, capacity: usize, by: Name) -> Result<Arc<Self>> {
        let path = dir.join("events");
        let failed = || format!("the queue of events in {} cannot be opened", path.display());
        std::fs::create_dir_all(&path).context(Kind::Store, failed)?;
        let mut options = EnvOpenOptions::new();
        options.map_size((capacity * EVENT_BYTES + RESERVE).next_multiple_of(64 << 10)).max_dbs(2);
        // SAFETY: the folder belongs to the daemon's user alone, and LMDB's lock file keeps our processes apart; nobody
        // changes the file behind the map's back.
        #[allow(unsafe_code)]
        let env = unsafe { options.open(&path) }
            .context(Kind::Store, failed)
            .map_err(|error| error.help("see that the disk works; where the file is damaged, remove that folder"))?;
        let txn = env.write_txn()?;
        let tables = env.create_databases_and_commit(txn, |opener, txn| -> heed::Result<_> {
            let mut table = |name| opener.create_database::<Bytes, Bytes>(txn, Some(name));
            Ok(CommitOrAbort::<_, ()>::Commit([table("meta")?, table("events")?]))
        })?;
        let [meta, events]: [Table; 2] = tables.unwrap_commit();
        let mut txn = env.write_txn()?;
        let known = meta.get(&txn, b"queue")?.and_then(|id| id.try_into().ok()).map(Nonce);
        let id = match known {
            Some(id) => id,
            None => {
                let id = Nonce::random(&mut rand::rng());
                meta.put(&mut txn, b"queue", &id.0)?;
                id
            }
        };
        let number = |name: &[u8]| -> Result<u64> {
            Ok(meta.get(&txn, name)?.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes))
        };
        let (last, dropped) = (number(b"last")?, number(b"dropped")?);
        let waiting = waiting(&events, &txn)?;
        txn.commit()?;
        let order = Mutex::new(Outbox::restore(capacity, waiting, last, dropped));
        Ok(Arc::new(Self { env, meta, events, order, id, by }))
    }

    /// Takes in events, durably. Those that give way to them are gone.
    ///
    /// # Errors
    /// Those of the store: then the events are lost, and counted.
    pub fn push(&self, new: Vec<NewEvent>) -> Result<()> {
        let mut order = self.order.lock();
        let (last, dropped, lost) = (order.last(), order.dropped(), new.len() as u64);
        let stored = self.store(&mut order, new);
        if stored.is_err() {
            // What was to give way to them is still there.
            let txn = self.env.read_txn()?;
            order.lose(waiting(&self.events, &txn)?, last, dropped, lost);
        }
        stored
    }

    fn store(&self, order: &mut Outbox, new: Vec<NewEvent>) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        for new in new {
            let pushed = order.push(new.class);
            if let Some(evicted) = pushed.evicted {
                self.events.delete(&mut txn, &evicted.to_be_bytes())?;
            }
            if !pushed.kept {
                continue;
            }
            let event = Event {
                v: V1,
                by: self.by.clone(),
                queue: self.id,
                seq: pushed.seq,
                at: new.at,
                class: new.class,
                kind: new.kind,
                door: new.door,
                dropped: pushed.dropped,
                details: new.details,
            };
            let bytes = serde_json::to_vec(&event)
                .map_err(|error| Error::new(Kind::Internal, "an event has no form in JSON").source(error))?;
            self.events.put(&mut txn, &pushed.seq.to_be_bytes(), &bytes)?;
        }
        self.note(&mut txn, order)?;
        Ok(txn.commit()?)
    }

    /// The next event to be sent on this connection, noted as sent.
    ///
    /// # Errors
    /// Those of the store.
    pub fn next(&self) -> Result<Option<Event>> {
        let mut order = self.order.lock();
        let txn = self.env.read_txn()?;
        while let Some(seq) = order.next() {
            let row = self.events.get(&txn, &seq.to_be_bytes())?;
            order.sent(seq);
            // One that cannot be read is passed over: its number tells the receiver.
            if let Some(event) = row.and_then(|row| serde_json::from_slice(row).ok()) {
                return Ok(Some(event));
            }
            order.acknowledged(seq);
        }
        Ok(None)
    }

    /// The broker has these: they go.
    ///
    /// # Errors
    /// Those of the store: they still wait.
    pub fn acknowledged(&self, all: &[u64]) -> Result<()> {
        let mut order = self.order.lock();
        let mut txn = self.env.write_txn()?;
        for &seq in all {
            self.events.delete(&mut txn, &seq.to_be_bytes())?;
        }
        self.note(&mut txn, &order)?;
        txn.commit()?;
        for &seq in all {
            order.acknowledged(seq);
        }
        Ok(())
    }

    /// The connection is lost: what was not acknowledged is sent again.
    pub fn disconnected(&self) {
        self.order.lock().disconnected();
    }

    /// How many wait, and how many gave way in the queue's life.
    pub fn counts(&self) -> (u64, u64) {
        let order = self.order.lock();
        (order.len() as u64, order.dropped())
    }

    fn note(&self, txn: &mut RwTxn<'_>, order: &Outbox) -> Result<()> {
        self.meta.put(txn, b"last", &order.last().to_le_bytes())?;
        self.meta.put(txn, b"dropped", &order.dropped().to_le_bytes())?;
        Ok(())
    }
}

/// What is stored, with how much it matters.
fn waiting(events: &Table, txn: &RoTxn<'_>) -> Result<Vec<(u64, Class)>> {
    let mut waiting = Vec::new();
    for row in events.iter(txn)? {
        let (key, value) = row?;
        let seq = key.try_into().map_or(0, u64::from_be_bytes);
        let class = serde_json::from_slice::<Event>(value).map_or(Class::Routine, |event| event.class);
        waiting.push((seq, class));
    }
    Ok(waiting)
}

/// What happened at a door as an event of the fleet; `None` for what is nobody's business. No template, no photograph.
pub fn event(happened: &Happened, at: u64) -> Option<NewEvent> {
    match happened {
        Happened::Decision { door, decision, latency } => {
            let mut details = Map::new();
            let (kind, subject, similarity) = match &decision.outcome {
                Outcome::Granted { subject, similarity, .. } => ("granted", Some(subject), Some(*similarity)),
                Outcome::Denied { subject, similarity, .. } => ("denied", subject.as_ref(), *similarity),
            };
            name(&mut details, subject);
            if let Some(similarity) = similarity {
                details.insert("similarity".into(), json!(similarity));
            }
            details.insert("reason".into(), decision.code().into());
            details.insert("latency_ms".into(), json!((latency.as_secs_f64() * 1e4).round() / 10.0));
            Some(NewEvent { at, class: Class::Routine, kind: kind.into(), door: Some(door.to_string()), details })
        }
        Happened::Happened { door, happening, subject, .. } => {
            use facegate_control::door::Happening;
            let class = match happening {
                Happening::Raised { .. } | Happening::EmergencyBegan { .. } | Happening::SensorFault { .. } => {
                    Class::Alarm
                }
                _ => Class::Routine,
            };
            let Ok(Value::Object(mut details)) = serde_json::to_value(happening.without_tag()) else { return None };
            let kind = details.shift_remove("happening")?.as_str()?.to_owned();
            name(&mut details, subject.as_ref());
            Some(NewEvent { at, class, kind, door: Some(door.to_string()), details })
        }
        // The lock's own word is among what happens.
        Happened::Edge { .. } => None,
    }
}

fn name(details: &mut Map<String, Value>, subject: Option<&Subject>) {
    if let Some(subject) = subject {
        details.insert("subject".into(), subject.as_str().into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: usize, class: Class, bytes: usize) -> Vec<NewEvent> {
        let details = || Map::from_iter([("text".to_owned(), Value::from("x".repeat(bytes)))]);
        (0..count).map(|_| NewEvent { at: 1, class, kind: "forced".into(), door: None, details: details() }).collect()
    }

    #[test]
    fn events_that_find_no_room_on_the_disk_are_counted_and_push_nothing_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = || Queue::open(dir.path(), 16, "front".parse().expect("a name")).expect("a queue");
        let queue = open();
        queue.push(events(16, Class::Routine, 10)).expect("they are stored");
        assert!(queue.push(events(8, Class::Alarm, 1 << 20)).is_err(), "more than the file may have");
        assert_eq!(queue.counts(), (16, 8));
        let seqs = |queue: &Queue| -> Vec<u64> {
            std::iter::from_fn(|| queue.next().expect("it can be read")).map(|event| event.seq).collect()
        };
        assert_eq!(seqs(&queue), Vec::from_iter(1..=16));
        queue.acknowledged(&Vec::from_iter(1..=16)).expect("they are deleted");
        // Their numbers are gone, so that whoever listens sees that something is missing.
        queue.push(events(1, Class::Alarm, 10)).expect("it is stored");
        assert_eq!(seqs(&queue), [25]);
        drop(queue);
        let queue = open();
        assert_eq!(queue.counts(), (1, 8));
        assert_eq!(seqs(&queue), [25]);
    }
}
