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
    for door in &config.doors {
        let relay = door::Relay { lock: door.lock.clone(), rest: door.fail.rest_energised() };
        let (ok, found, help) = match door::put_at_rest(&relay, clock.clone()) {
            Ok(lock) => (true, format!("at rest: {lock}"), None),
            Err(error) => (false, error.to_string(), error.advice().map(str::to_owned)),
        };
        all &= ok;
        let answer = serde_json::json!({ "door": door.name, "ok": ok, "found": found, "help": help });
        context.out.result(&answer, |_| {
            let (style, sign) = if ok { (GOOD, "ok  ") } else { (BAD, "FAIL") };
            let help = help.as_ref().map(|help| format!("\n      {help}")).unwrap_or_default();
            format!("{style}{sign}{style:#}  door '{}': {found}{help}", door.name)
        });
    }
    Ok(if all { Answer::Yes } else { Answer::No })
}
