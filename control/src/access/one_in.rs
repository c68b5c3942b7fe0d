//! A chance, said as people say it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Fault;

/// A chance of one in so many, 10 to 1,000,000,000: `1 in 100000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OneIn(u32);

impl OneIn {
    /// The chance as a share, above 0 and at most 0.1.
    pub fn share(self) -> f64 {
        1.0 / f64::from(self.0)
    }
}

impl FromStr for OneIn {
    type Err = Fault;

    /// Reads `1 in 100000`; commas, underscores and spaces may part the digits.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let digits = text.trim().strip_prefix("1 in ").map(|rest| rest.replace([',', '_', ' '], ""));
        let number = digits
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        match number {
            Some(number @ 10..=1_000_000_000) => Ok(Self(number)),
            // The way to write it is part of what is wrong: whoever reads a configuration file shows no more than that.
            _ => Err(Fault::new(
                format!("'{text}' is not a chance such as '1 in 100000'"),
                "write '1 in ' and a number from 10 to 1000000000",
            )),
        }
    }
}

impl TryFrom<String> for OneIn {
    type Error = Fault;

    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

impl From<OneIn> for String {
    fn from(chance: OneIn) -> Self {
        chance.to_string()
    }
}

impl fmt::Display for OneIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1 in {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 10u32..=1_000_000_000) {
            let chance: OneIn = format!("1 in {number}").parse().unwrap();
            prop_assert_eq!(chance.to_string().parse::<OneIn>().unwrap(), chance);
            prop_assert!((chance.share() * f64::from(number) - 1.0).abs() < 1e-9);
        }

        #[test]
        fn nothing_else_is(text in "[0-9a-z ,-]{0,14}") {
            if let Ok(chance) = text.parse::<OneIn>() {
                prop_assert!(text.trim().starts_with("1 in "));
                prop_assert!(chance.share() <= 0.1);
            }
        }
    }

    #[test]
    fn digits_may_be_parted_and_faults_say_how_to_write_it() {
        assert_eq!("1 in 100,000".parse::<OneIn>().unwrap().to_string(), "1 in 100000");
        for wrong in ["", "1 in", "1 in 9", "1 in 1000000001", "2 in 100", "0.001", "1 in -100", "1 in 1e5"] {
            assert!(wrong.parse::<OneIn>().is_err(), "{wrong}");
        }
    }
}
