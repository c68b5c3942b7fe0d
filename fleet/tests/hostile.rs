//! Whatever a broker, or somebody inside it, sends: what is not signed by a device of the site, for its own topic, in its
//! form, changes nothing and is counted.

mod site;

use facegate_fleet::{
    document::{DocumentKey, Kind},
    keys::{Nonce, Root, SecretKey, Session},
    refusal::Cause,
    seal,
    sync::{Documents as _, Timing},
    topic::Topic,
    voucher::Role,
    wire::{
        self, Answer, Class, Command, ConfigReport, ConfigState, Digest, Event, Message, Order, Outcome, Receipt,
        Sealed, Status, Telemetry, V1,
    },
};
use proptest::prelude::*;
use site::{Door, NOW, Site, name, published, rng};

/// One good message on every topic that a site has, by those who may send it.
fn good(site: &Site) -> Vec<(Topic, Vec<u8>)> {
    fn signed<M: Message>(site: &Site, topic: Topic, message: &M) -> (Topic, Vec<u8>) {
        let by = message.by().to_string();
        let bytes = wire::write(message, &site.name, &topic, site.key(&by)).expect("it is small");
        (topic, bytes)
    }
    let a = || name("a");
    let mut door = site.door("a", &Timing::default());
    door.connect(NOW);
    let mut now = NOW;
    door.enrol(site, "mara", 1, now);
    let actions = door.pass(&mut now, NOW.mono + 60_000);
    let published = published(&actions);
    let document = published.iter().find(|publish| publish.document.is_some()).expect("the enrolment");
    let key = site.subject_key("mara");
    let voucher = site.voucher("a", site.key("a"), Role::Door, 2, false);
    vec![
        (Topic::Device(a()), voucher.sign(&site.name, &site.key)),
        (Topic::Document(Kind::Subject, key), document.payload.clone()),
        signed(
            site,
            Topic::Status(a()),
            &Status {
                v: V1,
                by: a(),
                online: true,
                at: 1,
                session: Session([1; 16]),
                version: "1".into(),
                model: None,
                doors: Vec::new(),
                needs_enrolling_again: 0,
                filling: None,
            },
        ),
        signed(
            site,
            Topic::Digest(a()),
            &Digest { v: V1, by: a(), at: 1, documents: 1, root: Root([1; 16]), buckets: None, checked: None },
        ),
        signed(
            site,
            Topic::Event(a()),
            &Event {
                v: V1,
                by: a(),
                queue: Nonce([1; 16]),
                seq: 1,
                at: 1,
                class: Class::Alarm,
                kind: "forced".into(),
                door: None,
                dropped: 0,
                details: Default::default(),
            },
        ),
        signed(site, Topic::Telemetry(a()), &Telemetry { v: V1, by: a(), at: 1, figures: Default::default() }),
        signed(site, Topic::Command(a()), &command("op", Role::Operator, Order::Unlock { door: None, exit: false })),
        signed(
            site,
            Topic::Answer(a()),
            &Answer {
                v: V1,
                by: a(),
                to: name("op"),
                id: "1".into(),
                at: 1,
                outcome: Outcome::Done,
                code: None,
                message: None,
            },
        ),
        signed(
            site,
            Topic::Receipt(a(), key),
            &Receipt { v: V1, by: a(), at: 1, erased_ms: 1, erased_counter: 0, erased_by: name("b") },
        ),
        signed(
            site,
            Topic::Config(a()),
            &ConfigReport {
                v: V1,
                by: a(),
                at: 1,
                revision: None,
                state: ConfigState::Kept,
                digest: "0".repeat(64),
                why: None,
            },
        ),
    ]
}

fn command(by: &str, role: Role, order: Order) -> Command {
    Command {
        v: V1,
        by: name(by),
        role,
        to: name("a"),
        id: "1".into(),
        nonce: Nonce([1; 16]),
        session: Session([1; 16]),
        issued: NOW.wall,
        expires: NOW.wall + 1000,
        order,
    }
}

/// A door that knows one person, and what it holds.
fn known(site: &Site) -> (Door, u128) {
    let mut door = site.door("b", &Timing::default());
    door.connect(NOW);
    door.enrol(site, "jonas", 9, NOW);
    let root = door.memory.summary().root();
    (door, root)
}

fn root(door: &Door) -> u128 {
    door.memory.summary().root()
}

#[test]
fn what_is_good_on_every_topic_is_believed() {
    let site = Site::new();
    for (topic, payload) in good(&site) {
        let (mut door, before) = known(&site);
        let (refusal, _) = door.receive(&site.topic(&topic), &payload, NOW);
        assert_eq!(refusal, None, "{topic:?}");
        assert_eq!(root(&door) != before, matches!(topic, Topic::Document(..)), "{topic:?}");
    }
}

#[test]
fn a_message_is_believed_on_its_own_topic_alone() {
    let site = Site::new();
    let all = good(&site);
    for (_, payload) in &all {
        for (topic, own) in &all {
            let (mut door, before) = known(&site);
            let (refusal, _) = door.receive(&site.topic(topic), payload, NOW);
            assert_eq!(refusal.is_none(), payload == own, "{topic:?}");
            assert!(payload == own || root(&door) == before);
        }
    }
}

#[test]
fn every_kind_of_bad_message_is_refused_counted_and_told_once() {
    let site = Site::new();
    let stranger = SecretKey::random(&mut rng(99));
    for (topic, payload) in good(&site) {
        let text = site.topic(&topic);
        let object = |payload: &[u8]| {
            facegate_fleet::sign::Signed::split(&text, payload).expect("it is signed").object().to_vec()
        };
        let mut bent = payload.clone();
        bent[3] ^= 1;
        let forged = facegate_fleet::sign::sign(&stranger, &text, &object(&payload));
        let mut cases = vec![
            (vec![b'x'; wire::limit(&topic) + 1], Cause::Oversized),
            (b"garbage".to_vec(), Cause::Unsigned),
            (object(&payload), Cause::Unsigned),
            (forged, Cause::Forged),
        ];
        let signer = match &topic {
            Topic::Device(_) => &site.key,
            Topic::Command(_) => site.key("op"),
            _ => site.key("a"),
        };
        let by = if matches!(topic, Topic::Command(_)) { "op" } else { "a" };
        let formless = facegate_fleet::sign::sign(signer, &text, format!("{{\"by\":\"{by}\"}}").as_bytes());
        cases.push((formless, Cause::Schema));
        let unknown = facegate_fleet::sign::sign(&stranger, &text, b"{\"by\":\"nobody\",\"v\":1}");
        cases.push((unknown, if matches!(topic, Topic::Device(_)) { Cause::Forged } else { Cause::Unknown }));
        let observer = facegate_fleet::sign::sign(site.key("eye"), &text, b"{\"by\":\"eye\",\"v\":1}");
        let cause = match &topic {
            Topic::Device(_) => Cause::Forged,
            Topic::Command(_) | Topic::Document(..) => Cause::Role,
            _ => Cause::WrongDevice,
        };
        cases.push((observer, cause));
        for (payload, cause) in cases {
            let (mut door, before) = known(&site);
            for again in 0..3 {
                let (refusal, told) = door.receive(&text, &payload, NOW);
                assert_eq!(refusal.map(|refusal| refusal.cause), Some(cause), "{topic:?}");
                assert_eq!(told.len(), usize::from(again == 0), "told once");
            }
            assert_eq!((door.replica.refusals().of(cause), root(&door)), (3, before));
        }
    }
}

#[test]
fn a_command_whose_name_is_empty_or_too_long_is_not_of_its_form() {
    let site = Site::new();
    let topic = Topic::Command(name("a"));
    for (length, cause) in [(0, Some(Cause::Schema)), (1, None), (64, None), (65, Some(Cause::Schema))] {
        let order = Order::Unlock { door: None, exit: false };
        let command = Command { id: "x".repeat(length), ..command("op", Role::Operator, order) };
        let payload = wire::write(&command, &site.name, &topic, site.key("op")).expect("it is small");
        let opened = site.opener().open(&site.topic(&topic), &payload, NOW);
        assert_eq!(opened.err().map(|refusal| refusal.cause), cause, "{length} bytes");
    }
}

#[test]
fn a_sealed_document_is_believed_under_its_own_key_alone() {
    let site = Site::new();
    let (mut door, before) = known(&site);
    let elsewhere = Topic::Document(Kind::Subject, DocumentKey::from_bytes([5; 16]));
    let text = site.topic(&elsewhere);
    let document = facegate_fleet::document::SubjectDocument::new("acme", "mara");
    let bytes = facegate_fleet::document::Document::Subject(document).to_bytes().expect("it is small");
    let sealed = |key: &facegate_fleet::keys::SealingKey, about: &str| {
        let seal = seal::seal(key, about, &bytes, &mut rng(1));
        wire::write(&Sealed { v: V1, by: name("a"), seal }, &site.name, &elsewhere, site.key("a")).expect("it is small")
    };
    let cause = |door: &mut Door, payload: &[u8]| door.receive(&text, payload, NOW).0.map(|refusal| refusal.cause);
    assert_eq!(cause(&mut door, &sealed(&site.sealing, &text)), Some(Cause::Document), "another's key");
    assert_eq!(cause(&mut door, &sealed(&site.sealing, "elsewhere")), Some(Cause::Seal), "sealed for another topic");
    let other = facegate_fleet::keys::SealingKey::from_bytes([3; 32]);
    assert_eq!(cause(&mut door, &sealed(&other, &text)), Some(Cause::Seal), "another site's secret");
    assert_eq!(root(&door), before);
}

#[test]
fn a_broker_learns_neither_names_nor_templates() {
    let site = Site::new();
    for (topic, payload) in good(&site).into_iter().filter(|(topic, _)| matches!(topic, Topic::Document(..))) {
        let text = format!("{}{}", site.topic(&topic), String::from_utf8_lossy(&payload));
        assert!(!text.contains("mara") && !text.contains("acme"));
    }
    let secret = seal::BoxSecret::random(&mut rng(5));
    let sealed = seal::seal_to(&secret.public(), "site key", b"secret", &mut rng(6)).expect("a good key");
    assert_eq!(secret.open("site key", &sealed).as_deref().map(Vec::as_slice), Some(&b"secret"[..]));
    assert!(secret.open("another context", &sealed).is_none());
    assert!(seal::BoxSecret::random(&mut rng(7)).open("site key", &sealed).is_none());
    assert!(seal::seal_to(&facegate_fleet::keys::BoxKey([0; 32]), "x", b"x", &mut rng(1)).is_none(), "a weak key");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Cut, bent, lengthened and made-up bytes on every topic.
    #[test]
    fn bytes_that_nobody_signed_change_nothing(
        at: prop::sample::Index,
        bit in 0u8..8,
        garbage in prop::collection::vec(any::<u8>(), 1..300),
        how in 0u8..4,
    ) {
        let site = Site::new();
        for (topic, payload) in good(&site) {
            let (mut door, before) = known(&site);
            let mut bytes = payload.clone();
            let place = at.index(bytes.len());
            match how {
                0 => bytes.truncate(place.max(1)),
                1 => bytes[place] ^= 1 << bit,
                2 => bytes.splice(place..place, garbage.iter().copied()).for_each(drop),
                _ => bytes.clone_from(&garbage),
            }
            let (refusal, _) = door.receive(&site.topic(&topic), &bytes, NOW);
            prop_assert!(refusal.is_some(), "{:?}", topic);
            prop_assert_eq!(root(&door), before);
            prop_assert_eq!(door.replica.refusals().total(), 1);
        }
    }
}
