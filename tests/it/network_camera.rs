//! Cameras of the network: the whole daemon with one, and what is said of those that are of no use.

use std::{fs::Permissions, net::TcpListener, os::unix::fs::PermissionsExt, sync::Arc};

use crate::support::{
    daemon::Board,
    photo_path,
    rtsp::{Mood, NetworkCamera, film},
};

/// A board whose door has a camera at that address.
fn board(url: &str) -> Board {
    let mut board = Board::with_door(&[]);
    board.set("door.0.camera", toml::toml! { source = "rtsp" stall_ms = 1500 });
    board.set("door.0.camera.url", url);
    board
}

fn password(board: &mut Board, words: &str) {
    let file = board.write("password", format!("{words}\n"));
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
    board.set("door.0.camera.user", "door");
    board.set("door.0.camera.password_file", "password");
}

fn granted(board: &Board, beyond: usize) {
    board.decisions("front", beyond, 1, |decision| decision["outcome"] == "granted");
}

#[test]
fn a_camera_of_the_network_opens_the_door_and_is_taken_again_when_it_comes_back() {
    let film = film(&[photo_path("obama2.jpg"), photo_path("biden.jpg")]);
    let camera = NetworkCamera::start(&film, Mood::Asks("door", "geheim"));
    let address = camera.address;
    let mut board = board(&camera.url());
    password(&mut board, "geheim");
    board.enrol("barack", "obama.jpg");
    board.run(&["check"]).must(0, &["door 'front', camera", "H.264", "640×480"]);

    let daemon = board.start();
    let edge = board.edge("front", 0, |edge| edge.energised);
    assert!(edge.energised);
    let seen = board.decisions("front", 0, 3, |_| true);
    let of = |reason: &str| seen.iter().filter(|decision| decision["reason"] == reason).count();
    assert!(of("agreed") >= 1 && of("below_threshold") >= 1, "{seen:?}");

    drop(camera);
    let gone = daemon.logged(0, "refuses the connection");
    assert!(gone["fields"]["help"].as_str().is_some_and(|help| help.contains("RTSP")), "{gone}");
    let (entries, lines) = (board.journal().len(), daemon.log().len());
    let _camera = NetworkCamera::start_at(address, &film, Mood::Asks("door", "geheim"));
    daemon.logged(lines, "camera opened");
    granted(&board, entries);
    let log = daemon.log().join("\n");
    assert!(!log.contains("geheim") && !log.contains("/second"), "a secret is in the log:\n{log}");
    daemon.stop();
}

#[test]
fn what_is_wrong_with_a_camera_of_the_network_is_said_with_the_cure() {
    let film = film(&[photo_path("biden.jpg")]);
    let look = |board: &Board, words: &[&str]| {
        let said = board.run(&["check"]).must(1, words).said();
        assert!(!said.contains("/second") && !said.contains("geheim"), "{said}");
    };
    let bad = |mood: Mood, words: &[&str]| {
        let camera = NetworkCamera::start(&film, mood);
        look(&board(&camera.url()), words);
    };
    bad(Mood::NoSuchStream, &["FAIL", "no such stream", "camera.url"]);
    bad(Mood::Hevc, &["FAIL", "no H.264 video", "video/h265", "second stream to H.264"]);
    bad(Mood::Http, &["FAIL", "rtsp://127.0.0.1:"]);
    bad(Mood::Asks("door", "geheim"), &["FAIL", "wants a user and a password", "password_file"]);

    let camera = NetworkCamera::start(&film, Mood::Asks("door", "geheim"));
    let mut wrong = board(&camera.url());
    password(&mut wrong, "other");
    look(&wrong, &["FAIL", "refuses the user or the password"]);

    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    look(&board(&format!("rtsp://{port}/second")), &["FAIL", "refuses the connection", "which port"]);
}

#[test]
fn a_camera_that_says_nothing_is_given_up_in_time() {
    let film = Arc::new(Vec::new());
    let said = std::thread::scope(|scope| {
        let ask = |mood: Mood| {
            let camera = NetworkCamera::start(&film, mood);
            board(&camera.url()).run(&["check"]).must(1, &["FAIL"]).said()
        };
        let frozen = scope.spawn(move || ask(Mood::Frozen));
        (ask(Mood::Mute), frozen.join().expect("it was asked"))
    });
    assert!(said.0.contains("does not answer in time") && said.0.contains("IPAddressAllow"), "{}", said.0);
    assert!(said.1.contains("gave no frame in time"), "{}", said.1);
}

#[test]
fn noise_from_the_network_ends_the_session_and_not_the_door() {
    let film = film(&[photo_path("obama2.jpg")]);
    let camera = NetworkCamera::start(&film, Mood::Noise(40));
    let board = board(&camera.url());
    board.enrol("barack", "obama.jpg");
    let daemon = board.start();
    // More than one session's worth.
    let told = daemon.logged(0, "framing error");
    assert!(!told.to_string().contains("5a 5a"), "what came is not for the log: {told}");
    granted(&board, 0);
    let again = board.journal().len();
    granted(&board, again);
    daemon.stop();
}
