mod arriving;
mod telling;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use rand::{CryptoRng, RngExt as _};

use super::{
    Action, Documents, Timing,
    queue::{Item, Queue},
    suspicion::Suspicion,
};
use crate::{
    Name, Now,
    document::{DocumentKey, Kind},
    keys::{PublicKey, SealingKey, SecretKey},
    open::{Arrived, Body, Opened, Signer},
    refusal::{Cause, Refusal, Refusals},
    registry::Registry,
    stamp::Stamp,
    topic::{Topic, bucket_filter},
    wire::{BucketSet, Progress},
};

/// Most documents that one [`tick`](Replica::tick) publishes: what is behind them goes into the next one.
const AT_ONCE: usize = 128;

/// How often doors that differ look whether they still do, in milliseconds.
const LOOK_EVERY: u64 = 1_000;

/// How often spent documents are looked for, in milliseconds.
const TIDY_EVERY: u64 = 86_400_000;

/// Who a device is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its site.
    pub site: Name,
    /// Its name there.
    pub device: Name,
    /// What it signs with.
    pub key: SecretKey,
    /// What the site's documents are sealed with.
    pub sealing: SealingKey,
}

/// A device's part in the site's shared memory. Every method says what is to be done now; what waits is done by
/// [`tick`](Self::tick).
pub struct Replica<R> {
    identity: Identity,
    public: PublicKey,
    timing: Timing,
    registry: Registry,
    refusals: Refusals,
    rng: R,
    queue: Queue,
    suspicion: Suspicion,
    connection: Option<Connection>,
    /// When spent documents are looked for.
    tidy: u64,
}

/// What of a digest is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tell {
    Root,
    /// Where we differ from others.
    Buckets,
    /// The same after the broker has sent what it keeps there.
    Checked,
}

/// What is known of one connection.
#[derive(Debug, Default)]
struct Connection {
    /// When the last retained message came, or the connection began.
    last_retained: u64,
    /// Whether all that the broker keeps has come.
    filled: bool,
    /// Documents that came, and how many there are by others' digests.
    progress: Progress,
    /// What was changed here and waits until the broker's copies have come.
    changed: BTreeSet<DocumentKey>,
    /// Erasures that the broker's copies told, until all of those have come, and those of which it has our receipt.
    erasures: HashMap<DocumentKey, Stamp>,
    receipts: HashMap<DocumentKey, (u64, u16, Name)>,
    /// When to tell what we have.
    digest: u64,
    /// When to look whether we still differ from others.
    look: u64,
    /// Buckets that were asked for again, and when to tell what came of it, at the earliest.
    checking: Option<(u64, BucketSet)>,
}

impl Connection {
    /// When to tell what came of buckets that were asked for again: when the broker has sent them, and no sooner.
    fn checked(&self, timing: &Timing) -> Option<u64> {
        Some(self.checking?.0.max(self.last_retained.saturating_add(timing.quiet)))
    }
}

impl<R: CryptoRng> Replica<R> {
    /// A device that is not connected.
    pub fn new(identity: Identity, timing: Timing, registry: Registry, rng: R) -> Self {
        Self {
            public: identity.key.public(),
            identity,
            timing,
            registry,
            refusals: Refusals::default(),
            rng,
            queue: Queue::default(),
            suspicion: Suspicion::default(),
            connection: None,
            tidy: 0,
        }
    }

    /// The broker has accepted the connection, and every subscription ([`door_filters`](crate::topic::door_filters)) has been
    /// sent. `resumed`: the broker still has the session of the last connection (`session present`), sends what was missed,
    /// and does not send again what it keeps; otherwise all of that comes. Call [`changed`](Self::changed) next, with every
    /// document that is marked as changed: what was published on the connection before and not acknowledged is forgotten here.
    pub fn connected<D: Documents>(&mut self, documents: &mut D, resumed: bool, now: Now) {
        self.disconnected();
        if !resumed {
            documents.forget_copies();
        }
        self.connection = Some(Connection { last_retained: now.mono, digest: u64::MAX, ..Connection::default() });
    }

    /// The connection is lost. What was to be published for others' sake will be found again at the next one.
    pub fn disconnected(&mut self) {
        self.connection = None;
        self.queue.clear();
        self.suspicion.clear();
    }

    /// Takes in messages that an [`Opener`](crate::open::Opener) has opened, in the order of their arrival. Vouchers,
    /// documents, digests and this device's own receipts matter here; others are passed over. `retained`: some of them came
    /// with MQTT's retain flag, since the broker sends what it keeps. What is to be done is added to `actions`.
    ///
    /// # Errors
    /// The first of the store's: some of the documents may not have been taken in. What the site says of devices counts all the
    /// same, and is among the `actions`.
    pub fn receive<D: Documents>(
        &mut self,
        documents: &mut D,
        messages: &[Opened],
        retained: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<(), D::Error> {
        if let Some(connection) = self.connection.as_mut().filter(|_| retained) {
            connection.last_retained = now.mono;
        }
        let mut arrived: Vec<Arc<Arrived>> = Vec::new();
        let mut signers = Vec::new();
        // What the store cannot do keeps nothing else from being heard, a revocation least of all.
        let mut first = Ok(());
        for message in messages {
            match (&message.body, &message.by) {
                (Body::Voucher(vouched), Signer::Site) => self.take_voucher(documents, vouched, now, actions),
                (Body::Cleared, _) => {
                    // What was told there before comes before.
                    if matches!(&message.topic, Topic::Document(_, key) if arrived.iter().any(|known| known.key == *key))
                    {
                        first = first.and(self.take_documents(documents, &arrived, &signers, now, actions));
                        arrived.clear();
                        signers.clear();
                    }
                    first = first.and(self.cleared(documents, &message.topic, now));
                }
                (Body::Document(document), Signer::Device(by, key)) => match self.believes(by, key, now) {
                    Ok(()) => {
                        arrived.push(Arc::clone(document));
                        signers.push(*key);
                    }
                    Err(cause) => {
                        let refusal = Refusal::new(cause, by, Some(&message.topic));
                        let told = self.refuse(documents, &refusal, now);
                        first = first.and(told.map(|tell| actions.extend(tell)));
                    }
                },
                (Body::Digest(digest), Signer::Device(by, key)) => match self.believes(by, key, now) {
                    Ok(()) => self.hear(documents, digest, now),
                    Err(cause) => {
                        let refusal = Refusal::new(cause, by, Some(&message.topic));
                        let told = self.refuse(documents, &refusal, now);
                        first = first.and(told.map(|tell| actions.extend(tell)));
                    }
                },
                (Body::Receipt(receipt), _) => self.note_receipt(&message.topic, receipt),
                _ => {}
            }
        }
        first.and(self.take_documents(documents, &arrived, &signers, now, actions))
    }

    /// Messages that the broker keeps have come and wait to be opened: it has not been sent all yet.
    pub fn awaits(&mut self, now: Now) {
        if let Some(connection) = &mut self.connection {
            connection.last_retained = now.mono;
        }
    }

    /// A message was refused: counts it, says whether to tell it, and has the broker's copy mended where it spoiled one.
    ///
    /// # Errors
    /// Those of the store.
    pub fn refuse<D: Documents>(
        &mut self,
        documents: &mut D,
        refusal: &Refusal,
        now: Now,
    ) -> Result<Option<Action>, D::Error> {
        let tell = self.refusals.count(refusal).then(|| Action::Tell(refusal.clone()));
        if let Some(topic) = &refusal.topic {
            self.cleared(documents, topic, now)?;
        }
        Ok(tell)
    }

    /// Documents were changed here, or are marked as changed since the last time: publishes them, at once where that can do
    /// no harm, or else when the broker's copies have come. Not connected, it does nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub fn changed<D: Documents>(
        &mut self,
        documents: &mut D,
        keys: &[DocumentKey],
        now: Now,
    ) -> Result<Vec<Action>, D::Error> {
        let Some(connection) = &mut self.connection else { return Ok(Vec::new()) };
        for key in keys {
            if connection.filled || documents.has_copy(key) {
                self.queue.now(Item::Document(*key), now.mono);
            } else {
                connection.changed.insert(*key);
            }
        }
        self.tick(documents, now)
    }

    /// Does what is due; at most so much at once that [`due`](Self::due) may say "now" again.
    ///
    /// # Errors
    /// Those of the store.
    pub fn tick<D: Documents>(&mut self, documents: &mut D, now: Now) -> Result<Vec<Action>, D::Error> {
        let mut actions = Vec::new();
        let Some(connection) = &self.connection else { return Ok(actions) };
        if !connection.filled {
            if now.mono >= connection.last_retained.saturating_add(self.timing.quiet) {
                self.filled(documents, now, &mut actions)?;
            }
        } else if now.mono >= self.tidy {
            self.tidy(documents, now)?;
        }
        for _ in 0..AT_ONCE {
            let Some(item) = self.queue.pop(now.mono) else { break };
            if let Err(error) = self.publish(documents, item.clone(), now, &mut actions) {
                self.queue.now(item, now.mono);
                // What was made ready is published; where the store still fails, the next one tells.
                return if actions.is_empty() { Err(error) } else { Ok(actions) };
            }
        }
        self.look(documents, now, &mut actions);
        let is_due = |due: Option<u64>| due.is_some_and(|due| due <= now.mono);
        let connection = self.connection.as_ref();
        if is_due(connection.and_then(|connection| connection.checked(&self.timing))) {
            // What we have now is what the broker keeps: who has the same need not ask for it.
            self.suspicion.told(documents.summary(), now.mono);
            self.tell_digest(documents, Tell::Checked, now, &mut actions);
        } else if is_due(connection.map(|connection| connection.digest)) {
            self.tell_digest(documents, Tell::Root, now, &mut actions);
        }
        Ok(actions)
    }

    /// When [`tick`](Self::tick) has something to do, by the monotonic clock in milliseconds; `None`: not before something
    /// arrives or changes.
    pub fn due(&self) -> Option<u64> {
        let connection = self.connection.as_ref()?;
        let next = if connection.filled {
            let look = self.suspicion.next().map(|due| due.max(connection.look));
            [Some(connection.digest), connection.checked(&self.timing), look, Some(self.tidy)]
                .into_iter()
                .flatten()
                .min()
        } else {
            Some(connection.last_retained.saturating_add(self.timing.quiet))
        };
        self.queue.next().into_iter().chain(next).min()
    }

    /// How far it has filled itself; `None` where it has been sent all that the broker keeps, or is not connected.
    pub fn filling(&self) -> Option<Progress> {
        self.connection.as_ref().filter(|connection| !connection.filled).map(|connection| connection.progress)
    }

    /// Whether it is connected, and has been sent all that the broker keeps.
    pub fn is_filled(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.filled)
    }

    /// How many messages wait to be published.
    pub fn waiting(&self) -> usize {
        self.queue.len() + self.connection.as_ref().map_or(0, |connection| connection.changed.len())
    }

    /// Who is known.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What was refused.
    pub const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Who this is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Tombstones from before this may be forgotten, milliseconds since 1970. Give it to [`apply`](crate::document::apply)
    /// for local changes, too. A clock that cannot be relied on forgets none.
    pub fn oldest_tombstone(&self, now: Now) -> u64 {
        now.trusted_wall().map_or(0, |wall| wall.saturating_sub(self.timing.horizon))
    }

    /// Whether a message is still believed: it may have waited since it was opened.
    fn believes(&self, by: &Name, key: &PublicKey, now: Now) -> Result<(), Cause> {
        let voucher = self.registry.trusted(by, now)?;
        if voucher.key == *key { Ok(()) } else { Err(Cause::Revoked) }
    }

    /// Within this time, one of the doors publishes what all of them could.
    fn window(&self) -> u64 {
        let doors = self.registry.doors() as u64;
        self.timing.republish.saturating_add(self.timing.republish_a_door.saturating_mul(doors))
    }

    /// The same for many documents at once: the site publishes 50 of them a second, one door alone a thousand times that.
    fn window_of(&self, count: usize) -> u64 {
        let doors = self.registry.doors().clamp(1, 1000) as u64;
        self.window().saturating_add((count as u64).saturating_mul(doors) / 50)
    }

    fn later(&mut self, item: Item, window: u64, now: Now) {
        if self.connection.is_some() {
            self.queue.later(item, now.mono, window, &mut self.rng);
        }
    }

    /// All that the broker keeps has come.
    fn filled<D: Documents>(&mut self, documents: &mut D, now: Now, actions: &mut Vec<Action>) -> Result<(), D::Error> {
        let lacking = documents.without_copy()?;
        let window = self.window_of(lacking.len());
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.filled = true;
        connection.digest = now.mono + self.rng.random_range(0..=self.timing.quiet);
        let changed = std::mem::take(&mut connection.changed);
        let erasures = std::mem::take(&mut connection.erasures);
        for key in &changed {
            self.queue.now(Item::Document(*key), now.mono);
        }
        for key in lacking {
            if !changed.contains(&key) {
                self.later(Item::Document(key), window, now);
            }
        }
        let mut erasures: Vec<_> = erasures.into_iter().collect();
        erasures.sort_unstable();
        for (key, stamp) in erasures {
            actions.extend(self.receipt(key, &stamp, now));
        }
        self.tidy(documents, now)
    }

    /// Has spent documents taken off the broker.
    fn tidy<D: Documents>(&mut self, documents: &mut D, now: Now) -> Result<(), D::Error> {
        self.tidy = now.mono.saturating_add(TIDY_EVERY);
        let oldest = self.oldest_tombstone(now);
        if oldest == 0 {
            return Ok(());
        }
        let spent = documents.spent(oldest)?;
        let window = self.window_of(spent.len());
        for (kind, key) in spent {
            self.later(Item::Clear(kind, key), window, now);
        }
        Ok(())
    }

    /// Looks whether we still differ from others, and does something about it where that has lasted.
    fn look<D: Documents>(&mut self, documents: &D, now: Now, actions: &mut Vec<Action>) {
        let Some(connection) = &mut self.connection else { return };
        self.suspicion.note(documents.summary(), now.mono, self.timing.settle);
        if self.suspicion.is_empty() || connection.look > now.mono {
            return;
        }
        connection.look = now.mono + LOOK_EVERY;
        let verdict = self.suspicion.look(documents.summary(), now.mono, self.timing.settle, self.timing.digest);
        if !verdict.again.is_empty() {
            let (due, buckets) = connection.checking.get_or_insert_default();
            *due = now.mono + 2 * self.timing.quiet;
            verdict.again.iter().for_each(|&bucket| buckets.insert(bucket));
        }
        for bucket in verdict.again {
            actions.extend(Kind::ALL.map(|kind| Action::Resubscribe(bucket_filter(&self.identity.site, kind, bucket))));
        }
        if verdict.tell {
            self.tell_digest(documents, Tell::Buckets, now, actions);
        }
    }
}
