//! What operators ask of the doors of a running daemon: by its socket and by keys that may.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use facegate::{
    clock::SystemClock,
    error::{Error, Kind},
    gallery::{self, Gallery, NewEnrolment, SubjectId, TenantId},
    vision::{DIMENSION, Embedding},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    daemon::{Board, Daemon, eventually},
    engine,
    http::{self, Reply},
    photo_path,
};

/// A board whose door shows somebody who is not enrolled, with its strike on for a minute at a time.
fn board() -> Board {
    let mut board = Board::with_door(&[photo_path("biden.jpg")]);
    board.set("door.0.pulse_ms", 60_000);
    board
}

fn told(board: &Board, is: impl Fn(&Value) -> bool) -> Vec<Value> {
    board.journal().into_iter().filter(|entry| is(entry)).collect()
}

fn key(board: &Board, tenant: &str, rights: &[&str]) -> String {
    let mut args = vec!["keys", "add", tenant, "--json"];
    rights.iter().for_each(|right| args.extend(["--right", right]));
    board.run(&args).must(0, &[]).json()[0]["key"].as_str().expect("a key").to_owned()
}

fn ask(daemon: &Daemon, key: &str, method: &str, path: &str, body: Option<&Value>) -> Reply {
    let bearer = format!("Bearer {key}");
    let body = body.map(Value::to_string);
    http::call(daemon.api.expect("on"), method, path, &[("Authorization", &bearer)], body.as_deref().map(str::as_bytes))
}

#[test]
fn the_command_line_commands_a_running_daemon_and_the_journal_says_who_did() {
    let board = board();
    board.run(&["door", "unlock", "front"]).must(75, &["no daemon can be reached", "facegate run"]);
    let daemon = board.start();
    board.run(&["door", "status"]).must(0, &["front: locked"]);
    board.run(&["door", "unlock", "front"]).must(0, &["front", "unlocked now"]);
    assert!(board.edges("front").last().expect("an edge").energised, "the answer comes after the edge");
    let user = rustix::process::getuid().as_raw();
    let commands = || told(&board, |entry| entry["event"] == "command");
    let first = eventually("the command is in the journal", || commands().pop());
    assert_eq!((&first["command"], &first["by"]), (&"unlock".into(), &format!("user {user}").into()));
    let unlocked = eventually("it is in the journal", || told(&board, |entry| entry["happening"] == "unlocked").pop());
    assert_eq!(unlocked["by"], "command");

    board.run(&["door", "lockdown", "--all"]).must(0, &["it is lockdown now"]);
    assert!(!board.edges("front").last().expect("an edge").energised);
    board.run(&["door", "unlock", "front"]).must(1, &["the door is in lockdown"]);
    board.run(&["door", "hold", "front"]).must(1, &["the door is in lockdown"]);
    board.run(&["door", "release", "front"]).must(0, &["it is locked now"]);
    board.run(&["door", "hold", "front", "--json"]).must(0, &["\"mode\":\"held\""]);
    board.run(&["door", "release", "front"]).must(0, &[]);
    board.run(&["door", "free-access", "front"]).must(0, &["it is free access now"]);
    board.run(&["door", "free-access", "front", "--off"]).must(0, &["it is locked now"]);
    board.run(&["door", "reset-alarms", "front"]).must(0, &[]);
    board.run(&["door", "unlock", "bäck door"]).must(66, &["there is no door of this name"]);
    daemon.stop();
    assert!(!board.path("data/facegate.sock").exists(), "the socket goes with the daemon");
    board.run(&["journal", "tail", "-n", "60"]).must(0, &["command: lock down (user"]);
}

#[test]
fn a_lockdown_outlasts_the_daemon_however_it_ended() {
    let mut board = Board::with_door(&[photo_path("obama2.jpg")]);
    board.set("door.0.pulse_ms", 60_000);
    board.enrol("barack", "obama.jpg");
    let mut daemon = board.start();
    board.edge("front", 0, |edge| edge.energised);
    board.run(&["door", "lockdown", "front"]).must(0, &[]);
    daemon.signal(Signal::KILL);
    daemon.wait();

    let seen = board.journal().len();
    let edges = board.edges("front").len();
    let daemon = board.start();
    let status = &board.run(&["door", "status", "--json"]).must(0, &[]).json()[0];
    assert_eq!(status["mode"], "lockdown");
    assert!(status["lockdown"]["by"].as_str().is_some_and(|by| by.starts_with("user ")), "{status}");
    daemon.logged(0, "in lockdown, as before the restart");
    let refused = |entry: &Value| entry["happening"] == "refused" && entry["why"] == "lockdown";
    eventually("whom the camera knows is refused", || board.journal().into_iter().skip(seen).find(&refused));
    assert!(!board.edges("front").iter().skip(edges).any(|edge| edge.energised));

    board.run(&["door", "release", "front"]).must(0, &[]);
    board.edge("front", edges, |edge| edge.energised);
    daemon.stop();
    let daemon = board.start();
    assert!(board.run(&["door", "status", "--json"]).must(0, &[]).json()[0]["lockdown"].is_null());
    daemon.stop();
}

#[test]
fn a_key_commands_the_doors_of_its_tenant_alone_and_only_with_the_right_to() {
    let board = board();
    let usual = key(&board, "main", &[]);
    let guard = key(&board, "main", &["door", "read"]);
    let other = key(&board, "globex", &["door", "read"]);
    let daemon = board.start();
    let unlock = json!({ "command": "unlock" });
    let command = |key: &str, door: &str, body: &Value| {
        ask(&daemon, key, "POST", &format!("/v1/doors/{door}/commands"), Some(body))
    };

    let reply = command(&usual, "front", &unlock);
    assert_eq!((reply.status, reply.code()), (403, "forbidden"));
    let message = reply.body["error"]["message"].as_str().expect("words");
    assert!(message.contains("'door'; it has: enrol, match, read, delete, admin"), "{message}");
    assert_eq!((command(&other, "front", &unlock).status, command(&guard, "back", &unlock).status), (404, 404));
    let hidden = [&other, &guard].map(|key| command(key, "back", &unlock).body["error"]["message"].clone());
    assert_eq!(hidden[0], command(&other, "front", &unlock).body["error"]["message"], "another's door is like none");
    assert_eq!(command("fg_wrong", "front", &unlock).status, 401);
    assert_eq!(daemon.call("GET", "/v1/doors", None, None).status, 401, "the address needs a key");
    assert_eq!(board.edges("front").len(), 1, "nobody moved it");

    let reply = command(&guard, "front", &unlock);
    assert_eq!((reply.status, &reply.body["mode"]), (200, &"unlocked".into()), "{:?}", reply.body);
    assert!(board.edges("front").last().expect("an edge").energised);
    let by = eventually("the command is in the journal", || {
        told(&board, |entry| entry["event"] == "command").first().map(|entry| entry["by"].clone())
    });
    let id = &board.run(&["keys", "list", "--json"]).must(0, &[]).json()[1]["id"];
    assert_eq!(by, format!("key {}", id.as_str().expect("an id")));

    assert_eq!(command(&guard, "front", &json!({ "command": "lockdown" })).body["mode"], "lockdown");
    let reply = command(&guard, "front", &unlock);
    assert_eq!((reply.status, reply.code()), (409, "door_refused"), "{:?}", reply.body);
    for wrong in
        [json!({ "command": "open" }), json!({ "unlock": true }), json!([]), json!({ "command": "free_access" })]
    {
        let reply = command(&guard, "front", &wrong);
        assert_eq!((reply.status, reply.code()), (400, "invalid_field"), "{wrong}");
    }
    let doors = ask(&daemon, &guard, "GET", "/v1/doors", None).body;
    assert_eq!((&doors["count"], &doors["doors"][0]["mode"]), (&1.into(), &"lockdown".into()));
    assert_eq!(ask(&daemon, &other, "GET", "/v1/doors", None).body["count"], 0);
    let one = ask(&daemon, &usual, "GET", "/v1/doors/front", None);
    assert_eq!((one.status, &one.body["door"]["lock_works"]), (200, &true.into()));
    // The right to command doors is none to do anything else.
    assert_eq!(ask(&daemon, &guard, "DELETE", "/v1/access/rules", None).status, 403);
    assert_eq!(ask(&daemon, &guard, "GET", "/v1/access/rules", None).status, 200);
    assert_eq!(ask(&daemon, &guard, "DELETE", "/v1/face-matching/embeddings?subject_id=x", None).status, 403);
    daemon.stop();
}

#[test]
fn without_an_address_the_socket_is_served_all_the_same() {
    let mut board = board();
    board.set("api.listen", "off");
    let daemon = board.start();
    assert!(daemon.api.is_none());
    board.run(&["door", "unlock", "front"]).must(0, &["unlocked now"]);
    daemon.stop();
    board.set("api.socket", "off");
    let daemon = board.start();
    board.run(&["door", "status"]).must(78, &["the daemon's socket is off"]);
    daemon.stop();
}

#[test]
fn an_emergency_that_latches_is_ended_by_an_operator_once_the_fire_is_over() {
    let mut board = board();
    board.set("door.0.fail", "safe");
    board.set("door.0.controller.fire_latches", true);
    board.set("door.0.inputs.fire", toml::toml! { kind = "simulated" level = "fire" });
    let daemon = board.start();
    board.write("fire", "1");
    board.edge("front", 0, |edge| !edge.energised);
    board.run(&["door", "end-emergency", "front"]).must(1, &["the fire input is still active"]);
    board.run(&["door", "lockdown", "front"]).must(0, &["it is emergency now"]);
    board.run(&["door", "release", "front"]).must(0, &[]);
    board.write("fire", "0");
    std::thread::sleep(std::time::Duration::from_millis(200));
    board.run(&["door", "status"]).must(0, &["front: emergency"]);
    board.run(&["door", "end-emergency", "front"]).must(0, &["it is locked now"]);
    assert!(board.edges("front").last().expect("an edge").energised);
    daemon.stop();
}

/// Keeps everybody else from writing to the board's store until it is dropped, as an import does that stands still.
struct Writing {
    done: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writing {
    fn begin(board: &Board) -> Self {
        let settings = gallery::Settings { dir: board.path("gallery"), ..gallery::Settings::default() };
        let clock = Arc::new(SystemClock::new());
        let gallery = Gallery::open(&settings, engine().model_id(), clock).expect("the board's gallery opens");
        let (begun, begins) = mpsc::channel();
        let (done, waits) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let new = NewEnrolment {
                subject: SubjectId::try_from("nobody").expect("a name"),
                embedding: Embedding::normalised(&[1.0; DIMENSION]).expect("a direction"),
                quality_score: 1.0,
                liveness_score: None,
                source: None,
                metadata: None,
                photograph: None,
            };
            let stored = gallery.enroll_in(&TenantId::try_from("main").expect("a name"), new, None, |_| {
                begun.send(()).expect("the test waits");
                // Until it is dropped.
                let _ = waits.recv();
                Err(Error::new(Kind::Internal, "nothing is to be stored"))
            });
            assert!(stored.is_err());
        });
        begins.recv().expect("it writes");
        Self { done: Some(done), thread: Some(thread) }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.done = None;
        let ended = self.thread.take().map(thread::JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()));
    }
}

#[test]
fn no_door_waits_for_the_disk_with_a_lockdown_nor_for_another_door() {
    let mut board = board();
    board.add_door("back", "main", &[photo_path("biden.jpg")]);
    board.set("door.1.pulse_ms", 60_000);
    board.enrol("barack", "obama.jpg");
    let daemon = board.start();
    for door in ["front", "back"] {
        board.run(&["door", "unlock", door]).must(0, &["unlocked now"]);
    }
    let seen = ["front", "back"].map(|door| (door, board.edges(door).len()));
    let writing = Writing::begin(&board);
    thread::scope(|scope| {
        let locking = scope.spawn(|| board.run(&["door", "lockdown", "--all"]));
        for (door, edges) in seen {
            board.edge(door, edges, |edge| !edge.energised);
        }
        // What is not stored of a door is no reason to let another, or the same one, wait; and none is released meanwhile.
        board.run(&["door", "unlock", "back"]).must(1, &["the door is in lockdown"]);
        board.run(&["door", "release", "front"]).must(1, &["is not released", "still being stored"]);
        assert_eq!(board.run(&["door", "status", "--json"]).must(0, &[]).json()[0]["mode"], "lockdown");
        assert!(!locking.is_finished(), "it is not stored yet");
        drop(writing);
        locking.join().expect("it ends").must(0, &["front", "back", "it is lockdown now"]);
    });
    for status in board.run(&["door", "status", "--json"]).must(0, &[]).json() {
        assert!(status["lockdown"]["by"].is_string(), "{status}");
    }
    board.run(&["door", "release", "--all"]).must(0, &["it is locked now"]);
    daemon.stop();
}
