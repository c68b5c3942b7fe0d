//! What only the site, or only one device, can read.
//!
//! Documents: XChaCha20-Poly1305 under the site's key, a random nonce in front, the topic as associated data; base64url.
//! Secrets for one device: the same under BLAKE3's key derivation of an X25519 exchange with a key made for the one message.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use rand::CryptoRng;
use x25519_dalek::{PublicKey as XPublic, StaticSecret};
use zeroize::Zeroizing;

use crate::keys::{BoxKey, SealingKey, random};

const NONCE: usize = 24;

/// Seals a document's bytes for the site.
pub fn seal(key: &SealingKey, topic: &str, bytes: &[u8], rng: &mut impl CryptoRng) -> String {
    URL_SAFE_NO_PAD.encode(encrypt(&key.cipher_key(), topic.as_bytes(), bytes, rng))
}

/// Opens what [`seal`] sealed; `None` where it was not sealed with this key for this topic.
pub fn unseal(key: &SealingKey, topic: &str, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
    decrypt(&key.cipher_key(), topic.as_bytes(), &URL_SAFE_NO_PAD.decode(sealed).ok()?)
}

/// A device's key for secrets that are meant for it alone.
#[derive(Clone)]
pub struct BoxSecret(StaticSecret);

impl BoxSecret {
    /// A new one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_bytes(random(rng))
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(StaticSecret::from(bytes))
    }

    /// Its bytes, to be kept where nobody else reads them.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key to it.
    pub fn public(&self) -> BoxKey {
        BoxKey(XPublic::from(&self.0).to_bytes())
    }

    /// Opens what [`seal_to`] sealed to this key, in the same context; `None` where it was not.
    pub fn open(&self, context: &str, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (sender, rest) = bytes.split_first_chunk::<32>()?;
        let key = exchange(&self.0, sender, sender, &self.public())?;
        decrypt(&key, context.as_bytes(), rest)
    }
}

/// Seals a secret to a device's key. `context` says what it is, and must be the same where it is opened.
/// `None` where the key is none (a point of small order).
pub fn seal_to(to: &BoxKey, context: &str, secret: &[u8], rng: &mut impl CryptoRng) -> Option<String> {
    let once = BoxSecret::random(rng);
    let sender = once.public();
    let key = exchange(&once.0, &to.0, &sender.0, to)?;
    Some(URL_SAFE_NO_PAD.encode([&sender.0[..], &encrypt(&key, context.as_bytes(), secret, rng)].concat()))
}

fn exchange(mine: &StaticSecret, theirs: &[u8; 32], sender: &[u8; 32], to: &BoxKey) -> Option<Zeroizing<[u8; 32]>> {
    let shared = mine.diffie_hellman(&XPublic::from(*theirs));
    if !shared.was_contributory() {
        return None;
    }
    let mut hasher = blake3::Hasher::new_derive_key("facegate 2026 fleet v1 secrets for a device");
    hasher.update(shared.as_bytes()).update(sender).update(&to.0);
    Some(Zeroizing::new(*hasher.finalize().as_bytes()))
}

fn encrypt(key: &[u8; 32], about: &[u8], bytes: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
    let nonce: [u8; NONCE] = random(rng);
    let sealed = XChaCha20Poly1305::new(key.into())
        .encrypt((&nonce).into(), Payload { msg: bytes, aad: about })
        .expect("far below the cipher's limit of 256 GB");
    [&nonce[..], &sealed].concat()
}

fn decrypt(key: &[u8; 32], about: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
    let opened = XChaCha20Poly1305::new(key.into()).decrypt(nonce.into(), Payload { msg: sealed, aad: about });
    opened.ok().map(Zeroizing::new)
}
