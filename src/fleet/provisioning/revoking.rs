//! Keys that the site trusts no more: its word for doors, and the list of their certificates for the broker.

use std::path::Path;

use facegate_fleet::{
    Name,
    keys::{PublicKey, SecretKey},
    voucher::Voucher,
};
use rcgen::{CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber};
use serde::Deserialize;

use super::{CA, CA_KEY, CRL, GRACE_MS, SITE_KEY, read, text};
use crate::{
    error::{Context as _, Error, Kind, Result},
    fleet::identity::{self, secret, write_private},
};

const REVOKED: &str = "revoked.json";

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
pub(super) fn revoked(dir: &Path) -> Result<Vec<String>> {
    let path = dir.join(REVOKED);
    if path.exists() { identity::json(&path) } else { Ok(Vec::new()) }
}

/// Which key a voucher of the operator's own folder is about.
pub(super) fn key_of(message: &str) -> Option<PublicKey> {
    #[derive(Deserialize)]
    struct Of {
        key: PublicKey,
    }
    serde_json::from_str::<Of>(message).ok().map(|of| of.key)
}

/// The authority, which signs certificates.
pub(super) fn issuer(dir: &Path) -> Result<Issuer<'static, KeyPair>> {
    let ca = read(dir, CA)?;
    KeyPair::from_pem(&read(dir, CA_KEY)?)
        .and_then(|pair| Issuer::from_ca_cert_pem(&ca, pair))
        .map_err(|error| Error::new(Kind::Config, format!("{CA} and {CA_KEY} are no authority")).source(error))
}

/// The number of every certificate of a device with this key: so its revocation names them all, and nobody has to keep them.
pub(super) fn serial(key: &PublicKey) -> SerialNumber {
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
pub(super) fn write_crl(dir: &Path, revoked: &[String], now_ms: u64) -> Result<()> {
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
