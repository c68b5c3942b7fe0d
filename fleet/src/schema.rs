//! JSON Schemas of every message, and the AsyncAPI document of all topics, from the types themselves. What lies in
//! `docs/fleet/` is compared with it by a test.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    topic::PREFIX,
    voucher::Voucher,
    wire::{Answer, Command, ConfigReport, Digest, Event, Message, Receipt, Sealed, Status, Telemetry},
};

/// A channel of the AsyncAPI document.
struct Channel {
    id: &'static str,
    /// What follows the site.
    address: &'static str,
    message: &'static str,
    retained: bool,
    /// Whether a door sends it, receives it, or both.
    sends: bool,
    receives: bool,
    limit: usize,
    about: &'static str,
}

const fn channel(id: &'static str, address: &'static str, message: &'static str, limit: usize) -> Channel {
    Channel { id, address, message, retained: true, sends: true, receives: false, limit, about: "" }
}

const DOCUMENT: Channel = Channel { receives: true, ..channel("", "", "sealed", Sealed::LIMIT) };

const CHANNELS: [Channel; 12] = [
    Channel {
        about: "The site vouches for a device, or revokes its key. Signed with the site's key.",
        sends: false,
        receives: true,
        ..channel("devices", "devices/{device}", "voucher", Voucher::LIMIT)
    },
    Channel {
        about: "How a device is: at its connection, at changes, and as its last will.",
        ..channel("status", "status/{device}", "status", Status::LIMIT)
    },
    Channel {
        id: "subjects",
        address: "subjects/{bucket}/{key}",
        about: "A person: embeddings, whether active, rules of its own; or the memory that it was erased.",
        ..DOCUMENT
    },
    Channel { id: "rules", address: "rules/{bucket}/{key}", about: "One of a tenant's access rules.", ..DOCUMENT },
    Channel {
        id: "tenants",
        address: "tenants/{bucket}/{key}",
        about: "A tenant: whether it is there, and up to when all of it was erased.",
        ..DOCUMENT
    },
    Channel {
        about: "What a door has, so that others notice where they differ.",
        receives: true,
        ..channel("digests", "digests/{device}", "digest", Digest::LIMIT)
    },
    Channel {
        about: "What happens. At least once, in order for each device.",
        retained: false,
        ..channel("events", "events/{device}", "event", Event::LIMIT)
    },
    Channel {
        about: "Figures, every few minutes.",
        retained: false,
        ..channel("telemetry", "telemetry/{device}", "telemetry", Telemetry::LIMIT)
    },
    Channel {
        about: "What a device is to do. Never retained: a retained command is refused as one for another session is (session).",
        retained: false,
        sends: false,
        receives: true,
        ..channel("commands", "commands/{device}", "command", Command::LIMIT)
    },
    Channel {
        about: "What became of a command.",
        retained: false,
        ..channel("answers", "answers/{device}", "answer", Answer::LIMIT)
    },
    Channel {
        about: "A door has erased what a document's erasure covers.",
        ..channel("receipts", "receipts/{device}/{key}", "receipt", Receipt::LIMIT)
    },
    Channel {
        about: "Which configuration a device runs.",
        ..channel("config", "config/{device}", "config", ConfigReport::LIMIT)
    },
];

/// The schemas, each with the name of its file in `docs/fleet/` before `.schema.json`.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("voucher", schema::<Voucher>()),
        ("status", schema::<Status>()),
        ("sealed", schema::<Sealed>()),
        ("digest", schema::<Digest>()),
        ("event", schema::<Event>()),
        ("telemetry", schema::<Telemetry>()),
        ("command", schema::<Command>()),
        ("answer", schema::<Answer>()),
        ("receipt", schema::<Receipt>()),
        ("config", schema::<ConfigReport>()),
    ]
}

/// The schema of a message, with the signature that every message ends with.
fn schema<T: JsonSchema>() -> Value {
    let mut schema = SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<T>().to_value();
    schema["properties"]["sig"] = json!({
        "type": "string",
        "pattern": "^[A-Za-z0-9_-]{86}$",
        "description": "Ed25519 over the topic, a zero byte, and the message without this member, which is its last; 64 bytes \
                        in base64url without padding."
    });
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("sig".into());
    }
    schema
}

/// The AsyncAPI 3 document.
pub fn asyncapi() -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    for channel in &CHANNELS {
        channels.insert(channel.id.into(), channel.describe());
        let mut operation = |action: &str, verb: &str| {
            let id = format!("{verb}{}{}", channel.id[..1].to_uppercase(), &channel.id[1..]);
            let at = format!("#/channels/{}", channel.id);
            operations.insert(
                id,
                json!({
                    "action": action,
                    "channel": { "$ref": at },
                    "messages": [{ "$ref": format!("{at}/messages/{}", channel.message) }],
                    "bindings": { "mqtt": { "qos": 1, "retain": channel.retained, "bindingVersion": "0.2.0" } }
                }),
            );
        };
        if channel.sends {
            operation("send", "send");
        }
        if channel.receives {
            operation("receive", "receive");
        }
    }
    let messages: Map<_, _> = schemas()
        .into_iter()
        .map(|(name, schema)| {
            let message = json!({
                "name": name,
                "title": schema["title"],
                "contentType": "application/json",
                "payload": {
                    "schemaFormat": "application/schema+json;version=draft-2020-12",
                    "schema": { "$ref": format!("./{name}.schema.json") }
                }
            });
            (name.to_owned(), message)
        })
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "facegate's fleet",
            "version": "1",
            "description": "What the doors of a site, and those who run them, say to each other over MQTT (5, or 3.1.1). Every \
                            message is a JSON object whose last member, sig, signs it; documents are sealed for the site. \
                            Operations are a door's.",
            "license": { "name": "MIT" }
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages }
    })
}

impl Channel {
    fn describe(&self) -> Value {
        let mut parameters = Map::new();
        parameters.insert("site".into(), json!({ "description": "The site's name: 1 to 32 of a-z, 0-9 and -." }));
        for (name, about) in [
            ("device", "The device's name: 1 to 32 of a-z, 0-9 and -."),
            ("bucket", "The first two digits of the key."),
            ("key", "32 hexadecimal digits: what the document is of, hashed with the site's secret."),
        ] {
            if self.address.contains(&format!("{{{name}}}")) {
                parameters.insert(name.into(), json!({ "description": about }));
            }
        }
        json!({
            "address": format!("{PREFIX}/{{site}}/{}", self.address),
            "description": format!("{} At most {} bytes.", self.about, self.limit),
            "parameters": parameters,
            "messages": { self.message: { "$ref": format!("#/components/messages/{}", self.message) } }
        })
    }
}
