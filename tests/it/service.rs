//! The daemon under a service manager: what it tells systemd, what of it lets the watchdog starve, sockets that it is given.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::TcpListener,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::{UnixDatagram, UnixListener},
    },
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Pid, Signal},
};

use crate::support::{
    daemon::{Board, Daemon, eventually},
    photo, photo_path,
};

/// The manager's ear.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn of(board: &Board) -> Self {
        let socket = UnixDatagram::bind(board.path("notify")).expect("a socket");
        socket.set_nonblocking(true).expect("it can be set");
        Self { socket, heard: Vec::new() }
    }

    /// Starts the daemon as systemd does.
    fn start(board: &Board, watchdog: Option<Duration>) -> (Self, Daemon) {
        let manager = Self::of(board);
        let mut command = board.command(&["run", "--json"]);
        command.env("NOTIFY_SOCKET", board.path("notify"));
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        let daemon = board.start_as(command);
        (manager, daemon)
    }

    fn listen(&mut self) {
        let mut datagram = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let words = String::from_utf8_lossy(&datagram[..length]).into_owned();
            self.heard.extend(words.lines().map(str::to_owned));
        }
    }

    /// Waits for a word that was not heard before; gives it.
    #[track_caller]
    fn hears(&mut self, beginning: &str) -> String {
        eventually(&format!("'{beginning}' is told"), || {
            self.listen();
            let at = self.heard.iter().position(|word| word.starts_with(beginning))?;
            Some(self.heard.drain(..=at).next_back().expect("it was found"))
        })
    }

    /// Whether a word comes within this time from now on.
    fn hears_within(&mut self, time: Duration, word: &str) -> bool {
        self.listen();
        self.heard.clear();
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.listen();
            if self.heard.iter().any(|heard| heard == word) {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

#[test]
fn readiness_waits_for_the_camera_and_the_door_does_not() {
    let mut board = Board::with_door(&[]);
    board.set("door.0.camera.stills", vec!["not-there-yet.jpg".to_owned()]);
    board.set("door.0.inputs.rex", toml::toml! { kind = "simulated" level = "rex" });
    let (mut manager, daemon) = Manager::start(&board, None);
    manager.hears("EXTEND_TIMEOUT_USEC=");
    let status = manager.hears("STATUS=waiting: ");
    assert!(status.contains("the camera of door 'front' gives no frames"), "{status}");

    board.write("rex", "1");
    board.edge("front", 0, |edge| edge.energised);
    manager.hears("EXTEND_TIMEOUT_USEC=");
    assert!(!manager.heard.iter().any(|word| word == "READY=1"), "{:?}", manager.heard);

    board.write("not-there-yet.jpg", photo("biden.jpg"));
    manager.hears("READY=1");
    assert_eq!(manager.hears("STATUS=watching"), "STATUS=watching front");
    daemon.stop();
    manager.hears("STOPPING=1");
}

#[test]
fn a_start_that_fails_says_why() {
    let mut board = Board::with_door(&[photo_path("biden.jpg")]);
    board.set("models.pack", "nobodys");
    let mut manager = Manager::of(&board);
    let mut command = board.command(&["run"]);
    command.env("NOTIFY_SOCKET", board.path("notify"));
    crate::support::daemon::finish(command).must(69, &["there is no pack 'nobodys'"]);
    let status = manager.hears("STATUS=there is no pack");
    assert!(status.contains("models list"), "with the cure: {status}");
    assert!(!manager.heard.iter().any(|word| word == "READY=1"));
}

/// Stops one thread of a process for as long as this lives, as a driver that hangs would: by a debugger's call.
struct Hung(Child);

impl Hung {
    /// None where this user may not.
    fn make(thread: Pid) -> Option<Self> {
        const STOP: &str = "
import ctypes, os, sys
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
thread, SEIZE, INTERRUPT, WALL = int(sys.argv[1]), 0x4206, 0x4207, 0x40000000
if ptrace(SEIZE, thread, None, None) or ptrace(INTERRUPT, thread, None, None):
    print(os.strerror(ctypes.get_errno()))
else:
    os.waitpid(thread, WALL)
    print('stopped', flush=True)
    sys.stdin.read()
";
        let number = thread.as_raw_nonzero().to_string();
        let mut python = Command::new("python3");
        python.args(["-c", STOP, &number]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("python3 is there");
        let mut said = String::new();
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut said).expect("it says how it went");
        let hung = Self(child);
        if said.trim_end() == "stopped" {
            return Some(hung);
        }
        eprintln!("skipped: a single thread cannot be stopped here: {said}");
        None
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // The thread goes on when whoever stopped it is gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_hung_vision_thread_or_door_thread_starves_the_watchdog() {
    let watchdog = Duration::from_secs(3);
    let mut board = Board::with_door(&[photo_path("biden.jpg")]);
    // It would end the daemon first.
    board.set("guard.enabled", false);
    let (mut manager, daemon) = Manager::start(&board, Some(watchdog));
    manager.hears("READY=1");
    for name in ["door-front", "door"] {
        manager.hears("WATCHDOG=1");
        let thread = daemon.thread(name).unwrap_or_else(|| panic!("a thread {name}: {:?}", daemon.threads()));
        let Some(hung) = Hung::make(thread) else { return };
        // Half of the deadline may pass before it counts as hung.
        manager.hears("STATUS=a thread of a door has not moved");
        assert!(!manager.hears_within(watchdog, "WATCHDOG=1"), "{name} hangs, and the watchdog is fed");
        drop(hung);
        manager.hears("WATCHDOG=1");
    }
    daemon.stop();
}

#[test]
fn office_hours_are_kept_by_a_thread_of_their_own_and_it_is_told_where_it_hangs() {
    let mut board = Board::with_door(&[photo_path("biden.jpg")]);
    board.set("guard.enabled", false);
    let watchdog = Duration::from_secs(3);
    let (mut manager, daemon) = Manager::start(&board, Some(watchdog));
    manager.hears("READY=1");
    daemon.ready();
    let readyz = || daemon.call("GET", "/readyz", None, None).status;
    // The one that reads the disk hangs for a moment, and nobody misses it.
    let thread = |name: &str| daemon.thread(name).unwrap_or_else(|| panic!("{name}: {:?}", daemon.threads()));
    let Some(hung) = Hung::make(thread("keeper")) else { return };
    assert!(manager.hears_within(watchdog, "WATCHDOG=1") && readyz() == 200);
    drop(hung);

    let Some(hung) = Hung::make(thread("hours")) else { return };
    manager.hears("STATUS=nobody keeps the office hours any more");
    assert_eq!(readyz(), 503);
    assert!(
        manager.hears_within(watchdog, "WATCHDOG=1"),
        "a door is not to be shut for it: free access ends by itself"
    );
    drop(hung);
    manager.hears("STATUS=watching front");
    daemon.ready();
    daemon.stop();
}

/// As the fleet orders it: the same process goes on, and whoever heard of a stop would end it a little later.
#[test]
fn a_daemon_that_begins_anew_tells_of_no_stop_and_is_ready_again() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    let (mut manager, daemon) = Manager::start(&board, None);
    manager.hears("READY=1");
    daemon.ready();
    manager.listen();
    manager.heard.clear();
    daemon.signal(Signal::USR1);
    let told = eventually("it is ready again", || {
        manager.listen();
        manager.heard.iter().any(|word| word == "READY=1").then(|| manager.heard.clone())
    });
    assert!(told.iter().any(|word| word == "STATUS=starting anew"), "{told:?}");
    assert!(!told.iter().any(|word| word == "STOPPING=1"), "{told:?}");
    daemon.stop();
    manager.hears("STOPPING=1");
}

#[test]
fn the_api_and_the_operators_socket_are_taken_over() {
    let mut board = Board::with_door(&[photo_path("biden.jpg")]);
    // What is passed counts.
    board.set("api.listen", "127.0.0.1:1");
    board.set("api.socket", "elsewhere.sock");
    let api = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let operator = UnixListener::bind(board.path("passed.sock")).expect("a socket");
    let address = api.local_addr().expect("an address");
    let daemon = board.start_as(passing(board.command(&["run", "--json"]), &[api.into(), operator.into()]));
    assert_eq!(daemon.api, Some(address));
    assert_eq!(daemon.call("GET", "/healthz", None, None).status, 200);
    board.set("api.socket", "passed.sock");
    board.run(&["door", "status"]).must(0, &["front"]);
    assert!(!board.path("elsewhere.sock").exists());
    daemon.stop();
    assert!(board.path("passed.sock").exists(), "it is the manager's");
}

#[test]
fn what_is_no_socket_to_serve_on_is_refused() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    let file = File::create(board.path("file")).expect("a file");
    let refused = crate::support::daemon::finish(passing(board.command(&["run"]), &[file.into()]));
    refused.must(78, &["the service manager passed 'passed'", "ListenStream="]);
    assert!(board.edges("front").is_empty(), "the lock was touched");
}

/// The command with these descriptors from 3 on, as systemd passes them.
fn passing(command: Command, passed: &[OwnedFd]) -> Command {
    let (mut redirections, mut names) = (String::new(), Vec::new());
    for (number, descriptor) in (3..).zip(passed) {
        fcntl_setfd(descriptor, FdFlags::empty()).expect("it can be handed down");
        redirections += &format!(" {number}<&{}", descriptor.as_raw_fd());
        names.push("passed");
    }
    let script = format!(
        "exec{redirections}; export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={}; exec \"$@\"",
        passed.len(),
        names.join(":")
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &script, "bash"]).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.current_dir(command.get_current_dir().expect("the board's folder"));
    shell
}

#[test]
fn a_master_key_that_is_handed_over_is_used_and_one_that_cannot_be_read_is_told() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    let credentials = board.path("credentials");
    fs::create_dir(&credentials).expect("a folder");
    let key = credentials.join("facegate.master.key");
    fs::write(&key, [42; 32]).expect("a key");
    let list = || {
        let mut command = board.command(&["keys", "list"]);
        command.env("CREDENTIALS_DIRECTORY", &credentials);
        crate::support::daemon::finish(command)
    };
    list().must(0, &[]);
    assert!(!board.path("gallery/master.key").exists(), "beside the enrolments lies no key");
    board.run(&["keys", "list"]).must(74, &["master.key", "without it nobody can read the enrolments"]);
    fs::write(&key, [43; 32]).expect("another key");
    list().must(74, &["facegate.master.key is not the key that this gallery was made with"]);
    fs::write(&key, "short").expect("no key");
    list().must(74, &["facegate.master.key is not a key of 32 bytes"]);
}

#[test]
fn a_signal_to_reload_leaves_readiness_alone() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    let (mut manager, daemon) = Manager::start(&board, None);
    manager.hears("READY=1");
    daemon.signal(Signal::HUP);
    daemon.logged(0, "reloaded");
    daemon.stop();
    manager.hears("STOPPING=1");
    assert!(!manager.heard.iter().any(|word| word == "READY=1"), "{:?}", manager.heard);
}
