//! Ten real daemons of one site.

use super::site::{Site, enrol, key, metric, shows};
use crate::support::daemon::{Board, eventually};

#[test]
fn ten_doors_know_whoever_was_enrolled_at_any_of_them() {
    let site = Site::new();
    let boards: Vec<_> = (0..10).map(|number| site.board(&format!("door-{number}"))).collect();
    let keys: Vec<_> = boards.iter().map(key).collect();
    // The last comes when all is done.
    let mut daemons: Vec<_> = boards[..9].iter().map(Board::start).collect();
    enrol(&daemons[0], &keys[0], "obama", "obama.jpg");
    enrol(&daemons[4], &keys[4], "biden", "biden.jpg");
    enrol(&daemons[8], &keys[8], "obama", "obama2.jpg");
    for (daemon, key) in daemons.iter().zip(&keys) {
        shows(daemon, key, "obama3.jpg", Some("obama"));
        shows(daemon, key, "biden.jpg", Some("biden"));
    }
    let gone = daemons[7].call("DELETE", "/v1/face-matching/embeddings?subject_id=biden", Some(&keys[7]), None);
    assert_eq!(gone.status, 200);
    daemons.push(boards[9].start());
    for (daemon, key) in daemons.iter().zip(&keys) {
        shows(daemon, key, "biden.jpg", None);
        shows(daemon, key, "obama.jpg", Some("obama"));
    }
    // Both embeddings of the one who is left, at every door, and nothing waits to be published.
    for (board, daemon) in boards.iter().zip(&daemons) {
        eventually("both embeddings", || {
            (board.run(&["list", "--tenant", "main", "--json"]).json().len() == 2).then_some(())
        });
        eventually("nothing waits", || {
            (metric(daemon, "facegate_fleet_outgoing ") == 0.0 && metric(daemon, "facegate_fleet_documents ") == 1.0)
                .then_some(())
        });
    }
    let said = site.office.run(&["fleet", "status", "--json"]).json();
    let online = said.iter().filter(|line| line["online"] == true).count();
    assert_eq!(online, 10);
}
