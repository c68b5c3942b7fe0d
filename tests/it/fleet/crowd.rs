//! Many people whom nobody has enrolled: what the broker of a large site keeps.

use std::sync::OnceLock;

use facegate::fleet::{
    self, Happened, Outgoing,
    identity::{Member, secret},
};
use facegate_fleet::{
    document::{Document, DocumentKey, Embedding, Fixed, Kind, Lww, SubjectDocument},
    keys::{SealingKey, SecretKey},
    seal,
    stamp::Clock as StampClock,
    topic::Topic,
    wire::{self, Sealed, V1},
};

/// A subject with one embedding of nobody, as a door publishes it.
fn document(number: usize) -> (String, Document) {
    let name = format!("person-{number:06}");
    let mut clock = StampClock::new("office".parse().expect("a name"), 0);
    let stamp = clock.next(Some(1_780_000_000_000 + number as u64));
    let mut random = number as u32 * 2 + 1;
    let template: Vec<u8> = (0..512)
        .flat_map(|_| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            // A sign, an exponent of 0.06 to 1, and anything behind it, as 16 bits.
            ((random & 0x8000) | 0x2c00 | (random >> 20 & 0x0fff)).to_le_bytes()[..2].to_vec()
        })
        .collect();
    let fixed = Fixed {
        created: 1_780_000_000_000_000,
        model: facegate_model(),
        template: template.into(),
        quality: 0.9,
        liveness: None,
        source: None,
    };
    let mut subject = SubjectDocument::new("main", name.clone());
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
    id[8..].copy_from_slice(blake3::hash(name.as_bytes()).as_bytes()[..8].try_into().expect("eight bytes"));
    subject.add(id, Embedding { fixed, metadata: Lww { stamp: stamp.clone(), value: None }, added: stamp });
    (name, Document::Subject(subject))
}

fn facegate_model() -> String {
    static MODEL: OnceLock<String> = OnceLock::new();
    MODEL.get_or_init(|| crate::support::engine().model_id().to_owned()).clone()
}

/// Has the broker keep so many subjects, signed by the office and sealed as a door would, but for those that are `forged`, which
/// somebody else has signed; gives the bytes of their payloads.
pub fn publish(office: &fleet::Settings, count: usize, forged: &[usize]) -> u64 {
    let identity = Member::read(office).expect("it has joined");
    // The office holds the site's keys, too; a device that is no door has not been given this one.
    let sealing = secret(&office.dir.with_file_name("site").join("sealing.key")).expect("the site's key");
    let sealing = SealingKey::from_bytes(*sealing);
    let other = SecretKey::from_seed(&[9; 32]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let will = Outgoing {
            topic: Topic::Status(identity.device.clone()).of(&identity.site),
            payload: b"{}".to_vec(),
            retain: false,
            expiry: None,
        };
        let (client, mut heard) = fleet::connect(office, "filler", will).expect("the broker is reached");
        let (mut next, mut acknowledged, mut bytes) = (0, 0, 0u64);
        let mut waiting: Option<Outgoing> = None;
        while acknowledged < count {
            while next < count {
                let message = waiting.take().unwrap_or_else(|| {
                    let (name, document) = document(next);
                    let key = DocumentKey::new(&sealing, Kind::Subject, "main", &name);
                    let topic = Topic::Document(Kind::Subject, key);
                    let plain = document.to_bytes().expect("it is small");
                    let seal = seal::seal(&sealing, &topic.of(&identity.site), &plain, &mut rand::rng());
                    let sealed = Sealed { v: V1, by: identity.device.clone(), seal };
                    let key = if forged.contains(&next) { &other } else { &identity.key };
                    let payload = wire::write(&sealed, &identity.site, &topic, key).expect("it is small");
                    Outgoing { topic: topic.of(&identity.site), payload, retain: true, expiry: None }
                });
                let length = message.payload.len() as u64;
                match client.publish(message) {
                    Ok(()) => (next, bytes) = (next + 1, bytes + length),
                    Err(back) => {
                        waiting = Some(back);
                        break;
                    }
                }
            }
            match heard.recv().await.expect("the connection holds") {
                Happened::Acknowledged(_) => acknowledged += 1,
                Happened::Ended(why) => panic!("{why}"),
                _ => {}
            }
        }
        bytes
    })
}
