//! Files that are shorter than LMDB counts, soundly and not.

use std::fs;

use super::*;

fn data(dir: &Path) -> std::path::PathBuf {
    settings(dir).dir.join("data.mdb")
}

/// Sees that the file's own account of its pages is LMDB's. Whether the file is shorter than LMDB counts.
fn agree(gallery: &Gallery, dir: &Path) -> bool {
    let (counted, page, used) = gallery.store.pages_in_use().unwrap();
    let used = used.expect("every page in use is there");
    let tables = gallery.store.used_bytes(&gallery.store.read().unwrap()).unwrap() as usize / page;
    // What LMDB counts of the tables leaves out the table of tables and the tree of free pages.
    assert!((tables + 1..tables + 12).contains(&used.len()), "{} pages in use, {tables} of tables", used.len());
    assert!(!used.contains(&0) && !used.contains(&1), "the two metas are none of them");
    assert!(used.iter().all(|number| (number * page) as u64 + page as u64 <= counted));
    fs::metadata(data(dir)).unwrap().len() < counted
}

/// A closed store whose file is shorter than LMDB counts: the last pages were taken and given back in one transaction.
fn short() -> TempDir {
    let dir = folder();
    let gallery = open(dir.path());
    for seed in 0..20 {
        gallery.enroll(&tenant("acme"), new(&format!("s{seed}"), seed)).unwrap();
        assert!(!agree(&gallery, dir.path()), "as long as it is counted");
    }
    // Which pages LMDB takes and in which order is its own business: a few rounds, until it was the last ones.
    let table = gallery.store.presence;
    for round in 1..200u64 {
        let mut writer = gallery.write().unwrap();
        for number in 0..round {
            table.put(writer.txn(), &number.to_be_bytes(), &vec![0; 1_000 * (1 + number as usize % 7)]).unwrap();
        }
        for number in (0..round).rev() {
            table.delete(writer.txn(), &number.to_be_bytes()).unwrap();
        }
        writer.commit(Room::Reserve).unwrap();
        if agree(&gallery, dir.path()) {
            return dir;
        }
    }
    panic!("no file became shorter than LMDB counts");
}

#[test]
fn a_sound_file_that_is_shorter_than_lmdb_counts_opens() {
    let dir = short();
    let gallery = open(dir.path());
    assert_sound(&gallery);
    gallery.enroll(&tenant("acme"), new("later", 99)).unwrap();
    drop(gallery);
    assert_sound(&open(dir.path()));
}

#[test]
fn however_much_a_file_is_cut_it_is_refused_or_whole() {
    let dir = short();
    let length = fs::metadata(data(dir.path())).unwrap().len();
    let whole = fs::read(data(dir.path())).unwrap();
    let (mut opened, mut refused) = (0, 0);
    for cut in (0..=length).step_by(2_048) {
        fs::write(data(dir.path()), &whole[..(length - cut) as usize]).unwrap();
        match Gallery::open(&settings(dir.path()), MODEL, Arc::new(clock())) {
            // Reading all of it would end this process, were a page missing.
            Ok(gallery) => {
                assert_sound(&gallery);
                opened += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Store, "{error}");
                refused += 1;
            }
        }
    }
    assert!(opened >= 1 && refused > 10, "{opened} opened, {refused} refused");
}
