//! Bytes from a broker into messages that may be believed. Nothing of a message is acted on before all of this is done.
//!
//! [`Opener::open`] needs nothing but itself, so that many threads can open at once: the signatures and seals of 100,000
//! documents are most of the work of filling a door.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Name, Now,
    document::{Document, DocumentKey, Hash, Kind},
    keys::{PublicKey, SealingKey},
    refusal::{Cause, Refusal},
    registry::Registry,
    seal, sign,
    topic::Topic,
    voucher::{Vouched, Voucher},
    wire::{self, Answer, Command, ConfigReport, Digest, Event, Message, Receipt, Status, Telemetry},
};

/// Opens messages as one device of a site may.
#[derive(Clone)]
pub struct Opener {
    /// The site.
    pub site: Name,
    /// Its sealing key; `None` for a device that has none: documents stay sealed then, and are passed over.
    pub sealing: Option<SealingKey>,
    /// Who is known. Give it a new one when the registry has changed.
    pub registry: Arc<Registry>,
}

/// A message that was signed by a device that the site has vouched for, on a topic that it may publish on.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Where.
    pub topic: Topic,
    /// Who, and with which key.
    pub by: Signer,
    /// What.
    pub body: Body,
}

/// Whose signature it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The site's own.
    Site,
    /// A device's.
    Device(Name, PublicKey),
    /// Nobody's: a retained message was taken away.
    Nobody,
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Body {
    /// The site vouches for a device.
    Voucher(Arc<Vouched>),
    /// A part of the shared memory.
    Document(Arc<Arrived>),
    /// The broker keeps nothing there any more. Anybody with access can bring that about; nobody is believed to have.
    Cleared,
    Status(Box<Status>),
    Digest(Box<Digest>),
    Event(Box<Event>),
    Telemetry(Box<Telemetry>),
    Command(Box<Command>),
    Answer(Box<Answer>),
    Receipt(Box<Receipt>),
    Config(Box<ConfigReport>),
}

/// A document as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Where it lies.
    pub key: DocumentKey,
    /// What it is.
    pub document: Arc<Document>,
    /// Its hash, where anything of it lives.
    pub hash: Option<Hash>,
}

impl Opener {
    /// Opens a message.
    ///
    /// # Errors
    /// A [`Refusal`], put down to the device whose topic it is on or that it claims to be by.
    pub fn open(&self, topic: &str, payload: &[u8], now: Now) -> Result<Opened, Refusal> {
        let Ok(parsed) = Topic::parse(&self.site, topic) else {
            return Err(Refusal::new(Cause::Topic, "the broker", None));
        };
        let refused = |cause, by: Option<&Name>| match by.or(parsed.device()) {
            Some(device) => Refusal::new(cause, device, Some(&parsed)),
            None => Refusal::new(cause, "the broker", Some(&parsed)),
        };
        if payload.len() > wire::limit(&parsed) {
            return Err(refused(Cause::Oversized, None));
        }
        if payload.is_empty() {
            if parsed.is_retained() {
                return Ok(Opened { topic: parsed, by: Signer::Nobody, body: Body::Cleared });
            }
            return Err(refused(Cause::Unsigned, None));
        }
        let Some(signed) = sign::Signed::split(topic, payload) else {
            return Err(refused(Cause::Unsigned, None));
        };
        if let Topic::Device(device) = &parsed {
            let voucher = self.voucher(device, &signed).map_err(|cause| refused(cause, None))?;
            let body = Body::Voucher(Arc::new(Vouched { voucher, message: payload.into() }));
            return Ok(Opened { topic: parsed, by: Signer::Site, body });
        }
        // Read once where it is as it should be: that is most of a document's text.
        let sealed = match &parsed {
            Topic::Document(..) => serde_json::from_slice::<Borrowed<'_>>(signed.object()).ok(),
            _ => None,
        };
        let Some(by) = sealed.as_ref().map(|sealed| sealed.by.clone()).or_else(|| sender(signed.object())) else {
            return Err(refused(Cause::Schema, None));
        };
        let refused = |cause| refused(cause, Some(&by));
        let (voucher, verifier) = self.registry.signer(&by, now).map_err(refused)?;
        if !matches!(parsed, Topic::Command(_)) && parsed.device().is_some_and(|device| *device != by) {
            return Err(refused(Cause::WrongDevice));
        }
        if !voucher.role.may_publish(&parsed) {
            return Err(refused(Cause::Role));
        }
        if !signed.is_verified_by(verifier) {
            return Err(refused(Cause::Forged));
        }
        let signer = Signer::Device(by.clone(), voucher.key);
        let body = match parsed {
            Topic::Document(kind, key) => {
                let document = sealed.ok_or(Cause::Schema).and_then(|sealed| self.document(kind, key, topic, &sealed));
                Body::Document(Arc::new(document.map_err(refused)?))
            }
            _ => body(&parsed, signed.object()).map_err(refused)?,
        };
        Ok(Opened { topic: parsed, by: signer, body })
    }

    fn voucher(&self, device: &Name, signed: &sign::Signed) -> Result<Voucher, Cause> {
        if !signed.is_by(self.registry.site()) {
            return Err(Cause::Forged);
        }
        let voucher: Voucher = serde_json::from_slice(signed.object()).map_err(|_| Cause::Schema)?;
        if voucher.device == *device { Ok(voucher) } else { Err(Cause::WrongDevice) }
    }

    fn document(&self, kind: Kind, key: DocumentKey, topic: &str, sealed: &Borrowed<'_>) -> Result<Arrived, Cause> {
        let site = self.sealing.as_ref().ok_or(Cause::Seal)?;
        let bytes = seal::unseal(site, topic, &sealed.seal).ok_or(Cause::Seal)?;
        let document = Document::from_bytes(&bytes).map_err(|_| Cause::Document)?;
        if document.kind() != kind || document.key(site).is_some_and(|named| named != key) {
            return Err(Cause::Document);
        }
        Ok(Arrived { key, hash: document.hash(&key), document: Arc::new(document) })
    }
}

/// A sealed document, where it lies.
#[derive(Deserialize)]
struct Borrowed<'a> {
    #[serde(rename = "v")]
    _v: wire::V1,
    by: Name,
    #[serde(borrow)]
    seal: Cow<'a, str>,
}

/// What is neither a voucher nor a document.
fn body(parsed: &Topic, object: &[u8]) -> Result<Body, Cause> {
    Ok(match parsed {
        // Vouchers are read by whoever asks for the site's key, documents by whoever can open them.
        Topic::Device(_) | Topic::Document(..) => return Err(Cause::Role),
        Topic::Status(_) => Body::Status(read::<Status>(object)?),
        Topic::Digest(_) => Body::Digest(read::<Digest>(object)?),
        Topic::Event(_) => Body::Event(read::<Event>(object)?),
        Topic::Telemetry(_) => Body::Telemetry(read::<Telemetry>(object)?),
        Topic::Command(device) => {
            let command = read::<Command>(object)?;
            if !(1..=Command::MAX_ID).contains(&command.id.len()) {
                return Err(Cause::Schema);
            }
            if command.to != *device {
                return Err(Cause::WrongDevice);
            }
            Body::Command(command)
        }
        Topic::Answer(_) => Body::Answer(read::<Answer>(object)?),
        Topic::Receipt(..) => Body::Receipt(read::<Receipt>(object)?),
        Topic::Config(_) => Body::Config(read::<ConfigReport>(object)?),
    })
}

fn read<M: Message + DeserializeOwned>(object: &[u8]) -> Result<Box<M>, Cause> {
    serde_json::from_slice(object).map(Box::new).map_err(|_| Cause::Schema)
}

/// Who claims to have signed an object.
fn sender(object: &[u8]) -> Option<Name> {
    #[derive(Deserialize)]
    struct By {
        by: Name,
    }
    serde_json::from_slice::<By>(object).ok().map(|by| by.by)
}
