//! A tenant's enrolments as a file: out of one gallery and into another.

use std::sync::Arc;

use proptest::{prelude::*, test_runner::TestRunner};

use super::*;

fn file(gallery: &Arc<Gallery>, name: &str) -> Vec<u8> {
    let mut export = Export::new(Arc::clone(gallery), tenant(name)).unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = export.next_chunk().unwrap() {
        bytes.extend(chunk);
    }
    bytes
}

fn taken(gallery: &Arc<Gallery>, file: &[u8]) -> Result<Imported> {
    gallery.ensure_tenant(&tenant("acme")).unwrap();
    let mut import = Import::new(Arc::clone(gallery), tenant("acme"))?;
    for line in file.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        import.take(line)?;
    }
    import.finish()
}

fn full(dir: &Path) -> Arc<Gallery> {
    let gallery = Arc::new(open(dir));
    let acme = tenant("acme");
    for seed in 0..600 {
        let mut enrolment = with_metadata(new(&format!("s{}", seed % 150), seed), 30);
        enrolment.liveness_score = (seed % 2 == 0).then_some(0.5);
        enrolment.source = (seed % 3 == 0).then(|| "desk \"1\"".to_owned());
        gallery.enroll(&acme, enrolment).unwrap();
    }
    let suspended = SubjectChange { active: Some(false), ..SubjectChange::default() };
    gallery.change(&acme, &subject("s7"), &suspended).unwrap();
    gallery.enroll(&tenant("globex"), new("theirs", 9_000)).unwrap();
    let id = gallery.list(&acme, &ListFilter::default()).unwrap().enrolments[0].id;
    gallery.note_verification(&acme, &id).unwrap();
    gallery
}

fn listed(gallery: &Gallery) -> Vec<Enrolment> {
    let filter = ListFilter { active_only: false, limit: 1000, ..ListFilter::default() };
    gallery.list(&tenant("acme"), &filter).unwrap().enrolments
}

#[test]
fn what_is_imported_is_what_was_exported_template_for_template() {
    let (dir, other) = (folder(), folder());
    let gallery = full(dir.path());
    let exported = file(&gallery, "acme");
    let text = String::from_utf8(exported.clone()).unwrap();
    assert!(!text.contains("theirs") && text.lines().count() == 1 + 1 + 600 + 1);
    let moved = Arc::new(open(other.path()));
    let done = taken(&moved, &exported).unwrap();
    assert_eq!(done, Imported { imported: 600, already_there: 0, foreign: 0, suspended: 1 });
    assert_eq!(listed(&moved), listed(&gallery));
    for seed in 0..600 {
        let found = |gallery: &Gallery| gallery.search(&tenant("acme"), &face(seed), 1, 0.9).unwrap();
        assert_eq!(found(&moved), found(&gallery));
    }
    assert!(!moved.subject(&tenant("acme"), &subject("s7")).unwrap().active);
    // All but the time of its making, and so the last digest.
    let body = |file: &[u8]| file.split(|&b| b == b'\n').skip(1).take(601).map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert!(body(&file(&moved, "acme")) == body(&exported));
    assert_eq!(taken(&moved, &exported).unwrap(), Imported { already_there: 600, suspended: 1, ..Imported::default() });
    assert_eq!(listed(&moved).len(), 600);
    assert_sound(&moved);
}

#[test]
fn the_deepest_metadata_that_are_taken_come_back_from_a_file_and_deeper_ones_are_refused() {
    let (dir, other) = (folder(), folder());
    let gallery = Arc::new(open(dir.path()));
    let nested = |deep: usize| {
        let text = format!("{}1{}", r#"{"a":"#.repeat(deep), "}".repeat(deep));
        NewEnrolment { metadata: Some(serde_json::from_str(&text).unwrap()), ..new("anna", 1) }
    };
    let acme = tenant("acme");
    gallery.enroll(&acme, nested(crate::metadata::DEEPEST)).unwrap();
    let refused = gallery.enroll(&acme, nested(crate::metadata::DEEPEST + 1)).unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidMetadata);
    let moved = Arc::new(open(other.path()));
    assert_eq!(taken(&moved, &file(&gallery, "acme")).unwrap().imported, 1);
    assert_eq!(listed(&moved), listed(&gallery));
}

#[test]
fn times_and_counts_that_cannot_be_are_refused_by_their_line() {
    let (dir, other) = (folder(), folder());
    let gallery = Arc::new(open(dir.path()));
    gallery.enroll(&tenant("acme"), new("anna", 1)).unwrap();
    let exported = String::from_utf8(file(&gallery, "acme")).unwrap();
    let moved = Arc::new(open(other.path()));
    let line = exported.lines().nth(1).unwrap();
    let (body, _) = line.rsplit_once(",\"checksum\"").unwrap();
    let value: Value = serde_json::from_str(&format!("{body}}}")).unwrap();
    for (name, bad) in [
        ("created_at", "9999-01-01T00:00:00Z".into()),
        ("created_at", "-009998-01-01T00:00:00Z".into()),
        ("last_verified_at", "9999-01-01T00:00:00Z".into()),
        ("verification_count", u64::MAX.into()),
    ] {
        let mut changed = value.clone();
        let _: Option<Value> = changed.as_object_mut().unwrap().insert(name.into(), bad);
        let body = changed.to_string();
        let sum = &blake3::hash(body.as_bytes()).to_hex()[..32];
        let changed = format!("{},\"checksum\":\"{sum}\"}}", body.strip_suffix('}').unwrap());
        let cut = exported.replace(line, &changed);
        let mut import = Import::new(Arc::clone(&moved), tenant("acme"))
            .or_else(|_| {
                moved.ensure_tenant(&tenant("acme"))?;
                Import::new(Arc::clone(&moved), tenant("acme"))
            })
            .unwrap();
        for line in cut.lines().take(2) {
            import.take(line.as_bytes()).unwrap();
        }
        let error = import.finish().unwrap_err();
        assert!(error.message().starts_with("line 2: ") && error.message().contains(name), "{error}");
    }
    assert!(listed(&moved).is_empty());
}

#[test]
fn a_cut_file_is_told_and_the_whole_one_goes_on_from_there() {
    let (dir, other) = (folder(), folder());
    let exported = file(&full(dir.path()), "acme");
    let moved = Arc::new(open(other.path()));
    let lines: Vec<&[u8]> = exported.split_inclusive(|&byte| byte == b'\n').collect();
    let error = taken(&moved, &lines[..400].concat()).unwrap_err();
    assert!(error.message().contains("cut"), "{error}");
    assert_eq!(listed(&moved).len(), 398);
    let done = taken(&moved, &exported).unwrap();
    assert_eq!((done.imported, done.already_there), (202, 398));
    assert_sound(&moved);
}

#[test]
fn a_file_that_was_changed_anywhere_is_refused() {
    let (dir, other) = (folder(), folder());
    let gallery = Arc::new(open(dir.path()));
    for seed in 0..3 {
        gallery.enroll(&tenant("acme"), new("anna", seed)).unwrap();
    }
    let exported = file(&gallery, "acme");
    let moved = Arc::new(open(other.path()));
    let length = exported.len();
    TestRunner::new(ProptestConfig::with_cases(300))
        .run(&(0..length, 1u8..=255), |(at, flip)| {
            let mut changed = exported.clone();
            changed[at] ^= flip;
            let error = taken(&moved, &changed).map(|_| ()).unwrap_err();
            prop_assert_eq!(error.kind(), Kind::InvalidField);
            prop_assert!(!error.to_string().contains("anna"), "an error never says what the line holds");
            Ok(())
        })
        .unwrap();
    let lines: Vec<&[u8]> = exported.split_inclusive(|&byte| byte == b'\n').collect();
    let of = |order: &[usize]| order.iter().flat_map(|&line| lines[line].to_vec()).collect::<Vec<u8>>();
    for order in [
        &[0, 2, 1, 3, 4][..],
        &[0, 1, 2, 4],
        &[1, 2, 3, 4],
        &[0, 1, 2, 3, 3, 4],
        &[0, 0, 1, 2, 3, 4],
        &[0, 1, 2, 3, 4, 4],
    ] {
        assert_eq!(taken(&moved, &of(order)).unwrap_err().kind(), Kind::InvalidField, "{order:?}");
    }
    let done = taken(&moved, &exported).unwrap();
    assert_eq!((done.imported + done.already_there, listed(&moved).len()), (3, 3));
}

#[test]
fn a_file_that_breaks_off_suspends_nobody_of_whom_it_brought_nothing() {
    let (dir, other) = (folder(), folder());
    let exported = file(&full(dir.path()), "acme");
    let text = String::from_utf8(exported).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[1].contains("suspended") && lines[9].contains("\"s7\""),
        "the eighth embedding is whose is suspended"
    );
    let moved = Arc::new(open(other.path()));
    let suspended = |gallery: &Gallery| gallery.suspended(&tenant("acme"), None, 10).unwrap().0;
    for garbage in [2, 9] {
        let broken = [&lines[..garbage], &["garbage"]].concat().join("\n");
        assert_eq!(taken(&moved, broken.as_bytes()).unwrap_err().kind(), Kind::InvalidField);
        assert_eq!((listed(&moved).len(), suspended(&moved)), (garbage - 2, Vec::new()), "what came before is stored");
    }
    assert!(moved.enroll(&tenant("acme"), new("s7", 5_000)).unwrap().active, "nobody said otherwise");
    let broken = [&lines[..10], &["garbage"]].concat().join("\n");
    assert_eq!(taken(&moved, broken.as_bytes()).unwrap_err().kind(), Kind::InvalidField);
    assert_eq!(suspended(&moved), [subject("s7")], "with the first embedding of it");
    assert_eq!(moved.subject(&tenant("acme"), &subject("s7")).unwrap().active_embeddings, 0);

    // Suspensions of nobody, as earlier versions left them: one is somebody where the file goes to.
    let (from, to) = (folder(), folder());
    let (from, to) = (Arc::new(open(from.path())), Arc::new(open(to.path())));
    from.enroll(&tenant("acme"), new("anna", 1)).unwrap();
    let mut writer = from.write().unwrap();
    let number = from.store.tenant(writer.txn(), &tenant("acme")).unwrap().unwrap().number;
    for name in ["bert", "carl"] {
        from.suspend(&mut writer, number, &subject(name)).unwrap();
    }
    writer.commit(crate::gallery::store::Room::Configured).unwrap();
    to.enroll(&tenant("acme"), new("bert", 2)).unwrap();
    let done = taken(&to, &file(&from, "acme")).unwrap();
    assert_eq!((done.imported, done.suspended, suspended(&to)), (1, 1, vec![subject("bert")]));
    assert_eq!(to.subject(&tenant("acme"), &subject("bert")).unwrap().active_embeddings, 0);
    assert_sound(&to);
    assert_sound(&moved);
}

#[test]
fn the_limits_of_the_place_hold_and_anothers_model_is_kept_apart() {
    let (dir, other) = (folder(), folder());
    let exported = file(&full(dir.path()), "acme");
    let moved = Arc::new(Gallery::open(&settings(other.path()), "another-recogniser", Arc::new(clock())).unwrap());
    moved.add_tenant(&tenant("acme"), Some(300)).unwrap();
    let mut import = Import::new(Arc::clone(&moved), tenant("acme")).unwrap();
    let lines = exported.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let error = lines.map(|line| import.take(line)).find_map(Result::err).unwrap();
    assert_eq!(error.kind(), Kind::CapacityReached);
    assert!(error.message().contains("this was not stored"), "of what was stored before it says nothing: {error}");
    assert!(error.message().starts_with("line 303: "), "the start and a suspension come before them: {error}");
    assert_eq!((import.so_far().imported, listed(&moved).len()), (300, 300), "what came before is stored");
    moved.limit_tenant(&tenant("acme"), None).unwrap();
    let done = taken(&moved, &exported).unwrap();
    assert_eq!((done.imported, done.foreign), (300, 300));
    assert!(moved.search(&tenant("acme"), &face(3), 10, -1.0).unwrap().is_empty());
    assert_eq!(moved.stats().unwrap().foreign, 600);
    assert_eq!(Import::new(Arc::clone(&moved), tenant("nobody")).err().unwrap().kind(), Kind::NotFound);
    assert_sound(&moved);
}
