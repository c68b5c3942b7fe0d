use super::*;

/// What is wrong, where, and the cure.
fn refused(change: impl FnOnce(&mut Rules)) -> (String, String) {
    let mut rules = rules(OFFICE);
    change(&mut rules);
    let fault = Rulebook::compile(&rules, &zones).expect_err("this is a mistake");
    (fault.message, fault.help)
}

#[track_caller]
fn assert_refused(change: impl FnOnce(&mut Rules), message: &str, help: &str) {
    let (said, cure) = refused(change);
    assert_eq!(said, message);
    assert!(cure.contains(help), "'{help}' is not in '{cure}'");
}

fn line(from: &str, to: &str, day: Weekday) -> WeekHours {
    let time = |text: &str| TimeOfDay::try_from(text.to_owned()).expect(text);
    WeekHours { days: vec![day], from: time(from), to: time(to) }
}

#[test]
fn names_that_are_not_there_are_refused_with_those_that_are() {
    assert_refused(
        |rules| rules.groups[0].access[0].schedule = Some("ofice".into()),
        "groups 'staff', access 1: there is no schedule 'ofice'",
        "office, lobby",
    );
    assert_refused(
        |rules| rules.groups[1].access[0].doors.push("attic".into()),
        "groups 'lab', access 1: there is no door 'attic'",
        "front, lab",
    );
    assert_refused(
        |rules| rules.subjects[0].groups.push("stuff".into()),
        "subjects 'ann': there is no group 'stuff'",
        "staff, lab",
    );
    assert_refused(
        |rules| rules.doors[0].inside = Some("hall".into()),
        "doors 'front': there is no area 'hall'",
        "there is no area at all",
    );
    assert_refused(
        |rules| rules.doors[0].free_access = Some("day".into()),
        "doors 'front': there is no schedule 'day'",
        "office",
    );
    assert_refused(
        |rules| rules.schedules[0].holidays[0].calendar = "nl".into(),
        "schedules 'office', holidays of 'nl': there is no calendar 'nl'",
        "be",
    );
    for zone in ["Europe/Brusels", "", "CEST+2", "Etc/Unknown"] {
        assert_refused(
            |rules| rules.schedules[0].zone = zone.into(),
            &format!("schedules 'office': there is no time zone '{zone}'"),
            "Europe/Brussels",
        );
    }
    assert_refused(
        |rules| rules.interlocks.push(Interlock { name: "sluice".into(), doors: vec!["front".into(), "back".into()] }),
        "interlocks 'sluice': there is no door 'back'",
        "front, lab",
    );
}

#[test]
fn what_stands_twice_is_refused() {
    assert_refused(
        |rules| rules.groups[1].name = "staff".into(),
        "groups, entry 2: there is another group 'staff'",
        "own name",
    );
    assert_refused(
        |rules| rules.subjects[1].id = "ann".into(),
        "subjects 'ann': this subject stands twice",
        "one of the two",
    );
    assert_refused(
        |rules| rules.subjects[0].groups.push("staff".into()),
        "subjects 'ann': group 'staff' stands twice",
        "once",
    );
    assert_refused(
        |rules| rules.groups[0].access[0].doors.push("front".into()),
        "groups 'staff', access 1: door 'front' stands twice",
        "once",
    );
    assert_refused(
        |rules| rules.calendars[0].days.push(serde_json::from_str(r#"{"on": "2026-12-29"}"#).unwrap()),
        "calendars 'be', day 4: 2026-12-29 is in this calendar already",
        "once",
    );
    assert_refused(
        |rules| {
            let twice = rules.schedules[0].holidays[0].clone();
            rules.schedules[0].holidays.push(twice);
        },
        "schedules 'office', holidays of 'be': this calendar stands twice",
        "once",
    );
}

#[test]
fn hours_that_overlap_or_are_empty_are_refused() {
    assert_refused(
        |rules| rules.schedules[0].week.push(line("17:59", "20:00", Weekday::Fri)),
        "schedules 'office', week 2, Friday: 17:59 to 20:00 overlaps 08:00 to 18:00",
        "begin where the other ends",
    );
    let mut abutting = rules(OFFICE);
    abutting.schedules[0].week.push(line("18:00", "24:00", Weekday::Fri));
    abutting.schedules[0].week.push(line("00:00", "08:00", Weekday::Fri));
    book(&abutting);
    assert_refused(
        |rules| rules.schedules[0].week.push(line("22:00", "06:00", Weekday::Sat)),
        "schedules 'office', week 2, Saturday: 22:00 to 06:00 ends before it begins",
        "a night is two lines",
    );
    assert_refused(
        |rules| rules.schedules[0].week.push(line("22:00", "22:00", Weekday::Sat)),
        "schedules 'office', week 2, Saturday: 22:00 to 22:00 is empty",
        "24:00",
    );
    assert_refused(
        |rules| rules.schedules[0].week[0].days.clear(),
        "schedules 'office', week 1: it names no day",
        "mon",
    );
    assert_refused(
        |rules| {
            let hours = rules.schedules[0].holidays[0].hours[0];
            rules.schedules[0].holidays[0].hours.push(hours);
        },
        "schedules 'office', holidays of 'be': 10:00 to 12:00 overlaps 10:00 to 12:00",
        "one of the two",
    );
}

#[test]
fn times_that_run_backwards_are_refused() {
    assert_refused(
        |rules| rules.subjects[2].valid_until = rules.subjects[2].valid_from,
        "subjects 'cyd': valid_from 2026-01-01T00:00:00Z is not before valid_until 2026-01-01T00:00:00Z",
        "exchange",
    );
    let days = |json: &'static str| {
        move |rules: &mut Rules| rules.calendars[0].days.push(serde_json::from_str(json).expect(json))
    };
    assert_refused(
        days(r#"{"on": "2027-01-05", "to": "2027-01-01"}"#),
        "calendars 'be', day 4: 2027-01-05 is not before 2027-01-01",
        "exchange",
    );
    assert_refused(
        days(r#"{"on": "12-24", "to": "12-26"}"#),
        "calendars 'be', day 4: days in a row are of one year",
        "with their year",
    );
    assert_refused(
        days(r#"{"on": "2027-01-01", "to": "2029-01-01"}"#),
        "calendars 'be', day 4: 2027-01-01 to 2029-01-01 is more than 400 days",
        "for good",
    );
}

#[test]
fn areas_and_interlocks_that_make_no_sense_are_refused() {
    let area = |json: &'static str| move |rules: &mut Rules| rules.areas.push(serde_json::from_str(json).expect(json));
    for json in
        [r#"{"name": "hall", "anti_passback": "timed"}"#, r#"{"name": "hall", "anti_passback": "timed", "minutes": 0}"#]
    {
        assert_refused(area(json), "areas 'hall': timed anti-passback needs minutes, 1 to 1440", "minutes");
    }
    assert_refused(
        area(r#"{"name": "hall", "anti_passback": "hard", "minutes": 5}"#),
        "areas 'hall': minutes without timed anti-passback",
        "timed",
    );
    assert_refused(
        area(r#"{"name": "hall", "exit_without_entry": "deny"}"#),
        "areas 'hall': exit_without_entry is \"deny\", but anti_passback is off",
        "hard",
    );
    assert_refused(
        |rules| {
            area(r#"{"name": "hall"}"#)(rules);
            (rules.doors[0].inside, rules.doors[0].outside) = (Some("hall".into()), Some("hall".into()));
        },
        "doors 'front': the same area is on both of its sides",
        "outside",
    );
    for doors in [vec![], vec!["lab"], vec!["lab", "lab"], vec!["lab", "front", "lab"]] {
        assert_refused(
            |rules| {
                rules
                    .interlocks
                    .push(Interlock { name: "sluice".into(), doors: doors.iter().map(|&door| door.into()).collect() })
            },
            "interlocks 'sluice': an interlock is between at least two doors, each named once",
            "only one",
        );
    }
    let mut good = rules(OFFICE);
    good.interlocks.push(Interlock { name: "sluice".into(), doors: vec!["lab".into(), "front".into()] });
    let book = book(&good);
    assert_eq!(book.interlocks().collect::<Vec<_>>(), [("sluice", vec!["front", "lab"])]);
    assert_refused(
        |rules| rules.groups[0].access[0].doors.clear(),
        "groups 'staff', access 1: it names no door",
        "doors",
    );
}

#[test]
fn names_and_numbers_have_limits() {
    for name in ["", "a\nb", &"x".repeat(65)] {
        let (message, help) = refused(|rules| rules.groups[0].name = name.into());
        assert!(message.starts_with("groups, entry 1: ") && help.contains("1 to 64 bytes"), "{message}");
    }
    for id in ["", "a\0b", &"x".repeat(257)] {
        let (message, help) = refused(|rules| rules.subjects[0].id = id.into());
        assert!(message.contains("no subject's id") && help.contains("1 to 256 bytes"), "{message}");
    }
    let (message, _) =
        refused(|rules| rules.calendars = (0..101).map(|n| Calendar { name: n.to_string(), days: vec![] }).collect());
    assert_eq!(message, "the rules: 101 calendars are too many");
    let (message, _) = refused(|rules| rules.subjects[0].groups = (0..65).map(|n| n.to_string()).collect());
    assert_eq!(message, "subjects 'ann': 65 groups are too many");
    // Lines that each name many days must not multiply beyond the limit either.
    let (message, _) = refused(|rules| {
        let row = |year: i16| format!(r#"{{"on": "{year}-01-01", "to": "{year}-12-31"}}"#);
        rules.calendars[0].days = (2030..2100).map(|year| serde_json::from_str(&row(year)).unwrap()).collect();
    });
    assert!(message.starts_with("calendars 'be', day 11: ") && message.ends_with("days are too many"), "{message}");
}
