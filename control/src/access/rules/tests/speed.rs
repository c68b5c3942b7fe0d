use std::time::Instant;

use super::*;

/// 10,000 rules over 1,000 groups and 500 doors, 100,000 subjects in up to eight groups each.
fn large() -> Rules {
    let zones = ["Europe/Brussels", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe"];
    let days = Weekday::ALL;
    let minutes = |minutes: usize| TimeOfDay::from_minutes(minutes as u16).expect("within the day");
    Rules {
        schedules: (0..100)
            .map(|n| Schedule {
                name: format!("hours {n}"),
                zone: zones[n % zones.len()].into(),
                week: days
                    .iter()
                    .map(|&day| WeekHours { days: vec![day], from: minutes(300 + n), to: minutes(1_100 + n) })
                    .collect(),
                holidays: Vec::new(),
            })
            .collect(),
        areas: (0..50)
            .map(|n| {
                serde_json::from_str(&format!(r#"{{"name": "area {n}", "anti_passback": "soft"}}"#)).expect("an area")
            })
            .collect(),
        doors: (0..500)
            .map(|n| Door {
                name: format!("door {n}"),
                free_access: None,
                outside: None,
                inside: Some(format!("area {}", n % 50)),
            })
            .collect(),
        groups: (0..1_000)
            .map(|n| Group {
                name: format!("group {n}"),
                access: (0..10)
                    .map(|line| Access {
                        doors: vec![format!("door {}", (n * 7 + line * 53) % 500)],
                        schedule: Some(format!("hours {}", (n + line) % 100)),
                        passage: None,
                    })
                    .collect(),
            })
            .collect(),
        subjects: (0..100_000)
            .map(|n| SubjectRules {
                id: format!("EMP-{n:06}"),
                groups: (0..1 + n % 8).map(|k| format!("group {}", (n * 31 + k * 97) % 1_000)).collect(),
                valid_from: None,
                valid_until: None,
                class: Class::Standard,
                active: true,
                anti_passback_exempt: false,
                card: None,
            })
            .collect(),
        ..Rules::default()
    }
}

/// Of the millisecond that is promised from decision to relay the rules may take a small part: `facegate bench` measures the
/// whole, this the rules alone, by `cargo test --release -- --ignored --nocapture rules`.
#[test]
#[ignore = "a measurement"]
fn a_decision_among_10_000_rules_and_100_000_subjects() {
    let rules = large();
    let started = Instant::now();
    let mut book = book(&rules);
    let compiled = started.elapsed();
    let mut presence = Presence::default();
    for subject in rules.subjects.iter().step_by(2) {
        presence.passed(Movement {
            subject: subject.id.as_str().into(),
            door: "door 0".into(),
            way: Way { from: Place::Outside, to: Place::Area("area 0".into()) },
            tag: 0,
            at: time("2026-11-23T10:00:00Z"),
            now: moment(0),
        });
    }
    let doors: Vec<String> = rules.doors.iter().map(|door| door.name.clone()).collect();
    let (mut took, mut allowed) = (Vec::new(), 0);
    let whole = Instant::now();
    for n in 0..200_000 {
        let (subject, door) = (&rules.subjects[n * 7_919 % 100_000], &doors[n * 104_729 % 500]);
        let at = time("2026-11-23T00:00:00Z") + jiff::SignedDuration::from_mins((n % 10_080) as i64);
        let request = Request {
            subject: &subject.id,
            door,
            passage: Passage::Entry,
            at,
            now: moment(1),
            reader: None,
            clock_set: true,
        };
        let begun = Instant::now();
        allowed += usize::from(book.rule(&request, &presence).allowed());
        took.push(begun.elapsed());
    }
    let whole = whole.elapsed();
    took.sort_unstable();
    let (median, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    let begun = Instant::now();
    let snapshot = book.clone();
    book.put_subject(&rules.subjects[0]).expect("as before");
    let change = begun.elapsed();
    drop(snapshot);
    println!(
        "10,000 rules, 100,000 subjects: compiled in {compiled:?}; {:.0} decisions/s ({allowed} of {} allowed), \
         median {median:?}, p99 {p99:?}, slowest {:?}; one subject changed in a new snapshot in {change:?}",
        took.len() as f64 / whole.as_secs_f64(),
        took.len(),
        took[took.len() - 1],
    );
    assert!(allowed > 100, "some of them are let in: {allowed}");
}
