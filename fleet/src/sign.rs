//! Signatures in place: the last member of a JSON object is `"sig":"…"`, 64 bytes of Ed25519 in base64url, over
//!
//! ```text
//! topic NUL {…the object without that member…}
//! ```
//!
//! byte by byte as it was sent: nothing is brought into a canonical form. The topic is signed with it, so that a message
//! cannot be moved to another place.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::keys::{PublicKey, SecretKey, Verifier};

const MARK: &[u8] = b",\"sig\":\"";
const DIGITS: usize = 86;
const END: &[u8] = b"\"}";

/// What a signature adds to a message, in bytes.
pub const OVERHEAD: usize = MARK.len() + DIGITS + 1;

/// Signs a JSON object that has at least one member.
pub fn sign(key: &SecretKey, topic: &str, object: &[u8]) -> Vec<u8> {
    debug_assert!(object.starts_with(b"{\"") && object.ends_with(b"}"), "an object with members");
    let signature = key.sign(&signed(topic, object));
    let mut bytes = Vec::with_capacity(object.len() + OVERHEAD);
    bytes.extend_from_slice(&object[..object.len().saturating_sub(1)]);
    bytes.extend_from_slice(MARK);
    bytes.extend_from_slice(URL_SAFE_NO_PAD.encode(signature).as_bytes());
    bytes.extend_from_slice(END);
    bytes
}

/// A message and its signature, which has not been looked at.
pub struct Signed {
    /// Topic, NUL, object.
    bytes: Vec<u8>,
    object: usize,
    signature: [u8; 64],
}

impl Signed {
    /// Takes a message apart; `None` where it does not end as a signed one does.
    pub fn split(topic: &str, payload: &[u8]) -> Option<Self> {
        let rest = payload.strip_suffix(END)?;
        let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
        let members = rest.strip_suffix(MARK)?;
        let mut signature = [0; 64];
        let written = URL_SAFE_NO_PAD.decode_slice(digits, &mut signature);
        if written != Ok(64) {
            return None;
        }
        let mut bytes = Vec::with_capacity(topic.len() + 1 + members.len() + 1);
        bytes.extend_from_slice(topic.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(members);
        bytes.push(b'}');
        Some(Self { bytes, object: topic.len() + 1, signature })
    }

    /// The object without its signature. Not to be believed before [`is_by`](Self::is_by) says so.
    pub fn object(&self) -> &[u8] {
        &self.bytes[self.object..]
    }

    /// Whether the holder of this key signed it.
    pub fn is_by(&self, key: &PublicKey) -> bool {
        key.verify(&self.bytes, &self.signature)
    }

    /// The same by a key that was made ready.
    pub(crate) fn is_verified_by(&self, key: &Verifier) -> bool {
        key.verify(&self.bytes, &self.signature)
    }
}

fn signed(topic: &str, object: &[u8]) -> Vec<u8> {
    [topic.as_bytes(), &[0], object].concat()
}
