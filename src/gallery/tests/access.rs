//! Rules and whereabouts: durable, sealed, apart by tenant, followed by other processes, and gone when they are deleted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use facegate_control::Passage;

use super::*;
use crate::{
    access::rules::{Place, Rules, SubjectRules},
    clock::Clock,
    error::Kind,
    rulebook::{Gate, Pass},
};

fn house() -> Rules {
    serde_json::from_str(
        r#"{
            "schedules": [{"name": "day-hours", "zone": "Europe/Brussels",
                           "week": [{"days": ["mon"], "from": "08:00", "to": "18:00"}]}],
            "areas": [{"name": "grand-hall", "anti_passback": "hard"}],
            "doors": [{"name": "front", "inside": "grand-hall"}],
            "groups": [{"name": "house-staff", "access": [{"doors": ["front"]}]}],
            "subjects": [{"id": "ann-of-the-house", "groups": ["house-staff"]}, {"id": "bob", "groups": ["house-staff"]}]
        }"#,
    )
    .expect("rules")
}

fn pass(subject: &str) -> Pass<'_> {
    let at = "2026-11-23T10:00:00Z".parse().expect("a time");
    Pass { subject, passage: Passage::Entry, tag: 1, at, now: Moment::default() }
}

fn code(gallery: &Gallery, name: &str, subject: &str) -> &'static str {
    let gate = Gate::new(gallery.access(&tenant(name)), "front".into());
    let ruling = gate.admit(pass(subject));
    gate.unused(1);
    ruling.code()
}

/// Lets somebody in for good.
/// The gallery of a folder, with the tenant whose house it is.
fn house_of(dir: &Path) -> Gallery {
    let gallery = open(dir);
    if gallery.tenants().unwrap().is_empty() {
        gallery.add_tenant(&tenant("acme"), None).unwrap();
    }
    gallery
}

fn let_in(gallery: &Gallery, subject: &str) {
    let gate = Gate::new(gallery.access(&tenant("acme")), "front".into());
    assert!(gate.admit(pass(subject)).allowed());
    gate.passed(1, pass(subject).at, Moment::default());
    gallery.store_presence(Duration::ZERO).unwrap();
}

use crate::clock::Moment;

#[test]
fn rules_are_whole_after_a_restart_and_apart_by_tenant() {
    let dir = folder();
    let gallery = house_of(dir.path());
    assert_eq!(code(&gallery, "acme", "anybody"), "allowed", "there are no rules");
    let revision = gallery.replace_rules(&tenant("acme"), &house(), Expected::Nothing).unwrap();
    let mut gallery = gallery;
    for _ in 0..2 {
        let stored = gallery.rules(&tenant("acme")).unwrap().expect("they are stored");
        assert_eq!((&stored.rules, stored.revision), (&house(), revision));
        assert_eq!(code(&gallery, "acme", "bob"), "allowed");
        assert_eq!(code(&gallery, "acme", "eve"), "not_in_rules");
        assert_eq!(code(&gallery, "beta", "eve"), "allowed", "another tenant has no rules");
        assert_eq!(gallery.rules(&tenant("beta")).unwrap(), None);
        assert_sound(&gallery);
        gallery = open_again(gallery, &dir);
    }
}

#[test]
fn every_change_is_checked_against_the_whole_and_leaves_nothing_where_it_is_refused() {
    let dir = folder();
    let gallery = house_of(dir.path());
    let acme = tenant("acme");
    gallery.replace_rules(&acme, &house(), Expected::Any).unwrap();
    let refused = |error: Error, words: &str| {
        assert_eq!(error.kind(), Kind::InvalidRules);
        assert!(error.message().contains(words), "{error}");
        assert!(error.advice().is_some());
    };
    refused(
        gallery
            .change_rules(&acme, |rules| {
                rules.groups.clear();
                Ok(())
            })
            .unwrap_err(),
        "subjects 'ann-of-the-house': there is no group 'house-staff'",
    );
    refused(
        gallery
            .change_rules(&acme, |rules| {
                rules.areas.clear();
                Ok(())
            })
            .unwrap_err(),
        "doors 'front': there is no area 'grand-hall'",
    );
    let stray = SubjectRules { groups: vec!["nobody".into()], ..house().subjects[0].clone() };
    let change = |_: Option<&SubjectRules>| Ok(Some(stray.clone()));
    refused(gallery.change_subject(&acme, &subject("ann-of-the-house"), change).unwrap_err(), "no group 'nobody'");
    let mut twice = house();
    twice.subjects.push(twice.subjects[0].clone());
    refused(gallery.replace_rules(&acme, &twice, Expected::Any).unwrap_err(), "stands twice");
    assert_eq!(gallery.rules(&acme).unwrap().expect("as before").rules, house());
    assert_eq!(code(&gallery, "acme", "bob"), "allowed");
}

#[test]
fn a_change_to_what_somebody_else_changed_meanwhile_is_refused() {
    let dir = folder();
    let gallery = house_of(dir.path());
    let acme = tenant("acme");
    let first = gallery.replace_rules(&acme, &house(), Expected::Nothing).unwrap();
    let again = gallery.replace_rules(&acme, &house(), Expected::Nothing).unwrap_err();
    assert_eq!(again.kind(), Kind::PreconditionFailed);
    gallery.change_subject(&acme, &subject("bob"), |_| Ok(None)).unwrap();
    let late = gallery.replace_rules(&acme, &house(), Expected::Revision(first)).unwrap_err();
    assert_eq!(late.kind(), Kind::PreconditionFailed);
    let now = gallery.rules(&acme).unwrap().expect("there are rules").revision;
    gallery.replace_rules(&acme, &house(), Expected::Revision(now)).unwrap();
    assert_eq!(gallery.delete_rules(&acme, Expected::Revision(now)).unwrap_err().kind(), Kind::PreconditionFailed);
    assert!(gallery.delete_rules(&acme, Expected::Any).unwrap());
    assert!(!gallery.delete_rules(&acme, Expected::Any).unwrap());
    assert_eq!(code(&gallery, "acme", "anybody"), "allowed", "there are no rules again");
    assert_sound(&gallery);
}

#[test]
fn the_first_subject_makes_rules_and_its_deletion_does_not_end_them() {
    let dir = folder();
    let gallery = house_of(dir.path());
    let acme = tenant("acme");
    let ann = SubjectRules { groups: Vec::new(), ..house().subjects[0].clone() };
    gallery
        .change_subject(&acme, &subject("ann"), |before| {
            assert!(before.is_none());
            Ok(Some(SubjectRules { id: "ann".into(), ..ann }))
        })
        .unwrap();
    assert_eq!(code(&gallery, "acme", "bob"), "not_in_rules");
    gallery.change_subject(&acme, &subject("ann"), |_| Ok(None)).unwrap();
    assert_eq!(code(&gallery, "acme", "bob"), "not_in_rules", "empty rules let nobody in");
    assert_eq!(code(&open_again(gallery, &dir), "acme", "bob"), "not_in_rules");
}

fn open_again(gallery: Gallery, dir: &TempDir) -> Gallery {
    drop(gallery);
    house_of(dir.path())
}

#[test]
fn another_process_s_changes_are_followed() {
    if let Some(dir) = as_child() {
        let gallery = open(&dir);
        gallery.replace_rules(&tenant("acme"), &house(), Expected::Any).unwrap();
        gallery.change_subject(&tenant("acme"), &subject("bob"), |_| Ok(None)).unwrap();
        gallery.forgive(&tenant("acme"), Some(&subject("ann-of-the-house"))).unwrap();
        return;
    }
    let dir = folder();
    let gallery = house_of(dir.path());
    gallery.replace_rules(&tenant("acme"), &house(), Expected::Any).unwrap();
    let_in(&gallery, "ann-of-the-house");
    let_in(&gallery, "bob");
    let output = child("gallery::tests::access::another_process_s_changes_are_followed", dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(code(&gallery, "acme", "ann-of-the-house"), "already_inside", "the door asks its memory");
    assert!(gallery.refresh().unwrap());
    assert_eq!(code(&gallery, "acme", "ann-of-the-house"), "allowed", "she is forgiven");
    assert_eq!(code(&gallery, "acme", "bob"), "not_in_rules");
    gallery.store_presence(Duration::ZERO).unwrap();
    assert_sound(&gallery);
}

#[test]
fn who_is_inside_is_known_after_a_restart_until_they_are_forgiven() {
    let dir = folder();
    let gallery = house_of(dir.path());
    gallery.replace_rules(&tenant("acme"), &house(), Expected::Any).unwrap();
    let_in(&gallery, "bob");
    let gallery = open_again(gallery, &dir);
    assert_eq!(code(&gallery, "acme", "bob"), "already_inside");
    let stored = gallery.presence(&tenant("acme")).unwrap();
    assert_eq!(stored["bob"].place, Some(Place::Area("grand-hall".into())));
    assert_eq!(gallery.forgive(&tenant("acme"), Some(&subject("eve"))).unwrap(), 0);
    assert_eq!(gallery.forgive(&tenant("acme"), Some(&subject("bob"))).unwrap(), 1);
    assert_eq!(code(&gallery, "acme", "bob"), "allowed");
    gallery.store_presence(Duration::ZERO).unwrap();
    let_in(&gallery, "bob");
    let_in(&gallery, "ann-of-the-house");
    assert_eq!(gallery.forgive(&tenant("beta"), None).unwrap(), 0);
    assert_eq!(gallery.forgive(&tenant("acme"), None).unwrap(), 2);
    let gallery = open_again(gallery, &dir);
    assert_eq!(code(&gallery, "acme", "bob"), "allowed");
    assert_sound(&gallery);
}

#[test]
fn names_are_nowhere_in_the_clear_and_deleting_destroys_the_secret() {
    let dir = folder();
    let gallery = house_of(dir.path());
    gallery.replace_rules(&tenant("acme"), &house(), Expected::Any).unwrap();
    let_in(&gallery, "ann-of-the-house");
    let secrets = || {
        std::fs::read(dir.path().join("gallery/seal.keys"))
            .unwrap()
            .chunks(32)
            .skip(1)
            .filter(|slot| slot.iter().any(|&b| b != 0))
            .count()
    };
    assert_eq!(secrets(), 4, "all rules but subjects, two subjects, one's whereabouts");
    gallery.change_subject(&tenant("acme"), &subject("ann-of-the-house"), |_| Ok(None)).unwrap();
    assert_eq!(secrets(), 3);
    gallery.forgive(&tenant("acme"), None).unwrap();
    assert_eq!(secrets(), 2);
    drop(gallery);
    let file = std::fs::read(dir.path().join("gallery/data.mdb")).unwrap();
    for name in ["ann-of-the-house", "grand-hall", "house-staff", "day-hours"] {
        assert!(!file.windows(name.len()).any(|window| window == name.as_bytes()), "{name} can be read");
    }
}

#[test]
fn deleting_a_subject_deletes_its_rules_and_whereabouts() {
    let dir = folder();
    let gallery = house_of(dir.path());
    let acme = tenant("acme");
    gallery.replace_rules(&acme, &house(), Expected::Any).unwrap();
    for name in ["ann-of-the-house", "bob"] {
        gallery.enroll(&acme, new(name, 1)).unwrap();
        let_in(&gallery, name);
    }
    gallery.delete_subject(&acme, &subject("bob")).unwrap();
    assert_eq!(gallery.subject_rules(&acme, &subject("bob")).unwrap(), None);
    assert_eq!(code(&gallery, "acme", "bob"), "not_in_rules");
    gallery.store_presence(Duration::ZERO).unwrap();
    assert_eq!(gallery.presence(&acme).unwrap().len(), 1);
    gallery.delete_all(&acme).unwrap();
    gallery.store_presence(Duration::ZERO).unwrap();
    assert!(gallery.presence(&acme).unwrap().is_empty());
    let left = gallery.rules(&acme).unwrap().expect("the groups stay").rules;
    assert_eq!((left.subjects.len(), left.groups.len()), (0, 1));
    assert_sound(&gallery);
}

#[test]
fn what_cannot_be_read_denies_and_check_names_it() {
    let dir = folder();
    let gallery = house_of(dir.path());
    let acme = tenant("acme");
    gallery.replace_rules(&acme, &house(), Expected::Any).unwrap();
    let_in(&gallery, "bob");
    // One after the other: the whereabouts, a subject, all other rules.
    let damage = |gallery: &Gallery, of_presence: bool, nth: usize| {
        let mut writer = gallery.write().unwrap();
        let table = if of_presence { gallery.store.presence } else { gallery.store.access };
        let (key, mut value) = {
            let (key, value) = table.iter(writer.txn()).unwrap().nth(nth).unwrap().unwrap();
            (key.to_vec(), value.to_vec())
        };
        *value.last_mut().unwrap() ^= 1;
        table.put(writer.txn(), &key, &value).unwrap();
        writer.commit(super::super::store::Room::Reserve).unwrap();
    };
    damage(&gallery, true, 0);
    let gallery = open_again(gallery, &dir);
    assert_eq!(code(&gallery, "acme", "bob"), "rule_unreadable");
    assert_eq!(code(&gallery, "acme", "ann-of-the-house"), "allowed");
    assert!(!gallery.check().unwrap().is_sound());
    assert_eq!(gallery.forgive(&acme, Some(&subject("bob"))).unwrap(), 1);
    assert_eq!(code(&gallery, "acme", "bob"), "allowed");
    assert_sound(&gallery);

    damage(&gallery, false, 1);
    let gallery = open_again(gallery, &dir);
    let codes = [code(&gallery, "acme", "bob"), code(&gallery, "acme", "ann-of-the-house")];
    assert!(codes.contains(&"rule_unreadable") && codes.contains(&"allowed"), "{codes:?}");
    let report = gallery.check().unwrap();
    assert!(report.findings.iter().any(|finding| finding.message.contains("the rules of a subject")), "{report:#?}");
    gallery.replace_rules(&acme, &house(), Expected::Any).unwrap();
    assert_sound(&gallery);

    damage(&gallery, false, 0);
    let gallery = open_again(gallery, &dir);
    assert_eq!(code(&gallery, "acme", "bob"), "rule_unreadable");
    assert_eq!(gallery.rules(&acme).unwrap_err().kind(), Kind::Store);
    gallery.replace_rules(&acme, &house(), Expected::Any).unwrap();
    assert_eq!(code(&gallery, "acme", "bob"), "allowed", "imported again, they are read again");
    assert_sound(&gallery);
}

#[test]
fn subjects_are_listed_by_pages_and_all_of_them() {
    let dir = folder();
    let gallery = house_of(dir.path());
    let acme = tenant("acme");
    let ids: Vec<String> = (0..57).map(|n| format!("subject {n}")).collect();
    let one = |id: &String| SubjectRules { id: id.clone(), groups: Vec::new(), ..house().subjects[0].clone() };
    let rules = Rules { subjects: ids.iter().map(one).collect(), ..Rules::default() };
    gallery.replace_rules(&acme, &rules, Expected::Any).unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = gallery.list_subject_rules(&acme, after, 10).unwrap();
        assert!(page.len() <= 10);
        found.extend(page.into_iter().map(|subject| subject.id));
        after = next;
        if after.is_none() {
            break;
        }
    }
    let mut ids = ids;
    ids.sort();
    found.sort();
    assert_eq!(found, ids);
}

#[test]
fn many_subjects_are_taken_in_quickly_and_one_change_costs_little() {
    let dir = folder();
    let gallery = house_of(dir.path());
    let acme = tenant("acme");
    let mut rules = house();
    let one = |n: usize| SubjectRules { id: format!("EMP-{n:06}"), ..house().subjects[0].clone() };
    rules.subjects = (0..100_000).map(one).collect();
    let begun = Instant::now();
    gallery.replace_rules(&acme, &rules, Expected::Any).unwrap();
    let import = begun.elapsed();
    let begun = Instant::now();
    let gallery = open_again(gallery, &dir);
    let start = begun.elapsed();
    assert_eq!(gallery.access(&acme).book().subjects(), 100_000);
    let mut changes: Vec<_> = (0..200)
        .map(|n| {
            let begun = Instant::now();
            let change = |_: Option<&SubjectRules>| Ok(Some(SubjectRules { active: false, ..one(n * 500) }));
            gallery.change_subject(&acme, &subject(&one(n * 500).id), change).unwrap();
            begun.elapsed()
        })
        .collect();
    changes.sort_unstable();
    println!(
        "100,000 subjects: imported in {import:?}, read at start in {start:?}; one subject's change, stored and in force: \
         median {:?}, slowest {:?} (on a disk in memory)",
        changes[100], changes[199]
    );
    assert_eq!(code(&gallery, "acme", "EMP-000500"), "subject_inactive");
    assert!(changes[100] < Duration::from_millis(100), "{:?}", changes[100]);
}

#[test]
fn a_door_never_waits_for_whoever_writes() {
    let dir = folder();
    let gallery = Arc::new(house_of(dir.path()));
    gallery.replace_rules(&tenant("acme"), &house(), Expected::Any).unwrap();
    // Somebody holds the write lock all the while, as a slow disk would.
    let writer = gallery.write().unwrap();
    let begun = Instant::now();
    let gate = Gate::new(gallery.access(&tenant("acme")), "front".into());
    assert!(gate.admit(pass("bob")).allowed());
    gate.passed(1, pass("bob").at, SimulatedClock::new(pass("bob").at).now());
    assert!(begun.elapsed() < Duration::from_millis(50));
    drop(writer);
}

#[test]
fn who_is_being_stored_is_not_taken_for_forgiven() {
    let dir = folder();
    let gallery = Arc::new(house_of(dir.path()));
    gallery.replace_rules(&tenant("acme"), &house(), Expected::Any).unwrap();
    let gate = Gate::new(gallery.access(&tenant("acme")), "front".into());
    assert!(gate.admit(pass("bob")).allowed());
    gate.passed(1, pass("bob").at, Moment::default());
    // An import of the command line has the write lock, while his passage is to be stored.
    let writer = gallery.write().unwrap();
    let storing = std::thread::spawn({
        let gallery = Arc::clone(&gallery);
        move || gallery.store_presence(Duration::ZERO)
    });
    while gallery.access.tenant(&tenant("acme")).unsaved() > 0 {
        std::thread::yield_now();
    }
    // The keeper has lost its place in the log and takes in everything anew.
    *gallery.applied.lock() = None;
    gallery.seen.store(usize::MAX, std::sync::atomic::Ordering::Release);
    assert!(gallery.refresh().unwrap());
    assert_eq!(code(&gallery, "acme", "bob"), "already_inside");
    drop(writer);
    storing.join().unwrap().unwrap();
    assert_eq!(gallery.presence(&tenant("acme")).unwrap().len(), 1);
}
