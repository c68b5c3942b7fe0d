use std::{cmp::Reverse, collections::BinaryHeap, rc::Rc};

use facegate_fleet::{
    Now,
    sync::{Action, Publish},
    topic::Topic,
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{
    broker::{Broker, Message},
    door::{Door, Traffic},
    plan::{HOUR, MINUTE, Plan, SECOND},
    report::Report,
    setup::{DISTANCES, Site, site, voucher},
    shared::{Shared, Store, Version},
};

/// How many messages of a bulk arrive at once.
const CHUNK: usize = 128;

/// How long doors are watched at rest.
const REST: u64 = 2 * HOUR;

enum Event {
    /// Somebody changes somebody, at a door.
    Change {
        door: usize,
        place: usize,
    },
    /// A door's message arrives at the broker.
    ToBroker {
        door: usize,
        connection: u32,
        publish: Box<Publish>,
        state: Option<(usize, Version)>,
    },
    /// A message arrives at all doors of a distance.
    Arrive {
        message: Rc<Message>,
        distance: usize,
    },
    /// At one.
    ArriveAt {
        message: Rc<Message>,
        door: usize,
        connection: u32,
    },
    /// The rest of what the broker had kept, for all or for a door that was away.
    Bulk {
        messages: Rc<Vec<Rc<Message>>>,
        retained: bool,
        from: usize,
        door: usize,
        connection: u32,
    },
    Tick {
        door: usize,
    },
    Connect {
        door: usize,
    },
    Disconnect {
        door: usize,
    },
    /// The broker forgets a door's session.
    Expire {
        door: usize,
    },
    Revoke {
        door: usize,
    },
    /// Looks whether all are alike.
    Look,
    /// Ends it.
    End,
}

struct Planned(u64, u64, Event);

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub struct Run<'a> {
    plan: &'a Plan,
    site: Site,
    doors: Vec<Door>,
    broker: Broker,
    shared: Shared,
    /// What is to come of all changes.
    truth: Vec<Version>,
    events: BinaryHeap<Reverse<Planned>>,
    count: u64,
    time: u64,
    rng: SmallRng,
    report: Report,
    /// When all changes and troubles are over.
    calm: u64,
    second: (u64, u64),
    at_rest: Option<(u64, u64, u64)>,
}

impl<'a> Run<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let (site, doors, broker, shared) = site(plan);
        let report = Report {
            plan: plan.describe(),
            doors: plan.doors,
            subjects: plan.subjects,
            changes: 0,
            documents: 0,
            digests: 0,
            receipts: 0,
            resubscriptions: 0,
            dropped: 0,
            lost: 0,
            refused: 0,
            differing: 0,
            converged: None,
            right: false,
            broker_in: (0, 0),
            broker_out: (0, 0),
            peak_out: 0,
            kept: (0, 0),
            door_in: 0,
            door_out: 0,
            filling: 0,
            idle_out: 0,
            idle_in: 0,
            time: 0,
        };
        let mut this = Self {
            plan,
            site,
            doors,
            broker,
            shared,
            truth: vec![0; plan.subjects],
            events: BinaryHeap::new(),
            count: 0,
            time: 0,
            rng: SmallRng::seed_from_u64(plan.seed ^ 0x5ea),
            report,
            calm: 0,
            second: (0, 0),
            at_rest: None,
        };
        this.foresee();
        this
    }

    /// Plans everything that people do and that befalls the doors.
    fn foresee(&mut self) {
        let plan = self.plan;
        for door in 0..plan.doors {
            self.at(self.time_of(0, 10 * SECOND), Event::Connect { door });
        }
        let begin = MINUTE;
        for place in 0..plan.subjects {
            let event = Event::Change { door: self.someone(0), place };
            self.at(self.time_of(begin, plan.enrolling), event);
        }
        let churn = begin + plan.enrolling + MINUTE;
        // The last door is revoked in the middle, and changes nothing in the minutes before.
        let revoked = plan.doors - 1;
        self.at(churn + plan.churning / 2, Event::Revoke { door: revoked });
        for _ in 0..plan.changes {
            // A few are changed again and again, at several doors.
            let few = self.rng.random_range(0..4) == 0;
            let place = self.rng.random_range(0..if few { plan.subjects.div_ceil(500) } else { plan.subjects });
            let event = Event::Change { door: self.someone(1), place };
            self.at(self.time_of(churn, plan.churning), event);
        }
        let cut_off = churn + plan.churning / 4;
        for door in 0..plan.doors - 1 {
            if door % plan.cut_off_one_in == 3 {
                self.at(cut_off, Event::Disconnect { door });
                self.at(self.time_of(cut_off + plan.churning / 4, 20 * SECOND), Event::Connect { door });
            } else if door % plan.off_one_in == 7 {
                let from = self.time_of(churn, plan.churning / 2);
                self.at(from, Event::Disconnect { door });
                // Half of them for so long that the broker has forgotten them.
                if self.rng.random() {
                    self.at(from + SECOND, Event::Expire { door });
                }
                self.at(self.time_of(from + MINUTE, plan.churning / 2), Event::Connect { door });
            }
        }
        for door in plan.doors..self.doors.len() {
            self.at(self.time_of(churn, plan.churning), Event::Connect { door });
        }
        self.calm = churn + plan.churning + MINUTE;
        self.at(self.calm, Event::Look);
        self.at(self.calm + plan.patience, Event::End);
    }

    fn time_of(&self, from: u64, within: u64) -> u64 {
        // From the seed and the number of the event, so that the order of calls does not matter to the reader.
        from + SmallRng::seed_from_u64(self.plan.seed ^ (self.count + 1).wrapping_mul(0x9e37_79b9))
            .random_range(0..=within)
    }

    /// A door that people use; `spare` of the last are left out.
    fn someone(&mut self, spare: usize) -> usize {
        self.rng.random_range(0..self.plan.doors - spare)
    }

    /// Whether something befalls that happens so often in a million.
    fn chance(&mut self, in_a_million: u32) -> bool {
        self.rng.random_range(0..1_000_000) < in_a_million
    }

    fn at(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.events.push(Reverse(Planned(time, self.count, event)));
    }

    pub fn run(mut self) -> Report {
        while let Some(Reverse(Planned(time, _, event))) = self.events.pop() {
            self.time = time;
            if matches!(event, Event::End) || self.at_rest.is_some_and(|(since, ..)| time > since + REST) {
                break;
            }
            self.happen(event);
        }
        self.conclude()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Change { door, place } => self.change(door, place),
            Event::ToBroker { door, connection, publish, state } => {
                self.reach_broker(door, connection, &publish, state)
            }
            Event::Arrive { message, distance } => {
                for door in 0..self.doors.len() {
                    if self.doors[door].distance == distance {
                        self.deliver(door, &message);
                    }
                }
            }
            Event::ArriveAt { message, door, connection } => {
                if self.doors[door].connected && self.doors[door].connection == connection {
                    self.receive(door, &message, false);
                }
            }
            Event::Bulk { messages, retained, from, door, connection } => {
                if self.doors[door].connected && self.doors[door].connection == connection {
                    self.bulk(messages, retained, from, door);
                }
            }
            Event::Tick { door } => {
                if self.doors[door].tick == Some(self.time) {
                    self.doors[door].tick = None;
                    let now = self.doors[door].now(self.time);
                    let (replica, mut store) = split(&mut self.doors[door], &mut self.shared);
                    let Ok(actions) = replica.tick(&mut store, now);
                    self.act(door, actions);
                }
            }
            Event::Connect { door } => self.connect(door),
            Event::Disconnect { door } => {
                let door = &mut self.doors[door];
                door.connected = false;
                door.connection += 1;
                door.replica.disconnected();
            }
            Event::Expire { door } => self.doors[door].session = None,
            Event::Revoke { door } => self.revoke(door),
            Event::Look => self.look(),
            Event::End => {}
        }
    }

    fn change(&mut self, door: usize, place: usize) {
        let time = self.time;
        let version = self.doors[door].change(&mut self.shared, place, time, &mut self.rng);
        self.report.changes += 1;
        let key = self.shared.keys[place];
        self.truth[place] = match self.truth[place] {
            0 => version,
            before => self.shared.merge(&key, before, version).0,
        };
        let now = self.doors[door].now(time);
        let (replica, mut store) = split(&mut self.doors[door], &mut self.shared);
        let Ok(actions) = replica.changed(&mut store, &[key], now);
        self.act(door, actions);
    }

    fn act(&mut self, door: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Publish(publish) => {
                    let place = publish.document.map(|key| self.shared.place(&key));
                    let state = place.map(|place| (place, self.doors[door].table.versions[place]));
                    match place {
                        Some(_) => self.report.documents += 1,
                        None if publish.topic.contains("/digests/") => self.report.digests += 1,
                        None => self.report.receipts += 1,
                    }
                    self.doors[door].sent.count(publish.topic.len() + publish.payload.len() + 7);
                    let mut delay = DISTANCES[self.doors[door].distance];
                    // What is not acknowledged is sent again.
                    while self.chance(self.plan.lost) {
                        delay += 5 * SECOND;
                    }
                    let connection = self.doors[door].connection;
                    self.at(self.time + delay, Event::ToBroker { door, connection, publish: Box::new(publish), state });
                }
                Action::Resubscribe(filter) => {
                    let bucket = filter.strip_suffix("/+").and_then(|filter| filter.rsplit_once("/subjects/"));
                    let Some((_, bucket)) = bucket else { continue };
                    let bucket = u8::from_str_radix(bucket, 16).expect("a bucket");
                    self.report.resubscriptions += 1;
                    let messages = self.broker.kept_in(bucket, |place| self.shared.keys[place].bucket());
                    let connection = self.doors[door].connection;
                    let event = Event::Bulk { messages: Rc::new(messages), retained: true, from: 0, door, connection };
                    self.at(self.time + DISTANCES[self.doors[door].distance], event);
                }
                Action::Tell(_) | Action::Registry => {}
                Action::TooLarge(key) => panic!("{key} is too large"),
            }
        }
        let door_at = &mut self.doors[door];
        if let Some(due) = door_at.replica.due() {
            let due = due.max(self.time);
            if door_at.tick.is_none_or(|tick| due < tick) {
                door_at.tick = Some(due);
                self.at(due, Event::Tick { door });
            }
        }
    }

    fn reach_broker(&mut self, door: usize, connection: u32, publish: &Publish, state: Option<(usize, Version)>) {
        if self.doors[door].connection != connection {
            return;
        }
        let now = Now { wall: 0, mono: self.time, trusted: false };
        let message = self.broker.take(publish, state.map(|(place, _)| place), now);
        if let Some((place, version)) = state
            && self.doors[door].table.versions[place] == version
        {
            self.doors[door].dirty.remove(&place);
        }
        if let Some(message) = message
            && !matches!(message.opened[0].topic, Topic::Receipt(..))
        {
            self.spread(message);
        }
    }

    fn spread(&mut self, message: Rc<Message>) {
        for (distance, delay) in DISTANCES.into_iter().enumerate() {
            self.at(self.time + delay, Event::Arrive { message: Rc::clone(&message), distance });
        }
    }

    /// A message comes to a door, or is kept for it, or goes astray.
    fn deliver(&mut self, door: usize, message: &Rc<Message>) {
        let to = &mut self.doors[door];
        if !to.connected {
            if let Some(session) = &mut to.session {
                if session.len() < self.plan.kept_for_away {
                    session.push(Rc::clone(message));
                } else {
                    self.report.dropped += 1;
                }
            }
            return;
        }
        let luck = self.rng.random_range(0..1_000_000);
        let Plan { lost, doubled, late, .. } = *self.plan;
        if luck < lost {
            self.report.lost += 1;
        } else if luck < lost + late {
            let connection = to.connection;
            let event = Event::ArriveAt { message: Rc::clone(message), door, connection };
            let delay = self.rng.random_range(0..3 * SECOND);
            self.at(self.time + delay, event);
        } else {
            self.receive(door, message, false);
            if luck >= 1_000_000 - doubled {
                self.receive(door, message, false);
            }
        }
    }

    fn receive(&mut self, door: usize, message: &Message, retained: bool) {
        self.count_out(door, message.bytes);
        let now = self.doors[door].now(self.time);
        let (replica, mut store) = split(&mut self.doors[door], &mut self.shared);
        let mut actions = Vec::new();
        let Ok(()) = replica.receive(&mut store, &message.opened, retained, now, &mut actions);
        self.act(door, actions);
    }

    fn count_out(&mut self, door: usize, bytes: usize) {
        self.doors[door].received.count(bytes);
        self.broker.sent.count(bytes);
        if self.second.0 != self.time / SECOND {
            self.second = (self.time / SECOND, 0);
        }
        self.second.1 += 1;
        self.report.peak_out = self.report.peak_out.max(self.second.1);
    }

    fn bulk(&mut self, messages: Rc<Vec<Rc<Message>>>, retained: bool, from: usize, door: usize) {
        let to = (from + CHUNK).min(messages.len());
        let mut bytes = 0;
        for message in &messages[from..to] {
            bytes += message.bytes as u64;
            self.receive(door, message, retained);
        }
        if to < messages.len() {
            let connection = self.doors[door].connection;
            let event = Event::Bulk { messages, retained, from: to, door, connection };
            self.at(self.time + bytes * SECOND / self.plan.link, event);
        }
    }

    fn connect(&mut self, door: usize) {
        let now = self.doors[door].now(self.time);
        let device = self.doors[door].replica.identity().device.clone();
        let session = self.doors[door].session.take();
        let resumed = session.is_some();
        let messages = session.unwrap_or_else(|| self.broker.kept(device.as_str()));
        let to = &mut self.doors[door];
        to.connected = true;
        to.connection += 1;
        // Kept from now on.
        to.session = Some(Vec::new());
        let connection = to.connection;
        let dirty: Vec<_> = to.dirty.iter().map(|&place| self.shared.keys[place]).collect();
        let (replica, mut store) = split(to, &mut self.shared);
        replica.connected(&mut store, resumed, now);
        let Ok(actions) = replica.changed(&mut store, &dirty, now);
        self.act(door, actions);
        let delay = DISTANCES[self.doors[door].distance];
        let event = Event::Bulk { messages: Rc::new(messages), retained: !resumed, from: 0, door, connection };
        self.at(self.time + delay, event);
    }

    fn revoke(&mut self, door: usize) {
        let key = self.doors[door].replica.identity().key.clone();
        self.doors[door].revoked = true;
        let message = voucher(door, &key, 2, true).sign(&self.site.name, &self.site.key);
        let topic = Topic::Device(self.doors[door].replica.identity().device.clone()).of(&self.site.name);
        let publish = Publish { topic, payload: message, retain: true, expiry: None, document: None };
        let now = Now { wall: 0, mono: self.time, trusted: false };
        let message = self.broker.take(&publish, None, now).expect("the site signed it");
        self.spread(message);
    }

    /// How many doors have not what the first has.
    fn differing(&self) -> usize {
        let root = |door: &Door| (door.table.summary.root(), door.table.summary.count());
        let first = root(&self.doors[0]);
        self.doors.iter().filter(|door| !door.revoked && root(door) != first).count()
    }

    fn look(&mut self) {
        let differing = self.differing();
        if self.time == self.calm {
            self.report.differing = differing;
        }
        if differing > 0 {
            self.at(self.time + SECOND, Event::Look);
            return;
        }
        let sum = |traffic: fn(&Door) -> Traffic| self.doors.iter().map(|door| traffic(door).bytes).sum::<u64>();
        let (sent, received) = (sum(|door| door.sent), sum(|door| door.received));
        self.report.converged = Some(self.time - self.calm);
        // What lives: a door that missed an embedding and its removal need not know of the removal.
        let hashes =
            |versions: &[Version]| versions.iter().map(|version| self.shared.hash(*version)).collect::<Vec<_>>();
        let truth = hashes(&self.truth);
        let mut trusted = self.doors.iter().filter(|door| !door.revoked);
        self.report.right = trusted.all(|door| hashes(&door.table.versions) == truth);
        self.at_rest = Some((self.time, sent, received));
        let joined = &self.doors[self.plan.doors..];
        self.report.filling = joined.iter().map(|door| door.received.bytes).sum::<u64>() / joined.len().max(1) as u64;
        self.at(self.time + REST + 1, Event::End);
    }

    fn conclude(mut self) -> Report {
        let doors = self.doors.len() as u64;
        let sum = |traffic: fn(&Door) -> Traffic| self.doors.iter().map(|door| traffic(door).bytes).sum::<u64>();
        let (sent, received) = (sum(|door| door.sent), sum(|door| door.received));
        self.report.refused =
            self.broker.refused + self.doors.iter().map(|door| door.replica.refusals().total()).sum::<u64>();
        if let Some((since, sent_before, received_before)) = self.at_rest {
            let minutes = (self.time - since).max(1) as f64 / MINUTE as f64;
            let a_minute = |bytes: u64| (bytes as f64 / doors as f64 / minutes).ceil() as u64;
            self.report.idle_out = a_minute(sent - sent_before);
            self.report.idle_in = a_minute(received - received_before);
            // It must last.
            self.report.right &= self.differing() == 0;
        }
        let mut report = self.report;
        report.broker_in = (self.broker.received.messages, self.broker.received.bytes);
        report.broker_out = (self.broker.sent.messages, self.broker.sent.bytes);
        report.kept = self.broker.size();
        (report.door_in, report.door_out) = (received / doors, sent / doors);
        report.time = self.time;
        report
    }
}

fn split<'s>(
    door: &'s mut Door,
    shared: &'s mut Shared,
) -> (&'s mut facegate_fleet::sync::Replica<chacha20::ChaCha8Rng>, Store<'s>) {
    (&mut door.replica, Store { shared, table: &mut door.table })
}
