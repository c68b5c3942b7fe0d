//! Keys with an end, tenants with a limit, and what is left of a tenant that was deleted: nothing.

use std::time::Duration;

use super::*;
use crate::gallery::record::Header;

fn with_clock(dir: &Path) -> (Gallery, SimulatedClock) {
    let clock = clock();
    (Gallery::open(&settings(dir), MODEL, Arc::new(clock.clone())).unwrap(), clock)
}

fn until(text: &str) -> KeyTerms {
    KeyTerms { expires: Some(text.parse().unwrap()), ..KeyTerms::default() }
}

fn refused(gallery: &Gallery, secret: &str) -> bool {
    match gallery.authenticate(secret) {
        Ok(_) => false,
        Err(error) => {
            let unknown = gallery.authenticate("fg_0").unwrap_err();
            assert_eq!((error.kind(), error.message()), (unknown.kind(), unknown.message()), "as an unknown one");
            true
        }
    }
}

#[test]
fn a_key_ends_by_the_wall_clock_in_the_middle_of_its_life_too() {
    let dir = folder();
    let (gallery, clock) = with_clock(dir.path());
    let acme = tenant("acme");
    let key = gallery.make_key(&acme, &until("90d")).unwrap();
    let eternal = gallery.add_key(&acme, None, Rights::default()).unwrap();
    let day = Duration::from_secs(24 * 3600);
    clock.advance(day * 90 - Duration::from_micros(1));
    assert!(!refused(&gallery, &key.secret));
    clock.advance(Duration::from_micros(1));
    assert!(refused(&gallery, &key.secret) && !refused(&gallery, &eternal.secret));
    let info = gallery.key(&key.id).unwrap();
    assert!(info.has_ended(clock.wall()) && info.expires_at == key.expires_at, "it is listed all the same");
    drop(gallery);
    let (gallery, clock) = with_clock(dir.path());
    assert!(!refused(&gallery, &key.secret), "the clock was set back");
    clock.advance(day * 91);
    assert!(refused(&gallery, &key.secret), "its end is stored");
    assert_eq!(gallery.make_key(&acme, &until("2026-01-01T00:00:00Z")).unwrap_err().kind(), Kind::InvalidField);
}

#[test]
fn a_rotated_key_goes_on_for_its_overlap_and_the_new_one_is_like_it() {
    let dir = folder();
    let (gallery, clock) = with_clock(dir.path());
    let rights: Rights = [Right::Read, Right::Door].into_iter().collect();
    let old = gallery.add_key(&tenant("acme"), Some("desk"), rights).unwrap();
    let new = gallery.rotate_key(&old.id, Duration::from_secs(3600), None, |_| Ok(None)).unwrap();
    assert!(old.secret != new.secret && old.id != new.id);
    let info = gallery.key(&new.id).unwrap();
    assert_eq!((info.label.as_deref(), info.rights, info.expires_at), (Some("desk"), rights, None));
    assert!(!refused(&gallery, &old.secret) && !refused(&gallery, &new.secret));
    // Rotating it once more does not make it last longer, and makes no key that ends with the overlap.
    let again = gallery.rotate_key(&old.id, Duration::from_secs(7200), None, |_| Ok(None)).unwrap();
    assert_eq!(again.expires_at, None);
    clock.advance(Duration::from_secs(3600));
    assert!(refused(&gallery, &old.secret) && !refused(&gallery, &new.secret) && !refused(&gallery, &again.secret));

    let last = gallery.rotate_key(&new.id, Duration::ZERO, None, |_| Ok(None)).unwrap();
    assert!(refused(&gallery, &new.secret) && !refused(&gallery, &last.secret));
    assert_eq!(gallery.rotate_key(&new.id, Duration::ZERO, None, |_| Ok(None)).unwrap_err().kind(), Kind::NotFound);

    let ending = gallery.make_key(&tenant("acme"), &until("10d")).unwrap();
    clock.advance(Duration::from_secs(24 * 3600));
    let next = gallery.rotate_key(&ending.id, Duration::ZERO, None, |_| Ok(None)).unwrap();
    let more = next.expires_at.unwrap().duration_since(ending.expires_at.unwrap());
    assert_eq!(more.as_hours(), 24, "it lasts as long as the one before");
    for _ in 0..2 {
        let again = gallery.rotate_key(&next.id, Duration::from_secs(3600), None, |_| Ok(None)).unwrap();
        assert_eq!(again.expires_at, next.expires_at, "also where it is rotated again while it goes on");
    }
    let meta = |name: &str| gallery.store.meta.get(&gallery.store.read().unwrap(), name.as_bytes()).unwrap().is_some();
    assert!(meta(&format!("rotated.{}", next.id)) && meta(&format!("rotated.{}", old.id)));
    gallery.revoke_key(&old.id).unwrap();
    assert!(!meta(&format!("rotated.{}", old.id)), "of a key that is revoked nothing stays");
    let before = gallery.keys().unwrap();
    let no = || Error::new(Kind::Forbidden, "no");
    assert_eq!(gallery.rotate_key(&next.id, Duration::ZERO, None, |_| Err(no())).unwrap_err().kind(), Kind::Forbidden);
    assert_eq!(gallery.revoke_key_if(&next.id, |_| Err(no())).unwrap_err().kind(), Kind::Forbidden);
    assert_eq!(gallery.keys().unwrap(), before, "what is refused changes nothing");
}

#[test]
fn a_tenant_has_no_more_keys_than_can_be_compared_with_each_call() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    let keys: Vec<_> = (0..keys::MOST_KEYS).map(|_| gallery.add_key(&acme, None, Rights::default()).unwrap()).collect();
    let full = |result: Result<NewKey>| result.map(drop).unwrap_err().kind() == Kind::CapacityReached;
    assert!(full(gallery.add_key(&acme, None, Rights::default())));
    assert!(full(gallery.rotate_key(&keys[0].id, Duration::from_secs(1), None, |_| Ok(None))));
    assert!(!refused(&gallery, &keys[0].secret), "what is refused changes nothing");
    gallery.rotate_key(&keys[0].id, Duration::ZERO, None, |_| Ok(None)).unwrap();
    assert!(refused(&gallery, &keys[0].secret) && gallery.keys().unwrap().len() == keys::MOST_KEYS);
    gallery.add_key(&tenant("globex"), None, Rights::default()).unwrap();
}

#[test]
fn a_key_that_was_revoked_meanwhile_makes_none() {
    let dir = folder();
    let gallery = open(dir.path());
    let acme = tenant("acme");
    let maker = gallery.add_key(&acme, None, Rights::default()).unwrap();
    let terms = KeyTerms { maker: Some(maker.id.clone()), ..KeyTerms::default() };
    let other = gallery.make_key(&acme, &terms).unwrap();
    let rotate = |id: &str| gallery.rotate_key(id, Duration::ZERO, Some(&maker.id), |_| Ok(None));
    let other = rotate(&other.id).unwrap();
    // Another's right to be rotated is not the maker's: nor does it make itself anew.
    gallery.revoke_key(&maker.id).unwrap();
    for id in [&other.id, &maker.id] {
        assert_eq!(rotate(id).map(drop).unwrap_err().kind(), Kind::InvalidApiKey);
    }
    assert!(gallery.authenticate(&other.secret).is_ok(), "what is refused changes nothing");
    assert_eq!(gallery.make_key(&acme, &terms).map(drop).unwrap_err().kind(), Kind::InvalidApiKey);
    gallery.delete_tenant(&acme).unwrap();
    assert_eq!(gallery.make_key(&acme, &terms).map(drop).unwrap_err().kind(), Kind::InvalidApiKey);
    assert!(gallery.tenants().unwrap().is_empty(), "nor does it bring its tenant back");
}

#[test]
fn a_key_that_has_ended_meanwhile_makes_none() {
    let dir = folder();
    let (gallery, clock) = with_clock(dir.path());
    let acme = tenant("acme");
    let maker = gallery.make_key(&acme, &until("1h")).unwrap();
    let rotate = || gallery.rotate_key(&maker.id, Duration::from_secs(7200), Some(&maker.id), |_| Ok(None));
    rotate().unwrap();
    clock.advance(Duration::from_secs(3600));
    assert_eq!(rotate().map(drop).unwrap_err().kind(), Kind::InvalidApiKey);
}

#[test]
fn keys_of_earlier_versions_keep_working() {
    let dir = folder();
    let (gallery, _) = with_clock(dir.path());
    let acme = tenant("acme");
    let model = gallery.add_key(&acme, None, Rights::default()).unwrap();
    let txn = gallery.store.read().unwrap();
    let hash = gallery.store.keys.get(&txn, model.id.as_bytes()).unwrap().unwrap()[..32].to_vec();
    drop(txn);
    // Of a known secret, as the first version (no rights) and the second (rights) wrote it.
    let head = [hash.as_slice(), &1_700_000_000_000_000_i64.to_le_bytes(), &[4], b"acme"].concat();
    let usual = Rights::default();
    let read: Rights = [Right::Read].into_iter().collect();
    for (tail, label, rights) in [
        (&b"desk"[..], Some("desk"), usual),
        (&b""[..], None, usual),
        (&b"desk\0\x04"[..], Some("desk"), read),
        (&b"\0\x04"[..], None, read),
        (&b"\0\0"[..], None, Rights::from_iter([])),
    ] {
        let mut writer = gallery.write().unwrap();
        let row = [head.as_slice(), tail].concat();
        gallery.store.keys.put(writer.txn(), model.id.as_bytes(), &row).unwrap();
        writer.log(store::Change::Keys, 0, 0).unwrap();
        writer.commit(Room::Reserve).unwrap();
        let caller = gallery.authenticate(&model.secret).unwrap();
        assert_eq!((&caller.tenant, caller.rights, caller.expires_at), (&acme, rights, None), "{tail:?}");
        let info = gallery.key(&model.id).unwrap();
        assert_eq!((info.label.as_deref(), info.created_at.as_second()), (label, 1_700_000_000));
    }
    // And a key without an end is still written as the version before wrote it.
    let plain = gallery.add_key(&acme, Some("desk"), read).unwrap();
    let txn = gallery.store.read().unwrap();
    assert!(gallery.store.keys.get(&txn, plain.id.as_bytes()).unwrap().unwrap().ends_with(b"acmedesk\0\x04"));
}

#[test]
fn a_tenant_holds_no_more_faces_than_it_may() {
    let dir = folder();
    let gallery = open(dir.path());
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    gallery.add_tenant(&acme, Some(4)).unwrap();
    assert_eq!(gallery.add_tenant(&acme, None).unwrap_err().kind(), Kind::InvalidField);
    assert_eq!(gallery.limit_tenant(&globex, Some(1)).unwrap_err().kind(), Kind::NotFound);
    // keep_active is 3: the fourth makes one inactive, which counts too.
    for seed in 0..4 {
        gallery.enroll(&acme, new("anna", seed)).unwrap();
    }
    let before = gallery.stats().unwrap();
    let full = gallery.enroll(&acme, new("anna", 9)).unwrap_err();
    assert!(full.kind() == Kind::CapacityReached && full.advice().is_some());
    assert_eq!(gallery.stats().unwrap(), before, "nothing of it is kept");
    assert!(gallery.search(&acme, &face(9), 1, 0.9).unwrap().is_empty());
    gallery.enroll(&globex, new("bert", 5)).unwrap();
    assert_sound(&gallery);
    drop(gallery);

    let gallery = open(dir.path());
    assert_eq!(gallery.enroll(&acme, new("anna", 9)).unwrap_err().kind(), Kind::CapacityReached);
    let list = gallery.tenants().unwrap();
    let seen: Vec<_> = list.iter().map(|one| (one.name.as_str(), one.faces, one.max_faces)).collect();
    assert_eq!(seen, [("acme", 4, Some(4)), ("globex", 1, None)]);
    gallery.limit_tenant(&acme, None).unwrap();
    gallery.enroll(&acme, new("anna", 9)).unwrap();
    gallery.limit_tenant(&acme, Some(2)).unwrap();
    assert_eq!(gallery.tenants().unwrap()[0].faces, 5, "what is there stays");
    assert_eq!(gallery.enroll(&acme, new("anna", 9)).unwrap_err().kind(), Kind::CapacityReached);
    gallery.delete_all(&acme).unwrap();
    gallery.enroll(&acme, new("anna", 9)).unwrap();
}

#[test]
fn of_a_deleted_tenant_nothing_can_be_found_or_opened() {
    let dir = folder();
    let gallery = open(dir.path());
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let theirs = gallery.add_key(&globex, None, Rights::default()).unwrap();
    gallery.enroll(&globex, new("bert", 7)).unwrap();
    let key = gallery.add_key(&acme, None, Rights::default()).unwrap();
    gallery.limit_tenant(&acme, Some(100)).unwrap();
    for seed in 0..5 {
        gallery.enroll(&acme, with_metadata(new("anna", seed), 40)).unwrap();
    }
    let rules = serde_json::json!({"subjects": [{"id": "anna"}]});
    gallery.replace_rules(&acme, &serde_json::from_value(rules).unwrap(), Expected::Any).unwrap();
    let txn = gallery.store.read().unwrap();
    let row = gallery.store.tenant(&txn, &acme).unwrap().unwrap();
    let records: Vec<Vec<u8>> = gallery.store.records.iter(&txn).unwrap().map(|row| row.unwrap().1.to_vec()).collect();
    let records: Vec<_> =
        records.into_iter().filter(|bytes| Header::parse(bytes).unwrap().0.tenant == row.number).collect();
    drop(txn);
    let all: Vec<_> =
        (1..gallery.vault.slots.len().unwrap()).filter_map(|slot| gallery.vault.slots.get(slot).unwrap()).collect();
    let theirs_before = gallery.search(&globex, &face(7), 1, 0.9).unwrap();
    assert_eq!((records.len(), gallery.search(&acme, &face(4), 1, 0.9).unwrap().len()), (5, 1));

    assert_eq!(gallery.delete_tenant(&acme).unwrap(), 5);
    assert!(refused(&gallery, &key.secret) && !refused(&gallery, &theirs.secret));
    assert!(gallery.search(&acme, &face(4), 1, 0.9).unwrap().is_empty());
    assert_eq!(gallery.access(&acme).book().subjects(), 0, "nor rules in memory");
    // Not one of the records that were opens any more, though LMDB keeps the bytes of some.
    for record in &records {
        assert!(gallery.try_open(row.slot, record).unwrap().is_none());
    }
    let folder = settings(dir.path()).dir;
    let secrets = std::fs::read(folder.join("seal.keys")).unwrap();
    let left = secrets[32..].chunks(32).filter(|secret| secret.iter().any(|&byte| byte != 0)).count();
    assert_eq!((all.len() > 6, left), (true, 2), "globex's secret and its record's are all that is left");
    let files = [secrets, std::fs::read(folder.join("data.mdb")).unwrap()].concat();
    let found = |part: &[u8]| files.windows(part.len()).any(|window| window == part);
    assert_eq!(all.iter().filter(|secret| found(secret.as_slice())).count(), 2);
    for seed in 0..5 {
        let half: Vec<u8> =
            face(seed).as_slice()[..16].iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
        let full: Vec<u8> = face(seed).as_slice()[..16].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert!(!found(&half) && !found(&full), "no template lies in the clear");
    }
    assert!(gallery.tenants().unwrap().iter().all(|one| one.name == globex));
    assert_eq!(gallery.search(&globex, &face(7), 1, 0.9).unwrap(), theirs_before, "others keep what they had");
    assert_eq!(gallery.delete_tenant(&acme).unwrap_err().kind(), Kind::NotFound);

    // One of the same name inherits neither faces nor rules nor a limit.
    let late = gallery.enroll_in(&acme, new("eve", 20), None, |_| Ok(Vec::new())).unwrap_err();
    assert_eq!(late.kind(), Kind::NotFound, "a call that began before brings nothing back");
    let rules = serde_json::from_value(serde_json::json!({"subjects": [{"id": "eve"}]})).unwrap();
    assert_eq!(gallery.replace_rules(&acme, &rules, Expected::Any).unwrap_err().kind(), Kind::NotFound);
    assert!(gallery.tenants().unwrap().iter().all(|tenant| tenant.name != acme));
    gallery.add_tenant(&acme, None).unwrap();
    gallery.enroll_in(&acme, new("eve", 20), None, |_| Ok(Vec::new())).unwrap();
    assert_eq!(gallery.search(&acme, &face(4), 1, 0.9).unwrap().len(), 0);
    assert_eq!(gallery.search(&acme, &face(20), 1, 0.9).unwrap().len(), 1);
    assert!(gallery.rules(&acme).unwrap().is_none() && gallery.tenants().unwrap()[0].max_faces.is_none());
    assert_sound(&gallery);
}
