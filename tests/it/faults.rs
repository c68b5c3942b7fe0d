//! Everything that goes wrong at a door: each fault gets a clear error, nothing is lost, and the daemon goes on.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant},
};

use heed::{CommitOrAbort, types::Bytes};
use image::{
    RgbImage,
    imageops::{crop_imm, flip_horizontal},
};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

use crate::support::{
    daemon::{Board, eventually},
    engine,
    http::Form,
    photo, photo_path, pictures,
};

const ENROLLED: &str = "obama.jpg";
const GENUINE: &str = "obama2.jpg";
const STRANGER: &str = "biden.jpg";

fn board() -> Board {
    Board::with_door(&[photo_path(GENUINE)])
}

fn granted(decision: &serde_json::Value) -> bool {
    decision["outcome"] == "granted"
}

// Networks

#[test]
fn a_network_with_one_wrong_bit_is_refused_by_both_hashes() {
    let mut board = board();
    let pack = board.path("models/starter");
    fs::create_dir_all(&pack).expect("a folder");
    let original = engine_folder();
    for file in fs::read_dir(&original).expect("the pack").flatten() {
        fs::copy(file.path(), pack.join(file.file_name())).expect("a file can be copied");
    }
    let network = pack.join("recogniser.onnx");
    let mut bytes = fs::read(&network).expect("the network");
    let hash = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let right = hash(&bytes);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&network, &bytes).expect("it can be written");
    board.set("models.dir", "models");

    let words = [right.as_str(), &hash(&bytes), "recogniser.onnx", "models/fetch starter"];
    let refused = board.run(&["run"]).must(69, &words);
    assert!(!refused.out.contains("ready"), "{}", refused.out);
    board.run(&["check"]).must(1, &words);
    board.run(&["models", "list"]).must(1, &words[..2]);
    let photo = photo_path(ENROLLED).display().to_string();
    board.run(&["enroll", "barack", &photo]).must(69, &words);
    assert!(!board.edges("front").iter().any(|edge| edge.energised));
}

fn engine_folder() -> std::path::PathBuf {
    crate::support::folder("FACEGATE_MODELS_DIR", "models").join("starter")
}

#[test]
fn a_pack_that_is_not_there_is_refused_with_what_to_do() {
    let mut board = board();
    board.set("models.pack", "nobodys");
    board.run(&["run"]).must(69, &["there is no pack 'nobodys'", "help:", "models.pack", "facegate models list"]);
    board.set("models.dir", "nowhere");
    board.run(&["models", "list"]).must(69, &["nowhere", "set models.dir"]);
}

// Cameras

#[test]
fn a_broken_still_among_good_ones_is_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = photo(GENUINE);
    fs::write(folder.path().join("a-broken.jpg"), &good[..good.len() / 3]).expect("a file");
    fs::write(folder.path().join("b-garbage.png"), b"this is no picture").expect("a file");
    fs::write(folder.path().join("c-good.jpg"), good).expect("a file");
    let board = Board::with_door(&[folder.path().to_owned()]);
    board.enrol("barack", ENROLLED);
    let daemon = board.start();
    board.decisions("front", 0, 2, granted);
    let log = daemon.stop();
    let skipped = log.iter().filter(|line| line.contains("b-garbage.png") && line.contains("skipped")).count();
    assert_eq!(skipped, 1, "told once, however often its turn comes:\n{}", log.join("\n"));
}

#[test]
fn a_camera_that_is_not_there_is_told_and_waited_for_without_spinning() {
    let mut board = board();
    let device = board.path("no-camera").display().to_string();
    board.set("door.0.camera", toml::toml! { source = "v4l" });
    board.set("door.0.camera.device", device.as_str());
    let daemon = board.start();
    let told = daemon.logged(0, "no-camera");
    assert_eq!(told["level"], "WARN");
    assert!(told["fields"]["help"].as_str().is_some_and(|help| help.contains("camera")), "{told}");
    let reply = daemon.call("GET", "/readyz", None, None);
    assert_eq!((reply.status, reply.code()), (503, "not_ready"));
    // Tried again ever more rarely: after a quarter of a second, a half, a whole one.
    let begun = Instant::now();
    eventually("a third attempt", || (about(&daemon.log(), "no-camera") >= 3).then_some(()));
    std::thread::sleep(Duration::from_secs(2).saturating_sub(begun.elapsed()));
    let lines = about(&daemon.log(), "no-camera");
    assert!(lines <= 3 + begun.elapsed().as_secs() as usize, "{lines} lines:\n{}", daemon.log().join("\n"));
    assert_eq!(daemon.call("GET", "/healthz", None, None).status, 200);
    board.enrol("barack", ENROLLED);
    board.run(&["check"]).must(1, &["no-camera", "camera"]);
    daemon.stop();
}

fn about(log: &[String], word: &str) -> usize {
    log.iter().filter(|line| line.contains(word)).count()
}

#[test]
fn dark_tiny_and_upright_cameras_are_cameras() {
    let mut board = Board::new();
    let black = board.path("black.png");
    pictures::save(&RgbImage::new(640, 480), &black);
    board.add_door("dark", "main", &[black, photo_path(GENUINE)]);
    board.add_door("tiny", "main", &[photo_path(GENUINE)]);
    board.add_door("upright", "main", &[photo_path(GENUINE)]);
    for (door, width, height) in [(1, 64, 64), (2, 480, 640)] {
        board.set(&format!("door.{door}.camera.width"), width);
        board.set(&format!("door.{door}.camera.height"), height);
    }
    board.enrol("barack", ENROLLED);
    let daemon = board.start();
    daemon.ready();
    board.decisions("upright", 0, 1, granted);
    // The second time, the black picture has been seen through.
    board.decisions("dark", 0, 2, granted);
    let log = daemon.stop();
    assert!(!board.edges("tiny").iter().any(|edge| edge.energised), "a face of some pixels is nobody's");
    assert_eq!(about(&log, "a frame was lost"), 0, "{}", log.join("\n"));
}

#[test]
fn twenty_faces_in_a_frame_do_not_keep_the_enrolled_person_out() {
    let engine = engine();
    let mut session = engine.session().expect("a session");
    let mut face = |name: &str| {
        let photo = pictures::open(name);
        let area = session.detect(&photo).expect("it can be searched")[0].area;
        let edge = area.width.max(area.height) * 1.6;
        let (x, y) = (area.left + area.width / 2.0 - edge / 2.0, area.top + area.height / 2.0 - edge / 2.0);
        crop_imm(&photo, x.max(0.0) as u32, y.max(0.0) as u32, edge as u32, edge as u32).to_image()
    };
    let (genuine, stranger) = (face(GENUINE), face(STRANGER));
    let crowd: Vec<_> =
        (0..24).map(|at| if at % 2 == 0 { stranger.clone() } else { flip_horizontal(&stranger) }).collect();
    let mut crowd = pictures::grid(&crowd, 6, (200, 200));
    // In front of four of them.
    let front = pictures::grid(&[genuine], 1, (400, 400));
    image::imageops::replace(&mut crowd, &front, 400, 200);
    let seen = session.detect(&crowd).expect("it can be searched").len();
    assert!(seen >= 15, "a crowd, as the daemon sees it: {seen}");

    let mut board = Board::new();
    let still = board.path("crowd.png");
    pictures::save(&crowd, &still);
    board.add_door("front", "main", &[still]);
    board.set("door.0.camera.width", 1200);
    board.set("door.0.camera.height", 800);
    board.enrol("barack", ENROLLED);
    let daemon = board.start();
    let decisions = board.decisions("front", 0, 2, granted);
    assert!(decisions.iter().all(|decision| decision["subject"] == "barack"), "{decisions:?}");
    let log = daemon.stop();
    assert_eq!(about(&log, "a frame was lost"), 0, "{}", log.join("\n"));
    assert!(board.edges("front").iter().filter(|edge| edge.energised).count() >= 2);
}

// Locks

#[test]
fn a_lock_that_is_not_there_ends_run_with_what_to_do() {
    let mut board = board();
    board.set("door.0.lock", toml::toml! { kind = "gpiochip" chip = "no-such-chip" line = "GPIO17" });
    board.run(&["run"]).must(69, &["door 'front'", "no GPIO chip `no-such-chip`", "help:"]);
    board.run(&["check"]).must(1, &["no GPIO chip `no-such-chip`"]);
    assert!(!board.path("journal").exists(), "nothing was begun");
}

// The store

/// Makes the gallery's list of tenants unreadable behind the daemon's back, or readable again.
fn damage(board: &Board, damaged: bool) {
    let mut options = heed::EnvOpenOptions::new();
    options.map_size(1 << 30).max_dbs(32);
    // SAFETY: this process has it open once, and changes it by LMDB alone.
    #[allow(unsafe_code)]
    let env = unsafe { options.open(board.path("gallery")) }.expect("the gallery");
    let opened =
        env.create_databases_and_commit(env.write_txn().expect("a transaction"), |opener, txn| -> heed::Result<_> {
            let mut table = |name| opener.create_database::<Bytes, Bytes>(txn, Some(name));
            Ok(CommitOrAbort::<_, ()>::Commit([table("tenants")?, table("log")?]))
        });
    let [tenants, log] = opened.expect("they are there").unwrap_commit();
    let mut txn = env.write_txn().expect("a transaction");
    match damaged {
        true => tenants.put(&mut txn, b"damaged", b"no row").expect("it can be written"),
        false => drop(tenants.delete(&mut txn, b"damaged").expect("it can be deleted")),
    }
    // The keys changed: whoever follows looks.
    let newest =
        log.last(&txn).expect("it can be read").map_or(0, |(key, _)| u64::from_be_bytes(key.try_into().expect("8")));
    let change = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    log.put(&mut txn, &(newest + 1).to_be_bytes(), &change).expect("it can be written");
    txn.commit().expect("it is stored");
    env.prepare_for_closing().wait();
}

#[test]
fn a_gallery_that_cannot_be_followed_is_told_once_and_the_door_goes_on_with_whom_it_knows() {
    let board = board();
    board.enrol("barack", ENROLLED);
    let daemon = board.start();
    daemon.ready();
    let readyz = || daemon.call("GET", "/readyz", None, None);
    damage(&board, true);
    let refused = eventually("it is not ready", || Some(readyz()).filter(|reply| reply.status == 503));
    assert_eq!(refused.code(), "not_ready");
    let seen = board.journal().len();
    board.decisions("front", seen, 1, granted);
    let told = about(&daemon.log(), "the store's changes cannot be taken in");
    assert_eq!(told, 1, "not at each of the looks, four a second:\n{}", daemon.log().join("\n"));

    damage(&board, false);
    daemon.ready();
    daemon.logged(0, "taken in again");
    daemon.stop();
}

#[test]
fn a_store_that_cannot_be_used_is_refused_and_left_as_it_is() {
    let board = board();
    board.enrol("barack", ENROLLED);
    let key = board.path("gallery/master.key");
    let mode = |mode: u32| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("a mode can be set");
    mode(0o640);
    board.run(&["run"]).must(74, &["master.key can be read by others", "chmod 600"]);
    mode(0o600);
    board.run(&["list"]).must(0, &["barack"]);

    let data = board.path("gallery/data.mdb");
    let good = fs::read(&data).expect("the store");
    let garbage: Vec<u8> = (0..64 * 1024u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(&data, &garbage).expect("it can be written");
    board.run(&["run"]).must(74, &["data.mdb", "help:", "backup"]);
    board.run(&["check"]).must(1, &["store", "backup"]);
    assert_eq!(fs::read(&data).expect("it is there"), garbage, "what may be evidence stays");
    fs::write(&data, good).expect("it can be written");
    board.run(&["list"]).must(0, &["barack"]);
}

#[test]
fn a_store_of_somebody_else_is_refused() {
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may read everything");
        return;
    }
    let board = board();
    board.enrol("barack", ENROLLED);
    let mode = |mode: u32| {
        fs::set_permissions(board.path("gallery"), fs::Permissions::from_mode(mode)).expect("a mode can be set");
    };
    mode(0o000);
    let refused = board.run(&["run"]);
    mode(0o700);
    refused.must(74, &["gallery", "help:"]);
}

#[test]
fn a_full_store_takes_nothing_more_until_something_is_deleted() {
    let mut board = board();
    board.set("gallery.max_mb", 1);
    board.set("gallery.max_metadata_bytes", 60_000);
    let mut daemon = board.start();
    let added = board.run(&["keys", "add", "main", "--json"]).must(0, &[]).json().remove(0);
    let key = added["key"].as_str().expect("a key");
    let padding = format!("{{\"padding\": \"{}\"}}", "x".repeat(50_000));
    let enrol = |daemon: &crate::support::daemon::Daemon, subject: &str| {
        let form = Form::new().text("subject_id", subject).text("metadata", &padding).image(&photo(ENROLLED));
        daemon.call("POST", "/v1/face-matching/enroll", Some(key), Some(&form))
    };
    let mut stored = 0;
    let full = loop {
        let reply = enrol(&daemon, &format!("subject-{stored}"));
        if reply.status != 200 {
            break reply;
        }
        stored += 1;
        assert!(stored < 100, "more than a MiB was stored");
    };
    assert_eq!((full.status, full.code()), (507, "storage_full"), "{:?}", full.body);
    assert!(stored > 5, "{stored} fitted into one MiB");
    let photo = photo_path(ENROLLED).display().to_string();
    let metadata = padding.as_str();
    board.run(&["enroll", "one-more", &photo, "--metadata", metadata]).must(74, &["full", "delete enrolments"]);

    assert!(daemon.runs());
    board.decisions("front", 0, 1, |_| true);
    let listed = board.run(&["list"]).must(0, &[]);
    assert_eq!(listed.out.lines().count(), stored, "nothing was lost, and nothing half stored:\n{}", listed.out);
    for subject in ["subject-0", "subject-1", "subject-2"] {
        board.run(&["delete", "--subject", subject]).must(0, &["deleted 1"]);
    }
    let reply = enrol(&daemon, "one-more");
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    board.run(&["check"]).must(0, &["store and index agree"]);
    daemon.stop();
}

// One machine, two daemons

#[test]
fn a_second_daemon_on_the_same_data_is_refused_and_the_first_goes_on() {
    let board = board();
    board.enrol("barack", ENROLLED);
    let mut first = board.start();
    first.ready();
    board.run(&["run"]).must(74, &["journal.ndjson is in use by another process", "stop the other one"]);
    assert!(first.runs());
    board.run(&["check"]).must(0, &["door 'front', lock: not looked at: a running facegate has it"]);
    board.decisions("front", board.journal().len(), 1, granted);
    first.stop();
    board.run(&["journal", "verify"]).must(0, &["unbroken"]);
    // The second one did not so much as claim the lock: that would have written a level down.
    let levels: Vec<_> = board.edges("front").iter().map(|edge| edge.energised).collect();
    assert!(levels.windows(2).all(|pair| pair[0] != pair[1]), "{levels:?}");
}

#[test]
fn a_port_that_is_taken_ends_run_with_the_relay_at_rest() {
    let mut board = board();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    board.set("api.listen", taken.local_addr().expect("an address").to_string());
    board.run(&["run"]).must(74, &["the API cannot listen on", "Choose another address"]);
    assert!(board.edges("front").iter().all(|edge| !edge.energised) && !board.edges("front").is_empty());
    board.run(&["journal", "verify"]).must(0, &["unbroken"]);
    let events: Vec<_> = board.journal().iter().map(|entry| entry["event"].clone()).collect();
    assert_eq!((&events[0], events.last()), (&"started".into(), Some(&"stopped".into())), "what began has ended");
    drop(taken);
}

#[test]
fn the_door_works_without_the_api() {
    let mut board = board();
    board.set("api.listen", "off");
    board.enrol("barack", ENROLLED);
    let daemon = board.start();
    assert_eq!(daemon.api, None);
    board.decisions("front", 0, 1, granted);
    daemon.stop();
}

// The configuration

#[test]
fn a_misspelt_key_is_refused_with_its_line_and_the_near_miss() {
    for (key, meant) in [
        ("gallery.max_mbs", "max_mb"),
        ("door.0.pulse_msec", "pulse_ms"),
        ("door.0.access.treshold", "threshold"),
        ("door.0.camera.hold_frame", "hold_frames"),
        ("door.0.lock.edge", "edges"),
        ("door.0.controller.relok", "relock"),
        ("door.0.controller.turnstile.gap", "gap_ms"),
        ("door.0.inputs.contakt", "contact"),
        ("door.0.outputs.buzer", "buzzer"),
        ("api.recognition.quality.sharpnes", "sharpness"),
        ("galery.max_mb", "gallery"),
    ] {
        let mut board = board();
        board.set(key, 1);
        let said = format!("did you mean '{meant}'?");
        board.run(&["run"]).must(78, &["facegate.toml:", said.as_str()]);
        assert!(board.edges("front").is_empty(), "the lock was touched");
    }
}

#[test]
fn every_value_out_of_its_range_is_refused_by_name_and_range() {
    let v4l = toml::toml! { source = "v4l" width = 159 };
    let rex = toml::toml! { kind = "simulated" level = "rex" debounce_ms = 5001 };
    let group = toml::toml! { name = "lobby" doors = ["front", "back"] };
    let wrong: &[(&str, toml::Value, &[&str])] = &[
        ("gallery.max_mb", 0.into(), &["max_mb", "1 to 65536"]),
        ("gallery.max_mb", 65_537.into(), &["max_mb", "1 to 65536"]),
        ("gallery.keep_active", 0.into(), &["keep_active", "1 to 100"]),
        ("gallery.keep_active", (-1).into(), &["facegate.toml:"]),
        ("gallery.max_metadata_bytes", 1.into(), &["max_metadata_bytes", "2 to 65536"]),
        ("api.listen", "8080".into(), &["no address"]),
        ("api.max_body_bytes", 1.into(), &["api.max_body_bytes", "65536 to 268435456"]),
        ("api.max_body_bytes", 65_536.into(), &["api.max_body_bytes", "max_image_bytes"]),
        ("api.max_fields", 7.into(), &["api.max_fields", "8 to 1000"]),
        ("api.max_field_bytes", 1.into(), &["api.max_field_bytes", "1024 to 1048576"]),
        ("api.max_connections", 0.into(), &["api.max_connections", "1 to 10000"]),
        ("api.max_uploads", 0.into(), &["api.max_uploads", "1 to 1000"]),
        ("api.header_timeout_s", 301.into(), &["api.header_timeout_s", "1 to 300"]),
        ("api.request_timeout_s", 0.into(), &["api.request_timeout_s", "1 to 300"]),
        ("api.max_connection_age_s", 86_401.into(), &["api.max_connection_age_s", "1 to 86400"]),
        ("api.limits.reads.burst", 1.into(), &["facegate.toml:", "per_s"]),
        (
            "api.limits.changes",
            toml::toml! { per_s = 1 burst = 0 }.into(),
            &["api.limits.changes.burst", "1 to 100000"],
        ),
        ("api.limits.failed_keys_per_minute", 10_001.into(), &["failed_keys_per_minute", "0 to 10000"]),
        ("api.recognition.workers", 0.into(), &["api.recognition.workers", "1 to 64"]),
        ("api.recognition.queue", 1_001.into(), &["api.recognition.queue", "1 to 1000"]),
        ("api.recognition.max_image_bytes", 1.into(), &["api.recognition.max_image_bytes", "1024 to 268435456"]),
        ("api.recognition.max_image_pixels", 1.into(), &["api.recognition.max_image_pixels", "10000 to 200000000"]),
        ("api.recognition.quality.sharpness", 1.5.into(), &["quality.sharpness", "0 to 1"]),
        ("door.0.name", "".into(), &["name", "1 to 64"]),
        ("door.0.tenant", "No Such".into(), &["facegate.toml:"]),
        ("door.0.pulse_ms", 99.into(), &["door 'front'", "pulse_ms", "100 to 60000"]),
        ("door.0.pulse_ms", 60_001.into(), &["pulse_ms", "100 to 60000"]),
        ("door.0.fail", "open".into(), &["open", "secure"]),
        ("door.0.camera.rate_fps", 0.into(), &["camera.rate_fps", "0.1 to 120"]),
        ("door.0.camera.width", 63.into(), &["camera.width", "64 to 4096"]),
        ("door.0.camera.hold_frames", 0.into(), &["camera.hold_frames", "1 to 1000000"]),
        ("door.0.camera.source", "lens".into(), &["lens"]),
        ("door.0.camera", v4l.into(), &["camera.width", "160 to 4096"]),
        ("door.0.lock.kind", "magic".into(), &["magic"]),
        ("door.0.passage", "in".into(), &["in", "entry"]),
        ("door.0.pulse_ms", 0.into(), &["door.pulse_ms is 0", "100 to 60000"]),
        ("door.0.controller.extended_pulse_ms", 99.into(), &["controller.extended_pulse_ms", "100 to 120000"]),
        ("door.0.controller.held_open_warning_s", 30.into(), &["held_open_warning_s is 30", "after 30 s"]),
        ("door.0.controller.turnstile.queue", 5.into(), &["turnstile.queue is 5", "0 to 4"]),
        ("door.0.inputs.rex", rex.into(), &["inputs.rex.debounce_ms is 5001", "0 to 5000"]),
        ("door.0.outputs.exit_lock.kind", "simulated".into(), &["exit_lock", "turnstile"]),
        ("interlock", vec![toml::Value::from(group)].into(), &["'lobby' names the door 'back', which there is not"]),
        ("door.0.access.threshold", 0.0.into(), &["threshold", "above 0 and at most 1"]),
        ("door.0.access.threshold", f64::NAN.into(), &["threshold", "above 0 and at most 1"]),
        ("door.0.access.margin", 0.6.into(), &["margin", "0 to 0.5"]),
        ("door.0.access.votes", 4.into(), &["votes", "1 to 3"]),
        ("door.0.access.window", 31.into(), &["window", "1 to 30"]),
        ("door.0.access.vote_age_ms", 99.into(), &["vote_age_ms", "100 to 60000"]),
        ("door.0.access.cooldown_ms", 3_600_001.into(), &["cooldown_ms", "0 to 3600000"]),
        ("door.0.access.deny_interval_ms", 999.into(), &["deny_interval_ms", "1000 to 3600000"]),
        ("door.0.quality.eye_distance_px", 3.0.into(), &["eye_distance_px", "4 to 500"]),
        ("door.0.quality.yaw", f64::NAN.into(), &["yaw", "0 to 1"]),
        ("door.0.quality.darkest", 240.0.into(), &["darkest", "below"]),
        ("door.0.motion.gate", "yes".into(), &["facegate.toml:", "boolean"]),
    ];
    for (key, value, words) in wrong {
        let mut board = board();
        board.set(key, value.clone());
        let refused = board.run(&["config", "show"]);
        assert_eq!(refused.code, Some(78), "{key} = {value}: {}", refused.said());
        refused.must(78, words);
    }
    // The same without a fault is taken.
    let mut board = board();
    board.set("door.0.pulse_ms", 100);
    board.run(&["config", "show"]).must(0, &["pulse_ms = 100"]);
}

#[test]
fn the_environment_overrides_the_file() {
    let board = board();
    let with = |name: &str, value: &str| {
        let mut command = board.command(&["config", "show"]);
        command.env(name, value);
        crate::support::daemon::finish(command)
    };
    with("FACEGATE__DOOR__0__PULSE_MS", "1234").must(0, &["pulse_ms = 1234"]);
    with("FACEGATE__MODELS__PACK", "door").must(0, &["pack = \"door\""]);
    with("FACEGATE__DOOR__0__PULSE_MS", "1").must(78, &["pulse_ms", "100 to 60000"]);
    with("FACEGATE__DOOR__1__PULSE_MS", "1000").must(78, &["FACEGATE__DOOR__1__PULSE_MS"]);
    with("FACEGATE__MODELS__PAKC", "door").must(78, &["FACEGATE__MODELS__PAKC", "did you mean 'pack'?"]);
}

#[test]
fn limits_of_enrolment_that_are_not_named_stay_at_their_own_defaults() {
    let mut board = board();
    board.set("api.recognition.quality.sharpness", 0.5);
    let shown = board.run(&["config", "show", "--json"]).must(0, &[]).json().remove(0);
    let limits = &shown["api"]["recognition"]["quality"];
    assert_eq!(limits["sharpness"], 0.5);
    assert_eq!(limits["eye_distance_px"], 28.0, "stricter than at the door: {limits}");
    assert_eq!(shown["door"][0]["quality"]["eye_distance_px"], 20.0);
}

#[test]
fn no_configuration_is_refused_with_how_to_get_one() {
    let board = board();
    fs::remove_file(board.path("facegate.toml")).expect("it was written");
    board.run(&["run"]).must(78, &["facegate.toml", "facegate config example"]);
}

#[test]
fn stopping_while_the_camera_cannot_be_opened_is_as_quick() {
    let mut board = board();
    board.set("door.0.camera.stills", "nowhere.jpg");
    let mut daemon = board.start();
    daemon.logged(0, "nowhere.jpg");
    let asked = Instant::now();
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.wait();
    assert_eq!(status.code(), Some(0), "{}", log.join("\n"));
    assert!(asked.elapsed() < Duration::from_millis(1_500), "{:?}: {}", asked.elapsed(), log.join("\n"));
}

#[test]
fn a_log_that_nobody_reads_stops_neither_the_door_nor_its_end() {
    let board = Board::with_door(&[photo_path("obama2.jpg")]);
    board.enrol("barack", "obama.jpg");
    let (unread, full) = std::io::pipe().expect("a pipe");
    let mut filler = full.try_clone().expect("a second end");
    // Writes until the pipe is full, and then waits there for as long as the test lasts.
    thread::spawn(move || while filler.write_all(&[b'.'; 4096]).is_ok() {});
    thread::sleep(Duration::from_millis(200));

    let mut child =
        board.command(&["run", "--json", "--log", "trace"]).stderr(full).spawn().expect("the program starts");
    board.decisions("front", 0, 1, granted);
    board.edge("front", 0, |edge| edge.energised);
    let asked = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let status = eventually("the daemon's end", || child.try_wait().expect("it can be waited for"));
    assert!(asked.elapsed() < Duration::from_secs(1), "it ended after {:?}", asked.elapsed());
    assert_eq!(status.code(), Some(0));
    assert!(!board.edges("front").last().expect("edges").energised, "at rest");
    drop(unread);
}
