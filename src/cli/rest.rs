//! `facegate rest`: every lock at rest, whatever the daemon left behind.

use std::sync::Arc;

use super::{
    Answer, Context,
    output::{BAD, GOOD},
};
use crate::{clock::SystemClock, door, error::Result};

#[derive(Debug, clap::Args)]
pub struct Args {}

/// Goes on to the next door where one fails; the answer is yes where every lock is at rest.
pub fn run(context: &Context, _: Args) -> Result<Answer> {
    let config = context.load()?;
    let clock = Arc::new(SystemClock::new());
    let mut all = true;
    let relays = config.doors.iter().flat_map(|door| {
        let relays: Vec<_> = door.settings().relays().collect();
        relays.into_iter().map(move |(key, relay)| (&door.name, key, relay))
    });
    for (door, key, relay) in relays {
        let (ok, found, help) = match door::put_at_rest(&relay, clock.clone()) {
            Ok(lock) => (true, format!("at rest: {lock}"), None),
            Err(error) => (false, error.to_string(), error.advice().map(str::to_owned)),
        };
        all &= ok;
        let answer = serde_json::json!({ "door": door, "line": key, "ok": ok, "found": found, "help": help });
        context.out.result(&answer, |_| {
            let (style, sign) = if ok { (GOOD, "ok  ") } else { (BAD, "FAIL") };
            let help = help.as_ref().map(|help| format!("\n      {help}")).unwrap_or_default();
            let line = if key == "lock" { String::new() } else { format!(", {key}") };
            format!("{style}{sign}{style:#}  door '{door}'{line}: {found}{help}")
        });
    }
    Ok(if all { Answer::Yes } else { Answer::No })
}
