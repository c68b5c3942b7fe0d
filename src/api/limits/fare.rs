//! What a call pays that has many photographs looked at, one after the other: for each as much as a call with one.
//!
//! It waits for what it owes rather than to be refused: its client has sent the photograph already. What is paid is paid to the
//! address and to the key, each once, so that to wait for the one uses up nothing of the other.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use axum::extract::Request;
use tokio::time::sleep;

use super::{Class, Limits, Visit};
use crate::{
    error::{Error, Kind, Result},
    operator::Operator,
};

/// What is owed for the next photograph.
pub(in crate::api) struct Fare {
    /// None by the daemon's socket: nothing is limited.
    address: Option<IpAddr>,
    key: Option<String>,
    address_is_paid: bool,
    key_is_paid: bool,
    /// What was paid was asked for, so that the next photograph is to be paid for anew.
    used: bool,
}

impl Fare {
    /// Of a call that was let in, which has paid for its first photograph.
    pub(in crate::api) fn of(request: &Request, operator: &Operator) -> Self {
        let key = match operator {
            Operator::Key(caller) => Some(caller.key.clone()),
            Operator::Local { .. } | Operator::Device { .. } => None,
        };
        let Visit { address, .. } = Visit::of(request);
        Self { address, key, address_is_paid: true, key_is_paid: true, used: false }
    }

    /// Begins with another photograph. What was paid for one that was not looked at is still good.
    pub(in crate::api) fn begin_another(&mut self) {
        if std::mem::take(&mut self.used) {
            (self.address_is_paid, self.key_is_paid) = (false, false);
        }
    }

    /// Pays for a photograph that is looked at now, once however often it is tried. Waits for what that costs.
    ///
    /// # Errors
    /// `RateLimited` where it cannot be had before `until`.
    pub(in crate::api) async fn pay(&mut self, limits: &Limits, until: Instant) -> Result<()> {
        while let Some((wait, whose)) = self.owed(limits) {
            if until.saturating_duration_since(Instant::now()) < wait {
                return Err(Error::new(Kind::RateLimited, format!("too many photographs {whose}"))
                    .help("send it again in a second, or everything: what was enrolled is not enrolled twice"));
            }
            sleep(wait).await;
        }
        self.used = true;
        Ok(())
    }

    /// Takes what there is of what is owed. Where that is not all: how long until there may be more, and whose it is.
    fn owed(&mut self, limits: &Limits) -> Option<(Duration, &'static str)> {
        let (address, now) = (self.address.as_ref()?, limits.started.elapsed());
        if !self.address_is_paid {
            let quota = limits.addresses.take(Class::Photographs, address, now);
            if let Some(wait) = quota.and_then(|quota| quota.refused) {
                return Some((wait, "from this address"));
            }
            self.address_is_paid = true;
        }
        if let Some(key) = self.key.as_ref().filter(|_| !self.key_is_paid) {
            let quota = limits.keys.take(Class::Photographs, key, now);
            if let Some(wait) = quota.and_then(|quota| quota.refused) {
                return Some((wait, "with this key"));
            }
            self.key_is_paid = true;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::limits::{Rate, Settings};

    const KEY: &str = "1a2b3c4d";

    fn limits(photographs: Rate, address_factor: u32) -> Limits {
        Limits::new(&Settings { photographs, address_factor, ..Settings::off() })
    }

    fn fare() -> Fare {
        let address = Some("192.0.2.7".parse().expect("an address"));
        Fare { address, key: Some(KEY.to_owned()), address_is_paid: true, key_is_paid: true, used: false }
    }

    /// How many of `most` photographs are paid for without waiting.
    async fn paid_at_once(fare: &mut Fare, limits: &Limits, most: u32) -> u32 {
        for paid in 0..most {
            fare.begin_another();
            if let Err(error) = fare.pay(limits, Instant::now()).await {
                assert_eq!(error.kind(), Kind::RateLimited);
                return paid;
            }
        }
        most
    }

    #[tokio::test]
    async fn the_first_is_paid_for_by_the_call_and_each_other_one_costs_a_call() {
        // One comes back in a second: none within this test but on a machine that stands still.
        let limits = limits(Rate { per_s: 1, burst: 5 }, 0);
        assert!((6..9).contains(&paid_at_once(&mut fare(), &limits, 50).await));
        let key = KEY.to_owned();
        let refused =
            limits.keys.take(Class::Photographs, &key, limits.started.elapsed()).and_then(|left| left.refused);
        assert!(refused.is_some(), "a call with the same key waits for the same");
        let mut other = Fare { key: Some("99999999".into()), ..fare() };
        assert_eq!(paid_at_once(&mut other, &limits, 4).await, 4, "another key has its own");
    }

    #[tokio::test]
    async fn what_is_not_looked_at_costs_nothing_and_what_is_tried_again_costs_once() {
        let limits = limits(Rate { per_s: 1, burst: 1 }, 1);
        let mut fare = fare();
        for _ in 0..100 {
            fare.begin_another();
        }
        for _ in 0..100 {
            assert!(fare.pay(&limits, Instant::now()).await.is_ok(), "the call has paid for it");
        }
        fare.begin_another();
        assert!(fare.pay(&limits, Instant::now()).await.is_ok(), "what a rest has left");
        fare.begin_another();
        assert!(fare.pay(&limits, Instant::now()).await.is_err());
        // It waits as long as that takes, and no longer than it may.
        assert!(fare.pay(&limits, Instant::now() + Duration::from_secs(60)).await.is_ok());
    }

    #[tokio::test]
    async fn to_wait_for_the_key_uses_up_nothing_of_the_address() {
        let limits = limits(Rate { per_s: 1, burst: 1 }, 1_000);
        let mut fare = fare();
        assert!(paid_at_once(&mut fare, &limits, 10).await < 10);
        for _ in 0..5_000 {
            let _ = fare.pay(&limits, Instant::now()).await;
        }
        let address = fare.address.expect("it has one");
        let left =
            limits.addresses.take(Class::Photographs, &address, limits.started.elapsed()).expect("it is limited");
        assert!(left.remaining > 900, "{left:?}");
    }

    #[tokio::test]
    async fn by_the_daemons_socket_nothing_is_owed() {
        let limits = limits(Rate { per_s: 1, burst: 1 }, 1);
        assert_eq!(paid_at_once(&mut Fare { address: None, ..fare() }, &limits, 500).await, 500);
    }
}
