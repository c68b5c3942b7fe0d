//! Folders that hold our data: how they are made, and what to do about what the system says of them.

use std::{
    fs::DirBuilder,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

use crate::error::{Error, Kind, Result};

/// An error about data, with the cure where what the system said tells one.
pub fn refused(kind: Kind, message: String, error: io::Error) -> Error {
    let cure = cure(&error);
    let refused = Error::new(kind, message).source(error);
    match cure {
        Some(cure) => refused.help(cure),
        None => refused,
    }
}

/// What to do about what the system said of a file or folder of ours.
pub fn cure(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::ReadOnlyFilesystem => {
            "its disk is mounted read-only: mount it writable (`mount -o remount,rw …`). A kernel mounts a disk so by itself where \
             it fails: see `dmesg`"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "its disk is full: free some space there (`df -h` tells where it went)"
        }
        ErrorKind::PermissionDenied => {
            "run as the user that owns the folder (as a service: sudo -u facegate facegate …), or change the owner of its files"
        }
        _ => return None,
    })
}

/// Makes a folder, and those above it, for its owner alone. Gives whether it was not there before.
///
/// # Errors
/// `kind` where it cannot be made, with the cure; and where root would make it in a folder that is another user's alone: that
/// user, as whom the daemon runs, could not use what is in it.
pub fn make_folder(kind: Kind, what: &str, folder: &Path) -> Result<bool> {
    refuse_as_root(kind, folder)?;
    if folder.is_dir() {
        return Ok(false);
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| refused(kind, format!("cannot make {what} {}", folder.display()), error))?;
    Ok(true)
}

/// Refuses to be root where only another user would be at home.
fn refuse_as_root(kind: Kind, folder: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = absolute.ancestors().find_map(|above| Some((above, above.metadata().ok()?)));
    match there {
        // What is there already has its owner, whoever opens it.
        Some((above, about)) if above != absolute && about.uid() != 0 && about.mode() & 0o077 == 0 => {
            let message =
                format!("{} belongs to another user, who could not use what root makes there", above.display());
            Err(Error::new(kind, message).help("run this as that user: sudo -u facegate facegate …"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_that_a_board_knows_has_a_cure() {
        // EROFS, ENOSPC, EDQUOT, EACCES of Linux.
        for (code, word) in [(30, "remount"), (28, "df -h"), (122, "df -h"), (13, "sudo -u")] {
            let error = refused(Kind::Store, "cannot write x".into(), io::Error::from_raw_os_error(code));
            assert!(error.advice().is_some_and(|advice| advice.contains(word)), "{code}: {error:?}");
        }
        assert_eq!(cure(&io::Error::from_raw_os_error(5)), None);
    }
}
