mod decision;
mod documents;
mod passback;
mod refusals;
mod schedules;
mod speed;
mod unsettled;

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

use super::*;
use crate::{Card, Class};

fn zones(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn rules(json: &str) -> Rules {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

#[track_caller]
fn book(rules: &Rules) -> Rulebook {
    Rulebook::compile(rules, &zones).unwrap_or_else(|fault| panic!("{fault} ({})", fault.help))
}

fn time(text: &str) -> Timestamp {
    text.parse().expect(text)
}

fn moment(seconds: u64) -> Moment {
    Moment::from_start(Duration::from_secs(seconds))
}

fn request<'a>(subject: &'a str, door: &'a str, passage: Passage, at: &str) -> Request<'a> {
    Request { subject, door, passage, at: time(at), now: moment(0), reader: None, clock_set: true }
}

/// An office in Brussels with a lab, two doors and three people.
const OFFICE: &str = r#"{
    "calendars": [{"name": "be", "days": [
        {"on": "12-25", "name": "Christmas"}, {"on": "2026-07-21", "name": "National day"},
        {"on": "2026-12-28", "to": "2026-12-31", "name": "Works holiday"}]}],
    "schedules": [
        {"name": "office", "zone": "Europe/Brussels",
         "week": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"}],
         "holidays": [{"calendar": "be", "hours": [{"from": "10:00", "to": "12:00"}]}]},
        {"name": "lobby", "zone": "Europe/Brussels", "week": [{"days": ["mon"], "from": "09:00", "to": "17:00"}],
         "holidays": [{"calendar": "be"}]}],
    "doors": [{"name": "front", "free_access": "lobby"}, {"name": "lab"}],
    "groups": [
        {"name": "staff", "access": [{"doors": ["front"], "schedule": "office"}]},
        {"name": "lab", "access": [{"doors": ["lab"]}, {"doors": ["front"], "passage": "exit"}]}],
    "subjects": [
        {"id": "ann", "groups": ["staff"]},
        {"id": "bob", "groups": ["lab", "staff"], "class": "extended"},
        {"id": "cyd", "groups": ["lab"], "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2027-01-01T00:00:00Z"},
        {"id": "dan", "groups": ["staff"], "active": false},
        {"id": "eve"}]
}"#;
