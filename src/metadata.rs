//! Metadata: a JSON object that a client keeps with a subject and gets back as it sent it.

use crate::error::{Error, Kind};

/// Whether JSON has a whole number of more than 64 bits: it would come back as another one, without a word.
pub fn has_wide_integer(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(&byte) = rest.first() {
        rest = match byte {
            b'"' => behind_string(&rest[1..]),
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let (number, behind) = rest.split_at(rest.iter().take_while(is_part).count());
                let number = std::str::from_utf8(number).unwrap_or_default();
                let whole = !number.contains(['.', 'e', 'E']);
                if whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                    return true;
                }
                behind
            }
            _ => &rest[1..],
        };
    }
    false
}

/// What stands behind the end of a string that has begun.
fn behind_string(mut rest: &[u8]) -> &[u8] {
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        let escape = rest[end] == b'\\';
        rest = rest.get(end + if escape { 2 } else { 1 }..).unwrap_or_default();
        if !escape {
            break;
        }
    }
    rest
}

/// Says that the field `name`, which is fit to be printed, has such a number.
pub fn wide_integer(name: &str) -> Error {
    Error::new(Kind::InvalidMetadata, format!("{name} has a whole number of more than 64 bits"))
        .help("send it as text, in quotation marks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_that_would_be_rounded_are_found() {
        for fine in [
            r#"{"a":18446744073709551615,"b":-9223372036854775808,"c":-0}"#,
            r#"{"a":"18446744073709551616","b\"99999999999999999999":1e99,"c":"\\"}"#,
            r#"{"a":123456789012345678901234567890.0}"#,
        ] {
            assert!(!has_wide_integer(fine.as_bytes()), "{fine}");
        }
        for wide in [
            r#"{"a":18446744073709551616}"#,
            r#"{"a":-9223372036854775809}"#,
            r#"{"a\\":{"b":[0,"\"",99999999999999999999]}}"#,
        ] {
            assert!(has_wide_integer(wide.as_bytes()), "{wide}");
        }
    }
}
