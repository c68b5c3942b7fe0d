//! `facegate check`: everything that could keep the door from opening, looked at one by one, each finding with what to do.

mod fleet;

use std::{net::TcpListener, sync::Arc};

use serde::Serialize;

use super::{
    Answer, Context,
    output::{BAD, DIM, GOOD},
};
use crate::{
    access::PadPolicy,
    camera,
    clock::SystemClock,
    config::Config,
    daemon::living,
    door,
    error::{Error, Kind, Result},
    gallery::Gallery,
    journal,
    strictness::Strictness,
    vision::{engine::Engine, models::Pack},
};

#[derive(Debug, clap::Args)]
pub struct Args {}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    /// What was found.
    found: String,
    /// What to do about it, where something is wrong.
    help: Option<String>,
}

/// Prints each finding as it is made.
struct Findings<'a> {
    context: &'a Context,
    all_well: bool,
}

impl Findings<'_> {
    fn add(&mut self, finding: Finding) {
        self.all_well &= finding.ok;
        self.context.out.result(&finding, |finding| {
            let (style, sign) = if finding.ok { (GOOD, "ok  ") } else { (BAD, "FAIL") };
            let help = finding.help.as_ref().map(|help| format!("\n      {DIM}{help}{DIM:#}")).unwrap_or_default();
            format!("{style}{sign}{style:#}  {}: {}{help}", finding.what, finding.found)
        });
    }

    fn well(&mut self, what: impl Into<String>, found: impl Into<String>) {
        self.add(Finding { what: what.into(), ok: true, found: found.into(), help: None });
    }

    fn wrong(&mut self, what: impl Into<String>, error: &Error) {
        let help = error.advice().map(str::to_owned);
        self.add(Finding { what: what.into(), ok: false, found: error.to_string(), help });
    }

    fn either(&mut self, what: impl Into<String>, result: Result<String>) {
        match result {
            Ok(found) => self.well(what, found),
            Err(error) => self.wrong(what, &error),
        }
    }
}

pub fn run(context: &Context, _: Args) -> Result<Answer> {
    let mut findings = Findings { context, all_well: true };
    match context.load() {
        Err(error) => findings.wrong("configuration", &error),
        Ok(config) => {
            findings.well("configuration", format!("{} is valid", context.config_path().display()));
            look(&config, &mut findings);
        }
    }
    Ok(if findings.all_well { Answer::Yes } else { Answer::No })
}

fn look(config: &Config, findings: &mut Findings<'_>) {
    let pack = Pack::open(&config.models.dir, &config.models.pack);
    findings.either(
        "networks",
        pack.as_ref()
            .map_err(copy)
            .map(|pack| format!("pack '{}': every file has the manifest's hash", pack.manifest().name)),
    );
    if let Ok(pack) = &pack {
        let engine = Engine::load(pack).map(|engine| {
            findings.either("liveness", living::provided(config, &engine).map(|()| wanted_liveness(config)));
            format!("the networks run; model {}", engine.model_id())
        });
        findings.either("engine", engine);
        let model = pack.manifest().recogniser.id.clone().unwrap_or_default();
        if let Some(gallery) = look_at_the_store(config, &model, findings) {
            look_at_the_thresholds(config, pack, &gallery, findings);
        }
    }
    if config.doors.is_empty() {
        findings.add(Finding {
            what: "doors".into(),
            ok: config.api.listen.is_some(),
            found: "the configuration has no [[door]]".into(),
            help: Some("`facegate config example` shows one".into()),
        });
    }
    let running = journal::in_use(&config.journal.dir);
    for door in &config.doors {
        let lock = format!("door '{}', lock", door.name);
        // A device that streams cannot be set up by a second process, nor a line be claimed by one.
        for (side, (_, camera, _)) in ["camera", "camera of the other side"].iter().zip(door.sides()) {
            let probed = camera::probe(camera).or_else(|error| {
                if running && is_busy(&error) {
                    Ok("in use, by the running facegate it is to be hoped".into())
                } else {
                    Err(error)
                }
            });
            findings.either(format!("door '{}', {side}", door.name), probed);
        }
        if running {
            findings.well(lock, "not looked at: a running facegate has it");
        } else {
            findings.either(lock, door::probe(&door.lock));
            let wires = door.wiegand.iter().flat_map(door::WiegandSettings::wired);
            for (key, output) in door.outputs.wired().chain(wires) {
                findings.either(format!("door '{}', {key}", door.name), door::probe(output));
            }
            for (sensor, input) in door.inputs.wired() {
                findings.either(format!("door '{}', input {}", door.name, sensor.key()), door::probe_input(input));
            }
        }
    }
    look_at_the_journal(config, findings);
    fleet::look(config, findings);
    if let Some(listen) = config.api.listen {
        findings.add(match TcpListener::bind(listen) {
            Ok(_) => Finding { what: "API".into(), ok: true, found: format!("{listen} is free"), help: None },
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Finding {
                what: "API".into(),
                ok: true,
                found: format!("{listen} is in use, by a running facegate it is to be hoped"),
                help: None,
            },
            Err(error) => Finding {
                what: "API".into(),
                ok: false,
                found: format!("cannot listen on {listen}: {error}"),
                help: Some("choose another address in [api] listen".into()),
            },
        });
    }
}

/// Whether the kernel said that a device is in use.
fn is_busy(error: &Error) -> bool {
    let mut below = std::error::Error::source(error);
    while let Some(error) = below {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::ResourceBusy)
        {
            return true;
        }
        below = error.source();
    }
    false
}

fn look_at_the_journal(config: &Config, findings: &mut Findings<'_>) {
    let proven = match journal::verify(&config.journal.dir) {
        Err(error) if error.kind() == Kind::NotFound => Ok("none yet; the first run begins one".into()),
        Err(error) => Err(error),
        Ok(report) => match report.broken {
            None => Ok(format!("{} entries, the chain is unbroken", report.entries)),
            Some(broken) => Err(Error::new(
                Kind::Store,
                format!("broken in {}, line {}: {}", broken.file, broken.line, broken.reason),
            )
            .help("somebody changed it, or the disk did: put it aside as evidence; the next run begins a new one")),
        },
    };
    findings.either("journal", proven);
}

/// Where it is asked for.
fn wanted_liveness(config: &Config) -> String {
    let doors = config.doors.iter().filter(|door| door.access.liveness != PadPolicy::Off);
    let doors: Vec<_> = doors.map(|door| format!("'{}'", door.name)).collect();
    if doors.is_empty() { "no door asks for it".into() } else { format!("the pack judges it for {}", doors.join(", ")) }
}

/// What each door's chance of a false accept comes to with those who are enrolled now.
fn look_at_the_thresholds(config: &Config, pack: &Pack, gallery: &Gallery, findings: &mut Findings<'_>) {
    let Some(scale) = &pack.manifest().recogniser.calibration else { return };
    for door in &config.doors {
        let derived = Strictness::of(&door.access, scale, gallery.compared_with(&door.tenant));
        if let Some(derived) = derived.transpose() {
            findings.either(format!("door '{}', false_accept", door.name), derived.map(|derived| derived.describe()));
        }
    }
}

/// Gives the gallery, where it could be opened.
fn look_at_the_store(config: &Config, model: &str, findings: &mut Findings<'_>) -> Option<Gallery> {
    let gallery = match Gallery::open(&config.gallery, model, Arc::new(SystemClock::new())) {
        Ok(gallery) => gallery,
        Err(error) => {
            findings.wrong("store", &error);
            return None;
        }
    };
    match gallery.check() {
        Err(error) => findings.wrong("store", &error),
        Ok(report) => {
            for finding in &report.findings {
                findings.add(Finding {
                    what: "store".into(),
                    ok: false,
                    found: finding.message.clone(),
                    help: Some(finding.help.clone()),
                });
            }
            if report.is_sound() {
                let stats = &report.stats;
                findings.well(
                    "store",
                    format!(
                        "{} tenants, {} subjects, {} active embeddings; store and index agree",
                        stats.tenants, stats.subjects, stats.active
                    ),
                );
            }
            if report.stats.foreign > 0 {
                findings.add(Finding {
                    what: "store".into(),
                    ok: false,
                    found: format!(
                        "{} embeddings are of another model than {model} and never match",
                        report.stats.foreign
                    ),
                    help: Some("enrol these people again, or set models.pack back".into()),
                });
            }
        }
    }
    Some(gallery)
}

fn copy(error: &Error) -> Error {
    let said = Error::new(error.kind(), error.to_string());
    match error.advice() {
        Some(advice) => said.help(advice),
        None => said,
    }
}
