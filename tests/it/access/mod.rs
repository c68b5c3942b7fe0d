//! The rules through REST, the command line and a real door.

mod cli;
mod door;
mod manual;
mod rest;

use serde_json::{Value, json};

use crate::support::{
    Server,
    http::{Reply, call},
};

/// An office with a hall behind two doors, in JSON as clients write it.
pub fn office() -> Value {
    json!({
        "calendars": [{"name": "be", "days": [{"on": "12-25", "name": "Christmas"}]}],
        "schedules": [{
            "name": "office", "zone": "Europe/Brussels",
            "week": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"}],
            "holidays": [{"calendar": "be"}],
        }],
        "areas": [{"name": "hall", "anti_passback": "hard", "exit_without_entry": "flag"}],
        "doors": [{"name": "front", "inside": "hall"}, {"name": "side", "inside": "hall"}],
        "interlocks": [{"name": "sluice", "doors": ["front", "side"]}],
        "groups": [
            {"name": "staff", "access": [{"doors": ["front"], "schedule": "office"}]},
            {"name": "guards", "access": [{"doors": ["front", "side"]}]},
        ],
        "subjects": [{"id": "ann", "groups": ["staff"]}, {"id": "bob", "groups": ["guards"], "class": "extended"}],
    })
}

/// A call of `/v1/access` by one of the server's two tenants, with a body of JSON and more headers.
pub fn access(
    server: &Server,
    tenant: usize,
    method: &str,
    path: &str,
    body: Option<&Value>,
    more: &[(&str, &str)],
) -> Reply {
    let bearer = format!("Bearer {}", server.keys[tenant]);
    let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    headers.extend_from_slice(more);
    let body = body.map(|body| body.to_string().into_bytes());
    call(server.address, method, &format!("/v1/access{path}"), &headers, body.as_deref())
}
