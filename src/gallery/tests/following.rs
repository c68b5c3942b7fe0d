//! How one process follows what another does: in an order that lets nobody in, and however large the store grows.

use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use super::*;
use crate::{
    access::rules::Rules,
    rulebook::{Gate, Pass},
};

/// Runs one of the children below, to its end.
#[track_caller]
fn run(test: &str, dir: &Path) {
    let status = child(&format!("gallery::tests::following::{test}"), dir).status().unwrap();
    assert!(status.success(), "{test}: {status}");
}

/// Not a test of its own: another process that deletes a tenant.
#[test]
fn child_that_deletes_the_tenant() {
    let Some(dir) = as_child() else { return };
    assert_eq!(open(&dir).delete_tenant(&tenant("acme")).unwrap(), 1);
}

#[test]
fn a_tenant_that_another_process_deletes_lets_nobody_in_on_its_way() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    for name in ["acme", "large"] {
        gallery.add_tenant(&tenant(name), None).unwrap();
    }
    gallery.enroll(&acme, new("bob", 7)).unwrap();
    let rules = |subjects: Vec<serde_json::Value>| -> Rules {
        serde_json::from_value(serde_json::json!({ "subjects": subjects })).unwrap()
    };
    let suspended = serde_json::json!({"id": "bob", "active": false});
    gallery.replace_rules(&acme, &rules(vec![suspended]), Expected::Any).unwrap();
    // Another tenant, whose rules take a while to read.
    let many = (0..20_000).map(|n| serde_json::json!({ "id": format!("EMP-{n:05}") })).collect();
    gallery.replace_rules(&tenant("large"), &rules(many), Expected::Any).unwrap();

    let gate = Gate::new(gallery.access(&acme), "front".into());
    let (over, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    // What a door does with a face: the gallery, then the rules.
    let look = || {
        looks.fetch_add(1, Ordering::Relaxed);
        let known = gallery.best_two(&acme, &face(7)).unwrap();
        let at = "2026-11-23T10:00:00Z".parse().unwrap();
        let pass =
            Pass { subject: "bob", passage: facegate_control::Passage::Entry, tag: 1, at, now: Default::default() };
        !known.is_empty() && gate.admit(pass).allowed()
    };
    assert!(!look(), "he is suspended");
    assert_eq!(gallery.compared_with(&acme), 1);
    run("child_that_deletes_the_tenant", dir.path());
    let opened = std::thread::scope(|scope| {
        let door = scope.spawn(|| {
            let mut opened = false;
            while !over.load(Ordering::Acquire) {
                opened |= look();
            }
            opened
        });
        let before = looks.load(Ordering::Relaxed);
        while looks.load(Ordering::Relaxed) == before {
            std::thread::yield_now();
        }
        gallery.refresh().unwrap();
        over.store(true, Ordering::Release);
        door.join().unwrap()
    });
    assert!(looks.load(Ordering::Relaxed) > 10, "the door looked meanwhile");
    assert!(!opened, "the door opened for somebody who was suspended, since the rules went before the face");
    assert_eq!(gallery.compared_with(&acme), 0);

    // One of the same name begins without rules, whoever was denied before.
    gallery.add_tenant(&acme, None).unwrap();
    gallery.enroll(&acme, new("bob", 7)).unwrap();
    assert!(look(), "there are no rules");
    assert_sound(&gallery);
}

/// Not a test of its own: another process, whose `max_mb` is larger, and which fills more than the first one's.
#[test]
fn child_that_lets_the_store_grow() {
    let Some(dir) = as_child() else { return };
    let settings = Settings { max_mb: 64, keep_photographs: true, ..settings(&dir) };
    let gallery = Gallery::open(&settings, MODEL, Arc::new(clock())).unwrap();
    let acme = tenant("acme");
    for seed in 100..116 {
        let photograph = Some(Zeroizing::new(vec![0; 1 << 20]));
        gallery.enroll(&acme, NewEnrolment { photograph, ..new("grown", seed) }).unwrap();
    }
    gallery.delete_subject(&acme, &subject("barack")).unwrap();
}

#[test]
fn a_store_that_another_process_lets_grow_is_followed() {
    let dir = folder();
    let small = Settings { max_mb: 1, ..settings(dir.path()) };
    let gallery = Gallery::open(&small, MODEL, Arc::new(clock())).unwrap();
    let acme = tenant("acme");
    gallery.enroll(&acme, new("barack", 7)).unwrap();
    assert_eq!(gallery.best_two(&acme, &face(7)).unwrap()[0].0, subject("barack"));
    // Somebody looks at the store while it grows: their view stays as it was, and the map where it is.
    let reading = gallery.store.read().unwrap();
    run("child_that_lets_the_store_grow", dir.path());
    let refused = gallery.refresh().unwrap_err();
    assert!(refused.message().contains("grow"), "{refused}");
    assert_eq!(gallery.behind().map(|behind| behind.why), Some(refused.message().to_owned()));
    let row = gallery.store.tenant(&reading, &acme).unwrap().unwrap();
    assert_eq!(gallery.of_subject(&reading, row.number, &subject("barack")).unwrap().len(), 1);
    drop(reading);

    assert!(gallery.refresh().unwrap(), "it is taken over once nobody looks");
    assert_eq!(gallery.behind(), None);
    let found = gallery.best_two(&acme, &face(7)).unwrap();
    assert!(found.iter().all(|(subject, _, _)| subject.as_str() == "grown"), "whoever was deleted is gone");
    assert_eq!(gallery.best_two(&acme, &face(115)).unwrap()[0].0, subject("grown"));
    // It writes as well; what it may fill is still its own setting.
    assert_eq!(gallery.enroll(&acme, new("eve", 9)).unwrap_err().kind(), Kind::StorageFull);
    gallery.delete_subject(&acme, &subject("grown")).unwrap();
    gallery.enroll(&acme, new("eve", 9)).unwrap();
    assert_sound(&gallery);
}
