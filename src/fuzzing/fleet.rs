//! What a broker, or somebody inside it, sends: any bytes on any topic of a site; what one of its devices signed, in whatever
//! form; and documents that one of its doors sealed. A door takes it in or refuses it, and what it publishes then, others
//! believe.

use std::sync::{Arc, OnceLock};

use facegate_fleet::{
    Name, Now,
    command::Inbox,
    document::{Document, DocumentKey, Kind},
    keys::{SealingKey, SecretKey, Session},
    open::{Body, Opened, Opener, Signer},
    registry::Registry,
    seal, sign,
    sync::{Action, Documents as _, Identity, Memory, Replica, Timing},
    topic::Topic,
    voucher::{Role, Voucher},
    wire::{self, Sealed, V1},
};

const NOW: Now = Now { wall: 1_780_000_000_000, mono: 1_000, trusted: true };

/// The connection for which commands are meant.
const SESSION: Session = Session([1; 16]);

/// A site with a door `a`, the door `b` that is sent everything, and an operator `op`.
struct Site {
    name: Name,
    key: SecretKey,
    sealing: SealingKey,
    opener: Opener,
}

impl Site {
    fn get() -> &'static Self {
        static SITE: OnceLock<Site> = OnceLock::new();
        SITE.get_or_init(|| {
            let (key, sealing) = (SecretKey::from_seed(&[1; 32]), SealingKey::from_bytes([2; 32]));
            let site = name("hq");
            let mut registry = Registry::new(key.public());
            for (device, role) in [("a", Role::Door), ("b", Role::Door), ("op", Role::Operator)] {
                let device = name(device);
                let public = device_key(&device).public();
                let voucher = Voucher {
                    v: V1,
                    device,
                    key: public,
                    role,
                    issued: 1,
                    not_before: 0,
                    expires: None,
                    revoked: false,
                };
                let message = voucher.sign(&site, &key).into();
                registry.take(Arc::new(facegate_fleet::voucher::Vouched { voucher, message }));
            }
            let opener = Opener { site: site.clone(), sealing: Some(sealing.clone()), registry: Arc::new(registry) };
            Self { name: site, key, sealing, opener }
        })
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn device_key(device: &Name) -> SecretKey {
    SecretKey::from_seed(&[device.as_str().as_bytes()[0]; 32])
}

fn topic(number: u8, key: DocumentKey) -> Topic {
    let a = || name("a");
    match number % 12 {
        0 => Topic::Device(a()),
        1 => Topic::Status(a()),
        2 => Topic::Digest(a()),
        3 => Topic::Event(a()),
        4 => Topic::Telemetry(a()),
        5 => Topic::Command(name("b")),
        6 => Topic::Answer(a()),
        7 => Topic::Receipt(a(), key),
        8 => Topic::Config(a()),
        kind => Topic::Document(Kind::ALL[usize::from(kind) - 9], key),
    }
}

/// The first byte says what is done with what follows the second, which says for which topic.
pub fn message(bytes: &[u8]) {
    let Some((&[how, number], rest)) = bytes.split_first_chunk::<2>() else { return };
    let site = Site::get();
    let somewhere = DocumentKey::from_bytes([0xab; 16]);
    match how % 4 {
        0 => deliver(site, &topic(number, somewhere), rest),
        1 if rest.starts_with(b"{\"") && rest.ends_with(b"}") => {
            let topic = topic(number, somewhere);
            let key = match &topic {
                Topic::Device(_) => &site.key,
                Topic::Command(_) => &device_key(&name("op")),
                _ => &device_key(&name("a")),
            };
            deliver(site, &topic, &sign::sign(key, &topic.of(&site.name), rest));
        }
        2 => {
            let document = Document::from_bytes(rest);
            let key = document.as_ref().ok().and_then(|document| document.key(&site.sealing)).unwrap_or(somewhere);
            let kind = document.as_ref().map_or(Kind::ALL[usize::from(number % 3)], Document::kind);
            if let Ok(document) = &document {
                same_again(document, &key);
            }
            let topic = Topic::Document(kind, key);
            let seal = seal::seal(&site.sealing, &topic.of(&site.name), rest, &mut rand::rng());
            let sealed = Sealed { v: V1, by: name("a"), seal };
            if let Ok(payload) = wire::write(&sealed, &site.name, &topic, &device_key(&name("a"))) {
                deliver(site, &topic, &payload);
            }
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(rest)
                && let Ok(topic) = Topic::parse(&site.name, text)
            {
                assert_eq!(topic.of(&site.name), text, "a topic has one spelling");
            }
        }
    }
}

/// A document that is read is the same when it is written and read again, and merging it with itself gives itself.
fn same_again(document: &Document, key: &DocumentKey) {
    let Ok(written) = document.to_bytes() else { return };
    let again = Document::from_bytes(&written).expect("what was written can be read");
    assert!(again == *document && again.hash(key) == document.hash(key));
    let merged = facegate_fleet::document::apply(Some(document), document, None, 0);
    let twice = facegate_fleet::document::apply(Some(&merged.document), &merged.document, None, 0);
    assert!(!twice.changed && !twice.ahead, "merging comes to rest");
}

/// Has the door `b` receive a message, twice.
fn deliver(site: &Site, topic: &Topic, payload: &[u8]) {
    let identity = Identity {
        site: site.name.clone(),
        device: name("b"),
        key: device_key(&name("b")),
        sealing: site.sealing.clone(),
    };
    let registry = Registry::clone(&site.opener.registry);
    let (mut replica, mut memory) =
        (Replica::new(identity, Timing::default(), registry, rand::rng()), Memory::default());
    replica.connected(&mut memory, false, NOW);
    let before = memory.summary().root();
    let opened = match site.opener.open(&topic.of(&site.name), payload, NOW) {
        Ok(opened) => opened,
        Err(refusal) => {
            let Ok(_) = replica.refuse(&mut memory, &refusal, NOW);
            assert_eq!(
                (memory.summary().root(), replica.refusals().total()),
                (before, 1),
                "refused, and changes nothing"
            );
            return;
        }
    };
    if let (Body::Command(command), Signer::Device(_, key)) = (&opened.body, &opened.by) {
        obey(command, key, &site.opener.registry);
    }
    let document = matches!(opened.body, Body::Document(_));
    let mut actions = Vec::new();
    let mut roots = Vec::new();
    for _ in 0..2 {
        let Ok(()) = replica.receive(&mut memory, &[Opened::clone(&opened)], true, NOW, &mut actions);
        roots.push(memory.summary().root());
    }
    assert!(roots[0] == roots[1] && (document || roots[0] == before), "a message that comes twice changes nothing");
    let later = NOW.after(3_600_000);
    for now in [later, later.after(60_000)] {
        let Ok(more) = replica.tick(&mut memory, now);
        actions.extend(more);
    }
    let theirs = Opener { registry: Arc::new(replica.registry().clone()), ..site.opener.clone() };
    let revoked = theirs.registry.trusted(&name("b"), later).is_err();
    for action in actions {
        if let Action::Publish(publish) = action {
            let believed = theirs.open(&publish.topic, &publish.payload, later);
            assert!(believed.is_ok() || revoked, "{}: {:?}", publish.topic, believed.err());
        }
    }
}

/// A command is obeyed once, for this connection alone, and at once or never.
fn obey(command: &wire::Command, key: &facegate_fleet::keys::PublicKey, registry: &Registry) {
    let mut inbox = Inbox::new(name("b"));
    inbox.begin(SESSION, NOW);
    if inbox.accept(command, key, registry, NOW).is_ok() {
        assert!(command.session == SESSION && command.to == name("b") && command.expires > NOW.wall);
        assert!(inbox.accept(command, key, registry, NOW).is_err(), "a command is obeyed once");
    }
    inbox.begin(Session([9; 16]), NOW);
    if command.session != Session([9; 16]) {
        assert!(inbox.accept(command, key, registry, NOW).is_err(), "another connection's");
    }
}
