//! The daemon's socket in the file system: how the command line reaches a running daemon, and who may.
//!
//! Only its owner can open it (mode 0600), and root. The kernel says which user is at the other end.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};

use crate::error::{Error, Kind, Result};

/// The longest path of a socket, in bytes: 108 in `sockaddr_un`, of which the last is zero, and room for a `.new`.
const LONGEST_PATH: usize = 103;

/// A socket that listens. Dropping it removes its file.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    /// Its file, where we made it.
    path: Option<PathBuf>,
}

impl Socket {
    /// Listens at `path`, in the place of a file that an earlier daemon left there. No two daemons may share it, for which
    /// the journal's lock answers.
    ///
    /// # Errors
    /// `Config` where the path is too long; `Io` where it cannot be made.
    pub fn bind(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Io, format!("the daemon's socket {} cannot be made", path.display()))
                .source(error)
                .help("set api.socket to a place where this user may write, or to \"off\"")
        };
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(Error::new(
                Kind::Config,
                format!("api.socket has more than {LONGEST_PATH} bytes: {}", path.display()),
            )
            .help("set api.socket to a shorter path"));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // Under another name until only its owner can open it; then it takes the place of what was there.
        let new = path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&new).map_err(failed)?;
        fs::set_permissions(&new, Permissions::from_mode(0o600)).map_err(failed)?;
        fs::rename(&new, path).map_err(failed)?;
        Ok(Self { listener, path: Some(path.to_owned()) })
    }

    /// One that somebody else made, and that stays: the service manager, which also says who may open it.
    pub fn passed(listener: UnixListener) -> Self {
        Self { listener, path: None }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = self.path.as_ref().map(fs::remove_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_its_owners_alone_and_takes_the_place_of_one_that_was_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/facegate.sock");
        let first = Socket::bind(&path).expect("it can be made");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        std::mem::forget(first);
        let second = Socket::bind(&path).expect("an old one does not hinder");
        std::os::unix::net::UnixStream::connect(&path).expect("it listens");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_that_the_kernel_would_cut_is_refused() {
        let error = Socket::bind(Path::new(&"x".repeat(104))).expect_err("too long");
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains("api.socket"));
    }
}
