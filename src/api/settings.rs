//! The API's part of the configuration file, and its limits.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    gallery::MOST_REMEMBERED,
    recognition,
};

/// `[api]` of the configuration. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address and port to listen on; port 0 takes any free one. In the file, `"off"` is `None`: no API.
    #[serde(with = "address_or_off")]
    pub listen: Option<SocketAddr>,
    /// The socket in the file system by which the command line commands a running daemon: whoever may open it needs no key
    /// for the doors. `off`: none.
    pub socket: PathBuf,
    /// Largest body of a request, in bytes: 65,536 to 268,435,456. More than
    /// `recognition.max_image_bytes`.
    pub max_body_bytes: usize,
    /// Largest body of a batch or an import, in bytes, which is worked on as it comes: 65,536 to 1,099,511,627,776.
    pub max_batch_bytes: u64,
    /// Most items of a batch: 1 to 100,000, as many as are remembered so that none is enrolled twice.
    pub max_batch_items: u64,
    /// Most fields of a form, known or not: 8 to 1,000.
    pub max_fields: usize,
    /// Largest field of a form other than the image, in bytes: 1,024 to 1,048,576. `gallery.max_metadata_bytes` bounds
    /// `metadata` further.
    pub max_field_bytes: usize,
    /// Connections at a time; more wait to be accepted. 1 to 10,000. One network may have a quarter of them, at least 8;
    /// more of its are closed.
    pub max_connections: usize,
    /// Forms with an image that are received or worked on at a time; more are answered `busy`. 1 to 1,000. A tenant may
    /// have half of them, one at least. This and
    /// `max_body_bytes` bound the API's memory.
    pub max_uploads: usize,
    /// Time for the head of a request to arrive, also the next one's on a kept connection, in seconds: 1 to 300.
    pub header_timeout_s: u64,
    /// Time for a whole request, from its head to its answer, in seconds: 1 to 300.
    pub request_timeout_s: u64,
    /// After so many seconds a connection is closed when its request is answered: 1 to 86,400.
    pub max_connection_age_s: u64,
    /// The certificate, where the address speaks TLS. The socket never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<super::tls::Settings>,
    /// Origins whose pages may call from a browser, as browsers send them: `https://desk.example`. None: no page may.
    pub cors_origins: Vec<String>,
    /// How many calls one source may make.
    pub limits: super::Limits,
    /// How photographs are worked on.
    pub recognition: recognition::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            socket: "data/facegate.sock".into(),
            max_body_bytes: 12 << 20,
            max_batch_bytes: 1 << 30,
            max_batch_items: 10_000,
            max_fields: 32,
            max_field_bytes: 64 << 10,
            max_connections: 128,
            max_uploads: 16,
            header_timeout_s: 15,
            request_timeout_s: 30,
            max_connection_age_s: 600,
            tls: None,
            cors_origins: Vec::new(),
            limits: super::Limits::default(),
            recognition: recognition::Settings::default(),
        }
    }
}

impl Settings {
    /// Refuses values out of their range.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the key and its range.
    pub fn validate(&self) -> Result<()> {
        let size = |bytes: usize| bytes as u64;
        let ranges = [
            ("max_body_bytes", size(self.max_body_bytes), 64 << 10, 256 << 20),
            ("max_batch_bytes", self.max_batch_bytes, 64 << 10, 1 << 40),
            ("max_batch_items", self.max_batch_items, 1, MOST_REMEMBERED),
            ("max_fields", size(self.max_fields), 8, 1_000),
            ("max_field_bytes", size(self.max_field_bytes), 1 << 10, 1 << 20),
            ("max_connections", size(self.max_connections), 1, 10_000),
            ("max_uploads", size(self.max_uploads), 1, 1_000),
            ("header_timeout_s", self.header_timeout_s, 1, 300),
            ("request_timeout_s", self.request_timeout_s, 1, 300),
            ("max_connection_age_s", self.max_connection_age_s, 1, 86_400),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(Error::new(Kind::Config, format!("api.{key} is {value}"))
                    .help(format!("set api.{key} to {least} to {most}")));
            }
        }
        super::headers::cors(&self.cors_origins)?;
        self.limits.validate()?;
        self.recognition.validate()?;
        if self.max_body_bytes <= self.recognition.max_image_bytes {
            return Err(Error::new(Kind::Config, "api.max_body_bytes leaves no room for the largest image")
                .help("an image arrives inside a body: make it greater than api.recognition.max_image_bytes"));
        }
        Ok(())
    }

    /// Where the daemon's socket is; none where it is off.
    pub fn socket(&self) -> Option<&Path> {
        (self.socket.as_os_str() != OFF).then_some(&*self.socket)
    }

    pub(super) fn header_timeout(&self) -> Duration {
        Duration::from_secs(self.header_timeout_s)
    }

    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_s)
    }

    pub(super) fn max_connection_age(&self) -> Duration {
        Duration::from_secs(self.max_connection_age_s)
    }
}

/// The word for what is not wanted.
const OFF: &str = "off";

/// An address, or the word `off`.
mod address_or_off {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::OFF;

    pub fn serialize<S: Serializer>(address: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => to.collect_str(address),
            None => to.serialize_str(OFF),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(from)?;
        if text == OFF {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            D::Error::custom(format!("{text:?} is no address and port such as \"127.0.0.1:8080\", nor \"off\""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_an_empty_table_gives_them() {
        let settings: Settings = toml::from_str("").expect("every key may be left out");
        assert_eq!(settings, Settings::default());
        settings.validate().expect("defaults are valid");
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_name() {
        let settings = Settings { max_fields: 2, ..Settings::default() };
        let error = settings.validate().expect_err("2 is under the least");
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains("api.max_fields"));
        let settings = Settings { max_batch_items: MOST_REMEMBERED + 1, ..Settings::default() };
        assert!(settings.validate().is_err(), "its first items would be forgotten before it is sent again");
    }

    #[test]
    fn a_body_must_hold_the_largest_image() {
        let settings = Settings { max_body_bytes: 10 << 20, ..Settings::default() };
        assert_eq!(settings.validate().expect_err("no room for the rest of the form").kind(), Kind::Config);
    }

    #[test]
    fn the_api_can_be_off_and_comes_through_toml_as_it_is() {
        let off: Settings = toml::from_str("listen = \"off\"").expect("a word it knows");
        assert_eq!(off.listen, None);
        for settings in [off, Settings::default()] {
            let text = toml::to_string(&settings).expect("it can be written");
            assert_eq!(toml::from_str::<Settings>(&text).expect("and read"), settings);
        }
        assert!(toml::from_str::<Settings>("listen = \"8080\"").is_err());
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(toml::from_str::<Settings>("listne = \"127.0.0.1:1\"").is_err());
    }
}
