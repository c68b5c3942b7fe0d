//! Schedules against the plainest reading of them: what the clock on the wall shows, minute by minute.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

/// Whether a schedule is open, by its document and the wall clock's face alone.
pub(super) fn naively_open(schedule: &Schedule, calendars: &[Calendar], at: Timestamp) -> bool {
    let wall = at.to_zoned(zones(&schedule.zone).expect("a known zone"));
    let minute = TimeOfDay::from_minutes(wall.hour() as u16 * 60 + wall.minute() as u16).expect("a time of day");
    for special in &schedule.holidays {
        let calendar = calendars.iter().find(|calendar| calendar.name == special.calendar).expect("it compiled");
        let today = |holiday: &Holiday| match (holiday.on, holiday.to) {
            (Day::Yearly(month, day), _) => (wall.month(), wall.day()) == (month, day),
            (Day::Once(first), Some(Day::Once(last))) => (first..=last).contains(&wall.date()),
            (Day::Once(day), _) => wall.date() == day,
        };
        if calendar.days.iter().any(today) {
            return special.hours.iter().any(|hours| hours.from <= minute && minute < hours.to);
        }
    }
    let day = Weekday::ALL[wall.weekday().to_monday_zero_offset() as usize];
    schedule.week.iter().any(|line| line.days.contains(&day) && line.from <= minute && minute < line.to)
}

/// Hours of a week without overlaps: up to three a day, on a grid of a quarter of an hour.
pub(super) fn some_week() -> impl Strategy<Value = Vec<WeekHours>> {
    prop::collection::vec(prop::collection::btree_set(0u16..=96, 0..7), 7).prop_map(|days| {
        let mut week = Vec::new();
        for (day, turns) in Weekday::ALL.into_iter().zip(days) {
            let turns: Vec<_> = turns.into_iter().filter_map(|turn| TimeOfDay::from_minutes(turn * 15)).collect();
            let lines = turns.chunks_exact(2).map(|pair| WeekHours { days: vec![day], from: pair[0], to: pair[1] });
            week.extend(lines);
        }
        week
    })
}

fn hours(from: &str, to: &str) -> Schedule {
    let json = format!(
        r#"{{"name": "s", "zone": "UTC", "week": [{{"days": ["mon","tue","wed","thu","fri","sat","sun"], "from": "{from}", "to": "{to}"}}]}}"#
    );
    serde_json::from_str(&json).expect("a schedule")
}

fn with(schedule: Schedule, calendars: &[Calendar]) -> Rulebook {
    book(&Rules { schedules: vec![schedule], calendars: calendars.to_vec(), ..Rules::default() })
}

/// All changes from `from` on, within `days`.
fn changes(book: &Rulebook, from: &str, days: i64) -> Vec<String> {
    let (mut at, end) = (time(from), time(from) + SignedDuration::from_hours(days * 24));
    let mut all = Vec::new();
    while let Some(next) = book.next_change("s", at).filter(|&next| next < end) {
        assert!(next > at, "a change lies ahead");
        let word = if book.schedule_open("s", next) == Some(true) { "opens" } else { "closes" };
        all.push(format!("{word} {next}"));
        at = next;
    }
    all
}

#[test]
fn hours_within_the_gap_of_spring_do_not_happen() {
    // In Brussels on 2026-03-29 the clock goes from 02:00 to 03:00, at 01:00 UTC.
    let book = with(Schedule { zone: "Europe/Brussels".into(), ..hours("02:15", "02:45") }, &[]);
    let found = changes(&book, "2026-03-28T00:00:00Z", 3);
    assert_eq!(
        found,
        [
            "opens 2026-03-28T01:15:00Z",
            "closes 2026-03-28T01:45:00Z",
            "opens 2026-03-30T00:15:00Z",
            "closes 2026-03-30T00:45:00Z"
        ]
    );
}

#[test]
fn hours_that_begin_or_end_within_the_gap_do_so_at_the_jump() {
    let begins = with(Schedule { zone: "Europe/Brussels".into(), ..hours("02:30", "04:00") }, &[]);
    assert_eq!(
        changes(&begins, "2026-03-29T00:00:00Z", 1),
        ["opens 2026-03-29T01:00:00Z", "closes 2026-03-29T02:00:00Z"]
    );
    let ends = with(Schedule { zone: "Europe/Brussels".into(), ..hours("01:00", "02:30") }, &[]);
    assert_eq!(
        changes(&ends, "2026-03-28T23:30:00Z", 1)[..2],
        ["opens 2026-03-29T00:00:00Z", "closes 2026-03-29T01:00:00Z"]
    );
}

#[test]
fn hours_within_the_overlap_of_autumn_happen_twice() {
    // In Brussels on 2026-10-25 the clock goes from 03:00 back to 02:00, at 01:00 UTC.
    let book = with(Schedule { zone: "Europe/Brussels".into(), ..hours("02:15", "02:45") }, &[]);
    let found = changes(&book, "2026-10-24T23:00:00Z", 1);
    assert_eq!(
        found,
        [
            "opens 2026-10-25T00:15:00Z",
            "closes 2026-10-25T00:45:00Z",
            "opens 2026-10-25T01:15:00Z",
            "closes 2026-10-25T01:45:00Z"
        ]
    );
    let ends = with(Schedule { zone: "Europe/Brussels".into(), ..hours("01:00", "02:30") }, &[]);
    let found = changes(&ends, "2026-10-24T22:30:00Z", 1);
    assert_eq!(
        found,
        [
            "opens 2026-10-24T23:00:00Z",
            "closes 2026-10-25T00:30:00Z",
            "opens 2026-10-25T01:00:00Z",
            "closes 2026-10-25T01:30:00Z"
        ],
        "it opens again for as long as the clock shows those hours again"
    );
}

#[test]
fn a_day_that_begins_late_or_is_missing_is_no_trouble() {
    // In Santiago midnight itself is skipped: 2026-09-06 begins at 01:00, at 04:00 UTC.
    let book = with(Schedule { zone: "America/Santiago".into(), ..hours("00:00", "08:00") }, &[]);
    let found = changes(&book, "2026-09-06T03:30:00Z", 1);
    assert_eq!(found, ["opens 2026-09-06T04:00:00Z", "closes 2026-09-06T11:00:00Z", "opens 2026-09-07T03:00:00Z"]);
    // Apia had no 30 December 2011.
    let book = with(Schedule { zone: "Pacific/Apia".into(), ..hours("08:00", "09:00") }, &[]);
    let found = changes(&book, "2011-12-29T12:00:00Z", 3);
    assert_eq!(found.len(), 6, "{found:?}");
    assert_eq!(found[2], "opens 2011-12-30T18:00:00Z", "the 31st follows upon the 29th");
}

#[test]
fn always_and_never_have_no_next_change() {
    let always = with(hours("00:00", "24:00"), &[]);
    assert_eq!(always.schedule_open("s", time("2026-11-23T23:59:59Z")), Some(true));
    assert_eq!(always.next_change("s", time("2026-11-23T00:00:00Z")), None);
    let never = with(Schedule { week: Vec::new(), ..hours("00:00", "24:00") }, &[]);
    assert_eq!(never.next_change("s", time("2026-11-23T00:00:00Z")), None);
    assert_eq!(never.next_change("s", Timestamp::MAX), None);
    assert_eq!(
        (never.schedule_open("other", Timestamp::MAX), never.next_change("other", Timestamp::MIN)),
        (None, None)
    );
}

#[test]
fn a_holiday_a_year_ahead_is_found() {
    let calendar = Calendar { name: "c".into(), days: vec![serde_json::from_str(r#"{"on": "12-25"}"#).unwrap()] };
    let holidays = vec![HolidayHours { calendar: "c".into(), hours: Vec::new() }];
    let book = with(Schedule { holidays, ..hours("00:00", "24:00") }, &[calendar]);
    let next = book.next_change("s", time("2026-12-26T00:00:00Z")).map(|at| at.to_string());
    assert_eq!(next.as_deref(), Some("2027-12-25T00:00:00Z"));
}

#[test]
fn the_first_calendar_that_has_the_day_decides() {
    let day = |name: &str, json: &str| Calendar { name: name.into(), days: vec![serde_json::from_str(json).unwrap()] };
    let calendars = [day("a", r#"{"on": "2028-02-29"}"#), day("b", r#"{"on": "02-29"}"#)];
    let open_at_noon = |order: [&str; 2]| {
        let special = |name: &str| HolidayHours {
            calendar: name.into(),
            hours: if name == "a" {
                Vec::new()
            } else {
                hours("12:00", "13:00").week.iter().map(|line| DayHours { from: line.from, to: line.to }).collect()
            },
        };
        let book = with(Schedule { holidays: order.map(special).to_vec(), ..hours("00:00", "24:00") }, &calendars);
        ["2028-02-29T12:30:00Z", "2032-02-29T12:30:00Z", "2032-02-29T14:00:00Z", "2027-02-28T14:00:00Z"]
            .map(|at| book.schedule_open("s", time(at)).expect("it is there"))
    };
    assert_eq!(open_at_noon(["a", "b"]), [false, true, false, true]);
    assert_eq!(open_at_noon(["b", "a"]), [true, true, false, true]);
}

/// Zones whose clocks do odd things, and days near on which they do them.
const TURNS: &[(&str, &str)] = &[
    ("Europe/Brussels", "2026-03-28T12:00:00Z"),
    ("Europe/Brussels", "2026-10-24T12:00:00Z"),
    ("America/New_York", "2027-03-13T12:00:00Z"),
    ("America/New_York", "2040-11-03T12:00:00Z"),
    ("America/Santiago", "2026-09-05T12:00:00Z"),
    ("America/St_Johns", "2026-10-31T12:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T00:00:00Z"),
    ("Australia/Lord_Howe", "2027-04-03T00:00:00Z"),
    ("Africa/Casablanca", "2026-02-14T12:00:00Z"),
    ("Africa/Casablanca", "2026-03-21T12:00:00Z"),
    ("Africa/Cairo", "2026-04-23T12:00:00Z"),
    ("Asia/Beirut", "2026-03-28T12:00:00Z"),
    ("Asia/Kathmandu", "2026-01-01T00:00:00Z"),
    ("Pacific/Apia", "2011-12-29T00:00:00Z"),
    ("UTC", "2026-12-31T00:00:00Z"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Over three days around a turn of the clock, each minute and each change is as the clock on the wall has it.
    #[test]
    fn every_minute_and_every_change_is_as_the_clock_shows(
        (zone, near) in prop::sample::select(TURNS),
        week in some_week(),
        special in some_week(),
        holiday in prop::option::of(0i64..4),
        closed in any::<bool>(),
    ) {
        let start = time(near);
        let on = |days: i64| {
            let date = (start + SignedDuration::from_hours(days * 24)).to_zoned(zones(zone).expect("known")).date();
            if closed { Day::Once(date) } else { Day::Yearly(date.month(), date.day()) }
        };
        let days = holiday.map(|days| Holiday { on: on(days), to: None, name: None }).into_iter().collect();
        let calendars = [Calendar { name: "c".into(), days }];
        let special: Vec<_> = special.iter().filter(|line| line.days == [Weekday::Mon] && !closed)
            .map(|line| DayHours { from: line.from, to: line.to }).collect();
        let schedule = Schedule {
            name: "s".into(),
            zone: zone.into(),
            week,
            holidays: vec![HolidayHours { calendar: "c".into(), hours: special }],
        };
        let book = with(schedule.clone(), &calendars);
        let minute = |minute: i64| start + SignedDuration::from_mins(minute);
        let face: Vec<bool> = (0..3 * 24 * 60).map(|at| naively_open(&schedule, &calendars, minute(at))).collect();
        let mut changes = Vec::new();
        for (at, pair) in face.windows(2).enumerate() {
            prop_assert_eq!(book.schedule_open("s", minute(at as i64)), Some(pair[0]), "{}", minute(at as i64));
            if pair[0] != pair[1] {
                changes.push(minute(at as i64 + 1));
            }
        }
        let end = minute(3 * 24 * 60);
        let (mut at, mut found) = (start, Vec::new());
        while let Some(next) = book.next_change("s", at).filter(|&next| next < end) {
            prop_assert!(next > at);
            found.push(next);
            at = next;
        }
        prop_assert_eq!(&found, &changes);
        // Asked in the middle of things, it says the same.
        for (at, _) in face.iter().enumerate().step_by(97) {
            let at = minute(at as i64) + SignedDuration::from_secs(30);
            let next = book.next_change("s", at).filter(|&next| next < end);
            prop_assert_eq!(next, changes.iter().copied().find(|&change| change > at));
        }
    }
}
