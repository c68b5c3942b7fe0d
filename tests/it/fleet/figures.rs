//! What docs/fleet.md promises of speed and traffic, measured: real daemons, a real broker, this machine. `make bench` runs
//! them one after the other and prints what they say; each fails only where nothing could be measured.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

use facegate::fleet::{self, Happened, Outgoing};

use super::{
    broker::{Broker, SITE},
    crowd::publish,
    proxy::Proxy,
    site::{Site, enrol, key, metric, settings},
};
use crate::support::daemon::{Board, Daemon, eventually};

/// A line of the report.
fn say(what: &str, value: impl Display) {
    println!("fleet: {what:<64} {value}");
}

/// A measured value beside what was promised, and their ratio.
fn against(what: &str, value: f64, unit: &str, promised: f64) {
    say(what, format_args!("{value:.3} {unit}, promised {promised} {unit}: {:.2} of it", value / promised));
}

fn quantile(sorted: &[f64], at: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * at).round() as usize]
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable}={value}")))
}

/// Boards that have joined, all of them by one wire.
fn boards(site: &Site, count: usize, port: u16) -> Vec<Board> {
    let boards = (0..count).map(|number| {
        let mut board = site.board(&format!("door-{number}"));
        board.set("fleet.broker", format!("localhost:{port}"));
        board
    });
    boards.collect()
}

#[track_caller]
fn documents(daemon: &Daemon, count: f64) {
    eventually("the documents", || (metric(daemon, "facegate_fleet_documents ") == count).then_some(()));
}

/// From the answer of one door's API, when the enrolment is on its disk, to the moment when another can recognise it, as its
/// own figures tell; they are asked every 20 ms.
#[test]
#[ignore = "a benchmark: make bench"]
fn how_soon_an_enrolment_is_at_ten_doors() {
    let rounds = number("FACEGATE_BENCH_ROUNDS", 40);
    let site = Site::new();
    let boards = boards(&site, 10, site.broker.port);
    let first = key(&boards[0]);
    let daemons: Vec<_> = boards.iter().map(Board::start).collect();
    daemons.iter().for_each(|daemon| {
        eventually("it is connected", || (metric(daemon, "facegate_fleet_connected ") == 1.0).then_some(()));
    });
    // What a door does in its first seconds is not what is measured.
    thread::sleep(Duration::from_secs(8));
    let (mut each, mut all) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        enrol(&daemons[0], &first, "obama", "obama.jpg");
        let begun = Instant::now();
        let times: Vec<f64> = thread::scope(|scope| {
            let waiting = daemons[1..].iter().map(|daemon| {
                scope.spawn(move || {
                    while metric(daemon, "facegate_fleet_documents ") < 1.0 {
                        thread::sleep(Duration::from_millis(20));
                    }
                    begun.elapsed().as_secs_f64() * 1000.0
                })
            });
            let waiting: Vec<_> = waiting.collect();
            waiting.into_iter().map(|thread| thread.join().expect("it asks")).collect()
        });
        all.push(times.iter().copied().fold(0.0, f64::max));
        each.extend(times);
        let path = "/v1/face-matching/embeddings?subject_id=obama";
        assert_eq!(daemons[0].call("DELETE", path, Some(&first), None).status, 200);
        daemons.iter().for_each(|daemon| documents(daemon, 0.0));
    }
    each.sort_by(f64::total_cmp);
    all.sort_by(f64::total_cmp);
    say("ten daemons, enrolments at one of them", rounds);
    say(
        "  at one other door, median and p95, ms",
        format_args!("{:.0}, {:.0}", quantile(&each, 0.5), quantile(&each, 0.95)),
    );
    say("  at the last of them, median, ms", format_args!("{:.0}", quantile(&all, 0.5)));
    against("  at the last of them, p95", quantile(&all, 0.95), "ms", 500.0);
}

/// How long somebody who does nothing with them takes to be sent all that the broker keeps, in seconds: with the client that
/// doors use, over TLS, on this machine.
fn plain(office: &fleet::Settings, count: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let topic = format!("facegate/v1/{SITE}/status/office");
        let will = Outgoing { topic, payload: b"{}".to_vec(), retain: false, expiry: None };
        let begun = Instant::now();
        let (client, mut heard) = fleet::connect(office, "plain", will).expect("the broker is reached");
        let mut received = 0;
        while received < count {
            match heard.recv().await.expect("the connection holds") {
                Happened::Connected => {
                    client.subscribe(format!("facegate/v1/{SITE}/subjects/+/+")).await.expect("it subscribes")
                }
                Happened::Message(_) => received += 1,
                Happened::Ended(why) => panic!("{why}"),
                _ => {}
            }
        }
        begun.elapsed().as_secs_f64()
    })
}

/// A new door and a plain subscriber, one after the other, are sent what the same broker keeps.
#[test]
#[ignore = "a benchmark: make bench"]
fn how_long_a_new_door_takes_to_fill_itself() {
    let people = number("FACEGATE_BENCH_PEOPLE", 100_000);
    let mut site = Site::new();
    // What it keeps need not be on the disk, as that is not what is measured.
    site.broker = Broker::in_memory(&site.office.path("site"));
    let office = settings(&site.office, "office", site.broker.port);
    let bytes = publish(&office, people, &[]);
    drop(site.console());
    say("subjects with one embedding each, in MB of messages", format_args!("{people}, {:.1}", bytes as f64 / 1e6));
    let before = plain(&office, people);
    let board = site.board("new");
    let daemon = board.start();
    // It tells by itself, from its connection to the moment when the last is stored: to ask for its figures meanwhile would have it
    // count all that is enrolled, each time.
    let done = || daemon.log().into_iter().find(|line| line.contains("all that the broker keeps has come"));
    eventually_within(Duration::from_secs(1800), || done().is_some());
    let done: serde_json::Value = serde_json::from_str(&done().expect("it was there")).expect("the log is JSON");
    let door = done["fields"]["seconds"].as_f64().expect("a time");
    let busy = daemon.processor_time();
    assert_eq!(metric(&daemon, "facegate_fleet_documents "), people as f64, "all of them are there");
    let after = plain(&office, people);
    let alone = before.min(after);
    say("  a plain subscriber before and after, s", format_args!("{before:.2}, {after:.2}"));
    say("  a new door from its connection on, s; its processor time in all, s", format_args!("{door:.2}, {busy:.2}"));
    say("  a new door, subjects a second", format_args!("{:.0}", people as f64 / door));
    against("  a new door, in times of a plain subscriber", door / alone, "×", 1.5);
}

fn eventually_within(patience: Duration, is: impl Fn() -> bool) {
    let deadline = Instant::now() + patience;
    while !is() {
        assert!(Instant::now() < deadline, "not within {patience:?}");
        thread::sleep(Duration::from_millis(500));
    }
}

/// What TCP and IP add to each piece that is sent, with time stamps, in bytes.
const HEADERS: u64 = 52;

/// What a door sends while nothing happens, counted on the wire.
#[test]
#[ignore = "a benchmark: make bench"]
fn what_an_idle_door_sends() {
    let minutes = number("FACEGATE_BENCH_MINUTES", 5);
    let site = Site::new();
    let wire = Proxy::before(site.broker.port);
    let board = boards(&site, 1, wire.port).remove(0);
    let daemon = board.start();
    eventually("it is connected", || (metric(&daemon, "facegate_fleet_connected ") == 1.0).then_some(()));
    // Its birth, first figures and first digest.
    thread::sleep(Duration::from_secs(20));
    let before = wire.sent();
    thread::sleep(Duration::from_secs(60 * minutes as u64));
    let (bytes, pieces) = (wire.sent().0 - before.0, wire.sent().1 - before.1);
    let a_minute = |bytes: u64| bytes as f64 / minutes as f64;
    say("an idle door, minutes; bytes over TLS, pieces", format_args!("{minutes}; {bytes}, {pieces}"));
    // Figures go once in 15 minutes and a digest once an hour, whether or not these minutes saw one.
    against("  sent in a minute, with TCP's and IP's headers", a_minute(bytes + pieces * HEADERS), "B", 1000.0);
}

/// A broker that dies and comes back: when do its doors knock?
#[test]
#[ignore = "a benchmark: make bench"]
fn how_doors_come_back_to_a_broker_that_restarts() {
    let mut site = Site::new();
    let wire = Proxy::before(site.broker.port);
    let boards = boards(&site, 10, wire.port);
    let daemons: Vec<_> = boards.iter().map(Board::start).collect();
    let connected = || daemons.iter().filter(|daemon| metric(daemon, "facegate_fleet_connected ") == 1.0).count();
    eventually("all are connected", || (connected() == 10).then_some(()));
    thread::sleep(Duration::from_secs(5));
    let before = wire.tried().len();
    let killed = Instant::now();
    site.broker.kill();
    thread::sleep(Duration::from_secs(10));
    site.broker.resume();
    let resumed = killed.elapsed().as_secs_f64();
    eventually_within(Duration::from_secs(300), || connected() == 10);
    let all = killed.elapsed().as_secs_f64();
    let tried: Vec<f64> =
        wire.tried()[before..].iter().map(|at| at.saturating_duration_since(killed).as_secs_f64()).collect();
    let mut seconds = vec![0usize; all.ceil() as usize + 1];
    tried.iter().for_each(|at| seconds[*at as usize] += 1);
    let most = tried.iter().map(|from| tried.iter().filter(|at| (*from..from + 1.0).contains(*at)).count()).max();
    say("ten doors, a broker that is away, s", format_args!("{resumed:.1}"));
    say("  attempts in each second since it died", format_args!("{seconds:?}"));
    say("  all are back, s after it is", format_args!("{:.1}", all - resumed));
    // Ten at once would be one a door.
    against("  attempts in the busiest second, for each door", most.unwrap_or(0) as f64 / 10.0, "", 1.0);
}
