//! `facegate fleet bridge`: locks for Home Assistant, whose orders this device signs.

use std::time::Duration;

use facegate_fleet::{
    home_assistant::Bridge,
    open::Body,
    topic::Topic,
    voucher::Role,
    wire::{self, Order},
};
use serde_json::json;

use super::{Answer, Context, answered, settings};
use crate::{
    error::{Error, Kind, Result},
    fleet::{
        Outgoing,
        console::{Console, Heard},
    },
};

/// How long nothing may come before it is looked again.
const LOOK: Duration = Duration::from_secs(60);

/// Runs until the connection ends: whoever started it, such as systemd, starts it again.
pub fn run(context: &Context) -> Result<Answer> {
    let settings = settings(context)?;
    let prefix = settings.home_assistant.clone().unwrap_or_default().prefix;
    let mut console = Console::connect_for_long(&settings)?;
    if !matches!(console.role(), Role::Operator | Role::Admin) {
        return Err(Error::new(Kind::Forbidden, format!("{} may not command doors", settings.device))
            .help("have it approved with --role operator"));
    }
    let mut bridge = Bridge::new(settings.site.clone(), settings.device.clone(), env!("CARGO_PKG_VERSION"));
    for filter in ["status/+", "answers/+"] {
        console.listen(filter)?;
    }
    console.listen_elsewhere(bridge.filter())?;
    context.out.result(&json!({ "bridge": settings.device }), |_| {
        format!("{} orders what Home Assistant asks for, until it is interrupted", settings.device)
    });
    loop {
        match console.hear(LOOK)? {
            None => {}
            Some(Heard::Believed(opened)) => match opened.body {
                Body::Status(status) if bridge.status(&status) => {
                    let (topic, payload) = (bridge.topic(&prefix), bridge.discovery().to_string().into_bytes());
                    console.send(Outgoing { topic, payload, retain: true, expiry: None })?;
                }
                Body::Answer(told) if told.to == settings.device => {
                    answered(context, &told.by, &told);
                }
                _ => {}
            },
            Some(Heard::Elsewhere(message)) => match bridge.order(&message.topic, &message.payload, message.retained) {
                Ok((device, order, session)) => command(&mut console, &device, order, session)?,
                Err(why) => {
                    context.out.say(format_args!("Home Assistant asked for something that is not ordered: {why}"));
                }
            },
        }
    }
}

fn command(
    console: &mut Console,
    device: &facegate_fleet::Name,
    order: Order,
    session: facegate_fleet::keys::Session,
) -> Result<()> {
    let command = console.command(device, order, session);
    let topic = Topic::Command(device.clone());
    let payload = wire::write(&command, console.site(), &topic, console.key())
        .map_err(|error| Error::new(Kind::TooLarge, error.to_string()))?;
    let topic = topic.of(console.site());
    console.send(Outgoing { topic, payload, retain: false, expiry: Some(console.valid_s()) })
}
