//! Metadata: a JSON object that a client keeps with a subject and gets back as it sent it.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, error::Category};

use crate::error::{Error, Kind, Result};

/// How deep objects and lists may lie in one another, the outermost counted. Far less than parsers of JSON take, ours among them:
/// what comes back, in an answer or in an export's line, lies in other objects there.
pub const DEEPEST: usize = 32;

/// Reads what the field `name`, which is fit to be printed, has.
///
/// # Errors
/// `InvalidMetadata` for what is no object, and for what would not come back as it was sent: a whole number of more than 64 bits,
/// a name that stands twice in an object, objects in objects without end.
pub fn read(name: &str, text: &str) -> Result<Map<String, Value>> {
    let metadata: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        Error::new(Kind::InvalidMetadata, format!("{name} must be a JSON object"))
            .source(error)
            .help(r#"write it like {"name": "John Smith"}, and for a shell in single quotes, which keep the others"#)
    })?;
    check_text(name, text.as_bytes())?;
    check_depth(name, &metadata)?;
    Ok(metadata)
}

/// Refuses JSON, which a parser has taken already, of which something would not come back as it was sent.
///
/// # Errors
/// `InvalidMetadata` for a whole number of more than 64 bits, and for a name that stands twice in an object.
pub fn check_text(name: &str, json: &[u8]) -> Result<()> {
    if has_wide_integer(json) {
        return Err(Error::new(Kind::InvalidMetadata, format!("{name} has a whole number of more than 64 bits"))
            .help("send it as text, in quotation marks"));
    }
    if has_name_twice(json) {
        return Err(Error::new(Kind::InvalidMetadata, format!("{name} has an object with the same name twice")));
    }
    Ok(())
}

/// Refuses what is nested too deep.
///
/// # Errors
/// `InvalidMetadata`.
pub fn check_depth(name: &str, metadata: &Map<String, Value>) -> Result<()> {
    if metadata.values().map(depth).max().unwrap_or(0) < DEEPEST {
        return Ok(());
    }
    let message = format!("{name} has objects or lists more than {DEEPEST} deep in one another");
    Err(Error::new(Kind::InvalidMetadata, message))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Whether an object in JSON, however deep, has a name twice: of its two values one would be lost, without a word. Of what is no
/// JSON nothing is said.
fn has_name_twice(json: &[u8]) -> bool {
    // Everything is taken but a name that was there, so that nothing else is an error of what the JSON says.
    serde_json::from_slice::<Unique>(json).is_err_and(|error| error.classify() == Category::Data)
}

/// Any value whose objects have each name once.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unique, A::Error> {
                while list.next_element::<Unique>()?.is_some() {}
                Ok(Unique)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut names = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name) {
                        return Err(A::Error::custom("a name twice"));
                    }
                    map.next_value::<Unique>()?;
                }
                Ok(Unique)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// Whether JSON has a whole number of more than 64 bits: it would come back as another one, without a word.
fn has_wide_integer(json: &[u8]) -> bool {
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

    #[test]
    fn a_name_that_stands_twice_in_one_object_is_found_however_deep() {
        for fine in [r#"{"a":1,"b":{"a":[{"a":null},{"a":-1.5}]}}"#, "[true]", "{", r#"{"a":1e999,"a":1}"#] {
            assert!(!has_name_twice(fine.as_bytes()), "{fine}");
        }
        for twice in [r#"{"a":1,"a":1}"#, r#"{"a":[{"b":"","c":{},"b":""}]}"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(has_name_twice(twice.as_bytes()), "{twice}");
            assert_eq!(read("metadata", twice).map(drop).unwrap_err().kind(), Kind::InvalidMetadata);
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let nested = |deep: usize| format!("{}1{}", r#"{"a":"#.repeat(deep), "}".repeat(deep));
        let lists = |deep: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(deep - 1), "]".repeat(deep - 1));
        for text in [nested(DEEPEST), lists(DEEPEST)] {
            assert!(read("metadata", &text).is_ok());
        }
        for text in [nested(DEEPEST + 1), lists(DEEPEST + 1), nested(127), nested(1_000), lists(100_000)] {
            assert_eq!(read("metadata", &text).unwrap_err().kind(), Kind::InvalidMetadata);
        }
    }
}
