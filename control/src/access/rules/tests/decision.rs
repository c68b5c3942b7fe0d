use proptest::prelude::*;

use super::*;

fn code(subject: &str, door: &str, passage: Passage, at: &str) -> &'static str {
    book(&rules(OFFICE)).rule(&request(subject, door, passage, at), &Presence::default()).code()
}

#[test]
fn a_group_passes_its_doors_in_its_hours() {
    use Passage::{Entry, Exit};
    // Brussels is an hour ahead in winter and two in summer; 2026-11-23 and 2026-06-01 are Mondays.
    for (subject, door, passage, at, expected) in [
        ("ann", "front", Entry, "2026-11-23T06:59:59Z", "outside_hours"),
        ("ann", "front", Entry, "2026-11-23T07:00:00Z", "allowed"),
        ("ann", "front", Entry, "2026-11-23T16:59:59.999Z", "allowed"),
        ("ann", "front", Entry, "2026-11-23T17:00:00Z", "outside_hours"),
        ("ann", "front", Entry, "2026-06-01T06:00:00Z", "allowed"),
        ("ann", "front", Entry, "2026-06-01T16:00:00Z", "outside_hours"),
        ("ann", "front", Entry, "2026-11-21T10:00:00Z", "outside_hours"),
        ("ann", "lab", Entry, "2026-11-23T10:00:00Z", "no_group_for_door"),
        ("ann", "attic", Entry, "2026-11-23T10:00:00Z", "door_not_in_rules"),
        ("bob", "lab", Entry, "2026-11-22T03:00:00Z", "allowed"),
        ("bob", "front", Entry, "2026-11-22T03:00:00Z", "outside_hours"),
        ("bob", "front", Exit, "2026-11-22T03:00:00Z", "allowed"),
        ("cyd", "lab", Entry, "2025-12-31T23:59:59Z", "not_yet_valid"),
        ("cyd", "lab", Entry, "2026-01-01T00:00:00Z", "allowed"),
        ("cyd", "lab", Entry, "2027-01-01T00:00:00Z", "access_expired"),
        ("dan", "front", Entry, "2026-11-23T10:00:00Z", "subject_inactive"),
        ("eve", "front", Entry, "2026-11-23T10:00:00Z", "no_group_for_door"),
        ("zoe", "front", Entry, "2026-11-23T10:00:00Z", "not_in_rules"),
        // Christmas 2026 is a Friday: its own hours are 10 to 12.
        ("ann", "front", Entry, "2026-12-25T08:30:00Z", "closed_for_holiday"),
        ("ann", "front", Entry, "2026-12-25T09:30:00Z", "allowed"),
        ("ann", "front", Entry, "2026-12-25T19:00:00Z", "outside_hours"),
        ("ann", "front", Entry, "2026-12-30T14:00:00Z", "closed_for_holiday"),
        ("ann", "front", Entry, "2027-12-30T14:00:00Z", "allowed"),
    ] {
        assert_eq!(code(subject, door, passage, at), expected, "{subject} at {door}, {passage:?}, {at}");
    }
}

#[test]
fn where_the_clock_is_not_set_no_schedule_lets_anybody_in() {
    let book = book(&rules(OFFICE));
    for (subject, door, passage, expected) in [
        ("ann", "front", Passage::Entry, "clock_unset"),
        ("bob", "front", Passage::Exit, "allowed"),
        ("bob", "lab", Passage::Entry, "allowed"),
        ("ann", "lab", Passage::Entry, "no_group_for_door"),
    ] {
        let set = request(subject, door, passage, "2026-11-23T10:00:00Z");
        let unset = Request { clock_set: false, ..set };
        assert_eq!(book.rule(&unset, &Presence::default()).code(), expected, "{subject} at {door}");
        assert_eq!(book.explain(&unset, &Presence::default()).code, expected);
    }
}

#[test]
fn the_ruling_names_class_group_and_schedule() {
    let book = book(&rules(OFFICE));
    let ruling = book.rule(&request("bob", "front", Passage::Entry, "2026-11-23T10:00:00Z"), &Presence::default());
    let by = By { group: "staff".into(), schedule: Some("office".into()) };
    assert_eq!(
        ruling,
        Ruling::Allowed(Allowed { class: Class::Extended, by: Some(by), flag: None, card: None, way: None })
    );
}

#[test]
fn no_rules_let_in_whoever_is_enrolled_and_the_first_rule_ends_that() {
    let mut book = Rulebook::none();
    let request = request("ann", "front", Passage::Entry, "2026-11-23T03:00:00Z");
    assert!(book.rule(&request, &Presence::default()).allowed());
    assert!(!book.exists() && !book.free_access("front", request.at));
    book.put_subject(&rules(OFFICE).subjects[4]).expect("a subject without groups");
    assert!(book.exists());
    assert_eq!(book.rule(&request, &Presence::default()).code(), "not_in_rules");
    assert_eq!(
        Rulebook::compile(&Rules::default(), &zones).unwrap().rule(&request, &Presence::default()).code(),
        "not_in_rules"
    );
}

#[test]
fn what_cannot_be_read_denies_and_says_so() {
    let request = request("ann", "front", Passage::Entry, "2026-11-23T10:00:00Z");
    let mut unreadable = Rulebook::unreadable();
    assert_eq!(unreadable.rule(&request, &Presence::default()).code(), "rule_unreadable");
    assert!(unreadable.put_subject(&rules(OFFICE).subjects[0]).is_err());
    let mut book = book(&rules(OFFICE));
    book.set_unreadable_subjects(1);
    assert!(book.is_damaged());
    assert!(book.rule(&request, &Presence::default()).allowed(), "her own rules can be read");
    let lost = Request { subject: "lost", ..request };
    assert_eq!(book.rule(&lost, &Presence::default()).code(), "rule_unreadable");
}

#[test]
fn a_reader_s_door_lets_nobody_pass_without_a_card_that_fits() {
    let mut rules = rules(OFFICE);
    rules.subjects[0].card = Some(Card { facility: 300, number: 7 });
    rules.subjects[1].card = Some(Card { facility: 12, number: 65_535 });
    let book = book(&rules);
    let monday = "2026-11-23T09:00:00+01:00";
    let ask = |subject, reader| {
        let request = Request { reader, ..request(subject, "front", Passage::Entry, monday) };
        let (ruling, explained) =
            (book.rule(&request, &Presence::default()), book.explain(&request, &Presence::default()));
        assert_eq!(explained.code, ruling.code());
        match ruling {
            Ruling::Allowed(allowed) => Ok(allowed.card),
            Ruling::Denied(reason) => Err((reason, explained.steps.last().expect("a step").text.clone())),
        }
    };
    assert_eq!(ask("bob", Some(CardFormat::Bits26)), Ok(Some(Card { facility: 12, number: 65_535 })));
    assert_eq!(ask("ann", Some(CardFormat::Bits34)), Ok(Some(Card { facility: 300, number: 7 })));
    assert_eq!(ask("ann", None), Ok(None), "a door with a lock of its own sends nothing");
    let (reason, text) = ask("ann", Some(CardFormat::Bits26)).expect_err("300 has nine bits");
    assert_eq!((reason, &*text), (RuleReason::NoCard, "card 300:7 does not fit into 26 bits"));
    rules.subjects[0].card = None;
    let without = super::book(&rules);
    let request = Request { reader: Some(CardFormat::Bits34), ..request("ann", "front", Passage::Entry, monday) };
    assert_eq!(without.rule(&request, &Presence::default()), Ruling::Denied(RuleReason::NoCard));
    assert_eq!(Rulebook::none().rule(&request, &Presence::default()), Ruling::Denied(RuleReason::NoCard));
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let before = book(&rules(OFFICE));
    let mut after = before.clone();
    let request = request("ann", "front", Passage::Entry, "2026-11-23T10:00:00Z");
    assert!(after.remove_subject("ann") && !after.remove_subject("ann"));
    assert_eq!((before.subjects(), after.subjects()), (5, 4));
    assert!(before.rule(&request, &Presence::default()).allowed());
    assert_eq!(after.rule(&request, &Presence::default()).code(), "not_in_rules");
}

#[test]
fn free_access_follows_its_schedule_and_tells_its_next_change() {
    let book = book(&rules(OFFICE));
    assert!(!book.free_access("front", time("2026-11-23T07:59:00Z")));
    assert!(book.free_access("front", time("2026-11-23T08:00:00Z")));
    assert!(!book.free_access("lab", time("2026-11-23T08:00:00Z")));
    let next = |at| book.next_free_access_change("front", time(at)).map(|at| at.to_string());
    assert_eq!(next("2026-11-23T07:59:00Z").as_deref(), Some("2026-11-23T08:00:00Z"));
    assert_eq!(next("2026-11-23T08:00:00Z").as_deref(), Some("2026-11-23T16:00:00Z"));
    // The Monday of the works holiday is passed over.
    assert_eq!(next("2026-12-21T16:00:00Z").as_deref(), Some("2027-01-04T08:00:00Z"));
    assert_eq!(book.next_free_access_change("lab", time("2026-11-23T08:00:00Z")), None);
}

#[test]
fn an_explanation_is_the_ruling_with_its_steps() {
    let book = book(&rules(OFFICE));
    let explain = |subject, at| book.explain(&request(subject, "front", Passage::Entry, at), &Presence::default());
    let denied = explain("bob", "2026-12-25T08:30:00Z");
    assert_eq!((denied.allowed, denied.code), (false, "closed_for_holiday"));
    let text = denied.to_string();
    for part in [
        "denied: this person may pass this door, but not now: it is a holiday",
        "+ the rules name subject 'bob'",
        "group 'lab' may not pass door 'front' inwards",
        "- group 'staff' may pass door 'front' on schedule 'office': 09:30 there (Europe/Brussels), Friday 2026-12-25, \
         Christmas (calendar 'be'): open 10:00–12:00",
    ] {
        assert!(text.contains(part), "'{part}' is not in:\n{text}");
    }
    let opens = denied.steps.last().and_then(|step| step.changes_at).map(|at| at.to_string());
    assert_eq!(opens.as_deref(), Some("2026-12-25T09:00:00Z"));
    let allowed = explain("bob", "2026-11-23T10:00:00Z");
    assert_eq!((allowed.allowed, allowed.code, allowed.class), (true, "allowed", Some(Class::Extended)));
    let json = serde_json::to_value(&allowed).expect("it has a form in JSON");
    assert_eq!(json["steps"][0]["finding"], "yes");
}

/// What the documents say, read naively: no index, no order, no compiled hours.
fn oracle(rules: &Rules, request: &Request<'_>) -> bool {
    let Some(subject) = rules.subjects.iter().find(|subject| subject.id == request.subject) else { return false };
    let valid = subject.active
        && subject.valid_from.is_none_or(|from| from <= request.at)
        && subject.valid_until.is_none_or(|until| request.at < until);
    let mine = rules.groups.iter().filter(|group| subject.groups.contains(&group.name));
    valid
        && mine.flat_map(|group| &group.access).any(|access| {
            access.doors.iter().any(|door| door == request.door)
                && access.passage.is_none_or(|passage| passage == request.passage)
                && access.schedule.as_ref().is_none_or(|name| {
                    let schedule = rules.schedules.iter().find(|schedule| schedule.name == *name).expect("it compiled");
                    schedules::naively_open(schedule, &rules.calendars, request.at)
                })
        })
}

fn some_rules() -> impl Strategy<Value = Rules> {
    let name = |kind: &'static str, count: usize| (0..count).prop_map(move |number| format!("{kind}{number}"));
    let access = (
        prop::collection::btree_set(name("door", 4), 1..4),
        prop::option::of(name("hours", 3)),
        prop::option::of(prop_oneof![Just(Passage::Entry), Just(Passage::Exit)]),
    )
        .prop_map(|(doors, schedule, passage)| Access { doors: doors.into_iter().collect(), schedule, passage });
    let groups = prop::collection::vec(prop::collection::vec(access, 0..3), 5);
    let day = |days: i64| time("2026-10-20T00:00:00Z") + jiff::SignedDuration::from_hours(days * 24);
    let subject = (
        prop::collection::btree_set(name("group", 5), 0..4),
        prop::option::of(0i64..10),
        prop::option::of(10i64..20),
        prop::bool::weighted(0.9),
    );
    (groups, prop::collection::vec(subject, 6), prop::collection::vec(schedules::some_week(), 3)).prop_map(
        move |(groups, subjects, weeks)| Rules {
            schedules: (0..)
                .zip(weeks)
                .map(|(number, week)| Schedule {
                    name: format!("hours{number}"),
                    zone: ["Europe/Brussels", "America/New_York", "Asia/Kathmandu"][number % 3].into(),
                    week,
                    holidays: Vec::new(),
                })
                .collect(),
            doors: (0..4)
                .map(|number| Door { name: format!("door{number}"), free_access: None, outside: None, inside: None })
                .collect(),
            groups: (0..)
                .zip(groups)
                .map(|(number, access)| Group { name: format!("group{number}"), access })
                .collect(),
            subjects: (0..)
                .zip(subjects)
                .map(|(number, (groups, from, until, active))| SubjectRules {
                    id: format!("subject{number}"),
                    groups: groups.into_iter().collect(),
                    valid_from: from.map(day),
                    valid_until: until.map(day),
                    class: Class::Standard,
                    active,
                    anti_passback_exempt: false,
                    card: None,
                })
                .collect(),
            ..Rules::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The compiled rules decide as the documents read, also when the subjects were put in one by one and in another
    /// order; and what is explained is what was decided.
    #[test]
    fn the_compiled_rules_say_what_the_documents_say(
        rules in some_rules(),
        asked in prop::collection::vec((0usize..7, 0usize..5, any::<bool>(), 0i64..20 * 24 * 60), 40),
    ) {
        let whole = book(&rules);
        let mut single = Rulebook::without_subjects(&rules, &zones).unwrap();
        for subject in rules.subjects.iter().rev() {
            single.put_subject(subject).unwrap();
        }
        for (subject, door, exit, minute) in asked {
            let (subject, door) = (format!("subject{subject}"), format!("door{door}"));
            let request = Request {
                subject: &subject,
                door: &door,
                passage: if exit { Passage::Exit } else { Passage::Entry },
                at: time("2026-10-20T00:00:00Z") + jiff::SignedDuration::from_mins(minute),
                now: moment(0),
                reader: None,
                clock_set: true,
            };
            let ruling = whole.rule(&request, &Presence::default());
            prop_assert_eq!(ruling.allowed(), oracle(&rules, &request), "{:?} {:?}", &request, &ruling);
            prop_assert_eq!(&single.rule(&request, &Presence::default()), &ruling);
            let explained = whole.explain(&request, &Presence::default());
            prop_assert_eq!((explained.allowed, explained.code), (ruling.allowed(), ruling.code()));
            prop_assert!(!explained.steps.is_empty());
            let last = explained.steps.last().map(|step| step.finding);
            prop_assert!(!ruling.allowed() || last == Some(Finding::Yes));
        }
    }
}
