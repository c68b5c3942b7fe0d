//! Figures with 10,000 faces. `cargo nextest run --release --workspace --run-ignored only -E 'test(/gallery.*speed/)' --no-capture`

use std::time::Instant;

use super::*;

/// Resident memory of this process, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn open_large(dir: &Path) -> Gallery {
    let large = Settings { max_mb: 512, ..settings(dir) };
    Gallery::open(&large, MODEL, Arc::new(clock())).unwrap()
}

/// Not a test of its own: fills a gallery in another process, so that this one's memory is its own.
#[test]
fn child_that_fills() {
    let Some(dir) = as_child() else { return };
    let gallery = open_large(&dir);
    for n in 0..10_000 {
        gallery.enroll(&tenant("acme"), new(&format!("subject-{n}"), n)).unwrap();
    }
}

#[test]
#[ignore = "prints figures"]
fn ten_thousand_faces() {
    // On a real disk: durability is part of the figures.
    let dir = tempfile::tempdir().unwrap();
    assert!(child("gallery::tests::speed::child_that_fills", dir.path()).status().unwrap().success());
    let bytes = std::fs::metadata(settings(dir.path()).dir.join("data.mdb")).unwrap().len();
    let before = resident();
    let start = Instant::now();
    let gallery = open_large(dir.path());
    let opened = start.elapsed();
    eprintln!("10,000 faces: data.mdb {:.1} MiB, opened in {opened:?}", bytes as f64 / 1048576.0);
    eprintln!("{:?}", gallery.stats().unwrap());
    eprintln!("resident: {before:.1} MiB before, {:.1} MiB after", resident());
    let acme = tenant("acme");
    let time = |what: &str, call: &dyn Fn(u64)| {
        let mut times: Vec<_> = (0..200)
            .map(|n| {
                let start = Instant::now();
                call(n);
                start.elapsed()
            })
            .collect();
        times.sort();
        eprintln!("{what}: median {:?}, p95 {:?}", times[100], times[190]);
    };
    let probes: Vec<_> = (0..200).map(|n| face(n * 50)).collect();
    time("best_two", &|n| drop(gallery.best_two(&acme, &probes[n as usize]).unwrap()));
    time("search, limit 10", &|n| drop(gallery.search(&acme, &probes[n as usize], 10, -1.0).unwrap()));
    time("compare", &|n| {
        drop(gallery.compare(&acme, &subject(&format!("subject-{n}")), &probes[n as usize]).unwrap());
    });
    time("refresh with nothing new", &|_| assert!(!gallery.refresh().unwrap()));
    let key = gallery.add_key(&acme, None, Default::default()).unwrap();
    time("authenticate", &|_| drop(gallery.authenticate(&key.secret).unwrap()));
    time("enroll", &|n| drop(gallery.enroll(&acme, new("new", n)).unwrap()));
    let ids: Vec<_> = gallery.list(&acme, &ListFilter { limit: 200, ..ListFilter::default() }).unwrap().enrolments;
    time("note_verification", &|n| gallery.note_verification(&acme, &ids[n as usize].id).unwrap());
    time("store_verifications, of 200 and of none", &|_| gallery.store_verifications().unwrap());
    time("delete_embedding", &|n| gallery.delete_embedding(&acme, &ids[n as usize].id).unwrap());
    time("stats", &|_| assert!(gallery.stats().unwrap().active > 0));
    let start = Instant::now();
    assert_sound(&gallery);
    eprintln!("check: {:?}", start.elapsed());
    let start = Instant::now();
    gallery.delete_all(&acme).unwrap();
    eprintln!("delete_all: {:?}", start.elapsed());
    assert!(opened.as_secs_f64() < 1.0);
}
