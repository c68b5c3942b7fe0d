//! Random sequences of calls against a plain list that does the same.

use proptest::prelude::*;

use super::*;

const TENANTS: [&str; 2] = ["acme", "globex"];
const SUBJECTS: [&str; 4] = ["anna", "ann", "anna ", "Bär"];

#[derive(Clone, Debug)]
enum Step {
    Enrol {
        tenant: usize,
        subject: usize,
        seed: u64,
    },
    DeleteEmbedding {
        tenant: usize,
        nth: usize,
    },
    DeleteSubject {
        tenant: usize,
        subject: usize,
    },
    DeleteAll {
        tenant: usize,
    },
    Verified {
        tenant: usize,
        nth: usize,
    },
    Search {
        tenant: usize,
        seed: u64,
        limit: usize,
        least: f32,
    },
    Compare {
        tenant: usize,
        subject: usize,
        seed: u64,
    },
    List {
        tenant: usize,
        subject: Option<usize>,
        active_only: bool,
        limit: usize,
    },
    Reopen,
    /// The clock goes on or back.
    Clock(i64),
}

struct Row {
    tenant: usize,
    subject: usize,
    seed: u64,
    id: EmbeddingId,
    active: bool,
    verified: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let (t, s, seed) = (0..TENANTS.len(), 0..SUBJECTS.len(), 0u64..12);
    prop_oneof![
        10 => (t.clone(), s.clone(), seed.clone())
            .prop_map(|(tenant, subject, seed)| Step::Enrol { tenant, subject, seed }),
        2 => (t.clone(), 0usize..20).prop_map(|(tenant, nth)| Step::DeleteEmbedding { tenant, nth }),
        1 => (t.clone(), s.clone()).prop_map(|(tenant, subject)| Step::DeleteSubject { tenant, subject }),
        1 => t.clone().prop_map(|tenant| Step::DeleteAll { tenant }),
        1 => (t.clone(), 0usize..20).prop_map(|(tenant, nth)| Step::Verified { tenant, nth }),
        4 => (t.clone(), seed.clone(), 1usize..5, prop_oneof![Just(-1.0f32), Just(0.05), Just(0.9)])
            .prop_map(|(tenant, seed, limit, least)| Step::Search { tenant, seed, limit, least }),
        2 => (t.clone(), s.clone(), seed).prop_map(|(tenant, subject, seed)| Step::Compare { tenant, subject, seed }),
        2 => (t, proptest::option::of(s), any::<bool>(), 1usize..6)
            .prop_map(|(tenant, subject, active_only, limit)| Step::List { tenant, subject, active_only, limit }),
        1 => Just(Step::Reopen),
        1 => (-5000i64..5000).prop_map(Step::Clock),
    ]
}

/// What a face looks like after it was stored: rounded to 16 bits.
fn stored(seed: u64) -> Embedding {
    let secret = super::super::record::Secret { embedding: face(seed), source: None, metadata: None };
    super::super::record::Secret::parse_embedding(&secret.to_bytes().unwrap()).unwrap()
}

/// The best active embedding of each subject, best first, ties by id.
fn expected_search(rows: &[Row], tenant: usize, seed: u64) -> Vec<(usize, EmbeddingId, f32)> {
    let probe = face(seed);
    let mut all: Vec<_> = rows
        .iter()
        .filter(|row| row.tenant == tenant && row.active)
        .map(|row| (row.subject, row.id, stored(row.seed).cosine(&probe)))
        .collect();
    all.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.1.cmp(&b.1)));
    let mut seen = std::collections::HashSet::new();
    all.retain(|row| seen.insert(row.0));
    all
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let dir = folder();
    let clock = clock();
    let open = || Gallery::open(&settings(dir.path()), MODEL, Arc::new(clock.clone())).unwrap();
    let mut gallery = open();
    let keep = settings(dir.path()).keep_active;
    let mut rows: Vec<Row> = Vec::new();
    let names: Vec<TenantId> = TENANTS.iter().map(|name| tenant(name)).collect();
    let subjects: Vec<SubjectId> = SUBJECTS.iter().map(|name| subject(name)).collect();
    let unknown = EmbeddingId::from_bytes([9; 16]);
    for step in steps {
        match step {
            Step::Enrol { tenant, subject, seed } => {
                let enrolment = gallery.enroll(&names[tenant], new(SUBJECTS[subject], seed)).unwrap();
                prop_assert!(rows.iter().all(|row| row.id != enrolment.id), "an id came twice");
                rows.push(Row { tenant, subject, seed, id: enrolment.id, active: true, verified: 0 });
                let mut left = keep;
                for row in
                    rows.iter_mut().rev().filter(|row| row.tenant == tenant && row.subject == subject && row.active)
                {
                    row.active = left > 0;
                    left = left.saturating_sub(1);
                }
            }
            Step::DeleteEmbedding { tenant, nth } => {
                // Any row: another tenant's is as if it did not exist.
                let id = rows.get(nth).map_or(unknown, |row| row.id);
                let position = rows.iter().position(|row| row.tenant == tenant && row.id == id);
                let answer = gallery.delete_embedding(&names[tenant], &id);
                match position {
                    Some(position) => {
                        answer.unwrap();
                        let subject = rows.remove(position).subject;
                        let left = rows.iter_mut().rev().filter(|row| row.tenant == tenant && row.subject == subject);
                        left.take(keep).for_each(|row| row.active = true);
                    }
                    None => prop_assert_eq!(answer.unwrap_err().kind(), Kind::EmbeddingNotFound),
                }
            }
            Step::DeleteSubject { tenant, subject } => {
                let before = rows.len();
                rows.retain(|row| row.tenant != tenant || row.subject != subject);
                let answer = gallery.delete_subject(&names[tenant], &subjects[subject]);
                match before - rows.len() {
                    0 => prop_assert_eq!(answer.unwrap_err().kind(), Kind::SubjectNotFound),
                    deleted => prop_assert_eq!(answer.unwrap(), deleted),
                }
            }
            Step::DeleteAll { tenant } => {
                let before = rows.len();
                rows.retain(|row| row.tenant != tenant);
                prop_assert_eq!(gallery.delete_all(&names[tenant]).unwrap(), before - rows.len());
            }
            Step::Verified { tenant, nth } => {
                let id = rows.get(nth).map_or(unknown, |row| row.id);
                let answer = gallery.note_verification(&names[tenant], &id);
                match rows.iter_mut().find(|row| row.tenant == tenant && row.id == id) {
                    Some(row) => {
                        answer.unwrap();
                        row.verified += 1;
                        if row.verified % 2 == 0 {
                            gallery.store_verifications().unwrap();
                        }
                    }
                    None => prop_assert_eq!(answer.unwrap_err().kind(), Kind::EmbeddingNotFound),
                }
            }
            Step::Search { tenant, seed, limit, least } => {
                let expected = expected_search(&rows, tenant, seed);
                let answer = gallery.search(&names[tenant], &face(seed), limit, least).unwrap();
                let wanted = expected.iter().filter(|row| row.2 >= least).take(limit);
                prop_assert_eq!(answer.len(), wanted.clone().count());
                for (got, want) in answer.iter().zip(wanted) {
                    prop_assert_eq!(&got.enrolment.subject, &subjects[want.0]);
                    prop_assert_eq!(got.enrolment.id, want.1);
                    prop_assert!((got.cosine - want.2).abs() < 1e-5);
                }
                let two = gallery.best_two(&names[tenant], &face(seed)).unwrap();
                prop_assert_eq!(two.len(), expected.len().min(2));
                for (got, want) in two.iter().zip(&expected) {
                    prop_assert_eq!((&got.0, got.1), (&subjects[want.0], want.1));
                }
            }
            Step::Compare { tenant, subject, seed } => {
                let expected = expected_search(&rows, tenant, seed).into_iter().find(|row| row.0 == subject);
                match (gallery.compare(&names[tenant], &subjects[subject], &face(seed)), expected) {
                    (Ok(got), Some(want)) => {
                        prop_assert_eq!(got.enrolment.id, want.1);
                        prop_assert!((got.cosine - want.2).abs() < 1e-5);
                    }
                    (answer, want) => {
                        prop_assert!(want.is_none());
                        prop_assert_eq!(answer.unwrap_err().kind(), Kind::SubjectNotFound);
                    }
                }
            }
            Step::List { tenant, subject, active_only, limit } => {
                let mut expected: Vec<_> = rows
                    .iter()
                    .filter(|row| row.tenant == tenant && subject.is_none_or(|subject| row.subject == subject))
                    .filter(|row| row.active || !active_only)
                    .map(|row| (row.id, row.subject, row.active, row.verified))
                    .collect();
                expected.sort_unstable();
                let subject = subject.map(|subject| subjects[subject].clone());
                let mut filter = ListFilter { subject, active_only, limit, after: None };
                let mut listed = Vec::new();
                loop {
                    let page = gallery.list(&names[tenant], &filter).unwrap();
                    prop_assert!(page.enrolments.len() <= limit);
                    listed.extend(page.enrolments);
                    filter.after = page.next;
                    if page.next.is_none() {
                        break;
                    }
                }
                prop_assert_eq!(listed.len(), expected.len());
                for (got, want) in listed.iter().zip(expected) {
                    prop_assert_eq!((got.id, &got.subject), (want.0, &subjects[want.1]));
                    prop_assert_eq!((got.active, got.verification_count), (want.2, want.3));
                    prop_assert_eq!(got.last_verified_at.is_some(), want.3 > 0);
                }
            }
            Step::Reopen => {
                gallery.store_verifications().unwrap();
                drop(gallery);
                gallery = open();
            }
            Step::Clock(milliseconds) => {
                let by = jiff::SignedDuration::from_millis(milliseconds);
                clock.set_wall(clock.wall().checked_add(by).unwrap());
            }
        }
        let stats = gallery.stats().unwrap();
        prop_assert_eq!(stats.active as usize, rows.iter().filter(|row| row.active).count());
        prop_assert_eq!(stats.inactive as usize, rows.iter().filter(|row| !row.active).count());
    }
    let report = gallery.check().unwrap();
    prop_assert!(report.is_sound(), "{:#?}", report.findings);
    drop(gallery);
    let report = open().check().unwrap();
    prop_assert!(report.is_sound(), "after reopening: {:#?}", report.findings);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_gallery_does_what_a_plain_list_does(steps in prop::collection::vec(step(), 1..60)) {
        run(steps)?;
    }
}
