//! Keys, and other bytes that are written as text: base64url without padding.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use rand::CryptoRng;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::{Zeroize as _, Zeroizing};

/// A text that is not the bytes it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadText;

impl fmt::Display for BadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not base64url without padding, or not of the right length")
    }
}

impl std::error::Error for BadText {}

macro_rules! text_of_bytes {
    ($($(#[$doc:meta])* $name:ident: $length:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl FromStr for $name {
            type Err = BadText;

            fn from_str(text: &str) -> Result<Self, BadText> {
                let mut bytes = [0; $length];
                match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
                    Ok($length) => Ok(Self(bytes)),
                    _ => Err(BadText),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let digits = ($length * 8usize).div_ceil(6);
                json_schema!({
                    "type": "string",
                    "pattern": format!("^[A-Za-z0-9_-]{{{digits}}}$"),
                    "description": concat!(stringify!($length), " bytes in base64url without padding.")
                })
            }
        }
    )+};
}

text_of_bytes! {
    /// An Ed25519 public key (RFC 8032).
    PublicKey: 32;
    /// An X25519 public key (RFC 7748), to which secrets are sealed.
    BoxKey: 32;
    /// A number that is used once.
    Nonce: 16;
    /// A device's connection to the broker. Random, new at each one.
    Session: 16;
    /// The exclusive or of documents' hashes, little-endian.
    Root: 16;
}

impl Nonce {
    /// A new one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(random(rng))
    }
}

impl Session {
    /// A new one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(random(rng))
    }
}

/// Random bytes.
pub(crate) fn random<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// An Ed25519 key of a site or a device, to sign with.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// A new one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut seed: [u8; 32] = random(rng);
        let key = Self::from_seed(&seed);
        seed.zeroize();
        key
    }

    /// The key that 32 bytes stand for.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Those bytes, to be kept where nobody else reads them.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key to it.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs.
    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public())
    }
}

impl PublicKey {
    /// Whether the signature is of these bytes, strictly: one message has one signature, and weak keys none.
    pub(crate) fn verify(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        self.verifier().verify(bytes, signature)
    }

    /// The key made ready to verify many signatures.
    pub(crate) fn verifier(&self) -> Verifier {
        Verifier(VerifyingKey::from_bytes(&self.0).ok())
    }
}

/// A public key as the point that it stands for, none where it stands for none: to find it costs a tenth of a verification.
#[derive(Clone, Debug)]
pub(crate) struct Verifier(Option<VerifyingKey>);

impl Verifier {
    /// As [`PublicKey::verify`].
    pub(crate) fn verify(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.as_ref().is_some_and(|key| key.verify_strict(bytes, &signature).is_ok())
    }
}

/// The site's secret, which every door has: it seals documents and names them.
#[derive(Clone)]
pub struct SealingKey([u8; 32]);

impl SealingKey {
    /// A new one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(random(rng))
    }

    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to be kept where nobody else reads them.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0)
    }

    /// What documents are sealed with.
    pub(crate) fn cipher_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key("facegate 2026 fleet v1 sealing of documents", &self.0))
    }

    /// What documents are named with.
    pub fn naming(&self) -> NamingKey {
        NamingKey(blake3::derive_key("facegate 2026 fleet v1 names of documents", &self.0))
    }
}

/// What documents are named with. With it alone nothing can be opened, and it can be told whether somebody is known.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamingKey([u8; 32]);

impl NamingKey {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for NamingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NamingKey")
    }
}

impl Drop for SealingKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}
