//! The reference's own samples, with the clients that they are written for, against the real daemon.
//!
//! `samples/` holds every sample of the reference as it stands there, but for the indentation that its Python lost on the way
//! to us. What a sample is given here is what its reader would change: base URL, key, ids; and the photographs and functions
//! of "your" application that it takes for granted. `answers/` holds the reference's sample answers: ours must have all of
//! their fields, each of the same type.

mod manual;

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::support::{
    daemon::{Board, Daemon, finish},
    photo, photo_path, project,
};

const BASE: &str = "https://api.zaits.net/v1/face-matching";
const KEY: &str = "YOUR_API_KEY";

fn folder() -> PathBuf {
    project("tests/it/conformance")
}

/// A daemon, and a folder with the photographs that the samples name.
struct Application {
    board: Board,
    daemon: Daemon,
    key: String,
}

impl Application {
    fn new() -> Self {
        let board = Board::with_door(&[photo_path("biden.jpg")]);
        let made = board.run(&["keys", "add", "acme", "--json"]).must(0, &[]);
        let key = made.json()[0]["key"].as_str().expect("a key").to_owned();
        for name in ["employee_photo.jpg", "unknown_face.jpg", "verification_selfie.jpg"] {
            board.write(name, photo("obama.jpg"));
        }
        let daemon = board.start();
        Self { board, daemon, key }
    }

    /// A sample with our base URL and key in it, and `id` where it says `embedding-id`.
    fn sample(&self, name: &str, id: &str) -> String {
        let path = folder().join("samples").join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.contains(BASE) && text.contains(KEY), "{name} is no sample");
        let base = format!("http://{}/v1/face-matching", self.daemon.api.expect("the API is on"));
        text.replace(BASE, &base).replace(KEY, &self.key).replace("embedding-id", id)
    }

    /// Runs a client in the folder; gives the lines that it printed.
    #[track_caller]
    fn run(&self, mut command: Command) -> Vec<String> {
        command.current_dir(self.board.path("."));
        let ended = finish(command);
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
        ended.out.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn curl(&self, name: &str, id: &str) -> Value {
        let mut command = Command::new("bash");
        command.args(["-c", &self.sample(name, id)]);
        last(&self.run(command))
    }

    /// Gives what the sample prints, and its `result`.
    #[track_caller]
    fn python(&self, name: &str) -> (Vec<String>, Value) {
        let script = format!("{}\nimport json\nprint(json.dumps(result))\n", self.sample(name, ""));
        let mut lines = self.run(python(&script));
        let result = last(&lines);
        lines.pop();
        (lines, result)
    }

    /// Gives what the sample prints, its `result` where it has one, and which functions of the application it called.
    #[track_caller]
    fn node(&self, name: &str) -> (Vec<String>, Value, Value) {
        let script = format!(
            "import {{ readFileSync }} from 'node:fs';
            const photo = new Blob([readFileSync('unknown_face.jpg')]);
            const [employeePhoto, file, cameraImage, customerPhoto, ticketHolderPhoto, livePhoto] = Array(6).fill(photo);
            const called = [];
            const [grantAccess, loadLoyaltyInfo, checkInAttendee] =
              ['grantAccess', 'loadLoyaltyInfo', 'checkInAttendee'].map(name => (...given) => called.push([name, ...given]));
            {}
            console.log(JSON.stringify([typeof result === 'undefined' ? null : result, called]));",
            self.sample(name, "")
        );
        let script = self.board.write(name, script);
        let mut command = Command::new("node");
        command.arg(script);
        let mut lines = self.run(command);
        let Value::Array(mut pair) = last(&lines) else { panic!("{lines:?}") };
        lines.pop();
        let (called, result) = (pair.pop().expect("two"), pair.pop().expect("two"));
        (lines, result, called)
    }
}

/// Python with the packages that `make test` has installed for it.
fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", script]);
    if let Some(packages) = std::env::var_os("FACEGATE_PYTHONPATH") {
        command.env("PYTHONPATH", packages);
    }
    command
}

#[track_caller]
fn last(lines: &[String]) -> Value {
    let line = lines.last().expect("it printed something");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {lines:?}"))
}

/// Sees that an answer has all that the reference's sample of it has.
#[track_caller]
fn as_promised(name: &str, ours: &Value) {
    let path = folder().join("answers").join(format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let theirs: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(misfit(&theirs, ours), None, "{name}: {ours}");
}

/// Where the second value lacks something of the first, or has it of another type.
fn misfit(theirs: &Value, ours: &Value) -> Option<String> {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => theirs.iter().find_map(|(name, theirs)| {
            let within = match ours.get(name) {
                // Whatever the client has put there.
                Some(ours) if name == "metadata" => (!ours.is_object()).then(String::new),
                Some(ours) => misfit(theirs, ours),
                None => Some(" is missing".into()),
            };
            within.map(|within| format!(".{name}{within}"))
        }),
        (Value::Array(theirs), Value::Array(ours)) => {
            let sample = theirs.first()?;
            ours.iter().find_map(|ours| misfit(sample, ours).map(|within| format!("[]{within}")))
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => None,
        _ => Some(format!(" is {ours}, not like {theirs}")),
    }
}

#[test]
fn an_answer_that_lacks_a_field_or_has_another_type_is_noticed() {
    let theirs = json!({"a": [{"b": 1}], "c": "x"});
    assert_eq!(misfit(&theirs, &json!({"a": [{"b": 2, "more": 1}, {"b": 0.5}], "c": "y", "d": null})), None);
    assert_eq!(misfit(&theirs, &json!({"a": [{"b": 2}, {}], "c": "y"})).as_deref(), Some(".a[].b is missing"));
    assert!(misfit(&theirs, &json!({"a": [], "c": 1})).is_some_and(|place| place.starts_with(".c is 1")));
    assert!(misfit(&theirs, &json!({"a": {}, "c": "y"})).is_some());
}

#[test]
fn every_sample_for_curl_works() {
    let application = Application::new();
    let enrolled = application.curl("enroll.sh", "");
    as_promised("enroll", &enrolled);
    assert_eq!(enrolled["subjectId"], "EMP-001");
    let found = application.curl("search.sh", "");
    as_promised("search", &found);
    assert_eq!(found["matches"][0]["metadata"]["badge"], "B-8472", "{found}");
    let verified = application.curl("verify.sh", "");
    as_promised("verify", &verified);
    assert_eq!(verified["verified"], true, "{verified}");
    for sample in ["list.sh", "list_of_subject.sh"] {
        let listed = application.curl(sample, "");
        as_promised("list", &listed);
        assert_eq!(listed["count"], 1, "{listed}");
        assert_eq!(listed["embeddings"][0]["verification_count"], 1, "{listed}");
    }
    let id = enrolled["embeddingId"].as_str().expect("an id");
    let deleted = application.curl("delete_one.sh", id);
    as_promised("delete", &deleted);
    assert_eq!(deleted["message"], "Face embedding deleted successfully");
    for sample in ["delete_of_subject.sh", "delete_all.sh"] {
        application.curl("enroll.sh", "");
        let deleted = application.curl(sample, "");
        as_promised("delete", &deleted);
        assert_eq!(deleted["deleted"], 1, "{sample}: {deleted}");
        assert_eq!(application.curl("list.sh", "")["count"], 0, "{sample}");
    }
}

#[test]
fn every_sample_for_python_works() {
    let application = Application::new();
    let (printed, enrolled) = application.python("enroll.py");
    as_promised("enroll", &enrolled);
    assert!(printed.is_empty(), "{printed:?}");
    let (printed, found) = application.python("search.py");
    as_promised("search", &found);
    assert_eq!(printed, ["Match found: John Smith", "Confidence: 100.0%"]);
    let (printed, verified) = application.python("verify.py");
    as_promised("verify", &verified);
    assert_eq!(printed, ["Verified: True", "Similarity: 1.0000"]);
}

#[test]
fn every_sample_for_javascript_works() {
    let application = Application::new();
    let (_, enrolled, _) = application.node("enroll.mjs");
    as_promised("enroll", &enrolled);
    let (printed, found, _) = application.node("search.mjs");
    as_promised("search", &found);
    assert_eq!(printed, ["Match found: John Smith", "Confidence: 100.0%", "Email: undefined"]);
    let (printed, verified, _) = application.node("verify.mjs");
    as_promised("verify", &verified);
    assert_eq!(printed, ["Access granted!"]);
}

#[test]
fn every_use_case_of_the_reference_works() {
    let application = Application::new();
    let of = |sample, wipe| {
        let (printed, _, called) = application.node(sample);
        if wipe {
            application.curl("delete_all.sh", "");
        }
        (printed, called)
    };
    let (printed, called) = of("access_control.mjs", true);
    assert_eq!((printed, called), (vec!["Welcome, John Smith!".into()], json!([["grantAccess", "EMP-12345"]])));
    let (printed, called) = of("customer_identification.mjs", true);
    assert_eq!((printed, called), (vec!["Welcome back, Jane Doe!".into()], json!([["loadLoyaltyInfo", "CUST-789"]])));
    let (printed, called) = of("event_check_in.mjs", false);
    let said = vec!["✅ Entry granted - ticket verified".into()];
    assert_eq!((printed, called), (said, json!([["checkInAttendee", "TICKET-12345"]])));
}

#[test]
fn a_client_whose_body_is_refused_while_it_is_sent_hears_why() {
    let application = Application::new();
    let script = format!(
        "import requests
url = 'http://{}/v1/face-matching/search'
answer = requests.post(url, headers={{'Authorization': 'Bearer {}'}}, files={{'image': b'x' * (30 << 20)}})
print(answer.text)",
        application.daemon.api.expect("the API is on"),
        application.key
    );
    let answer = last(&application.run(python(&script)));
    assert_eq!(answer["error"]["code"], "image_too_large", "{answer}");
}
