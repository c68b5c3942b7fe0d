//! A site: its keys, its broker, its doors, all of them real, and somebody who operates it.

use std::path::{Path, PathBuf};

use facegate::fleet::{Settings, console::Console};

use super::broker::{Broker, SITE};
use crate::support::{
    daemon::{Board, Daemon, eventually},
    http::Form,
    photo,
};

/// A site of one test.
pub struct Site {
    pub broker: Broker,
    /// Where the site's keys are, and a device with the role admin.
    pub office: Board,
}

impl Site {
    pub fn new() -> Self {
        let office = Board::new();
        office.run(&["fleet", "init", "--broker", "localhost"]).must(0, &["keep them safe"]);
        let broker = Broker::start(&office.path("site"));
        let mut site = Self { broker, office };
        let mut office = std::mem::replace(&mut site.office, Board::new());
        let keys = site_dir(&office);
        site.join_with(&mut office, "office", "admin", &keys);
        site.office = office;
        site
    }

    /// Lets a board join, as docs/fleet.md says.
    pub fn join(&self, board: &mut Board, device: &str, role: &str) {
        self.join_with(board, device, role, &site_dir(&self.office));
    }

    fn join_with(&self, board: &mut Board, device: &str, role: &str, keys: &Path) {
        self.configure(board, device);
        board.run(&["fleet", "join-request", "--out", "request.json"]).must(0, &["carry it"]);
        let (keys, request) = (keys.display().to_string(), board.path("request.json").display().to_string());
        let approval = board.path("approval.json").display().to_string();
        let args = ["fleet", "approve", &request, "--site-dir", &keys, "--role", role, "--out", &approval];
        board.run(&args).must(0, &["carry it"]);
        board.run(&["fleet", "join", "approval.json"]).must(0, &["is of the site hq"]);
    }

    /// `[fleet]` of a board.
    pub fn configure(&self, board: &mut Board, device: &str) {
        board.set("fleet.site", SITE);
        board.set("fleet.device", device);
        board.set("fleet.broker", format!("localhost:{}", self.broker.port));
        board.set("fleet.dir", "fleet");
        board.set("fleet.clock", "always");
        // Asked over and over whether a change has come.
        board.set("api.limits.photographs", toml::toml! { per_s = 0 burst = 1 });
        board.set("api.limits.address_factor", 0);
    }

    /// A board without doors that has joined.
    pub fn board(&self, device: &str) -> Board {
        let mut board = Board::new();
        self.join(&mut board, device, "door");
        board
    }

    /// A connection of the office's.
    pub fn console(&self) -> Console {
        Console::connect(&settings(&self.office, "office", self.broker.port)).expect("the broker is reached")
    }
}

fn site_dir(office: &Board) -> PathBuf {
    office.path("site")
}

/// `[fleet]` of a board, for this process.
pub fn settings(board: &Board, device: &str, port: u16) -> Settings {
    serde_json::from_value(serde_json::json!({
        "site": SITE, "device": device, "broker": format!("localhost:{port}"), "dir": board.path("fleet"), "clock": "always",
    }))
    .expect("settings")
}

/// A board's API key for the tenant `main`.
pub fn key(board: &Board) -> String {
    let made = board.run(&["keys", "add", "main", "--json"]).must(0, &[]);
    made.json()[0]["key"].as_str().expect("a key").to_owned()
}

/// Enrols a photograph by the API; gives the embedding's id.
#[track_caller]
pub fn enrol(daemon: &Daemon, key: &str, subject: &str, name: &str) -> String {
    let form = Form::new().text("subject_id", subject).image(&photo(name));
    let reply = daemon.call("POST", "/v1/face-matching/enroll", Some(key), Some(&form));
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    reply.body["embeddingId"].as_str().expect("an id").to_owned()
}

/// Whom a photograph shows, by the API.
pub fn who(daemon: &Daemon, key: &str, name: &str) -> Option<String> {
    let reply = daemon.call("POST", "/v1/face-matching/search", Some(key), Some(&Form::new().image(&photo(name))));
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    reply.body["matches"][0]["subject_id"].as_str().map(str::to_owned)
}

/// Waits until a photograph shows this subject, or nobody.
#[track_caller]
pub fn shows(daemon: &Daemon, key: &str, name: &str, subject: Option<&str>) {
    eventually(&format!("{name} shows {subject:?}"), || (who(daemon, key, name).as_deref() == subject).then_some(()));
}

/// A number of `/metrics`; 0 where it is not there, as nothing of the kind was counted yet.
#[track_caller]
pub fn metric(daemon: &Daemon, name: &str) -> f64 {
    let url = format!("http://{}/metrics", daemon.api.expect("the API is on"));
    let text = ureq::get(url).call().expect("metrics").body_mut().read_to_string().expect("text");
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.unwrap_or_default()
}
