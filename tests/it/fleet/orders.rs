//! Commands over the fleet, and commands that come too late.

use std::time::Duration;

use facegate::fleet::{console::Console, identity::Member};
use facegate_fleet::{
    Name,
    keys::SecretKey,
    open::Body,
    topic::Topic,
    wire::{self, Answer, Command, Order, Outcome, Status},
};

use super::{
    broker::SITE,
    site::{Site, metric, settings},
    stranger::Stranger,
};
use crate::support::{
    daemon::{Board, eventually},
    photo_path,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A board with a door before which nobody who is enrolled stands.
fn door(site: &Site) -> Board {
    let mut board = Board::with_door(&[photo_path("biden.jpg")]);
    site.join(&mut board, "front", "door");
    board
}

fn front() -> Name {
    "front".parse().expect("a name")
}

fn unlock() -> Order {
    Order::Unlock { door: None, exit: false }
}

fn opened(board: &Board) -> usize {
    board.edges("front").iter().filter(|edge| edge.energised).count()
}

fn signed(command: &Command, key: &SecretKey) -> Vec<u8> {
    let site: Name = SITE.parse().expect("a name");
    wire::write(command, &site, &Topic::Command(command.to.clone()), key).expect("it is not too large")
}

fn order(console: &mut Console, order: Order) -> Answer {
    console.order(&front(), order, PATIENCE).expect("the door answers")
}

#[test]
fn doors_obey_whom_the_site_lets_command_them_and_the_journal_says_who_it_was() {
    let site = Site::new();
    let board = door(&site);
    let daemon = board.start();
    daemon.ready();
    eventually("the door is online", || {
        site.console().status(&front()).is_ok_and(|status| status.online).then_some(())
    });
    site.office.run(&["fleet", "unlock", "front"]).must(0, &["done"]);
    board.edge("front", 0, |edge| edge.energised);
    let mut console = site.console();
    assert_eq!(order(&mut console, Order::Lockdown { door: Some("front".into()) }).outcome, Outcome::Done);
    let refused = order(&mut console, unlock());
    assert_eq!((refused.outcome, refused.code.as_deref()), (Outcome::Refused, Some("door_refused")));
    assert_eq!(order(&mut console, Order::Release { door: None }).outcome, Outcome::Done);
    let unknown = order(&mut console, Order::Unlock { door: Some("attic".into()), exit: false });
    assert_eq!((unknown.outcome, unknown.code.as_deref()), (Outcome::Failed, Some("not_found")));
    assert_eq!(order(&mut console, Order::Reload {}).outcome, Outcome::Done);
    let by_office = |event: &str| {
        board.journal().iter().filter(|entry| entry["event"] == event && entry["by"] == "device office").count()
    };
    eventually("commands and orders in the journal", || {
        (by_office("command") >= 4 && by_office("order") >= 6).then_some(())
    });
    // Somebody who may watch may not command.
    let mut watcher = Board::new();
    site.join(&mut watcher, "watcher", "observer");
    let settings = settings(&watcher, "watcher", site.broker.port);
    let key = Member::read(&settings).expect("it has joined").key;
    let mut watcher = Console::connect(&settings).expect("the broker is reached");
    let session = watcher.status(&front()).expect("it is known").session;
    let before = opened(&board);
    let command = watcher.command(&front(), unlock(), session);
    watcher.publish(&Topic::Command(front()), signed(&command, &key), false, None).expect("the broker takes it");
    // Its own word for its role does not help.
    let lying = Command { role: facegate_fleet::voucher::Role::Admin, ..watcher.command(&front(), unlock(), session) };
    watcher.publish(&Topic::Command(front()), signed(&lying, &key), false, None).expect("the broker takes it");
    assert_eq!(order(&mut console, Order::Release { door: None }).outcome, Outcome::Done);
    assert_eq!(opened(&board), before);
    assert!(
        metric(&daemon, "facegate_fleet_refused_total{cause=\"role\"} ")
            + metric(&daemon, "facegate_fleet_refused_total{cause=\"unknown_device\"} ")
            >= 2.0
    );
}

/// Whatever the broker keeps, whoever keeps it there, and although every signature, clock and voucher is right.
#[test]
fn an_unlock_that_was_queued_while_the_door_was_offline_never_opens_it() {
    let mut site = Site::new();
    let board = door(&site);
    let key = Member::read(&settings(&site.office, "office", site.broker.port)).expect("it has joined").key;
    let daemon = board.start();
    let mut console = site.console();
    let status = eventually("the door is online", || console.status(&front()).ok().filter(|status| status.online));
    // The queue of a session that outlasts its connection, under the door's own name and certificate.
    let stranger = Stranger::new(&settings(&board, "front", site.broker.port));
    drop(daemon);
    eventually("the broker tells that it is gone", || console.status(&front()).ok().filter(|status| !status.online));
    stranger.leave_a_queue("front", &Topic::Command(front()).of(&SITE.parse().expect("a name")));
    // The office's own tool leaves nothing waiting.
    let error = console.order(&front(), unlock(), PATIENCE).expect_err("it is offline");
    assert!(error.to_string().contains("not connected"), "{error}");
    // Others do: for the connection that was, valid for as long as a command may be, kept and queued.
    for retain in [false, true, false] {
        let command = console.command(&front(), unlock(), status.session);
        console.publish(&Topic::Command(front()), signed(&command, &key), retain, None).expect("the broker takes it");
    }
    // And for whoever wonders whether a restart of the broker matters.
    site.broker.stop();
    site.broker.resume();
    let daemon = board.start();
    daemon.ready();
    let mut console = site.console();
    let fresh = eventually("the door is online again", || {
        console.status(&front()).ok().filter(|now| now.online && now.session != status.session)
    });
    // What is answered now was told after all that was queued.
    assert_eq!(order(&mut console, Order::Release { door: None }).outcome, Outcome::Done);
    assert_eq!(opened(&board), 0, "an old unlock opened the door");
    assert!(metric(&daemon, "facegate_fleet_refused_total{cause=\"session\"} ") >= 1.0);

    // On the connection that is: late ones, repeated ones, and those that would hold for too long.
    let good = console.command(&front(), unlock(), fresh.session);
    let late = Command { issued: good.issued - 60_000, expires: good.issued - 1, ..good.clone() };
    let long = Command { expires: good.issued + 3_600_000, ..good.clone() };
    for bad in [late, long] {
        console.publish(&Topic::Command(front()), signed(&bad, &key), false, None).expect("the broker takes it");
    }
    assert_eq!(order(&mut console, Order::Release { door: None }).outcome, Outcome::Done);
    assert_eq!(opened(&board), 0);
    for _ in 0..3 {
        console.publish(&Topic::Command(front()), signed(&good, &key), false, None).expect("the broker takes it");
    }
    board.edge("front", 0, |edge| edge.energised);
    assert_eq!(order(&mut console, Order::Release { door: None }).outcome, Outcome::Done);
    assert_eq!(opened(&board), 1, "one command is one pulse");
    assert_eq!(metric(&daemon, "facegate_fleet_refused_total{cause=\"late\"} "), 2.0);
    assert_eq!(metric(&daemon, "facegate_fleet_refused_total{cause=\"replayed\"} "), 2.0);
}

/// What takes its time is no more than two at a time, and never before a door.
#[test]
fn an_unlock_does_not_wait_for_those_who_are_being_enrolled() {
    let site = Site::new();
    let mut board = Board::new();
    let empty = board.path("empty.png");
    image::RgbImage::new(320, 240).save(&empty).expect("it can be written");
    board.add_door("front", "main", &[empty]);
    site.join(&mut board, "front", "door");
    let key = Member::read(&settings(&site.office, "office", site.broker.port)).expect("it has joined").key;
    let daemon = board.start();
    daemon.ready();
    let mut console = site.console();
    let session = eventually("the door is online", || console.status(&front()).ok().filter(|now| now.online)).session;
    let enrol = |subject: &str| Order::Enrol {
        door: None,
        tenant: "main".into(),
        subject: subject.into(),
        seconds: 60,
        groups: Vec::new(),
    };
    for subject in ["anna", "berta"] {
        let command = console.command(&front(), enrol(subject), session);
        console.publish(&Topic::Command(front()), signed(&command, &key), false, None).expect("the broker takes it");
    }
    let third = order(&mut console, enrol("clara"));
    assert_eq!((third.outcome, third.code.as_deref()), (Outcome::Refused, Some("busy")));
    assert_eq!(order(&mut console, unlock()).outcome, Outcome::Done);
    board.edge("front", 0, |edge| edge.energised);
    assert_eq!(metric(&daemon, "facegate_fleet_refused_total{cause=\"busy\"} "), 1.0);
}

/// Somebody with a copy of one command, within the broker.
#[test]
fn a_command_that_is_sent_again_and_again_fills_no_journal_and_is_answered_once() {
    let site = Site::new();
    let board = door(&site);
    let office = settings(&site.office, "office", site.broker.port);
    let key = Member::read(&office).expect("it has joined").key;
    let daemon = board.start();
    daemon.ready();
    let mut console = site.console();
    let session = eventually("the door is online", || console.status(&front()).ok().filter(|now| now.online)).session;
    // Its answer shows that the console hears the door.
    assert_eq!(order(&mut console, Order::Release { door: None }).outcome, Outcome::Done);
    let command = console.command(&front(), unlock(), session);
    let copy = (Topic::Command(front()).of(&SITE.parse().expect("a name")), signed(&command, &key), false);
    Stranger::new(&office).publish("replayer", &vec![copy; 301]);
    eventually("all copies are counted", || {
        (metric(&daemon, "facegate_fleet_refused_total{cause=\"replayed\"} ") >= 300.0).then_some(())
    });
    let mut answers = Vec::new();
    while let Some(opened) = console.next(Duration::from_secs(1)).expect("the broker is reached") {
        if let Body::Answer(answer) = opened.body {
            answers.push(answer.outcome);
        }
    }
    assert_eq!(answers, [Outcome::Done]);
    let written = || {
        let journal = board.journal();
        journal.iter().filter(|entry| entry["event"] == "order" && entry["outcome"] == "replayed").count()
    };
    eventually("some are written down", || (written() >= 10).then_some(()));
    // As many again, where it took longer than a minute.
    assert!(written() <= 20, "{} entries", written());
    assert_eq!(opened(&board), 1);
}

/// The last will of a connection that the broker gives up late comes after the birth of the next one, and anybody with a
/// certificate can take the name of any client.
#[test]
fn a_door_says_again_how_it_is_where_somebody_else_has_and_keeps_its_connection() {
    let site = Site::new();
    let board = door(&site);
    let settings = settings(&board, "front", site.broker.port);
    let key = Member::read(&settings).expect("it has joined").key;
    let daemon = board.start();
    daemon.ready();
    let mut console = site.console();
    let before = eventually("the door is online", || console.status(&front()).ok().filter(|now| now.online));
    let (name, topic) = (SITE.parse().expect("a name"), Topic::Status(front()));
    let will = Status { online: false, doors: Vec::new(), ..before.clone() };
    let will = wire::write(&will, &name, &topic, &key).expect("it is not too large");
    Stranger::new(&settings).publish("front", &[(topic.of(&name), will, true)]);
    let after = eventually("it is online again", || console.status(&front()).ok().filter(|now| now.online));
    assert_eq!(after.session, before.session);
    assert_eq!(metric(&daemon, "facegate_fleet_connections_total "), 1.0);
    assert_eq!(order(&mut console, unlock()).outcome, Outcome::Done);
}

#[test]
fn what_the_broker_does_not_take_waits_until_it_does_and_people_are_told() {
    let mut site = Site::new();
    let board = door(&site);
    let daemon = board.start();
    daemon.ready();
    // The first time, the office has the broker keep what the site says of it.
    let mut last = eventually("the door is online", || site.console().status(&front()).ok().filter(|now| now.online));
    let mut again = |site: &mut Site, forbidden: &[&str]| {
        site.broker.stop();
        site.broker.forbid(forbidden);
        site.broker.resume();
        last = eventually("the door is online again", || {
            let now = site.console().status(&front()).ok();
            now.filter(|now| now.online && now.session != last.session)
        });
    };
    again(&mut site, &["pattern write facegate/v1/SITE/devices/+", "pattern write facegate/v1/SITE/commands/+"]);
    let mut console = site.console();
    let error = console.order(&front(), unlock(), PATIENCE).expect_err("it does not arrive");
    assert!(error.to_string().contains("does not take it"), "{error}");
    // As a revocation is.
    let voucher = console.registry().vouched(&front()).expect("it is known").message.to_vec();
    let error = console.publish(&Topic::Device(front()), voucher, true, None).expect_err("it does not arrive");
    assert!(error.to_string().contains("does not take it"), "{error}");
    drop(console);

    again(&mut site, &["pattern write facegate/v1/SITE/events/%u"]);
    let denied = || metric(&daemon, "facegate_fleet_denied_total ");
    let before = denied();
    assert_eq!(order(&mut site.console(), unlock()).outcome, Outcome::Done);
    eventually("events are refused", || (denied() > before).then_some(()));
    assert!(metric(&daemon, "facegate_fleet_events_waiting ") >= 1.0);
    again(&mut site, &[]);
    eventually("they are taken", || (metric(&daemon, "facegate_fleet_events_waiting ") == 0.0).then_some(()));
}
