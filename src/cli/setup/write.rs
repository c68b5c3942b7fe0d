//! The configuration that setup writes.

use std::{
    fs::{self, Metadata, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use facegate_control::door::FailState;
use rustix::fs::Access;
use toml::{Table, Value};

use crate::{
    access::OneIn,
    camera::Settings,
    config::Config,
    door::LockSettings,
    error::{Context, Error, Kind, Result},
    gallery::TenantId,
    vision::models::{self, Pack},
};

/// What was answered.
pub(super) struct Answers {
    pub name: String,
    pub tenant: TenantId,
    pub camera: Settings,
    pub lock: LockSettings,
    pub fail: FailState,
    pub pulse_ms: u64,
    /// How often a stranger may be let in; none where the threshold alone counts.
    pub false_accept: Option<OneIn>,
    pub data: PathBuf,
    pub models: PathBuf,
    pub pack: String,
}

impl Answers {
    fn toml(&self) -> Result<String> {
        let mut config = Table::new();
        let mut section = |name: &str, values: &[(&str, String)]| {
            let values = values.iter().map(|(key, value)| ((*key).to_owned(), Value::String(value.clone())));
            config.insert(name.to_owned(), Value::Table(values.collect()));
        };
        let data = |name: &str| self.data.join(name).display().to_string();
        let socket = if self.data == Path::new(super::DATA) {
            "/run/facegate/facegate.sock".into()
        } else {
            data("facegate.sock")
        };
        section("models", &[("dir", self.models.display().to_string()), ("pack", self.pack.clone())]);
        section("gallery", &[("dir", data("gallery"))]);
        section("journal", &[("dir", data("journal"))]);
        section("api", &[("socket", socket)]);
        let mut door = Table::new();
        door.insert("name".into(), self.name.clone().into());
        door.insert("tenant".into(), self.tenant.to_string().into());
        door.insert("pulse_ms".into(), value(&self.pulse_ms)?);
        door.insert("fail".into(), value(&self.fail)?);
        door.insert("camera".into(), value(&self.camera)?);
        door.insert("lock".into(), value(&self.lock)?);
        if let Some(chance) = &self.false_accept {
            let access = Table::from_iter([("false_accept".to_owned(), Value::String(chance.to_string()))]);
            door.insert("access".into(), Value::Table(access));
        }
        config.insert("door".into(), Value::Array(vec![Value::Table(door)]));
        let text = toml::to_string(&config).map_err(unwritable)?;
        Ok(format!(
            "# Written by `facegate setup`. Every other key is at its default: `facegate config example` shows them all.\n\n{text}"
        ))
    }
}

fn value<T: serde::Serialize>(of: &T) -> Result<Value> {
    Value::try_from(of).map_err(unwritable)
}

fn unwritable(error: toml::ser::Error) -> Error {
    Error::new(Kind::Internal, "the configuration cannot be written as TOML").source(error)
}

/// Where the configuration goes.
pub(super) struct Place {
    path: PathBuf,
    /// What is there is to be kept beside it.
    old: bool,
}

impl Place {
    /// Looks before anything is asked.
    ///
    /// # Errors
    /// [`Kind::Config`] where a configuration is there that is not to be replaced; [`Kind::Io`] where none can be written.
    pub fn look(path: &Path, replace: bool) -> Result<Self> {
        let old = path.exists();
        if old && !replace {
            return Err(Error::new(Kind::Config, format!("there is a configuration already: {}", path.display()))
                .help("change it by hand, or let setup replace it by --replace: the old one is kept"));
        }
        let place = Self { path: path.to_owned(), old };
        let full = std::path::absolute(path).map_err(|error| place.unwritable(error))?;
        // The folders that are missing are made in the nearest one that is there.
        let nearest = full.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        if !nearest.is_dir() {
            return Err(place.unwritable(std::io::ErrorKind::NotADirectory.into()));
        }
        rustix::fs::access(nearest, Access::WRITE_OK).map_err(|error| place.unwritable(error.into()))?;
        Ok(place)
    }

    /// Whether it takes the place of another one.
    pub fn replaces(&self) -> bool {
        self.old
    }

    /// Checks the answers as the daemon would and writes them beside their place.
    ///
    /// # Errors
    /// [`Kind::Config`] where an answer is out of its range; [`Kind::Io`] where it cannot be written.
    pub fn write(&self, answers: &Answers) -> Result<Written<'_>> {
        let text = answers.toml()?;
        Config::parse(&text, "what was answered", std::iter::empty())?;
        let written = Written { place: self, new: self.beside(".new") };
        let write = || {
            if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                fs::create_dir_all(folder)?;
            }
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).open(written.path())?;
            // Whatever root's files are like: the daemon reads it, too.
            file.set_permissions(Permissions::from_mode(0o644))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| self.unwritable(error))?;
        // As whoever reads it next will: what the environment says counts, too.
        Config::load(written.path()).map_err(|error| error.within("what setup was about to write"))?;
        Ok(written)
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(end);
        PathBuf::from(name)
    }

    fn unwritable(&self, error: std::io::Error) -> Error {
        Error::new(Kind::Io, format!("the configuration cannot be written to {}", self.path.display()))
            .source(error)
            .help("run setup as root (sudo facegate setup), or name another place by --config")
    }
}

/// A configuration that waits beside its place, and goes with this where it is not put there.
pub(super) struct Written<'a> {
    place: &'a Place,
    new: PathBuf,
}

impl Written<'_> {
    /// Where it is until then.
    pub fn path(&self) -> &Path {
        &self.new
    }

    /// Puts it in its place, whole or not at all.
    ///
    /// # Errors
    /// [`Kind::Io`].
    pub fn put(self) -> Result<()> {
        let path = &self.place.path;
        let put = || {
            if self.place.old {
                fs::copy(path, self.place.beside(".old"))?;
            }
            fs::rename(&self.new, path)
        };
        put().map_err(|error| self.place.unwritable(error))
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        // Where it was put in its place there is nothing left here.
        let _ = fs::remove_file(&self.new);
    }
}

/// The pack that is there whole, the better first; else the one that anybody can fetch.
pub(super) fn pack_in(folder: &Path) -> String {
    let there = models::list(folder).unwrap_or_default();
    let whole = |name: &&str| there.iter().any(|there| there == name) && Pack::open(folder, name).is_ok();
    ["door", "starter"].iter().find(|name| whole(name)).unwrap_or(&"starter").to_string()
}

/// The data's folder, made where it is not there.
pub(super) fn make_folder(path: &Path) -> Result<Metadata> {
    let made = || -> std::io::Result<Metadata> {
        fs::create_dir_all(path)?;
        path.metadata()
    };
    made()
        .context(Kind::Io, || format!("the folder {} cannot be made", path.display()))
        .map_err(|error| error.help("choose another by --data, or run setup as root"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_takes_no_configuration_is_told_before_anything_is_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| Place::look(&folder.path().join(name), false);
        place("etc/facegate/facegate.toml").expect("its folders can be made");
        fs::write(folder.path().join("file"), "").expect("writes");
        let error = place("file/facegate.toml").map(|_| ()).expect_err("a file is no folder");
        assert_eq!(error.kind(), Kind::Io);
        assert!(error.advice().is_some_and(|advice| advice.contains("sudo")), "{error}");
        assert_eq!(place("file").map(|_| ()).expect_err("it is there").kind(), Kind::Config);
    }
}
