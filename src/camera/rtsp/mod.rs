//! A camera of the network: H.264 by RTSP.
//!
//! The stream is read in order, as H.264 has to be, and its newest picture alone is made one of colours: what lies behind it
//! unread is decoded first, and what has come late, because the network or this board was too slow, is left out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check_range;
use crate::error::{Error, Kind, Result};

#[cfg(feature = "rtsp")]
mod decode;
#[cfg(feature = "rtsp")]
mod delay;
#[cfg(feature = "rtsp")]
mod open;
#[cfg(feature = "rtsp")]
mod session;
#[cfg(feature = "rtsp")]
mod words;

#[cfg(feature = "rtsp")]
pub use open::Rtsp;

/// `[camera]` with `source = "rtsp"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `rtsp://HOST[:PORT]/PATH` of the camera's second stream, without a user and a password. No default.
    pub url: String,
    /// Who is to be let in, for cameras that ask. Default: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The file with that user's password, such as a credential of systemd. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Frames a second, 1 to 120. What the camera sends beyond that is decoded and dropped. Default 15.
    pub rate_fps: f32,
    /// Without a frame for that many milliseconds the camera counts as stalled and is connected to anew; 500 to 60000.
    /// Default 3000.
    pub stall_ms: u64,
    /// Whether the picture is turned about its upright axis, as a mirror shows it. Default false.
    pub mirror: bool,
    /// Whether the camera hangs upside down. Default false.
    pub upside_down: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            user: None,
            password_file: None,
            rate_fps: 15.0,
            stall_ms: 3000,
            mirror: false,
            upside_down: false,
        }
    }
}

impl Settings {
    /// # Errors
    /// [`Kind::Config`] for the first value that is of no use.
    pub fn validate(&self) -> Result<()> {
        check_range("camera.rate_fps", self.rate_fps, 1.0..=120.0, "frames a second")?;
        check_range("camera.stall_ms", self.stall_ms, 500..=60_000, "milliseconds")?;
        if self.user.is_some() != self.password_file.is_some() {
            return Err(Error::new(Kind::Config, "camera.user and camera.password_file belong together")
                .help("give both or none; the file of a user without a password is empty"));
        }
        if self.url.is_empty() {
            return Err(Error::new(Kind::Config, "camera.url is not set")
                .help("set it to rtsp://HOST/PATH; the camera's manual names the path of its second stream"));
        }
        self.validate_url()
    }

    #[cfg(not(feature = "rtsp"))]
    fn validate_url(&self) -> Result<()> {
        Err(not_built())
    }

    #[cfg(feature = "rtsp")]
    fn validate_url(&self) -> Result<()> {
        self.parsed().map(drop)
    }

    /// The address. It is not told in errors: there may be a password in it.
    #[cfg(feature = "rtsp")]
    fn parsed(&self) -> Result<url::Url> {
        let refused = |words: &str, help: &str| Err(Error::new(Kind::Config, format!("camera.url {words}")).help(help));
        let shown = "write rtsp://HOST/PATH, or rtsp://HOST:PORT/PATH";
        let Ok(url) = self.url.parse::<url::Url>() else { return refused("is no URL", shown) };
        if url.scheme() == "rtsps" {
            return refused("asks for RTSP in TLS, which is not spoken", "use rtsp:// within a network of its own");
        }
        if url.scheme() != "rtsp" {
            return refused("does not begin with rtsp://", shown);
        }
        if !url.username().is_empty() || url.password().is_some() {
            let help = "set camera.user, and write the password into the file that camera.password_file names";
            return refused("holds a user or a password", help);
        }
        if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            return refused("names no camera", shown);
        }
        Ok(url)
    }

    /// # Errors
    /// [`Kind::Config`] where its file is unreadable, or readable by everybody.
    #[cfg(feature = "rtsp")]
    fn password(&self) -> Result<zeroize::Zeroizing<String>> {
        use std::os::unix::fs::PermissionsExt;

        use crate::error::Context;

        let Some(path) = &self.password_file else { return Ok(Default::default()) };
        let place = || format!("camera.password_file: {} cannot be read", path.display());
        let help = "write the password into it, readable by the daemon's user alone; docs/cameras.md shows how";
        let mode = std::fs::metadata(path)
            .context(Kind::Config, place)
            .map_err(|error| error.help(help))?
            .permissions()
            .mode();
        if mode & 0o007 != 0 {
            return Err(Error::new(
                Kind::Config,
                format!("everybody can read camera.password_file: {}", path.display()),
            )
            .help(format!("chmod 600 {}", path.display())));
        }
        let text = std::fs::read_to_string(path).context(Kind::Config, place).map_err(|error| error.help(help))?;
        let text = zeroize::Zeroizing::new(text);
        Ok(text.trim_end_matches(['\r', '\n']).to_owned().into())
    }
}

/// Why a build without the feature has no such camera.
#[cfg(not(feature = "rtsp"))]
pub(super) fn not_built() -> Error {
    Error::new(Kind::Config, "camera.source = \"rtsp\": this facegate was built without it")
        .help("build it with the feature rtsp, which is on unless it was turned off")
}

#[cfg(all(test, feature = "rtsp"))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn settings(url: &str) -> Settings {
        Settings { url: url.into(), ..Settings::default() }
    }

    #[test]
    fn addresses_of_no_use_are_refused_and_not_told() {
        settings("rtsp://192.0.2.4/stream2").validate().expect("an address");
        settings("rtsp://[2001:db8::1]:8554").validate().expect("an address");
        for (url, words) in [
            ("", "not set"),
            ("camera/secret", "no URL"),
            ("http://camera/secret", "rtsp://"),
            ("rtsps://camera/secret", "TLS"),
            ("rtsp://admin:secret@camera/", "user or a password"),
            ("rtsp://secret@camera/", "user or a password"),
            ("rtsp:///secret", "names no camera"),
            ("rtsp://camera:0/secret", "names no camera"),
            ("rtsp://camera:99999/secret", "no URL"),
        ] {
            let error = settings(url).validate().expect_err(url);
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.message().contains(words), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn values_out_of_range_and_half_credentials_are_refused() {
        let good = settings("rtsp://camera/");
        for (bad, words) in [
            (Settings { rate_fps: 0.0, ..good.clone() }, "rate_fps"),
            (Settings { stall_ms: 10, ..good.clone() }, "stall_ms"),
            (Settings { user: Some("door".into()), ..good.clone() }, "belong together"),
            (Settings { password_file: Some("secret".into()), ..good }, "belong together"),
        ] {
            assert!(bad.validate().expect_err("refused").message().contains(words));
        }
    }

    #[test]
    fn the_password_is_the_files_and_not_everybodys() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "geheim\n").expect("writes");
        let mode = |mode| std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).expect("sets");
        let with = Settings { password_file: Some(file.path().to_owned()), ..settings("rtsp://camera/") };
        mode(0o600);
        assert_eq!(with.password().expect("reads").as_str(), "geheim");
        mode(0o644);
        assert!(with.password().expect_err("open to all").message().contains("everybody"));
        let gone = Settings { password_file: Some("/there/is/none".into()), ..with };
        assert!(gone.password().expect_err("not there").message().contains("cannot be read"));
    }
}
