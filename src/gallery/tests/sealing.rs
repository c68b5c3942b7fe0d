//! Deleted means unreadable, by anybody, in the files as they lie on the disk.

use half::f16;

use super::*;
use crate::gallery::record::Header;

fn contains(file: &[u8], part: &[u8]) -> bool {
    file.windows(part.len()).any(|window| window == part)
}

/// Every form in which the template might be on the disk in the clear.
fn traces(seed: u64) -> [Vec<u8>; 2] {
    let face = face(seed);
    let half: Vec<u8> = face.as_slice()[..16].iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
    let full: Vec<u8> = face.as_slice()[..16].iter().flat_map(|v| v.to_le_bytes()).collect();
    [half, full]
}

fn files(dir: &Path) -> Vec<u8> {
    let dir = settings(dir).dir;
    ["data.mdb", "lock.mdb", "seal.keys"].iter().flat_map(|name| std::fs::read(dir.join(name)).unwrap()).collect()
}

/// The bytes of a record, and its tenant's slot.
fn record(gallery: &Gallery, of: &TenantId) -> (Vec<u8>, u32) {
    let txn = gallery.store.read().unwrap();
    let slot = gallery.store.tenant(&txn, of).unwrap().unwrap().slot;
    (gallery.store.records.iter(&txn).unwrap().next().unwrap().unwrap().1.to_vec(), slot)
}

#[test]
fn no_copy_of_a_deleted_template_stays_readable() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    let made = gallery.enroll(&acme, with_metadata(new("anna", 1), 40)).unwrap();
    gallery.enroll(&acme, new("bert", 2)).unwrap();
    let (record, tenant_slot) = record(&gallery, &acme);
    let (header, sealed) = Header::parse(&record).unwrap();
    assert!(gallery.try_open(tenant_slot, &record).unwrap().is_some());
    let old_secret = gallery.vault.slots.get(header.slot).unwrap().unwrap();
    assert!(contains(&files(dir.path()), old_secret.as_slice()));

    gallery.delete_embedding(&acme, &made.id).unwrap();
    let after = files(dir.path());
    assert!(contains(&after, sealed), "LMDB keeps deleted bytes: what this test is about");
    assert!(!contains(&after, old_secret.as_slice()), "the secret is overwritten");
    assert!(gallery.try_open(tenant_slot, &record).unwrap().is_none(), "and without it nothing opens the record");
    for seed in [1, 2] {
        assert!(traces(seed).iter().all(|trace| !contains(&after, trace)), "no template lies in the clear, ever");
    }
    assert!(!contains(&after, b"xxxxxxxx"), "nor metadata");
    assert_sound(&gallery);

    // With a tenant's last record goes the tenant's secret.
    let old = gallery.vault.slots.get(tenant_slot).unwrap().unwrap();
    assert_eq!(gallery.delete_all(&acme).unwrap(), 1);
    assert!(!contains(&files(dir.path()), old.as_slice()));
    let secrets = std::fs::read(settings(dir.path()).dir.join("seal.keys")).unwrap();
    assert!(secrets[32..].iter().all(|&byte| byte == 0), "nothing is left but the header");
    gallery.enroll(&acme, new("anna", 1)).unwrap();
    assert_sound(&gallery);
}

#[test]
fn a_secret_that_a_crash_left_behind_is_gone_after_the_next_start() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    gallery.enroll(&acme, new("anna", 1)).unwrap();
    let next = u32::try_from(gallery.store.counter(&gallery.store.read().unwrap(), "next_slot").unwrap()).unwrap();
    // As if the process had died within an enrolment.
    gallery.vault.slots.put(next, &[7; 32]).unwrap();
    gallery.vault.slots.put(next + 5, &[7; 32]).unwrap();
    drop(gallery);
    let gallery = open(dir.path());
    assert!(gallery.vault.slots.get(next).unwrap().is_none() && gallery.vault.slots.get(next + 5).unwrap().is_none());
    assert_eq!(gallery.search(&acme, &face(1), 1, 0.9).unwrap().len(), 1, "secrets in use are untouched");
    assert_sound(&gallery);
}

#[test]
fn a_record_does_not_open_in_another_place() {
    let dir = folder();
    let gallery = open(dir.path());
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    gallery.enroll(&acme, new("anna", 1)).unwrap();
    let (bytes, tenant_slot) = record(&gallery, &acme);
    gallery.enroll(&globex, new("bert", 2)).unwrap();
    let globex_slot = gallery.store.tenant(&gallery.store.read().unwrap(), &globex).unwrap().unwrap().slot;
    assert!(gallery.try_open(globex_slot, &bytes).unwrap().is_none());
    let (header, sealed) = Header::parse(&bytes).unwrap();
    for other in [
        Header { subject: subject("eve"), ..header.clone() },
        Header { tenant: header.tenant + 1, ..header.clone() },
        Header { id: header.id + 1, ..header.clone() },
        Header { model: "other".to_owned(), ..header.clone() },
        Header { embedding: EmbeddingId::from_bytes([1; 16]), ..header.clone() },
    ] {
        let forged = [other.to_bytes().unwrap(), sealed.to_vec()].concat();
        assert!(gallery.try_open(tenant_slot, &forged).unwrap().is_none(), "{other:?}");
    }
}

#[test]
fn a_record_deleted_while_it_is_read_is_no_damage() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    let made = gallery.enroll(&acme, new("anna", 1)).unwrap();
    let (bytes, tenant_slot) = record(&gallery, &acme);
    // What a reader with an older view still has in its hands.
    gallery.delete_embedding(&acme, &made.id).unwrap();
    assert!(gallery.open_record(&gallery.store.read().unwrap(), tenant_slot, &bytes).unwrap().is_none());
    gallery.enroll(&acme, new("bert", 2)).unwrap();
    assert!(
        gallery.open_record(&gallery.store.read().unwrap(), tenant_slot, &bytes).unwrap().is_none(),
        "nor when its slot is used again"
    );
    let (bytes, tenant_slot) = record(&gallery, &acme);
    gallery.vault.slots.erase(tenant_slot).unwrap();
    let damaged = gallery.open_record(&gallery.store.read().unwrap(), tenant_slot, &bytes).err().unwrap();
    assert_eq!(damaged.kind(), Kind::Store, "one that is still there is damaged");
}
