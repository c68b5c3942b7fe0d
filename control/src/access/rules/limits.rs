//! How large a rule set may be. More is refused, so that nobody fills a door's memory through the API.

use super::document::Rules;
use crate::Fault;

/// Longest name of anything but a subject, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest id of a subject, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 256;
/// Most groups that a subject may be in.
pub const MAX_GROUPS_OF_SUBJECT: usize = 64;
/// Most subjects of a tenant.
pub const MAX_SUBJECTS: usize = 200_000;
/// Most doors, over all lines of all groups.
pub const MAX_GRANTS: usize = 200_000;
/// Most days in a row that one line of a calendar may name.
pub const MAX_DAYS_IN_A_ROW: usize = 400;

const MAX_CALENDARS: usize = 100;
pub(super) const MAX_DAYS: usize = 4_000;
const MAX_SCHEDULES: usize = 2_000;
const MAX_LINES: usize = 200;
const MAX_AREAS: usize = 1_000;
const MAX_DOORS: usize = 2_000;
const MAX_INTERLOCKS: usize = 500;
const MAX_GROUPS: usize = 20_000;

pub(super) fn too_many(place: &str, what: &str, count: usize, most: usize) -> Fault {
    Fault::new(format!("{place}: {count} {what} are too many"), format!("at most {most} are allowed"))
}

/// Refuses what is too large.
pub(super) fn check(rules: &Rules) -> Result<(), Fault> {
    let limit = |place: &str, what: &str, count: usize, most: usize| {
        if count > most { Err(too_many(place, what, count, most)) } else { Ok(()) }
    };
    for (what, count, most) in [
        ("calendars", rules.calendars.len(), MAX_CALENDARS),
        ("schedules", rules.schedules.len(), MAX_SCHEDULES),
        ("areas", rules.areas.len(), MAX_AREAS),
        ("doors", rules.doors.len(), MAX_DOORS),
        ("interlocks", rules.interlocks.len(), MAX_INTERLOCKS),
        ("groups", rules.groups.len(), MAX_GROUPS),
        ("subjects", rules.subjects.len(), MAX_SUBJECTS),
    ] {
        limit("the rules", what, count, most)?;
    }
    for calendar in &rules.calendars {
        limit(&format!("calendars '{}'", calendar.name.escape_debug()), "days", calendar.days.len(), MAX_DAYS)?;
    }
    for schedule in &rules.schedules {
        let place = format!("schedules '{}'", schedule.name.escape_debug());
        let special: usize = schedule.holidays.iter().map(|line| line.hours.len()).sum();
        limit(&place, "lines of hours", schedule.week.len() + special + schedule.holidays.len(), MAX_LINES)?;
        if let Some(line) = schedule.week.iter().find(|line| line.days.len() > 7) {
            return Err(too_many(&place, "days of the week", line.days.len(), 7));
        }
    }
    for interlock in &rules.interlocks {
        limit(&format!("interlocks '{}'", interlock.name.escape_debug()), "doors", interlock.doors.len(), MAX_DOORS)?;
    }
    let grants = rules.groups.iter().flat_map(|group| &group.access).map(|access| access.doors.len()).sum();
    limit("the rules", "doors over all groups", grants, MAX_GRANTS)
}
