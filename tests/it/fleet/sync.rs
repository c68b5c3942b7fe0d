//! Whoever is enrolled at one door is known at all of them.

use super::site::{Site, enrol, key, metric, shows, who};
use crate::support::daemon::eventually;

#[test]
fn an_enrolment_at_one_door_is_recognised_at_another_and_its_deletion_reaches_all() {
    let site = Site::new();
    let boards = [site.board("front"), site.board("back")];
    let keys = boards.each_ref().map(key);
    let [front, back] = boards.each_ref().map(|board| board.start());
    enrol(&front, &keys[0], "obama", "obama.jpg");
    shows(&back, &keys[1], "obama2.jpg", Some("obama"));
    assert_eq!(who(&back, &keys[1], "biden.jpg"), None);
    // By the command line beside the other's daemon.
    boards[1].enrol("biden", "biden.jpg");
    shows(&front, &keys[0], "biden.jpg", Some("biden"));
    let gone = back.call("DELETE", "/v1/face-matching/embeddings?subject_id=obama", Some(&keys[1]), None);
    assert_eq!(gone.status, 200);
    shows(&front, &keys[0], "obama.jpg", None);
    // The journal says who erased it; the receipts say that it is gone.
    eventually("the journal tells", || {
        boards[0].journal().iter().any(|entry| entry["event"] == "erased").then_some(())
    });
    eventually("both doors' receipts", || {
        let said = site.office.run(&["fleet", "receipts", "--json"]).json();
        said.iter().any(|line| line["erased_at"].as_array().is_some_and(|doors| !doors.is_empty())).then_some(())
    });
    assert_eq!(metric(&front, "facegate_fleet_connected "), 1.0);
    assert!(metric(&front, "facegate_fleet_applied_total ") >= 1.0);
    // It takes leave within its second, and others see it.
    front.stop();
    eventually("the front door is offline", || {
        let said = site.office.run(&["fleet", "status", "--json"]).json();
        said.iter().any(|line| line["device"] == "front" && line["online"] == false).then_some(())
    });
}

#[test]
fn an_erasure_that_a_door_has_not_done_yet_is_told_also_where_it_did_an_earlier_one() {
    let site = Site::new();
    let boards = [site.board("front"), site.board("back")];
    let keys = boards.each_ref().map(key);
    let front = boards[0].start();
    let mut back = boards[1].start();
    for _ in 0..2 {
        enrol(&front, &keys[0], "obama", "obama.jpg");
        shows(&back, &keys[1], "obama.jpg", Some("obama"));
        back.stop();
        let gone = front.call("DELETE", "/v1/face-matching/embeddings?subject_id=obama", Some(&keys[0]), None);
        assert_eq!(gone.status, 200);
        let told = |code: i32, missing: &[&str]| {
            eventually(&format!("{missing:?} is missing"), || {
                let said = site.office.run(&["fleet", "receipts", "--json"]);
                let lines = said.json();
                let line = lines.first()?;
                let done = line["erased_at"].as_array()?.iter().any(|door| door == "front");
                (said.code == Some(code) && done && line["missing"] == serde_json::json!(missing)).then_some(())
            });
        };
        told(1, &["back"]);
        back = boards[1].start();
        shows(&back, &keys[1], "obama.jpg", None);
        told(0, &[]);
    }
    drop((front, back));
}

#[test]
fn a_door_that_was_away_and_one_that_is_new_catch_up_and_the_broker_may_die_meanwhile() {
    let mut site = Site::new();
    let boards = [site.board("front"), site.board("back"), site.board("new")];
    let keys = boards.each_ref().map(key);
    let front = boards[0].start();
    let back = boards[1].start();
    enrol(&front, &keys[0], "obama", "obama.jpg");
    shows(&back, &keys[1], "obama.jpg", Some("obama"));
    back.stop();
    site.broker.kill();
    // Nobody to tell: the door works on, and tells when it can.
    enrol(&front, &keys[0], "biden", "biden.jpg");
    let gone = front.call("DELETE", "/v1/face-matching/embeddings?subject_id=obama", Some(&keys[0]), None);
    assert_eq!(gone.status, 200);
    site.broker.resume();
    let back = boards[1].start();
    shows(&back, &keys[1], "biden.jpg", Some("biden"));
    shows(&back, &keys[1], "obama.jpg", None);
    // Both changed somebody while they could not hear each other.
    site.broker.stop();
    enrol(&front, &keys[0], "obama", "obama2.jpg");
    enrol(&back, &keys[1], "obama", "obama.jpg");
    // And the broker has lost everything that it kept.
    site.broker.forget();
    site.broker.resume();
    let count = |board: &crate::support::daemon::Board| {
        board.run(&["list", "--tenant", "main", "--subject", "obama", "--json"]).json().len()
    };
    for board in &boards[..2] {
        eventually("both enrolments at both doors", || (count(board) == 2).then_some(()));
    }
    let new = boards[2].start();
    shows(&new, &keys[2], "biden.jpg", Some("biden"));
    shows(&new, &keys[2], "obama.jpg", Some("obama"));
    drop((front, back));
}

#[test]
fn the_older_protocol_works_as_well() {
    let site = Site::new();
    let mut boards = [site.board("front"), site.board("back")];
    boards.iter_mut().for_each(|board| board.set("fleet.protocol", "3.1.1"));
    let keys = boards.each_ref().map(key);
    let [front, back] = boards.each_ref().map(|board| board.start());
    enrol(&front, &keys[0], "obama", "obama.jpg");
    shows(&back, &keys[1], "obama2.jpg", Some("obama"));
    drop((front, back));
}
