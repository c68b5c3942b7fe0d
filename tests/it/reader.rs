//! A door that is the reader of a panel: whom it knows is sent over two wires as a card, and the panel has the relay.

use std::path::PathBuf;

use facegate_control::{Card, CardFormat, Frame};
use serde_json::json;

use crate::support::{
    daemon::{Board, Edge, eventually},
    photo_path,
};

fn board(shown: &[PathBuf]) -> Board {
    let mut board = Board::with_door(shown);
    board.set("door.0.lock", toml::toml! { kind = "none" });
    let wires = toml::toml! {
        bits = 34
        interval_us = 500
        d0 = { kind = "simulated", edges = "edges-d0" }
        d1 = { kind = "simulated", edges = "edges-d1" }
    };
    board.set("door.0.wiegand", wires);
    board.enrol("barack", "obama.jpg");
    board
}

/// Rules by which that subject may pass, with or without a card.
fn rules(board: &Board, card: Option<Card>) {
    let rules = json!({
        "doors": [{ "name": "front" }],
        "groups": [{ "name": "staff", "access": [{ "doors": ["front"] }] }],
        "subjects": [{ "id": "barack", "groups": ["staff"], "card": card }],
    });
    board.write("rules.json", rules.to_string());
    board.run(&["access", "import", "rules.json", "--tenant", "main"]).must(0, &[]);
}

/// What a panel makes of the first `count` bits on the wires.
fn bits(board: &Board, count: usize) -> Option<Vec<bool>> {
    let pulses = |wire: &str, bit| {
        let edges: Vec<Edge> = board.edges(wire);
        edges.into_iter().filter(|edge| edge.energised).map(move |edge| (edge.monotonic_us, bit))
    };
    let mut all: Vec<_> = pulses("d0", false).chain(pulses("d1", true)).collect();
    all.sort_unstable();
    (all.len() >= count).then(|| all.into_iter().take(count).map(|(_, bit)| bit).collect())
}

#[test]
fn whom_the_door_knows_is_sent_to_the_panel_as_their_card() {
    let card = Card { facility: 4_711, number: 1_234 };
    let board = board(&[photo_path("obama2.jpg")]);
    rules(&board, Some(card));
    board.run(&["check"]).must(0, &["a panel keeps the relay", "wiegand.d0", "wiegand.d1"]);
    board.run(&["access", "explain", "barack", "--door", "front"]).must(0, &["the panel is sent card 4711:1234"]);
    let daemon = board.start();
    let bits = eventually("a whole card on the wires", || bits(&board, 34));
    let frame = Frame { bits: bits.iter().fold(0, |all, &bit| all << 1 | u64::from(bit)), format: CardFormat::Bits34 };
    assert_eq!(frame.decode().expect("both parities are right"), card);
    let sent =
        eventually("the card in the journal", || board.journal().into_iter().find(|entry| entry["event"] == "card"));
    assert_eq!((&sent["sent"], &sent["subject"]), (&true.into(), &"barack".into()));
    assert!(!board.journal().iter().any(|entry| entry["event"] == "door_edge"), "there is no relay");

    // In lockdown whom the door knows is not sent.
    board.run(&["door", "lockdown", "front"]).must(0, &[]);
    let before = board.journal();
    let refused = |entry: &serde_json::Value| entry["happening"] == "refused" && entry["why"] == "lockdown";
    eventually("a refusal", || board.journal().into_iter().skip(before.len()).find(&refused));
    let cards = |entries: &[serde_json::Value]| entries.iter().filter(|entry| entry["event"] == "card").count();
    assert_eq!(cards(&board.journal()), cards(&before));
    daemon.stop();
    for wire in ["d0", "d1"] {
        assert!(!board.edges(wire).last().expect("edges").energised, "{wire} rests");
    }
}

#[test]
fn whoever_has_no_card_is_denied_and_the_reason_is_given_everywhere() {
    let board = board(&[photo_path("obama2.jpg")]);
    rules(&board, None);
    let daemon = board.start();
    let denied = board.decisions("front", 0, 1, |_| true).remove(0);
    assert_eq!((&denied["outcome"], &denied["reason"]), (&"denied".into(), &"no_card".into()));
    board
        .run(&["access", "explain", "barack", "--door", "front"])
        .must(1, &["would not be let in", "the subject has no card number to send to the panel"]);
    daemon.stop();
    assert_eq!(bits(&board, 1), None, "nothing went over the wires");
}

#[test]
fn after_kill_9_the_wires_are_put_at_rest() {
    let board = board(&[photo_path("biden.jpg")]);
    let mut daemon = board.start();
    daemon.signal(rustix::process::Signal::KILL);
    daemon.wait();
    eventually("both wires at rest by the guard", || {
        ["d0", "d1"].iter().all(|wire| board.edges(wire).len() >= 2).then_some(())
    });
    board.run(&["rest"]).must(0, &["simulated"]);
}
