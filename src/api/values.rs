//! Reading the values that clients send as text, in forms and in queries alike.
//!
//! An empty value counts as absent: `fetch` and form libraries send empty strings for what the user left out.

use serde_json::{Map, Value};

use crate::{
    error::{Error, Kind, Result},
    gallery::{EmbeddingId, SubjectId},
    metadata,
};

/// Named values, each at most once.
#[derive(Debug, Default)]
pub(super) struct Values(Vec<(String, String)>);

impl Values {
    /// Reads a query string.
    pub(super) fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut values = Self::default();
        for (name, value) in pairs {
            values.add(name, value)?;
        }
        Ok(values)
    }

    /// Adds one. A name that is there already is refused: of two subjects or two thresholds, none is the right one.
    pub(super) fn add(&mut self, name: String, value: String) -> Result<()> {
        if self.0.iter().any(|(other, _)| *other == name) {
            return Err(invalid(&name, "may be given only once"));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// The names, in the order in which they came.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether `name` was given at all, even if empty.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names().any(|other| other == name)
    }

    /// The value where there is one that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, value)| other == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// A number of 0 to 1.
    pub(super) fn fraction(&self, name: &str) -> Result<Option<f64>> {
        let Some(text) = self.trimmed(name) else { return Ok(None) };
        match text.parse() {
            // Of two noughts the one without a sign.
            Ok(number) if (0.0..=1.0).contains(&number) => Ok(Some(number + 0.0)),
            _ => Err(invalid(name, "must be a number from 0 to 1")),
        }
    }

    /// A whole number of 1 to `most`.
    pub(super) fn count(&self, name: &str, most: usize) -> Result<Option<usize>> {
        let Some(text) = self.trimmed(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(name, &format!("must be a whole number from 1 to {most}"))),
        }
    }

    /// `true` or `false`, in any case (Python sends `True`), or `1` or `0`.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        let Some(text) = self.trimmed(name) else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(invalid(name, "must be true or false")),
        }
    }

    /// A subject's id.
    pub(super) fn subject(&self, name: &str) -> Result<Option<SubjectId>> {
        self.text(name).map(|text| subject(name, text)).transpose()
    }

    /// Where a list goes on: an embedding's id, as the last page gave it.
    pub(super) fn cursor(&self, name: &str) -> Result<Option<EmbeddingId>> {
        let Some(text) = self.trimmed(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(name, "must be the next_cursor of the page before"))
    }

    /// A short text without control characters, of at most `longest` bytes.
    pub(super) fn label(&self, name: &str, longest: usize) -> Result<Option<String>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        if text.len() > longest || text.chars().any(char::is_control) {
            return Err(invalid(name, &format!("must be text of at most {longest} bytes without control characters")));
        }
        Ok(Some(text.to_owned()))
    }

    /// A JSON object.
    pub(super) fn metadata(&self, name: &str) -> Result<Option<Map<String, Value>>> {
        let Some(text) = self.trimmed(name) else { return Ok(None) };
        metadata::read(&printable(name), text).map(Some)
    }

    fn trimmed(&self, name: &str) -> Option<&str> {
        self.text(name).map(str::trim).filter(|text| !text.is_empty())
    }
}

/// A subject's id, from a form, a query or a path.
pub(super) fn subject(name: &str, text: &str) -> Result<SubjectId> {
    text.parse().map_err(|_| invalid(name, "must be 1 to 256 bytes of UTF-8 without control characters"))
}

fn invalid(name: &str, range: &str) -> Error {
    Error::new(Kind::InvalidField, format!("{} {range}", printable(name)))
}

/// A field's name, which may be the client's own invention: short and without control characters.
pub(super) fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(value: &str) -> Values {
        Values::from_pairs([("x".to_owned(), value.to_owned())]).expect("one value")
    }

    fn kind<T>(result: Result<T>) -> Option<Kind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn empty_is_absent() {
        for empty in ["", " "] {
            let values = one(empty);
            assert_eq!(values.fraction("x").expect("absent"), None);
            assert_eq!(values.count("x", 9).expect("absent"), None);
            assert_eq!(values.flag("x").expect("absent"), None);
            assert_eq!(values.metadata("x").expect("absent"), None);
        }
        assert!(one("").has("x") && !one("").has("y"));
    }

    #[test]
    fn numbers_keep_to_their_ranges() {
        for (text, number) in [("0", 0.0), ("1", 1.0), ("0.6", 0.6), (" .5 ", 0.5), ("1e-1", 0.1)] {
            assert_eq!(one(text).fraction("x").expect("in range"), Some(number));
        }
        let nought = one("-0").fraction("x").expect("in range").expect("given");
        assert!(nought.is_sign_positive(), "nobody is told of a score of -0.0");
        for bad in ["-0.1", "1.01", "NaN", "inf", "0,5", "high", "0x1"] {
            assert_eq!(kind(one(bad).fraction("x")), Some(Kind::InvalidField), "{bad}");
        }
        assert_eq!(one("100").count("x", 100).expect("in range"), Some(100));
        for bad in ["0", "101", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(kind(one(bad).count("x", 100)), Some(Kind::InvalidField), "{bad}");
        }
        assert_eq!(one("True").flag("x").expect("Python's"), Some(true));
        assert_eq!(kind(one("maybe").flag("x")), Some(Kind::InvalidField));
    }

    #[test]
    fn metadata_is_an_object() {
        let map = one(r#"{"name":"Jane","deep":{"a":[1,2]}}"#).metadata("x").expect("an object").expect("given");
        assert_eq!(map["name"], "Jane");
        let deep = "[".repeat(10_000);
        for bad in ["[]", "1", "null", "\"x\"", "{", "{\"a\":}", "not json", &deep] {
            assert_eq!(kind(one(bad).metadata("x")), Some(Kind::InvalidMetadata));
        }
    }

    #[test]
    fn numbers_in_metadata_come_back_to_the_last_digit() {
        // A fuzzer's: read, written and read again, it was another number.
        let text = r#"{"a":1.8446718446744073e39,"b":0.1,"c":-0.0,"d":18446744073709551615}"#;
        let map = one(text).metadata("x").expect("an object").expect("given");
        let written = serde_json::to_string(&map).expect("it can be written");
        assert_eq!(written, text.replace("e39", "e+39"));
        assert_eq!(serde_json::from_str::<Map<_, _>>(&written).expect("it can be read"), map);
    }

    #[test]
    fn metadata_whose_whole_numbers_would_be_rounded_is_refused() {
        assert!(one(r#"{"a":18446744073709551615}"#).metadata("x").is_ok());
        assert_eq!(kind(one(r#"{"a":18446744073709551616}"#).metadata("x")), Some(Kind::InvalidMetadata));
    }

    #[test]
    fn a_second_value_is_refused() {
        let pairs = [("x".to_owned(), "1".to_owned()), ("x".to_owned(), "1".to_owned())];
        assert_eq!(kind(Values::from_pairs(pairs)), Some(Kind::InvalidField));
    }

    #[test]
    fn subjects_and_cursors() {
        assert!(one("名前 é/?#").subject("x").expect("any text").is_some());
        for bad in ["a\nb", "a\0", &"é".repeat(129)] {
            assert_eq!(kind(one(bad).subject("x")), Some(Kind::InvalidField));
        }
        assert_eq!(kind(one("not-a-uuid").cursor("x")), Some(Kind::InvalidField));
        assert!(one("550e8400-e29b-41d4-a716-446655440000").cursor("x").expect("a UUID").is_some());
    }

    proptest! {
        #[test]
        fn no_text_makes_any_reader_panic_and_errors_are_short(name in ".{0,200}", text in ".{0,200}") {
            let values = Values::from_pairs([(name.clone(), text)]).expect("one value");
            let errors = [
                values.fraction(&name).err(),
                values.count(&name, 10).err(),
                values.flag(&name).err(),
                values.subject(&name).err(),
                values.cursor(&name).err(),
                values.label(&name, 10).err(),
                values.metadata(&name).err(),
            ];
            for error in errors.into_iter().flatten() {
                prop_assert!([Kind::InvalidField, Kind::InvalidMetadata].contains(&error.kind()));
                prop_assert!(!error.message().contains(char::is_control), "{}", error.message().escape_debug());
            }
        }

        #[test]
        fn every_fraction_that_is_printed_is_read_back(number in 0.0f64..=1.0) {
            prop_assert_eq!(one(&number.to_string()).fraction("x").expect("in range"), Some(number));
        }
    }
}
