//! What an API key may do.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::error::{Error, Kind, Result};

/// One kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Right {
    /// Enrol faces. Whoever is enrolled may pass, as far as the rules let them.
    Enrol,
    /// Search and verify.
    Match,
    /// Read who is enrolled, the rules, who is where, and how the doors are.
    Read,
    /// Delete embeddings.
    Delete,
    /// Change the rules, forgive, and manage the tenant's keys.
    Admin,
    /// Command the doors: unlock, hold, lock down.
    Door,
    /// Export and import the tenant's enrolments, templates and all.
    Transfer,
}

impl Right {
    /// Every right, in the order in which they are listed.
    pub const ALL: [Self; 7] =
        [Self::Enrol, Self::Match, Self::Read, Self::Delete, Self::Admin, Self::Door, Self::Transfer];

    /// Its name, as it is written and stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::Match => "match",
            Self::Read => "read",
            Self::Delete => "delete",
            Self::Admin => "admin",
            Self::Door => "door",
            Self::Transfer => "transfer",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl FromStr for Right {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|right| right.name() == text).ok_or_else(|| {
            Error::new(Kind::InvalidField, format!("'{}' is no right", text.escape_debug()))
                .help(format!("rights are: {}", Rights::all()))
        })
    }
}

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// Every right.
    pub fn all() -> Self {
        Right::ALL.into_iter().collect()
    }

    /// Whether it is among them.
    pub const fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Those that are in it.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |&right| self.has(right))
    }

    /// As they are stored: a bit each. Unknown ones are left out.
    pub(super) fn from_bits(bits: u8) -> Self {
        Self(bits & Self::all().0)
    }

    pub(super) const fn bits(self) -> u8 {
        self.0
    }
}

impl Default for Rights {
    /// Everything but commanding doors and taking templates away, which a key must be made for.
    fn default() -> Self {
        Right::ALL.into_iter().filter(|right| !matches!(right, Right::Door | Right::Transfer)).collect()
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |bits, right| bits | right.bit()))
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Right::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(Right::name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_comes_back_from_its_bits() {
        for number in 0..1 << Right::ALL.len() {
            let rights: Rights = Right::ALL.into_iter().filter(|right| number & right.bit() != 0).collect();
            assert_eq!((rights.bits(), Rights::from_bits(number)), (number, rights));
            for right in Right::ALL {
                assert_eq!(rights.has(right), number & right.bit() != 0);
            }
        }
        assert_eq!(Rights::from_bits(0xff), Rights::all());
    }

    #[test]
    fn a_name_is_read_back_and_any_other_refused_with_the_list() {
        for right in Right::ALL {
            assert_eq!(right.name().parse::<Right>().expect("its own name"), right);
        }
        let error = "enroll".parse::<Right>().expect_err("a misspelt one");
        assert!(error.advice().is_some_and(|help| help.contains("enrol, match")));
    }

    #[test]
    fn commanding_doors_and_taking_templates_away_must_be_asked_for() {
        let usual = Rights::default();
        assert!(!usual.has(Right::Door) && !usual.has(Right::Transfer) && usual.has(Right::Admin));
    }
}
