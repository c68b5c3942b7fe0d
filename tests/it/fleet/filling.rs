//! A door that fills itself from what the broker keeps: what comes meanwhile, and what becomes of it where that is cut.

use std::time::{Duration, Instant};

use facegate_fleet::{
    Name,
    wire::{Order, Outcome},
};
use rustix::process::Signal;

use super::{
    broker::{Broker, SITE},
    crowd::publish,
    site::{Site, metric, settings},
    stranger::Stranger,
};
use crate::support::daemon::{Daemon, eventually};

const PEOPLE: usize = 6_000;

/// A site whose broker keeps thousands of documents, in memory: one that writes each of them down at once writes all of them each time.
fn large_site(forged: &[usize]) -> Site {
    let mut site = Site::new();
    site.broker = Broker::in_memory(&site.office.path("site"));
    publish(&settings(&site.office, "office", site.broker.port), PEOPLE, forged);
    // Tells this broker, too, who the office is: nobody believes what somebody unknown has signed.
    drop(site.console());
    site
}

fn documents(daemon: &Daemon) -> f64 {
    metric(daemon, "facegate_fleet_documents ")
}

#[test]
fn a_door_that_fills_itself_obeys_soon_and_refuses_what_is_forged_alone() {
    let forged = [7, PEOPLE / 2, PEOPLE / 2 + 1, PEOPLE - 1];
    let site = large_site(&forged);
    let board = site.board("new");
    let daemon = board.start();
    let front: Name = "new".parse().expect("a name");
    let mut console = site.console();
    eventually("it is online", || console.status(&front).is_ok_and(|status| status.online).then_some(()));
    let ordered = Instant::now();
    let answer = console.order(&front, Order::Reload {}, Duration::from_secs(30)).expect("it answers");
    assert_eq!(answer.outcome, Outcome::Done);
    assert!(ordered.elapsed() < Duration::from_secs(10), "{:?}", ordered.elapsed());
    let good = (PEOPLE - forged.len()) as f64;
    eventually("all but those are there", || (documents(&daemon) == good).then_some(()));
    assert_eq!(metric(&daemon, "facegate_fleet_refused_total{cause=\"forged\"} "), forged.len() as f64);
    let told = daemon.log().iter().filter(|line| line.contains("was refused")).count();
    assert_eq!(told, 1, "one source, one cause");
    daemon.logged(0, "all that the broker keeps has come");
}

#[test]
fn a_door_that_is_killed_while_it_fills_itself_has_lost_nothing_and_goes_on() {
    let site = large_site(&[]);
    let board = site.board("new");
    for least in [1.0, PEOPLE as f64 / 3.0] {
        let mut daemon = board.start();
        eventually("some are there", || (documents(&daemon) >= least).then_some(()));
        let before = documents(&daemon) as usize;
        daemon.signal(Signal::KILL);
        daemon.wait();
        let said = board.run(&["check"]).said();
        assert!(said.contains("store and index agree"), "{said}");
        let there = said.split_once(" subjects, ").and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok());
        assert!(there >= Some(before), "{there:?} of {before} that were told to be there");
    }
    let daemon = board.start();
    eventually("all are there", || (documents(&daemon) == PEOPLE as f64).then_some(()));
    daemon.stop();
}

/// Each door hears the vouchers of all: to tell each of them anew at each connection would be many messages for nothing.
#[test]
fn a_device_tells_who_it_is_only_where_the_broker_does_not_know() {
    let site = Site::new();
    let board = site.board("front");
    let stranger = Stranger::new(&settings(&site.office, "office", site.broker.port));
    let vouchers = format!("facegate/v1/{SITE}/devices/front");
    let told = || {
        stranger.leave_a_queue("listener", &vouchers);
        let daemon = board.start();
        daemon.logged(0, "all that the broker keeps has come");
        daemon.stop();
        // That somebody had it forgotten is queued, too.
        stranger.queued("listener").into_iter().filter(|voucher| !voucher.is_empty()).count()
    };
    assert_eq!(told(), 1, "it is new");
    assert_eq!(told(), 0, "the broker keeps it");
    // Somebody has the broker forget it.
    stranger.publish("somebody", &[(vouchers.clone(), Vec::new(), true)]);
    assert_eq!(told(), 1);
}
