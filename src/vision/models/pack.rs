//! A pack on disk: its manifest, and files that are what the manifest says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    Calibration,
    manifest::{Manifest, Part},
};
use crate::error::{Context, Error, Kind, Result};

/// A pack whose manifest has been read and whose files have the hashes that it names.
#[derive(Clone, Debug)]
pub struct Pack {
    dir: PathBuf,
    manifest: Manifest,
}

impl Pack {
    /// Reads the pack `name` below `dir`, which holds one folder a pack, and checks every file's size and SHA-256.
    ///
    /// # Errors
    /// [`Kind::Model`]: no such pack, an invalid manifest, a file that is missing or is not what the manifest says.
    pub fn open(dir: &Path, name: &str) -> Result<Self> {
        let pack = Self::describe(dir, name)?;
        for part in pack.manifest.parts() {
            pack.read(part)?;
        }
        Ok(pack)
    }

    /// Reads the manifest alone, as [`Pack::open`] does before it looks at the files.
    ///
    /// # Errors
    /// [`Kind::Model`]: no such pack, or an invalid manifest.
    pub fn describe(dir: &Path, name: &str) -> Result<Self> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            return Err(Error::new(Kind::Model, format!("'{}' is no name of a pack", name.escape_debug())));
        }
        let dir = dir.join(name);
        let path = dir.join("manifest.toml");
        let text = fs::read_to_string(&path).map_err(|error| {
            Error::new(Kind::Model, format!("there is no pack '{name}': cannot read {}", path.display()))
                .source(error)
                .help("set models.dir and models.pack; `facegate models list` shows what there is")
        })?;
        let manifest = Manifest::parse(&text, &path.display().to_string())?;
        if manifest.name != name {
            return Err(Error::new(Kind::Model, format!("{}: name is '{}'", path.display(), manifest.name))
                .help(format!("a pack's name is its folder's: '{name}'")));
        }
        Ok(Self { dir, manifest })
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What its recogniser's cosines stand for.
    ///
    /// # Errors
    /// [`Kind::Model`] where that was never measured.
    pub fn calibration(&self) -> Result<&Calibration> {
        self.manifest.recogniser.calibration.as_ref().ok_or_else(|| {
            let name = &self.manifest.name;
            Error::new(
                Kind::Model,
                format!("the pack '{name}' has no [recogniser.calibration]: its cosines say nothing"),
            )
            .help(format!("measure it: `facegate calibrate FOLDER --pack {name} --data \"who they are\" --write`"))
        })
    }

    /// Where the part's file is.
    pub fn path(&self, part: &Part) -> PathBuf {
        self.dir.join(&part.file)
    }

    /// The part's file, checked against the manifest as it is read: what is given is what was hashed.
    ///
    /// # Errors
    /// [`Kind::Model`]: missing, unreadable, or another size or hash than the manifest's.
    pub fn read(&self, part: &Part) -> Result<Vec<u8>> {
        let path = self.path(part);
        let again = format!(
            "get it anew: `facegate-models fetch {}` (among the sources: `models/fetch {0}`)",
            self.manifest.name
        );
        let size = fs::metadata(&path)
            .map_err(|error| {
                Error::new(Kind::Model, format!("the network {} cannot be read", path.display()))
                    .source(error)
                    .help(again.clone())
            })?
            .len();
        if size != part.bytes {
            return Err(Error::new(
                Kind::Model,
                format!("the network {} has {size} bytes; the manifest says {}", path.display(), part.bytes),
            )
            .help(again));
        }
        let bytes =
            fs::read(&path).context(Kind::Model, || format!("the network {} cannot be read", path.display()))?;
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if !found.eq_ignore_ascii_case(&part.sha256) {
            return Err(Error::new(
                Kind::Model,
                format!(
                    "the network {} is not the one in the manifest: its SHA-256 is {found}, not {}",
                    path.display(),
                    part.sha256
                ),
            )
            .help(again));
        }
        Ok(bytes)
    }
}

/// The names of the packs below `dir`, in order: the folders with a manifest that names a recogniser.
///
/// # Errors
/// [`Kind::Model`] where `dir` cannot be read.
pub fn list(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).map_err(|error| {
        Error::new(Kind::Model, format!("cannot read the folder of the packs, {}", dir.display()))
            .source(error)
            .help("set models.dir")
    })?;
    let mut names: Vec<_> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            fs::read_to_string(dir.join(name).join("manifest.toml")).is_ok_and(|text| text.contains("[recogniser]"))
        })
        .collect();
    names.sort();
    Ok(names)
}
