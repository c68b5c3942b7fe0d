//! A compiled schedule: whether it is open at an instant, and when that changes next.
//!
//! A schedule is open exactly while the clock on the wall of its place reads a time within its hours. All that daylight
//! saving does follows from that sentence. Hours that the clock skips in spring do not happen; hours that it shows twice in
//! autumn happen twice; hours that begin within a gap begin at its end.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};

use super::document::{Day, Weekday};

/// How far ahead a change is looked for. Longer than a year, so that a schedule of holidays alone is found out.
const HORIZON: Duration = Duration::from_hours(24 * 400);

/// Minutes of a day, from the first to before the last.
pub(super) type Span = (u16, u16);

/// The days of a calendar.
#[derive(Debug)]
pub(super) struct Holidays {
    pub name: Arc<str>,
    /// What each day is called, where it is called anything.
    pub days: HashMap<Day, Option<Arc<str>>>,
}

impl Holidays {
    fn get(&self, date: Date) -> Option<&Option<Arc<str>>> {
        self.days.get(&Day::Once(date)).or_else(|| self.days.get(&Day::Yearly(date.month(), date.day())))
    }
}

/// A compiled schedule. Spans are in order, none is empty and none overlaps another.
#[derive(Debug)]
pub(super) struct Hours {
    pub name: Arc<str>,
    pub zone: TimeZone,
    pub zone_name: Arc<str>,
    /// From Monday.
    pub week: [Vec<Span>; 7],
    pub holidays: Vec<(Arc<Holidays>, Vec<Span>)>,
}

/// A holiday that decided about a day's hours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub calendar: &'a str,
    pub name: Option<&'a str>,
}

/// What a schedule says of an instant.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub open: bool,
    /// What the clock on the wall reads.
    pub local: DateTime,
    /// The hours of that day.
    pub spans: &'a [Span],
    /// Where that day is a holiday.
    pub holiday: Option<Found<'a>>,
}

impl Hours {
    /// What it says of `at`.
    pub fn read(&self, at: Timestamp) -> Reading<'_> {
        let local = self.zone.to_offset(at).to_datetime(at);
        let (spans, holiday) = self.of(local.date());
        Reading { open: within(spans, minute(local)), local, spans, holiday }
    }

    /// Whether it is open at `at`.
    pub fn open(&self, at: Timestamp) -> bool {
        self.read(at).open
    }

    /// Whether it would be open at `at` if that day were no holiday.
    pub fn usually_open(&self, at: Timestamp) -> bool {
        let local = self.zone.to_offset(at).to_datetime(at);
        within(self.usual(local.date()), minute(local))
    }

    /// The first instant after `at` from which [`open`](Self::open) answers otherwise; none within the next 400 days.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        let horizon = at.checked_add(HORIZON).ok()?;
        let open = self.open(at);
        let mut from = at;
        while from < horizon {
            // Between two transitions the offset stands still, and local time runs as time does.
            let offset = self.zone.to_offset(from);
            let turn = self.zone.following(from).next().map(|transition| transition.timestamp());
            let end = turn.unwrap_or(Timestamp::MAX).min(horizon);
            let last = offset.to_datetime(end);
            let change = self.next_local_change(offset.to_datetime(from), last, open);
            if let Some(change) = change.and_then(|local| offset.to_timestamp(local).ok())
                && change < end
            {
                return Some(change);
            }
            if turn == Some(end) && self.open(end) != open {
                return Some(end);
            }
            from = end;
        }
        None
    }

    /// The first local time after `from` and before `end` that is not `open`, on a clock that is never put forward or back.
    fn next_local_change(&self, from: DateTime, end: DateTime, open: bool) -> Option<DateTime> {
        let mut date = from.date();
        while date <= end.date() {
            let (spans, _) = self.of(date);
            let midnight = date.at(0, 0, 0, 0);
            let turns = spans.iter().flat_map(|&(from, to)| [from, to]).filter(|&minute| minute < 24 * 60);
            for turn in std::iter::once(0).chain(turns) {
                let local = midnight.checked_add(Duration::from_secs(u64::from(turn) * 60)).ok()?;
                if local > from && within(spans, turn) != open {
                    return Some(local);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The hours of a day.
    fn of(&self, date: Date) -> (&[Span], Option<Found<'_>>) {
        for (calendar, spans) in &self.holidays {
            if let Some(name) = calendar.get(date) {
                return (spans, Some(Found { calendar: &calendar.name, name: name.as_deref() }));
            }
        }
        (self.usual(date), None)
    }

    /// The hours of that day of the week.
    fn usual(&self, date: Date) -> &[Span] {
        let day = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or_default();
        self.week.get(day).map_or(&[], Vec::as_slice)
    }
}

/// The day of the week that a local time is on.
pub(super) fn weekday(local: DateTime) -> Weekday {
    let day = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default();
    Weekday::ALL.get(day).copied().unwrap_or(Weekday::Mon)
}

fn minute(local: DateTime) -> u16 {
    u16::try_from(i16::from(local.hour()) * 60 + i16::from(local.minute())).unwrap_or_default()
}

fn within(spans: &[Span], minute: u16) -> bool {
    spans.iter().any(|&(from, to)| from <= minute && minute < to)
}
