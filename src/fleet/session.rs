//! One connection to the broker, from its birth to its end.

mod opening;
mod refusing;
mod telling;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use facegate_fleet::{
    Now,
    command::{Inbox, left_ms},
    document::DocumentKey,
    keys,
    open::{Body, Opened, Opener, Signer},
    refusal::{Cause, Refusal},
    sync::{Action, Replica},
    topic::{self, Topic},
    wire::{self, Answer, Command, Status, V1},
};
use rand::rngs::ThreadRng;
use tokio::sync::mpsc;

use self::{opening::open_all, refusing::Sparing, telling::status};
use super::{
    client::{self, Client, Happened, Message, Outgoing},
    documents::Documents,
    identity,
    link::Keeper,
    orders::{self, Told},
};
use crate::{
    error::Result,
    gallery,
    journal::{Entry, Event},
};

/// How often it is looked for changes of the store and for what is due.
const LOOK: Duration = Duration::from_millis(40);

/// How long an answer has before the daemon is told to end, because of what it answers.
const LEAD: Duration = Duration::from_millis(250);

/// Messages of one kind of work that wait here at most, before more is asked for.
const QUEUE: usize = 512;

/// Messages that are taken in together, at most: one transaction of the store.
const BATCH: usize = 256;

/// Events that are sent and not acknowledged, at most.
const EVENTS_INFLIGHT: usize = 64;

/// How long it is waited for the leave to be taken.
const LEAVE: Duration = Duration::from_millis(120);

/// How long the store is left alone after it failed, in milliseconds.
const STORE_PATIENCE: u64 = 5_000;

/// How often it is told at most how this device is because somebody else has told it, in milliseconds: it may be a second one of
/// the same name.
const RETELL: u64 = 10_000;

/// How a connection ended.
pub enum End {
    /// The daemon stops.
    Stopped,
    /// It was never there.
    Lost(String),
    /// It was there.
    Worked(String),
}

/// What the broker's acknowledgement of a message means.
enum Tag {
    Nothing,
    Document(DocumentKey, u64),
    Event(u64),
    /// What became of the configuration that this command ordered.
    Verdict(String),
}

/// What was published: what its acknowledgement means, and the kind of its topic.
type Sent = (Tag, String);

/// How far the documents that wait have been looked through.
#[derive(Default)]
struct Scan {
    /// The last that was looked at.
    after: Option<DocumentKey>,
    /// Something changed since it began: it begins again when it has come to the end.
    again: bool,
    done: bool,
}

/// A connection.
pub struct Session<'k> {
    keeper: &'k Keeper,
    replica: &'k mut Replica<ThreadRng>,
    documents: &'k mut Documents,
    inbox: &'k mut Inbox,
    opener: Opener,
    client: Client,
    id: keys::Session,
    /// What is to be handed to the client, first that which cannot wait.
    urgent: VecDeque<(Outgoing, Tag)>,
    queue: VecDeque<(Outgoing, Tag)>,
    /// What was handed over and has no number yet, in order.
    unnumbered: VecDeque<Sent>,
    inflight: HashMap<u16, Sent>,
    /// Changed documents that were handed to the engine, with the version that they had.
    handed: HashMap<DocumentKey, u64>,
    acknowledged: Vec<gallery::Outgoing>,
    events_inflight: usize,
    events_done: Vec<u64>,
    transaction: usize,
    version: u64,
    scan: Scan,
    /// Whether the broker has acknowledged anything: then this device speaks, and is heard.
    heard: bool,
    verdicts: Vec<String>,
    enrol_again: (u64, usize),
    /// What Home Assistant was told.
    discovery: Vec<u8>,
    status: Option<Status>,
    status_due: u64,
    telemetry_due: u64,
    answers: (mpsc::UnboundedSender<Answer>, mpsc::UnboundedReceiver<Answer>),
    /// There as long as this connection is: what was ordered on it is not done after it.
    alive: Arc<()>,
    refused: Sparing,
    /// The kinds of topics of which it was told that the broker does not take what is published there.
    denied: HashSet<String>,
    /// When the store is asked again, after it failed.
    store_due: u64,
    /// Somebody else's word about this device is at the broker; since when ours was not told again because of that.
    retell: bool,
    retold: u64,
}

/// Until when an order may be begun.
struct Due {
    until: Instant,
    connection: Weak<()>,
}

impl Due {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until || self.connection.strong_count() == 0
    }
}

impl<'k> Session<'k> {
    /// Connects, and works until the connection ends.
    pub async fn run(
        keeper: &'k Keeper,
        replica: &'k mut Replica<ThreadRng>,
        documents: &'k mut Documents,
        inbox: &'k mut Inbox,
    ) -> End {
        let identity = keeper.installed.identity.clone();
        let id = keys::Session::random(&mut rand::rng());
        let topic = Topic::Status(identity.device.clone());
        let offline = Status { online: false, doors: Vec::new(), ..status(keeper, id, replica) };
        let will = match wire::write(&offline, &identity.site, &topic, &identity.key) {
            Ok(payload) => Outgoing { topic: topic.of(&identity.site), payload, retain: true, expiry: None },
            Err(error) => return End::Lost(error.to_string()),
        };
        // Another one each time: whoever takes a client's name at the broker ends its connection, and the device's is known.
        let name = format!("{}-{:08x}", identity.device, rand::random::<u32>());
        let (client, mut heard) = match client::connect(&keeper.settings, &name, will.clone()) {
            Ok(connection) => connection,
            Err(error) => return End::Lost(error.to_string()),
        };
        let mut stopped = keeper.stopped.clone();
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return End::Stopped,
                happened = heard.recv() => match happened {
                    Some(Happened::Connected) => break,
                    Some(Happened::Ended(why)) => return End::Lost(why),
                    None => return End::Lost("the connection ended".into()),
                    Some(_) => {}
                },
            }
        }
        let opener = Opener {
            site: identity.site.clone(),
            sealing: Some(identity.sealing.clone()),
            registry: Arc::new(replica.registry().clone()),
        };
        let mut session = Session {
            keeper,
            replica,
            documents,
            inbox,
            opener,
            client,
            id,
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            unnumbered: VecDeque::new(),
            inflight: HashMap::new(),
            handed: HashMap::new(),
            acknowledged: Vec::new(),
            events_inflight: 0,
            events_done: Vec::new(),
            transaction: usize::MAX,
            version: u64::MAX,
            scan: Scan::default(),
            heard: false,
            verdicts: Vec::new(),
            enrol_again: (0, usize::MAX),
            discovery: Vec::new(),
            status: None,
            status_due: 0,
            telemetry_due: 0,
            answers: mpsc::unbounded_channel(),
            alive: Arc::new(()),
            refused: Sparing::default(),
            denied: HashSet::new(),
            store_due: 0,
            retell: false,
            retold: 0,
        };
        let end = session.work(&mut heard, will).await;
        session.tell_withheld(u64::MAX);
        end
    }

    async fn work(&mut self, heard: &mut mpsc::Receiver<Happened>, will: Outgoing) -> End {
        if let Err(why) = self.begin().await {
            return End::Worked(why);
        }
        let mut stopped = self.keeper.stopped.clone();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut ended = None;
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => {
                    self.leave(heard, will).await;
                    return End::Stopped;
                }
                first = heard.recv() => {
                    let mut messages = Vec::new();
                    let mut next = first;
                    loop {
                        match next {
                            Some(Happened::Message(message)) => messages.push(message),
                            Some(Happened::Ended(why)) => ended = Some(why),
                            Some(other) => self.note(other),
                            None => ended = Some("the connection ended".into()),
                        }
                        if ended.is_some() || messages.len() >= BATCH {
                            break;
                        }
                        match heard.try_recv() {
                            Ok(happened) => next = Some(happened),
                            Err(_) => break,
                        }
                    }
                    if let Err(error) = self.receive(&messages) {
                        // It comes again: the broker keeps it, and digests tell.
                        tracing::error!(%error, help = error.advice(), "what the fleet sent could not be stored");
                    }
                }
                Some(answer) = self.answers.1.recv() => self.answer(&answer),
                _ = look.tick() => {}
            }
            if let Err(error) = self.look() {
                tracing::error!(%error, help = error.advice(), "the fleet's changes could not be read or stored");
            }
            self.pump();
            if let Some(why) = ended {
                return End::Worked(why);
            }
        }
    }

    /// Birth: subscriptions, the site's word for this device, its status, and what changed while nobody was connected.
    async fn begin(&mut self) -> std::result::Result<(), String> {
        let now = self.keeper.now();
        let identity = self.keeper.installed.identity.clone();
        self.inbox.begin(self.id, now);
        for filter in topic::door_filters(&identity.site, &identity.device) {
            self.client.subscribe(filter).await?;
        }
        self.keeper.stats.connected.store(true, Ordering::Relaxed);
        self.keeper.stats.connections.fetch_add(1, Ordering::Relaxed);
        tracing::info!(broker = self.keeper.settings.broker, site = %identity.site, device = %identity.device, "connected to the fleet");
        // The newest: what was installed may be older than what the broker has.
        let registry = self.replica.registry();
        let voucher = registry.vouched(&identity.device).unwrap_or(&self.keeper.installed.voucher).message.to_vec();
        let topic = Topic::Device(identity.device).of(&identity.site);
        // Where the site has revoked it meanwhile, that is what the broker has, and what counts.
        if registry.revoked().all(|key| *key != identity.key.public()) {
            self.queue.push_back((Outgoing { topic, payload: voucher, retain: true, expiry: None }, Tag::Nothing));
        }
        self.replica.connected(self.documents, false, now);
        self.tell_config(now);
        self.telemetry_due = now.mono + 10_000;
        Ok(())
    }

    async fn leave(&mut self, heard: &mut mpsc::Receiver<Happened>, will: Outgoing) {
        if self.client.publish(will).is_ok() {
            let gone = async {
                while let Some(happened) = heard.recv().await {
                    if matches!(happened, Happened::Sent(_)) && self.unnumbered.pop_front().is_none() {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(LEAVE, gone).await;
        }
        let _ = tokio::time::timeout(LEAVE, self.client.disconnect()).await;
    }

    fn note(&mut self, happened: Happened) {
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

    /// Takes in messages. A voucher counts from the next message on.
    ///
    /// # Errors
    /// The first of the store's; whatever came after is taken in all the same.
    fn receive(&mut self, messages: &[Message]) -> Result<()> {
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

    /// Stores who is of the site, where that has changed: once for many vouchers.
    ///
    /// # Errors
    /// `Io`: it is tried again.
    fn store_registry(&self) -> Result<()> {
        let changed = &self.keeper.registry_changed;
        if changed.load(Ordering::Relaxed) {
            identity::store_registry(&self.keeper.settings, self.replica.registry())?;
            changed.store(false, Ordering::Relaxed);
        }
        Ok(())
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

    fn refuse(&mut self, refusal: &Refusal, now: Now) -> Result<()> {
        let action = self.replica.refuse(self.documents, refusal, now)?;
        self.act(action);
        self.keeper.stats.note_refusals(self.replica.refusals());
        Ok(())
    }

    /// Obeys a command, or says why not. It is done elsewhere: a door may take a second to answer.
    fn command(&mut self, command: &Command, key: &keys::PublicKey, retained: bool, now: Now) -> Result<()> {
        let by = format!("device {}", command.by);
        let order = command.order.name();
        // Kept by the broker, against all that a sender is told: whoever connects next would be told it again.
        let accepted = match retained {
            true => Err(Cause::Session),
            false => self.inbox.accept(command, key, self.replica.registry(), now),
        };
        let place = match accepted {
            Ok(()) if orders::is_slow(&command.order) => {
                Arc::clone(&self.keeper.slow).try_acquire_owned().map(Some).map_err(|_| Cause::Busy)
            }
            accepted => accepted.map(|()| None),
        };
        let place = match place {
            Ok(place) => place,
            Err(cause) => return self.refuse_command(command, cause, retained, now),
        };
        let until = Instant::now() + Duration::from_millis(left_ms(command, now));
        let due = Due { until, connection: Arc::downgrade(&self.alive) };
        self.keeper.stats.commands.fetch_add(1, Ordering::Relaxed);
        tracing::info!(order, %by, "ordered by the fleet");
        let (hands, journal) = (Arc::clone(&self.keeper.hands), Arc::clone(&self.keeper.journal));
        let (say, answer) = (self.answers.0.clone(), self.told(command, Told::refused("", ""), now.wall));
        let (for_doors, ordered) = (orders::is_for_doors(&command.order), command.clone());
        let clock = Arc::clone(&self.keeper.clock);
        let job = move || {
            let _place = place;
            // It may have waited for its turn, and an unlock that is done late lets in whoever comes by.
            let told = match due.is_over() {
                true => Told::refused(Cause::Late.code(), Cause::Late.words()),
                false => hands.obey(&ordered),
            };
            let outcome = match told.outcome {
                wire::Outcome::Done => "done",
                wire::Outcome::Begun => "begun",
                wire::Outcome::Refused => told.code.as_deref().unwrap_or("refused"),
                wire::Outcome::Failed => "failed",
            };
            let event = Event::Order { order: order.into(), by, outcome: outcome.into() };
            journal.append(Entry { door: None, event });
            let at = super::link::wall_ms(&*clock);
            // Nobody listens where the connection has ended meanwhile.
            let _ = say.send(Answer { at, outcome: told.outcome, code: told.code, message: told.message, ..answer });
            if let Some(signal) = told.then {
                std::thread::sleep(LEAD);
                if let Err(error) = orders::signal(signal) {
                    tracing::error!(%error, "ordered by the fleet, and not done");
                }
            }
        };
        if !for_doors {
            tokio::task::spawn_blocking(job);
        } else if self.keeper.doors.try_send(Box::new(job)).is_err() {
            return self.refuse_command(command, Cause::Busy, false, now);
        }
        Ok(())
    }

    fn told(&self, command: &Command, told: Told, at: u64) -> Answer {
        Answer {
            v: V1,
            by: self.keeper.settings.device.clone(),
            to: command.by.clone(),
            id: command.id.clone(),
            at,
            outcome: told.outcome,
            code: told.code,
            message: told.message,
        }
    }

    fn journal(&self, order: &str, by: &str, outcome: &str) {
        let event = Event::Order { order: order.into(), by: by.into(), outcome: outcome.into() };
        self.keeper.journal.append(Entry { door: None, event });
    }

    fn answer(&mut self, answer: &Answer) {
        if self.urgent.len() >= QUEUE {
            tracing::error!(id = %answer.id.escape_debug(), "an answer to the fleet is lost: the broker takes nothing, and too many wait");
            return;
        }
        self.urge(answer, &Topic::Answer(answer.by.clone()), false, Tag::Nothing);
    }

    /// Signs a message and puts it before those that can wait.
    fn urge<M: wire::Message>(&mut self, message: &M, topic: &Topic, retain: bool, tag: Tag) {
        let identity = &self.keeper.installed.identity;
        match wire::write(message, &identity.site, topic, &identity.key) {
            Ok(payload) => {
                let message = Outgoing { topic: topic.of(&identity.site), payload, retain, expiry: None };
                self.urgent.push_back((message, tag));
            }
            Err(error) => tracing::error!(%error, "a message to the fleet is not sent"),
        }
    }

    fn act(&mut self, actions: impl IntoIterator<Item = Action>) {
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

    /// Does what is due: what changed in the store, what the engine waits for, how the doors are, events.
    fn look(&mut self) -> Result<()> {
        let now = self.keeper.now();
        let mut first = Ok(());
        if self.store_due <= now.mono {
            first = self.follow(now);
            if first.is_err() {
                self.store_due = now.mono + STORE_PATIENCE;
            }
        }
        if self.inbox.is_worn(now) {
            self.id = keys::Session::random(&mut rand::rng());
            self.inbox.begin(self.id, now);
            self.status_due = 0;
        }
        self.tell_withheld(now.mono);
        if self.retell && self.retold + RETELL <= now.mono {
            (self.retell, self.retold, self.status) = (false, now.mono, None);
        }
        // Where nothing goes, what could be told now will be old.
        let goes = self.urgent.len() < QUEUE;
        if goes && self.status_due <= now.mono {
            first = first.and(self.come_back(now));
            self.count_to_enrol_again(now);
            self.tell_status(now);
        }
        if goes && self.keeper.settings.telemetry_s > 0 && self.telemetry_due <= now.mono {
            self.tell_figures(now);
        }
        first
    }

    /// Does what needs the store, all of it, whatever part of it fails.
    ///
    /// # Errors
    /// The first of the store's.
    fn follow(&mut self, now: Now) -> Result<()> {
        let stored = self.store_registry().and(self.store_acknowledged());
        let changed = self.changes(now);
        let ticked = match self.queue.len() < QUEUE && self.replica.due().is_some_and(|due| due <= now.mono) {
            true => self.replica.tick(self.documents, now).map(|actions| self.act(actions)),
            false => Ok(()),
        };
        stored.and(changed).and(ticked).and(self.events())
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

    /// Hands over what waits, as far as there is room.
    fn pump(&mut self) {
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
    fn an_order_is_not_begun_after_its_end_nor_after_its_connection() {
        let alive = Arc::new(());
        let due = |until: Instant| Due { until, connection: Arc::downgrade(&alive) };
        let (past, future) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
        assert!(!due(future).is_over());
        assert!(due(past).is_over(), "it waited for too long");
        let waits = due(future);
        drop(alive);
        assert!(waits.is_over(), "the connection is lost");
    }

    #[test]
    fn topics_are_told_by_their_kinds() {
        assert_eq!(kind("facegate/v1/hq/events/front"), "events");
        assert_eq!(kind("facegate/v1/hq/subjects/ab/abab"), "subjects");
        assert_eq!(kind("homeassistant/device/facegate_hq/front/config"), "home assistant's discovery");
    }
}
