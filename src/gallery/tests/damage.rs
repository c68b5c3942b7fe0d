//! Files that are not as they should be, and what `check` says of a store that does not agree.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::gallery::{
    enrol::{id_key, subject_key},
    record::Header,
};

fn refused(dir: &Path) -> Error {
    let error = Gallery::open(&settings(dir), MODEL, Arc::new(clock())).err().unwrap();
    assert_eq!(error.kind(), Kind::Store, "{error}");
    assert!(error.advice().is_some(), "no advice for: {error}");
    error
}

/// A folder with a store of some enrolments, closed.
fn filled() -> TempDir {
    let dir = folder();
    let gallery = open(dir.path());
    for seed in 0..50 {
        gallery.enroll(&tenant("acme"), new(&format!("s{seed}"), seed)).unwrap();
    }
    dir
}

#[test]
fn a_damaged_file_is_refused_with_advice() {
    let garbage: Vec<u8> = (0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    type Damage<'a> = &'a dyn Fn(&Path);
    let damages: [(&str, Damage<'_>); 8] = [
        ("data.mdb is garbage", &|dir| fs::write(dir.join("data.mdb"), &garbage).unwrap()),
        ("data.mdb is cut short", &|dir| {
            let bytes = fs::read(dir.join("data.mdb")).unwrap();
            fs::write(dir.join("data.mdb"), &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("data.mdb is empty", &|dir| fs::write(dir.join("data.mdb"), []).unwrap()),
        ("data.mdb is gone", &|dir| fs::remove_file(dir.join("data.mdb")).unwrap()),
        ("master.key is gone", &|dir| fs::remove_file(dir.join("master.key")).unwrap()),
        ("master.key is another", &|dir| fs::write(dir.join("master.key"), [5; 32]).unwrap()),
        ("seal.keys is gone", &|dir| fs::remove_file(dir.join("seal.keys")).unwrap()),
        ("seal.keys is garbage", &|dir| fs::write(dir.join("seal.keys"), &garbage).unwrap()),
    ];
    for (what, damage) in damages {
        let dir = filled();
        let store = settings(dir.path()).dir;
        damage(&store);
        let names =
            |dir: &Path| -> Vec<_> { fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
        let error = refused(dir.path());
        eprintln!("{what}: {error} — {}", error.advice().unwrap());
        assert!(!names(&store).iter().any(|name| what == "master.key is gone" && name == "master.key"), "made anew");
    }
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = filled();
    let gallery = open(dir.path());
    let mut writer = gallery.write().unwrap();
    gallery.store.meta.put(writer.txn(), b"format", &(FORMAT + 1).to_le_bytes()).unwrap();
    writer.commit(Room::Reserve).unwrap();
    drop(gallery);
    assert!(refused(dir.path()).message().contains("format 2"));
}

#[test]
fn a_store_is_open_once_in_a_process() {
    let dir = filled();
    let _gallery = open(dir.path());
    let again = Gallery::open(&settings(dir.path()), MODEL, Arc::new(clock())).err().unwrap();
    assert!(again.message().contains("open in this process"), "{again}");
}

#[test]
fn a_folder_that_cannot_be_used_is_refused() {
    let dir = folder();
    fs::write(dir.path().join("gallery"), b"a file").unwrap();
    let error = Gallery::open(&settings(dir.path()), MODEL, Arc::new(clock())).err().unwrap();
    assert_eq!(error.kind(), Kind::Store);
    let dir = filled();
    let file = settings(dir.path()).dir.join("data.mdb");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused(dir.path());
}

#[test]
fn files_of_another_user_are_refused_with_advice() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may open everything");
        return;
    }
    for name in ["data.mdb", "master.key", "seal.keys"] {
        let dir = filled();
        let file = settings(dir.path()).dir.join(name);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
        assert!(refused(dir.path()).advice().unwrap().contains("user"), "{name}");
    }
}

/// Changes the store or the memory behind the gallery's back and gives what `check` says.
fn findings(tamper: impl FnOnce(&Gallery, &Header, &[u8])) -> Vec<String> {
    let dir = filled();
    let gallery = open(dir.path());
    let bytes = {
        let txn = gallery.store.read().unwrap();
        gallery.store.records.get(&txn, &7u64.to_be_bytes()).unwrap().unwrap().to_vec()
    };
    tamper(&gallery, &Header::parse(&bytes).unwrap().0, &bytes);
    let report = gallery.check().unwrap();
    assert!(report.findings.iter().all(|finding| !finding.help.is_empty()));
    report.findings.into_iter().map(|finding| finding.message).collect()
}

#[test]
fn check_finds_what_does_not_agree() {
    assert_eq!(findings(|_, _, _| {}), [] as [String; 0]);
    type Edit<'a> = &'a dyn Fn(&Gallery, &mut heed::RwTxn<'_>, &Header, &[u8]);
    let in_store = |edit: Edit<'_>| {
        findings(|gallery, header, bytes| {
            let mut writer = gallery.write().unwrap();
            edit(gallery, writer.txn(), header, bytes);
            writer.commit(Room::Reserve).unwrap();
        })
    };
    let one = |found: Vec<String>, words: &str| {
        assert!(found.len() == 1 && found[0].contains(words), "wanted {words}: {found:#?}");
    };
    let flip_last = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    one(
        findings(|gallery, header, _| {
            gallery.roster.write().index_mut(header.tenant).remove(&[header.id]).unwrap();
        }),
        "missing from the index",
    );
    one(
        findings(|gallery, header, _| {
            let mut roster = gallery.roster.write();
            let index = roster.index_mut(header.tenant);
            let mine = index.get(header.id).unwrap().clone();
            index.remove(&[header.id]).unwrap();
            index.add(face(999).as_slice(), vec![(header.id, mine)]).unwrap();
        }),
        "another vector in the index",
    );
    one(
        findings(|gallery, header, _| gallery.roster.write().index_mut(header.tenant).spoil_sketch(header.id)),
        "another vector's sketch",
    );
    one(
        findings(|gallery, header, _| {
            let mut roster = gallery.roster.write();
            let index = roster.index_mut(header.tenant);
            let mine = index.get(header.id).unwrap().clone();
            index.add(face(999).as_slice(), vec![(1 << 40, mine)]).unwrap();
        }),
        "not to be matched",
    );
    let found = in_store(&|gallery, txn, header, bytes| {
        gallery.store.records.put(txn, &header.id.to_be_bytes(), &flip_last(bytes)).unwrap();
    });
    assert!(found.iter().any(|message| message.contains("cannot be opened")), "{found:#?}");
    let found = in_store(&|gallery, txn, header, _| {
        gallery.store.records.put(txn, &header.id.to_be_bytes(), b"nonsense").unwrap();
    });
    assert!(found.iter().any(|message| message.contains("record 7 cannot be read")), "{found:#?}");
    let found = in_store(&|gallery, txn, header, _| {
        gallery.store.records.delete(txn, &header.id.to_be_bytes()).unwrap();
    });
    for words in ["rows of the list of ids lead to no record", "rows of the lists of subjects", "belong to nobody"] {
        assert!(found.iter().any(|message| message.contains(words)), "{words}: {found:#?}");
    }
    one(
        in_store(&|gallery, txn, header, _| {
            gallery.store.ids.delete(txn, &id_key(header.tenant, &header.embedding)).unwrap();
        }),
        "missing from the list of ids",
    );
    one(
        in_store(&|gallery, txn, header, _| {
            let key = subject_key(header.tenant, &header.subject, Some(&header.embedding));
            gallery.store.subjects.delete(txn, &key).unwrap();
        }),
        "missing from its subject's list",
    );
    let found = findings(|gallery, header, _| gallery.vault.slots.erase(header.slot).unwrap());
    assert!(found.iter().any(|message| message.contains("cannot be opened")), "{found:#?}");
}

#[test]
fn a_record_that_cannot_be_opened_does_not_keep_the_others_from_the_index() {
    let dir = filled();
    let gallery = open(dir.path());
    let bytes =
        gallery.store.records.get(&gallery.store.read().unwrap(), &7u64.to_be_bytes()).unwrap().unwrap().to_vec();
    gallery.vault.slots.erase(Header::parse(&bytes).unwrap().0.slot).unwrap();
    drop(gallery);
    let gallery = open(dir.path());
    let acme = tenant("acme");
    assert!(gallery.search(&acme, &face(6), 1, 0.9).unwrap().is_empty());
    assert_eq!(gallery.search(&acme, &face(8), 1, 0.9).unwrap().len(), 1);
    assert!(!gallery.check().unwrap().is_sound());
    assert_eq!(gallery.delete_all(&acme).unwrap(), 50, "and it can be deleted");
    assert_sound(&gallery);
}

#[test]
fn the_package_knows_the_layout_that_the_program_writes() {
    let format = super::super::store::FORMAT;
    let preinst = include_str!("../../../systemd/debian/preinst");
    assert!(
        preinst.lines().any(|line| line == format!("format={format}")),
        "preinst refuses downgrades by another number"
    );
    assert_eq!(include_str!("../../../systemd/debian/store-format").trim(), format.to_string());
}
