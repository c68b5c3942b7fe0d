//! `cargo run --release -p facegate-fleet --example fleet-sizes`: how large messages are, and what a door at rest sends.

#[path = "../tests/site/mod.rs"]
mod site;

use facegate_fleet::{
    document::Summary,
    keys::{Nonce, Root, Session},
    sync::Timing,
    topic::Topic,
    voucher::Role,
    wire::{
        self, Answer, Buckets, Class, Command, Digest, DoorStatus, Event, Message, Order, Outcome, Receipt, Status,
        Telemetry, V1,
    },
};
use serde_json::json;
use site::{NOW, Site, name, published};

/// MQTT's fixed header, the topic's length and the packet's number.
const MQTT: usize = 7;
/// A TLS 1.3 record: header, content type, tag.
const TLS: usize = 22;
/// IPv4 and TCP with timestamps.
const TCP_IP: usize = 52;

struct Sizes {
    site: Site,
    timing: Timing,
}

impl Sizes {
    fn of<M: Message>(&self, label: &str, topic: &Topic, message: &M) -> usize {
        let key = self.site.key(message.by().as_str());
        let payload = wire::write(message, &self.site.name, topic, key).expect("within its limit").len();
        self.tell(label, self.site.topic(topic).len(), payload)
    }

    fn tell(&self, label: &str, topic: usize, payload: usize) -> usize {
        println!("{label:<38} {payload:>7} B, {:>7} B with its topic and MQTT's own", payload + topic + MQTT);
        payload + topic + MQTT
    }

    fn documents(&self) {
        for embeddings in [1, 5] {
            let mut door = self.site.door("a", &self.timing);
            door.connect(NOW);
            let mut now = NOW;
            for id in 0..embeddings {
                door.enrol(&self.site, "jane.doe@example.com", id, now);
            }
            let actions = door.pass(&mut now, NOW.mono + 60_000);
            let document = published(&actions).into_iter().find(|publish| publish.document.is_some()).expect("hers");
            self.tell(&format!("document, {embeddings} embeddings"), document.topic.len(), document.payload.len());
        }
    }

    /// Bytes that a message costs its sender: the packet, TCP's acknowledgement of the broker's answer.
    fn sent(&self, message: usize) -> f64 {
        (message + TLS + TCP_IP + TCP_IP) as f64
    }
}

fn main() {
    let sizes = Sizes { site: Site::new(), timing: Timing::default() };
    let a = || name("a");
    sizes.documents();
    let voucher = sizes.site.voucher("a", sizes.site.key("a"), Role::Door, 1, false);
    let topic = Topic::Device(a());
    sizes.tell("voucher", sizes.site.topic(&topic).len(), voucher.sign(&sizes.site.name, &sizes.site.key).len());
    let door = DoorStatus {
        name: "front".into(),
        mode: "normal".into(),
        locked: true,
        open: Some(false),
        camera: true,
        alarms: Vec::new(),
    };
    let status = Status {
        v: V1,
        by: a(),
        online: true,
        at: NOW.wall,
        session: Session([1; 16]),
        version: "0.1.0".into(),
        model: Some("door".into()),
        doors: vec![door],
        needs_enrolling_again: 0,
        filling: None,
    };
    sizes.of("status, one door", &Topic::Status(a()), &status);
    let digest = |buckets| Digest {
        v: V1,
        by: a(),
        at: NOW.wall,
        documents: 100_000,
        root: Root([7; 16]),
        buckets,
        checked: None,
    };
    let plain = sizes.of("digest", &Topic::Digest(a()), &digest(None));
    sizes.of("digest with buckets", &Topic::Digest(a()), &digest(Some(Buckets::of(&Summary::default()))));
    let details = json!({ "subject": "jane.doe@example.com", "similarity": 0.8523, "track": 17 });
    let event = Event {
        v: V1,
        by: a(),
        queue: Nonce([1; 16]),
        seq: 123_456,
        at: NOW.wall,
        class: Class::Routine,
        kind: "granted".into(),
        door: Some("front".into()),
        dropped: 0,
        details: details.as_object().cloned().unwrap_or_default(),
    };
    sizes.of("event", &Topic::Event(a()), &event);
    let figures =
        (0..20).map(|number| (format!("figure_{number:02}_seconds_total"), f64::from(number) * 1234.5)).collect();
    let telemetry =
        sizes.of("telemetry, 20 figures", &Topic::Telemetry(a()), &Telemetry { v: V1, by: a(), at: NOW.wall, figures });
    let command = Command {
        v: V1,
        by: name("op"),
        role: Role::Operator,
        to: a(),
        id: "0198f0a2-0000-7000-8000-000000000000".into(),
        nonce: Nonce([1; 16]),
        session: Session([1; 16]),
        issued: NOW.wall,
        expires: NOW.wall + 10_000,
        order: Order::Unlock { door: Some("front".into()), exit: false },
    };
    sizes.of("command", &Topic::Command(a()), &command);
    let answer = Answer {
        v: V1,
        by: a(),
        to: name("op"),
        id: command.id.clone(),
        at: NOW.wall,
        outcome: Outcome::Done,
        code: None,
        message: None,
    };
    sizes.of("answer", &Topic::Answer(a()), &answer);
    let receipt =
        Receipt { v: V1, by: a(), at: NOW.wall, erased_ms: NOW.wall, erased_counter: 0, erased_by: name("b") };
    sizes.of("receipt", &Topic::Receipt(a(), sizes.site.subject_key("x")), &receipt);

    let a_minute = |every: u64| 60_000.0 / every as f64;
    let timing = &sizes.timing;
    let digests = sizes.sent(plain) * a_minute(timing.digest * 95 / 100);
    let figures = sizes.sent(telemetry) * a_minute(timing.telemetry);
    let pings = sizes.sent(2) * a_minute(timing.keep_alive);
    println!(
        "\na door at rest sends in a minute, with TLS, TCP and IP ({TLS} and {TCP_IP} bytes a packet, estimated):"
    );
    println!(
        "  digests {digests:.0} B + telemetry {figures:.0} B + pings {pings:.0} B = {:.0} B",
        digests + figures + pings
    );
}
