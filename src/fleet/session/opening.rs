//! Messages on their way from the broker to the store: opened many at a time, beside the connection's thread. Signatures and seals
//! are most of the work of filling a door; while it stores what is opened, the next is being opened.
//!
//! They come out in the order in which they went in, so that what is told on one topic is taken in as it was told. What the site says
//! of devices counts for all that comes after it: a message behind a voucher is not opened before that was taken in.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use crossbeam_channel::{Receiver, Sender};
use facegate_fleet::{
    Now,
    open::{Opened, Opener},
    refusal::Refusal,
};
use tokio::sync::oneshot;

use crate::fleet::client::Message;

/// Threads that open messages, at most.
const OPENERS: usize = 4;

/// Messages that are opened in one go. While all threads have something to do, fewer wait for more.
const LOT: usize = 64;

/// So few messages are opened at once by whoever has them, where nothing else is on its way.
const FEW: usize = 16;

/// Messages on their way, at most; their bytes are bounded by the room that the connection has for them.
const MOST: usize = 2048;

/// Messages with what came of opening them, in the order in which they came.
pub(super) type Lot = Vec<(Message, Result<Opened, Refusal>)>;

/// Messages on their way.
pub(super) struct Coming {
    /// What the topics of vouchers begin with.
    vouchers: String,
    /// Came, and nobody has begun to open them.
    waiting: VecDeque<Message>,
    lots: VecDeque<Opening>,
    /// How many messages are in `lots`, and in how many of those there is a voucher.
    opening: usize,
    vouching: usize,
    /// Messages that the broker keeps.
    kept: usize,
    threads: Threads,
}

/// Messages that are being opened.
struct Opening {
    count: usize,
    vouches: bool,
    lot: Where,
}

enum Where {
    Here(Lot),
    Elsewhere(oneshot::Receiver<thread::Result<Lot>>),
}

/// Those who open. They are started when there is something to do for them, and end with the connection.
enum Threads {
    NotYet,
    Are { jobs: Sender<Job>, count: usize },
}

struct Job {
    opener: Opener,
    messages: Vec<Message>,
    now: Now,
    done: oneshot::Sender<thread::Result<Lot>>,
}

impl Coming {
    /// Nothing is on its way. `vouchers`: what the topics begin with on which the site vouches for devices.
    pub fn new(vouchers: String) -> Self {
        Self {
            vouchers,
            waiting: VecDeque::new(),
            lots: VecDeque::new(),
            opening: 0,
            vouching: 0,
            kept: 0,
            threads: Threads::NotYet,
        }
    }

    /// Whether one more message may come.
    pub fn has_room(&self) -> bool {
        self.waiting.len() + self.opening < MOST
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.lots.is_empty()
    }

    /// Whether something is that the broker keeps.
    pub fn is_kept(&self) -> bool {
        self.kept > 0
    }

    /// A message came.
    pub fn push(&mut self, message: Message) {
        self.kept += usize::from(message.retained);
        self.waiting.push_back(message);
    }

    /// Begins to open what came, as far as it may be opened already, by what is known of devices now.
    pub fn open(&mut self, opener: &Opener, now: Now) {
        loop {
            let (count, vouches) = self.next_lot();
            if count == 0 {
                return;
            }
            // What stands before a boundary waits for nothing more.
            let whole = count == LOT || count < self.waiting.len();
            if !whole && self.lots.len() >= self.threads.count() {
                return;
            }
            let messages: Vec<_> = self.waiting.drain(..count).collect();
            let lot = match self.lots.is_empty() && count < FEW {
                true => Where::Here(open(opener, messages, now)),
                false => self.threads.open(opener, messages, now),
            };
            self.opening += count;
            self.vouching += usize::from(vouches);
            self.lots.push_back(Opening { count, vouches, lot });
        }
    }

    /// How many of those that wait can be opened together now, and whether the site vouches in them.
    fn next_lot(&self) -> (usize, bool) {
        let mut vouches = false;
        let mut count = 0;
        for message in self.waiting.iter().take(LOT) {
            // A voucher is signed by the site itself: nothing that came before it matters.
            match message.topic.starts_with(&self.vouchers) {
                true => vouches = true,
                false if vouches || self.vouching > 0 => break,
                false => {}
            }
            count += 1;
        }
        (count, vouches)
    }

    /// The next that is opened, as soon as it is; never, where nothing is being opened. Take it in before the next call of
    /// [`open`](Self::open). Whoever stops waiting loses nothing.
    pub async fn next(&mut self) -> Lot {
        let Some(front) = self.lots.front_mut() else { return std::future::pending().await };
        if let Where::Elsewhere(opened) = &mut front.lot {
            front.lot = Where::Here(given(opened.await));
        }
        self.pop()
    }

    /// The same, where it is opened already.
    pub fn ready(&mut self) -> Option<Lot> {
        let front = self.lots.front_mut()?;
        if let Where::Elsewhere(opened) = &mut front.lot {
            match opened.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return None,
                opened => front.lot = Where::Here(given(opened)),
            }
        }
        Some(self.pop())
    }

    fn pop(&mut self) -> Lot {
        let Some(Opening { count, vouches, lot: Where::Here(lot) }) = self.lots.pop_front() else {
            unreachable!("whoever calls this has looked that it is here");
        };
        self.opening -= count;
        self.vouching -= usize::from(vouches);
        self.kept -= lot.iter().filter(|(message, _)| message.retained).count();
        lot
    }
}

/// What a thread gave. Where it panicked, so does whoever asked.
fn given<E>(opened: Result<thread::Result<Lot>, E>) -> Lot {
    match opened {
        Ok(Ok(lot)) => lot,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => panic!("a thread that opens messages is gone"),
    }
}

impl Threads {
    /// How many there are, or would be.
    fn count(&self) -> usize {
        match self {
            Self::NotYet => thread::available_parallelism().map_or(1, usize::from).min(OPENERS),
            Self::Are { count, .. } => *count,
        }
    }

    fn open(&mut self, opener: &Opener, messages: Vec<Message>, now: Now) -> Where {
        if let Self::NotYet = self {
            *self = Self::start(self.count());
        }
        let Self::Are { jobs, .. } = self else { unreachable!("they were started above") };
        let (done, opened) = oneshot::channel();
        match jobs.send(Job { opener: opener.clone(), messages, now, done }) {
            Ok(()) => Where::Elsewhere(opened),
            // The system starts no thread.
            Err(back) => Where::Here(open(opener, back.into_inner().messages, now)),
        }
    }

    fn start(count: usize) -> Self {
        let (jobs, theirs) = crossbeam_channel::unbounded();
        for number in 0..count {
            let theirs = theirs.clone();
            let started = thread::Builder::new().name(format!("fleet-open-{number}")).spawn(move || work(&theirs));
            if let Err(error) = started {
                tracing::warn!(%error, "a thread that opens the fleet's messages cannot be started");
            }
        }
        Self::Are { jobs, count }
    }
}

/// Opens what there is to be opened, until the connection is over. Its priority is that of the thread that started it.
fn work(jobs: &Receiver<Job>) {
    for Job { opener, messages, now, done } in jobs {
        if !done.is_closed() {
            // Nobody listens where the connection has ended meanwhile.
            let _ = done.send(catch_unwind(AssertUnwindSafe(|| open(&opener, messages, now))));
        }
    }
}

fn open(opener: &Opener, messages: Vec<Message>, now: Now) -> Lot {
    let open = |message: Message| {
        let opened = opener.open(&message.topic, &message.payload, now);
        (message, opened)
    };
    messages.into_iter().map(open).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use facegate_fleet::{
        Name,
        keys::SecretKey,
        open::Body,
        refusal::Cause,
        registry::Registry,
        topic::Topic,
        voucher::{Role, Voucher},
        wire::{self, Telemetry, V1},
    };

    use super::*;

    const NOW: Now = Now { wall: 1_780_000_000_000, mono: 1_000, trusted: true };

    /// A site that has vouched for nobody.
    struct Site {
        name: Name,
        key: SecretKey,
        opener: Opener,
    }

    impl Site {
        fn new() -> Self {
            let key = SecretKey::from_seed(&[1; 32]);
            let registry = Arc::new(Registry::new(key.public()));
            let name = name("hq");
            Self { opener: Opener { site: name.clone(), sealing: None, registry }, name, key }
        }

        fn coming(&self) -> Coming {
            Coming::new("facegate/v1/hq/devices/".into())
        }

        fn voucher(&self, device: &Name, key: &SecretKey) -> Message {
            let (device, key) = (device.clone(), key.public());
            let topic = Topic::Device(device.clone()).of(&self.name);
            let voucher = Voucher {
                v: V1,
                device,
                key,
                role: Role::Door,
                issued: 1,
                not_before: 0,
                expires: None,
                revoked: false,
            };
            Message::of(topic, voucher.sign(&self.name, &self.key))
        }

        /// The number-th of a device's messages, signed with this key.
        fn message(&self, device: &Name, key: &SecretKey, number: u64) -> Message {
            let topic = Topic::Telemetry(device.clone());
            let telemetry = Telemetry { v: V1, by: device.clone(), at: number, figures: Default::default() };
            let payload = wire::write(&telemetry, &self.name, &topic, key).expect("it is small");
            Message::of(topic.of(&self.name), payload)
        }

        /// Takes in the vouchers of a lot, as the connection does.
        fn take_in(&mut self, lot: &Lot) {
            for (_, opened) in lot {
                if let Ok(Opened { body: Body::Voucher(vouched), .. }) = opened {
                    Arc::make_mut(&mut self.opener.registry).take(Arc::clone(vouched));
                }
            }
        }
    }

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn number(opened: &Result<Opened, Refusal>) -> u64 {
        match opened {
            Ok(Opened { body: Body::Telemetry(telemetry), .. }) => telemetry.at,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_went_in_comes_out_in_its_order_and_what_is_forged_is_refused_alone() {
        let mut site = Site::new();
        let (front, key, other) = (name("front"), SecretKey::from_seed(&[2; 32]), SecretKey::from_seed(&[3; 32]));
        let mut coming = site.coming();
        coming.push(site.voucher(&front, &key));
        coming.open(&site.opener, NOW);
        let lot = coming.next().await;
        site.take_in(&lot);
        let forged = |number: u64| number % 97 == 5;
        let count = MOST as u64;
        for number in 0..count {
            assert!(coming.has_room());
            coming.push(site.message(&front, if forged(number) { &other } else { &key }, number));
            // Some lots are full, some are not.
            if number % 150 == 0 {
                coming.open(&site.opener, NOW);
            }
        }
        assert!(!coming.has_room() && coming.is_kept());
        let mut came = Vec::new();
        while !coming.is_empty() {
            coming.open(&site.opener, NOW);
            came.extend(coming.next().await);
            while let Some(lot) = coming.ready() {
                came.extend(lot);
            }
        }
        assert!(coming.has_room() && !coming.is_kept());
        assert_eq!(came.len() as u64, count);
        for (at, (_, opened)) in (0..count).zip(&came) {
            match forged(at) {
                true => assert_eq!(opened.as_ref().err().map(|refusal| refusal.cause), Some(Cause::Forged)),
                false => assert_eq!(number(opened), at),
            }
        }
    }

    #[tokio::test]
    async fn what_comes_behind_a_voucher_is_opened_by_it_and_not_before() {
        let mut site = Site::new();
        let (front, back) = (name("front"), name("back"));
        let keys = [SecretKey::from_seed(&[2; 32]), SecretKey::from_seed(&[3; 32])];
        let mut coming = site.coming();
        coming.push(site.message(&front, &keys[0], 0));
        coming.push(site.voucher(&front, &keys[0]));
        coming.push(site.voucher(&back, &keys[1]));
        for number in 1..=200 {
            coming.push(site.message(&front, &keys[0], number));
            coming.push(site.message(&back, &keys[1], number));
        }
        coming.open(&site.opener, NOW);
        let first = coming.next().await;
        assert_eq!(first.len(), 3, "one before them, and both at once");
        assert_eq!(first[0].1.as_ref().err().map(|refusal| refusal.cause), Some(Cause::Unknown));
        assert!(coming.ready().is_none() && !coming.is_empty(), "nothing else is opened yet");
        site.take_in(&first);
        let mut came = Vec::new();
        while !coming.is_empty() {
            coming.open(&site.opener, NOW);
            came.extend(coming.next().await);
        }
        let numbers: Vec<_> = came.iter().map(|(_, opened)| number(opened)).collect();
        assert_eq!(numbers, (1..=200).flat_map(|number| [number, number]).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_message_alone_is_opened_at_once_and_whoever_stops_waiting_loses_nothing() {
        let site = Site::new();
        let mut coming = site.coming();
        coming.push(Message::of("elsewhere", Vec::new()));
        coming.open(&site.opener, NOW);
        assert_eq!(coming.ready().map(|lot| lot.len()), Some(1));
        for _ in 0..100 {
            coming.push(Message::of("elsewhere", Vec::new()));
        }
        coming.open(&site.opener, NOW);
        let mut came = 0;
        while !coming.is_empty() {
            tokio::select! {
                biased;
                lot = coming.next() => came += lot.len(),
                () = tokio::task::yield_now() => {}
            }
            coming.open(&site.opener, NOW);
        }
        assert_eq!(came, 100);
    }
}
