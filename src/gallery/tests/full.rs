//! No room left, in the map and on the disk.

use std::process::Command;

use super::*;

/// Enrols until the gallery is full; gives the ids that were acknowledged.
fn fill(gallery: &Gallery, of: &TenantId, metadata: usize) -> Vec<EmbeddingId> {
    let mut ids = Vec::new();
    loop {
        let n = ids.len() as u64;
        match gallery.enroll(of, with_metadata(new(&format!("s{n}"), n), metadata)) {
            Ok(made) => ids.push(made.id),
            Err(error) => {
                assert_eq!(error.kind(), Kind::StorageFull, "{error}");
                assert!(error.advice().is_some());
                return ids;
            }
        }
        assert!(ids.len() < 5000, "it never fills");
    }
}

fn ids(gallery: &Gallery, of: &TenantId) -> Vec<EmbeddingId> {
    let filter = ListFilter { limit: 1000, active_only: false, ..ListFilter::default() };
    gallery.list(of, &filter).unwrap().enrolments.iter().map(|row| row.id).collect()
}

#[test]
fn a_full_store_keeps_nothing_of_the_request_and_can_be_made_smaller() {
    let dir = folder();
    let small = Settings { max_mb: 1, max_metadata_bytes: 65_536, ..settings(dir.path()) };
    let open = || Gallery::open(&small, MODEL, Arc::new(clock())).unwrap();
    let mut gallery = open();
    let acme = tenant("acme");
    for round in 0..4 {
        let made = fill(&gallery, &acme, if round % 2 == 0 { 10_000 } else { 3_000 });
        assert!(made.len() > 20, "{} enrolments fit", made.len());
        assert_eq!(ids(&gallery, &acme), made, "nothing of the failed request is kept");
        let stats = gallery.stats().unwrap();
        assert!(stats.used_bytes <= stats.max_bytes && stats.used_bytes > stats.max_bytes * 9 / 10, "{stats:?}");
        assert_sound(&gallery);
        // Counting works in a full store, and so does deleting; then there is room again.
        gallery.note_verification(&acme, &made[1]).unwrap();
        for id in &made[..4] {
            gallery.delete_embedding(&acme, id).unwrap();
        }
        gallery.enroll(&acme, new("somebody", 1)).unwrap();
        assert_sound(&gallery);
        drop(gallery);
        gallery = open();
        assert_eq!(gallery.delete_all(&acme).unwrap(), made.len() - 3);
        assert_sound(&gallery);
    }
}

#[test]
fn a_store_above_a_lowered_limit_can_be_made_smaller() {
    let dir = folder();
    let of = |max_mb| Settings { max_mb, ..settings(dir.path()) };
    let open = |max_mb| Gallery::open(&of(max_mb), MODEL, Arc::new(clock())).unwrap();
    let acme = tenant("acme");
    let made = fill(&open(6), &acme, 3_000);
    let gallery = open(1);
    assert_eq!(gallery.enroll(&acme, new("late", 1)).unwrap_err().kind(), Kind::StorageFull);
    for id in &made[..50] {
        gallery.delete_embedding(&acme, id).unwrap();
    }
    assert_eq!(gallery.delete_all(&acme).unwrap(), made.len() - 50);
    gallery.enroll(&acme, new("late", 1)).unwrap();
    assert_sound(&gallery);
}

/// A small file system in memory, unmounted at the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_keeps_nothing_of_the_request() {
    let Some(disk) = SmallDisk::mount("3m") else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    let dir = disk.0.path();
    let gallery = open(dir);
    let acme = tenant("acme");
    let made = fill(&gallery, &acme, 2_000);
    assert!(made.len() > 100, "{} enrolments fit", made.len());
    assert_eq!(ids(&gallery, &acme).len(), made.len().min(1000));
    assert_sound(&gallery);
    // More of the same changes nothing, and searching goes on.
    assert_eq!(fill(&gallery, &acme, 2_000).len(), 0);
    assert_eq!(gallery.search(&acme, &face(7), 1, 0.9).unwrap().len(), 1);
    drop(gallery);
    let gallery = open(dir);
    assert_sound(&gallery);
    assert_eq!(gallery.stats().unwrap().active as usize, made.len());
    // Pages that the store has already are enough to delete; some deletions later there is room for an enrolment.
    for id in &made[..10] {
        gallery.delete_embedding(&acme, id).unwrap();
    }
    gallery.enroll(&acme, new("somebody", 1)).unwrap();
    assert_sound(&gallery);
}

/// What is written into a slot is there at once, whatever becomes of the transaction: it must not be one that somebody still needs
/// where the transaction fails, by a full disk or a power cut.
#[test]
fn a_transaction_that_fails_has_written_over_nobodys_secret() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    gallery.enroll(&acme, new("anna", 1)).unwrap();
    {
        let mut writer = gallery.write().unwrap();
        (0..8).for_each(|slot| writer.release_slot(slot));
        let taken: Vec<_> = (0..8).map(|_| writer.take_slot(&[7; 32]).unwrap()).collect();
        assert!(taken.iter().all(|slot| *slot >= 1), "{taken:?}");
    }
    drop(gallery);
    let gallery = open(dir.path());
    assert_eq!(gallery.search(&acme, &face(1), 1, 0.9).unwrap().len(), 1);
    assert_sound(&gallery);
}
