//! What an enrolment is held against: who else is enrolled, the subject's other photographs, and whether somebody is alive.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use facegate::{
    access::PadPolicy,
    api,
    enrolment::{Action, Settings},
    gallery::Right,
    recognition,
};
use serde_json::json;

use super::{batch::send, images::encoded};
use crate::support::{
    Server,
    daemon::Board,
    http::{Form, Reply, call},
    photo, photo_path,
};

fn server(enrolment: Settings) -> Server {
    let recognition = recognition::Settings { enrolment, ..recognition::Settings::default() };
    Server::with(api::Settings { recognition, limits: api::Limits::off(), ..api::Settings::default() })
}

fn form(subject: &str, picture: &str) -> Form {
    Form::new().text("subject_id", subject).image(&photo(picture))
}

fn enrol(server: &Server, subject: &str, picture: &str) -> Reply {
    server.call("POST", "/enroll", Some(&form(subject, picture)))
}

/// As a key that has these rights and no others.
fn enrol_with(server: &Server, rights: &[Right], form: &Form) -> Reply {
    let key = server.gallery.add_key(&"acme".parse().expect("a name"), None, rights.iter().copied().collect());
    let bearer = format!("Bearer {}", key.expect("a key is added").secret);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", &Form::content_type())];
    call(server.address, "POST", "/v1/face-matching/enroll", &headers, Some(&form.bytes()))
}

fn count(server: &Server) -> u64 {
    server.call("GET", "/embeddings", None).body["count"].as_u64().expect("a number")
}

#[test]
fn who_is_enrolled_under_another_name_is_told_to_those_who_may_read_and_kept_from_others() {
    let server = server(Settings::default());
    assert_eq!(enrol(&server, "barack", "obama.jpg").body.get("warnings"), None, "nobody else is there");
    assert_eq!(enrol(&server, "joe", "biden.jpg").body.get("warnings"), None, "he is somebody else");
    assert_eq!(enrol(&server, "barack", "obama2.jpg").body.get("warnings"), None, "he may have several");
    let warned = enrol(&server, "barry", "obama2.jpg");
    let [warning] = &warned.body["warnings"].as_array().expect("warnings")[..] else { panic!("{:?}", warned.body) };
    assert_eq!(
        (warned.status, &warning["code"], &warning["subject_id"]),
        (200, &json!("duplicate_subject"), &json!("barack"))
    );
    assert!(warning["similarity"].as_f64() >= Some(0.65), "{warning}");

    let blind = enrol_with(&server, &[Right::Enrol], &form("bob", "obama.jpg"));
    let said = blind.body.to_string();
    assert!(blind.status == 200 && said.contains("duplicate_subject"), "{said}");
    assert!(!["barack", "barry", "similarity"].iter().any(|word| said.contains(word)), "{said}");
}

#[test]
fn a_duplicate_is_refused_where_that_is_asked_for_and_nobody_is_named() {
    let server = server(Settings { duplicates: Action::Refuse, ..Settings::default() });
    assert_eq!(enrol(&server, "barack", "obama.jpg").status, 200);
    let refused = enrol(&server, "barry", "obama2.jpg");
    assert_eq!((refused.status, refused.code()), (409, "duplicate_subject"), "{:?}", refused.body);
    assert!(!refused.body.to_string().contains("barack"), "{:?}", refused.body);
    assert_eq!(count(&server), 1);
    // Another tenant's people are nobody's business.
    let other = server.call_as(1, "POST", "/enroll", Some(&form("barry", "obama2.jpg")));
    assert_eq!((other.status, other.body.get("warnings")), (200, None), "{:?}", other.body);
    // Once he is gone he is no duplicate any more.
    assert_eq!(server.call("DELETE", "/embeddings?subject_id=barack", None).status, 200);
    assert_eq!(enrol(&server, "barry", "obama2.jpg").status, 200);
}

#[test]
fn of_two_at_once_only_one_is_enrolled() {
    let server = server(Settings { duplicates: Action::Refuse, ..Settings::default() });
    let mut statuses = std::thread::scope(|scope| {
        let calls = ["barack", "barry"].map(|subject| scope.spawn(|| enrol(&server, subject, "obama.jpg").status));
        calls.map(|call| call.join().expect("it does not panic"))
    });
    statuses.sort_unstable();
    assert_eq!((statuses, count(&server)), ([200, 409], 1));
}

#[test]
fn a_photograph_unlike_the_others_of_its_person_is_told_or_refused() {
    for (action, status) in [(Action::Warn, 200), (Action::Refuse, 422), (Action::Off, 200)] {
        let server = server(Settings { unlike: action, ..Settings::default() });
        assert_eq!(enrol(&server, "barack", "obama.jpg").status, 200);
        let reply = enrol(&server, "barack", "biden.jpg");
        assert_eq!((reply.status, count(&server)), (status, if status == 200 { 2 } else { 1 }), "{:?}", reply.body);
        let warned = reply.body["warnings"][0]["code"] == "unlike_subject";
        assert_eq!(
            (warned, status == 422 && reply.code() == "unlike_subject"),
            (action == Action::Warn, action == Action::Refuse)
        );
    }
}

#[test]
fn a_batch_tells_each_item_s_warnings() {
    let server = server(Settings { unlike: Action::Refuse, ..Settings::default() });
    let line = |subject: &str, picture: &str| {
        json!({ "subject_id": subject, "image": STANDARD.encode(photo(picture)) }).to_string() + "\n"
    };
    let body = line("barack", "obama.jpg") + &line("barry", "obama2.jpg") + &line("barack", "biden.jpg");
    let told = send(&server, "/enroll/batch", "application/x-ndjson", body.as_bytes());
    assert_eq!(told[0].get("warnings"), None);
    assert_eq!(told[1]["warnings"][0]["subject_id"], "barack");
    assert_eq!(told[2]["error"]["code"], "unlike_subject");
    assert_eq!(told[3]["enrolled"], 2);
}

/// A photograph with the pattern of a screen over it.
fn on_a_screen(name: &str) -> Vec<u8> {
    let mut picture = image::load_from_memory(&photo(name)).expect("a photograph").into_rgb8();
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let wave = (std::f32::consts::TAU * (x as f32 * 0.92 + y as f32 * 0.39) / 3.3).sin();
        pixel.0 = pixel.0.map(|value| (f32::from(value) * (1.0 + 0.15 * wave)).clamp(0.0, 255.0) as u8);
    }
    encoded(&image::DynamicImage::ImageRgb8(picture), image::ImageFormat::Png)
}

#[test]
fn who_must_look_alive_and_does_not_is_not_enrolled() {
    let screen = on_a_screen("obama.jpg");
    let form = || Form::new().text("subject_id", "barack").image(&screen);
    let of = |liveness| server(Settings { liveness, ..Settings::default() });
    let server = of(PadPolicy::Required);
    let refused = server.call("POST", "/enroll", Some(&form()));
    assert_eq!((refused.status, refused.code(), count(&server)), (422, "liveness_failed", 0), "{:?}", refused.body);

    let server = of(PadPolicy::Advisory);
    let warned = server.call("POST", "/enroll", Some(&form()));
    let code = &warned.body["warnings"][0]["code"];
    assert_eq!((warned.status, code), (200, &json!("liveness_failed")), "{:?}", warned.body);

    // A client may ask for more than the daemon does.
    let server = of(PadPolicy::Off);
    let asked = |value: &str| server.call("POST", "/enroll", Some(&form().text("require_liveness", value)));
    assert_eq!(asked("maybe").code(), "invalid_field");
    assert_eq!((asked("true").code(), count(&server)), ("liveness_failed", 0));
    assert_eq!(asked("false").status, 200);
}

#[test]
fn advice_has_a_code_and_says_where_to_turn() {
    let server = Server::start();
    let picture = image::load_from_memory(&photo("obama.jpg")).expect("a photograph");
    let small = encoded(&picture.thumbnail(90, 90), image::ImageFormat::Png);
    let seen = server.call("POST", "/detect", Some(&Form::new().image(&small))).body;
    let reasons = seen["faces"][0]["quality_reasons"].as_array().expect("reasons");
    let closer = reasons.iter().find(|reason| reason["code"] == "too_small").expect("it is small");
    assert_eq!(
        (&closer["advice_code"], &closer["advice"]),
        (&json!("come_closer"), &json!("come closer to the camera"))
    );
}

#[test]
fn the_command_line_warns_and_refuses_alike_and_stores_nothing_half() {
    let mut board = Board::with_door(&[photo_path("obama.jpg")]);
    let enrol = |board: &Board, subject: &str, pictures: &[&str]| {
        let mut args = vec!["enroll".to_owned(), subject.to_owned(), "--tenant".to_owned(), "main".to_owned()];
        args.extend(pictures.iter().map(|picture| photo_path(picture).display().to_string()));
        board.run(&args)
    };
    enrol(&board, "barack", &["obama.jpg"]).must(0, &[]);
    enrol(&board, "barry", &["obama2.jpg"]).must(0, &["duplicate_subject", "barack"]);
    board.run(&["delete", "--subject", "barry"]).must(0, &[]);
    board.set("api.recognition.enrolment.duplicates", "refuse");
    board.set("api.recognition.enrolment.unlike", "refuse");
    enrol(&board, "joe", &["biden.jpg", "obama2.jpg"]).must(65, &["obama2.jpg", "another subject"]);
    enrol(&board, "barack", &["biden.jpg"]).must(65, &["biden.jpg", "not like the other photographs"]);
    enrol(&board, "barry", &["obama2.jpg"]).must(65, &["another subject"]);
    let listed = board.run(&["list"]).must(0, &["barack"]);
    assert_eq!(listed.out.lines().count(), 1, "{}", listed.out);
}
