//! The API's part of the configuration file, and its limits.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// `[api]` of the configuration. Every key may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address and port to listen on. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// Largest body of a request, in bytes: 65,536 to 268,435,456. More than
    /// `recognition.max_image_bytes`.
    pub max_body_bytes: usize,
    /// Most fields of a form, known or not: 8 to 1,000.
    pub max_fields: usize,
    /// Largest field of a form other than the image, in bytes: 1,024 to 1,048,576. `gallery.max_metadata_bytes` bounds
    /// `metadata` further.
    pub max_field_bytes: usize,
    /// Connections at a time; more wait to be accepted. 1 to 10,000.
    pub max_connections: usize,
    /// Forms with an image that are received or worked on at a time; more are answered `busy`. 1 to 1,000. This and
    /// `max_body_bytes` bound the API's memory.
    pub max_uploads: usize,
    /// Time for the head of a request to arrive, also the next one's on a kept connection, in seconds: 1 to 300.
    pub header_timeout_s: u64,
    /// Time for a whole request, from its head to its answer, in seconds: 1 to 300.
    pub request_timeout_s: u64,
    /// After so many seconds a connection is closed when its request is answered: 1 to 86,400.
    pub max_connection_age_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            max_body_bytes: 12 << 20,
            max_fields: 32,
            max_field_bytes: 64 << 10,
            max_connections: 128,
            max_uploads: 16,
            header_timeout_s: 15,
            request_timeout_s: 30,
            max_connection_age_s: 600,
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
        Ok(())
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
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(toml::from_str::<Settings>("listne = \"127.0.0.1:1\"").is_err());
    }
}
