//! Obtaining packs: each file from what is on this machine, or from where it was published; converted, checked, and put in
//! its place whole or not at all.

mod client;
mod download;
mod local;

use std::cell::OnceCell;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::convert::Make;
use crate::error::{Context, Error, Result};
use crate::identity::Identity;
use crate::manifest::{Manifest, Product};
use download::Downloads;
use local::Local;

/// What temporary files beside the manifest begin with.
const TEMPORARY: &str = ".fetch-";

/// Obtains packs into one folder.
pub struct Fetcher {
    /// Holds one folder a pack.
    models: PathBuf,
    /// Folders whose files are taken before anything is downloaded.
    from: Vec<PathBuf>,
    cache: Option<PathBuf>,
    local: OnceCell<Local>,
    downloads: Option<Downloads>,
    /// Held while this lives: only one run at a time changes the packs.
    _lock: File,
}

/// Tells a person what is done.
fn say(text: &str) {
    eprintln!("{text}");
}

impl Fetcher {
    /// Obtains packs into `models`. Files under `from` are taken before anything is downloaded into `cache`. Waits while
    /// another run is at work there.
    ///
    /// # Errors
    /// Where there is no such folder.
    pub fn new(models: PathBuf, from: Vec<PathBuf>, cache: Option<PathBuf>) -> Result<Self> {
        let _lock = lock(&models, &say)?;
        Ok(Self { models, from, cache, local: OnceCell::new(), downloads: None, _lock })
    }

    /// Looks whether every file of a pack is there and right.
    ///
    /// # Errors
    /// Naming the first that is not.
    pub fn check(&self, pack: &str) -> Result<()> {
        let (folder, manifest) = self.open(pack)?;
        for Product { file, identity, .. } in &manifest.products {
            if identity.read(&folder.join(file))?.is_none() {
                let state =
                    if folder.join(file).exists() { "is not the file that the manifest names" } else { "is missing" };
                return Err(Error::new(format!("{file} {state}")).help(format!("get it: models/fetch {pack}")));
            }
            say(&format!("{pack}: {file} is there and right"));
        }
        Ok(())
    }

    /// Obtains every file of a pack that is not there yet.
    ///
    /// # Errors
    /// Naming the first that cannot be had. What was obtained before stays.
    pub fn fetch(&mut self, pack: &str) -> Result<()> {
        let (folder, manifest) = self.open(pack)?;
        say(&format!("{pack}: {}", manifest.summary));
        clear(&folder)?;
        for product in &manifest.products {
            let path = folder.join(&product.file);
            if product.identity.read(&path)?.is_some() {
                say(&format!("{pack}: {} is there", product.file));
                continue;
            }
            if path.exists() {
                say(&format!("{pack}: {} is not the file that the manifest names: replacing it", product.file));
            }
            let bytes = self.obtain(pack, product).map_err(|error| error.within(&product.file))?;
            put(&path, &bytes)?;
        }
        Ok(())
    }

    fn open(&self, pack: &str) -> Result<(PathBuf, Manifest)> {
        if pack.is_empty() || pack.starts_with('.') || pack.contains(['/', '\\']) {
            return Err(Error::new(format!("'{pack}' is no pack's name")));
        }
        let folder = self.models.join(pack);
        if !folder.join("manifest.toml").is_file() {
            let packs = packs(&self.models).join(", ");
            return Err(Error::new(format!("there is no pack '{pack}' in {}", self.models.display()))
                .help(format!("there are: {packs}")));
        }
        Ok((folder.clone(), Manifest::read(&folder)?))
    }

    /// The product's bytes, which are right.
    fn obtain(&mut self, pack: &str, product: &Product) -> Result<Vec<u8>> {
        let local = self.local.get_or_init(|| Local::list(&self.from, &say));
        if let Some((bytes, place)) = local.find(&product.identity) {
            say(&format!("{pack}: {} is copied from {}", product.file, place.display()));
            return Ok(bytes);
        }
        let elsewhere = format!(
            "where its files are in a folder of this machine: FACEGATE_MODELS=/that/folder models/fetch {pack}"
        );
        let Some(source) = &product.source else {
            return Err(Error::new("the manifest does not say where it comes from")
                .help(format!("put it beside the manifest, or, {elsewhere}")));
        };
        let made_from = if source.make == Make::Copy { "comes from" } else { "is made from" };
        let original = match local.find(&source.identity) {
            Some((bytes, place)) => {
                say(&format!("{pack}: {} {made_from} {}", product.file, place.display()));
                bytes
            }
            None => {
                if self.downloads.is_none() {
                    let cache = self.cache.as_ref().ok_or_else(|| {
                        Error::new("there is no folder for downloads").help("set HOME or XDG_CACHE_HOME")
                    })?;
                    self.downloads = Some(Downloads::open(cache, &say)?);
                }
                let downloads = self.downloads.as_mut().expect("it was opened just now");
                let tell = |text: &str| say(&format!("{pack}: {text}"));
                let bytes = downloads.get(source, &tell).map_err(|error| {
                    let advice = error.advice().map(|advice| format!("{advice}; or, ")).unwrap_or_default();
                    Error::new(format!("cannot be had from {}: {error}", source.origin))
                        .help(format!("{advice}{elsewhere}"))
                })?;
                say(&format!("{pack}: {} {made_from} {}", product.file, source.origin));
                bytes
            }
        };
        let made = source.make.run(&original)?;
        product.identity.check(&made, "what was made of the published file")?;
        Ok(made)
    }
}

/// The names of the packs in a folder.
fn packs(models: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(models).into_iter().flatten().flatten();
    let with_manifest = entries.filter(|entry| entry.path().join("manifest.toml").is_file());
    let mut names = with_manifest.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>();
    names.sort();
    names
}

/// Takes the folder for this process until the file is dropped; waits while another process has it.
fn lock(folder: &Path, say: &dyn Fn(&str)) -> Result<File> {
    let place = || format!("cannot use the folder {}", folder.display());
    let file = File::open(folder).context(place)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            say(&format!("another run is at work in {}: waiting for it", folder.display()));
            file.lock().context(place)?;
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(error).context(place),
    }
    Ok(file)
}

/// Removes what a run that was killed left beside the manifest.
fn clear(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder).context(|| format!("cannot look into {}", folder.display()))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            say(&format!("removing {}, which a run that was stopped left", entry.path().display()));
            std::fs::remove_file(entry.path()).context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Puts a file in its place: written elsewhere in the folder, on the disk, and only then renamed.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let place = || format!("cannot write {}", path.display());
    let folder = path.parent().expect("a product lies in its pack's folder");
    let extension = path.extension().map(|extension| format!(".{}", extension.display())).unwrap_or_default();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .suffix(&extension)
        .permissions(readable)
        .tempfile_in(folder)
        .context(place)?;
    file.write_all(bytes).context(place)?;
    file.as_file().sync_all().context(place)?;
    file.persist(path).context(place)?;
    File::open(folder).and_then(|folder| folder.sync_all()).context(place)?;
    Identity::of(bytes)
        .read(path)?
        .map(drop)
        .ok_or_else(|| Error::new(format!("{} is not what was written", path.display())))
}
