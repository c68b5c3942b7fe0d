use serde_json::{Value, json};

use super::{access, office};
use crate::support::{
    Server,
    http::{Reply, call},
};

fn ok(reply: Reply) -> Value {
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(reply.body["success"], true);
    reply.body
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str, words: &str) {
    assert_eq!((reply.status, reply.code()), (status, code), "{:?}", reply.body);
    let message = reply.body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains(words), "'{words}' is not in '{message}'");
}

fn tag(reply: &Reply) -> String {
    reply.header("etag").expect("an ETag").to_owned()
}

#[test]
fn the_whole_is_put_read_back_and_deleted_and_another_tenant_sees_nothing() {
    let server = Server::start();
    let get = |tenant| access(&server, tenant, "GET", "/rules", None, &[]);
    assert_eq!(ok(get(0))["rules"], Value::Null);
    let put = access(&server, 0, "PUT", "/rules", Some(&office()), &[("If-None-Match", "*")]);
    let revision = tag(&put);
    ok(put);
    let read = get(0);
    assert_eq!(tag(&read), revision);
    let rules = ok(read)["rules"].clone();
    assert_eq!(rules["subjects"][1]["class"], "extended");
    assert_eq!(rules["groups"], office()["groups"]);
    assert_eq!(ok(get(1))["rules"], Value::Null);
    assert!(
        ok(access(&server, 0, "GET", "/rules?subjects=false", None, &[]))["rules"]["subjects"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    // What is exported can be imported.
    ok(access(&server, 1, "PUT", "/rules", Some(&rules), &[]));
    assert_eq!(ok(get(1))["rules"], rules);
    assert_eq!(ok(access(&server, 1, "DELETE", "/rules", None, &[]))["deleted"], true);
    assert_eq!(ok(access(&server, 1, "DELETE", "/rules", None, &[]))["deleted"], false);
    assert_eq!(ok(get(0))["rules"], rules, "the other tenant's stay");
}

#[test]
fn mistakes_are_refused_with_the_place_and_the_cure_and_nothing_is_kept() {
    let server = Server::start();
    ok(access(&server, 0, "PUT", "/rules", Some(&office()), &[]));
    let before = ok(access(&server, 0, "GET", "/rules", None, &[]));
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut rules = office();
        change(&mut rules);
        access(&server, 0, "PUT", "/rules", Some(&rules), &[])
    };
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(Change<'_>, &str); 5] = [
        (
            &|r| r["groups"][0]["access"][0]["schedule"] = "ofice".into(),
            "groups 'staff', access 1: there is no schedule 'ofice': add it, or name one of those there are: office",
        ),
        (&|r| r["subjects"][0]["groups"][0] = "stuff".into(), "subjects 'ann': there is no group 'stuff'"),
        (
            &|r| r["schedules"][0]["zone"] = "Mars/Olympus".into(),
            "schedules 'office': there is no time zone 'Mars/Olympus'",
        ),
        (&|r| r["schedules"][0]["week"][0]["to"] = "07:00".into(), "08:00 to 07:00 ends before it begins"),
        (&|r| r["doors"][0]["insde"] = "hall".into(), "insde"),
    ];
    for (change, words) in cases {
        refused(&wrong(change), 422, "invalid_rules", words);
    }
    let bearer = format!("Bearer {}", server.keys[0]);
    let raw = |body: &[u8]| call(server.address, "PUT", "/v1/access/rules", &[("Authorization", &bearer)], Some(body));
    refused(&raw(b"{\"groups\": ["), 400, "malformed_request", "the body is not what this call takes");
    refused(&raw(&[b'['; 100_000]), 422, "invalid_rules", "");
    refused(&raw(format!("{{\"groups\": {}", "[".repeat(100_000)).as_bytes()), 422, "invalid_rules", "");
    refused(&raw(b"[]"), 422, "invalid_rules", "");
    refused(&raw(&vec![b' '; 13 << 20]), 413, "too_large", "too many bytes");
    refused(
        &access(&server, 0, "DELETE", "/groups/staff", None, &[]),
        422,
        "invalid_rules",
        "subjects 'ann': there is no group 'staff'",
    );
    refused(&access(&server, 0, "DELETE", "/schedules/office", None, &[]), 422, "invalid_rules", "groups 'staff'");
    assert_eq!(ok(access(&server, 0, "GET", "/rules", None, &[])), before);
}

#[test]
fn single_things_are_listed_read_put_and_deleted() {
    let server = Server::start();
    ok(access(&server, 0, "PUT", "/rules", Some(&office()), &[]));
    for (many, one, name) in [
        ("calendars", "calendar", "be"),
        ("schedules", "schedule", "office"),
        ("areas", "area", "hall"),
        ("doors", "door", "front"),
        ("interlocks", "interlock", "sluice"),
        ("groups", "group", "staff"),
    ] {
        let list = ok(access(&server, 0, "GET", &format!("/{many}"), None, &[]));
        assert_eq!(list[many][0]["name"], name);
        assert_eq!(list["count"], list[many].as_array().expect("a list").len());
        let path = format!("/{many}/{name}");
        let read = access(&server, 0, "GET", &path, None, &[]);
        let before = tag(&read);
        let mut thing = ok(read)[one].clone();
        assert_eq!(thing["name"], name);
        let again = access(&server, 0, "PUT", &path, Some(&thing), &[("If-Match", &before)]);
        assert_eq!(tag(&again), before, "it is what it was");
        ok(again);
        thing.as_object_mut().expect("an object").remove("name");
        let copy = format!("/{many}/{}", if many == "groups" { "a%2Fb%20%C3%A9" } else { "copy" });
        let mut made = ok(access(&server, 0, "PUT", &copy, Some(&thing), &[("If-None-Match", "*")]));
        let mut read = ok(access(&server, 0, "GET", &copy, None, &[]));
        assert_eq!(made[one].take(), read[one].take());
        refused(
            &access(&server, 0, "PUT", &copy, Some(&thing), &[("If-None-Match", "*")]),
            412,
            "precondition_failed",
            "read it again",
        );
        refused(&access(&server, 0, "PUT", &copy, Some(&json!({"name": "other"})), &[]), 400, "invalid_field", "name");
        refused(&access(&server, 0, "DELETE", &copy, None, &[("If-Match", "\"0\"")]), 412, "precondition_failed", "");
        ok(access(&server, 0, "DELETE", &copy, None, &[]));
        refused(&access(&server, 0, "DELETE", &copy, None, &[]), 404, "not_found", one);
        refused(&access(&server, 0, "GET", &copy, None, &[]), 404, "not_found", one);
        assert_eq!(ok(access(&server, 1, "GET", &format!("/{many}"), None, &[]))["count"], 0, "another tenant's");
        assert_eq!(access(&server, 0, "POST", &path, Some(&thing), &[]).status, 405);
    }
}

#[test]
fn of_two_who_change_the_same_thing_the_second_is_told() {
    let server = Server::start();
    ok(access(&server, 0, "PUT", "/rules", Some(&office()), &[]));
    let first = tag(&access(&server, 0, "GET", "/subjects/ann", None, &[]));
    let change = |groups: Value, tag: &str| {
        access(&server, 0, "PUT", "/subjects/ann", Some(&json!({ "groups": groups })), &[("If-Match", tag)])
    };
    ok(change(json!(["guards"]), &first));
    refused(&change(json!([]), &first), 412, "precondition_failed", "not what is stored any more");
    let whole = tag(&access(&server, 0, "GET", "/rules", None, &[]));
    ok(access(&server, 0, "PUT", "/subjects/cyd", Some(&json!({})), &[]));
    let late = access(&server, 0, "PUT", "/rules", Some(&office()), &[("If-Match", &whole)]);
    refused(&late, 412, "precondition_failed", "");
    for _ in 0..2 {
        let whole = tag(&access(&server, 0, "GET", "/rules", None, &[]));
        ok(access(&server, 0, "PUT", "/rules", Some(&office()), &[("If-Match", &whole)]));
    }
    refused(
        &access(&server, 0, "PUT", "/subjects/eve", Some(&json!({})), &[("If-Match", "*")]),
        412,
        "precondition_failed",
        "",
    );
}

#[test]
fn subjects_have_pages_and_percent_encoded_names() {
    let server = Server::start();
    for id in ["a%2Fb", "J%C3%B6rg", "x%20y"] {
        ok(access(
            &server,
            0,
            "PUT",
            &format!("/subjects/{id}"),
            Some(&json!({"valid_until": "2027-01-01T00:00:00Z"})),
            &[],
        ));
    }
    let (mut seen, mut path) = (Vec::new(), "/subjects?limit=1".to_owned());
    loop {
        let page = ok(access(&server, 0, "GET", &path, None, &[]));
        seen.extend(
            page["subjects"].as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("text").to_owned()),
        );
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/subjects?limit=1&cursor={next}");
    }
    seen.sort();
    assert_eq!(seen, ["Jörg", "a/b", "x y"]);
    let one = ok(access(&server, 0, "GET", "/subjects/a%2Fb", None, &[]));
    assert_eq!(one["subject"]["valid_until"], "2027-01-01T00:00:00Z");
    ok(access(&server, 0, "DELETE", "/subjects/a%2Fb", None, &[]));
    refused(&access(&server, 0, "GET", "/subjects/a%2Fb", None, &[]), 404, "subject_not_found", "");
    refused(&access(&server, 0, "PUT", "/subjects/x", Some(&json!({"id": "y"})), &[]), 400, "invalid_field", "id");
    refused(
        &access(&server, 0, "PUT", "/subjects/x", Some(&json!({"valid_from": "soon"})), &[]),
        422,
        "invalid_rules",
        "",
    );
    refused(&access(&server, 0, "GET", "/subjects?cursor=zz", None, &[]), 400, "invalid_field", "cursor");
}

#[test]
fn explaining_says_what_the_door_would_do_and_why() {
    let server = Server::start();
    let explain = |query: &str| access(&server, 0, "GET", &format!("/explain?{query}"), None, &[]);
    let none = ok(explain("subject=ann&door=front"))["explanation"].clone();
    assert_eq!((&none["allowed"], &none["code"]), (&true.into(), &"allowed".into()), "there are no rules");
    ok(access(&server, 0, "PUT", "/rules", Some(&office()), &[]));
    let at = |subject: &str, time: &str| {
        ok(explain(&format!("subject={subject}&door=front&at={time}")))["explanation"].clone()
    };
    let night = at("ann", "2026-11-23T03:00:00%2B01:00");
    assert_eq!((&night["allowed"], &night["code"]), (&false.into(), &"outside_hours".into()));
    let last = night["steps"].as_array().expect("steps").last().expect("a step").clone();
    assert_eq!((&last["check"], &last["finding"]), (&"schedule".into(), &"no".into()));
    assert_eq!(last["changes_at"], "2026-11-23T07:00:00Z");
    assert!(
        last["text"].as_str().expect("words").contains("03:00 there (Europe/Brussels), Monday 2026-11-23"),
        "{last}"
    );
    assert_eq!(at("ann", "2026-12-25T10:00:00Z")["code"], "closed_for_holiday");
    assert_eq!(at("ann", "2026-11-23T10:00:00Z")["code"], "allowed");
    assert_eq!(at("bob", "2026-11-23T03:00:00Z")["class"], "extended");
    assert_eq!(at("eve", "2026-11-23T10:00:00Z")["code"], "not_in_rules");
    refused(&explain("subject=ann"), 400, "missing_field", "door");
    refused(&explain("door=front"), 400, "missing_field", "subject");
    refused(&explain("subject=ann&door=front&at=noon"), 400, "invalid_field", "at must be a time");
    refused(&explain("subject=ann&door=front&passage=up"), 400, "invalid_field", "entry or exit");
    refused(&explain("subject=ann&door=front&when=2026"), 400, "invalid_field", "'when' is not a parameter");
}

#[test]
fn forgiving_is_for_whoever_is_known_and_everybody_must_be_said() {
    let server = Server::start();
    ok(access(&server, 0, "PUT", "/rules", Some(&office()), &[]));
    assert_eq!(ok(access(&server, 0, "GET", "/presence", None, &[]))["count"], 0);
    refused(&access(&server, 0, "DELETE", "/presence/ann", None, &[]), 404, "subject_not_found", "");
    refused(&access(&server, 0, "DELETE", "/presence", None, &[]), 400, "missing_field", "all=true");
    assert_eq!(ok(access(&server, 0, "DELETE", "/presence?all=true", None, &[]))["forgiven"], 0);
}

#[test]
fn nothing_of_it_is_without_a_key() {
    let server = Server::start();
    for (method, path) in [
        ("GET", "/rules"),
        ("PUT", "/rules"),
        ("DELETE", "/rules"),
        ("GET", "/groups"),
        ("PUT", "/doors/front"),
        ("GET", "/subjects"),
        ("DELETE", "/subjects/ann"),
        ("GET", "/explain?subject=a&door=b"),
        ("GET", "/presence"),
        ("DELETE", "/presence?all=true"),
    ] {
        let path = format!("/v1/access{path}");
        let bare = call(server.address, method, &path, &[], None);
        refused(&bare, 401, "missing_api_key", "");
        let wrong = call(server.address, method, &path, &[("Authorization", "Bearer fg_0")], None);
        refused(&wrong, 401, "invalid_api_key", "");
    }
}
