//! A real mosquitto: TLS with client certificates and an ACL, on a free port, in a folder of its own.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::daemon::eventually;

/// What a device may publish and read, as docs/fleet.md has it: `%u` is the common name of its certificate.
pub const ACL: &str = include_str!("../../../docs/fleet/mosquitto.acl");

/// The broker of one test.
pub struct Broker {
    folder: TempDir,
    pub port: u16,
    process: Option<Child>,
}

impl Broker {
    /// Starts one with the certificates that `facegate fleet init` made in a folder. It keeps everything on its disk as it
    /// comes, and messages for those who are away and asked for that.
    pub fn start(site: &Path) -> Self {
        // Every change is written at once: `kill -9` then loses what a power cut would.
        Self::with(site, "persistence true\nautosave_on_changes true\nautosave_interval 1\n")
    }

    /// One that keeps nothing on its disk.
    pub fn in_memory(site: &Path) -> Self {
        Self::with(site, "persistence false\n")
    }

    fn with(site: &Path, persistence: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("acl"), ACL.replace("SITE", SITE)).expect("a file");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let (dir, site) = (folder.path().display(), site.display());
        let user = String::from_utf8(Command::new("id").arg("-un").output().expect("id").stdout).expect("a name");
        let user = user.trim();
        let config = format!(
            "user {user}\nlistener {port} 127.0.0.1\ncafile {site}/ca.pem\ncertfile {site}/broker.pem\nkeyfile {site}/broker.key\n\
             crlfile {site}/crl.pem\n\
             require_certificate true\nuse_identity_as_username true\nallow_anonymous false\nacl_file {dir}/acl\n\
             {persistence}persistence_location {dir}/\n\
             max_queued_messages 1000000\nmax_inflight_messages 100\n"
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).expect("a file");
        let mut broker = Self { folder, port, process: None };
        broker.resume();
        broker
    }

    /// Takes these lines out of its access list, from when it starts the next time; without any it is whole again.
    pub fn forbid(&self, lines: &[&str]) {
        assert!(lines.iter().all(|line| ACL.lines().any(|known| known == *line)), "{lines:?} is in the list");
        let acl: String = ACL.lines().filter(|line| !lines.contains(line)).map(|line| format!("{line}\n")).collect();
        std::fs::write(self.path("acl"), acl.replace("SITE", SITE)).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop), with what it kept.
    pub fn resume(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log");
        let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("Debian's package mosquitto is installed: cross/setup does it");
        let child = Command::new(program)
            .args(["-c".as_ref(), self.path("mosquitto.conf").as_os_str()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("mosquitto starts");
        self.process = Some(child);
        let log = self.path("log");
        eventually("mosquitto listens", || {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            assert!(ended.is_none(), "mosquitto ended: {}", std::fs::read_to_string(&log).unwrap_or_default());
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Ends it in order: what it keeps is on its disk.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            kill_process(Pid::from_child(&process), Signal::TERM).expect("it runs");
            process.wait().expect("it ends");
        }
    }

    /// Forgets all that it kept; while it is stopped.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(self.path("mosquitto.db"));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The site of all tests.
pub const SITE: &str = "hq";
