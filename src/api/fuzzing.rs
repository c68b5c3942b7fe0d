//! What fuzzers feed: the API's readers of forms and values, without a server around them. See [`crate::fuzzing`].

use axum::{
    body::Body,
    extract::{FromRequest as _, Multipart, RawQuery},
    http::{Request, Uri, header},
};

use super::{
    form::{Fields, Form},
    routes::{batch::archive, read},
    settings::Settings,
    uploads::Uploads,
    values::Values,
};
use crate::{
    error::{Error, Kind, Result},
    recognition,
};

/// Small enough that a fuzzer passes them.
const MOST_FIELDS: usize = 8;
const MOST_FIELD_BYTES: usize = 256;
const MOST_IMAGE_BYTES: usize = 1_024;

const MOST_ITEMS: u64 = 4;

/// Longest message of a refusal, in characters: clients' own words in it are cut.
const LONGEST_MESSAGE: usize = 300;

/// A form with every field that any call reads.
struct Fuzzed;

impl Fields for Fuzzed {
    const IMAGES: &'static [&'static str] = &["image", "image1", "image2"];
    const TEXTS: &'static [&'static str] = &["subject_id", "threshold", "limit", "metadata", "quality_score"];
}

fn settings() -> Settings {
    Settings {
        max_fields: MOST_FIELDS,
        max_field_bytes: MOST_FIELD_BYTES,
        max_batch_items: MOST_ITEMS,
        recognition: recognition::Settings { max_image_bytes: MOST_IMAGE_BYTES, ..recognition::Settings::default() },
        ..Settings::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_current_thread().enable_time().build();
    built.expect("a runtime without I/O needs nothing")
}

/// Reads a ZIP archive of photographs and their list.
pub(crate) fn archive(body: &[u8]) {
    runtime().block_on(async {
        let mut items = archive::open(&settings(), Body::from(body.to_vec()));
        let mut count = 0;
        while let Some(item) = items.recv().await {
            match item {
                Ok(item) => {
                    count += 1;
                    assert!(
                        item.image.iter().all(|image| image.len() <= MOST_IMAGE_BYTES),
                        "a longer image than allowed"
                    );
                    item.values.iter().for_each(read_all);
                    item.values.err().iter().chain(item.image.err().iter()).for_each(is_short);
                }
                Err(error) => {
                    assert!([Kind::MalformedRequest, Kind::TooLarge].contains(&error.kind()), "{error:?}");
                    is_short(&error);
                }
            }
        }
        assert!(count <= MOST_ITEMS, "more items than allowed");
    });
}

/// Reads a form whose boundary is `x`.
pub(crate) fn multipart(body: &[u8]) {
    let settings = settings();
    runtime().block_on(async {
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x")
            .body(Body::from(body.to_vec()))
            .expect("the head is a constant");
        let mut parts = Multipart::from_request(request, &()).await.expect("it has a boundary");
        let place = Uploads::new(1).place(&"x".parse().expect("a tenant's name")).expect("it is new");
        let mut form = Form::<Fuzzed>::empty(place);
        let read = form.read(&mut parts, &settings).await;
        assert!(form.values.names().count() <= MOST_FIELDS, "more fields than allowed are kept");
        for name in form.values.names() {
            let value = form.values.text(name).unwrap_or_default();
            assert!(value.len() <= MOST_FIELD_BYTES, "a longer field than allowed is kept");
        }
        match read {
            Ok(()) => {
                if let Ok(image) = form.image("image") {
                    assert!((1..=MOST_IMAGE_BYTES).contains(&image.len()), "an image of {} bytes", image.len());
                }
                read_all(&form.values);
            }
            Err(error) => {
                let refusals = [Kind::MalformedRequest, Kind::InvalidField, Kind::InvalidMetadata, Kind::ImageTooLarge];
                assert!(refusals.contains(&error.kind()), "{error:?}");
                assert!(error.message().chars().count() <= LONGEST_MESSAGE, "{error:?}");
            }
        }
    });
}

/// Reads the metadata of an enrolment. What is taken is given back as it came.
pub(crate) fn metadata(text: &str) {
    let Ok(values) = Values::from_pairs([("metadata".to_owned(), text.to_owned())]) else { return };
    if let Ok(Some(map)) = values.metadata("metadata") {
        let written = serde_json::to_string(&map).expect("what was read can be written");
        let again = serde_json::from_str::<serde_json::Map<_, _>>(&written).expect("and read");
        assert_eq!(map, again);
    }
}

/// Reads a query, as far as a path can have it, by every name that a call knows.
pub(crate) fn query(text: &str) {
    let Ok(uri) = format!("/?{text}").parse::<Uri>() else { return };
    match read(RawQuery(uri.query().map(str::to_owned))) {
        Ok(values) => read_all(&values),
        Err(error) => {
            assert!([Kind::MalformedRequest, Kind::InvalidField].contains(&error.kind()), "{error:?}");
            assert!(error.message().chars().count() <= LONGEST_MESSAGE, "{error:?}");
        }
    }
}

fn read_all(values: &Values) {
    for name in values.names() {
        keeps(values.fraction(name), |number| (0.0..=1.0).contains(number));
        keeps(values.count(name, 100), |count| (1..=100).contains(count));
        keeps(values.flag(name), |_| true);
        keeps(values.subject(name), |subject| (1..=256).contains(&subject.as_str().len()));
        keeps(values.cursor(name), |_| true);
        keeps(values.label(name, 64), |label| label.len() <= 64 && !label.contains(char::is_control));
        keeps(values.metadata(name), |_| true);
    }
}

/// What is taken is in its range, and what is refused is refused as the client's mistake, in few words.
fn keeps<T>(read: Result<Option<T>>, within: impl Fn(&T) -> bool) {
    match read {
        Ok(value) => assert!(value.as_ref().is_none_or(within), "a value out of its range was taken"),
        Err(error) => {
            assert!([Kind::InvalidField, Kind::InvalidMetadata].contains(&error.kind()), "{error:?}");
            is_short(&error);
        }
    }
}

fn is_short(error: &Error) {
    let message = error.message();
    assert!(message.chars().count() <= LONGEST_MESSAGE && !message.contains(char::is_control), "{error:?}");
}
