use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::api::{
    form::Fields,
    routes::{compare::CompareForm, detect::DetectForm, enroll::EnrolForm, search::SearchForm, verify::VerifyForm},
};

/// What the router serves, as `METHOD /path`, from what it says of itself when it is printed.
fn served() -> BTreeSet<String> {
    let (router, _) = Calls::all().whole().split_for_parts();
    let printed = format!("{router:?}");
    // What follows are the fallbacks, which number their routes anew.
    let printed = printed.split("fallback_router").next().unwrap_or_default();
    let numbered = |part: &str| part.split_once(')').map(|(number, rest)| (number.to_owned(), rest.to_owned()));
    let parts: Vec<_> = printed.split("RouteId(").skip(1).filter_map(numbered).collect();
    let between = |text: &str, start: &str, end: &str| Some(text.split_once(start)?.1.split_once(end)?.0.to_owned());
    let methods: BTreeMap<_, _> = parts
        .iter()
        .filter(|(_, rest)| rest.starts_with(": MethodRouter("))
        .filter_map(|(number, rest)| Some((number, between(rest, "allow_header: Bytes(b\"", "\"")?)))
        .collect();
    let paths = parts.iter().filter_map(|(number, rest)| Some((number, between(rest, ": \"", "\"")?)));
    let paths = paths.filter(|(number, path)| methods.contains_key(number) && path.starts_with('/'));
    paths
        .flat_map(|(number, path)| {
            let all: Vec<_> = methods[number].split(',').map(|method| format!("{method} {path}")).collect();
            all.into_iter().filter(|call| !call.starts_with("HEAD "))
        })
        .collect()
}

fn documented() -> BTreeSet<String> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let of = |(path, item): (&String, &Value)| {
        let item = item.as_object().expect("calls").keys();
        item.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

#[test]
fn the_document_has_every_call_that_is_served_and_no_other() {
    let served = served();
    assert!(served.contains("POST /v1/face-matching/enroll") && served.contains("GET /healthz"), "{served:?}");
    assert_eq!(served, documented());
}

#[test]
fn every_reference_in_the_document_leads_somewhere_and_every_id_is_one_call_s() {
    fn check(here: &Value, whole: &Value) {
        match here {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    assert!(whole.pointer(to.trim_start_matches('#')).is_some(), "{to} leads nowhere");
                }
                map.values().for_each(|value| check(value, whole));
            }
            Value::Array(list) => list.iter().for_each(|value| check(value, whole)),
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
    let mut ids = BTreeSet::new();
    for call in document["paths"].as_object().expect("paths").values().flat_map(|item| item.as_object()).flatten() {
        let id = call.1["operationId"].as_str().expect("an id");
        assert!(ids.insert(id), "{id} stands twice");
        assert!(call.1["summary"].is_string(), "{id} has no text");
    }
}

#[test]
fn every_threshold_says_that_higher_is_stricter() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let forms = schemas.iter().filter(|(name, _)| name.ends_with("Form"));
    let thresholds: Vec<_> = forms.filter_map(|(_, form)| form["properties"].get("threshold")).collect();
    assert_eq!(thresholds.len(), 3, "search, verify and compare have one");
    for threshold in thresholds {
        let text = threshold["description"].as_str().unwrap_or_default();
        assert!(text.contains("Higher is stricter"), "{threshold}");
    }
}

#[test]
fn the_fields_of_a_form_stand_in_their_order_and_are_those_that_are_read() {
    fn read<F: Fields>() -> Vec<&'static str> {
        F::IMAGES.iter().chain(F::TEXTS).copied().collect()
    }
    let document = document();
    for (form, fields) in [
        ("EnrolForm", read::<EnrolForm>()),
        ("SearchForm", read::<SearchForm>()),
        ("VerifyForm", read::<VerifyForm>()),
        ("CompareForm", read::<CompareForm>()),
        ("DetectForm", read::<DetectForm>()),
        // Whose order is that in which it has to be sent.
        ("BatchForm", vec!["item", "image"]),
    ] {
        let told = document["components"]["schemas"][form]["properties"].as_object().expect("properties");
        assert_eq!(told.keys().collect::<Vec<_>>(), fields, "{form}");
    }
}
