//! What all calls have in common, added to the document in one place: errors, headers, tags, ids and the words around them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::error::Kind;

/// What any call with a key can answer.
const OF_KEYS: [Kind; 6] =
    [Kind::MissingApiKey, Kind::InvalidApiKey, Kind::RateLimited, Kind::NotReady, Kind::RequestTimeout, Kind::Internal];

/// What any call without a key can answer.
const OF_OPEN: [Kind; 3] = [Kind::RateLimited, Kind::RequestTimeout, Kind::Internal];

/// What any call can answer.
const OF_ALL: [Kind; 2] = [Kind::RequestTimeout, Kind::Internal];

/// What needs no key.
const OPEN: [&str; 6] = ["/healthz", "/readyz", "/version", "/openapi.json", "/docs", "/docs/{file}"];

/// What may be asked however often.
const UNLIMITED: [&str; 2] = ["/healthz", "/readyz"];

/// Sections: where their paths begin, what they are called, and what they are for. The first that fits counts.
const TAGS: [(&str, &str, &str); 7] = [
    ("/v1/face-matching/subjects", "Subjects", "Whom there is, and whether they are to be recognised."),
    ("/v1/face-matching/", "Faces", include_str!("faces.md")),
    ("/v1/access/", "Rules", include_str!("rules.md")),
    (
        "/v1/doors",
        "Doors",
        "How doors are, and what an operator asks of them. A tenant sees the doors that are its own.",
    ),
    ("/v1/admin/keys", "Keys", "API keys of the caller's tenant. A key gives nothing that it lacks."),
    (
        "/v1/admin/tenants",
        "Tenants",
        "For users of the daemon's machine, on its socket (`api.socket`), where no key is needed. Over the network every \
         call is 403 `forbidden`.",
    ),
    ("/", "Daemon", "Health, version, metrics and this document."),
];

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Completes the document that the attributes of the handlers make.
pub(super) fn finish(openapi: OpenApi) -> Value {
    let made = serde_json::to_value(openapi).expect("a document of strings and numbers has a form in JSON");
    let (mut paths, mut schemas) = (taken(&made, "/paths"), taken(&made, "/components/schemas"));
    let mut errors = BTreeMap::new();
    for (path, item) in &mut paths {
        for method in METHODS {
            if let Some(Value::Object(operation)) = item.get_mut(method) {
                finish_call(path, method, operation, &mut errors);
            }
        }
    }
    schemas.insert("Failure".into(), failure());
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "facegate",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": include_str!("intro.md"),
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "/", "description": "The daemon that serves this document." }],
        "security": [{ "key": [] }],
        "tags": TAGS.map(|(_, name, text)| json!({ "name": name, "description": text })),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`Authorization: Bearer KEY`. `facegate keys add TENANT` makes a key and shows it once. \
                                    The key names the tenant, and has rights.",
                },
            },
            "headers": headers(),
            "responses": errors,
            "schemas": schemas,
        },
    });
    plain(&mut document);
    document
}

fn taken(made: &Value, place: &str) -> Map<String, Value> {
    made.pointer(place).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn finish_call(path: &str, method: &str, operation: &mut Map<String, Value>, errors: &mut BTreeMap<String, Value>) {
    let open = OPEN.contains(&path);
    operation.insert("operationId".into(), id(path, method).into());
    let tag = TAGS.iter().find(|(start, ..)| path.starts_with(start)).map_or("Daemon", |(_, name, _)| name);
    operation.insert("tags".into(), json!([tag]));
    if open {
        operation.insert("security".into(), json!([]));
    } else if path == "/metrics" {
        operation.insert("security".into(), json!([{}, { "key": [] }]));
    }
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    let mut kinds: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    let limited = !UNLIMITED.contains(&path);
    let everywhere = match (open, limited) {
        (false, _) => &OF_KEYS[..],
        (true, true) => &OF_OPEN[..],
        (true, false) => &OF_ALL[..],
    };
    let own = Kind::ALL.iter().filter(|kind| responses.contains_key(kind.code()));
    for kind in everywhere.iter().chain(own) {
        kinds.entry(kind.http_status()).or_default().insert(kind.code());
    }
    responses.retain(|status, _| status.parse::<u16>().is_ok());
    for response in responses.values_mut() {
        with_headers(response, limited, &[]);
    }
    for (status, codes) in kinds {
        let codes: Vec<_> = codes.into_iter().collect();
        let name = format!("{status}.{}", codes.join("."));
        responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{name}") }));
        errors.entry(name).or_insert_with(|| error(status, &codes));
    }
}

/// `post_enroll`, `get_access_rules`: unique, because a method of a path is.
fn id(path: &str, method: &str) -> String {
    let place = path.trim_start_matches("/v1").trim_start_matches("/face-matching").replace(['{', '}'], "");
    let words = place.split(['/', '.', '-']).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

/// The answer of an error status, which has one of these codes.
fn error(status: u16, codes: &[&str]) -> Value {
    let meaning = |code: &&str| {
        let kind = Kind::ALL.iter().find(|kind| kind.code() == *code);
        kind.map(|kind| format!("`{code}`: {}", kind.meaning()))
    };
    let mut response = json!({
        "description": codes.iter().filter_map(meaning).collect::<Vec<_>>().join("\n\n"),
        "content": { "application/json": { "schema": { "allOf": [
            { "$ref": "#/components/schemas/Failure" },
            { "properties": { "error": { "properties": { "code": { "enum": codes } } } } },
        ] } } },
    });
    let more: &[&str] = match status {
        429 | 503 => &["Retry-After"],
        401 => &["WWW-Authenticate"],
        _ => &[],
    };
    with_headers(&mut response, true, more);
    response
}

fn with_headers(response: &mut Value, limited: bool, more: &[&str]) {
    let limits: &[&str] = if limited { &["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"] } else { &[] };
    for name in ["x-request-id"].iter().chain(limits).chain(more) {
        response["headers"][*name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
}

fn headers() -> Value {
    let number = |text: &str| json!({ "description": text, "schema": { "type": "integer", "minimum": 0 } });
    json!({
        "x-request-id": {
            "description": "The request's id in the daemon's log: the client's own where it is well-formed, else a new one.",
            "required": true,
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
        },
        "RateLimit-Limit": number("Calls at once after a rest, of the tighter limit. Absent where nothing is limited."),
        "RateLimit-Remaining": number("Of these, how many are left now."),
        "RateLimit-Reset": number("Seconds until all of them are back."),
        "Retry-After": number("Seconds after which to try again."),
        "WWW-Authenticate": { "description": "The scheme of keys.", "schema": { "const": "Bearer" } },
    })
}

/// The body of every error.
fn failure() -> Value {
    let codes: BTreeSet<_> = Kind::ALL
        .iter()
        .map(|&kind| if kind.http_status() == 500 { Kind::Internal.code() } else { kind.code() })
        .collect();
    json!({
        "type": "object",
        "description": "The body of every error.",
        "required": ["success", "error"],
        "properties": {
            "success": { "const": false },
            "error": {
                "type": "object",
                "required": ["code", "message", "request_id"],
                "properties": {
                    "code": { "type": "string", "enum": codes, "description": "Stable, for programs." },
                    "message": { "type": "string", "description": "For people: what failed, on what, what to do." },
                    "request_id": { "type": "string", "description": "As in `x-request-id`." },
                },
            },
        },
    })
}

/// Takes what only `rustdoc` understands out of the texts: links to items.
fn plain(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if ["description", "summary"].contains(&name.as_str()) => {
                        *text = text.replace("[`", "`").replace("`]", "`");
                    }
                    value => plain(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(plain),
        _ => {}
    }
}
