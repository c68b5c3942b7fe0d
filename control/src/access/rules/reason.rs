//! Why the rules let somebody pass or not, each with a stable code and a sentence.

use std::{fmt, sync::Arc};

use super::presence::Way;
use crate::{Card, Class};

/// What the rules say to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The subject may pass.
    Allowed(Allowed),
    /// The subject may not.
    Denied(RuleReason),
}

/// How somebody may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// How much time they get.
    pub class: Class,
    /// What allowed it; none where there are no rules.
    pub by: Option<By>,
    /// What was against the rules of an area that only flags it.
    pub flag: Option<RuleReason>,
    /// What is to be sent, where the door is the reader of a panel.
    pub card: Option<Card>,
    /// From where to where it leads; none where the door has an area on neither side.
    pub way: Option<Way>,
}

/// What allowed a passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    pub group: Arc<str>,
    /// None: always.
    pub schedule: Option<Arc<str>>,
}

impl Ruling {
    /// Whether the subject may pass.
    pub fn allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// `allowed`, or the reason's code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Allowed(_) => "allowed",
            Self::Denied(reason) => reason.code(),
        }
    }

    /// The same in plain words.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::Allowed(Allowed { by: None, .. }) => "there are no rules: whoever is enrolled may pass",
            Self::Allowed(Allowed { flag: None, .. }) => "the rules let this person pass",
            Self::Allowed(_) => "the rules let this person pass, and note that an area's rule was broken",
            Self::Denied(reason) => reason.sentence(),
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $code:literal, $sentence:literal;)+) => {
        /// Why the rules do not let somebody pass.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RuleReason { $($(#[$doc])* $name,)+ }

        impl RuleReason {
            /// Every reason.
            pub const ALL: &[RuleReason] = &[$(RuleReason::$name,)+];

            /// The stable code, in snake case.
            pub const fn code(self) -> &'static str { match self { $(Self::$name => $code,)+ } }

            /// The same in plain words.
            pub const fn sentence(self) -> &'static str { match self { $(Self::$name => $sentence,)+ } }
        }
    };
}

reasons! {
    /// What is stored cannot be read.
    Unreadable => "rule_unreadable", "the rules cannot be read, so nobody is let in by them";
    /// There are rules, and this subject is not in them.
    NoSubject => "not_in_rules", "the rules do not name this person";
    /// Suspended.
    Inactive => "subject_inactive", "this person's access is suspended";
    /// `valid_from` is to come.
    NotYetValid => "not_yet_valid", "this person's access has not begun";
    /// `valid_until` has passed.
    Expired => "access_expired", "this person's access has ended";
    /// The rules do not name this door.
    NoDoor => "door_not_in_rules", "the rules do not name this door";
    /// None of the subject's groups may pass this door this way.
    NoGroup => "no_group_for_door", "none of this person's groups may pass this door this way";
    /// Some group may pass, at other hours.
    OutsideHours => "outside_hours", "this person may pass this door at other hours";
    /// Some group may pass, but today is a holiday.
    Holiday => "closed_for_holiday", "this person may pass this door, but not now: it is a holiday";
    /// Some group may pass by a schedule, but nobody knows what time it is.
    ClockUnset => "clock_unset", "this person may pass this door at some hours, but the board's clock is not set";
    /// The door is the reader of a panel, and the subject has no card, or none that fits into its bits.
    NoCard => "no_card", "this person has no card number that this door could send to its panel";
    /// Hard or soft anti-passback: inside already.
    AlreadyInside => "already_inside", "this person is inside already and has not left";
    /// Timed anti-passback: came in too short a while ago.
    TooSoon => "too_soon", "this person came in a short while ago";
    /// Hard or soft anti-passback: recorded inside an area from which this door does not lead.
    Elsewhere => "elsewhere", "this person is inside another area and has not left it";
    /// A grant to the same place is not used up.
    Pending => "passage_pending", "a door was opened for this person to go there, and it is not known whether they did";
    /// Leaves an area without having entered it.
    NotInside => "exit_without_entry", "this person leaves without having come in";
}

impl fmt::Display for RuleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}
