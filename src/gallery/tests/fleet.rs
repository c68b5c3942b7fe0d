//! Galleries that share what they know: stamps in the transaction of each change, and documents that arrive.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::Stdio,
    time::Duration,
};

use facegate_fleet::{
    Name,
    document::{Document, DocumentKey},
    keys::SealingKey,
    open::Arrived,
};
use proptest::prelude::*;

use super::*;
use crate::access::rules::{Rules, SubjectRules};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn key() -> SealingKey {
    SealingKey::from_bytes([7; 32])
}

fn joined(dir: &Path, device: &str) -> Gallery {
    let gallery = open(dir);
    gallery.join_site(&name("hq"), &name(device), &key()).unwrap();
    gallery
}

/// All that a gallery would publish.
fn documents(gallery: &Gallery) -> Vec<Arc<Arrived>> {
    let hashes = gallery.document_hashes().unwrap();
    let all = hashes.into_iter().map(|(key, hash)| {
        let (document, same) = gallery.document(&key).unwrap().unwrap();
        assert_eq!(hash, same);
        assert_eq!(document.hash(&key), hash, "the hash is of what the store holds");
        Arc::new(Arrived { key, document: Arc::new(document), hash })
    });
    all.collect()
}

/// What people see: tenants, their subjects and rules, their embeddings with what is fixed, and which are active.
fn visible(gallery: &Gallery) -> String {
    let mut seen = Vec::new();
    for tenant in gallery.tenants().unwrap() {
        let mut filter = ListFilter { active_only: false, limit: 1000, ..ListFilter::default() };
        loop {
            let page = gallery.list(&tenant.name, &filter).unwrap();
            seen.extend(page.enrolments.iter().map(|row| {
                let times = (row.created_at, row.active);
                format!("{} {} {} {times:?} {:?} {:?}", tenant.name, row.subject, row.id, row.metadata, row.source)
            }));
            filter.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        let (suspended, _) = gallery.suspended(&tenant.name, None, 1000).unwrap();
        seen.extend(suspended.iter().map(|subject| format!("{} without {subject}", tenant.name)));
        let rules = gallery.rules(&tenant.name).unwrap().map(|stored| serde_json::to_string(&stored.rules).unwrap());
        seen.extend(rules);
    }
    seen.join("\n")
}

fn exchange(from: &Gallery, to: &Gallery) {
    for some in documents(from).chunks(3) {
        for applied in to.apply_documents(some, 0).unwrap() {
            assert_eq!(applied.refused, None);
        }
    }
}

fn assert_alike(galleries: &[Gallery]) {
    let first = (visible(&galleries[0]), galleries[0].document_hashes().unwrap());
    for other in &galleries[1..] {
        assert_eq!(visible(other), first.0);
        assert_eq!(other.document_hashes().unwrap(), first.1);
    }
    galleries.iter().for_each(assert_sound);
}

fn outgoing(gallery: &Gallery) -> BTreeSet<DocumentKey> {
    gallery.outgoing(None, 1000).unwrap().into_iter().map(|outgoing| outgoing.key).collect()
}

fn own_rules(subject: &str) -> SubjectRules {
    serde_json::from_value(serde_json::json!({"id": subject})).unwrap()
}

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { unreachable!("an object") };
    map
}

#[test]
fn an_enrolment_is_recognised_where_its_document_went_and_its_deletion_ends_that() {
    let dirs = [folder(), folder()];
    let (a, b) = (joined(dirs[0].path(), "a"), joined(dirs[1].path(), "b"));
    let acme = tenant("acme");
    let metadata = Some(map(serde_json::json!({"name": "Anna", "n": 1.10})));
    let made = a.enroll(&acme, NewEnrolment { metadata, source: Some("desk".into()), ..new("anna", 1) }).unwrap();
    assert_eq!(outgoing(&a).len(), 1, "one document was changed");
    exchange(&a, &b);
    assert!(outgoing(&b).is_empty(), "what came from others does not go out again");
    let found = b.search(&acme, &face(1), 1, 0.9).unwrap();
    let twin = &found[0].enrolment;
    assert_eq!((twin.id, &twin.metadata, &twin.source), (made.id, &made.metadata, &made.source));
    assert_eq!(b.best_two(&acme, &face(1)).unwrap()[0].1, made.id, "the door's index followed");

    // Changed there, seen here: to the bit, template and all.
    let patch = MetadataChange::Merge(map(serde_json::json!({"n": null, "room": 12})));
    let change = SubjectChange { metadata: Some(patch), active: Some(false) };
    b.change(&acme, &subject("anna"), &change).unwrap();
    exchange(&b, &a);
    assert_alike(&[a, b]);
    let (a, b) = (open(dirs[0].path()), open(dirs[1].path()));
    assert!(a.search(&acme, &face(1), 1, 0.9).unwrap().is_empty(), "suspended everywhere");

    let sent = b.outgoing(None, 10).unwrap();
    b.documents_sent(&sent).unwrap();
    assert!(outgoing(&b).is_empty());
    a.delete_subject(&acme, &subject("anna")).unwrap();
    let applied = b.apply_documents(&documents(&a), 0).unwrap();
    assert!(applied[0].changed && !applied[0].ahead && applied[0].erased.is_some());
    assert_eq!(b.subject(&acme, &subject("anna")).unwrap_err().kind(), Kind::SubjectNotFound);
    let (gone, _) = b.document(&applied[0].moved[0].0).unwrap().unwrap();
    assert_eq!(gone.tenant(), None, "not even the name is left");
    assert!(!b.apply_documents(&documents(&a), 0).unwrap()[0].changed, "again is nothing new");
    // Whoever is enrolled anew is somebody else, and not suspended.
    a.enroll(&acme, new("anna", 2)).unwrap();
    exchange(&a, &b);
    assert_eq!(b.search(&acme, &face(2), 1, 0.9).unwrap().len(), 1);
    assert_alike(&[a, b]);
}

#[test]
fn what_an_erasure_did_not_know_of_dies_of_it_and_what_came_later_lives() {
    let dirs = [folder(), folder(), folder()];
    let [a, b, c] = ["a", "b", "c"].map(|device| {
        let place = usize::from(device.as_bytes()[0] - b'a');
        joined(dirs[place].path(), device)
    });
    let acme = tenant("acme");
    a.enroll(&acme, new("anna", 1)).unwrap();
    c.enroll(&acme, new("cora", 3)).unwrap();
    // B is a year behind, and has enrolled somebody whom A has never heard of.
    exchange(&a, &b);
    a.delete_all(&acme).unwrap();
    exchange(&a, &c);
    assert!(c.search(&acme, &face(3), 1, 0.9).unwrap().is_empty(), "all of the tenant's, known to the eraser or not");
    exchange(&c, &b);
    exchange(&b, &a);
    // After it, in knowledge of it.
    b.enroll(&acme, new("anna", 4)).unwrap();
    exchange(&b, &a);
    exchange(&a, &c);
    assert_eq!(c.search(&acme, &face(4), 1, 0.9).unwrap().len(), 1);
    exchange(&c, &b);
    exchange(&c, &a);
    assert_alike(&[a, b, c]);
}

#[test]
fn what_was_there_before_joining_is_shared_and_joining_again_changes_nothing() {
    let dirs = [folder(), folder()];
    let a = open(dirs[0].path());
    let acme = tenant("acme");
    for n in 0..5 {
        a.enroll(&acme, new("anna", n)).unwrap();
    }
    a.enroll(&acme, new("bert", 9)).unwrap();
    a.change_subject(&acme, &subject("bert"), |_| Ok(Some(own_rules("bert")))).unwrap();
    assert!(a.outgoing(None, 10).unwrap().is_empty(), "a gallery of no site keeps no books");
    let before = visible(&a);
    a.join_site(&name("hq"), &name("a"), &key()).unwrap();
    assert_eq!(visible(&a), before);
    assert_eq!(outgoing(&a).len(), 3, "two subjects and the rules");
    let hashes = a.document_hashes().unwrap();
    a.join_site(&name("hq"), &name("a"), &key()).unwrap();
    assert_eq!(a.document_hashes().unwrap(), hashes);
    let error = a.join_site(&name("hq"), &name("z"), &key()).unwrap_err();
    assert!(error.kind() == Kind::Config && error.advice().is_some());

    let b = joined(dirs[1].path(), "b");
    exchange(&a, &b);
    assert_alike(&[a, b]);
    let b = open(dirs[1].path());
    b.leave_site().unwrap();
    assert!(b.document_hashes().unwrap().is_empty());
    assert_eq!(b.search(&acme, &face(9), 1, 0.9).unwrap().len(), 1, "who leaves keeps what it has");
}

#[test]
fn a_document_that_cannot_be_stored_is_refused_alone() {
    let dirs = [folder(), folder()];
    let (a, b) = (joined(dirs[0].path(), "a"), joined(dirs[1].path(), "b"));
    let acme = tenant("acme");
    a.enroll(&acme, new("anna", 1)).unwrap();
    a.enroll(&acme, new("bert", 2)).unwrap();
    let good = documents(&a);
    let spoilt = |spoil: &dyn Fn(&mut facegate_fleet::document::SubjectDocument)| {
        let mut document = Document::clone(&good[0].document);
        if let Document::Subject(subject) = &mut document {
            spoil(subject);
        }
        Arc::new(Arrived { document: Arc::new(document), ..Arrived::clone(&good[0]) })
    };
    let first = |subject: &mut facegate_fleet::document::SubjectDocument,
                 change: &dyn Fn(&mut facegate_fleet::document::Embedding)| {
        subject.embeddings.values_mut().for_each(change);
    };
    let bad = [
        spoilt(&|subject| first(subject, &|embedding| embedding.fixed.template = vec![0; 1024].into())),
        spoilt(&|subject| first(subject, &|embedding| embedding.fixed.template = vec![1; 10].into())),
        spoilt(&|subject| first(subject, &|embedding| embedding.metadata.value = Some(b"[1]".to_vec().into()))),
        spoilt(&|subject| subject.owner.as_mut().unwrap().subject = "\n".into()),
        spoilt(&|subject| subject.owner.as_mut().unwrap().tenant = "No Tenant".into()),
    ];
    for bad in bad {
        let applied = b.apply_documents(&[bad, Arc::clone(&good[1])], 0).unwrap();
        assert!(applied[0].refused.is_some() && applied[0].moved.is_empty());
        assert!(applied[1].refused.is_none());
    }
    assert_eq!(b.stats().unwrap().subjects, 1);
    assert_sound(&b);
}

#[test]
fn a_subject_with_more_embeddings_than_a_document_holds_loses_its_oldest() {
    let dir = folder();
    let a = joined(dir.path(), "a");
    let acme = tenant("acme");
    for n in 0..90 {
        a.enroll(&acme, new("anna", n)).unwrap();
    }
    let all = documents(&a);
    assert!(all[0].document.to_bytes().is_ok());
    let info = a.subject(&acme, &subject("anna")).unwrap();
    assert!((30..80).contains(&info.embeddings) && info.active_embeddings == 3, "{info:?}");
    assert_eq!(a.search(&acme, &face(89), 1, 0.9).unwrap().len(), 1);
    assert_sound(&a);
}

#[test]
fn rules_that_no_message_takes_are_refused_in_a_site_and_what_is_taken_goes_out() {
    let dirs = [folder(), folder(), folder()];
    let (a, b, alone) = (joined(dirs[0].path(), "a"), joined(dirs[1].path(), "b"), open(dirs[2].path()));
    let acme = tenant("acme");
    let of = |groups: usize| -> Rules {
        let groups: Vec<_> =
            (0..groups).map(|n| serde_json::json!({"name": format!("group-{n:05}"), "access": []})).collect();
        serde_json::from_value(serde_json::json!({ "groups": groups })).unwrap()
    };
    // As many as fit, by halving.
    let length = |groups: usize| serde_json::to_vec(&of(groups)).unwrap().len();
    let most = (0..20_000).collect::<Vec<_>>().partition_point(|&groups| length(groups) <= replication::MAX_PLAN) - 1;
    for gallery in [&a, &alone] {
        gallery.ensure_tenant(&acme).unwrap();
    }
    a.replace_rules(&acme, &of(most), Expected::Any).unwrap();
    let error = a.replace_rules(&acme, &of(most + 1), Expected::Any).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
    assert!(error.to_string().contains(&replication::MAX_PLAN.to_string()) && error.advice().is_some(), "{error}");
    let grown = a.change_rules(&acme, |rules| {
        *rules = of(most + 1);
        Ok(())
    });
    assert_eq!(grown.unwrap_err().kind(), Kind::TooLarge);
    assert!(documents(&a).iter().all(|arrived| arrived.document.to_bytes().is_ok()), "all of it fits into messages");
    exchange(&a, &b);
    assert_eq!(b.rules(&acme).unwrap().unwrap().rules, of(most));
    // A board of no site has no such limit. Where it joins one later, its rules may only become shorter.
    alone.replace_rules(&acme, &of(most + 100), Expected::Any).unwrap();
    alone.join_site(&name("hq"), &name("c"), &key()).unwrap();
    alone.replace_rules(&acme, &of(most + 50), Expected::Any).unwrap();
    let error = alone.replace_rules(&acme, &of(most + 60), Expected::Any).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
}

#[test]
fn a_full_gallery_still_takes_in_whatever_takes_something_away() {
    let dirs = [folder(), folder()];
    let (a, b) = (joined(dirs[0].path(), "a"), joined(dirs[1].path(), "b"));
    let acme = tenant("acme");
    let mut ids = Vec::new();
    for n in 0..400 {
        ids.push(a.enroll(&acme, with_metadata(new(&format!("s{n}"), n), 3_000)).unwrap().id);
    }
    exchange(&a, &b);
    assert_alike(&[a, b]);

    // B is started again with less room than it has filled.
    let a = open(dirs[0].path());
    let small = Settings { max_mb: 1, ..settings(dirs[1].path()) };
    let b = Gallery::open(&small, MODEL, Arc::new(clock())).unwrap();
    assert_eq!(b.enroll(&acme, new("late", 1)).unwrap_err().kind(), Kind::StorageFull);
    // One erased, one suspended, one with another face in the place of the first, one erased and enrolled anew; one who is new.
    a.delete_subject(&acme, &subject("s0")).unwrap();
    a.change(&acme, &subject("s1"), &SubjectChange { active: Some(false), metadata: None }).unwrap();
    a.delete_embedding(&acme, &ids[2]).unwrap();
    a.enroll(&acme, new("s2", 1002)).unwrap();
    a.delete_subject(&acme, &subject("s3")).unwrap();
    a.enroll(&acme, new("s3", 1003)).unwrap();
    a.enroll(&acme, new("fresh", 1004)).unwrap();
    let sent = documents(&a);
    let applied = b.apply_documents(&sent, 0).unwrap();
    let who = |face: u64| b.search(&acme, &self::face(face), 1, 0.9).unwrap().first().map(|it| it.enrolment.id);
    for gone in 0..4 {
        assert_eq!(who(gone), None, "s{gone} is not recognised by a face that was taken away elsewhere");
    }
    assert_eq!(who(4), Some(ids[4]), "the others are");
    assert_eq!([who(1002), who(1003), who(1004)], [None; 3], "there is no room");
    assert_eq!(applied.iter().filter(|applied| applied.waits).count(), 3);
    assert_eq!(applied.iter().filter(|applied| applied.erased.is_some()).count(), 2);
    assert!(applied.iter().all(|applied| applied.refused.is_none() && !applied.ahead));
    assert!(outgoing(&b).is_empty(), "what is not whole is not told others");
    assert_sound(&b);
    // What waits differs, so that it is asked for again; again in vain it is no change.
    assert_ne!(a.document_hashes().unwrap(), b.document_hashes().unwrap());
    assert!(b.apply_documents(&sent, 0).unwrap().iter().all(|applied| applied.moved.is_empty()));
    drop(b);

    // Room again: all of it comes.
    let b = open(dirs[1].path());
    assert!(b.apply_documents(&sent, 0).unwrap().iter().all(|applied| !applied.waits));
    assert_eq!(b.search(&acme, &face(1003), 1, 0.9).unwrap().len(), 1);
    assert_alike(&[a, b]);
}

#[test]
fn a_full_gallery_takes_in_that_a_tenant_was_erased_beside_what_has_no_room() {
    let dirs = [folder(), folder()];
    let (a, b) = (joined(dirs[0].path(), "a"), joined(dirs[1].path(), "b"));
    let (acme, other) = (tenant("acme"), tenant("other"));
    for n in 0..400 {
        a.enroll(&acme, with_metadata(new(&format!("s{n}"), n), 3_000)).unwrap();
    }
    exchange(&a, &b);
    drop(b);
    let small = Settings { max_mb: 1, ..settings(dirs[1].path()) };
    let b = Gallery::open(&small, MODEL, Arc::new(clock())).unwrap();
    a.enroll(&other, new("fresh", 1000)).unwrap();
    a.delete_all(&acme).unwrap();
    b.apply_documents(&documents(&a), 0).unwrap();
    assert!(b.search(&acme, &face(1), 1, 0.9).unwrap().is_empty());
    // Which made room for the other one, in the same batch or when it comes again.
    b.apply_documents(&documents(&a), 0).unwrap();
    assert_eq!(b.search(&other, &face(1000), 1, 0.9).unwrap().len(), 1);
    assert_alike(&[a, b]);
}

/// Not a test of its own: enrols, suspends and deletes for ever, in the process that the next test kills.
#[test]
fn child_of_a_site_that_is_killed() {
    let Some(dir) = as_child() else { return };
    let gallery = joined(&dir, "a");
    let acme = tenant("acme");
    for n in 0u64.. {
        let who = format!("s{}", n % 20);
        let made = gallery.enroll(&acme, new(&who, n)).unwrap();
        println!("\n>{n}");
        match n % 7 {
            2 => gallery.delete_embedding(&acme, &made.id).unwrap(),
            3 => drop(gallery.delete_subject(&acme, &subject(&who)).unwrap()),
            5 => {
                let change = SubjectChange { active: Some(n % 2 == 0), metadata: None };
                gallery.change(&acme, &subject(&who), &change).unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn kill_9_leaves_no_change_without_its_stamp() {
    let dirs = [folder(), folder()];
    let b = joined(dirs[1].path(), "b");
    let mut worked = 0;
    for round in 0..8u64 {
        let mut process = child("gallery::tests::fleet::child_of_a_site_that_is_killed", dirs[0].path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100 + round * 37 % 90));
            process.kill().unwrap();
            process.wait().unwrap();
        });
        worked += lines.map_while(Result::ok).filter(|line| line.starts_with('>')).count();
        killer.join().unwrap();
        let a = open(dirs[0].path());
        assert_sound(&a);
        let (hashes, dirty) = (a.document_hashes().unwrap(), a.outgoing_count().unwrap());
        a.join_site(&name("hq"), &name("a"), &key()).unwrap();
        assert_eq!(a.document_hashes().unwrap(), hashes, "nothing in the store that was not stamped with it");
        assert_eq!(a.outgoing_count().unwrap(), dirty);
        // What is marked as outgoing is enough for another door to be the same.
        let all = documents(&a);
        let marked = outgoing(&a);
        let sent: Vec<_> = all.iter().filter(|arrived| marked.contains(&arrived.key)).cloned().collect();
        b.apply_documents(&sent, 0).unwrap();
        assert_eq!(visible(&b), visible(&a));
        assert_eq!(b.document_hashes().unwrap(), a.document_hashes().unwrap());
        a.documents_sent(&a.outgoing(None, 1000).unwrap()).unwrap();
    }
    assert!(worked > 20, "the child got going: {worked}");
}

#[derive(Clone, Debug)]
enum Step {
    Enrol(usize, usize, u64),
    DeleteNewest(usize, usize),
    DeleteSubject(usize, usize),
    DeleteAll(usize),
    Suspend(usize, usize, bool),
    Metadata(usize, usize, u8),
    SubjectRules(usize, usize, bool),
    Plan(usize, bool),
    /// One document goes from one to the other, perhaps again later.
    Send(usize, usize, usize),
    Clock(usize, i64),
}

const SUBJECTS: [&str; 3] = ["anna", "ann", "Bär"];

fn step() -> impl Strategy<Value = Step> {
    let (g, s) = (0usize..3, 0..SUBJECTS.len());
    prop_oneof![
        6 => (g.clone(), s.clone(), 0u64..9).prop_map(|(g, s, seed)| Step::Enrol(g, s, seed)),
        2 => (g.clone(), s.clone()).prop_map(|(g, s)| Step::DeleteNewest(g, s)),
        1 => (g.clone(), s.clone()).prop_map(|(g, s)| Step::DeleteSubject(g, s)),
        1 => g.clone().prop_map(Step::DeleteAll),
        2 => (g.clone(), s.clone(), any::<bool>()).prop_map(|(g, s, yes)| Step::Suspend(g, s, yes)),
        2 => (g.clone(), s.clone(), any::<u8>()).prop_map(|(g, s, n)| Step::Metadata(g, s, n)),
        2 => (g.clone(), s, any::<bool>()).prop_map(|(g, s, yes)| Step::SubjectRules(g, s, yes)),
        1 => (g.clone(), any::<bool>()).prop_map(|(g, yes)| Step::Plan(g, yes)),
        6 => (g.clone(), g.clone(), any::<prop::sample::Index>())
            .prop_map(|(from, to, nth)| Step::Send(from, to, nth.index(64))),
        1 => (g, -40_000_000_000i64..40_000_000_000).prop_map(|(g, ms)| Step::Clock(g, ms)),
    ]
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let dirs = [folder(), folder(), folder()];
    let clocks = [clock(), clock(), clock()];
    let galleries: Vec<Gallery> = (0..3)
        .map(|n| {
            let gallery = Gallery::open(&settings(dirs[n].path()), MODEL, Arc::new(clocks[n].clone())).unwrap();
            gallery.join_site(&name("hq"), &name(["a", "b", "c"][n]), &key()).unwrap();
            gallery
        })
        .collect();
    let acme = tenant("acme");
    for step in steps {
        match step {
            Step::Enrol(g, s, seed) => drop(galleries[g].enroll(&acme, new(SUBJECTS[s], seed)).unwrap()),
            Step::DeleteNewest(g, s) => {
                let filter =
                    ListFilter { subject: Some(subject(SUBJECTS[s])), active_only: false, ..ListFilter::default() };
                if let Some(last) = galleries[g].list(&acme, &filter).unwrap().enrolments.last() {
                    galleries[g].delete_embedding(&acme, &last.id).unwrap();
                }
            }
            Step::DeleteSubject(g, s) => drop(galleries[g].delete_subject(&acme, &subject(SUBJECTS[s]))),
            Step::DeleteAll(g) => drop(galleries[g].delete_all(&acme).unwrap()),
            Step::Suspend(g, s, yes) => {
                let change = SubjectChange { active: Some(!yes), metadata: None };
                drop(galleries[g].change(&acme, &subject(SUBJECTS[s]), &change));
            }
            Step::Metadata(g, s, n) => {
                let patch = MetadataChange::Merge(map(serde_json::json!({"n": n})));
                let change = SubjectChange { active: None, metadata: Some(patch) };
                drop(galleries[g].change(&acme, &subject(SUBJECTS[s]), &change));
            }
            Step::SubjectRules(g, s, yes) => {
                let rules = yes.then(|| own_rules(SUBJECTS[s]));
                drop(galleries[g].change_subject(&acme, &subject(SUBJECTS[s]), |_| Ok(rules)));
            }
            Step::Plan(g, true) => drop(galleries[g].replace_rules(&acme, &Rules::default(), Expected::Any)),
            Step::Plan(g, false) => drop(galleries[g].delete_rules(&acme, Expected::Any).unwrap()),
            Step::Send(from, to, nth) => {
                let all = documents(&galleries[from]);
                if !all.is_empty() {
                    let one = Arc::clone(&all[nth % all.len()]);
                    galleries[to].apply_documents(&[one], 0).unwrap();
                }
            }
            Step::Clock(g, ms) => {
                let by = jiff::SignedDuration::from_millis(ms);
                clocks[g].set_wall(clocks[g].wall().checked_add(by).unwrap());
            }
        }
    }
    // Everybody hears of everything.
    for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1), (1, 2), (2, 1)] {
        exchange(&galleries[from], &galleries[to]);
    }
    assert_alike(&galleries);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn galleries_that_exchange_documents_in_any_order_end_alike(steps in prop::collection::vec(step(), 1..40)) {
        run(steps)?;
    }
}

#[test]
fn what_waits_is_given_from_where_it_stopped_and_a_change_is_told() {
    let dir = folder();
    let gallery = joined(dir.path(), "a");
    for n in 0..25 {
        gallery.enroll(&tenant("acme"), new(&format!("s{n}"), n)).unwrap();
    }
    let all: Vec<_> = gallery.outgoing(None, 1000).unwrap().into_iter().map(|outgoing| outgoing.key).collect();
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let some = gallery.outgoing(after.as_ref(), 7).unwrap();
        let Some(last) = some.last() else { break };
        after = Some(last.key);
        paged.extend(some.iter().map(|outgoing| outgoing.key));
    }
    assert_eq!(paged, all);
    assert!(all.len() >= 25 && gallery.outgoing_count().unwrap() == all.len() as u64);
    let before = gallery.newest_version().unwrap();
    gallery.documents_sent(&gallery.outgoing(None, 5).unwrap()).unwrap();
    assert_eq!(gallery.newest_version().unwrap(), before, "what was sent is no change");
    gallery.enroll(&tenant("acme"), new("s3", 99)).unwrap();
    assert!(gallery.newest_version().unwrap() > before);
}

#[test]
fn whoever_has_embeddings_of_other_recognisers_alone_is_to_be_enrolled_again() {
    let dir = folder();
    let of = |model: &str| Gallery::open(&settings(dir.path()), model, Arc::new(clock())).unwrap();
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let old = of("an-older-recogniser");
    for (tenant, name) in [(&acme, "ann"), (&acme, "anna"), (&acme, "zoe"), (&globex, "anna")] {
        old.enroll(tenant, new(name, 1)).unwrap();
    }
    assert!(old.to_enrol_again(None).unwrap().is_empty());
    drop(old);
    let now = open(dir.path());
    now.enroll(&acme, new("anna", 2)).unwrap();
    now.enroll(&acme, new("bob", 3)).unwrap();
    let names = |tenant: Option<&TenantId>| -> Vec<String> {
        let all = now.to_enrol_again(tenant).unwrap();
        all.into_iter().map(|(tenant, subject)| format!("{tenant}/{subject}")).collect()
    };
    assert_eq!(names(None), ["acme/ann", "acme/zoe", "globex/anna"]);
    assert_eq!(names(Some(&globex)), ["globex/anna"]);
    now.enroll(&globex, new("anna", 2)).unwrap();
    now.delete_subject(&acme, &subject("zoe")).unwrap();
    assert_eq!(names(None), ["acme/ann"]);
}
