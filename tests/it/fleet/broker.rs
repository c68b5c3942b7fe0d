//! A real mosquitto: TLS with client certificates and an ACL, on a free port, in a folder of its own.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{
    certificates::{Authority, Identity},
    daemon::eventually,
};

/// What a device may publish and read, as docs/fleet.md has it: `%u` is the common name of its certificate.
pub const ACL: &str = include_str!("../../../docs/fleet/mosquitto.acl");

/// The broker of one test.
pub struct Broker {
    folder: TempDir,
    authority: Authority,
    pub port: u16,
    process: Option<Child>,
}

impl Broker {
    /// Starts one that keeps everything on its disk as it comes.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new();
        let server = authority.sign(&["localhost"]);
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        write("ca.pem", &authority.pem);
        write("server.pem", &server.certificate);
        write("server.key", &server.key);
        write("acl", &ACL.replace("SITE", SITE));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let dir = folder.path().display();
        let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
        // Every change is written at once: `kill -9` then loses what a power cut would.
        let config = format!(
            "user {user}\nlistener {port} 127.0.0.1\ncafile {dir}/ca.pem\ncertfile {dir}/server.pem\nkeyfile {dir}/server.key\n\
             require_certificate true\nuse_identity_as_username true\nallow_anonymous false\nacl_file {dir}/acl\n\
             persistence true\npersistence_location {dir}/\nautosave_on_changes true\nautosave_interval 1\n\
             max_queued_messages 0\nmax_inflight_messages 100\nmemory_limit 0\n"
        );
        write("mosquitto.conf", &config);
        let mut broker = Self { folder, authority, port, process: None };
        broker.resume();
        broker
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
        eventually("mosquitto listens", || {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            assert!(ended.is_none(), "mosquitto ended: {}", self.log());
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

    /// A certificate for a device.
    pub fn identity(&self, device: &str) -> Identity {
        self.authority.sign(&[device])
    }

    /// The authority's certificate, as PEM.
    pub fn ca(&self) -> &str {
        &self.authority.pem
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    pub fn log(&self) -> String {
        let mut text = String::new();
        let _ = std::fs::File::open(self.path("log")).and_then(|mut file| file.read_to_string(&mut text));
        text
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The site of all tests.
pub const SITE: &str = "hq";
