//! Secrets that the service manager hands over: `LoadCredential=`, `LoadCredentialEncrypted=` or `ImportCredential=` of a unit.
//!
//! They lie in a folder that no other service can read, in memory, for as long as the daemon runs; where they were encrypted by
//! `systemd-creds`, what is on the disk is worth nothing on another board.

use std::path::PathBuf;

/// Every name begins with this.
const PREFIX: &str = "facegate.";

/// Where the credential `facegate.NAME` lies; none where none was handed over. Whether it can be read is seen by whoever reads.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join(format!("{PREFIX}{name}"));
    // One in a folder that may not be entered is there: whoever reads it is told why it cannot be read.
    let absent = path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    (!absent).then_some(path)
}
