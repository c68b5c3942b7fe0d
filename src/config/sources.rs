//! Text and environment into typed values, with errors that show the place and the near miss.
//!
//! An environment variable `FACEGATE__SECTION__KEY=value` overrides the key: `FACEGATE__MODELS__PACK=door`. The parts are
//! separated by two underscores and are not sensitive to case; a number names an entry of a list:
//! `FACEGATE__DOOR__0__NAME=front`. A value is read as TOML where it is TOML (`true`, `5`, `["a"]`), else as a string.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{Error, Kind, Result};

const PREFIX: &str = "FACEGATE__";

pub(super) fn read<T: DeserializeOwned>(
    text: &str,
    origin: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<T> {
    let table = table(text, origin)?;
    let overrides = overrides(environment);
    if overrides.is_empty() {
        // From the text itself, since only that knows lines.
        return toml::from_str(text).map_err(|error| refuse(&error, text, origin));
    }
    typed(table, origin, &overrides)
}

/// The same of a table that was put together: errors tell no line.
pub(super) fn read_table<T: DeserializeOwned>(
    table: Table,
    origin: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<T> {
    typed(table, origin, &overrides(environment))
}

/// Text as a table.
pub(super) fn table(text: &str, origin: &str) -> Result<Table> {
    toml::from_str(text).map_err(|error| refuse(&error, text, origin))
}

fn overrides(environment: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut overrides: Vec<_> = environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    overrides.sort();
    overrides
}

fn typed<T: DeserializeOwned>(mut table: Table, origin: &str, overrides: &[(String, String)]) -> Result<T> {
    for (name, value) in overrides {
        set(&mut table, name, value)?;
    }
    table.try_into().map_err(|error: toml::de::Error| {
        let names: Vec<_> = overrides.iter().map(|(name, _)| name.as_str()).collect();
        let origin = match names.is_empty() {
            true => origin.to_owned(),
            false => format!("{origin} with {} from the environment", names.join(", ")),
        };
        refuse(&error, "", &origin)
    })
}

/// Puts `value` where `name` points to, making the tables on the way.
fn set(table: &mut Table, name: &str, value: &str) -> Result<()> {
    let wrong = |what: String| Error::new(Kind::Config, format!("the environment variable {name} {what}"));
    let parts: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    if parts.iter().any(String::is_empty) {
        return Err(wrong("names no key".into()).help(format!("write {PREFIX}SECTION__KEY=value")));
    }
    let value = format!("v = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut read| read.remove("v"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    let (last, path) = parts.split_last().expect("split gives at least one part");
    let mut here = table;
    let mut path = path.iter();
    while let Some(part) = path.next() {
        let below = here.entry(part.clone()).or_insert_with(|| Value::Table(Table::new()));
        here = match below {
            Value::Table(table) => table,
            Value::Array(list) => {
                let index = path.next().map(String::as_str).unwrap_or(last);
                index
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| list.get_mut(index))
                    .and_then(Value::as_table_mut)
                    .ok_or_else(|| wrong(format!("names entry '{index}' of '{part}', which there is not")))?
            }
            _ => return Err(wrong(format!("goes below '{part}', which is a single value"))),
        };
    }
    here.insert(last.clone(), value);
    Ok(())
}

/// A parser's refusal in our words: the place, what is wrong, and what was probably meant.
fn refuse(error: &toml::de::Error, text: &str, origin: &str) -> Error {
    let place = match error.span().filter(|_| !text.is_empty()) {
        Some(span) => format!("{origin}:{}", text.get(..span.start).unwrap_or(text).matches('\n').count() + 1),
        None => origin.to_owned(),
    };
    let message = error.message();
    let refused = Error::new(Kind::Config, format!("{place}: {}", message.trim().replace('\n', ", ")));
    match near_miss(message) {
        Some(meant) => refused.help(format!("did you mean '{meant}'?")),
        None => refused.help("`facegate config example` prints every key with its meaning and range"),
    }
}

/// From serde's "unknown field `x`, expected one of `a`, `b`": the expected name nearest to the unknown one.
fn near_miss(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut names = rest.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    names
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 3)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Tree {
        name: String,
        #[serde(default)]
        door: Vec<Leaf>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Leaf {
        pulse_ms: u32,
    }

    fn tree(text: &str, environment: &[(&str, &str)]) -> Result<Tree> {
        read(text, "t.toml", environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    const TEXT: &str = "name = \"a\"\n[[door]]\npulse_ms = 5\n[[door]]\npulse_ms = 6\n";

    #[test]
    fn the_environment_overrides_the_file_by_path() {
        let read = tree(TEXT, &[("FACEGATE__NAME", "b"), ("FACEGATE__DOOR__1__PULSE_MS", "7"), ("HOME", "x")]).unwrap();
        assert_eq!(read.name, "b");
        assert_eq!(read.door, [Leaf { pulse_ms: 5 }, Leaf { pulse_ms: 7 }]);
    }

    #[test]
    fn an_override_that_points_nowhere_is_refused_by_name() {
        for name in ["FACEGATE__DOOR__2__PULSE_MS", "FACEGATE__NAME__X", "FACEGATE__", "FACEGATE__NMAE"] {
            let error = tree(TEXT, &[(name, "1")]).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_near_miss_is_offered_and_a_far_one_is_not() {
        let advice = |text: &str| tree(text, &[]).unwrap_err().advice().unwrap_or_default().to_owned();
        assert_eq!(advice("nmae = 1"), "did you mean 'name'?");
        assert!(!advice("colour = 1").contains("did you mean"));
        assert!(tree("name = \"a\"\n[[door]]\npulse = 1\n", &[]).unwrap_err().to_string().contains("t.toml:3"));
    }
}
