//! When an API key ends, as people write it.

use std::{str::FromStr, time::Duration};

use jiff::{Span, SpanRelativeTo, Timestamp};

use crate::error::{Error, Kind, Result};

/// Longest time that is taken, in seconds: 100 years of 365 days.
const LONGEST_SECONDS: i64 = 100 * 365 * 24 * 3600;

/// A length of time of 0 s to 100 years, as people write it: `90d`, `24h`, `1w 12h`. A day has 24 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within(pub Duration);

impl FromStr for Within {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let message = format!("'{}' is no length of time of at most 36500d", text.escape_debug());
            Error::new(Kind::InvalidField, message).help("write it as 90d, 24h or 30m")
        };
        let span: Span = text.trim().parse().map_err(|_| wrong())?;
        let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
        if length.as_secs() > LONGEST_SECONDS {
            return Err(wrong());
        }
        // A length below zero is none.
        Duration::try_from(length).map(Self).map_err(|_| wrong())
    }
}

/// When a key ends: some time from when it is made, or at a time of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// So long after it is made.
    Within(Within),
    /// At this time.
    Until(Timestamp),
}

impl Lifetime {
    /// When a key that is made `now` ends.
    ///
    /// # Errors
    /// `InvalidField` where that is not after `now`.
    pub fn end(self, now: Timestamp) -> Result<Timestamp> {
        let end = match self {
            Self::Within(Within(length)) => now.checked_add(length).unwrap_or(Timestamp::MAX),
            Self::Until(end) => end,
        };
        if end > now {
            return Ok(end);
        }
        Err(Error::new(Kind::InvalidField, "the key would have ended before it is made").help("give it a later end"))
    }
}

impl FromStr for Lifetime {
    type Err = Error;

    /// Reads `90d` or a time of RFC 3339.
    fn from_str(text: &str) -> Result<Self> {
        if let Ok(end) = text.trim().parse::<Timestamp>() {
            return Ok(Self::Until(end));
        }
        text.parse().map(Self::Within).map_err(|_| {
            let message = format!("'{}' is neither a length of time of at most 36500d nor a time", text.escape_debug());
            Error::new(Kind::InvalidField, message).help("write it as 90d, 24h or 2027-01-31T18:00:00Z")
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T08:00:00Z".parse().expect("a time")
    }

    #[test]
    fn lengths_and_times_are_read() {
        for (text, end) in [
            ("90d", "2027-02-18T08:00:00Z"),
            ("24h", "2026-11-21T08:00:00Z"),
            (" 1w ", "2026-11-27T08:00:00Z"),
            ("2027-01-31T19:00:00+01:00", "2027-01-31T18:00:00Z"),
        ] {
            let lifetime: Lifetime = text.parse().expect("it is well written");
            assert_eq!(lifetime.end(now()).expect("later").to_string(), end, "{text}");
        }
        assert_eq!("0s".parse::<Within>().expect("nothing"), Within(Duration::ZERO));
    }

    #[test]
    fn what_is_neither_or_ends_before_it_begins_is_refused() {
        for bad in ["", "soon", "90", "-1d", "1 month", "2027-01-31", "36501d", "9999999999999999999d"] {
            let error = bad.parse::<Lifetime>().expect_err(bad);
            assert!(error.kind() == Kind::InvalidField && error.advice().is_some(), "{bad}");
        }
        for past in ["0s", "2026-11-20T08:00:00Z", "1999-01-01T00:00:00Z"] {
            let lifetime: Lifetime = past.parse().expect("it is well written");
            assert_eq!(lifetime.end(now()).expect_err(past).kind(), Kind::InvalidField);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_every_end_lies_ahead(text in ".{0,40}") {
            if let Ok(end) = text.parse::<Lifetime>().and_then(|lifetime| lifetime.end(now())) {
                prop_assert!(end > now());
            }
        }
    }
}
