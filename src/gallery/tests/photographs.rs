//! Photographs of enrolments: kept where that was asked for, sealed, and gone with their embeddings.

use zeroize::Zeroizing;

use super::*;

const JPEG: &[u8] = b"the face of somebody, as a JPEG, long enough to be looked for";

fn keeping(dir: &Path) -> Gallery {
    let settings = Settings { keep_photographs: true, ..settings(dir) };
    Gallery::open(&settings, MODEL, Arc::new(clock())).unwrap()
}

fn pictured(name: &str, seed: u64) -> NewEnrolment {
    NewEnrolment { photograph: Some(Zeroizing::new(JPEG.to_vec())), ..new(name, seed) }
}

fn found_on_disk(dir: &Path, part: &[u8]) -> bool {
    ["data.mdb", "seal.keys"].iter().any(|name| {
        std::fs::read(settings(dir).dir.join(name)).unwrap().windows(part.len()).any(|window| window == part)
    })
}

#[test]
fn none_is_kept_unless_that_was_asked_for() {
    let dir = folder();
    let gallery = open(dir.path());
    let made = gallery.enroll(&tenant("acme"), pictured("anna", 1)).unwrap();
    assert!(gallery.photograph(&tenant("acme"), &made.id).unwrap().is_none());
    assert_eq!(gallery.store.photographs.len(&gallery.store.read().unwrap()).unwrap(), 0);
}

#[test]
fn what_is_kept_comes_back_sealed_on_the_disk_and_for_its_tenant_alone() {
    let dir = folder();
    let gallery = keeping(dir.path());
    let acme = tenant("acme");
    let made = gallery.enroll(&acme, pictured("anna", 1)).unwrap();
    let none = gallery.enroll(&acme, new("anna", 2)).unwrap();
    gallery.enroll(&tenant("globex"), new("bert", 3)).unwrap();
    assert_eq!(gallery.photograph(&acme, &made.id).unwrap().unwrap().as_slice(), JPEG);
    assert!(gallery.photograph(&acme, &none.id).unwrap().is_none());
    assert_eq!(gallery.photograph(&tenant("globex"), &made.id).unwrap_err().kind(), Kind::EmbeddingNotFound);
    assert!(!found_on_disk(dir.path(), &JPEG[..16]));
    assert_sound(&gallery);
    drop(gallery);
    let gallery = open(dir.path());
    assert_eq!(gallery.photograph(&acme, &made.id).unwrap().unwrap().as_slice(), JPEG, "what was kept stays readable");
}

#[test]
fn every_way_to_delete_takes_it_along_for_good() {
    let dir = folder();
    let gallery = keeping(dir.path());
    let acme = tenant("acme");
    for way in 0..4 {
        let made = gallery.enroll(&acme, pictured("anna", way)).unwrap();
        gallery.enroll(&acme, new("bert", 90 + way)).unwrap();
        let txn = gallery.store.read().unwrap();
        let row = gallery.store.tenant(&txn, &acme).unwrap().unwrap();
        let (key, value) = gallery.store.photographs.first(&txn).unwrap().unwrap();
        let (internal, value) = (u64::from_be_bytes(key.try_into().unwrap()), value.to_vec());
        drop(txn);
        let slot = u32::from_le_bytes(value[1..5].try_into().unwrap());
        let known = [b"photograph".as_slice(), &internal.to_be_bytes()].concat();
        let opens = || gallery.vault.unseal(row.slot, slot, &known, &value[5..]).unwrap().is_some();
        assert!(opens());
        match way {
            0 => gallery.delete_embedding(&acme, &made.id).unwrap(),
            1 => assert_eq!(gallery.delete_subject(&acme, &subject("anna")).unwrap(), 1),
            2 => assert_eq!(gallery.delete_all(&acme).unwrap(), 4),
            _ => assert_eq!(gallery.delete_tenant(&acme).unwrap(), 2),
        }
        assert!(!opens(), "way {way}");
        assert_eq!(gallery.store.photographs.len(&gallery.store.read().unwrap()).unwrap(), 0);
        assert_sound(&gallery);
    }
}
