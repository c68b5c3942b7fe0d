//! What `docs/fleet/` says of the messages is what the code says. `FACEGATE_WRITE_SCHEMAS=1` writes it anew.

use std::{fs, path::Path};

use facegate_fleet::{
    home_assistant::{Device, Door},
    schema::{asyncapi, schemas},
};
use serde_json::Value;

fn is_written(file: &str, value: &Value) {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package lies");
    let path = Path::new(&package).join("../docs/fleet").join(file);
    let text = serde_json::to_string_pretty(value).expect("JSON") + "\n";
    if std::env::var_os("FACEGATE_WRITE_SCHEMAS").is_some() {
        fs::write(&path, &text).expect("docs/fleet can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "docs/fleet/{file} is not what the code says; FACEGATE_WRITE_SCHEMAS=1 writes it anew");
}

#[test]
fn the_schemas_in_the_docs_are_the_codes() {
    for (name, schema) in schemas() {
        is_written(&format!("{name}.schema.json"), &schema);
    }
    is_written("asyncapi.json", &asyncapi());
}

#[test]
fn the_example_for_home_assistant_in_the_docs_is_the_codes() {
    let (site, device) = ("hq".parse().expect("a name"), "front".parse().expect("a name"));
    let doors = [Door { name: "main", contact: true }];
    let device = Device { site: &site, device: &device, version: "1.0.0", model: "arcface", doors: &doors };
    assert_eq!(device.topic("homeassistant"), "homeassistant/device/facegate_hq/front/config");
    is_written("home-assistant.example.json", &device.discovery());
}

#[test]
fn every_reference_leads_somewhere() {
    let document = asyncapi();
    let names: Vec<_> = schemas().into_iter().map(|(name, _)| format!("./{name}.schema.json")).collect();
    fn walk(value: &Value, visit: &mut impl FnMut(&str)) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| match value {
                Value::String(to) if name == "$ref" => visit(to),
                value => walk(value, visit),
            }),
            Value::Array(values) => values.iter().for_each(|value| walk(value, visit)),
            _ => {}
        }
    }
    let mut seen = 0;
    walk(&document, &mut |to| {
        seen += 1;
        match to.strip_prefix('#') {
            Some(pointer) => assert!(document.pointer(pointer).is_some(), "{to}"),
            None => assert!(names.iter().any(|name| name == to), "{to}"),
        }
    });
    assert!(seen > 40, "{seen}");
    for (name, schema) in schemas() {
        walk(&schema, &mut |to| {
            let pointer = to.strip_prefix('#').unwrap_or_else(|| panic!("{name}: {to} is elsewhere"));
            assert!(schema.pointer(pointer).is_some(), "{name}: {to}");
        });
    }
}
