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

mod papers;
mod revoking;
#[cfg(test)]
mod tests;

use std::{fs, path::Path};

use facegate_fleet::{
    Name,
    keys::{PublicKey, SealingKey, SecretKey},
    registry::Registry,
    seal::{self, BoxSecret},
    voucher::{Role, Voucher},
    wire::V1,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use self::revoking::{issuer, key_of, revoked, serial, write_crl};
pub use self::{
    papers::{Approval, Request, fingerprint_of_site, is_fingerprint},
    revoking::revoke,
};
use super::{
    identity::{self, DEVICE_KEY, SEALING_KEY, SITE, SiteFile, secret, write_private, write_secret},
    settings::Settings,
};
use crate::error::{Context as _, Error, Kind, Result};

const SITE_KEY: &str = "site.key";
const BOX_KEY: &str = "box.key";
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const CRL: &str = "crl.pem";
const TLS: &str = "tls.pem";
const TLS_KEY: &str = "tls.key";

/// How much earlier than now a voucher is valid, in milliseconds: clocks differ.
const GRACE_MS: u64 = 24 * 3600 * 1000;

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
        KeyPair::from_pem(&read(dir, TLS_KEY)?).map_err(failed)?
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
    let ca = read(dir, CA)?;
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

/// What a file of the folder says.
fn read(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    fs::read_to_string(&path).context(Kind::Config, || format!("{} cannot be read", path.display()))
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
