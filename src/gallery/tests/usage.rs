//! What callers rely on, one promise a test.

use super::*;
use crate::gallery::{record::Header, store::View};

#[test]
fn an_enrolment_comes_back_as_it_was_given() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    let mut given = with_metadata(new("anna", 1), 100);
    given.liveness_score = Some(0.5);
    given.source = Some("front desk".to_owned());
    let made = gallery.enroll(&acme, given.clone()).unwrap();
    assert_eq!((made.active, made.verification_count, made.last_verified_at), (true, 0, None));
    assert_eq!((&made.subject, made.quality_score, made.liveness_score), (&given.subject, 0.75, Some(0.5)));
    assert_eq!((&made.source, &made.metadata, made.model.as_str()), (&given.source, &given.metadata, MODEL));
    let found = gallery.search(&acme, &face(1), 10, 0.5).unwrap();
    assert_eq!(found[0].enrolment, made);
    assert!(found[0].cosine > 0.9999 && found[0].cosine <= 1.0);
    assert_eq!(gallery.list(&acme, &ListFilter::default()).unwrap().enrolments, std::slice::from_ref(&made));
    gallery.note_verification(&acme, &made.id).unwrap();
    let compared = gallery.compare(&acme, &made.subject, &face(2)).unwrap();
    assert_eq!(compared.enrolment.verification_count, 1);
    assert!(compared.cosine < 0.3);
}

#[test]
fn verifications_are_known_at_once_stored_once_and_seen_once_by_older_readers_too() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    let made = gallery.enroll(&acme, new("anna", 1)).unwrap();
    let of = |gallery: &Gallery| {
        let info = gallery.subject(&acme, &made.subject).unwrap();
        (info.verification_count, info.last_verified_at.is_some())
    };
    let by = |txn: &View<'_>| {
        let bytes = gallery.store.records.first(txn).unwrap().unwrap().1;
        let (mut header, _) = Header::parse(bytes).unwrap();
        gallery.add_verifications(txn, &mut header);
        header.verification_count
    };
    gallery.store_verifications().unwrap();
    assert_eq!(of(&gallery), (0, false));
    let before = gallery.store.read().unwrap();
    for count in 1..=3 {
        gallery.note_verification(&acme, &made.id).unwrap();
        assert_eq!((of(&gallery), by(&before)), ((count, true), count));
    }
    gallery.store_verifications().unwrap();
    assert_eq!((of(&gallery), by(&before)), ((3, true), 3), "neither lost nor counted twice");
    gallery.note_verification(&acme, &made.id).unwrap();
    assert_eq!((of(&gallery), by(&before)), ((4, true), 4));
    drop(before);

    // What is deleted before it is stored is gone, and stands in no other's way.
    let bert = gallery.enroll(&acme, new("bert", 2)).unwrap();
    gallery.note_verification(&acme, &bert.id).unwrap();
    gallery.delete_embedding(&acme, &bert.id).unwrap();
    gallery.store_verifications().unwrap();
    drop(gallery);
    let gallery = open(dir.path());
    assert_eq!(of(&gallery), (4, true));
    assert_sound(&gallery);
}

#[test]
fn values_out_of_their_range_are_refused_and_nothing_is_kept() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    let refused = |change: &dyn Fn(&mut NewEnrolment)| {
        let mut enrolment = new("anna", 1);
        change(&mut enrolment);
        gallery.enroll(&acme, enrolment).unwrap_err().kind()
    };
    assert_eq!(refused(&|new| new.quality_score = 1.1), Kind::InvalidField);
    assert_eq!(refused(&|new| new.quality_score = f32::NAN), Kind::InvalidField);
    assert_eq!(refused(&|new| new.liveness_score = Some(-0.1)), Kind::InvalidField);
    assert_eq!(refused(&|new| new.source = Some("x".repeat(257))), Kind::InvalidField);
    assert_eq!(refused(&|new| *new = with_metadata(new.clone(), 5000)), Kind::InvalidMetadata);
    for limit in [0, 1001] {
        assert_eq!(gallery.search(&acme, &face(1), limit, 0.0).unwrap_err().kind(), Kind::InvalidField);
        let filter = ListFilter { limit, ..ListFilter::default() };
        assert_eq!(gallery.list(&acme, &filter).unwrap_err().kind(), Kind::InvalidField);
    }
    let stats = gallery.stats().unwrap();
    assert_eq!((stats.tenants, stats.active), (0, 0));
    for wrong in [
        Settings { max_mb: 0, ..settings(dir.path()) },
        Settings { keep_active: 0, ..settings(dir.path()) },
        Settings { max_metadata_bytes: 1 << 20, ..settings(dir.path()) },
    ] {
        assert_eq!(Gallery::open(&wrong, MODEL, Arc::new(clock())).err().unwrap().kind(), Kind::Config);
    }
}

#[test]
fn tenants_do_not_see_each_other() {
    let dir = folder();
    let gallery = open(dir.path());
    let (acme, globex, nobody) = (tenant("acme"), tenant("globex"), tenant("nobody"));
    let anna = gallery.enroll(&acme, new("anna", 1)).unwrap();
    gallery.enroll(&globex, new("bert", 2)).unwrap();
    for other in [&globex, &nobody] {
        assert!(gallery.search(other, &face(1), 10, 0.9).unwrap().is_empty());
        assert!(gallery.best_two(other, &face(1)).unwrap().iter().all(|hit| hit.0 != anna.subject));
        assert_eq!(gallery.compare(other, &anna.subject, &face(1)).unwrap_err().kind(), Kind::SubjectNotFound);
        assert_eq!(gallery.delete_embedding(other, &anna.id).unwrap_err().kind(), Kind::EmbeddingNotFound);
        assert_eq!(gallery.note_verification(other, &anna.id).unwrap_err().kind(), Kind::EmbeddingNotFound);
        assert_eq!(gallery.delete_subject(other, &anna.subject).unwrap_err().kind(), Kind::SubjectNotFound);
        let all = ListFilter { active_only: false, ..ListFilter::default() };
        assert!(gallery.list(other, &all).unwrap().enrolments.iter().all(|row| row.id != anna.id));
        gallery.delete_all(other).unwrap();
    }
    assert_eq!(gallery.search(&acme, &face(1), 10, 0.9).unwrap().len(), 1);
    assert_sound(&gallery);
}

#[test]
fn the_newest_few_stay_active() {
    let dir = folder();
    let clock = clock();
    let gallery = Gallery::open(&settings(dir.path()), MODEL, Arc::new(clock.clone())).unwrap();
    let acme = tenant("acme");
    let mut ids = Vec::new();
    for seed in 0..5 {
        // The clock runs backwards: the newest is the one that came last all the same.
        clock.set_wall(clock.wall() - jiff::SignedDuration::from_hours(24));
        ids.push(gallery.enroll(&acme, new("anna", seed)).unwrap().id);
    }
    assert!(ids.is_sorted(), "ids rise within a process, whatever the clock does");
    let all = ListFilter { active_only: false, ..ListFilter::default() };
    let active: Vec<_> = gallery.list(&acme, &all).unwrap().enrolments.iter().map(|row| row.active).collect();
    assert_eq!(active, [false, false, true, true, true]);
    assert_eq!(gallery.list(&acme, &ListFilter::default()).unwrap().enrolments.len(), 3);
    assert!(gallery.search(&acme, &face(0), 10, 0.9).unwrap().is_empty(), "what is inactive is never matched");
    assert!(gallery.compare(&acme, &subject("anna"), &face(1)).unwrap().cosine < 0.5);
    gallery.delete_embedding(&acme, &ids[0]).unwrap();
    assert_sound(&gallery);
}

#[test]
fn another_recognisers_embeddings_are_kept_and_never_matched() {
    let dir = folder();
    let acme = tenant("acme");
    let gallery = open(dir.path());
    gallery.enroll(&acme, new("anna", 1)).unwrap();
    drop(gallery);
    let gallery = Gallery::open(&settings(dir.path()), "other", Arc::new(clock())).unwrap();
    assert!(gallery.search(&acme, &face(1), 10, -1.0).unwrap().is_empty());
    assert!(gallery.best_two(&acme, &face(1)).unwrap().is_empty());
    assert_eq!(gallery.compare(&acme, &subject("anna"), &face(1)).unwrap_err().kind(), Kind::SubjectNotFound);
    assert_eq!(gallery.list(&acme, &ListFilter::default()).unwrap().enrolments[0].model, MODEL);
    gallery.enroll(&acme, new("anna", 2)).unwrap();
    let report = gallery.check().unwrap();
    assert!(report.is_sound());
    assert_eq!((report.stats.active, report.stats.foreign, report.stats.subjects), (1, 1, 1));
    drop(gallery);
    assert_eq!(open(dir.path()).search(&acme, &face(1), 10, 0.9).unwrap().len(), 1);
}

#[test]
fn no_internal_id_comes_twice() {
    let dir = folder();
    let acme = tenant("acme");
    let mut seen = std::collections::HashSet::new();
    for round in 0..4 {
        let gallery = open(dir.path());
        for seed in 0..3 {
            gallery.enroll(&acme, new("anna", seed)).unwrap();
            let txn = gallery.store.read().unwrap();
            let newest = gallery.store.records.last(&txn).unwrap().unwrap().0.to_vec();
            assert!(seen.insert(newest), "used again in round {round}");
        }
        // A request that fails takes none with it that was given out, and leaves none behind.
        gallery.enroll(&acme, with_metadata(new("anna", 1), 5000)).unwrap_err();
        gallery.delete_all(&acme).unwrap();
    }
}

#[test]
fn equal_faces_of_many_subjects_come_by_id() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    // One subject crowds the first fetch, and far more subjects tie than are asked for.
    let ids: Vec<_> =
        (0..60).map(|n| gallery.enroll(&acme, new(&format!("s{}", n.max(2) - 2), 1)).unwrap().id).collect();
    let found = gallery.search(&acme, &face(1), 5, 0.5).unwrap();
    let got: Vec<_> = found.iter().map(|hit| hit.enrolment.id).collect();
    assert_eq!(got, [ids[0], ids[3], ids[4], ids[5], ids[6]]);
    assert_eq!(gallery.best_two(&acme, &face(1)).unwrap().len(), 2);
}

#[test]
fn keys_open_their_tenant_until_they_are_revoked() {
    let dir = folder();
    let gallery = open(dir.path());
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let first = gallery.add_key(&acme, Some("front desk"), Default::default()).unwrap();
    let second = gallery.add_key(&globex, None, Default::default()).unwrap();
    assert!(first.secret.starts_with("fg_") && first.secret.len() == 67);
    assert!(!format!("{first:?}").contains(&first.secret), "a secret is not for logs");
    assert_eq!(gallery.authenticate(&first.secret).unwrap().tenant, acme);
    assert_eq!(gallery.authenticate(&second.secret).unwrap().tenant, globex);
    for wrong in ["", "fg_", &first.secret[1..], &format!("{} ", first.secret), &first.secret.to_uppercase(), &first.id]
    {
        assert_eq!(gallery.authenticate(wrong).unwrap_err().kind(), Kind::InvalidApiKey);
    }
    let listed = gallery.keys().unwrap();
    assert_eq!(listed.len(), 2);
    let front = listed.iter().find(|key| key.id == first.id).unwrap();
    assert_eq!((&front.tenant, front.label.as_deref()), (&acme, Some("front desk")));
    assert_eq!(gallery.has_key_at_once(&first.id), Some(true));
    gallery.revoke_key(&first.id).unwrap();
    assert_eq!(gallery.authenticate(&first.secret).unwrap_err().kind(), Kind::InvalidApiKey);
    // What this process does, its memory has when the call is back.
    assert_eq!(gallery.authenticate_at_once(&first.secret).unwrap().unwrap_err().kind(), Kind::InvalidApiKey);
    assert_eq!(gallery.has_key_at_once(&first.id), Some(false));
    for unknown in [first.id.as_str(), "", &"x".repeat(1000)] {
        assert_eq!(gallery.revoke_key(unknown).unwrap_err().kind(), Kind::NotFound);
    }
    assert_eq!(gallery.add_key(&acme, Some("a\nb"), Default::default()).unwrap_err().kind(), Kind::InvalidField);
    drop(gallery);
    let gallery = open(dir.path());
    assert_eq!(gallery.authenticate(&second.secret).unwrap().tenant, globex);
    drop(gallery);
    let file = std::fs::read(settings(dir.path()).dir.join("data.mdb")).unwrap();
    assert!(!file.windows(64).any(|part| part == &second.secret.as_bytes()[3..]), "only a hash is stored");
}

#[test]
fn the_door_searches_while_others_enrol() {
    let dir = folder();
    let gallery = Arc::new(open(dir.path()));
    let acme = tenant("acme");
    gallery.enroll(&acme, new("anna", 1)).unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let (gallery, acme) = (&gallery, &acme);
                scope.spawn(move || {
                    for n in 0..30 {
                        let made =
                            gallery.enroll(acme, new(&format!("w{writer}-{n}"), 100 * (writer + 1) + n)).unwrap();
                        if n % 3 == 0 {
                            gallery.delete_embedding(acme, &made.id).unwrap();
                        }
                    }
                })
            })
            .collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            assert_eq!(gallery.best_two(&acme, &face(1)).unwrap()[0].0, subject("anna"));
            assert_eq!(gallery.search(&acme, &face(1), 1, 0.9).unwrap().len(), 1);
            // Records vanish between being found and being opened: never an error.
            gallery.search(&acme, &face(1), 100, -1.0).unwrap();
            gallery.list(&acme, &ListFilter::default()).unwrap();
            let _ = gallery
                .compare(&acme, &subject("w1-3"), &face(1))
                .map_err(|e| assert_eq!(e.kind(), Kind::SubjectNotFound));
        }
    });
    assert_eq!(gallery.stats().unwrap().active, 61);
    assert_sound(&gallery);
}
