//! Where messages lie: `facegate/v1/{site}/…`.

use std::fmt;

use crate::{
    Name,
    document::{DocumentKey, Kind},
};

/// What every topic begins with.
pub const PREFIX: &str = "facegate/v1";

/// Longest topic, in bytes.
pub const MAX_TOPIC_BYTES: usize = 160;

/// A topic of a site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `devices/{device}`: its [`Voucher`](crate::voucher::Voucher). Retained.
    Device(Name),
    /// `status/{device}`: birth, changes and last will. Retained.
    Status(Name),
    /// `subjects/{bucket}/{key}`, `rules/…`, `tenants/…`: a sealed [`Document`](crate::document::Document). Retained.
    Document(Kind, DocumentKey),
    /// `digests/{device}`: what a door has, in a few bytes. Retained.
    Digest(Name),
    /// `events/{device}`
    Event(Name),
    /// `telemetry/{device}`
    Telemetry(Name),
    /// `commands/{device}`: to that device. Never retained.
    Command(Name),
    /// `answers/{device}`: from that device.
    Answer(Name),
    /// `receipts/{device}/{key}`: that device has erased it. Retained, with an expiry.
    Receipt(Name, DocumentKey),
    /// `config/{device}`: which configuration that device runs. Retained.
    Config(Name),
}

/// A topic that is none of a site's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTopic;

impl Topic {
    /// Reads a topic of `site`. Total: whatever a broker sends, it is a topic of the site or none.
    ///
    /// # Errors
    /// [`NoTopic`], for another site's too.
    pub fn parse(site: &Name, text: &str) -> Result<Self, NoTopic> {
        if text.len() > MAX_TOPIC_BYTES {
            return Err(NoTopic);
        }
        let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('/')).ok_or(NoTopic)?;
        let rest = rest.strip_prefix(site.as_str()).and_then(|rest| rest.strip_prefix('/')).ok_or(NoTopic)?;
        let mut parts = rest.split('/');
        let (Some(what), Some(first), second, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(NoTopic);
        };
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.topic() == what) {
            let key: DocumentKey = second.and_then(|key| key.parse().ok()).ok_or(NoTopic)?;
            return if first == format!("{:02x}", key.bucket()) { Ok(Self::Document(kind, key)) } else { Err(NoTopic) };
        }
        let device: Name = first.parse().map_err(|_| NoTopic)?;
        match (what, second) {
            ("receipts", Some(key)) => Ok(Self::Receipt(device, key.parse().map_err(|_| NoTopic)?)),
            ("devices", None) => Ok(Self::Device(device)),
            ("status", None) => Ok(Self::Status(device)),
            ("digests", None) => Ok(Self::Digest(device)),
            ("events", None) => Ok(Self::Event(device)),
            ("telemetry", None) => Ok(Self::Telemetry(device)),
            ("commands", None) => Ok(Self::Command(device)),
            ("answers", None) => Ok(Self::Answer(device)),
            ("config", None) => Ok(Self::Config(device)),
            _ => Err(NoTopic),
        }
    }

    /// The topic as the broker knows it.
    pub fn of(&self, site: &Name) -> String {
        format!("{PREFIX}/{site}/{self}")
    }

    /// The device that it belongs to; `None` where it is everybody's.
    pub const fn device(&self) -> Option<&Name> {
        match self {
            Self::Document(..) => None,
            Self::Device(device)
            | Self::Status(device)
            | Self::Digest(device)
            | Self::Event(device)
            | Self::Telemetry(device)
            | Self::Command(device)
            | Self::Answer(device)
            | Self::Receipt(device, _)
            | Self::Config(device) => Some(device),
        }
    }

    /// Whether the broker keeps the newest message of it.
    pub const fn is_retained(&self) -> bool {
        !matches!(self, Self::Event(_) | Self::Telemetry(_) | Self::Command(_) | Self::Answer(_))
    }
}

impl fmt::Display for Topic {
    /// What follows the site.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(kind, key) => write!(f, "{}/{:02x}/{key}", kind.topic(), key.bucket()),
            Self::Device(device) => write!(f, "devices/{device}"),
            Self::Status(device) => write!(f, "status/{device}"),
            Self::Digest(device) => write!(f, "digests/{device}"),
            Self::Event(device) => write!(f, "events/{device}"),
            Self::Telemetry(device) => write!(f, "telemetry/{device}"),
            Self::Command(device) => write!(f, "commands/{device}"),
            Self::Answer(device) => write!(f, "answers/{device}"),
            Self::Receipt(device, key) => write!(f, "receipts/{device}/{key}"),
            Self::Config(device) => write!(f, "config/{device}"),
        }
    }
}

/// What a door subscribes to, in this order: who is of the site comes before what they say.
pub fn door_filters(site: &Name, device: &Name) -> Vec<String> {
    let mut filters = vec![format!("{PREFIX}/{site}/devices/+"), format!("{PREFIX}/{site}/digests/+")];
    filters.push(Topic::Command(device.clone()).of(site));
    filters.push(format!("{PREFIX}/{site}/receipts/{device}/+"));
    // Its own: the last will of a connection that the broker gives up late comes after the birth of the next one.
    filters.push(Topic::Status(device.clone()).of(site));
    filters
        .extend([Kind::Tenant, Kind::Rules, Kind::Subject].map(|kind| format!("{PREFIX}/{site}/{}/+/+", kind.topic())));
    filters
}

/// The documents of one kind in one bucket.
pub fn bucket_filter(site: &Name, kind: Kind, bucket: u8) -> String {
    format!("{PREFIX}/{site}/{}/{bucket:02x}/+", kind.topic())
}

impl fmt::Display for NoTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no topic of this site")
    }
}

impl std::error::Error for NoTopic {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site() -> Name {
        "hq".parse().expect("a name")
    }

    fn any_topic() -> impl Strategy<Value = Topic> {
        let name = "[a-z0-9-]{1,32}".prop_map(|name| name.parse::<Name>().expect("a name"));
        (0usize..12, name, any::<[u8; 16]>()).prop_map(|(which, name, key)| {
            let key = DocumentKey::from_bytes(key);
            match which {
                0 => Topic::Device(name),
                1 => Topic::Status(name),
                2 => Topic::Digest(name),
                3 => Topic::Event(name),
                4 => Topic::Telemetry(name),
                5 => Topic::Command(name),
                6 => Topic::Answer(name),
                7 => Topic::Receipt(name, key),
                8 => Topic::Config(name),
                kind => Topic::Document(Kind::ALL[kind - 9], key),
            }
        })
    }

    proptest! {
        #[test]
        fn a_topic_is_the_same_when_it_is_written_and_read(topic in any_topic()) {
            let text = topic.of(&site());
            prop_assert!(text.len() <= MAX_TOPIC_BYTES);
            prop_assert_eq!(Topic::parse(&site(), &text), Ok(topic.clone()));
            prop_assert_eq!(Topic::parse(&"other".parse().unwrap(), &text), Err(NoTopic));
        }

        /// What is read is what would have been written: no topic has two spellings.
        #[test]
        fn whatever_comes_is_a_topic_or_none(
            text in prop_oneof![".{0,200}", "facegate/v1/hq/[a-z+#/0-9]{0,60}", "facegate/v1/hq/(subjects|rules|receipts)/[0-9a-fA-F]{2}/[0-9a-fA-F]{32}(/.)?"],
        ) {
            if let Ok(topic) = Topic::parse(&site(), &text) {
                prop_assert_eq!(topic.of(&site()), text);
            }
        }
    }

    #[test]
    fn a_document_lies_in_its_keys_own_bucket() {
        let key = "ab".repeat(16);
        assert!(Topic::parse(&site(), &format!("facegate/v1/hq/subjects/ab/{key}")).is_ok());
        assert_eq!(Topic::parse(&site(), &format!("facegate/v1/hq/subjects/ac/{key}")), Err(NoTopic));
        assert_eq!(Topic::parse(&site(), &format!("facegate/v1/hq/subjects/AB/{key}")), Err(NoTopic));
    }
}
