//! Wires that break, clients inside the broker, brokers that die and clocks that are wrong: the doors come to have the same, and
//! what they should.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use facegate::gallery::SubjectChange;
use jiff::SignedDuration;

use super::{
    broker::SITE,
    peer::{Peer, tenant},
    proxy::Proxy,
    site::{Site, enrol, key, metric, settings, shows, who},
    stranger::Stranger,
};
use crate::support::daemon::{Board, Daemon, eventually, patience};

fn delete(daemon: &Daemon, key: &str, subject: &str) {
    let path = format!("/v1/face-matching/embeddings?subject_id={subject}");
    assert_eq!(daemon.call("DELETE", &path, Some(key), None).status, 200);
}

/// Waits until a board has so many embeddings of a subject.
#[track_caller]
fn has(board: &Board, subject: &str, count: usize) {
    eventually(&format!("{count} embeddings of {subject}"), || {
        let listed = board.run(&["list", "--tenant", "main", "--subject", subject, "--json"]).json().len();
        (listed == count).then_some(())
    });
}

#[test]
fn doors_come_together_again_however_the_wire_between_them_failed() {
    let site = Site::new();
    let wire = Proxy::before(site.broker.port);
    let mut boards = [site.board("front"), site.board("back")];
    boards[1].set("fleet.broker", format!("localhost:{}", wire.port));
    boards[1].set("fleet.keep_alive_s", 5);
    let keys = boards.each_ref().map(key);
    let [front, back] = boards.each_ref().map(Board::start);
    enrol(&front, &keys[0], "obama", "obama.jpg");
    shows(&back, &keys[1], "obama.jpg", Some("obama"));

    // Cut: both change the same person.
    wire.cut();
    eventually("the door notices", || (metric(&back, "facegate_fleet_connected ") == 0.0).then_some(()));
    enrol(&front, &keys[0], "biden", "biden.jpg");
    enrol(&front, &keys[0], "obama", "obama2.jpg");
    enrol(&back, &keys[1], "obama", "obama3.jpg");
    assert_eq!(who(&back, &keys[1], "biden.jpg"), None);
    wire.mend();
    shows(&back, &keys[1], "biden.jpg", Some("biden"));
    boards.iter().for_each(|board| has(board, "obama", 3));

    // Silent, then as if nothing had been: the door works on meanwhile.
    wire.stall();
    delete(&front, &keys[0], "biden");
    assert_eq!(who(&back, &keys[1], "biden.jpg").as_deref(), Some("biden"));
    wire.mend();
    shows(&back, &keys[1], "biden.jpg", None);

    // Half open for ever: the door finds out by itself.
    wire.forget();
    enrol(&front, &keys[0], "biden", "biden.jpg");
    shows(&back, &keys[1], "biden.jpg", Some("biden"));
    assert!(metric(&back, "facegate_fleet_connections_total ") >= 3.0);

    // Slow.
    wire.slow(Duration::from_millis(200));
    delete(&front, &keys[0], "obama");
    shows(&back, &keys[1], "obama.jpg", None);
    enrol(&back, &keys[1], "obama", "obama2.jpg");
    shows(&front, &keys[0], "obama.jpg", Some("obama"));
    boards.iter().for_each(|board| has(board, "obama", 1));
}

#[test]
fn what_is_repeated_reordered_or_deleted_inside_the_broker_brings_nobody_back_and_takes_nobody_away() {
    let site = Site::new();
    let boards = [site.board("front"), site.board("back")];
    let keys = boards.each_ref().map(key);
    let [front, back] = boards.each_ref().map(Board::start);
    let office = settings(&site.office, "office", site.broker.port);
    let inside = Stranger::new(&office);
    let documents = format!("facegate/v1/{SITE}/subjects/#");
    enrol(&front, &keys[0], "obama", "obama.jpg");
    shows(&back, &keys[1], "obama.jpg", Some("obama"));
    let before = inside.kept("listener", &documents);
    assert_eq!(before.len(), 1);
    delete(&back, &keys[1], "obama");
    enrol(&back, &keys[1], "biden", "biden.jpg");
    shows(&front, &keys[0], "obama.jpg", None);
    shows(&front, &keys[0], "biden.jpg", Some("biden"));
    let after = eventually("the broker has both", || {
        let kept = inside.kept("listener", &documents);
        (kept.len() == 2).then_some(kept)
    });

    let again = |messages: &[(String, Vec<u8>)], retain: bool| {
        let all: Vec<_> = messages.iter().map(|(topic, payload)| (topic.clone(), payload.clone(), retain)).collect();
        inside.publish("replayer", &all);
    };
    let holds = || {
        for (daemon, key) in [(&front, &keys[0]), (&back, &keys[1])] {
            assert_eq!(who(daemon, key, "obama.jpg"), None, "somebody who was erased is back");
            assert_eq!(who(daemon, key, "biden.jpg").as_deref(), Some("biden"));
        }
    };
    // Repeated, the newest before the oldest, and kept.
    again(&after, true);
    again(&after, false);
    again(&before, false);
    again(&before, true);
    holds();
    // What the broker keeps now is an old version. A door that knows nothing else comes to know better.
    let new = site.board("new");
    let new_key = key(&new);
    let new = new.start();
    shows(&new, &new_key, "biden.jpg", Some("biden"));
    shows(&new, &new_key, "obama.jpg", None);
    // Taken away altogether: somebody has the broker keep it again.
    let nothing: Vec<_> = after.iter().map(|(topic, _)| (topic.clone(), Vec::new())).collect();
    again(&nothing, true);
    holds();
    eventually("the broker keeps both again", || (inside.kept("listener", &documents).len() == 2).then_some(()));
    holds();
    for daemon in [&front, &back, &new] {
        assert_eq!(metric(daemon, "facegate_fleet_documents "), 1.0, "nobody but one lives");
    }
}

/// Waits until all have the same people, and so many embeddings of them.
#[track_caller]
fn alike(peers: &[Peer], count: usize) {
    eventually(&format!("{count} embeddings at all doors"), || {
        let people: Vec<_> = peers.iter().map(Peer::people).collect();
        (people[0].len() == count && people.iter().all(|one| *one == people[0])).then_some(())
    });
}

#[test]
fn doors_whose_clocks_are_a_year_apart_agree_and_whoever_knew_of_the_other_s_change_wins() {
    let site = Site::new();
    let year = SignedDuration::from_hours(365 * 24);
    let clocks = [("right", SignedDuration::ZERO), ("ahead", year), ("behind", -year)];
    let mut peers = clocks.map(|(device, wrong)| Peer::new(&site, device, wrong));
    peers.iter_mut().for_each(Peer::connect);
    let [right, ahead, behind] = [0, 1, 2];
    let suspend = |peer: &Peer, active: bool| {
        let change = SubjectChange { active: Some(active), metadata: None };
        peer.gallery.change(&tenant(), &"anna".parse().expect("a name"), &change).expect("she is enrolled");
    };
    let becomes = |peers: &[Peer], active: bool| {
        eventually("she is suspended, or not, at all doors", || {
            let of_anna = |peer: &Peer| peer.people().iter().filter(|one| one.0 == "anna").all(|one| one.2 == active);
            peers.iter().all(of_anna).then_some(())
        });
    };
    peers[ahead].enrol("anna", 1);
    alike(&peers, 1);
    // Two years earlier by its clock, and later.
    suspend(&peers[behind], false);
    becomes(&peers, false);
    suspend(&peers[right], true);
    becomes(&peers, true);
    suspend(&peers[behind], false);
    becomes(&peers, false);
    peers[behind].gallery.delete_subject(&tenant(), &"anna".parse().expect("a name")).expect("she is enrolled");
    alike(&peers, 0);
    // Enrolled again by the one whose clock is the earliest: later than her erasure all the same.
    peers[behind].enrol("anna", 2);
    alike(&peers, 1);
    becomes(&peers, true);

    // Neither knows of the other: one of them wins, the same one at all doors, and both new embeddings stay.
    peers[ahead].disconnect();
    peers[behind].disconnect();
    suspend(&peers[ahead], false);
    peers[ahead].enrol("anna", 3);
    suspend(&peers[behind], false);
    suspend(&peers[behind], true);
    peers[behind].enrol("anna", 4);
    peers[ahead].connect();
    peers[behind].connect();
    alike(&peers, 3);
    becomes(&peers, false);
}

#[test]
fn a_broker_that_is_killed_again_and_again_while_people_are_enrolled_loses_nobody() {
    let mut site = Site::new();
    let mut peers = ["a", "b", "c"].map(|device| Peer::new(&site, device, SignedDuration::ZERO));
    peers.iter_mut().for_each(Peer::connect);
    thread::scope(|scope| {
        for (number, peer) in peers.iter().enumerate() {
            scope.spawn(move || {
                for face in 0..25 {
                    let subject = format!("person-{number}-{face}");
                    peer.enrol(&subject, number as u32 * 100 + face);
                    if face % 5 == 4 {
                        peer.gallery
                            .delete_subject(&tenant(), &subject.parse().expect("a name"))
                            .expect("it is enrolled");
                    }
                    thread::sleep(Duration::from_millis(100));
                }
            });
        }
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(500));
            site.broker.kill();
            thread::sleep(Duration::from_millis(200));
            site.broker.resume();
        }
    });
    alike(&peers, 3 * 20);
    // And the broker itself has them all, for whoever comes.
    let mut new = Peer::new(&site, "new", SignedDuration::ZERO);
    new.connect();
    eventually("a new door has them all", || {
        let names = |peer: &Peer| peer.people().into_iter().map(|one| one.0).collect::<BTreeSet<_>>();
        (names(&new) == names(&peers[0])).then_some(())
    });
}

/// The link asks for the newest transaction and reads what changed where it is a new one. A commit that is being made durable
/// meanwhile must not count as seen before it can be read.
#[test]
fn a_change_is_never_taken_for_seen_before_it_can_be_read() {
    let mut site = Site::new();
    let mut peer = Peer::new(&site, "front", SignedDuration::ZERO);
    // Nobody takes what waits.
    site.broker.kill();
    peer.enrol("person", 1000);
    peer.connect();
    eventually("it has joined", || {
        peer.gallery.outgoing(None, usize::MAX).is_ok_and(|all| !all.is_empty()).then_some(())
    });
    peer.disconnect();
    let waiting = || peer.gallery.outgoing(None, usize::MAX).expect("the store can be read").len();
    let before = waiting();
    let seen = AtomicUsize::new(before);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = usize::MAX;
            while !done.load(Ordering::Relaxed) {
                let newest = peer.gallery.newest_transaction();
                if newest != last {
                    seen.store(waiting(), Ordering::Relaxed);
                    last = newest;
                }
            }
        });
        let mut expected = before;
        let seen_all = (0..100).all(|face| {
            peer.enrol(&format!("person-{face}"), face);
            expected += 1;
            let deadline = Instant::now() + patience();
            while seen.load(Ordering::Relaxed) < expected && Instant::now() < deadline {
                thread::yield_now();
            }
            seen.load(Ordering::Relaxed) >= expected
        });
        done.store(true, Ordering::Relaxed);
        assert!(seen_all, "an enrolment that was stored is not seen");
    });
}
