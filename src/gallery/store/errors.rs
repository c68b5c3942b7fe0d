//! What LMDB says, in words for people.

use std::{io::ErrorKind, path::Path};

use heed::MdbError;

use crate::{
    error::{Error, Kind},
    storage,
};

/// `EIO` of Linux.
pub(super) const EIO: i32 = 5;

/// The one answer to a full disk and a full map.
pub(in crate::gallery) fn storage_full() -> Error {
    Error::new(Kind::StorageFull, "the gallery is full, so that this was not stored")
        .help("delete enrolments, free some disk, or raise gallery.max_mb and restart")
}

impl From<heed::Error> for Error {
    fn from(error: heed::Error) -> Self {
        let store = |message: &str| Error::new(Kind::Store, message);
        match error {
            heed::Error::Mdb(MdbError::MapFull) => storage_full().source(MdbError::MapFull),
            heed::Error::Io(error) if is_full(&error) => storage_full().source(error),
            heed::Error::Mdb(MdbError::ReadersFull) => {
                Error::new(Kind::Busy, "too many readers of the gallery at once")
            }
            heed::Error::Mdb(MdbError::MapResized) => store(
                "another process lets the gallery grow further than this one",
            )
            .help(
                "it is tried again; where it stays so, give every process the same gallery.max_mb and restart this one",
            ),
            heed::Error::Mdb(error @ (MdbError::Corrupted | MdbError::PageNotFound | MdbError::Invalid)) => {
                store("the gallery's data.mdb is damaged").source(error).help(RESTORE)
            }
            heed::Error::Mdb(error @ MdbError::Panic) => {
                store("the gallery gave up after a failed write").source(error).help("check the disk, then restart")
            }
            heed::Error::Io(error) if storage::cure(&error).is_some() => {
                storage::refused(Kind::Store, "the gallery cannot be read or written".into(), error)
            }
            error => store("the gallery cannot be read or written").source(error).help("check the disk and its log"),
        }
    }
}

/// Whether the system says that there is no room left.
pub(in crate::gallery) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

pub(super) const RESTORE: &str = "stop the daemon, keep the folder aside, and restore it whole from a backup; or begin with an empty one \
                       and enrol again";

/// Why the environment in `dir` could not be opened, and what to do.
pub(super) fn cannot_open(dir: &Path, error: heed::Error) -> Error {
    let file = dir.join("data.mdb");
    let refused = |why: &str| Error::new(Kind::Store, format!("cannot open the gallery {}{why}", file.display()));
    match error {
        heed::Error::EnvAlreadyOpened => refused(": it is open in this process already"),
        heed::Error::Mdb(error @ (MdbError::Invalid | MdbError::VersionMismatch | MdbError::Corrupted)) => {
            refused(": it is damaged, or no LMDB file of this kind").source(error).help(RESTORE)
        }
        heed::Error::Io(error) if is_full(&error) => storage_full().source(error),
        heed::Error::Io(error) if error.kind() == ErrorKind::OutOfMemory => {
            refused(": its map does not fit into the address space").source(error).help("lower gallery.max_mb")
        }
        heed::Error::Io(error) if storage::cure(&error).is_some() => {
            storage::refused(Kind::Store, refused("").message().into(), error)
        }
        error => refused("").source(error).help("see that the folder is on a local, writable disk"),
    }
}
