//! `facegate fleet`: a site of many doors, from one terminal.

mod bridge;
mod receipts;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use facegate_fleet::{
    Name,
    open::Body,
    topic::Topic,
    trial::{MAX_CONFIG, digest},
    voucher::Role,
    wire::{Answer as Told, Order, Outcome, Status},
};
use serde_json::json;

use super::{
    Answer, Context,
    output::{BAD, WARN, read_file},
};
use crate::{
    error::{Context as _, Error, Kind, Result},
    fleet::{
        RULES_PART, Settings,
        console::Console,
        identity::{self, write_private},
        provisioning::{self, Approval, Request},
    },
    gallery::Within,
};

/// How long a device may take to answer, beyond what it was ordered to do.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a device may take to check rules, beyond that.
const RULES: Duration = Duration::from_secs(50);

/// How long a device may take to check a configuration, and to stop and start twice, in seconds.
const RESTARTS: u16 = 180;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a new site's keys in a folder that stays with you.
    Init {
        /// The folder, which must have none yet.
        #[arg(long, value_name = "DIR", default_value = "site")]
        site_dir: PathBuf,
        /// The broker's host name: with it, a certificate for the broker is made.
        #[arg(long, value_name = "HOST")]
        broker: Option<String>,
    },
    /// On a new device: make its keys, and a request to be carried to whoever holds the site's keys.
    JoinRequest {
        /// Where to write it; without, it is printed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Where the site's keys are: approve a device's request.
    Approve {
        /// The request.
        request: PathBuf,
        /// The folder with the site's keys.
        #[arg(long, value_name = "DIR", default_value = "site")]
        site_dir: PathBuf,
        /// What the device may do: door, operator (enrols, opens and locks), admin (also restarts and configures), observer.
        #[arg(long, default_value = "door", value_parser = role)]
        role: Role,
        /// How long it is valid, such as 365d; without, until it is revoked.
        #[arg(long)]
        expires: Option<Within>,
        /// The fingerprint that the device printed: another request is refused.
        #[arg(long, value_name = "FINGERPRINT")]
        fingerprint: Option<String>,
        /// Where to write the approval; without, it is printed.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// On the new device: take the approval in.
    Join {
        /// The approval.
        approval: PathBuf,
        /// The site's fingerprint, as whoever holds its keys sees it: another site's approval is refused.
        #[arg(long, value_name = "FINGERPRINT")]
        site_fingerprint: Option<String>,
    },
    /// On a device: leave the site, and delete its keys. What is enrolled here stays.
    Leave,
    /// Tell all doors that a device's key is not trusted any more. That cannot be taken back; the device can join with a new key.
    Revoke {
        device: Name,
        #[arg(long, value_name = "DIR", default_value = "site")]
        site_dir: PathBuf,
    },
    /// How all devices of the site are.
    Status,
    /// What happens at all doors, until it is interrupted.
    Watch {
        /// End after so many events.
        #[arg(long)]
        count: Option<usize>,
    },
    /// Which doors have erased what was erased, and who is missing; exit status 1 where one is.
    Receipts,
    /// Unlock a door for one pulse.
    Unlock {
        #[command(flatten)]
        at: At,
        /// On a turnstile, the other way.
        #[arg(long)]
        exit: bool,
    },
    /// Lock, and stay locked for everybody until it is released.
    Lockdown(At),
    /// Back to what schedules and people say.
    Release(At),
    /// Stand open for everybody.
    FreeAccess(At),
    /// End free access that was ordered.
    EndFreeAccess(At),
    /// Enrol whoever stands before a door's camera: from then on all doors know them.
    Enrol {
        #[command(flatten)]
        at: At,
        /// The tenant.
        #[arg(long)]
        tenant: String,
        /// The subject's id.
        #[arg(long)]
        subject: String,
        /// How long to wait for a face that is good enough.
        #[arg(long, default_value_t = 30)]
        seconds: u16,
        /// A group of the tenant's access rules that the subject is put in; may be given several times.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Put the access rules of a document in the place of all that a tenant has, at all doors: by one door, which checks them.
    PushRules {
        /// A door that is online: the others have them from it.
        device: Name,
        /// The document, as facegate access export writes it.
        file: PathBuf,
        /// The tenant.
        #[arg(long)]
        tenant: String,
    },
    /// Blink, so that somebody finds the device.
    Identify {
        device: Name,
        #[arg(long, default_value_t = 30)]
        seconds: u16,
    },
    /// Read the configuration file again.
    Reload { device: Name },
    /// Restart the daemon.
    Restart { device: Name },
    /// Make locks for Home Assistant of all doors, and order what it asks for, signed by this device, until it is interrupted. Needs
    /// the role operator, and an access list at the broker that leaves its topics to Home Assistant (docs/fleet.md).
    Bridge,
    /// Have a device run another configuration, kept only where it comes back with it: else the old one is back by itself.
    SetConfig {
        device: Name,
        /// The configuration, TOML. What is fixed at the device (docs/fleet.md) may be left out.
        file: PathBuf,
        /// What it is called [default: the beginning of its hash].
        #[arg(long)]
        revision: Option<String>,
        /// How long the device may take to come back, 10 to 3600 s.
        #[arg(long, default_value_t = 120)]
        seconds: u16,
    },
}

/// Which door.
#[derive(Debug, clap::Args)]
pub struct At {
    /// The device.
    device: Name,
    /// One of its doors; without, all of them.
    #[arg(long)]
    door: Option<String>,
}

fn role(text: &str) -> std::result::Result<Role, String> {
    serde_json::from_value(text.into()).map_err(|_| "it is door, operator, admin or observer".into())
}

pub fn run(context: &Context, command: Command) -> Result<Answer> {
    match command {
        Command::Init { site_dir, broker } => {
            let key = provisioning::make_site(&site_dir, broker.as_deref(), wall_ms())?;
            let print = provisioning::fingerprint_of_site(&site_dir)?;
            context.out.result(&json!({ "site_key": key, "dir": site_dir, "fingerprint": print }), |_| {
                let dir = site_dir.display();
                format!(
                    "a new site's keys are in {dir}: keep them safe, and on no door\nthe site's fingerprint: {print}"
                )
            });
            Ok(Answer::Yes)
        }
        Command::JoinRequest { out } => {
            let request = provisioning::request(&settings(context)?)?;
            context.out.aside(format!("this device's fingerprint: {}", request.fingerprint()?));
            hand_out(
                context,
                &request,
                out.as_deref(),
                "carry it to whoever holds the site's keys: facegate fleet approve",
            )
        }
        Command::Approve { request, site_dir, role, expires, fingerprint, out } => {
            let request: Request = identity::json(&request)?;
            let print = request.fingerprint()?;
            compare(fingerprint.as_deref(), &print, "the request is not the one that the device made")?;
            let lasts = expires.map(|Within(lasts)| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
            let approval = provisioning::approve(&site_dir, &request, role, wall_ms(), lasts)?;
            let device = &approval.device;
            context.out.aside(format!("the fingerprint of {device}, as join-request printed it there: {print}"));
            context
                .out
                .aside(format!("the site's fingerprint, as join will print it: {}", approval.site_fingerprint()));
            hand_out(context, &approval, out.as_deref(), "carry it to the device: facegate fleet join")
        }
        Command::Join { approval, site_fingerprint } => {
            let (settings, approval): (_, Approval) = (settings(context)?, identity::json(&approval)?);
            let print = approval.site_fingerprint();
            compare(site_fingerprint.as_deref(), &print, "the approval is another site's")?;
            if approval.sig.is_none() {
                if site_fingerprint.is_some() {
                    return Err(Error::new(
                        Kind::Config,
                        "the approval is not signed, so that a fingerprint says nothing of it",
                    )
                    .help("have the request approved by the newest facegate"));
                }
                context.out.aside("the approval is not signed, as those of earlier versions: nobody knows whether it was changed on its way");
            }
            provisioning::join(&settings, &approval)?;
            context.out.aside(format!("the site's fingerprint: {print}"));
            context.out.result(&json!({ "joined": approval.site, "device": approval.device }), |_| {
                format!("{} is of the site {}; restart its daemon", approval.device, approval.site)
            });
            Ok(Answer::Yes)
        }
        Command::Leave => leave(context),
        Command::Revoke { device, site_dir } => revoke(context, &device, &site_dir),
        Command::Status => status(context),
        Command::Watch { count } => watch(context, count),
        Command::Receipts => receipts::run(context),
        Command::Unlock { at, exit } => order(context, &at.device, Order::Unlock { door: at.door, exit }, 0),
        Command::Lockdown(at) => order(context, &at.device, Order::Lockdown { door: at.door }, 0),
        Command::Release(at) => order(context, &at.device, Order::Release { door: at.door }, 0),
        Command::FreeAccess(at) => order(context, &at.device, Order::FreeAccess { door: at.door }, 0),
        Command::EndFreeAccess(at) => order(context, &at.device, Order::EndFreeAccess { door: at.door }, 0),
        Command::Enrol { at, tenant, subject, seconds, groups } => {
            let wanted = Order::Enrol { door: at.door, tenant, subject, seconds, groups };
            order(context, &at.device, wanted, seconds)
        }
        Command::Identify { device, seconds } => order(context, &device, Order::Identify { seconds }, seconds),
        Command::Reload { device } => order(context, &device, Order::Reload {}, 0),
        Command::Restart { device } => order(context, &device, Order::Restart {}, 0),
        Command::Bridge => bridge::run(context),
        Command::PushRules { device, file, tenant } => push_rules(context, &device, &file, &tenant),
        Command::SetConfig { device, file, revision, seconds } => {
            set_config(context, &device, &file, revision, seconds)
        }
    }
}

/// Refuses what has another fingerprint than somebody was told by another way.
fn compare(told: Option<&str>, found: &str, wrong: &str) -> Result<()> {
    match told {
        Some(told) if !provisioning::is_fingerprint(told, found) => {
            Err(Error::new(Kind::InvalidField, format!("{wrong}: its fingerprint is {found}"))
                .help("it was exchanged on its way, or is an older one: have it sent again, and compare anew"))
        }
        _ => Ok(()),
    }
}

fn leave(context: &Context) -> Result<Answer> {
    let config = context.load()?;
    // Whoever only commands doors has no gallery, and need not make one.
    if config.gallery.dir.join("data.mdb").exists() {
        super::gallery::open(&config)?.leave_site()?;
    }
    let deleted = config.fleet.as_ref().map(provisioning::leave).transpose()?;
    context.out.result(&json!({ "left": true, "deleted": deleted.as_deref().unwrap_or_default() }), |_| match &deleted {
        None => "left; the configuration has no [fleet], so that its keys are still where they were".to_owned(),
        Some(deleted) if deleted.is_empty() => "left; take [fleet] out of the configuration".to_owned(),
        Some(deleted) => format!(
            "left, and deleted {}; take [fleet] out of the configuration and restart the daemon; whoever has the site's keys revokes this device",
            deleted.join(", ")
        ),
    });
    Ok(Answer::Yes)
}

fn set_config(context: &Context, device: &Name, file: &Path, revision: Option<String>, seconds: u16) -> Result<Answer> {
    let config = read_text(file)?;
    if config.len() > MAX_CONFIG {
        let message = format!("{} has {} bytes; a configuration may have {MAX_CONFIG}", file.display(), config.len());
        return Err(Error::new(Kind::TooLarge, message).help("leave comments out, and what is at its default"));
    }
    let revision = revision.unwrap_or_else(|| digest(&config)[..12].to_owned());
    // Once with it, and once without, where it does not come back.
    let patience = seconds.saturating_mul(2).saturating_add(RESTARTS);
    order(context, device, Order::SetConfig { revision, config, seconds }, patience)
}

/// Sends a document in as many parts as it needs.
fn push_rules(context: &Context, device: &Name, file: &Path, tenant: &str) -> Result<Answer> {
    let text = read_text(file)?;
    let mut rest = text.as_str();
    let mut parts = Vec::new();
    while !rest.is_empty() || parts.is_empty() {
        let (part, after) = rest.split_at(rest.floor_char_boundary(RULES_PART));
        parts.push(part);
        rest = after;
    }
    let count = u16::try_from(parts.len()).unwrap_or(u16::MAX);
    let mut console = Console::connect(&settings(context)?)?;
    for (number, part) in (1..).zip(parts) {
        let (tenant, rules) = (tenant.to_owned(), part.to_owned());
        let wanted = Order::SetRules { tenant, rules, part: number, parts: count };
        let told = console.order(device, wanted, ANSWER + RULES)?;
        if told.outcome != Outcome::Done || number == count {
            return Ok(answered(context, device, &told));
        }
    }
    Ok(Answer::No)
}

fn read_text(file: &Path) -> Result<String> {
    String::from_utf8(read_file(file)?)
        .map_err(|error| Error::new(Kind::InvalidField, format!("{} is no text", file.display())).source(error))
}

/// The wall clock, in milliseconds since 1970.
fn wall_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

fn settings(context: &Context) -> Result<Settings> {
    context.load()?.fleet.ok_or_else(|| {
        Error::new(Kind::Config, "the configuration has no [fleet]")
            .help("add it: facegate config example shows every key")
    })
}

fn hand_out(context: &Context, what: &impl serde::Serialize, out: Option<&Path>, then: &str) -> Result<Answer> {
    let text = serde_json::to_string_pretty(what).context(Kind::Internal, || "it has no form in JSON")?;
    match out {
        Some(path) => {
            write_private(path, text.as_bytes())?;
            context.out.result(&json!({ "written": path }), |_| format!("{}: {then}", path.display()));
        }
        None => context.out.result(what, |_| text.clone()),
    }
    Ok(Answer::Yes)
}

fn order(context: &Context, device: &Name, order: Order, seconds: u16) -> Result<Answer> {
    let patience = ANSWER + Duration::from_secs(seconds.into());
    let told: Told = Console::connect(&settings(context)?)?.order(device, order, patience)?;
    Ok(answered(context, device, &told))
}

/// Prints an answer.
fn answered(context: &Context, device: &Name, told: &Told) -> Answer {
    let done = matches!(told.outcome, Outcome::Done | Outcome::Begun);
    context.out.result(told, |told| {
        let words = told.message.as_deref().or(told.code.as_deref()).unwrap_or_default();
        let outcome = serde_json::to_value(told.outcome).ok();
        format!("{device}: {}: {words}", outcome.as_ref().and_then(|word| word.as_str()).unwrap_or_default())
    });
    if done { Answer::Yes } else { Answer::No }
}

fn revoke(context: &Context, device: &Name, site_dir: &Path) -> Result<Answer> {
    let mut console = Console::connect(&settings(context)?)?;
    let known = console.registry().vouchers().find(|vouched| vouched.voucher.device == *device).cloned();
    let known = known.ok_or_else(|| Error::new(Kind::NotFound, format!("the fleet knows no device {device}")))?;
    // Noted in the folder before doors are told: whoever is approved from now on never believes it, even where this ends here.
    let message = provisioning::revoke(site_dir, console.site(), &known.voucher, console.now().wall)?;
    console.publish(&Topic::Device(device.clone()), message, true, None)?;
    context.out.result(&json!({ "revoked": device }), |_| {
        let crl = site_dir.join("crl.pem");
        format!(
            "{device} is revoked: doors refuse it from now on, and those that are away when they are back; give the broker {} and restart it",
            crl.display()
        )
    });
    Ok(Answer::Yes)
}

fn status(context: &Context) -> Result<Answer> {
    let mut console = Console::connect(&settings(context)?)?;
    let mut statuses: BTreeMap<Name, Status> = BTreeMap::new();
    let mut documents: BTreeMap<Name, u64> = BTreeMap::new();
    for opened in console.gather(&["status/+", "digests/+"])? {
        match opened.body {
            Body::Status(status) => drop(statuses.insert(status.by.clone(), *status)),
            Body::Digest(digest) => drop(documents.insert(digest.by.clone(), digest.documents)),
            _ => {}
        }
    }
    let mut all_well = true;
    let mut known: Vec<_> = console.registry().vouchers().collect();
    known.sort_unstable_by(|a, b| a.voucher.device.cmp(&b.voucher.device));
    for vouched in known {
        let voucher = &vouched.voucher;
        let status = statuses.get(&voucher.device);
        let online = status.is_some_and(|status| status.online) && !voucher.revoked;
        all_well &= online || voucher.revoked || voucher.role != Role::Door;
        let line = json!({
            "device": voucher.device, "role": voucher.role, "revoked": voucher.revoked, "online": online,
            "documents": documents.get(&voucher.device), "status": status,
        });
        context.out.result(&line, |_| {
            let state = match (voucher.revoked, online) {
                (true, _) => "revoked",
                (false, true) => "online",
                (false, false) => "offline",
            };
            let mut text = format!("{:<32} {state}", voucher.device.as_str());
            if let Some(status) = status {
                for door in &status.doors {
                    let camera = if door.camera { "" } else { ", its camera does not work" };
                    let open = if door.open == Some(true) { ", open" } else { "" };
                    text.push_str(&format!("; {}: {}{open}{camera}", door.name, door.mode));
                    for alarm in &door.alarms {
                        text.push_str(&format!(", {BAD}alarm: {}{BAD:#}", alarm.replace('_', " ")));
                    }
                }
                if status.needs_enrolling_again > 0 {
                    let count = status.needs_enrolling_again;
                    text.push_str(&format!(
                        "; {WARN}{count} need enrolling again{WARN:#} (there: facegate list --enrol-again)"
                    ));
                }
                if let Some(filling) = status.filling {
                    text.push_str(&format!("; filling: {} of {} documents", filling.documents, filling.of));
                }
            }
            text
        });
    }
    Ok(if all_well { Answer::Yes } else { Answer::No })
}

fn watch(context: &Context, count: Option<usize>) -> Result<Answer> {
    let mut console = Console::connect(&settings(context)?)?;
    console.gather(&["events/+"])?;
    let mut seen = 0;
    while count.is_none_or(|count| seen < count) {
        let Some(opened) = console.next(Duration::from_secs(3600))? else { continue };
        let Body::Event(event) = opened.body else { continue };
        seen += 1;
        context.out.result(&event, |event| {
            let at = i64::try_from(event.at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
            let at = at.unwrap_or_default();
            let details: Vec<_> = event.details.iter().map(|(name, value)| format!("{name} {value}")).collect();
            let door = event.door.as_deref().unwrap_or("-");
            format!("{at}  {}  {door}  {}  {}", event.by, event.kind, details.join(", "))
        });
    }
    Ok(Answer::Yes)
}
