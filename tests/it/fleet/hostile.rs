//! A broker that cannot be trusted, and devices that cannot be any more.

use facegate::fleet::identity::Member;
use facegate_fleet::sign;

use super::{
    broker::SITE,
    site::{Site, enrol, key, metric, settings, shows, who},
    stranger::Stranger,
};
use crate::support::daemon::{Board, eventually};

#[test]
fn garbage_on_every_topic_is_refused_counted_told_once_and_changes_nothing() {
    let site = Site::new();
    let boards = [site.board("front"), site.board("back")];
    let keys = boards.each_ref().map(key);
    let [front, back] = boards.each_ref().map(|board| board.start());
    enrol(&front, &keys[0], "obama", "obama.jpg");
    shows(&back, &keys[1], "obama.jpg", Some("obama"));
    let before = metric(&back, "facegate_fleet_documents ");
    // A place where a subject could lie, and the keys and the certificate of somebody of the site.
    let place = format!("facegate/v1/{SITE}/subjects/ab/ab{}", "0".repeat(30));
    let office = settings(&site.office, "office", site.broker.port);
    // Of whom the doors have heard.
    drop(site.console());
    let stranger = Stranger::new(&office);
    let theirs = Member::read(&office).expect("it has joined").key;
    let other = facegate_fleet::keys::SecretKey::from_seed(&[9; 32]);
    let topic = |text: &str| format!("facegate/v1/{SITE}/{text}");
    let object = br#"{"v":1,"by":"office","seal":"AAAA"}"#;
    let nobody = br#"{"v":1,"by":"nobody","seal":"AAAA"}"#;
    let hostile: Vec<(String, Vec<u8>, bool)> = vec![
        (place.clone(), b"garbage".to_vec(), true),
        (place.clone(), vec![b'x'; 200 << 10], true),
        (place.clone(), sign::sign(&theirs, &place, object), true),
        (place.clone(), sign::sign(&other, &place, object), true),
        (place.clone(), sign::sign(&other, &place, nobody), true),
        (topic("subjects/zz/nonsense"), b"{}".to_vec(), true),
        (topic("rules/00/00"), b"{}".to_vec(), true),
        (topic("tenants/ab/abab"), vec![0xff; 40], true),
        (topic("devices/front"), sign::sign(&theirs, &topic("devices/front"), br#"{"v":1,"revoked":true}"#), true),
        (topic("digests/office"), b"garbage".to_vec(), true),
        (topic("digests/office"), vec![b'x'; 5 << 10], true),
        (topic("digests/office"), sign::sign(&other, &topic("digests/office"), object), true),
        (topic("digests/office"), sign::sign(&theirs, &topic("digests/office"), object), true),
        (topic("commands/back"), b"{\"name\":\"unlock\"}".to_vec(), true),
        (topic("commands/back"), sign::sign(&other, &topic("commands/back"), object), false),
        (topic("commands/back"), sign::sign(&theirs, &topic("commands/back"), object), false),
    ];
    for _ in 0..3 {
        stranger.publish("somebody", &hostile);
    }
    for cause in ["unsigned", "oversized", "seal", "forged", "unknown_device", "topic", "schema", "role"] {
        eventually(cause, || {
            (metric(&back, &format!("facegate_fleet_refused_total{{cause=\"{cause}\"}} ")) >= 3.0).then_some(())
        });
    }
    let told = back.log().iter().filter(|line| line.contains("was refused")).count();
    assert!((8..=20).contains(&told), "{told} lines for {} messages", 3 * hostile.len());
    assert_eq!(who(&back, &keys[1], "obama.jpg").as_deref(), Some("obama"));
    assert_eq!(metric(&back, "facegate_fleet_documents "), before);
    // It goes on working.
    enrol(&back, &keys[1], "biden", "biden.jpg");
    shows(&front, &keys[0], "biden.jpg", Some("biden"));
}

#[test]
fn whoever_watches_gets_neither_the_key_for_what_doors_share_nor_that_itself() {
    let site = Site::new();
    let board = site.board("front");
    let api = key(&board);
    let front = board.start();
    enrol(&front, &api, "obama", "obama.jpg");
    let mut home = Board::new();
    site.join(&mut home, "home-assistant", "observer");
    assert!(board.path("fleet/sealing.key").exists() && !home.path("fleet/sealing.key").exists());
    let kept = |board: &Board, device: &str| {
        let filter = format!("facegate/v1/{SITE}/#");
        let kept = Stranger::new(&settings(board, device, site.broker.port)).kept(&format!("{device}-reads"), &filter);
        let below = |what: &str| kept.iter().filter(|(topic, _)| topic.split('/').nth(3) == Some(what)).count();
        (below("status"), below("subjects"))
    };
    eventually("the office reads all of it", || (kept(&site.office, "office") == (1, 1)).then_some(()));
    assert_eq!(kept(&home, "home-assistant"), (1, 0));
    drop(front);
}

#[test]
fn a_device_that_is_revoked_while_it_is_connected_changes_nothing_any_more() {
    let site = Site::new();
    let boards = [site.board("front"), site.board("stolen")];
    let keys = boards.each_ref().map(key);
    let [front, stolen] = boards.each_ref().map(|board| board.start());
    enrol(&stolen, &keys[1], "obama", "obama.jpg");
    shows(&front, &keys[0], "obama.jpg", Some("obama"));
    site.office.run(&["fleet", "revoke", "stolen"]).must(0, &["revoked"]);
    eventually("it is revoked", || {
        let said = site.office.run(&["fleet", "status", "--json"]).json();
        said.iter().any(|line| line["device"] == "stolen" && line["revoked"] == true).then_some(())
    });
    enrol(&stolen, &keys[1], "biden", "biden.jpg");
    eventually("what it says is refused", || {
        (metric(&front, "facegate_fleet_refused_total{cause=\"revoked\"} ") >= 1.0).then_some(())
    });
    assert_eq!(who(&front, &keys[0], "biden.jpg"), None);
    // What it said before stays, and a new door learns it from somebody who is trusted.
    drop(stolen);
    let board: Board = site.board("new");
    let api = key(&board);
    let new = board.start();
    shows(&new, &api, "obama2.jpg", Some("obama"));
    assert_eq!(who(&new, &api, "biden.jpg"), None);
    // After a restart it is still not trusted, although the broker forgets.
    front.stop();
    let front = boards[0].start();
    shows(&front, &keys[0], "obama.jpg", Some("obama"));
}

#[test]
fn a_new_door_believes_no_revoked_device_though_the_broker_says_that_the_site_vouches_for_it() {
    let site = Site::new();
    let boards = [site.board("front"), site.board("stolen")];
    let keys = boards.each_ref().map(key);
    let [front, stolen] = boards.each_ref().map(|board| board.start());
    enrol(&front, &keys[0], "obama", "obama.jpg");
    shows(&stolen, &keys[1], "obama.jpg", Some("obama"));
    let stranger = Stranger::new(&settings(&site.office, "office", site.broker.port));
    let topic = format!("facegate/v1/{SITE}/devices/stolen");
    let old = stranger.kept("reads", &topic).pop().expect("the site vouches for it").1;
    site.office.run(&["fleet", "revoke", "stolen"]).must(0, &["revoked", "crl.pem"]);
    // All that have heard of it are gone when the old voucher comes back.
    front.stop();
    stolen.stop();
    stranger.publish("writes", &[(topic.clone(), old.clone(), true)]);
    let board = site.board("new");
    let api = key(&board);
    let new = board.start();
    shows(&new, &api, "obama.jpg", Some("obama"));
    // It puts the revocation back itself, however often it is taken away.
    for _ in 0..12 {
        eventually("the broker knows again that it is revoked", || {
            let kept = stranger.kept("reads", &topic).pop().expect("a voucher").1;
            String::from_utf8(kept).expect("JSON").contains("\"revoked\":true").then_some(())
        });
        stranger.publish("writes", &[(topic.clone(), old.clone(), true)]);
    }
    let stolen = boards[1].start();
    enrol(&stolen, &keys[1], "biden", "biden.jpg");
    eventually("what it says is refused", || {
        (metric(&new, "facegate_fleet_refused_total{cause=\"revoked\"} ") >= 1.0).then_some(())
    });
    assert_eq!(who(&new, &api, "biden.jpg"), None);
}

#[test]
fn a_broker_with_the_sites_list_takes_a_revoked_device_no_more() {
    let mut site = Site::new();
    let boards = [site.board("front"), site.board("stolen")];
    boards[1].run(&["check"]).must(0, &["takes this device"]);
    let stolen = boards[1].start();
    eventually("it is known", || {
        let said = site.office.run(&["fleet", "status", "--json"]).json();
        said.iter().any(|line| line["device"] == "stolen" && line["online"] == true).then_some(())
    });
    stolen.stop();
    site.office.run(&["fleet", "revoke", "stolen"]).must(0, &["revoked"]);
    site.broker.stop();
    site.broker.resume();
    boards[1].run(&["check"]).must(1, &["does not take this device"]);
    boards[0].run(&["check"]).must(0, &["takes this device"]);
}

#[test]
fn a_request_and_an_approval_that_are_not_those_that_were_meant_are_refused() {
    let site = Site::new();
    let mut board = Board::new();
    site.configure(&mut board, "front");
    let print = |ended: &crate::support::daemon::Ended, what: &str| -> String {
        let said = ended.said();
        let line = said.lines().find(|line| line.contains(what)).expect("a fingerprint").to_owned();
        line.rsplit(' ').next().expect("a word").to_owned()
    };
    let asked = board.run(&["fleet", "join-request", "--out", "request.json"]).must(0, &["carry it"]);
    let device = print(&asked, "this device's fingerprint");
    let (keys, request) = (site.office.path("site"), board.path("request.json"));
    let approval = board.path("approval.json");
    let [keys, request, approval] = [keys, request, approval].map(|path| path.display().to_string());
    let approve = |fingerprint: &str| {
        let args =
            ["fleet", "approve", &request, "--site-dir", &keys, "--fingerprint", fingerprint, "--out", &approval];
        board.run(&args)
    };
    let refused = approve("0000-0000-0000-0000-0000");
    assert!(
        refused.code != Some(0) && refused.said().contains("not the one that the device made"),
        "{}",
        refused.said()
    );
    assert!(!board.path("approval.json").exists());
    let approved = approve(&device.to_uppercase()).must(0, &["carry it"]);
    let theirs = print(&approved, "the site's fingerprint");
    let join = |fingerprint: &str| board.run(&["fleet", "join", "approval.json", "--site-fingerprint", fingerprint]);
    let refused = join(&device);
    assert!(refused.code != Some(0) && refused.said().contains("another site's"), "{}", refused.said());
    join(&theirs).must(0, &["is of the site hq", &theirs]);
}
