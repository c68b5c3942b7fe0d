//! Requests that are done once, however often they are sent.

use std::time::Duration;

use super::*;

fn once(gallery: &Gallery, key: &str, content: &str) -> Once {
    gallery.once("client", Some(key.as_bytes()), &[content.as_bytes()])
}

fn enrolled(gallery: &Gallery, who: &str, seed: u64, once: &Once) -> Done {
    gallery.enroll_in(&tenant("acme"), new(who, seed), Some(once), |_| Ok(Vec::new())).unwrap()
}

fn count(gallery: &Gallery) -> usize {
    let filter = ListFilter { active_only: false, limit: 1000, ..ListFilter::default() };
    gallery.list(&tenant("acme"), &filter).unwrap().enrolments.len()
}

fn rows(gallery: &Gallery) -> u64 {
    gallery.store.requests.len(&gallery.store.read().unwrap()).unwrap()
}

#[test]
fn what_is_sent_again_is_not_done_again_not_even_after_a_restart() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    gallery.add_tenant(&acme, None).unwrap();
    let request = once(&gallery, "k1", "anna");
    assert_eq!(gallery.done_before(&acme, &request).unwrap(), None);
    let first = enrolled(&gallery, "anna", 1, &request);
    assert!(!first.before, "it was never done");
    let again = Done { before: true, ..first };
    assert_eq!(enrolled(&gallery, "anna", 1, &request), again);
    drop(gallery);
    let gallery = open(dir.path());
    assert_eq!(once(&gallery, "k1", "anna"), request, "the digests are this store's, not this process's");
    assert_eq!(gallery.done_before(&acme, &request).unwrap(), Some(again));
    assert_eq!((count(&gallery), rows(&gallery)), (1, 2));
    let other = once(&gallery, "k1", "bert");
    assert_eq!(gallery.done_before(&acme, &other).unwrap_err().kind(), Kind::IdempotencyKeyReused);
    let reused = gallery.enroll_in(&acme, new("bert", 2), Some(&other), |_| Ok(Vec::new())).unwrap_err();
    assert_eq!((reused.kind(), count(&gallery)), (Kind::IdempotencyKeyReused, 1));
    gallery.add_tenant(&tenant("globex"), None).unwrap();
    assert_eq!(gallery.done_before(&tenant("globex"), &other).unwrap(), None, "keys are apart by tenant");
    let batch = gallery.once("batch", Some(b"k1"), &[b"anna"]);
    assert_eq!(gallery.done_before(&acme, &batch).unwrap(), None, "and by what they are of");
    assert_sound(&gallery);
}

#[test]
fn warnings_come_again_with_the_request_but_no_name_of_somebody_who_was_deleted() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    gallery.enroll(&acme, new("carl", 1)).unwrap();
    let warning = |code: &str, other: Option<&str>| Warning {
        code: code.to_owned().into(),
        message: "it \"looks\" wrong".into(),
        similarity: Some(0.83),
        other: other.map(subject),
    };
    let given = vec![warning("duplicate_subject", Some("carl")), warning("unlike_subject", None)];
    let request = once(&gallery, "k1", "anna");
    let first = gallery.enroll_in(&acme, new("anna", 1), Some(&request), |_| Ok(given.clone())).unwrap();
    assert_eq!(first.warnings, given);
    drop(gallery);
    let gallery = open(dir.path());
    let again = || gallery.done_before(&acme, &request).unwrap().unwrap().warnings;
    assert_eq!((again(), enrolled(&gallery, "anna", 1, &request).warnings), (given.clone(), given.clone()));
    gallery.delete_subject(&acme, &subject("carl")).unwrap();
    let discreet: Vec<_> = given.into_iter().map(Warning::discreet).collect();
    assert_eq!(again(), discreet);

    let suspended = SubjectChange { active: Some(false), ..SubjectChange::default() };
    gallery.change(&acme, &subject("anna"), &suspended).unwrap();
    let request = once(&gallery, "k2", "anna");
    let told = enrolled(&gallery, "anna", 2, &request).warnings;
    assert_eq!((told.len(), &*told[0].code), (1, "subject_suspended"));
    assert_eq!(gallery.done_before(&acme, &request).unwrap().unwrap().warnings, told);
    assert_sound(&gallery);
}

#[test]
fn parts_are_told_apart_and_without_a_key_the_content_is_one() {
    let dir = folder();
    let gallery = open(dir.path());
    let of = |parts: &[&[u8]]| gallery.once("batch", None, parts);
    assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
    for other in [of(&[b"a", b"bc"]), of(&[b"abc"]), of(&[b"ab", b"c", b""]), of(&[b"", b"ab", b"c"])] {
        assert_ne!(of(&[b"ab", b"c"]), other);
    }
}

#[test]
fn every_way_to_delete_forgets_the_request_too() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    for way in 0..4 {
        gallery.ensure_tenant(&acme).unwrap();
        let request = once(&gallery, "k1", "anna");
        let made = enrolled(&gallery, "anna", way, &request).enrolment;
        match way {
            0 => gallery.delete_embedding(&acme, &made.id).unwrap(),
            1 => assert_eq!(gallery.delete_subject(&acme, &subject("anna")).unwrap(), 1),
            2 => assert_eq!(gallery.delete_all(&acme).unwrap(), 1),
            _ => assert_eq!(gallery.delete_tenant(&acme).unwrap(), 1),
        }
        assert_eq!((rows(&gallery), gallery.done_before(&acme, &request).unwrap()), (0, None), "way {way}");
        assert_sound(&gallery);
    }
}

#[test]
fn a_request_counts_for_a_day_and_then_makes_room() {
    let dir = folder();
    let clock = Arc::new(clock());
    let gallery = Gallery::open(&settings(dir.path()), MODEL, Arc::<SimulatedClock>::clone(&clock)).unwrap();
    gallery.add_tenant(&tenant("acme"), None).unwrap();
    for number in 0..20 {
        enrolled(&gallery, "anna", number, &once(&gallery, &format!("k{number}"), "anna"));
    }
    clock.advance(Duration::from_secs(24 * 3600 - 1));
    assert!(enrolled(&gallery, "anna", 0, &once(&gallery, "k0", "anna")).before);
    clock.advance(Duration::from_secs(2));
    assert!(!enrolled(&gallery, "anna", 0, &once(&gallery, "k0", "anna")).before);
    assert!(!enrolled(&gallery, "bert", 9, &once(&gallery, "k1", "bert")).before, "another content too");
    for number in 0..3 {
        enrolled(&gallery, "carl", number, &once(&gallery, &format!("c{number}"), "carl"));
    }
    assert_eq!((count(&gallery), rows(&gallery)), (25, 2 * 5), "of the old ones nothing is left");
    assert_sound(&gallery);
}
