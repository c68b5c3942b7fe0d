//! How a device comes to be of a site: it makes its keys and a request, whoever holds the site's keys approves, and the device
//! takes the approval in. No secret leaves where it is needed unsealed.
//!
//! | where | file | |
//! | --- | --- | --- |
//! | the operator's folder | `site.key` | the site's Ed25519 key, which vouches for devices; on no door |
//! | | `sealing.key` | the site's sealing key, which every door gets, and nobody else |
//! | | `ca.pem`, `ca.key` | the authority for the broker's and the devices' certificates |
//! | | `revoked.json` | the site's word for each key that it has revoked, signed: every approval carries them |
//! | | `crl.pem` | the certificates of the same devices, for the broker |
//! | the device's folder | `box.key` | what the sealing key is sealed to on its way |

use std::{fs, path::Path};

use facegate_fleet::{
    Name,
    keys::{BoxKey, PublicKey, SealingKey, SecretKey},
    registry::Registry,
    seal::{self, BoxSecret},
    sign,
    voucher::{Role, Voucher},
    wire::V1,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams, DnType,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _, RevokedCertParams, SerialNumber,
};
use serde::{Deserialize, Serialize};

use super::{
    identity::{self, DEVICE_KEY, SEALING_KEY, SITE, SiteFile, secret, write_private, write_secret},
    settings::Settings,
};
use crate::error::{Context as _, Error, Kind, Result};

const SITE_KEY: &str = "site.key";
const BOX_KEY: &str = "box.key";
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const REVOKED: &str = "revoked.json";
const CRL: &str = "crl.pem";
const TLS: &str = "tls.pem";
const TLS_KEY: &str = "tls.key";

/// How much earlier than now a voucher is valid, in milliseconds: clocks differ.
const GRACE_MS: u64 = 24 * 3600 * 1000;

/// What a new device asks for. Holds no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub v: V1,
    pub site: Name,
    pub device: Name,
    /// What it will sign with.
    pub key: PublicKey,
    /// What the sealing key is to be sealed to.
    pub box_key: BoxKey,
    /// A request for the broker's certificate, PEM (PKCS #10).
    pub csr: String,
}

/// What whoever holds the site's keys answers. Holds no secret that is not sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    pub v: V1,
    pub site: Name,
    pub device: Name,
    pub site_key: PublicKey,
    /// The signed voucher.
    pub voucher: String,
    /// The sealing key, sealed to the request's key, for doors alone: whoever has it can read every name and template that the
    /// broker keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealing: Option<String>,
    /// The device's certificate, PEM.
    pub certificate: String,
    /// The authority's, PEM.
    pub ca: String,
    /// The signed vouchers that revoke keys: whoever is new must not have to hear of them from the broker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<String>,
    /// The site's signature over all of it. Last, as signed messages have it. Approvals of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
}

/// What a site signs approvals for: no topic of any broker.
const APPROVAL: &str = "facegate fleet: an approval";

impl Request {
    /// What people compare: of all keys that are asked for, and for whom.
    ///
    /// # Errors
    /// `InvalidField` where its request for a certificate is none.
    pub fn fingerprint(&self) -> Result<String> {
        let csr = CertificateSigningRequestParams::from_pem(&self.csr)
            .map_err(|error| Error::new(Kind::InvalidField, "the request's csr is none").source(error))?;
        let tls = csr.public_key.der_bytes();
        let (site, device) = (self.site.as_str().as_bytes(), self.device.as_str().as_bytes());
        Ok(fingerprint("facegate fleet: fingerprint of a request", &[site, device, &self.key.0, &self.box_key.0, tls]))
    }
}

impl Approval {
    /// What people compare: of the site's key, which signs approvals, and of its authority.
    pub fn site_fingerprint(&self) -> String {
        site_fingerprint(&self.site_key, &self.ca)
    }

    /// Whether the site signed all of it; `None` where it has no signature, as those of earlier versions.
    fn is_signed(&self) -> Option<bool> {
        self.sig.as_ref()?;
        let message = serde_json::to_vec(self).ok()?;
        Some(sign::Signed::split(APPROVAL, &message).is_some_and(|signed| signed.is_by(&self.site_key)))
    }

    fn signed(self, site: &SecretKey) -> Result<Self> {
        let form = || "an approval has no form in JSON";
        let object = serde_json::to_vec(&Self { sig: None, ..self }).context(Kind::Internal, form)?;
        serde_json::from_slice(&sign::sign(site, APPROVAL, &object)).context(Kind::Internal, form)
    }
}

/// The fingerprint of the site whose keys are in this folder.
///
/// # Errors
/// `Config` where the folder is not a site's.
pub fn fingerprint_of_site(dir: &Path) -> Result<String> {
    let path = dir.join(CA);
    let ca = fs::read_to_string(&path).context(Kind::Config, || format!("{} cannot be read", path.display()))?;
    Ok(site_fingerprint(&SecretKey::from_seed(&*secret(&dir.join(SITE_KEY))?).public(), &ca))
}

/// Whether what somebody typed is this fingerprint: without regard to case, hyphens and spaces.
pub fn is_fingerprint(typed: &str, fingerprint: &str) -> bool {
    let bare = |text: &str| -> String {
        text.chars().filter(|character| character.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
    };
    bare(typed) == bare(fingerprint)
}

fn site_fingerprint(key: &PublicKey, ca: &str) -> String {
    fingerprint("facegate fleet: fingerprint of a site", &[&key.0, ca.trim().as_bytes()])
}

/// 80 bits in groups of four digits: nobody finds other keys with the same, and they can be read out on the telephone.
fn fingerprint(of: &str, parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(of);
    for part in parts {
        // Their lengths, too, so that no part can be taken for the end of another.
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut bytes = [0; 10];
    hasher.finalize_xof().fill(&mut bytes);
    let groups: Vec<_> =
        bytes.chunks(2).map(|two| two.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).collect();
    groups.join("-")
}

/// Makes a site's keys in a new folder, and with the broker's host name a certificate for the broker. `now_ms` is the wall clock,
/// since 1970.
///
/// # Errors
/// `Config` where the folder has keys already; `Io`.
pub fn make_site(dir: &Path, broker: Option<&str>, now_ms: u64) -> Result<PublicKey> {
    if dir.join(SITE_KEY).exists() {
        return Err(Error::new(Kind::Config, format!("{} holds a site's keys already", dir.display()))
            .help("choose another folder; whoever loses these keys has to let every door join anew"));
    }
    let mut rng = rand::rng();
    let key = SecretKey::random(&mut rng);
    write_secret(&dir.join(SITE_KEY), &key.seed())?;
    write_secret(&dir.join(SEALING_KEY), &SealingKey::random(&mut rng).to_bytes())?;
    let failed = |error: rcgen::Error| Error::new(Kind::Internal, "a certificate cannot be made").source(error);
    let pair = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "facegate fleet");
    write_private(&dir.join(CA_KEY), pair.serialize_pem().as_bytes())?;
    let ca = params.self_signed(&pair).map_err(failed)?;
    write_private(&dir.join(CA), ca.pem().as_bytes())?;
    write_crl(dir, &[], now_ms)?;
    if let Some(broker) = broker {
        let issuer = Issuer::new(params, pair);
        let pair = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(vec![broker.to_owned()]).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, broker);
        let certificate = params.signed_by(&pair, &issuer).map_err(failed)?;
        write_private(&dir.join("broker.pem"), certificate.pem().as_bytes())?;
        write_private(&dir.join("broker.key"), pair.serialize_pem().as_bytes())?;
    }
    Ok(key.public())
}

/// Makes this device's keys, where it has none, and its request.
///
/// # Errors
/// `Io`; `Config` where a key that is there cannot be used.
pub fn request(settings: &Settings) -> Result<Request> {
    let dir = &settings.dir;
    let mut rng = rand::rng();
    if !dir.join(DEVICE_KEY).exists() {
        write_secret(&dir.join(DEVICE_KEY), &SecretKey::random(&mut rng).seed())?;
    }
    if !dir.join(BOX_KEY).exists() {
        write_secret(&dir.join(BOX_KEY), &BoxSecret::random(&mut rng).to_bytes())?;
    }
    let key = SecretKey::from_seed(&*secret(&dir.join(DEVICE_KEY))?);
    let boxed = BoxSecret::from_bytes(*secret(&dir.join(BOX_KEY))?);
    let failed = |error: rcgen::Error| Error::new(Kind::Config, "a certificate cannot be asked for").source(error);
    let path = dir.join(TLS_KEY);
    let pair = if path.exists() {
        let pem = fs::read_to_string(&path).context(Kind::Config, || format!("{} cannot be read", path.display()))?;
        KeyPair::from_pem(&pem).map_err(failed)?
    } else {
        let pair = KeyPair::generate().map_err(failed)?;
        write_private(&path, pair.serialize_pem().as_bytes())?;
        pair
    };
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, settings.device.as_str());
    let csr = params.serialize_request(&pair).and_then(|csr| csr.pem()).map_err(failed)?;
    let (site, device) = (settings.site.clone(), settings.device.clone());
    Ok(Request { v: V1, site, device, key: key.public(), box_key: boxed.public(), csr })
}

/// Answers a request with the keys in the operator's folder. `now_ms` is the wall clock, since 1970; `lasts_ms`: how long the
/// voucher is valid, without end where none.
///
/// # Errors
/// `Config` where the folder is not a site's; `InvalidField` where the request is not what it should be, or asks for a key that was
/// revoked.
pub fn approve(dir: &Path, request: &Request, role: Role, now_ms: u64, lasts_ms: Option<u64>) -> Result<Approval> {
    let site = SecretKey::from_seed(&*secret(&dir.join(SITE_KEY))?);
    let revoked = revoked(dir)?;
    if revoked.iter().any(|message| key_of(message) == Some(request.key)) {
        return Err(Error::new(Kind::InvalidField, format!("the key of {} in this request was revoked", request.device))
            .help("nobody believes it ever again: on the device facegate fleet leave, then join-request, which makes new keys"));
    }
    let voucher = Voucher {
        v: V1,
        device: request.device.clone(),
        key: request.key,
        role,
        issued: now_ms,
        not_before: now_ms.saturating_sub(GRACE_MS),
        expires: lasts_ms.map(|lasts| now_ms.saturating_add(lasts)),
        revoked: false,
    };
    let sealing = match role {
        Role::Door => {
            let sealing = secret(&dir.join(SEALING_KEY))?;
            let context = context(&request.site, &request.device);
            let sealed = seal::seal_to(&request.box_key, &context, &*sealing, &mut rand::rng());
            Some(sealed.ok_or_else(|| Error::new(Kind::InvalidField, "the request's box_key is none"))?)
        }
        // They order, watch and enrol by the doors: nothing that is sealed is for them.
        Role::Operator | Role::Admin | Role::Observer => None,
    };
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path).context(Kind::Config, || format!("{} cannot be read", path.display()))
    };
    let ca = read(CA)?;
    if !dir.join(CRL).exists() {
        write_crl(dir, &revoked, now_ms)?;
    }
    let failed = |error: rcgen::Error| Error::new(Kind::InvalidField, "the certificate cannot be signed").source(error);
    let issuer = issuer(dir)?;
    let mut csr = CertificateSigningRequestParams::from_pem(&request.csr).map_err(failed)?;
    // The certificate names the device of the request, whatever the inner request says: brokers go by it.
    csr.params.distinguished_name = rcgen::DistinguishedName::new();
    csr.params.distinguished_name.push(DnType::CommonName, request.device.as_str());
    csr.params.subject_alt_names = Vec::new();
    csr.params.is_ca = IsCa::ExplicitNoCa;
    csr.params.serial_number = Some(serial(&request.key));
    let certificate = csr.signed_by(&issuer).map_err(failed)?.pem();
    let approval = Approval {
        v: V1,
        site: request.site.clone(),
        device: request.device.clone(),
        site_key: site.public(),
        voucher: text(voucher.sign(&request.site, &site)),
        sealing,
        certificate,
        ca,
        revoked,
        sig: None,
    };
    approval.signed(&site)
}

/// Takes an approval in: from then on the device is of the site.
///
/// # Errors
/// `Config` where it is another device's, or of other keys than this device's; `Io`.
pub fn join(settings: &Settings, approval: &Approval) -> Result<()> {
    if approval.site != settings.site || approval.device != settings.device {
        return Err(Error::new(
            Kind::Config,
            format!("the approval is for the device {} of the site {}", approval.device, approval.site),
        )
        .help("put fleet.site and fleet.device right, or have the right request approved"));
    }
    if approval.is_signed() == Some(false) {
        return Err(Error::new(Kind::Config, "the approval is not as the site signed it")
            .help("it was changed on its way, or damaged: have it sent again, by another way"));
    }
    let dir = &settings.dir;
    let sealing = approval.sealing.as_ref().map(|sealing| {
        let boxed = BoxSecret::from_bytes(*secret(&dir.join(BOX_KEY))?);
        let opened = boxed.open(&context(&approval.site, &approval.device), sealing);
        opened.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok().map(zeroize::Zeroizing::new)).ok_or_else(
            || {
                Error::new(Kind::Config, "the approval is of another request: this device cannot open it")
                    .help("have the newest request of this device approved")
            },
        )
    });
    let sealing = sealing.transpose()?;
    let mut registry = Registry::new(approval.site_key);
    let vouched = identity::open(settings, &registry, approval.voucher.as_bytes(), &settings.device)?;
    if vouched.voucher.key != SecretKey::from_seed(&*secret(&dir.join(DEVICE_KEY))?).public() {
        return Err(Error::new(Kind::Config, "the approval is for another key than this device has")
            .help("have the newest request of this device approved"));
    }
    for message in &approval.revoked {
        registry.take(identity::open_any(settings, &registry, message)?);
    }
    if registry.revoked().any(|key| *key == vouched.voucher.key) {
        return Err(Error::new(Kind::Config, "the site has revoked the key that the approval is for"));
    }
    identity::recall(settings, &mut registry)?;
    if vouched.voucher.role == Role::Door && sealing.is_none() {
        return Err(Error::new(Kind::Config, "the approval is for a door and holds no sealing key")
            .help("approve the request again, with the newest facegate"));
    }
    match sealing.filter(|_| vouched.voucher.role == Role::Door) {
        Some(sealing) => write_secret(&dir.join(SEALING_KEY), &sealing)?,
        // Approvals of earlier versions held it for everybody, and a device may have been a door before.
        None => drop(remove(&dir.join(SEALING_KEY))?),
    }
    write_private(&dir.join(TLS), approval.certificate.as_bytes())?;
    write_private(&dir.join(CA), approval.ca.as_bytes())?;
    let file = SiteFile { site_key: approval.site_key, voucher: approval.voucher.clone() };
    let bytes = serde_json::to_vec(&file).context(Kind::Internal, || "an approval has no form in JSON")?;
    identity::store_registry(settings, &registry)?;
    // Last: with it the device has joined.
    write_private(&dir.join(SITE), &bytes)
}

/// Removes this device's keys and what the site gave it; gives the names of the files. Who was revoked stays known.
///
/// # Errors
/// `Io` where one of them cannot be removed.
pub fn leave(settings: &Settings) -> Result<Vec<&'static str>> {
    // First that without which it is of no site, so that nothing takes half of it for a device that has joined.
    let mut removed = Vec::new();
    for name in [SITE, SEALING_KEY, DEVICE_KEY, BOX_KEY, TLS_KEY, TLS, CA] {
        if remove(&settings.dir.join(name))? {
            removed.push(name);
        }
    }
    Ok(removed)
}

/// The site's word that a key is not trusted any more, for its topic. It is noted in the operator's folder first: whoever is
/// approved from then on has it from there, whatever the broker says.
///
/// # Errors
/// `Config` where the folder is not a site's; `Io`.
pub fn revoke(dir: &Path, site: &Name, known: &Voucher, now_ms: u64) -> Result<Vec<u8>> {
    let key = SecretKey::from_seed(&*secret(&dir.join(SITE_KEY))?);
    // Later than what it revokes, whatever the clocks say.
    let issued = now_ms.max(known.issued.saturating_add(1));
    let message = Voucher { issued, revoked: true, ..known.clone() }.sign(site, &key);
    let mut all = revoked(dir)?;
    all.retain(|message| key_of(message) != Some(known.key));
    all.push(text(message.clone()));
    let bytes = serde_json::to_vec_pretty(&all).context(Kind::Internal, || "revocations have no form in JSON")?;
    write_private(&dir.join(REVOKED), &bytes)?;
    write_crl(dir, &all, now_ms)?;
    Ok(message)
}

/// The site's word for each key that it has revoked.
fn revoked(dir: &Path) -> Result<Vec<String>> {
    let path = dir.join(REVOKED);
    if path.exists() { identity::json(&path) } else { Ok(Vec::new()) }
}

/// Which key a voucher of the operator's own folder is about.
fn key_of(message: &str) -> Option<PublicKey> {
    #[derive(Deserialize)]
    struct Of {
        key: PublicKey,
    }
    serde_json::from_str::<Of>(message).ok().map(|of| of.key)
}

/// The authority, which signs certificates.
fn issuer(dir: &Path) -> Result<Issuer<'static, KeyPair>> {
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path).context(Kind::Config, || format!("{} cannot be read", path.display()))
    };
    let ca = read(CA)?;
    KeyPair::from_pem(&read(CA_KEY)?)
        .and_then(|pair| Issuer::from_ca_cert_pem(&ca, pair))
        .map_err(|error| Error::new(Kind::Config, format!("{CA} and {CA_KEY} are no authority")).source(error))
}

/// The number of every certificate of a device with this key: so its revocation names them all, and nobody has to keep them.
fn serial(key: &PublicKey) -> SerialNumber {
    let mut bytes = [0; 20];
    blake3::Hasher::new_derive_key("facegate fleet: serial number of a device's certificates")
        .update(&key.0)
        .finalize_xof()
        .fill(&mut bytes);
    // Positive, and never shorter.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    bytes.to_vec().into()
}

/// Writes the list of revoked certificates, for the broker. It has no end: a broker takes nobody once a list has ended.
fn write_crl(dir: &Path, revoked: &[String], now_ms: u64) -> Result<()> {
    let yesterday = i64::try_from(now_ms.saturating_sub(GRACE_MS)).ok();
    let yesterday = yesterday.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let date = yesterday.to_zoned(jiff::tz::TimeZone::UTC).date();
    let part = |number: i8| number.unsigned_abs();
    let day = rcgen::date_time_ymd(date.year().into(), part(date.month()), part(date.day()));
    let revoked_certs = revoked.iter().filter_map(|message| key_of(message)).map(|key| RevokedCertParams {
        serial_number: serial(&key),
        revocation_time: day,
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: day,
        next_update: rcgen::date_time_ymd(4096, 1, 1),
        crl_number: now_ms.into(),
        issuing_distribution_point: None,
        revoked_certs: revoked_certs.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let crl = params.signed_by(&issuer(dir)?).and_then(|crl| crl.pem());
    let crl = crl
        .map_err(|error| Error::new(Kind::Internal, "the list of revoked certificates cannot be made").source(error))?;
    write_private(&dir.join(CRL), crl.as_bytes())
}

/// Removes a file; whether it was there.
fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::new(Kind::Io, format!("{} cannot be removed", path.display())).source(error)),
    }
}

fn context(site: &Name, device: &Name) -> String {
    format!("facegate fleet: the sealing key of {site} for {device}")
}

fn text(message: Vec<u8>) -> String {
    String::from_utf8(message).expect("a signed message is JSON")
}

#[cfg(test)]
mod tests {
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
        let again =
            approve(&dir.path().join("site"), &request(&door).expect("a request"), Role::Observer, NOW + 1, None);
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
}
