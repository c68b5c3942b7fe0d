//! One tenant asks for what is another's, by every call that the document has: it must learn no more than of what never was.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::{board, get, key_of};
use crate::{
    access::office,
    support::{
        daemon::{Daemon, eventually},
        http::{Form, Reply, call},
        photo, photo_path,
    },
};

/// How often each call is made, to compare how long it takes.
const TIMES: usize = 64;

/// How surely one call may tell by its time whether something is another's, at most, where 0.5 is a guess. Of as many calls a
/// guess deviates by 0.05 (the normal approximation of Mann and Whitney's U, 1947), so this is five of those.
const TOLD: f64 = 0.75;

/// An embedding that never was.
const NOWHERE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// What does not name anything.
const NAMELESS: [&str; 10] = [
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "active_only",
    "all",
    "at",
    "file",
    "limit",
    "passage",
    "subjects",
];

/// Who asks: a key of a tenant that has nothing to do with the other's.
struct Stranger<'a> {
    daemon: &'a Daemon,
    bearer: String,
}

/// What is another's, and what never was.
type Pair = (String, String);

/// A request of the document with one thing named in it.
struct Request {
    method: String,
    /// With the things that are named in it.
    paths: Pair,
    /// Its type, and its bytes.
    body: Option<(String, Vec<u8>)>,
    /// As it is called in the document.
    name: String,
    names: Pair,
}

impl Stranger<'_> {
    fn ask(&self, method: &str, path: &str, body: Option<&(String, Vec<u8>)>, more: &[(&str, &str)]) -> Reply {
        let mut headers = vec![("Authorization", self.bearer.as_str())];
        headers.extend(body.map(|(kind, _)| ("Content-Type", kind.as_str())));
        headers.extend_from_slice(more);
        let address = self.daemon.api.expect("the API is on");
        call(address, method, path, &headers, body.map(|(_, bytes)| bytes.as_slice()))
    }

    /// Makes both calls, and sees that their answers and their times are alike.
    fn compare(&self, request: &Request) {
        let (theirs, absent) = (self.send(request, false), self.send(request, true));
        let what = format!("{} {}: {:?}", request.method, request.name, theirs.body);
        assert!([200, 403, 404].contains(&theirs.status), "the request is as the document wants it: {what}");
        alike(&what, &theirs, &absent, &request.names);
        let mut times = [Vec::new(), Vec::new()];
        for turn in 0..2 * TIMES {
            // Now the one first, now the other.
            let absent = (turn + turn / 2) % 2 == 1;
            let begun = Instant::now();
            let status = self.send(request, absent).status;
            times[usize::from(absent)].push(begun.elapsed());
            assert!([200, 403, 404].contains(&status), "{what}");
        }
        let longer = times[0].iter().flat_map(|theirs| times[1].iter().map(move |absent| theirs > absent));
        let told = longer.filter(|longer| *longer).count() as f64 / (TIMES * TIMES) as f64;
        assert!((1.0 - TOLD..=TOLD).contains(&told), "one call's time tells by {told}: {what}");
    }

    fn send(&self, request: &Request, absent: bool) -> Reply {
        let path = if absent { &request.paths.1 } else { &request.paths.0 };
        self.ask(&request.method, path, request.body.as_ref(), &[])
    }
}

/// Answers, but for what each answer has of its own and the name that was asked for.
fn alike(what: &str, theirs: &Reply, absent: &Reply, (their, never): &Pair) {
    let plain = |reply: &Reply, name: &str| {
        let mut body = reply.body.clone();
        blank(&mut body);
        body.to_string().replace(name, "it")
    };
    assert_eq!(theirs.status, absent.status, "{what}");
    assert_eq!(plain(theirs, their), plain(absent, never), "{what}");
    let names = |reply: &Reply| reply.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(theirs), names(absent), "{what}");
}

/// Empties what is new in each answer.
fn blank(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let new = ["request_id", "embeddingId", "processing_time", "at"].contains(&name.as_str())
                    || name.ends_with("_at");
                if new { *value = Value::Null } else { blank(value) }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(blank),
        _ => {}
    }
}

/// What a parameter of a call names: something of the other tenant's, and something that never was.
fn named(path: &str, parameter: &str, known: &Map<String, Value>) -> Option<Pair> {
    let pair = |theirs: &str, never: &str| Some((theirs.to_owned(), never.to_owned()));
    let known = |name: &str| known[name].as_str().expect("text");
    let kind = path.split('/').nth(3).unwrap_or_default();
    match parameter {
        "subject_id" | "subject" => pair("bob", "eve"),
        "embedding_id" => pair(known("embedding"), NOWHERE),
        "key_id" => {
            let key = known("key");
            pair(key, &key.chars().rev().collect::<String>())
        }
        "tenant" => pair("main", "nowhere"),
        "door" => pair("front", "attic"),
        "area" => pair("hall", "attic"),
        "name" => pair(office()[kind][0]["name"].as_str().expect("the office has one of each kind"), "attic"),
        "cursor" => match (kind, path.starts_with("/v1/access/")) {
            ("embeddings", false) => pair(known("embedding"), NOWHERE),
            ("subjects", true) => pair(known("cursor"), "0123456789abcdef"),
            ("subjects", false) | ("presence", true) => pair("bob", "eve"),
            _ => panic!("{path} has a cursor: say here what it is"),
        },
        nameless => {
            assert!(NAMELESS.contains(&nameless), "{path} has a parameter {nameless}: say here what it names");
            None
        }
    }
}

/// A body that the call takes, where it takes one.
fn body(method: &str, path: &str) -> Option<(String, Vec<u8>)> {
    let json = |value: Value| Some(("application/json".to_owned(), value.to_string().into_bytes()));
    match (method, path.strip_prefix("/v1/").unwrap_or(path)) {
        ("post", "face-matching/verify/{subject_id}") => {
            Some((Form::content_type(), Form::new().image(&photo("obama2.jpg")).bytes()))
        }
        ("patch", "face-matching/subjects/{subject_id}") => json(json!({ "metadata": { "floor": 1 } })),
        ("put", "access/subjects/{subject_id}") => json(json!({ "groups": [] })),
        ("put", "access/calendars/{name}") => json(json!({ "days": [] })),
        ("put", "access/schedules/{name}") => json(json!({ "zone": "Europe/Brussels", "week": [] })),
        ("put", "access/areas/{name}") => json(json!({})),
        ("put", "access/doors/{name}") => json(json!({ "inside": "yard" })),
        ("put", "access/interlocks/{name}") => json(json!({ "doors": ["gate", "back"] })),
        ("put", "access/groups/{name}") => json(json!({ "access": [{ "doors": ["gate"] }] })),
        ("put", "admin/tenants/{tenant}/limit") => json(json!({ "max_faces": null })),
        ("post", "doors/{door}/commands") => json(json!({ "command": "unlock" })),
        _ => None,
    }
}

/// Every request of the document that names something, once for each thing that it names.
fn requests(document: &Value, known: &Map<String, Value>) -> Vec<Request> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        // What is read is asked for before it is changed, and made before it is deleted.
        for method in ["get", "patch", "put", "post", "delete"] {
            let Some(operation) = item.get(method) else { continue };
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let parameters: Vec<_> = parameters
                .iter()
                .map(|parameter| {
                    let name = parameter["name"].as_str().expect("a name");
                    let always = parameter["in"] == "path" || parameter["required"] == true;
                    (name, parameter["in"] == "path", always, named(path, name, known))
                })
                .collect();
            for (varied, _, _, names) in &parameters {
                let Some(names) = names else { continue };
                let with = |theirs: bool| {
                    let (mut path, mut query) = (path.clone(), Vec::new());
                    for (name, in_path, always, names) in &parameters {
                        let Some((their, never)) = names else { continue };
                        let value = if theirs && name == varied { their } else { never };
                        if *in_path {
                            path = path.replace(&format!("{{{name}}}"), value);
                        } else if *always || name == varied {
                            query.push(format!("{name}={value}"));
                        }
                    }
                    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
                };
                all.push(Request {
                    method: method.to_uppercase(),
                    paths: (with(true), with(false)),
                    body: body(method, path),
                    name: format!("{path}, {varied}"),
                    names: names.clone(),
                });
            }
        }
    }
    all
}

#[test]
fn of_what_is_another_tenant_s_no_call_tells_more_than_of_what_never_was() {
    let mut board = board();
    board.add_door("front", "main", &[photo_path("obama2.jpg")]);
    board.enrol("bob", "obama.jpg");
    let bearer = |tenant: &str| format!("Bearer {}", key_of(&board, tenant));
    let (main, other) = (bearer("main"), bearer("acme"));
    let daemon = board.start();
    let as_json = |value: Value| Some(("application/json".to_owned(), value.to_string().into_bytes()));
    let owner = Stranger { daemon: &daemon, bearer: main };
    let stranger = Stranger { daemon: &daemon, bearer: other };
    let read = |path: &str| owner.ask("GET", path, None, &[]).body;
    assert_eq!(owner.ask("PUT", "/v1/access/rules", as_json(office()).as_ref(), &[]).status, 200);
    let yard = json!({ "areas": [{ "name": "yard" }], "doors": [{ "name": "gate" }, { "name": "back" }] });
    assert_eq!(stranger.ask("PUT", "/v1/access/rules", as_json(yard).as_ref(), &[]).status, 200);
    eventually("he has gone in", || (read("/v1/access/presence")["count"] == 1).then_some(()));

    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let known = Map::from_iter([
        ("embedding".into(), text(&read("/v1/face-matching/embeddings")["embeddings"][0]["id"]).into()),
        ("key".into(), text(&read("/v1/admin/keys")["keys"][0]["id"]).into()),
        ("cursor".into(), text(&read("/v1/access/subjects?limit=1")["next_cursor"]).into()),
    ]);
    let theirs = || {
        let paths = [
            "/v1/face-matching/embeddings?active_only=false",
            "/v1/face-matching/subjects",
            "/v1/access/rules",
            "/v1/admin/keys",
        ];
        let mut all = Value::from_iter(paths.map(read));
        blank(&mut all);
        (all, read("/v1/access/presence")["presence"][0]["subject"].clone())
    };
    let before = theirs();
    let requests = requests(&get(&daemon, "/openapi.json").body, &known);
    for request in &requests {
        stranger.compare(request);
    }
    // What is named in a body.
    let enrol = |subject: &str, again: &str| {
        let form = Form::new().text("subject_id", subject).image(&photo("biden.jpg")).bytes();
        stranger.ask(
            "POST",
            "/v1/face-matching/enroll",
            Some(&(Form::content_type(), form)),
            &[("Idempotency-Key", again)],
        )
    };
    let form = Form::new().text("subject_id", "carl").image(&photo("biden.jpg")).bytes();
    let owned =
        owner.ask("POST", "/v1/face-matching/enroll", Some(&(Form::content_type(), form)), &[("Idempotency-Key", "1")]);
    assert_eq!(owned.status, 200, "{:?}", owned.body);
    let as_theirs = enrol("carl", "1");
    // Else the next would be told that carl has this face, too.
    assert_eq!(stranger.ask("DELETE", "/v1/face-matching/embeddings", None, &[]).body["deleted"], 1);
    alike("enroll", &as_theirs, &enrol("eve", "2"), &("carl".into(), "eve".into()));
    let id = text(&owned.body["embeddingId"]);
    assert_eq!(owner.ask("DELETE", &format!("/v1/face-matching/embeddings/{id}"), None, &[]).status, 200);
    assert_eq!(theirs(), before, "nothing of the other tenant's was touched");
}
