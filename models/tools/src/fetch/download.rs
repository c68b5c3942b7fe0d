//! Getting published files from where they were published, into a cache that outlives the run.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::client::{Run, output};
use crate::error::{Context, Error, Result};
use crate::identity::{Hash, Identity};
use crate::manifest::{Origin, Registry, Source};

/// How long a client may take.
const LIMIT: Duration = Duration::from_secs(600);

/// How long git may take for a commit without its files, connecting included: to a host that drops packets it would try for
/// five minutes.
const SOON: Duration = Duration::from_secs(120);

/// What folders begin with in which clients work.
const WORK: &str = "work-";

/// The cache of what was downloaded.
#[derive(Debug)]
pub struct Downloads {
    folder: PathBuf,
    /// Held while this lives: only one run at a time changes the cache.
    _lock: std::fs::File,
    /// Archives that this run has checked.
    checked: HashMap<Hash, PathBuf>,
}

impl Downloads {
    /// Opens the cache, and waits while another run has it.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open(folder: &Path, say: &dyn Fn(&str)) -> Result<Self> {
        std::fs::create_dir_all(folder).context(|| format!("cannot make the cache {}", folder.display()))?;
        let _lock = super::lock(folder, say)?;
        for entry in std::fs::read_dir(folder).context(|| format!("cannot look into {}", folder.display()))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(WORK) {
                // What a run that was killed left; if it cannot be removed, it is only in the way of tidiness.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        Ok(Self { folder: folder.to_path_buf(), _lock, checked: HashMap::new() })
    }

    /// The published file.
    ///
    /// # Errors
    /// Where it cannot be had, or is not what it should be.
    pub fn get(&mut self, source: &Source, say: &dyn Fn(&str)) -> Result<Vec<u8>> {
        match &source.origin {
            Origin::Archive { registry, package, version, sha256, path } => {
                let archive = self.archive(*registry, package, version, *sha256, say)?;
                let bytes = member(&archive, path, source.identity.bytes)?;
                source.identity.check(&bytes, &format!("{path} of {}", source.origin))?;
                Ok(bytes)
            }
            Origin::Git { url, commit, path } => self.git(url, commit, path, &source.identity, say),
        }
    }

    /// The archive of a package, from the cache or its registry.
    fn archive(
        &mut self,
        registry: Registry,
        package: &str,
        version: &str,
        sha256: Hash,
        say: &dyn Fn(&str),
    ) -> Result<PathBuf> {
        if let Some(path) = self.checked.get(&sha256) {
            return Ok(path.clone());
        }
        let kept = self.folder.join(format!("{}-{version}.tar.gz", package.replace(['@', '/'], "_")));
        if kept.exists() && Hash::of_file(&kept)? != sha256 {
            say(&format!("{} is damaged: downloading it again", kept.display()));
            remove(&kept)?;
        }
        if !kept.exists() {
            let work = tempfile::Builder::new().prefix(WORK).tempdir_in(&self.folder);
            let work = work.context(|| "cannot make a folder in the cache")?;
            match registry {
                Registry::Npm => npm(package, version, work.path(), say)?,
                Registry::Pypi => pypi(package, version, sha256, work.path(), say)?,
            }
            let downloaded = the_archive_in(work.path())?;
            let found = Hash::of_file(&downloaded)?;
            if found != sha256 {
                return Err(Error::new(format!(
                    "the archive of {package} {version} is not the one that is pinned: found sha256 {found}, expected {sha256}"
                )));
            }
            std::fs::rename(&downloaded, &kept).context(|| format!("cannot keep {}", kept.display()))?;
        }
        self.checked.insert(sha256, kept.clone());
        Ok(kept)
    }

    /// A file of a repository, from a clone in the cache that holds only the commit.
    fn git(&self, url: &str, commit: &str, path: &str, identity: &Identity, say: &dyn Fn(&str)) -> Result<Vec<u8>> {
        let name = Hash::of(url.as_bytes()).to_string();
        let clone = self.folder.join(format!("git-{}", &name[..16]));
        say(&format!("getting {path} from {url} with git"));
        let first = git_file(&clone, url, commit, path, identity);
        // What an earlier run left may be damaged, which git itself can tell: then once more, from the start.
        if first.is_err()
            && clone.exists()
            && git(&clone, &["fsck", "--no-dangling", "--no-progress"], Stdio::null(), LIMIT).is_err()
        {
            say(&format!("{} is damaged: getting it again", clone.display()));
            std::fs::remove_dir_all(&clone).context(|| format!("cannot remove {}", clone.display()))?;
            return git_file(&clone, url, commit, path, identity);
        }
        first
    }
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).context(|| format!("cannot remove {}", path.display()))
}

/// The one archive that a client put into the folder.
fn the_archive_in(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).context(|| format!("cannot look into {}", folder.display()))?;
    let mut archives = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tgz" || extension == "gz"));
    match (archives.next(), archives.next()) {
        (Some(archive), None) => Ok(archive),
        _ => Err(Error::new("the client ended well, but left no archive")),
    }
}

fn npm(package: &str, version: &str, folder: &Path, say: &dyn Fn(&str)) -> Result<()> {
    say(&format!("downloading {package} {version} with npm"));
    let mut command = Command::new("npm");
    command.args(["pack", &format!("{package}@{version}"), "--ignore-scripts", "--loglevel=error"]);
    command.args(["--fetch-retries=2", "--fetch-timeout=60000", "--no-update-notifier"]).current_dir(folder);
    let doing = format!("npm pack {package}@{version}");
    Run { program: "npm", package: "npm", doing, limit: LIMIT }.run(&mut command, Stdio::null())
}

/// pip asks a source distribution for its metadata, which runs its `setup.py`: the hash, which pip checks before that, makes
/// sure that it is the one that was looked at.
fn pypi(package: &str, version: &str, sha256: Hash, folder: &Path, say: &dyn Fn(&str)) -> Result<()> {
    say(&format!("downloading {package} {version} with pip"));
    let list = folder.join("requirements.txt");
    std::fs::write(&list, format!("{package}=={version} --hash=sha256:{sha256}\n"))
        .context(|| format!("cannot write {}", list.display()))?;
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--require-hashes", "--no-deps", "--no-binary", ":all:", "--no-input"]);
    command.args(["--quiet", "--disable-pip-version-check", "--dest", "."]).arg("--requirement").arg(&list);
    command.current_dir(folder);
    let doing = format!("pip download {package}=={version}");
    Run { program: "python3", package: "python3-pip", doing, limit: LIMIT }.run(&mut command, Stdio::null())
}

/// A file of a gzipped tar archive. At most `most` bytes of it are read, and one more to tell that it is longer.
fn member(archive: &Path, path: &str, most: u64) -> Result<Vec<u8>> {
    let place = || format!("cannot read {}", archive.display());
    let file = std::fs::File::open(archive).context(place)?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::io::BufReader::new(file)));
    for entry in archive.entries().context(place)? {
        let entry = entry.context(place)?;
        if entry.path_bytes().as_ref() == path.as_bytes() {
            let mut bytes = Vec::new();
            entry.take(most.saturating_add(1)).read_to_end(&mut bytes).context(place)?;
            return Ok(bytes);
        }
    }
    Err(Error::new(format!("the archive has no {path}")))
}

/// Runs git on the repository `clone`, for at most `limit`.
fn git(clone: &Path, arguments: &[&str], stdout: Stdio, limit: Duration) -> Result<()> {
    let mut command = Command::new("git");
    // No questions; nothing of the user's repositories; an end where a connection stands still.
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "true").env("LC_ALL", "C");
    command.env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE").env("GIT_DIR", clone);
    // What is missing is fetched by name, below. Left to itself git 2.47 fetches an object from a damaged pack without end.
    command.env("GIT_NO_LAZY_FETCH", "1");
    command.args(["-c", "credential.helper=", "-c", "http.lowSpeedLimit=100", "-c", "http.lowSpeedTime=30"]);
    command.args(arguments);
    let verb = arguments.iter().find(|argument| !argument.starts_with('-') && !argument.contains('='));
    let doing = format!("git {}", verb.unwrap_or(&""));
    Run { program: "git", package: "git", doing, limit }.run(&mut command, stdout)
}

/// The standard output of [`git`], at most `most` bytes of it.
fn git_says(clone: &Path, arguments: &[&str], most: u64) -> Result<Vec<u8>> {
    let out = tempfile::NamedTempFile::new().context(|| "cannot make a temporary file")?;
    git(clone, arguments, output(out.path())?, SOON)?;
    let mut bytes = Vec::new();
    let file = out.reopen().context(|| "cannot read a temporary file")?;
    file.take(most).read_to_end(&mut bytes).context(|| "cannot read a temporary file")?;
    Ok(bytes)
}

/// Fetches the one commit without its files into `clone`, then the one file.
fn git_file(clone: &Path, url: &str, commit: &str, path: &str, identity: &Identity) -> Result<Vec<u8>> {
    std::fs::create_dir_all(clone).context(|| format!("cannot make {}", clone.display()))?;
    // A run that was killed may have left these; no other is at work, since we hold the lock.
    for lock in ["shallow.lock", "config.lock", "HEAD.lock", "packed-refs.lock"] {
        let _ = std::fs::remove_file(clone.join(lock));
    }
    git(clone, &["init", "--quiet", "--bare"], Stdio::null(), SOON)?;
    for (key, value) in [("url", url), ("promisor", "true"), ("partialclonefilter", "blob:none")] {
        git(clone, &["config", &format!("remote.origin.{key}"), value], Stdio::null(), SOON)?;
    }
    // A commit that is there without its ancestors is listed in this file.
    let there =
        std::fs::read_to_string(clone.join("shallow")).is_ok_and(|list| list.lines().any(|line| line == commit));
    if !there {
        let fetch = ["fetch", "--quiet", "--no-tags", "--depth=1", "--filter=blob:none", "origin", commit];
        git(clone, &fetch, Stdio::null(), SOON)?;
    }
    let id = git_says(clone, &["rev-parse", "--verify", &format!("{commit}:{path}")], 80)?;
    let id = String::from_utf8_lossy(&id).trim().to_owned();
    if git(clone, &["cat-file", "-e", &id], Stdio::null(), SOON).is_err() {
        // As git itself does it: by id, without telling the other side what is here.
        let fetch = ["-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags", "--filter=blob:none"];
        git(clone, &[&fetch[..], &["origin", &id]].concat(), Stdio::null(), LIMIT)?;
    }
    let bytes = git_says(clone, &["cat-file", "blob", &id], identity.bytes.saturating_add(1))?;
    identity.check(&bytes, &format!("{path} of {url}"))?;
    Ok(bytes)
}
