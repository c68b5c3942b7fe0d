//! What people carry between devices and the site, done as docs/fleet.md says.

use std::sync::Arc;

use super::*;
use crate::fleet::identity::{Installed, Member};

const NOW: u64 = 1_795_000_000_000;

fn settings(dir: &Path, device: &str) -> Settings {
    let values = serde_json::json!({
        "site": "hq", "device": device, "broker": "localhost:8883", "dir": dir.join(device), "clock": "always",
    });
    serde_json::from_value(values).expect("settings")
}

/// Does what docs/fleet.md says to let a device join.
fn joined(dir: &Path, device: &str, role: Role) -> (Settings, Approval) {
    let settings = settings(dir, device);
    let request = request(&settings).expect("a request");
    let approval = approve(&dir.join("site"), &request, role, NOW, None).expect("an approval");
    join(&settings, &approval).expect("it joins");
    (settings, approval)
}

fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    make_site(&dir.path().join("site"), None, NOW).expect("a site");
    dir
}

#[test]
fn doors_alone_get_the_key_for_what_doors_share() {
    let dir = site();
    let (door, approval) = joined(dir.path(), "front", Role::Door);
    assert!(Installed::read(&door).is_ok());
    let sealed = approval.sealing.expect("a door's");
    for (device, role) in [("desk", Role::Operator), ("office", Role::Admin), ("eye", Role::Observer)] {
        let (settings, approval) = joined(dir.path(), device, role);
        assert!(approval.sealing.is_none() && !settings.dir.join(SEALING_KEY).exists());
        assert_eq!(Member::read(&settings).expect("it is of the site").role(), role);
        let error = Installed::read(&settings).err().expect("no door");
        assert!(error.to_string().contains("as no door") && error.advice().is_some(), "{error}");
    }
    // Joined as something else, it forgets what it had as a door. An approval of before, for another, brings nothing.
    let again = approve(&dir.path().join("site"), &request(&door).expect("a request"), Role::Observer, NOW + 1, None);
    let again = again.expect("an approval");
    join(&door, &Approval { sealing: Some(sealed.clone()), sig: None, ..again }).expect("it joins");
    assert!(!door.dir.join(SEALING_KEY).exists());
    // What was written before approvals could lack it is read as ever.
    let (door, approval) = joined(dir.path(), "back", Role::Door);
    let text = serde_json::to_string(&approval).expect("JSON");
    assert!(text.contains("\"sealing\":\""));
    join(&door, &serde_json::from_str(&text).expect("an approval")).expect("it joins");
    let error = join(&door, &Approval { sealing: None, sig: None, ..approval }).expect_err("a door without");
    assert!(error.to_string().contains("no sealing key"), "{error}");
}

#[test]
fn whoever_is_approved_after_a_revocation_never_believes_that_key() {
    let dir = site();
    let keys = dir.path().join("site");
    let (_, approval) = joined(dir.path(), "stolen", Role::Operator);
    let stolen = settings(dir.path(), "stolen");
    let voucher = Member::read(&stolen).expect("it is of the site").voucher;
    let crl = || fs::read_to_string(keys.join(CRL)).expect("a list");
    let before = crl();
    for _ in 0..2 {
        revoke(&keys, &stolen.site, &voucher.voucher, NOW + 1).expect("it is revoked");
    }
    assert_eq!(revoked(&keys).expect("a list").len(), 1, "once for each key");
    assert!(crl().len() > before.len(), "its certificates are on the broker's list");
    let (new, theirs) = joined(dir.path(), "new", Role::Door);
    assert_eq!((approval.revoked.len(), theirs.revoked.len()), (0, 1));
    let mut registry = Installed::read(&new).expect("it is of the site").registry;
    let now = facegate_fleet::Now { wall: NOW, mono: 0, trusted: true };
    assert!(registry.revoked().any(|key| *key == voucher.voucher.key));
    // The broker gives it the voucher of before: it knows better, and knows what to put there.
    assert_eq!(registry.take(Arc::clone(&voucher)), facegate_fleet::registry::Taken::Stale);
    assert_eq!(registry.trusted(&stolen.device, now), Err(facegate_fleet::refusal::Cause::Revoked));
    // Nobody signs such a list but the site, and nobody joins by an approval for a key on it.
    let spoilt = vec![theirs.revoked[0].replace("\"revoked\":true", "\"revoked\":false")];
    assert!(join(&new, &Approval { revoked: spoilt, sig: None, ..theirs.clone() }).is_err());
    assert!(join(&stolen, &Approval { revoked: theirs.revoked, sig: None, ..approval }).is_err());
}

#[test]
fn whoever_left_has_no_keys_and_comes_back_with_others() {
    let dir = site();
    let keys = dir.path().join("site");
    let (settings, _) = joined(dir.path(), "front", Role::Door);
    let (before, known) = (request(&settings).expect("a request"), Member::read(&settings).expect("it has joined"));
    revoke(&keys, &settings.site, &known.voucher.voucher, NOW + 1).expect("it is revoked");
    let error = approve(&keys, &before, Role::Door, NOW + 2, None).expect_err("revoked");
    assert!(error.to_string().contains("was revoked") && error.advice().is_some_and(|help| help.contains("leave")));
    let removed = leave(&settings).expect("it leaves");
    assert_eq!(removed.len(), 7, "{removed:?}");
    let left: Vec<_> =
        fs::read_dir(&settings.dir).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(left, ["registry.json"]);
    assert!(Member::read(&settings).is_err() && leave(&settings).expect("again").is_empty());
    let after = request(&settings).expect("a request");
    assert!(after.key != before.key && after.box_key != before.box_key);
    let approval = approve(&keys, &after, Role::Door, NOW + 3, None).expect("other keys are approved");
    join(&settings, &approval).expect("it joins");
    let member = Installed::read(&settings).expect("it is of the site");
    let now = facegate_fleet::Now { wall: NOW + 4, mono: 0, trusted: true };
    assert!(member.registry.trusted(&settings.device, now).is_ok(), "it is believed, with the new key");
}

#[test]
fn what_is_changed_on_its_way_has_another_fingerprint_or_is_refused() {
    let dir = site();
    let keys = dir.path().join("site");
    let (settings, approval) = joined(dir.path(), "front", Role::Door);
    let asked = request(&settings).expect("a request");
    let print = asked.fingerprint().expect("a fingerprint");
    assert_eq!((print.len(), print.matches('-').count()), (24, 4));
    assert_eq!(request(&settings).expect("again").fingerprint().expect("a fingerprint"), print, "the same keys");
    let other = request(&self::settings(dir.path(), "back")).expect("a request");
    let changed = [
        Request { key: other.key, ..asked.clone() },
        Request { box_key: other.box_key, ..asked.clone() },
        Request { csr: other.csr.clone(), ..asked.clone() },
        Request { device: other.device.clone(), ..asked.clone() },
    ];
    assert!(changed.iter().all(|changed| changed.fingerprint().expect("a fingerprint") != print));
    assert!(Request { csr: "none".into(), ..asked }.fingerprint().is_err());
    assert!(is_fingerprint(&format!(" {} ", print.to_uppercase().replace('-', "")), &print));
    assert!(!is_fingerprint("", &print) && !is_fingerprint(&print[..10], &print));

    assert_eq!(approval.site_fingerprint(), fingerprint_of_site(&keys).expect("a site"));
    // Written and read again, as it is carried.
    let carried = serde_json::to_string_pretty(&approval).expect("JSON");
    join(&settings, &serde_json::from_str(&carried).expect("an approval")).expect("it joins");
    // A sealing key that somebody else knows, sealed to this device.
    let sealed = seal::seal_to(&request(&settings).expect("a request").box_key, "x", &[7; 32], &mut rand::rng());
    let error = join(&settings, &Approval { sealing: sealed, ..approval.clone() }).expect_err("changed");
    assert!(error.to_string().contains("signed"), "{error}");
    assert!(join(&settings, &Approval { ca: "none".into(), ..approval }).is_err());
}
