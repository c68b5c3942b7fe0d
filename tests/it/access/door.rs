//! The rules at a real door of a real daemon.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    daemon::{Board, Edge, eventually},
    photo_path,
};

const ENROLLED: &str = "obama.jpg";
const GENUINE: &str = "obama2.jpg";

fn energised(edge: &Edge) -> bool {
    edge.energised
}

/// One door, whose camera shows somebody who is enrolled.
fn board() -> Board {
    let board = Board::with_door(&[photo_path(GENUINE)]);
    board.enrol("barack", ENROLLED);
    board
}

fn import(board: &Board, rules: &Value) {
    board.write("rules.json", rules.to_string());
    board.run(&["access", "import", "rules.json"]).must(0, &[]);
}

fn rules(schedule: &Value, area: &str) -> Value {
    json!({
        "schedules": [{"name": "hours", "zone": "UTC", "week": schedule}],
        "areas": [{"name": "hall", "anti_passback": area}],
        "doors": [{"name": "front", "inside": "hall"}],
        "groups": [{"name": "staff", "access": [{"doors": ["front"], "schedule": "hours"}]}],
        "subjects": [{"id": "barack", "groups": ["staff"]}],
    })
}

const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn always() -> Value {
    json!([{"days": WEEK, "from": "00:00", "to": "24:00"}])
}

#[test]
fn outside_the_schedule_the_door_stays_shut_and_the_journal_says_why() {
    let board = board();
    import(&board, &rules(&json!([]), "off"));
    let daemon = board.start();
    let denied = board.decisions("front", 0, 2, |decision| decision["subject"] == "barack");
    for decision in &denied {
        assert_eq!(
            (&decision["outcome"], &decision["reason"]),
            (&"denied".into(), &"outside_hours".into()),
            "{decision}"
        );
        assert!(decision["similarity"].as_f64() >= Some(0.6), "it is the rules, not the face: {decision}");
    }
    assert!(!board.edges("front").iter().any(energised), "it opened outside the schedule");

    // The running daemon follows the command line, both ways.
    let seen = board.journal().len();
    board
        .run(&["access", "set", "schedule", "hours", &json!({"zone": "UTC", "week": always()}).to_string()])
        .must(0, &[]);
    board.decisions("front", seen, 1, |decision| decision["outcome"] == "granted");
    board.edge("front", 0, energised);
    board.run(&["access", "set", "subject", "barack", r#"{"groups": ["staff"], "active": false}"#]).must(0, &[]);
    let seen = board.journal().len();
    // One may have been under way.
    let late = board.decisions("front", seen, 3, |_| true);
    assert_eq!(late[2]["reason"], "subject_inactive", "{late:?}");
    board.run(&["access", "clear", "--yes"]).must(0, &[]);
    let seen = board.journal().len();
    board.decisions("front", seen, 1, |decision| decision["outcome"] == "granted");
    daemon.stop();
    board.run(&["journal", "tail"]).must(0, &["outside_hours", "subject_inactive"]);
    board.run(&["journal", "verify"]).must(0, &["unbroken"]);
}

#[test]
fn whoever_is_inside_stays_out_also_after_a_kill_until_forgiven() {
    let board = board();
    import(&board, &rules(&always(), "hard"));
    let mut daemon = board.start();
    board.decisions("front", 0, 1, |decision| decision["outcome"] == "granted");
    let opened = board.edges("front").iter().filter(|edge| edge.energised).count();
    let second = board.decisions("front", 0, 1, |decision| decision["reason"] == "already_inside");
    assert_eq!(second[0]["outcome"], "denied");
    // It was noted in memory; a moment later it is stored, and survives whatever comes.
    let line = eventually("it is stored", || {
        board.run(&["access", "presence", "--json"]).must(0, &[]).json().into_iter().next()
    });
    assert_eq!((&line["subject"], &line["place"]["area"]), (&"barack".into(), &"hall".into()));
    daemon.signal(rustix::process::Signal::KILL);
    daemon.wait();
    board.run(&["access", "explain", "barack", "--door", "front"]).must(1, &["is inside already"]);
    board.run(&["access", "explain", "barack", "--door", "front", "--passage", "exit"]).must(0, &["would be let in"]);

    let seen = board.journal().len();
    let daemon = board.start();
    let denied = board.decisions("front", seen, 2, |_| true);
    assert!(denied.iter().all(|decision| decision["reason"] == "already_inside"), "{denied:?}");
    let seen = board.journal().len();
    board.run(&["access", "forgive", "barack"]).must(0, &["forgiven: 1"]);
    board.decisions("front", seen, 1, |decision| decision["outcome"] == "granted");
    daemon.stop();
    assert_eq!(opened, 1);
    board.run(&["access", "presence", "--area", "hall"]).must(0, &["barack"]);
    board.run(&["check"]).must(0, &[]);
}

#[test]
fn soft_anti_passback_opens_and_flags_and_an_exit_camera_lets_out() {
    let mut board = board();
    import(&board, &rules(&always(), "soft"));
    let daemon = board.start();
    let second = board.decisions("front", 0, 2, |decision| decision["outcome"] == "granted");
    assert!(second[0]["flag"].is_null(), "{}", second[0]);
    assert_eq!(second[1]["flag"], "already_inside", "{}", second[1]);
    daemon.stop();
    board.set("door.0.passage", "exit");
    import(&board, &rules(&always(), "hard"));
    let seen = board.journal().len();
    let daemon = board.start();
    board.decisions("front", seen, 1, |decision| decision["outcome"] == "granted");
    std::thread::sleep(Duration::from_millis(500));
    let place = eventually("they are noted outside", || {
        let line = board.run(&["access", "presence", "--json"]).must(0, &[]).json().into_iter().next()?;
        (line["place"] == "outside").then_some(line)
    });
    assert_eq!(place["subject"], "barack");
    daemon.stop();
}

#[test]
fn office_hours_open_the_door_and_end_with_their_rules() {
    let board = Board::with_door(&[photo_path("biden.jpg")]);
    let mut rules = rules(&always(), "off");
    rules["doors"][0]["free_access"] = "hours".into();
    let daemon = board.start();
    board.decisions("front", 0, 1, |decision| decision["outcome"] == "denied");
    assert!(!board.edges("front").iter().any(energised), "nobody is enrolled and there are no hours");
    import(&board, &rules);
    board.edge("front", 0, energised);
    eventually("free access in the journal", || {
        board.journal().into_iter().find(|entry| entry["happening"] == "free_access_began")
    });
    let seen = board.edges("front").len();
    board.run(&["access", "clear", "--yes"]).must(0, &[]);
    board.edge("front", seen, |edge| !edge.energised);
    daemon.stop();

    // A door whose daemon starts within its hours is open from the start.
    import(&board, &rules);
    let seen = board.edges("front").len();
    let daemon = board.start();
    board.edge("front", seen, energised);
    daemon.stop();
    assert!(!board.edges("front").last().expect("edges").energised, "at rest after the end");
}

#[test]
fn an_airlock_of_the_rules_holds_the_second_door_shut_while_the_first_is_open() {
    let mut board = board();
    board.add_door("inner", "main", &[photo_path(GENUINE)]);
    let mut rules = rules(&always(), "off");
    rules["schedules"].as_array_mut().expect("a list").push(json!({"name": "never", "zone": "UTC"}));
    rules["doors"] = json!([{"name": "front", "free_access": "hours"}, {"name": "inner"}]);
    rules["groups"] = json!([{"name": "staff", "access": [{"doors": ["inner"]}]}]);
    rules["interlocks"] = json!([{"name": "lobby", "doors": ["front", "inner"]}]);
    import(&board, &rules);
    let daemon = board.start();
    // The front door stands open for everybody, so the inner one stays shut for her who may pass it.
    board.edge("front", 0, energised);
    let refused = eventually("the inner door's refusal", || {
        board.journal().into_iter().find(|entry| entry["door"] == "inner" && entry["happening"] == "refused")
    });
    assert_eq!((&refused["why"], &refused["subject"]), (&"interlock".into(), &"barack".into()), "{refused}");
    assert!(!board.edges("inner").iter().any(energised), "both doors of an airlock were open");

    // The running doors follow the rules.
    rules["doors"][0]["free_access"] = "never".into();
    import(&board, &rules);
    board.edge("inner", 0, energised);
    daemon.stop();
}
