use std::{collections::BTreeSet, sync::Arc};

use chacha20::ChaCha8Rng;
use facegate_fleet::{
    Name,
    document::{DocumentKey, Kind},
    keys::{SealingKey, SecretKey},
    open::{Body, Opener},
    registry::Registry,
    stamp::Clock,
    sync::{Identity, Replica, Timing},
    topic::Topic,
    voucher::{Role, Voucher},
    wire::V1,
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{
    broker::Broker,
    door::{Door, Traffic},
    plan::{HOUR, Plan},
    shared::{Shared, Table},
};

const YEAR: i64 = 365 * 24 * HOUR as i64;

/// The site's own: keys, and everybody's voucher.
pub struct Site {
    pub name: Name,
    pub key: SecretKey,
}

/// A site on its first day: every device is vouched for, nobody is enrolled.
pub fn site(plan: &Plan) -> (Site, Vec<Door>, Broker, Shared) {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut chance = SmallRng::seed_from_u64(plan.seed ^ 0xd00f);
    let site = Site { name: "hq".parse().expect("a name"), key: SecretKey::random(&mut rng) };
    let sealing = SealingKey::random(&mut rng);
    let count = plan.doors + plan.joining;
    let keys: Vec<_> = (0..count).map(|_| SecretKey::random(&mut rng)).collect();
    let mut registry = Registry::new(site.key.public());
    let opener = |registry: &Registry| Opener {
        site: site.name.clone(),
        sealing: Some(sealing.clone()),
        registry: Arc::new(registry.clone()),
    };
    let plain = opener(&registry);
    for (number, key) in keys.iter().enumerate() {
        let message = voucher(number, key, 1, false).sign(&site.name, &site.key);
        let topic = Topic::Device(name(number)).of(&site.name);
        let opened = plain.open(&topic, &message, facegate_fleet::Now::default()).expect("the site signed it");
        if let Body::Voucher(vouched) = opened.body {
            registry.take(vouched);
        }
    }
    let subjects: Vec<_> = (0..plan.subjects)
        .map(|place| DocumentKey::new(&sealing, Kind::Subject, "site", &format!("person-{place:06}")))
        .collect();
    let doors = keys.into_iter().enumerate().map(|(number, key)| {
        let identity = Identity { site: site.name.clone(), device: name(number), key, sealing: sealing.clone() };
        Door {
            replica: Replica::new(identity, Timing::default(), registry.clone(), ChaCha8Rng::from_rng(&mut rng)),
            clock: Clock::new(name(number), 0),
            table: Table::new(plan.subjects),
            dirty: BTreeSet::new(),
            skew: if number % 20 == 0 {
                chance.random_range(-YEAR..=YEAR)
            } else {
                chance.random_range(-60_000..=60_000)
            },
            distance: chance.random_range(0..DISTANCES.len()),
            connection: 0,
            connected: false,
            revoked: false,
            session: None,
            tick: None,
            received: Traffic::default(),
            sent: Traffic::default(),
        }
    });
    let doors = doors.collect();
    (site.clone_name(), doors, Broker::new(opener(&registry), plan.subjects), Shared::new(subjects))
}

impl Site {
    fn clone_name(&self) -> Self {
        Self { name: self.name.clone(), key: self.key.clone() }
    }
}

/// How long a message takes to a door, in milliseconds, by its distance.
pub const DISTANCES: [u64; 8] = [5, 10, 20, 30, 50, 100, 200, 400];

pub fn name(number: usize) -> Name {
    format!("door-{number:04}").parse().expect("a name")
}

pub fn voucher(number: usize, key: &SecretKey, issued: u64, revoked: bool) -> Voucher {
    Voucher {
        v: V1,
        device: name(number),
        key: key.public(),
        role: Role::Door,
        issued,
        not_before: 0,
        expires: None,
        revoked,
    }
}
