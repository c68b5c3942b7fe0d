//! `facegate door`: what an operator asks of the running daemon, by its socket.

use std::thread;

use facegate_control::door::Command as Order;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Answer, Context,
    access::Way,
    client::call,
    output::{BAD, DIM, GOOD},
};
use crate::{
    config::Config,
    error::{Error, Kind, Result},
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show how the doors are.
    Status {
        /// Only this one.
        door: Option<String>,
    },
    /// Unlock for one pulse; a turnstile for one person.
    Unlock {
        door: String,
        /// Which way, of a turnstile.
        #[arg(long, value_enum, default_value_t = Way::Entry)]
        passage: Way,
    },
    /// Keep a door unlocked until it is released, or the daemon ends.
    Hold {
        #[command(flatten)]
        doors: Doors,
    },
    /// Let everybody pass beside what the schedule says, until it is switched off, or the daemon ends.
    FreeAccess {
        #[command(flatten)]
        doors: Doors,
        /// Switch it off.
        #[arg(long)]
        off: bool,
    },
    /// Lock at once, and let nobody in until the door is released: also beyond a restart.
    Lockdown {
        #[command(flatten)]
        doors: Doors,
    },
    /// End a hold, a lockdown and free access by command.
    Release {
        #[command(flatten)]
        doors: Doors,
    },
    /// End an emergency that outlasts the fire input (`fire_latches`).
    EndEmergency {
        #[command(flatten)]
        doors: Doors,
    },
    /// Take note of every alarm, which clears them.
    ResetAlarms {
        #[command(flatten)]
        doors: Doors,
    },
}

/// Which doors.
#[derive(Debug, clap::Args)]
pub struct Doors {
    /// Their names.
    #[arg(required_unless_present = "all")]
    doors: Vec<String>,
    /// Every door of this board.
    #[arg(long, conflicts_with = "doors")]
    all: bool,
}

pub fn run(context: &Context, command: Command) -> Result<Answer> {
    let config = context.load()?;
    let (doors, order) = match command {
        Command::Status { door } => {
            let doors = match door {
                Some(door) => vec![call(&config, Method::GET, &path(&door), None)?["door"].take()],
                None => list(&config)?,
            };
            doors.iter().for_each(|door| context.out.result(door, status));
            return Ok(Answer::Yes);
        }
        Command::Unlock { door, passage } => {
            (Doors { doors: vec![door], all: false }, Order::Unlock { passage: passage.into() })
        }
        Command::Hold { doors } => (doors, Order::Hold),
        Command::FreeAccess { doors, off } => (doors, Order::FreeAccess { on: !off }),
        Command::Lockdown { doors } => (doors, Order::Lockdown),
        Command::Release { doors } => (doors, Order::Release),
        Command::EndEmergency { doors } => (doors, Order::EndEmergency),
        Command::ResetAlarms { doors } => (doors, Order::ResetAlarms),
    };
    order_all(context, &config, &doors, order)
}

/// Every door is asked, whatever another one says, and all at once: none waits until another has answered. The first error that is
/// not a refusal is given back in the end.
fn order_all(context: &Context, config: &Config, doors: &Doors, order: Order) -> Result<Answer> {
    let doors = if doors.all {
        list(config)?.iter().filter_map(|door| door["door"].as_str().map(str::to_owned)).collect()
    } else {
        doors.doors.clone()
    };
    let ask = |door: &str| call(config, Method::POST, &format!("{}/commands", path(door)), Some(&json!(order)));
    let answers: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = doors.iter().map(|door| scope.spawn(|| ask(door))).collect();
        let panicked = |_| Err(Error::new(Kind::Internal, "asking a door panicked"));
        asked.into_iter().map(|asked| asked.join().unwrap_or_else(panicked)).collect()
    });
    let (mut answer, mut failed) = (Answer::Yes, None);
    for (door, said) in doors.into_iter().zip(answers) {
        match said {
            Ok(said) => {
                let mode = said["mode"].as_str().unwrap_or_default().to_owned();
                context.out.result(&json!({ "door": door, "obeyed": true, "mode": mode }), |_| {
                    format!("{GOOD}{door}{GOOD:#}: {}; it is {} now", order.describe(), words(&mode))
                });
            }
            Err(error) if error.kind() == Kind::DoorRefused => {
                answer = Answer::No;
                context.out.result(&json!({ "door": door, "obeyed": false, "why": error.message() }), |_| {
                    format!("{BAD}{door}{BAD:#}: {}", error.message())
                });
            }
            Err(error) => {
                failed.get_or_insert(error.within(&format!("door '{door}'")));
            }
        }
    }
    failed.map_or(Ok(answer), Err)
}

fn list(config: &Config) -> Result<Vec<Value>> {
    let mut said = call(config, Method::GET, "/v1/doors", None)?;
    Ok(said["doors"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// A door's path, its name percent-encoded.
fn path(door: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    format!("/v1/doors/{}", door.bytes().map(encoded).collect::<String>())
}

fn words(mode: &str) -> String {
    mode.replace('_', " ")
}

fn status(door: &Value) -> String {
    let text = |key: &str| door[key].as_str().unwrap_or_default();
    let mut lines = format!("{}: {}", text("door"), words(text("mode")));
    if let Some(by) = door["lockdown"]["by"].as_str() {
        let since = door["lockdown"]["since"].as_str().unwrap_or_default();
        lines += &format!("{DIM}, by {by} since {since}{DIM:#}");
    }
    for (key, what) in [
        ("lock_works", "the lock"),
        ("signals_work", "a signal"),
        ("inputs_work", "an input"),
        ("cameras_work", "a camera"),
    ] {
        if door[key] == false {
            lines += &format!("\n  {BAD}{what} does not work{BAD:#}");
        }
    }
    if let Some(error) = door["last_error"].as_str() {
        lines += &format!("\n  {DIM}last error: {error}{DIM:#}");
    }
    lines
}
