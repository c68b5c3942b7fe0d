//! The program from the outside: packs made of small files, with clients that stand in for npm and a git repository on disk.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use facegate_models::identity::Identity;

/// A folder of packs, a folder of files, a cache, and a folder of programs.
struct World(tempfile::TempDir);

const CONTENTS: &[u8] = b"what a network would be";

/// A source that cannot be reached.
const REPOSITORY: &str = r#"
kind = "git"
url = "https://example.invalid/"
commit = "0047ac24afb1a50a0c6105001c89d1b5b805dbf1"
path = "x"
"#;

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for folder in ["models", "local", "cache", "bin", "calls"] {
            std::fs::create_dir(world.path(folder)).unwrap();
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A pack with one file, which is a copy of CONTENTS, from this source.
    fn pack(&self, name: &str, source: &str) {
        let Identity { bytes, sha256 } = Identity::of(CONTENTS);
        let part = format!("file = \"r.onnx\"\nbytes = {bytes}\nsha256 = \"{sha256}\"\n");
        let of = part.replace("file = \"r.onnx\"\n", "");
        let source = format!("[[source]]\nmakes = \"r.onnx\"\nmake = \"copy\"\n{of}{source}\n");
        let text = format!("format = 1\nname = \"{name}\"\nsummary = \"small\"\n[recogniser]\n{part}{source}");
        std::fs::create_dir_all(self.path("models").join(name)).unwrap();
        std::fs::write(self.path("models").join(name).join("manifest.toml"), text).unwrap();
    }

    /// A pack whose file is in an npm package, and a stand-in for npm that gives an archive with these contents, after it
    /// did what `first` says.
    fn npm(&self, name: &str, contents: &[u8], first: &str) {
        let archive = |contents: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(contents.len() as u64);
            let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            let mut archive = tar::Builder::new(encoder);
            archive.append_data(&mut header, "package/r.onnx", contents).unwrap();
            archive.into_inner().unwrap().finish().unwrap()
        };
        let pinned = Identity::of(&archive(CONTENTS)).sha256;
        self.pack(
            name,
            &format!(
                "kind = \"npm\"\npackage = \"p\"\nversion = \"1.0.0\"\narchive_sha256 = \"{pinned}\"\npath = \"package/r.onnx\""
            ),
        );
        std::fs::write(self.path("archive"), archive(contents)).unwrap();
        let calls = self.path("calls");
        self.program(
            "npm",
            &format!(
                "touch {}/$$; echo junk >half.txt; {first}\ncp {} ./p-1.0.0.tgz",
                calls.display(),
                self.path("archive").display()
            ),
        );
    }

    /// How often the stand-in for npm was called.
    fn calls(&self) -> usize {
        std::fs::read_dir(self.path("calls")).unwrap().count()
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The program, with only the stand-ins and what `path` has to find.
    fn command(&self, path: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_facegate-models"));
        command.arg("fetch").args(arguments).env_clear().env("HOME", self.0.path());
        command.env("XDG_CACHE_HOME", self.path("cache")).env("FACEGATE_MODELS_DIR", self.path("models"));
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command
    }

    fn fetch(&self, arguments: &[&str]) -> (bool, String) {
        told(self.command("/usr/bin:/bin:/usr/local/bin", arguments).output().unwrap())
    }

    /// What lies in a pack's folder.
    fn files(&self, pack: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("models").join(pack)).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
        names.sort();
        names
    }

    fn product(&self, pack: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path("models").join(pack).join("r.onnx")).ok()
    }
}

fn told(output: Output) -> (bool, String) {
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_file_of_this_machine_is_taken_whatever_its_name() {
    let world = World::new();
    world.pack("mine", REPOSITORY);
    std::fs::create_dir_all(world.path("local/deep/er")).unwrap();
    std::fs::write(world.path("local/deep/er/other.name"), CONTENTS).unwrap();
    std::fs::write(world.path("local/decoy"), [b'x'; CONTENTS.len()]).unwrap();
    let local = world.path("local");
    let local = local.to_str().unwrap();

    let (done, said) = world.fetch(&["--check", "mine"]);
    assert!(!done && said.contains("r.onnx is missing"), "{said}");
    let (done, said) = world.fetch(&["--from", local, "mine"]);
    assert!(done && said.contains("other.name"), "{said}");
    assert_eq!(world.product("mine").unwrap(), CONTENTS);
    let mode = std::fs::metadata(world.path("models/mine/r.onnx")).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444, "everybody may read it");
    let (done, said) = world.fetch(&["mine"]);
    assert!(done && said.contains("r.onnx is there"), "{said}");
    assert!(world.fetch(&["--check", "mine"]).0);

    // By the environment; and what a killed run left, and a file that is not the right one, are replaced.
    std::fs::write(world.path("models/mine/r.onnx"), &CONTENTS[..7]).unwrap();
    std::fs::write(world.path("models/mine/.fetch-abc.onnx"), &CONTENTS[..9]).unwrap();
    let (done, said) = world.fetch(&["--check", "mine"]);
    assert!(!done && said.contains("not the file that the manifest names"), "{said}");
    let path = "/usr/bin:/bin";
    let (done, said) = told(world.command(path, &["mine"]).env("FACEGATE_MODELS", local).output().unwrap());
    assert!(done, "{said}");
    assert_eq!(
        (world.product("mine").unwrap(), world.files("mine")),
        (CONTENTS.to_vec(), vec!["manifest.toml".into(), "r.onnx".into()])
    );
}

#[test]
fn a_package_is_downloaded_once_and_kept_unless_it_is_damaged() {
    let world = World::new();
    world.npm("mine", CONTENTS, "");
    let product = world.path("models/mine/r.onnx");
    let (done, said) = world.fetch(&["mine"]);
    assert!(done, "{said}");
    assert_eq!((world.product("mine").unwrap(), world.calls()), (CONTENTS.to_vec(), 1));

    std::fs::remove_file(&product).unwrap();
    assert!(world.fetch(&["mine"]).0);
    assert_eq!(world.calls(), 1, "the archive was kept");

    let kept = world.path("cache/facegate/downloads/p-1.0.0.tar.gz");
    std::fs::write(&kept, b"damaged").unwrap();
    std::fs::remove_file(&product).unwrap();
    let (done, said) = world.fetch(&["mine"]);
    assert!(done && said.contains("damaged"), "{said}");
    assert_eq!((world.product("mine").unwrap(), world.calls()), (CONTENTS.to_vec(), 2));
    let left = std::fs::read_dir(kept.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "nothing but the archive is left in the cache");
}

#[test]
fn an_archive_that_is_not_the_pinned_one_is_refused() {
    let world = World::new();
    world.npm("mine", b"something else of the pack", "");
    let (done, said) = world.fetch(&["mine"]);
    assert!(!done && said.contains("not the one that is pinned"), "{said}");
    assert_eq!(world.files("mine"), ["manifest.toml"]);
}

#[test]
fn a_pack_that_fails_does_not_stop_the_others() {
    let world = World::new();
    world.npm("mine", b"something else of the pack", "");
    world.pack("local", REPOSITORY);
    std::fs::write(world.path("models/local/r.onnx"), CONTENTS).unwrap();
    let (done, said) = world.fetch(&["no-such-pack", "mine", "local"]);
    assert!(!done && said.contains("there are: local, mine") && said.contains("local: complete"), "{said}");
    let (done, said) = world.fetch(&["--optional", "mine", "local"]);
    assert!(done && said.contains("mine: not complete; going on without it"), "{said}");
}

#[test]
fn clients_that_are_missing_or_fail_are_named_with_what_to_do() {
    let world = World::new();
    world.npm("mine", CONTENTS, "echo no way out >&2; exit 7");
    let (done, said) = world.fetch(&["mine"]);
    assert!(!done && said.contains("no way out"), "{said}");
    assert!(said.contains("FACEGATE_MODELS=/that/folder models/fetch mine"), "{said}");
    std::fs::remove_file(world.path("bin/npm")).unwrap();
    let (done, said) = told(world.command("/nowhere", &["mine"]).output().unwrap());
    assert!(!done && said.contains("npm is not installed") && said.contains("apt-get install npm"), "{said}");
    world.pack("repository", REPOSITORY);
    let (done, said) = told(world.command("/nowhere", &["repository"]).output().unwrap());
    assert!(!done && said.contains("git is not installed"), "{said}");
    assert_eq!(world.files("mine"), ["manifest.toml"]);
}

#[test]
fn a_run_that_was_killed_leaves_nothing_that_the_next_one_trips_over() {
    let world = World::new();
    world.npm("mine", CONTENTS, &format!("[ -e {0}/go ] || exec sleep 5", world.0.path().display()));
    let mut killed = world.command("/usr/bin:/bin", &["mine"]).stderr(Stdio::null()).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    while world.calls() == 0 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(world.files("mine"), ["manifest.toml"]);
    std::fs::write(world.path("go"), "").unwrap();
    let (done, said) = world.fetch(&["mine"]);
    assert!(done, "{said}");
    assert_eq!((world.product("mine").unwrap(), world.calls()), (CONTENTS.to_vec(), 2));
    let left = std::fs::read_dir(world.path("cache/facegate/downloads")).unwrap().count();
    assert_eq!(left, 1, "nothing but the archive is left in the cache");
}

#[test]
fn of_two_runs_at_once_one_waits() {
    let world = World::new();
    world.npm("mine", CONTENTS, "sleep 0.5");
    let spawn = || world.command("/usr/bin:/bin", &["mine"]).stderr(Stdio::piped()).spawn().unwrap();
    let runs = [spawn(), spawn()].map(|run| told(run.wait_with_output().unwrap()));
    assert!(runs.iter().all(|(done, _)| *done), "{runs:?}");
    assert_eq!(runs.iter().filter(|(_, said)| said.contains("waiting for it")).count(), 1, "{runs:?}");
    assert_eq!(world.calls(), 1);
}

#[test]
fn a_file_comes_from_a_repository_at_its_commit() {
    let world = World::new();
    let repository = world.path("repository");
    let git = |arguments: &[&str]| -> String {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&repository)
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
            .args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().into()
    };
    std::fs::create_dir_all(repository.join("deep")).unwrap();
    git(&["init", "--quiet"]);
    git(&["config", "uploadpack.allowFilter", "true"]);
    git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let commit_with = |contents: &[u8]| {
        std::fs::write(repository.join("deep/r.onnx"), contents).unwrap();
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "m"]);
        git(&["rev-parse", "HEAD"])
    };
    commit_with(b"before");
    let right = commit_with(CONTENTS);
    let wrong = commit_with(b"a later state of the file");
    let source = |commit: &str| {
        format!(
            "kind = \"git\"\nurl = \"file://{}\"\ncommit = \"{commit}\"\npath = \"deep/r.onnx\"",
            repository.display()
        )
    };
    world.pack("mine", &source(&right));
    let (done, said) = world.fetch(&["mine"]);
    assert!(done, "{said}");
    assert_eq!(world.product("mine").unwrap(), CONTENTS);

    // What is in the cache is enough for the next time.
    let product = world.path("models/mine/r.onnx");
    std::fs::remove_file(&product).unwrap();
    let away = world.path("away");
    std::fs::rename(&repository, &away).unwrap();
    let (done, said) = world.fetch(&["mine"]);
    assert!(done, "{said}");
    std::fs::rename(&away, &repository).unwrap();

    // A clone that was damaged is made again.
    std::fs::remove_file(&product).unwrap();
    for pack in files_under(&world.path("cache"), "pack") {
        std::fs::set_permissions(&pack, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&pack, b"PACK and nothing more").unwrap();
    }
    let (done, said) = world.fetch(&["mine"]);
    assert!(done, "{said}");
    assert_eq!(world.product("mine").unwrap(), CONTENTS);

    // Another commit has another file; a commit that is not there is an error.
    std::fs::remove_file(&product).unwrap();
    world.pack("mine", &source(&wrong));
    let (done, said) = world.fetch(&["mine"]);
    assert!(!done && said.contains("is not what it should be"), "{said}");
    world.pack("mine", &source("0047ac24afb1a50a0c6105001c89d1b5b805dbf1"));
    let (done, said) = world.fetch(&["mine"]);
    assert!(!done && said.contains("git failed"), "{said}");
    assert_eq!(world.files("mine"), ["manifest.toml"]);
}

/// The files with that extension under a folder.
fn files_under(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_under(&path, extension));
        } else if path.extension().is_some_and(|other| other == extension) {
            found.push(path);
        }
    }
    assert!(folder.file_name().is_none_or(|name| name != "pack") || !found.is_empty(), "a clone has packs");
    found
}

#[test]
fn a_product_that_is_not_what_the_manifest_says_is_not_put_there() {
    let world = World::new();
    world.npm("mine", CONTENTS, "");
    let path = world.path("models/mine/manifest.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    // The file is what was published, but the conversion does not take it.
    std::fs::write(&path, text.replace("make = \"copy\"", "make = \"quantise\"")).unwrap();
    let (done, said) = world.fetch(&["mine"]);
    assert!(!done && said.contains("no ONNX file"), "{said}");
    assert_eq!(world.files("mine"), ["manifest.toml"]);
}
