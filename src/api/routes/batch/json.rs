//! Items of JSON, read as the fields of a form are: so the same mistake has the same code in both.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use crate::{
    api::{enrolling::Wanted, values::Values},
    error::{Error, Kind, Result},
    metadata::{has_wide_integer, wide_integer},
};

const IMAGE: &str = "image";
const FILE: &str = "file";

/// Reads an item with its image, which is Base64.
///
/// # Errors
/// `InvalidField` where it is no object, or a field is of the wrong type or there twice; `InvalidMetadata`. What is wrong with
/// the image is told beside what else it says.
pub(super) fn with_image(json: &[u8]) -> Result<(Values, Result<Vec<u8>>)> {
    let (values, image) = read(json, IMAGE)?;
    let image = match image {
        None | Some(Value::Null) => Err(Error::new(Kind::MissingField, "image is required: Base64")),
        Some(Value::String(text)) => {
            STANDARD.decode(text).map_err(|_| Error::new(Kind::InvalidField, "image must be Base64 with its padding"))
        }
        Some(_) => Err(Error::new(Kind::InvalidField, "image must be text: Base64")),
    };
    Ok((values, image))
}

/// Reads an item whose image comes apart from it.
///
/// # Errors
/// As there; `InvalidField` where there is an image all the same.
pub(super) fn without_image(json: &[u8]) -> Result<Values> {
    match read(json, IMAGE)? {
        (values, None) => Ok(values),
        _ => Err(Error::new(Kind::InvalidField, "in a form the image is a field of its own, not one of the item")),
    }
}

/// Reads an item whose image is a file of an archive: its name, and what else the item says.
///
/// # Errors
/// As there, where it cannot be read at all or names no file.
pub(super) fn with_file(json: &[u8]) -> Result<(String, Values)> {
    match read(json, FILE)? {
        (values, Some(Value::String(name))) if !name.is_empty() => Ok((name, values)),
        _ => Err(Error::new(Kind::MissingField, "file is required: the photograph's name in the archive")),
    }
}

/// Reads an item, and apart from the fields of an enrolment the one called `beside`.
fn read(json: &[u8], beside: &str) -> Result<(Values, Option<Value>)> {
    let Said(said) = serde_json::from_slice(json).map_err(|error| {
        let words = error.to_string().chars().take(200).collect::<String>();
        Error::new(Kind::InvalidField, format!("the item is not what this call takes: {words}"))
    })?;
    let (mut values, mut apart) = (Values::default(), None);
    for (name, value) in said {
        if name == beside {
            if apart.replace(value).is_some() {
                return Err(Error::new(Kind::InvalidField, format!("{name} may be given only once")));
            }
        } else if Wanted::FIELDS.contains(&name.as_str()) {
            let text = text(&name, value, json)?;
            values.add(name, text)?;
        }
    }
    Ok((values, apart))
}

/// What a form would have for it.
fn text(name: &str, value: Value, json: &[u8]) -> Result<String> {
    match (name, value) {
        // Absent, as an empty field is.
        (_, Value::Null) => Ok(String::new()),
        ("metadata", _) if has_wide_integer(json) => Err(wide_integer(name)),
        ("metadata", value) => Ok(value.to_string()),
        (_, Value::String(text)) => Ok(text),
        ("subject_id" | "enrollment_source", _) => Err(Error::new(Kind::InvalidField, format!("{name} must be text"))),
        (_, value) => Ok(value.to_string()),
    }
}

/// The fields of an object that an enrolment has, and its image's, in the order in which they came. Others are passed over.
struct Said(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Said;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
                let mut said = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if [IMAGE, FILE].contains(&name.as_str()) || Wanted::FIELDS.contains(&name.as_str()) {
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
        let (values, image) = with_image(item.as_bytes()).map_err(|error| error.kind())?;
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
        ] {
            let item = format!("{{{fields}}}");
            assert_eq!(wanted(&item).err(), Some(kind), "{item}");
        }
    }

    #[test]
    fn what_is_no_object_enrols_nobody_and_no_message_shows_our_types() {
        for item in [r#"["a", 1, 1, "desk", {}, false, "YWJj"]"#, "7", "\"a\"", "{", "", "{\"subject_id\": \"a\"} x"] {
            let error = with_image(item.as_bytes()).map(drop).expect_err("it is no object");
            assert_eq!(error.kind(), Kind::InvalidField, "{item}");
            assert!(!error.message().contains("struct"), "{error}");
        }
        assert_eq!(
            without_image(br#"{"subject_id": "a", "image": "YWJj"}"#).err().map(|e| e.kind()),
            Some(Kind::InvalidField)
        );
    }
}
