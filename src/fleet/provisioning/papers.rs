//! What is carried between a device and whoever holds the site's keys, and the fingerprints by which people see that it is the same
//! at both ends.

use std::path::Path;

use facegate_fleet::{
    Name,
    keys::{BoxKey, PublicKey, SecretKey},
    sign,
    wire::V1,
};
use rcgen::{CertificateSigningRequestParams, PublicKeyData as _};
use serde::{Deserialize, Serialize};

use super::{CA, SITE_KEY, read};
use crate::{
    error::{Context as _, Error, Kind, Result},
    fleet::identity::secret,
};

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
    pub(super) fn is_signed(&self) -> Option<bool> {
        self.sig.as_ref()?;
        let message = serde_json::to_vec(self).ok()?;
        Some(sign::Signed::split(APPROVAL, &message).is_some_and(|signed| signed.is_by(&self.site_key)))
    }

    /// The same with the site's signature over all of it.
    pub(super) fn signed(self, site: &SecretKey) -> Result<Self> {
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
    Ok(site_fingerprint(&SecretKey::from_seed(&*secret(&dir.join(SITE_KEY))?).public(), &read(dir, CA)?))
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
