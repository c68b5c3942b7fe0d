//! One connection to the broker, from its birth to its end.
//!
//! What comes is taken in by `receiving` (`opening`, `commanding`, `refusing`), what changed in the store is followed by `following`,
//! what the device tells by itself is made by `telling`, and all of it goes out by `sending`.

mod commanding;
mod following;
mod opening;
mod receiving;
mod refusing;
mod sending;
mod telling;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use facegate_fleet::{
    command::Inbox,
    document::DocumentKey,
    keys,
    open::Opener,
    sync::Replica,
    topic::{self, Topic},
    wire::{self, Answer, Status},
};
use rand::rngs::ThreadRng;
use tokio::sync::mpsc;

use self::{
    following::Scan,
    opening::{Coming, Lot},
    refusing::Sparing,
    sending::{Sent, Tag},
    telling::status,
};
use super::{
    client::{self, Client, Happened, Outgoing},
    documents::Documents,
    link::Keeper,
};
use crate::{error::Result, gallery};

/// How often it is looked for changes of the store and for what is due.
const LOOK: Duration = Duration::from_millis(40);

/// Messages of one kind of work that wait here at most, before more is asked for.
const QUEUE: usize = 512;

/// So many messages are enough to be taken in: one transaction of the store. What else has to be done waits behind it.
const BATCH: usize = 512;

/// How long it is waited for the leave to be taken.
const LEAVE: Duration = Duration::from_millis(120);

/// How long the store is left alone after it failed, in milliseconds.
const STORE_PATIENCE: u64 = 5_000;

/// How long it is waited for the broker's copy of this device's voucher, in milliseconds, before the broker is taken to have none.
const INTRODUCE: u64 = 1_000;

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

/// A connection.
pub struct Session<'k> {
    keeper: &'k Keeper,
    replica: &'k mut Replica<ThreadRng>,
    documents: &'k mut Documents,
    inbox: &'k mut Inbox,
    opener: Opener,
    /// What came and is not taken in yet.
    coming: Coming,
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
    /// When this device's voucher is published, at the latest; none where the broker has it.
    introduce: Option<u64>,
    /// When this connection began to work, when the last of what the broker keeps was taken in, and whether all of that was.
    begun: u64,
    kept: u64,
    filled: bool,
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
        let vouchers = Topic::Device(identity.device.clone()).of(&identity.site);
        let vouchers = vouchers.strip_suffix(identity.device.as_str()).unwrap_or(&vouchers);
        let mut session = Session {
            coming: Coming::new(vouchers.to_owned()),
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
            introduce: None,
            begun: 0,
            kept: 0,
            filled: false,
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
            self.coming.open(&self.opener, self.keeper.now());
            let mut ended = None;
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => {
                    self.leave(heard, will).await;
                    return End::Stopped;
                }
                // Before what comes, of which there may be more for minutes.
                Some(answer) = self.answers.1.recv() => self.answer(&answer),
                first = heard.recv(), if self.coming.has_room() => {
                    let mut next = first;
                    loop {
                        match next {
                            Some(Happened::Message(message)) => self.coming.push(message),
                            Some(Happened::Ended(why)) => ended = Some(why),
                            Some(other) => self.note(other),
                            None => ended = Some("the connection ended".into()),
                        }
                        if ended.is_some() || !self.coming.has_room() {
                            break;
                        }
                        match heard.try_recv() {
                            Ok(happened) => next = Some(happened),
                            Err(_) => break,
                        }
                    }
                }
                lot = self.coming.next() => self.take(lot),
                _ = look.tick() => {}
            }
            if ended.is_some() {
                // What has come is taken in: whoever is cut off over and over gets on all the same.
                while !self.coming.is_empty() {
                    self.coming.open(&self.opener, self.keeper.now());
                    let lot = self.coming.next().await;
                    self.take(lot);
                }
            }
            if self.coming.is_kept() {
                self.replica.awaits(self.keeper.now());
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

    /// Takes in what is opened, with whatever else is.
    fn take(&mut self, mut lot: Lot) {
        while lot.len() < BATCH
            && let Some(more) = self.coming.ready()
        {
            lot.extend(more);
        }
        if let Err(error) = self.receive(lot) {
            // It comes again: the broker keeps it, and digests tell.
            tracing::error!(%error, help = error.advice(), "what the fleet sent could not be stored");
        }
    }

    /// Birth: subscriptions, its configuration, and what changed while nobody was connected.
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
        self.introduce = Some(now.mono + INTRODUCE);
        (self.begun, self.kept) = (now.mono, now.mono);
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
        if self.introduce.is_some_and(|due| due <= now.mono) {
            self.introduce_itself();
        }
        if !self.filled && self.replica.is_filled() {
            self.filled = true;
            let documents = self.keeper.stats.documents.load(Ordering::Relaxed);
            let seconds = (self.kept - self.begun) as f64 / 1000.0;
            tracing::info!(documents, seconds, "all that the broker keeps has come");
        }
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
}
