//! From the rules as they are written to what decides: every name found, every mistake refused with its place and its cure.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use jiff::{civil::Date, tz::TimeZone};

use super::{
    document::{AntiPassback, Area, Calendar, Day, Door, Rules, Schedule, Strictness, SubjectRules},
    hours::{Holidays, Hours, Span},
    limits::{self, MAX_DAYS_IN_A_ROW, MAX_NAME_BYTES, MAX_SUBJECT_BYTES},
    plan::{AreaPlan, DoorPlan, Grant, InterlockPlan, Person, Plan},
};
use crate::Fault;

/// Finds a time zone by its name in the IANA database.
pub type Zones<'a> = &'a dyn Fn(&str) -> Option<TimeZone>;

type Result<T> = std::result::Result<T, Fault>;

/// The numbers of named things of one kind.
struct Index {
    kind: &'static str,
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Index {
    /// Numbers the names in their order; refuses what is no name and what stands twice.
    fn new<'a>(kind: &'static str, list: &'static str, names: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut this = Self { kind, names: Vec::new(), numbers: HashMap::new() };
        for (position, name) in names.enumerate() {
            if !is_name(name, MAX_NAME_BYTES) {
                return Err(Fault::new(
                    format!("{list}, entry {}: '{}' is no name", position + 1, name.escape_debug()),
                    format!("a name is 1 to {MAX_NAME_BYTES} bytes without control characters"),
                ));
            }
            let name: Arc<str> = name.into();
            let number = u32::try_from(position).unwrap_or(u32::MAX);
            if this.numbers.insert(Arc::clone(&name), number).is_some() {
                return Err(Fault::new(
                    format!("{list}, entry {}: there is another {kind} '{name}'", position + 1),
                    "give each its own name, or make one of the two",
                ));
            }
            this.names.push(name);
        }
        Ok(this)
    }

    /// The number of a name, for the rule at `place`.
    fn find(&self, name: &str, place: impl FnOnce() -> String) -> Result<u32> {
        self.numbers.get(name).copied().ok_or_else(|| unknown(self.kind, name, &self.names, &place()))
    }
}

fn unknown(kind: &str, name: &str, names: &[Arc<str>], place: &str) -> Fault {
    const SHOWN: usize = 8;
    let mut there: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    if names.len() > SHOWN {
        there.push("…");
    }
    let help = if there.is_empty() {
        format!("there is no {kind} at all: add '{}' first", name.escape_debug())
    } else {
        format!("add it, or name one of those there are: {}", there.join(", "))
    };
    Fault::new(format!("{place}: there is no {kind} '{}'", name.escape_debug()), help)
}

fn is_name(name: &str, most: usize) -> bool {
    (1..=most).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Compiles all but the subjects.
pub(super) fn plan(rules: &Rules, zones: Zones<'_>) -> Result<Plan> {
    limits::check(rules)?;
    let calendars = Index::new("calendar", "calendars", rules.calendars.iter().map(|it| it.name.as_str()))?;
    let schedules = Index::new("schedule", "schedules", rules.schedules.iter().map(|it| it.name.as_str()))?;
    let areas = Index::new("area", "areas", rules.areas.iter().map(|it| it.name.as_str()))?;
    let doors = Index::new("door", "doors", rules.doors.iter().map(|it| it.name.as_str()))?;
    let groups = Index::new("group", "groups", rules.groups.iter().map(|it| it.name.as_str()))?;
    let interlocks = Index::new("interlock", "interlocks", rules.interlocks.iter().map(|it| it.name.as_str()))?;

    let holidays: Vec<_> = rules.calendars.iter().map(|it| holidays(it).map(Arc::new)).collect::<Result<_>>()?;
    let mut plan = Plan {
        hours: rules.schedules.iter().map(|it| hours(it, &calendars, &holidays, zones)).collect::<Result<_>>()?,
        areas: rules.areas.iter().map(area).collect::<Result<_>>()?,
        doors: rules.doors.iter().map(|it| door(it, &schedules, &areas)).collect::<Result<_>>()?,
        interlocks: Vec::new(),
        door_numbers: doors.numbers.clone(),
        group_numbers: groups.numbers,
        groups: groups.names,
        area_numbers: areas.numbers.clone(),
    };
    for (interlock, name) in rules.interlocks.iter().zip(&interlocks.names) {
        let place = || format!("interlocks '{name}'");
        let members: BTreeSet<u32> =
            interlock.doors.iter().map(|door| doors.find(door, place)).collect::<Result<_>>()?;
        if members.len() < 2 || members.len() != interlock.doors.len() {
            return Err(Fault::new(
                format!("{}: an interlock is between at least two doors, each named once", place()),
                "name the doors of which only one may be open at a time, or delete the interlock",
            ));
        }
        plan.interlocks.push(InterlockPlan { name: Arc::clone(name), doors: members.into_iter().collect() });
    }
    for (number, group) in (0u32..).zip(&rules.groups) {
        for (line, access) in group.access.iter().enumerate() {
            let place = || format!("groups '{}', access {}", group.name, line + 1);
            let schedule = access.schedule.as_deref().map(|name| schedules.find(name, place)).transpose()?;
            let mut seen = HashSet::new();
            for name in &access.doors {
                let door = doors.find(name, place)?;
                if !seen.insert(door) {
                    return Err(Fault::new(format!("{}: door '{name}' stands twice", place()), "name it once"));
                }
                if let Some(door) = plan.doors.get_mut(door as usize) {
                    door.grants.push(Grant { group: number, schedule, passage: access.passage });
                }
            }
            if access.doors.is_empty() {
                return Err(Fault::new(
                    format!("{}: it names no door", place()),
                    "name the doors that the group may pass, or delete this line",
                ));
            }
        }
    }
    for door in &mut plan.doors {
        // Stable, so that of several lines the first that is open is the one that explanations name.
        door.grants.sort_by_key(|grant| grant.group);
    }
    Ok(plan)
}

/// Compiles what is known of one subject.
pub(super) fn person(subject: &SubjectRules, plan: &Plan) -> Result<Person> {
    let place = || format!("subjects '{}'", subject.id.escape_debug());
    if !is_name(&subject.id, MAX_SUBJECT_BYTES) {
        return Err(Fault::new(
            format!("{}: this is no subject's id", place()),
            format!("an id is 1 to {MAX_SUBJECT_BYTES} bytes without control characters"),
        ));
    }
    if subject.groups.len() > limits::MAX_GROUPS_OF_SUBJECT {
        return Err(limits::too_many(&place(), "groups", subject.groups.len(), limits::MAX_GROUPS_OF_SUBJECT));
    }
    if let (Some(from), Some(until)) = (subject.valid_from, subject.valid_until)
        && from >= until
    {
        return Err(Fault::new(
            format!("{}: valid_from {from} is not before valid_until {until}", place()),
            "exchange the two, or leave one out",
        ));
    }
    let mut groups = Vec::with_capacity(subject.groups.len());
    for name in &subject.groups {
        let number = plan.group_numbers.get(name.as_str()).copied();
        let number = number.ok_or_else(|| unknown("group", name, &plan.groups, &place()))?;
        if groups.contains(&number) {
            return Err(Fault::new(format!("{}: group '{name}' stands twice", place()), "name it once"));
        }
        groups.push(number);
    }
    Ok(Person {
        groups: groups.into_boxed_slice(),
        valid_from: subject.valid_from,
        valid_until: subject.valid_until,
        class: subject.class,
        active: subject.active,
        exempt: subject.anti_passback_exempt,
        card: subject.card,
    })
}

fn holidays(calendar: &Calendar) -> Result<Holidays> {
    let mut days = HashMap::new();
    for (position, holiday) in calendar.days.iter().enumerate() {
        let place = || format!("calendars '{}', day {}", calendar.name, position + 1);
        let name: Option<Arc<str>> = holiday.name.as_deref().map(Into::into);
        if name.as_ref().is_some_and(|name| !is_name(name, MAX_NAME_BYTES)) {
            return Err(Fault::new(
                format!("{}: its name is none", place()),
                format!("a name is 1 to {MAX_NAME_BYTES} bytes without control characters"),
            ));
        }
        for day in each_day(holiday.on, holiday.to).map_err(|fault| fault.within(&place()))? {
            if days.insert(day, name.clone()).is_some() {
                return Err(Fault::new(format!("{}: {day} is in this calendar already", place()), "name it once"));
            }
            if days.len() > limits::MAX_DAYS {
                return Err(limits::too_many(&place(), "days", days.len(), limits::MAX_DAYS));
            }
        }
    }
    Ok(Holidays { name: calendar.name.as_str().into(), days })
}

/// All days from `on` to `to`.
fn each_day(on: Day, to: Option<Day>) -> Result<Vec<Day>> {
    let Some(to) = to else { return Ok(vec![on]) };
    let (Day::Once(first), Day::Once(last)) = (on, to) else {
        return Err(Fault::new(
            "days in a row are of one year",
            "write both with their year, such as 2026-12-24 to 2027-01-01, or name each day",
        ));
    };
    if first >= last {
        return Err(Fault::new(format!("{first} is not before {last}"), "exchange the two, or leave `to` out"));
    }
    let days: Vec<Date> =
        first.series(jiff::Span::new().days(1)).take_while(|&day| day <= last).take(MAX_DAYS_IN_A_ROW + 1).collect();
    if days.len() > MAX_DAYS_IN_A_ROW {
        return Err(Fault::new(
            format!("{first} to {last} is more than {MAX_DAYS_IN_A_ROW} days"),
            "for a place that is closed for good, take it out of the groups",
        ));
    }
    Ok(days.into_iter().map(Day::Once).collect())
}

fn hours(schedule: &Schedule, calendars: &Index, holidays: &[Arc<Holidays>], zones: Zones<'_>) -> Result<Hours> {
    let name = &schedule.name;
    let zone = zones(&schedule.zone).filter(|zone| zone.iana_name().is_some()).ok_or_else(|| {
        Fault::new(
            format!("schedules '{name}': there is no time zone '{}'", schedule.zone.escape_debug()),
            "name one of the IANA database, such as Europe/Brussels or America/New_York; on a small system see that \
             tzdata is installed",
        )
    })?;
    let mut week: [Vec<Span>; 7] = Default::default();
    for (position, line) in schedule.week.iter().enumerate() {
        let place = || format!("schedules '{name}', week {}", position + 1);
        if line.days.is_empty() {
            return Err(Fault::new(
                format!("{}: it names no day", place()),
                "name days out of mon, tue, wed, thu, fri, sat, sun, or delete this line",
            ));
        }
        for &day in &line.days {
            let Some(spans) = week.get_mut(day as usize) else { continue };
            add_span(spans, line.from.minutes(), line.to.minutes())
                .map_err(|fault| fault.within(&format!("{}, {}", place(), day.name())))?;
        }
    }
    let mut special = Vec::with_capacity(schedule.holidays.len());
    let mut seen = HashSet::new();
    for line in &schedule.holidays {
        let place = || format!("schedules '{name}', holidays of '{}'", line.calendar);
        let number = calendars.find(&line.calendar, place)?;
        if !seen.insert(number) {
            return Err(Fault::new(format!("{}: this calendar stands twice", place()), "name it once"));
        }
        let mut spans = Vec::new();
        for hours in &line.hours {
            add_span(&mut spans, hours.from.minutes(), hours.to.minutes()).map_err(|fault| fault.within(&place()))?;
        }
        if let Some(days) = holidays.get(number as usize) {
            special.push((Arc::clone(days), spans));
        }
    }
    Ok(Hours { name: name.as_str().into(), zone, zone_name: schedule.zone.as_str().into(), week, holidays: special })
}

/// Adds hours to those of a day, in order.
fn add_span(spans: &mut Vec<Span>, from: u16, to: u16) -> Result<()> {
    let text = |(from, to): Span| format!("{:02}:{:02} to {:02}:{:02}", from / 60, from % 60, to / 60, to % 60);
    if from >= to {
        let what = if from == to { "is empty" } else { "ends before it begins" };
        return Err(Fault::new(
            format!("{} {what}", text((from, to))),
            "hours are within one day, and 24:00 is its end; a night is two lines, to 24:00 and from 00:00 of the day \
             after",
        ));
    }
    if let Some(&other) = spans.iter().find(|other| other.0 < to && from < other.1) {
        return Err(Fault::new(
            format!("{} overlaps {}", text((from, to)), text(other)),
            "make one of the two, or let one begin where the other ends",
        ));
    }
    let place = spans.partition_point(|other| other.0 < from);
    spans.insert(place, (from, to));
    Ok(())
}

fn area(area: &Area) -> Result<AreaPlan> {
    let timed = area.anti_passback == AntiPassback::Timed;
    let minutes = match (timed, area.minutes) {
        (true, Some(minutes @ 1..=1_440)) => minutes,
        (false, None) => 0,
        (true, _) => {
            return Err(Fault::new(
                format!("areas '{}': timed anti-passback needs minutes, 1 to 1440", area.name),
                "say for how many minutes a second entry is denied",
            ));
        }
        (false, Some(_)) => {
            return Err(Fault::new(
                format!("areas '{}': minutes without timed anti-passback", area.name),
                "set anti_passback to \"timed\", or leave minutes out",
            ));
        }
    };
    if area.anti_passback == AntiPassback::Off && area.exit_without_entry == Strictness::Deny {
        return Err(Fault::new(
            format!("areas '{}': exit_without_entry is \"deny\", but anti_passback is off", area.name),
            "set anti_passback to \"soft\", \"hard\" or \"timed\", or leave exit_without_entry out",
        ));
    }
    Ok(AreaPlan {
        name: area.name.as_str().into(),
        anti_passback: area.anti_passback,
        window: std::time::Duration::from_secs(u64::from(minutes) * 60),
        exit_without_entry: area.exit_without_entry,
    })
}

fn door(door: &Door, schedules: &Index, areas: &Index) -> Result<DoorPlan> {
    let place = || format!("doors '{}'", door.name);
    let find = |index: &Index, name: &Option<String>| name.as_deref().map(|name| index.find(name, place)).transpose();
    let (outside, inside) = (find(areas, &door.outside)?, find(areas, &door.inside)?);
    if outside.is_some() && outside == inside {
        return Err(Fault::new(
            format!("{}: the same area is on both of its sides", place()),
            "leave `outside` out where the door leads to the world outside",
        ));
    }
    let free_access = find(schedules, &door.free_access)?;
    Ok(DoorPlan { name: door.name.as_str().into(), free_access, outside, inside, grants: Vec::new() })
}
