//! Subjects: listed, suspended and admitted again, and what is known of them beside their embeddings.

use super::*;
use crate::gallery::record::Header;

fn suspend(gallery: &Gallery, name: &str, active: bool) -> SubjectInfo {
    let change = SubjectChange { active: Some(active), ..SubjectChange::default() };
    gallery.change(&tenant("acme"), &subject(name), &change).unwrap()
}

fn matches(gallery: &Gallery, seed: u64) -> usize {
    gallery.search(&tenant("acme"), &face(seed), 10, 0.9).unwrap().len()
}

fn names(found: &[SubjectInfo]) -> Vec<&str> {
    found.iter().map(|info| info.subject.as_str()).collect()
}

#[test]
fn subjects_are_listed_once_each_page_by_page_and_by_tenant() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    for (seed, name) in (0..).zip(["b", "a b", "a", "ab", "a", "ä", "b"]) {
        gallery.enroll(&acme, new(name, seed)).unwrap();
    }
    gallery.enroll(&tenant("globex"), new("aa", 90)).unwrap();
    let all = ["a", "a b", "ab", "b", "ä"];
    let (found, more) = gallery.subjects(&acme, None, 100).unwrap();
    assert_eq!((names(&found).as_slice(), more), (all.as_slice(), false));
    let (mut after, mut walked) = (None, Vec::new());
    loop {
        let (page, more) = gallery.subjects(&acme, after.as_ref(), 2).unwrap();
        walked.extend(names(&page).into_iter().map(str::to_owned));
        after = page.last().map(|last| last.subject.clone());
        if !more {
            break;
        }
    }
    assert_eq!(walked, all);
    assert_eq!(gallery.subjects(&tenant("nobody"), None, 1).unwrap(), (Vec::new(), false));
    assert_eq!(gallery.subjects(&acme, None, 0).unwrap_err().kind(), Kind::InvalidField);
    assert_eq!(gallery.subject(&tenant("globex"), &subject("a")).unwrap_err().kind(), Kind::SubjectNotFound);
}

#[test]
fn older_embeddings_take_the_place_of_active_ones_that_are_deleted_but_not_of_somebody_suspended() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    let ids: Vec<_> = (0..5).map(|seed| gallery.enroll(&acme, new("anna", seed)).unwrap().id).collect();
    let found = |gallery: &Gallery| (0..5).map(|seed| matches(gallery, seed)).collect::<Vec<_>>();
    assert_eq!(found(&gallery), [0, 0, 1, 1, 1]);
    gallery.delete_embedding(&acme, &ids[4]).unwrap();
    assert_eq!(found(&gallery), [0, 1, 1, 1, 0], "the newest three");
    suspend(&gallery, "anna", false);
    gallery.delete_embedding(&acme, &ids[3]).unwrap();
    assert_eq!(found(&gallery), [0; 5], "who is suspended stays so");
    suspend(&gallery, "anna", true);
    assert_eq!(found(&gallery), [1, 1, 1, 0, 0]);
    for id in &ids[1..3] {
        gallery.delete_embedding(&acme, id).unwrap();
    }
    assert_eq!(found(&gallery), [1, 0, 0, 0, 0], "the last one is still matched");

    // As an earlier version left it.
    let mut writer = gallery.write().unwrap();
    let row = gallery.store.tenant(writer.txn(), &acme).unwrap().unwrap();
    let rows = gallery.of_subject(writer.txn(), row.number, &subject("anna")).unwrap();
    gallery.set_active(&mut writer, row.number, &rows[0], false).unwrap();
    writer.commit(crate::gallery::store::Room::Configured).unwrap();
    assert_eq!(found(&gallery), [0; 5]);
    suspend(&gallery, "anna", true);
    assert_eq!(found(&gallery), [1, 0, 0, 0, 0], "to make somebody active who is so already mends it");
    assert_sound(&gallery);
}

#[test]
fn whoever_is_suspended_is_matched_by_nobody_until_they_are_active_again() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    for seed in 0..5 {
        gallery.enroll(&acme, new("anna", seed)).unwrap();
    }
    gallery.enroll(&acme, new("bert", 9)).unwrap();
    assert_eq!(matches(&gallery, 4), 1);

    let info = suspend(&gallery, "anna", false);
    assert_eq!((info.active, info.embeddings, info.active_embeddings), (false, 5, 0));
    gallery.enroll(&acme, new("anna", 5)).unwrap();
    let mut gallery = gallery;
    for _ in 0..2 {
        assert_eq!((0..6).map(|seed| matches(&gallery, seed)).sum::<usize>(), 0, "old faces and new");
        assert_eq!(gallery.compare(&acme, &subject("anna"), &face(5)).unwrap_err().kind(), Kind::SubjectNotFound);
        assert!(gallery.best_two(&acme, &face(5)).unwrap().iter().all(|(who, _, _)| who.as_str() == "bert"));
        assert_sound(&gallery);
        drop(gallery);
        gallery = open(dir.path());
    }

    assert_eq!(suspend(&gallery, "anna", true).active_embeddings, 3, "as many as stay active");
    for _ in 0..2 {
        let found: Vec<_> = (0..6).map(|seed| matches(&gallery, seed)).collect();
        assert_eq!(found, [0, 0, 0, 1, 1, 1], "the newest");
        assert_sound(&gallery);
        drop(gallery);
        gallery = open(dir.path());
    }
    assert_eq!(suspend(&gallery, "anna", true), gallery.subject(&acme, &subject("anna")).unwrap(), "again is the same");
}

#[test]
fn out_and_in_again_in_another_process_is_seen_once() {
    if let Some(dir) = as_child() {
        let other = open(&dir);
        for active in [false, true, false, true] {
            suspend(&other, "anna", active);
        }
        for active in [false, true, false] {
            suspend(&other, "bert", active);
        }
        suspend(&other, "carl", false);
        suspend(&other, "carl", true);
        other.delete_subject(&tenant("acme"), &subject("carl")).unwrap();
        return;
    }
    let dir = folder();
    let gallery = open(dir.path());
    for (seed, name) in (0..).zip(["anna", "bert", "carl"]) {
        gallery.enroll(&tenant("acme"), new(name, seed)).unwrap();
    }
    let output = child("gallery::tests::subjects::out_and_in_again_in_another_process_is_seen_once", dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    gallery.refresh().unwrap();
    assert_eq!([0, 1, 2].map(|seed| matches(&gallery, seed)), [1, 0, 0]);
    assert_sound(&gallery);
}

#[test]
fn deleting_the_last_embedding_leaves_nothing_of_a_suspended_subject() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    let ways: [&dyn Fn(&EmbeddingId); 3] = [
        &|id| gallery.delete_embedding(&acme, id).unwrap(),
        &|_| assert_eq!(gallery.delete_subject(&acme, &subject("anna")).unwrap(), 1),
        &|_| assert_eq!(gallery.delete_all(&acme).unwrap(), 2),
    ];
    for delete in ways {
        let made = gallery.enroll(&acme, new("anna", 1)).unwrap();
        gallery.enroll(&acme, new("anna-maria", 2)).unwrap();
        gallery.note_seen(&acme, "anna".into(), LastSeen { door: "front".into(), at: gallery.clock().wall() });
        gallery.store_seen().unwrap();
        suspend(&gallery, "anna", false);
        assert!(gallery.subject(&acme, &subject("anna")).unwrap().last_seen.is_some());
        delete(&made.id);
        assert_eq!(gallery.subject(&acme, &subject("anna")).unwrap_err().kind(), Kind::SubjectNotFound);
        gallery.enroll(&acme, new("anna", 1)).unwrap();
        let info = gallery.subject(&acme, &subject("anna")).unwrap();
        assert!(info.active && info.last_seen.is_none(), "whoever is given the same id later inherits nothing");
        assert_sound(&gallery);
        gallery.delete_all(&acme).unwrap();
    }
    assert_eq!(gallery.delete_tenant(&acme).unwrap(), 0);
}

#[test]
fn metadata_is_changed_in_every_embedding_and_what_it_was_cannot_be_read_again() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    for seed in 0..2 {
        let mut enrolment = new("anna", seed);
        enrolment.metadata =
            Some(serde_json::from_str(r#"{"name": "Anna", "badge": {"number": 7, "old": true}}"#).unwrap());
        enrolment.source = Some("desk".to_owned());
        gallery.enroll(&acme, enrolment).unwrap();
    }
    gallery.enroll(&acme, new("bert", 9)).unwrap();
    let before = gallery.list(&acme, &ListFilter::default()).unwrap().enrolments;
    let txn = gallery.store.read().unwrap();
    let row = gallery.store.tenant(&txn, &acme).unwrap().unwrap();
    let records: Vec<Vec<u8>> = gallery.store.records.iter(&txn).unwrap().map(|row| row.unwrap().1.to_vec()).collect();
    drop(txn);

    let patch = serde_json::from_str(r#"{"name": "Anna B.", "badge": {"old": null}, "site": 3}"#).unwrap();
    let change = SubjectChange { metadata: Some(MetadataChange::Merge(patch)), ..SubjectChange::default() };
    gallery.change(&acme, &subject("anna"), &change).unwrap();
    let after = gallery.list(&acme, &ListFilter::default()).unwrap().enrolments;
    let expected = serde_json::json!({"name": "Anna B.", "badge": {"number": 7}, "site": 3});
    for (old, new) in before.iter().zip(&after).take(2) {
        assert_eq!(Value::Object(new.metadata.clone().unwrap()), expected);
        assert_eq!(Enrolment { metadata: None, ..old.clone() }, Enrolment { metadata: None, ..new.clone() });
    }
    assert_eq!(before[2], after[2], "nobody else's");
    assert_eq!((matches(&gallery, 0), matches(&gallery, 1)), (1, 1));
    for record in &records {
        let (header, _) = Header::parse(record).unwrap();
        assert_eq!(gallery.try_open(row.slot, record).unwrap().is_none(), header.subject.as_str() == "anna");
    }

    let long = Map::from_iter([("note".to_owned(), Value::String("x".repeat(5000)))]);
    let change = SubjectChange { metadata: Some(MetadataChange::Merge(long)), active: Some(false) };
    assert_eq!(gallery.change(&acme, &subject("anna"), &change).unwrap_err().kind(), Kind::InvalidMetadata);
    assert_eq!(gallery.list(&acme, &ListFilter::default()).unwrap().enrolments, after, "all of it or nothing");
    let change = SubjectChange { metadata: Some(MetadataChange::Remove), ..SubjectChange::default() };
    gallery.change(&acme, &subject("anna"), &change).unwrap();
    assert!(gallery.list(&acme, &ListFilter::default()).unwrap().enrolments[0].metadata.is_none());
    assert_sound(&gallery);
}

#[test]
fn who_was_seen_last_is_known_at_once_and_after_a_restart() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    let at = gallery.clock().wall();
    let seen = |door: &str| LastSeen { door: door.to_owned(), at };
    gallery.note_seen(&acme, "anna".into(), seen("back"));
    gallery.store_seen().unwrap();
    gallery.enroll(&acme, new("anna", 1)).unwrap();
    let last = |gallery: &Gallery| gallery.subject(&acme, &subject("anna")).unwrap().last_seen;
    assert_eq!(last(&gallery), None, "nobody enrolled was seen");
    gallery.note_seen(&acme, "anna".into(), seen("front"));
    assert_eq!(last(&gallery), Some(seen("front")));
    drop(gallery);
    let gallery = open(dir.path());
    assert_eq!(last(&gallery), None, "nothing is written for each who passes");
    gallery.note_seen(&acme, "anna".into(), seen("front"));
    gallery.store_seen().unwrap();
    assert_eq!(last(&gallery), Some(seen("front")));
    drop(gallery);
    let gallery = open(dir.path());
    assert_eq!(last(&gallery), Some(seen("front")));
    assert_sound(&gallery);
}
