//! Items of JSON, read as the fields of a form are: so the same mistake has the same code in both.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    api::{enrolling::Wanted, form::unfit, values::Values},
    error::{Error, Kind, Result},
};

const IMAGE: &str = "image";
const FILE: &str = "file";

/// Reads an item with its image, which is Base64. No other field may have more than `most` bytes.
///
/// # Errors
/// `InvalidField` where it is no object, or a field is of the wrong type, too long or there twice; `InvalidMetadata`. What is wrong
/// with the image is told beside what else it says.
pub(super) fn with_image(json: &[u8], most: usize) -> Result<(Values, Result<Vec<u8>>)> {
    let (values, image) = read(json, IMAGE, most)?;
    let image = match image.filter(|image| !is_null(image)) {
        None => Err(Error::new(Kind::MissingField, "image is required: Base64")),
        Some(image) => match string(image) {
            Some(text) => STANDARD
                .decode(text)
                .map_err(|_| Error::new(Kind::InvalidField, "image must be Base64 with its padding")),
            None => Err(Error::new(Kind::InvalidField, "image must be text: Base64")),
        },
    };
    Ok((values, image))
}

/// Reads an item whose image comes apart from it.
///
/// # Errors
/// As there; `InvalidField` where there is an image all the same.
pub(super) fn without_image(json: &[u8]) -> Result<Values> {
    match read(json, IMAGE, json.len())? {
        (values, None) => Ok(values),
        _ => Err(Error::new(Kind::InvalidField, "in a form the image is a field of its own, not one of the item")),
    }
}

/// Reads an item whose image is a file of an archive: its name, and what else the item says.
///
/// # Errors
/// As there, where it cannot be read at all or names no file.
pub(super) fn with_file(json: &[u8]) -> Result<(String, Values)> {
    let (values, file) = read(json, FILE, json.len())?;
    match file.and_then(string).filter(|name| !name.is_empty()) {
        Some(name) => Ok((name, values)),
        None => Err(Error::new(Kind::MissingField, "file is required: the photograph's name in the archive")),
    }
}

/// Reads an item, and apart from the fields of an enrolment the one called `beside`, as it stands there.
///
/// A field is looked into only where it is short: a line may be as long as an image is, and a value of JSON takes many times as much
/// memory as its text.
fn read<'j>(json: &'j [u8], beside: &str, most: usize) -> Result<(Values, Option<&'j RawValue>)> {
    let Said(said) = serde_json::from_slice(json).map_err(|error| {
        let words = error.to_string().chars().take(200).collect::<String>();
        Error::new(Kind::InvalidField, format!("the item is not what this call takes: {words}"))
    })?;
    let (mut values, mut apart) = (Values::default(), None);
    for (name, value) in said {
        if name == beside {
            apart = Some(value);
        } else if Wanted::FIELDS.contains(&name.as_str()) {
            if value.get().len() > most {
                return Err(unfit(&name, &format!("is longer than {most} bytes")));
            }
            let text = text(&name, value)?;
            values.add(name, text)?;
        }
    }
    Ok((values, apart))
}

/// What a form would have for it.
fn text(name: &str, value: &RawValue) -> Result<String> {
    match (name, value) {
        // Absent, as an empty field is.
        (_, value) if is_null(value) => Ok(String::new()),
        ("metadata", value) => Ok(value.get().to_owned()),
        (_, value) if value.get().starts_with('"') => {
            string(value).ok_or_else(|| Error::new(Kind::InvalidField, format!("{name} is no text")))
        }
        ("subject_id" | "enrollment_source", _) => Err(Error::new(Kind::InvalidField, format!("{name} must be text"))),
        (_, value) => Ok(value.get().to_owned()),
    }
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// A value that is text.
fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The fields of an object that an enrolment has, and its image's, each once, in the order in which they came. Others are passed over.
struct Said<'j>(Vec<(String, &'j RawValue)>);

impl<'de> Deserialize<'de> for Said<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Said<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said<'de>, A::Error> {
                let mut said = Vec::<(String, &RawValue)>::new();
                while let Some(name) = map.next_key::<String>()? {
                    if [IMAGE, FILE].contains(&name.as_str()) || Wanted::FIELDS.contains(&name.as_str()) {
                        if said.iter().any(|(other, _)| *other == name) {
                            return Err(A::Error::custom(format!("{name} may be given only once")));
                        }
                        said.push((name, map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Said(said))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(item: &str) -> Result<Wanted, Kind> {
        let (values, image) = with_image(item.as_bytes(), 1_000).map_err(|error| error.kind())?;
        Wanted::read(&values, image).map_err(|error| error.kind())
    }

    #[test]
    fn an_item_is_read_as_a_form_is() {
        let item = r#"{"subject_id": "a", "image": "YWJj", "quality_score": 0.5, "liveness_score": null,
            "enrollment_source": "desk", "metadata": {"b": 1, "a": [18446744073709551615]}, "require_liveness": true, "more": [1]}"#;
        let read = wanted(item).expect("all of it is fine");
        assert_eq!((read.subject.as_str(), read.image.as_slice()), ("a", &b"abc"[..]));
        assert_eq!((read.quality, read.liveness, read.source.as_deref()), (Some(0.5), None, Some("desk")));
        let metadata = serde_json::to_string(&read.metadata).expect("it can be written");
        assert_eq!((metadata.as_str(), read.require_liveness), (r#"{"b":1,"a":[18446744073709551615]}"#, true));
    }

    #[test]
    fn mistakes_have_the_codes_that_they_have_in_a_form() {
        for (fields, kind) in [
            (r#""image": "YWJj""#, Kind::MissingField),
            (r#""subject_id": null, "image": "YWJj""#, Kind::MissingField),
            (r#""subject_id": "", "image": "YWJj""#, Kind::MissingField),
            (r#""subject_id": "a""#, Kind::MissingField),
            (r#""subject_id": "a", "image": "***""#, Kind::InvalidField),
            (r#""subject_id": "a", "image": [1]"#, Kind::InvalidField),
            (r#""subject_id": 7, "image": "YWJj""#, Kind::InvalidField),
            (r#""subject_id": "a", "subject_id": "b", "image": "YWJj""#, Kind::InvalidField),
            (r#""subject_id": "a", "image": "YWJj", "image": "YWJj""#, Kind::InvalidField),
            (r#""subject_id": "a", "image": "YWJj", "quality_score": 1.5"#, Kind::InvalidField),
            (r#""subject_id": "a", "image": "YWJj", "quality_score": [1]"#, Kind::InvalidField),
            (r#""subject_id": "a", "image": "YWJj", "require_liveness": 7"#, Kind::InvalidField),
            (r#""subject_id": "a", "image": "YWJj", "enrollment_source": {}"#, Kind::InvalidField),
            (r#""subject_id": "a", "image": "YWJj", "metadata": [1]"#, Kind::InvalidMetadata),
            (r#""subject_id": "a", "image": "YWJj", "metadata": "{}""#, Kind::InvalidMetadata),
            (r#""subject_id": "a", "image": "YWJj", "metadata": {"a": 18446744073709551616}"#, Kind::InvalidMetadata),
            (r#""subject_id": "a", "image": "YWJj", "metadata": {"a": 1, "a": 2}"#, Kind::InvalidMetadata),
            (r#""subject_id": "a", "image": "YWJj", "enrollment_source": "\ud800""#, Kind::InvalidField),
        ] {
            let item = format!("{{{fields}}}");
            assert_eq!(wanted(&item).err(), Some(kind), "{item}");
        }
    }

    #[test]
    fn only_the_image_may_be_long() {
        let long = "x".repeat(2_000);
        let item = |field: &str| format!(r#"{{"subject_id": "a", "image": "{}", {field}}}"#, STANDARD.encode(&long));
        assert!(wanted(&item(&format!(r#""more": ["{long}"]"#))).is_ok(), "what is passed over may be as well");
        assert_eq!(wanted(&item(&format!(r#""metadata": {{"a": "{long}"}}"#))).err(), Some(Kind::InvalidMetadata));
        assert_eq!(wanted(&item(&format!(r#""enrollment_source": "{long}""#))).err(), Some(Kind::InvalidField));
        assert!(wanted(r#"{"subject_id": "a", "image": "YW\/j"}"#).is_ok(), "some write a slash in this way");
    }

    #[test]
    fn what_is_no_object_enrols_nobody_and_no_message_shows_our_types() {
        for item in [r#"["a", 1, 1, "desk", {}, false, "YWJj"]"#, "7", "\"a\"", "{", "", "{\"subject_id\": \"a\"} x"] {
            let error = with_image(item.as_bytes(), 1_000).map(drop).expect_err("it is no object");
            assert_eq!(error.kind(), Kind::InvalidField, "{item}");
            assert!(!error.message().contains("struct"), "{error}");
        }
        assert_eq!(
            without_image(br#"{"subject_id": "a", "image": "YWJj"}"#).err().map(|e| e.kind()),
            Some(Kind::InvalidField)
        );
    }
}
