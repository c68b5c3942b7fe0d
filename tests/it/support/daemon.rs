//! The real program in a folder of its own: a board's configuration and data, the daemon on it, and commands beside it.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    folder,
    http::{Form, Reply, call},
    photo_path,
};

/// What does not happen within this time never will, however loaded the machine is. An emulated board needs longer: the
/// seconds are what `FACEGATE_PATIENCE_S` says.
pub fn patience() -> Duration {
    let seconds = std::env::var("FACEGATE_PATIENCE_S").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// Asks until there is an answer. Panics with `what` where none comes.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let patience = patience();
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A folder with a configuration, in which the program runs.
pub struct Board {
    folder: TempDir,
    config: toml::Table,
}

/// A line of the file of edges.
#[derive(Clone, Debug, Deserialize)]
pub struct Edge {
    pub energised: bool,
    pub at: Timestamp,
    pub monotonic_us: u64,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The lines of standard output, as JSON.
    pub fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Both outputs.
    pub fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Panics where the status is another, or one of `words` was not said.
    #[track_caller]
    pub fn must(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.said());
        for word in words {
            assert!(self.said().contains(word), "'{word}' is not in:\n{}", self.said());
        }
        self
    }
}

impl Board {
    /// A board without doors: the starter pack, everything else in the folder, the API on a free port.
    pub fn new() -> Self {
        let mut board = Self { folder: tempfile::tempdir().expect("a folder"), config: toml::Table::new() };
        let models = folder("FACEGATE_MODELS_DIR", "models");
        let models = models.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", models.display()));
        board.set("models.dir", models.display().to_string());
        board.set("gallery.dir", "gallery");
        board.set("journal.dir", "journal");
        board.set("api.listen", "127.0.0.1:0");
        board
    }

    /// A board with one door, `front` of the tenant `main`, whose camera shows these photographs by turns.
    pub fn with_door(stills: &[PathBuf]) -> Self {
        let mut board = Self::new();
        board.add_door("front", "main", stills);
        board
    }

    /// Another door. Each still comes into view for 0.7 s and is gone for long enough to be somebody new the next time.
    pub fn add_door(&mut self, name: &str, tenant: &str, stills: &[PathBuf]) {
        let stills: Vec<_> = stills.iter().map(|still| still.display().to_string()).collect();
        let door = toml::toml! {
            pulse_ms = 300
            camera = { source = "replay", rate_fps = 15.0, hold_frames = 10, gap_frames = 13 }
            lock = { kind = "simulated" }
            access = { cooldown_ms = 0 }
        };
        let doors = self.config.entry("door").or_insert_with(|| toml::Value::Array(Vec::new()));
        let doors = doors.as_array_mut().expect("a list");
        doors.push(door.into());
        let place = format!("door.{}", doors.len() - 1);
        self.set(&format!("{place}.name"), name);
        self.set(&format!("{place}.tenant"), tenant);
        self.set(&format!("{place}.camera.stills"), stills);
        self.set(&format!("{place}.lock.edges"), format!("edges-{name}"));
    }

    /// Sets a key, such as `door.0.pulse_ms`, or a section, and writes the file.
    pub fn set(&mut self, key: &str, value: impl Into<toml::Value>) {
        let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
        let mut here = &mut self.config;
        let mut parts = path.split('.').filter(|part| !part.is_empty());
        while let Some(part) = parts.next() {
            here = match here.entry(part).or_insert_with(|| toml::Table::new().into()) {
                toml::Value::Table(table) => table,
                toml::Value::Array(list) => {
                    let at: usize = parts.next().and_then(|at| at.parse().ok()).expect("a number in a list");
                    list[at].as_table_mut().expect("a table")
                }
                other => panic!("{key}: {part} is {other}"),
            };
        }
        here.insert(last.into(), value.into());
        self.write("facegate.toml", toml::to_string(&self.config).expect("TOML"));
    }

    /// A place in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        std::fs::write(&path, bytes).expect("a file can be written");
        path
    }

    /// The program with these arguments, with no configuration from outside.
    pub fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_facegate"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FACEGATE") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.folder.path()).args(args).args(["--config", "facegate.toml"]).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[impl AsRef<OsStr>]) -> Ended {
        finish(self.command(args))
    }

    /// Enrols a photograph for the tenant `main` by the command line.
    #[track_caller]
    pub fn enrol(&self, subject: &str, photo: &str) {
        let path = photo_path(photo);
        let args: [&OsStr; 5] =
            ["enroll".as_ref(), subject.as_ref(), path.as_ref(), "--tenant".as_ref(), "main".as_ref()];
        self.run(&args).must(0, &[]);
    }

    /// Starts the daemon and waits until it says that it is ready.
    #[track_caller]
    pub fn start(&self) -> Daemon {
        self.start_as(self.command(&["run", "--json"]))
    }

    /// The same by a command that runs the daemon.
    #[track_caller]
    pub fn start_as(&self, mut command: Command) -> Daemon {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (out, err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        let writer = Arc::clone(&log);
        // Read all the time: a daemon whose log nobody takes would stand still.
        let reading = thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                writer.lock().push(line);
            }
        });
        let (say, said) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // Nobody listens after the first line.
                let _ = say.send(line);
            }
        });
        let mut daemon = Daemon { child, api: None, log, reading: Some(reading) };
        let line = said.recv_timeout(patience()).unwrap_or_else(|error| {
            let _ = daemon.child.kill();
            panic!("no ready line: {error}; the log:\n{}", daemon.log().join("\n"))
        });
        let ready: Value = serde_json::from_str(&line).expect("the ready line is JSON");
        assert_eq!(ready["ready"], true, "{line}");
        daemon.api = ready["api"].as_str().map(|address| address.parse().expect("an address"));
        daemon
    }

    /// The edges of a door's relay so far, oldest first.
    pub fn edges(&self, door: &str) -> Vec<Edge> {
        lines(&self.path(&format!("edges-{door}")))
    }

    /// Waits for an edge that `is` true of, beyond the first `seen`.
    #[track_caller]
    pub fn edge(&self, door: &str, seen: usize, is: impl Fn(&Edge) -> bool) -> Edge {
        eventually(&format!("an edge of the door {door}"), || self.edges(door).into_iter().skip(seen).find(&is))
    }

    /// The journal's entries so far, oldest first.
    pub fn journal(&self) -> Vec<Value> {
        lines(&self.path("journal/journal.ndjson"))
    }

    /// Waits for `count` decisions of a door that `is` true of, beyond the first `seen` entries of the journal.
    #[track_caller]
    pub fn decisions(&self, door: &str, seen: usize, count: usize, is: impl Fn(&Value) -> bool) -> Vec<Value> {
        eventually(&format!("{count} decisions of the door {door}"), || {
            let mut found = self.journal();
            found.drain(..seen.min(found.len()));
            found.retain(|entry| entry["event"] == "decision" && entry["door"] == door && is(entry));
            (found.len() >= count).then_some(found)
        })
    }
}

/// The whole lines of a file; one that is being written does not count yet.
fn lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Runs a command to its end; one that does not end is killed.
#[track_caller]
pub fn finish(mut command: Command) -> Ended {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let id = Pid::from_child(&child);
    let (say, said) = mpsc::channel();
    thread::spawn(move || say.send(child.wait_with_output()));
    let output = match said.recv_timeout(patience()) {
        Ok(output) => output.expect("it can be waited for"),
        Err(_) => {
            let _ = kill_process(id, Signal::KILL);
            panic!("{command:?} did not end");
        }
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A running daemon; killed when it is dropped.
pub struct Daemon {
    child: Child,
    /// Where the API listens, unless it is off.
    pub api: Option<SocketAddr>,
    log: Arc<Mutex<Vec<String>>>,
    reading: Option<thread::JoinHandle<()>>,
}

impl Daemon {
    /// The log so far, a line of JSON each.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    /// Waits for a line of the log with this word, beyond the first `seen`.
    #[track_caller]
    pub fn logged(&self, seen: usize, word: &str) -> Value {
        let line = eventually(&format!("'{word}' in the log"), || {
            self.log().into_iter().skip(seen).find(|line| line.contains(word))
        });
        serde_json::from_str(&line).expect("the log is JSON")
    }

    /// The numbers of the processes that it started and that still run.
    pub fn children(&self) -> Vec<Pid> {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let mut all = std::fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .map_or(Vec::new(), |tasks| tasks.flatten().map(|task| task.path().join("children")).collect());
        all.push(path.into());
        let numbers = all.iter().map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect::<String>();
        let mut found: Vec<_> =
            numbers.split_whitespace().filter_map(|number| number.parse().ok().and_then(Pid::from_raw)).collect();
        found.sort_by_key(|pid| pid.as_raw_nonzero());
        found.dedup();
        found
    }

    /// The number of its thread of this name.
    pub fn thread(&self, name: &str) -> Option<Pid> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let named =
            |task: &PathBuf| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        let task = tasks.flatten().map(|task| task.path()).find(named)?;
        Pid::from_raw(task.file_name()?.to_str()?.parse().ok()?)
    }

    /// Processor time so far, user and system, in seconds.
    pub fn processor_time(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // utime and stime are the 14th and 15th fields of all; the name, in parentheses, is the second. See proc(5).
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        ticks / rustix::param::clock_ticks_per_second() as f64
    }

    /// Its threads by name, and by how much each has stepped back behind the others, as of `nice`.
    pub fn threads(&self) -> Vec<(String, i32)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        stats
            .filter_map(|stat| {
                // The name is in parentheses; of what follows, its niceness is the 17th. See proc(5).
                let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
                Some((name.to_owned(), rest.split_whitespace().nth(16)?.parse().ok()?))
            })
            .collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    /// Waits for its end; gives how it ended and its whole log.
    #[track_caller]
    pub fn wait(&mut self) -> (ExitStatus, Vec<String>) {
        let status = eventually("the daemon's end", || self.child.try_wait().expect("it can be waited for"));
        if let Some(reading) = self.reading.take() {
            reading.join().expect("the log can be read");
        }
        (status, self.log())
    }

    /// Ends it by SIGTERM, which must succeed; gives its whole log.
    #[track_caller]
    pub fn stop(mut self) -> Vec<String> {
        self.signal(Signal::TERM);
        let (status, log) = self.wait();
        assert_eq!(status.code(), Some(0), "{}", log.join("\n"));
        log
    }

    /// A call of the API.
    pub fn call(&self, method: &str, path: &str, key: Option<&str>, form: Option<&Form>) -> Reply {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let content_type = Form::content_type();
        let mut headers = Vec::new();
        headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
        headers.extend(form.map(|_| ("Content-Type", content_type.as_str())));
        let body = form.map(Form::bytes);
        call(self.api.expect("the API is on"), method, path, &headers, body.as_deref())
    }

    /// Waits until every door has a camera and a lock that work.
    #[track_caller]
    pub fn ready(&self) {
        eventually("every door is ready", || (self.call("GET", "/readyz", None, None).status == 200).then_some(()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
