use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use rand::{CryptoRng, RngExt as _};

use super::{
    Action, Documents, Outcome, Publish, Timing,
    queue::{Item, Queue},
    suspicion::Suspicion,
};
use crate::{
    Name, Now,
    document::{DocumentKey, Kind},
    keys::{PublicKey, Root, SealingKey, SecretKey},
    open::{Arrived, Body, Opened, Signer},
    refusal::{Cause, Refusal, Refusals},
    registry::{Registry, Taken},
    seal,
    stamp::Stamp,
    topic::{Topic, bucket_filter},
    voucher::Vouched,
    wire::{self, BucketSet, Buckets, Digest, Message, Progress, Receipt, Sealed, V1},
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
    /// Erasures that the broker's copies told, and those for which it has our receipt.
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
    /// with MQTT's retain flag, since the broker sends what it keeps.
    ///
    /// # Errors
    /// Those of the store: then none of the documents was taken in.
    pub fn receive<D: Documents>(
        &mut self,
        documents: &mut D,
        messages: &[Opened],
        retained: bool,
        now: Now,
    ) -> Result<Vec<Action>, D::Error> {
        if let Some(connection) = self.connection.as_mut().filter(|_| retained) {
            connection.last_retained = now.mono;
        }
        let mut actions = Vec::new();
        let mut arrived = Vec::new();
        let mut signers = Vec::new();
        for message in messages {
            match (&message.body, &message.by) {
                (Body::Voucher(vouched), Signer::Site) => self.take_voucher(documents, vouched, now, &mut actions),
                (Body::Cleared, _) => self.cleared(documents, &message.topic, now)?,
                (Body::Document(document), Signer::Device(by, key)) => match self.believes(by, key, now) {
                    Ok(()) => {
                        arrived.push(Arc::clone(document));
                        signers.push(*key);
                    }
                    Err(cause) => {
                        let refusal = Refusal::new(cause, by, Some(&message.topic));
                        actions.extend(self.refuse(documents, &refusal, now)?);
                    }
                },
                (Body::Digest(digest), Signer::Device(by, key)) => match self.believes(by, key, now) {
                    Ok(()) => self.hear(documents, digest, now),
                    Err(cause) => {
                        let refusal = Refusal::new(cause, by, Some(&message.topic));
                        actions.extend(self.refuse(documents, &refusal, now)?);
                    }
                },
                (Body::Receipt(receipt), _) => self.note_receipt(&message.topic, receipt),
                _ => {}
            }
        }
        self.take_documents(documents, &arrived, &signers, now, &mut actions)?;
        Ok(actions)
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
            self.publish(documents, item, now, &mut actions)?;
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

    fn take_voucher<D: Documents>(
        &mut self,
        documents: &mut D,
        vouched: &Arc<Vouched>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let item = Item::Voucher(vouched.voucher.device.clone());
        match self.registry.take(Arc::clone(vouched)) {
            Taken::Nothing => self.queue.cancel(&item),
            Taken::Stale => self.later(item, self.window(), now),
            Taken::Device => {
                self.queue.cancel(&item);
                actions.push(Action::Registry);
            }
            Taken::Revoked(key) => {
                actions.push(Action::Registry);
                let spoiled = documents.copies_by(&key);
                let window = self.window_of(spoiled.len());
                for key in spoiled {
                    documents.note_copy(&key, None);
                    self.later(Item::Document(key), window, now);
                }
            }
        }
    }

    fn take_documents<D: Documents>(
        &mut self,
        documents: &mut D,
        arrived: &[Arc<Arrived>],
        signers: &[PublicKey],
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<(), D::Error> {
        if arrived.is_empty() {
            return Ok(());
        }
        let outcomes = documents.merge(arrived, self.oldest_tombstone(now))?;
        let mut changed = false;
        for ((arrived, signer), outcome) in arrived.iter().zip(signers).zip(outcomes) {
            documents.note_copy(&arrived.key, Some(signer));
            changed |= outcome.changed;
            self.follow(arrived, outcome, now, actions);
        }
        if let Some(connection) = &mut self.connection {
            connection.progress.documents += arrived.len() as u64;
        }
        if changed {
            self.look(documents, now, actions);
        }
        Ok(())
    }

    /// What follows from a document that was merged.
    fn follow(&mut self, arrived: &Arrived, outcome: Outcome, now: Now, actions: &mut Vec<Action>) {
        let item = Item::Document(arrived.key);
        if outcome.ahead {
            // What was changed here need not wait any longer: this is what it waited for.
            if self.connection.as_mut().is_some_and(|connection| connection.changed.remove(&arrived.key)) {
                self.queue.now(item, now.mono);
            } else {
                self.later(item, self.window(), now);
            }
        } else {
            self.queue.cancel(&item);
            self.queue.cancel(&Item::Clear(arrived.document.kind(), arrived.key));
            if let Some(connection) = &mut self.connection {
                connection.changed.remove(&arrived.key);
            }
        }
        let window = self.window_of(outcome.also.len());
        for key in outcome.also {
            self.later(Item::Document(key), window, now);
        }
        let Some(connection) = &mut self.connection else { return };
        if !connection.filled {
            // Receipts may have been lost with the connection before; which ones the broker has is known when all has come.
            let told = outcome.erased.as_ref().or(arrived.document.erased());
            connection.erasures.extend(told.map(|stamp| (arrived.key, stamp.clone())));
        } else if let Some(stamp) = &outcome.erased {
            actions.extend(self.receipt(arrived.key, stamp, now));
        }
    }

    /// The broker keeps nothing of use there any more.
    fn cleared<D: Documents>(&mut self, documents: &mut D, topic: &Topic, now: Now) -> Result<(), D::Error> {
        match topic {
            Topic::Document(kind, key) => {
                let Some(document) = documents.get(key)? else { return Ok(()) };
                documents.note_copy(key, None);
                self.queue.cancel(&Item::Clear(*kind, *key));
                if document.is_spent(self.oldest_tombstone(now)) {
                    documents.forget(&[*key])?;
                } else {
                    self.later(Item::Document(*key), self.window(), now);
                }
            }
            Topic::Device(device) if self.registry.vouched(device).is_some() => {
                self.later(Item::Voucher(device.clone()), self.window(), now);
            }
            _ => {}
        }
        Ok(())
    }

    fn hear<D: Documents>(&mut self, documents: &D, digest: &Digest, now: Now) {
        let Some(connection) = &mut self.connection else { return };
        if digest.by == self.identity.device {
            return;
        }
        connection.progress.of = connection.progress.of.max(digest.documents);
        if connection.filled {
            let doors = self.registry.doors();
            self.suspicion.hear(digest, documents.summary(), doors, now.mono, self.timing.settle, &mut self.rng);
        }
    }

    fn note_receipt(&mut self, topic: &Topic, receipt: &Receipt) {
        let (Topic::Receipt(device, key), Some(connection)) = (topic, &mut self.connection) else { return };
        if *device == self.identity.device && !connection.filled {
            let stamp = (receipt.erased_ms, receipt.erased_counter, receipt.erased_by.clone());
            connection.receipts.insert(*key, stamp);
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
        let receipts = std::mem::take(&mut connection.receipts);
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
            let has = receipts.get(&key).is_some_and(|(ms, counter, device)| {
                (*ms, *counter, device) >= (stamp.ms(), stamp.counter(), stamp.device())
            });
            if !has {
                actions.extend(self.receipt(key, &stamp, now));
            }
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

    fn tell_digest<D: Documents>(&mut self, documents: &D, tell: Tell, now: Now, actions: &mut Vec<Action>) {
        let summary = documents.summary();
        let checking = self.connection.as_mut().filter(|_| tell == Tell::Checked);
        let checked = checking.and_then(|connection| connection.checking.take()).map(|(_, buckets)| buckets);
        let digest = Digest {
            v: V1,
            by: self.identity.device.clone(),
            at: now.wall,
            documents: summary.count(),
            root: Root(summary.root().to_le_bytes()),
            buckets: (tell != Tell::Root).then(|| Buckets::of(summary)),
            checked,
        };
        actions.extend(self.signed(&digest, &Topic::Digest(self.identity.device.clone()), None, None));
        let sooner = self.rng.random_range(0..=self.timing.digest / 10);
        if let Some(connection) = &mut self.connection {
            connection.digest = now.mono + self.timing.digest - sooner;
        }
    }

    fn publish<D: Documents>(
        &mut self,
        documents: &mut D,
        item: Item,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<(), D::Error> {
        match item {
            Item::Document(key) => {
                let Some(document) = documents.get(&key)? else { return Ok(()) };
                let topic = Topic::Document(document.kind(), key);
                let Ok(bytes) = document.to_bytes() else {
                    actions.push(Action::TooLarge(key));
                    return Ok(());
                };
                let seal = seal::seal(&self.identity.sealing, &topic.of(&self.identity.site), &bytes, &mut self.rng);
                let sealed = Sealed { v: V1, by: self.identity.device.clone(), seal };
                match self.signed(&sealed, &topic, None, Some(key)) {
                    Some(publish) => {
                        documents.note_copy(&key, Some(&self.public));
                        actions.push(publish);
                    }
                    None => actions.push(Action::TooLarge(key)),
                }
            }
            Item::Clear(kind, key) => {
                if documents.get(&key)?.is_some_and(|document| document.is_spent(self.oldest_tombstone(now))) {
                    documents.forget(&[key])?;
                    documents.note_copy(&key, None);
                    let topic = Topic::Document(kind, key).of(&self.identity.site);
                    actions.push(retained(topic, Vec::new(), None, None));
                }
            }
            Item::Voucher(device) => {
                if let Some(vouched) = self.registry.vouched(&device) {
                    let topic = Topic::Device(device).of(&self.identity.site);
                    actions.push(retained(topic, vouched.message.to_vec(), None, None));
                }
            }
        }
        Ok(())
    }

    fn receipt(&self, key: DocumentKey, stamp: &Stamp, now: Now) -> Option<Action> {
        let receipt = Receipt {
            v: V1,
            by: self.identity.device.clone(),
            at: now.wall,
            erased_ms: stamp.ms(),
            erased_counter: stamp.counter(),
            erased_by: stamp.device().clone(),
        };
        let keep = u32::try_from(self.timing.horizon / 1000).unwrap_or(u32::MAX);
        self.signed(&receipt, &Topic::Receipt(self.identity.device.clone(), key), Some(keep), None)
    }

    /// The message, to be retained; `None` where it is larger than its kind may be.
    fn signed<M: Message>(
        &self,
        message: &M,
        topic: &Topic,
        expiry: Option<u32>,
        document: Option<DocumentKey>,
    ) -> Option<Action> {
        let payload = wire::write(message, &self.identity.site, topic, &self.identity.key).ok()?;
        Some(retained(topic.of(&self.identity.site), payload, expiry, document))
    }
}

fn retained(topic: String, payload: Vec<u8>, expiry: Option<u32>, document: Option<DocumentKey>) -> Action {
    Action::Publish(Publish { topic, payload, retain: true, expiry, document })
}
