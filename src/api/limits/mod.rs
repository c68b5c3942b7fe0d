//! How many calls a source may make: by key and by address, by class of call.
//!
//! An address is counted before its key is looked at, so that a flood costs little; a key where it is known whose it is.
//! What came of it is noted in the request's [`Ledger`], from which the outermost layer writes `RateLimit-*` and
//! `Retry-After` on whatever answer there is: also on errors, a panic and the end of the request's time.
//!
//! Wrong keys: beyond so many in a minute an address is told 429 instead of 401. A right key is served all the same: the
//! neighbours of whoever has a wrong one, behind one NAT, are not locked out, and there is nothing to guess in 256 random
//! bits. What it costs to try is bounded by the address's own limit. Whoever sends no key has guessed none, and is counted by
//! address only.
//!
//! What needs no key, and what is not there, counts as reading for its address; `/healthz` and `/readyz` alone do not, since
//! whoever watches the daemon must not think it dead.
//!
//! The daemon's own socket is not limited: only root and the daemon's user can open it.
//!
//! A batch pays for each photograph that is looked at ([`Fare`]).

mod bucket;
mod fare;
mod settings;

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, header},
    response::Response,
};
use parking_lot::Mutex;

use self::bucket::{Quota, Table};
pub(super) use self::fare::Fare;
pub use self::settings::{Rate, Settings};
use super::{error::Failure, server::Peer};
use crate::error::{Error, Kind, Result};

/// Most addresses, and most keys, that are told apart in a class at a time: under 1 MB each.
const SOURCES: usize = 4_096;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// What a call costs the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// The networks' time.
    Photographs,
    /// Memory and the store's pages.
    Reads,
    /// A commit to the disk.
    Changes,
}

impl Class {
    const ALL: [Self; 3] = [Self::Photographs, Self::Reads, Self::Changes];

    /// By the method and the pattern of the path.
    fn of(method: &Method, route: &str) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Reads,
            Method::POST if route.starts_with("/v1/face-matching/") => Self::Photographs,
            _ => Self::Changes,
        }
    }
}

/// The buckets of one kind of source, a table for each class that is limited.
struct Tables<K>([Option<Mutex<Table<K>>>; 3]);

impl<K: Clone + Eq + Hash> Tables<K> {
    fn new(settings: &Settings, times: u32) -> Self {
        Self(Class::ALL.map(|class| {
            let rate = match class {
                Class::Photographs => settings.photographs,
                Class::Reads => settings.reads,
                Class::Changes => settings.changes,
            };
            rate.pace(times).map(|pace| Mutex::new(Table::new(pace, SOURCES)))
        }))
    }

    fn take(&self, class: Class, source: &K, now: Duration) -> Option<Quota> {
        let table = self.0.get(class as usize)?.as_ref()?;
        Some(table.lock().take(source, now))
    }
}

/// Who has done how much lately.
pub(super) struct Limits {
    started: Instant,
    keys: Tables<String>,
    addresses: Tables<IpAddr>,
    failures: Option<Mutex<Table<IpAddr>>>,
}

impl Limits {
    /// Counts from zero, by settings that have passed [`Settings::validate`].
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            started: Instant::now(),
            keys: Tables::new(settings, 1),
            addresses: Tables::new(settings, settings.address_factor),
            failures: settings.failures().map(|pace| Mutex::new(Table::new(pace, SOURCES))),
        }
    }
}

/// What is to be told about limits in the answer to one request: an extension of the request.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    quota: Option<Quota>,
    retry_after: Option<Duration>,
}

impl Ledger {
    /// Keeps the tighter one of the limits that a request met.
    fn note(&self, quota: Quota) {
        let mut noted = self.0.lock();
        noted.retry_after = noted.retry_after.max(quota.refused);
        if noted.quota.is_none_or(|other| quota.remaining <= other.remaining) {
            noted.quota = Some(quota);
        }
    }

    /// Writes the headers on the answer to a limited call.
    pub(super) fn write(&self, response: &mut Response) {
        let noted = self.0.lock();
        let headers = response.headers_mut();
        if let Some(quota) = noted.quota {
            headers.insert(LIMIT, quota.limit.into());
            headers.insert(REMAINING, quota.remaining.into());
            headers.insert(RESET, seconds(quota.reset));
        }
        if let Some(wait) = noted.retry_after {
            headers.insert(header::RETRY_AFTER, seconds(wait.max(Duration::from_secs(1))));
        }
    }
}

/// Whole seconds, rounded up: whoever waits as long as told is served.
fn seconds(time: Duration) -> HeaderValue {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).into()
}

/// One request on its way past the limits.
pub(super) struct Visit {
    class: Class,
    /// None by the daemon's socket: nothing is limited.
    address: Option<IpAddr>,
    ledger: Ledger,
}

impl Visit {
    /// Of a request whose route is known.
    pub(super) fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        Self::in_class(Class::of(request.method(), route), request)
    }

    /// Of a request that costs no more than reading, whatever its method: it needs no key, or is about nothing that is there.
    pub(super) fn of_anybody(request: &Request) -> Self {
        Self::in_class(Class::Reads, request)
    }

    fn in_class(class: Class, request: &Request) -> Self {
        let extensions = request.extensions();
        let address = match extensions.get::<Peer>() {
            Some(Peer::Address(address)) => Some(network(*address)),
            Some(Peer::User(_)) | None => None,
        };
        let ledger = extensions.get::<Ledger>().cloned().unwrap_or_default();
        Self { class, address, ledger }
    }

    /// Counts it for its address.
    ///
    /// # Errors
    /// `RateLimited` where that one has used up its calls.
    pub(super) fn arrived(&self, limits: &Limits) -> Result<()> {
        let Some(address) = &self.address else { return Ok(()) };
        self.pass(limits.addresses.take(self.class, address, limits.started.elapsed()), "from this address")
    }

    /// Counts it for the key that it came with.
    ///
    /// # Errors
    /// `RateLimited` where that one has used up its calls.
    pub(super) fn recognised(&self, limits: &Limits, key: &String) -> Result<()> {
        if self.address.is_none() {
            return Ok(());
        }
        self.pass(limits.keys.take(self.class, key, limits.started.elapsed()), "with this key")
    }

    /// What to answer where its key was refused: that, or that there were too many wrong ones.
    pub(super) fn refused(&self, limits: &Limits, failure: Failure) -> Failure {
        let (Some(address), Some(failures)) = (&self.address, &limits.failures) else { return failure };
        if failure.0.kind() != Kind::InvalidApiKey {
            return failure;
        }
        let quota = failures.lock().take(address, limits.started.elapsed());
        match quota.refused {
            None => failure,
            Some(_) => {
                self.ledger.note(quota);
                let error = Error::new(Kind::RateLimited, "too many wrong API keys from this address");
                Failure(error.help("check the key, and wait as long as Retry-After says"))
            }
        }
    }

    fn pass(&self, quota: Option<Quota>, whose: &str) -> Result<()> {
        let Some(quota) = quota else { return Ok(()) };
        self.ledger.note(quota);
        if quota.refused.is_none() {
            return Ok(());
        }
        let error = Error::new(Kind::RateLimited, format!("too many calls of this kind {whose}"));
        Err(error.help("wait as long as Retry-After says"))
    }
}

/// What counts as one address: of IPv6 the first 64 bits, since whoever has one of its addresses has all the rest.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_its_class() {
        assert_eq!(Class::of(&Method::POST, "/v1/face-matching/verify/{subject_id}"), Class::Photographs);
        assert_eq!(Class::of(&Method::GET, "/v1/face-matching/embeddings"), Class::Reads);
        assert_eq!(Class::of(&Method::DELETE, "/v1/face-matching/embeddings"), Class::Changes);
        assert_eq!(Class::of(&Method::POST, "/v1/doors/{door}/commands"), Class::Changes);
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_ipv4_in_ipv6_is_itself() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }

    #[test]
    fn the_tighter_limit_is_told_and_seconds_are_rounded_up() {
        let ledger = Ledger::default();
        let quota = |limit, remaining| Quota { limit, remaining, reset: Duration::from_millis(1_001), refused: None };
        ledger.note(quota(240, 100));
        ledger.note(quota(60, 59));
        ledger.note(quota(240, 70));
        let mut response = Response::default();
        ledger.write(&mut response);
        let header = |name| response.headers().get(name).cloned();
        assert_eq!(header(LIMIT), Some(HeaderValue::from(60)));
        assert_eq!(header(REMAINING), Some(HeaderValue::from(59)));
        assert_eq!(header(RESET), Some(HeaderValue::from(2)));
        assert_eq!(header(header::RETRY_AFTER), None);
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name_and_what_is_off_limits_nothing() {
        Settings::default().validate().expect("defaults are valid");
        Settings::off().validate().expect("off is valid");
        let wrong = Settings { reads: Rate { per_s: 1, burst: 0 }, ..Settings::default() };
        let error = wrong.validate().expect_err("a bucket that holds nothing");
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains("api.limits.reads.burst"), "{error}");
        let tables = Tables::<u8>::new(&Settings::off(), 4);
        assert!(Class::ALL.iter().all(|class| tables.take(*class, &1, Duration::ZERO).is_none()));
    }
}
