//! The rules as people write them: plain lists of named things, in JSON or TOML, before they are compiled.

use std::fmt;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::{Card, Class, Passage};

/// Everything that says who may pass where and when. Names are 1 to 64 bytes; no list holds a name twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Days that are not like other days.
    pub calendars: Vec<Calendar>,
    /// Hours of the week, in a time zone.
    pub schedules: Vec<Schedule>,
    /// Spaces in which somebody is or is not.
    pub areas: Vec<Area>,
    /// The doors that groups may be let through.
    pub doors: Vec<Door>,
    /// Doors of which only one may be open at a time.
    pub interlocks: Vec<Interlock>,
    /// Which doors a kind of person may pass, and when.
    pub groups: Vec<Group>,
    /// Who belongs to which groups.
    pub subjects: Vec<SubjectRules>,
}

/// A list of holidays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    pub name: String,
    #[serde(default)]
    pub days: Vec<Holiday>,
}

/// One holiday, or several days in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// `2026-12-25` for one year, `12-25` for every year.
    #[cfg_attr(feature = "schema", schema(value_type = String, pattern = r"^(\d{4}-)?\d{2}-\d{2}$"))]
    pub on: Day,
    /// The last of several days in a row, that day included. Only with a year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, pattern = r"^(\d{4}-)?\d{2}-\d{2}$"))]
    pub to: Option<Day>,
    /// What it is called in explanations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A day of one year, or of every year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Day {
    /// This day alone.
    Once(Date),
    /// Month and day. `02-29` is there in leap years only.
    Yearly(i8, i8),
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || format!("'{}' is no day: write 2026-12-25, or 12-25 for every year", text.escape_debug());
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let number = |part: &str| part.parse::<i8>().ok();
        let parts: Vec<&str> = text.split('-').collect();
        match parts[..] {
            [year, month, day]
                if year.len() == 4 && month.len() == 2 && day.len() == 2 && parts.iter().all(|part| digits(part)) =>
            {
                let date = Date::new(
                    year.parse().map_err(|_| refused())?,
                    number(month).unwrap_or(0),
                    number(day).unwrap_or(0),
                );
                date.map(Day::Once).map_err(|_| refused())
            }
            [month, day] if month.len() == 2 && day.len() == 2 && digits(month) && digits(day) => {
                let (month, day) = (number(month).unwrap_or(0), number(day).unwrap_or(0));
                // A leap year has every day that any year has.
                Date::new(2024, month, day).map(|_| Day::Yearly(month, day)).map_err(|_| refused())
            }
            _ => Err(refused()),
        }
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(date) => write!(f, "{date}"),
            Self::Yearly(month, day) => write!(f, "{month:02}-{day:02}"),
        }
    }
}

/// When something is open: hours of the week on the clock of a place, and what holidays make of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    pub name: String,
    /// The place's time zone in the IANA database: `Europe/Brussels`.
    pub zone: String,
    /// The hours of usual weeks. What is not listed is closed.
    #[serde(default)]
    pub week: Vec<WeekHours>,
    /// What is otherwise on holidays. Where a day is in several calendars, the first listed counts.
    #[serde(default)]
    pub holidays: Vec<HolidayHours>,
}

/// Hours on some days of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WeekHours {
    pub days: Vec<Weekday>,
    pub from: TimeOfDay,
    /// The first minute that is closed again; `24:00` is the end of the day.
    pub to: TimeOfDay,
}

/// Hours instead of the usual ones on the days of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HolidayHours {
    pub calendar: String,
    /// Empty: closed all day.
    #[serde(default)]
    pub hours: Vec<DayHours>,
}

/// Hours of one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DayHours {
    pub from: TimeOfDay,
    /// The first minute that is closed again; `24:00` is the end of the day.
    pub to: TimeOfDay,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// All seven, from Monday.
    pub const ALL: [Weekday; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// Its English name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mon => "Monday",
            Self::Tue => "Tuesday",
            Self::Wed => "Wednesday",
            Self::Thu => "Thursday",
            Self::Fri => "Friday",
            Self::Sat => "Saturday",
            Self::Sun => "Sunday",
        }
    }
}

/// A minute of the day, `00:00` to `24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String, pattern = r"^([01]\d|2[0-4]):[0-5]\d$"))]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// The end of the day.
    pub const END: TimeOfDay = TimeOfDay(24 * 60);

    /// The time that lies `minutes` after midnight; none beyond `24:00`.
    pub const fn from_minutes(minutes: u16) -> Option<Self> {
        if minutes <= Self::END.0 { Some(Self(minutes)) } else { None }
    }

    /// Minutes since midnight.
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parse = || {
            let (hour, minute) = text.split_once(':')?;
            let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            if !two_digits(hour) || !two_digits(minute) {
                return None;
            }
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            if minute < 60 { Self::from_minutes(hour * 60 + minute) } else { None }
        };
        parse().ok_or_else(|| format!("'{}' is no time of day: write 00:00 to 24:00", text.escape_debug()))
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> String {
        time.to_string()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A space that doors lead into and out of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Area {
    pub name: String,
    /// Whether somebody who is inside may come in again.
    #[serde(default)]
    pub anti_passback: AntiPassback,
    /// For how long a second entry is denied, 1 to 1,440 minutes. With `timed`, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u16>,
    /// What is done about somebody who leaves without having come in.
    #[serde(default)]
    pub exit_without_entry: Strictness,
}

/// Whether somebody who is inside an area may come in again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AntiPassback {
    /// Yes.
    #[default]
    Off,
    /// Yes, and the journal says that it was a second time.
    Soft,
    /// Not before they have left.
    Hard,
    /// Not for some minutes, or before they have left.
    Timed,
}

/// What is done about something that is against the rules of an area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// Nothing.
    Allow,
    /// It is allowed, and the journal says so.
    #[default]
    Flag,
    /// It is denied.
    Deny,
}

/// A door, and what is on its two sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RulesDoor))]
#[serde(deny_unknown_fields)]
pub struct Door {
    /// As in the daemon's configuration.
    pub name: String,
    /// While this schedule is open, so is the door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_access: Option<String>,
    /// The area from which an entry comes; none for the world outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<String>,
    /// The area into which an entry leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
}

/// Doors of which only one may be open at a time, such as the two of a sluice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Interlock {
    pub name: String,
    /// At least two.
    pub doors: Vec<String>,
}

/// A kind of person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    /// Where they may pass. Each line adds to what the others allow.
    #[serde(default)]
    pub access: Vec<Access>,
}

/// Some doors at some hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Access {
    pub doors: Vec<String>,
    /// When. None: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Which way. None: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passage: Option<Passage>,
}

/// What the rules know of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubjectRules {
    /// As enrolled: 1 to 256 bytes.
    pub id: String,
    #[serde(default)]
    pub groups: Vec<String>,
    /// Not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Not from this on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// How much time they need at a door.
    #[serde(default)]
    pub class: Class,
    /// False: let in nowhere, as if suspended.
    #[serde(default = "yes")]
    pub active: bool,
    /// What a panel is sent in their place by a door that is the reader of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Card>,
    /// Let in again although inside, as a guard may be. Where they are is noted all the same.
    #[serde(default)]
    pub anti_passback_exempt: bool,
}

const fn yes() -> bool {
    true
}
