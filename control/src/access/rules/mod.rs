//! Who may pass which door, and when.
//!
//! [`Rules`] are what people write; [`Rulebook::compile`] checks every word of them and makes what decides. A *group* may
//! pass *doors* on *schedules*; a *subject* is in groups, from a time until a time. *Areas* remember who is inside
//! ([`Presence`]), and may deny a second entry. [`Rulebook::rule`] decides, and [`Rulebook::explain`] is the same function
//! told to write down every step.
//!
//! # What holds
//!
//! - Where there are no rules at all, whoever is enrolled may pass. As soon as there is a rule book, even an empty one,
//!   what it does not allow is denied.
//! - Rules that cannot be read deny, and say so.
//! - Schedules go by the wall clock of their place; how long ago somebody came in goes by the monotonic clock. A wall clock
//!   that is set back opens nothing that anti-passback keeps shut.

mod compile;
mod decide;
mod document;
mod explain;
mod hours;
mod limits;
mod plan;
mod presence;
mod reason;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;

pub use self::{
    compile::Zones,
    document::{
        Access, AntiPassback, Area, Calendar, Day, DayHours, Door, Group, Holiday, HolidayHours, Interlock, Rules,
        Schedule, Strictness, SubjectRules, TimeOfDay, WeekHours, Weekday,
    },
    explain::{Explanation, Finding, Step},
    limits::{MAX_GRANTS, MAX_GROUPS_OF_SUBJECT, MAX_NAME_BYTES, MAX_SUBJECT_BYTES, MAX_SUBJECTS},
    presence::{Movement, Place, Presence, Way, Whereabouts},
    reason::{Allowed, By, RuleReason, Ruling},
};
use self::{
    hours::Hours,
    plan::{People, Plan},
};
use crate::{CardFormat, Fault, Moment, Passage};

/// Somebody wants to pass.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who, as enrolled.
    pub subject: &'a str,
    /// Where.
    pub door: &'a str,
    /// Which way.
    pub passage: Passage,
    /// The wall clock, for schedules and validity.
    pub at: Timestamp,
    /// The monotonic clock, for timed anti-passback.
    pub now: Moment,
    /// How the door sends cards to a panel, where it is the reader of one: nobody passes there without a card.
    pub reader: Option<CardFormat>,
    /// Whether `at` can be relied on. A board without a clock of its own begins in the past: until its clock is set, no schedule
    /// lets anybody in.
    pub clock_set: bool,
}

/// The rules of a tenant, compiled. It never changes while it decides: a change makes another one, which shares with this
/// one what is the same.
#[derive(Clone, Debug)]
pub struct Rulebook {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Nobody has written any rules.
    None,
    /// There are rules that cannot be read.
    Unreadable,
    InForce(InForce),
}

#[derive(Clone, Debug)]
struct InForce {
    plan: Arc<Plan>,
    people: People,
    /// How many subjects' rules are there that cannot be read.
    unreadable: usize,
}

impl Rulebook {
    /// No rules: whoever is enrolled may pass.
    pub const fn none() -> Self {
        Self { state: State::None }
    }

    /// Rules that cannot be read: nobody may pass.
    pub const fn unreadable() -> Self {
        Self { state: State::Unreadable }
    }

    /// Checks the rules and compiles them.
    ///
    /// # Errors
    /// The first mistake, with its place and its cure: an unknown group, door, schedule, calendar, area or time zone, a name
    /// that stands twice, hours that are empty or overlap, a validity that ends before it begins, too much of anything.
    pub fn compile(rules: &Rules, zones: Zones<'_>) -> Result<Self, Fault> {
        let mut this = Self::without_subjects(rules, zones)?;
        let mut seen = std::collections::HashSet::new();
        for subject in &rules.subjects {
            if !seen.insert(subject.id.as_str()) {
                return Err(Fault::new(
                    format!("subjects '{}': this subject stands twice", subject.id.escape_debug()),
                    "make one of the two",
                ));
            }
            this.put_subject(subject)?;
        }
        Ok(this)
    }

    /// Compiles all but the subjects of `rules`, which are put in one by one.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn without_subjects(rules: &Rules, zones: Zones<'_>) -> Result<Self, Fault> {
        let plan = Arc::new(compile::plan(rules, zones)?);
        Ok(Self { state: State::InForce(InForce { plan, people: People::new(), unreadable: 0 }) })
    }

    /// Puts a subject in, or in the place of what was known of it. Makes an empty rule book where there was none.
    ///
    /// # Errors
    /// As [`compile`](Self::compile), and where the rules cannot be read. Then the subject is as it was.
    pub fn put_subject(&mut self, subject: &SubjectRules) -> Result<(), Fault> {
        if matches!(self.state, State::None) {
            *self = Self::without_subjects(&Rules::default(), &|_| None)?;
        }
        let State::InForce(book) = &mut self.state else {
            return Err(Fault::new("the rules cannot be read", "import them again: facegate access import"));
        };
        let person = compile::person(subject, &book.plan)?;
        let new = book.people.get(&subject.id).is_none();
        if new && book.people.len() >= MAX_SUBJECTS {
            return Err(limits::too_many("subjects", "subjects", book.people.len() + 1, MAX_SUBJECTS));
        }
        book.people.insert(subject.id.as_str().into(), person);
        Ok(())
    }

    /// Takes a subject out; whether it was in.
    pub fn remove_subject(&mut self, subject: &str) -> bool {
        match &mut self.state {
            State::InForce(book) => book.people.remove(subject),
            State::None | State::Unreadable => false,
        }
    }

    /// Says how many subjects' rules are stored that cannot be read: a subject that is not found may be one of them.
    pub fn set_unreadable_subjects(&mut self, count: usize) {
        if let State::InForce(book) = &mut self.state {
            book.unreadable = count;
        }
    }

    /// Whether there are rules, readable or not.
    pub fn exists(&self) -> bool {
        !matches!(self.state, State::None)
    }

    /// Whether there are rules that cannot be read, some or all.
    pub fn is_damaged(&self) -> bool {
        match &self.state {
            State::None => false,
            State::Unreadable => true,
            State::InForce(book) => book.unreadable > 0,
        }
    }

    /// How many subjects it knows.
    pub fn subjects(&self) -> usize {
        self.in_force().map_or(0, |book| book.people.len())
    }

    /// Whether it knows this door.
    pub fn knows_door(&self, door: &str) -> bool {
        self.in_force().is_some_and(|book| book.plan.door(door).is_some())
    }

    /// Whether the door stands open for everybody at `at`, by its schedule of free access.
    pub fn free_access(&self, door: &str, at: Timestamp) -> bool {
        self.free_hours(door).is_some_and(|hours| hours.open(at))
    }

    /// When [`free_access`](Self::free_access) answers otherwise for the first time after `at`; none within 400 days.
    pub fn next_free_access_change(&self, door: &str, at: Timestamp) -> Option<Timestamp> {
        self.free_hours(door)?.next_change(at)
    }

    /// Whether a schedule is open at `at`; none where there is no such schedule.
    pub fn schedule_open(&self, schedule: &str, at: Timestamp) -> Option<bool> {
        self.schedule(schedule).map(|hours| hours.open(at))
    }

    /// When a schedule opens or closes for the first time after `at`; none within 400 days.
    pub fn next_change(&self, schedule: &str, at: Timestamp) -> Option<Timestamp> {
        self.schedule(schedule)?.next_change(at)
    }

    /// The interlocks: a name each, and the doors of which only one may be open at a time.
    pub fn interlocks(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        let plan = self.in_force().map(|book| &*book.plan);
        plan.into_iter().flat_map(|plan| {
            plan.interlocks.iter().map(|interlock| {
                let doors = interlock.doors.iter().filter_map(|&door| plan.doors.get(door as usize));
                (&*interlock.name, doors.map(|door| &*door.name).collect())
            })
        })
    }

    fn in_force(&self) -> Option<&InForce> {
        match &self.state {
            State::InForce(book) => Some(book),
            State::None | State::Unreadable => None,
        }
    }

    fn free_hours(&self, door: &str) -> Option<&Hours> {
        let plan = &self.in_force()?.plan;
        plan.hours_at(plan.door(door)?.free_access)
    }

    fn schedule(&self, name: &str) -> Option<&Hours> {
        self.in_force()?.plan.hours.iter().find(|hours| &*hours.name == name)
    }
}

impl Default for Rulebook {
    fn default() -> Self {
        Self::none()
    }
}
