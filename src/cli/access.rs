//! `facegate access`: the rules, straight on the store, also beside a running daemon, which takes the changes in within a
//! second.

mod print;

use std::{
    collections::HashMap,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use facegate_control::{CardFormat, Passage};
use jiff::{Timestamp, Zoned};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use self::print::{summary, told, whereabouts};
use super::{
    Answer, Context,
    gallery::{Tenant, open},
    output::{GOOD, WARN, read_file},
};
use crate::{
    access::rules::{
        Area, Calendar, Door, Explanation, Group, Interlock, Place, Presence, Request, Rules, Schedule, SubjectRules,
    },
    clock::Moment,
    config::Doorway,
    error::{Context as _, Error, Kind, Result},
    gallery::{Expected, Gallery, SubjectId, TenantId},
    rulebook::{self, Item},
};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show what rules there are: all in short, or those of one kind, or one of them.
    Show {
        kind: Option<Thing>,
        /// Its name.
        #[arg(requires = "kind")]
        name: Option<String>,
        #[command(flatten)]
        tenant: Tenant,
    },
    /// Write all rules as one JSON document.
    Export {
        /// Where to [default: standard output].
        file: Option<PathBuf>,
        #[command(flatten)]
        tenant: Tenant,
    },
    /// Put the rules of a document in the place of all there are. Refused whole where anything in it is wrong.
    Import {
        /// The document; `-` is standard input.
        file: PathBuf,
        #[command(flatten)]
        tenant: Tenant,
    },
    /// Add or replace one thing.
    Set {
        kind: Thing,
        /// Its name; for a subject, its id.
        name: String,
        /// The rest of it, as in the document: '{"groups": ["staff"]}'. `-` is standard input.
        #[arg(value_name = "JSON", default_value = "{}")]
        given: String,
        #[command(flatten)]
        tenant: Tenant,
    },
    /// Remove one thing that nothing else refers to.
    Remove {
        kind: Thing,
        /// Its name; for a subject, its id.
        name: String,
        #[command(flatten)]
        tenant: Tenant,
    },
    /// Remove all rules: from then on whoever is enrolled may pass every door at any time.
    Clear {
        /// Do it.
        #[arg(long, required = true)]
        yes: bool,
        #[command(flatten)]
        tenant: Tenant,
    },
    /// Say whether somebody would be let in, and why. The exit status is 0 for yes and 1 for no.
    Explain {
        subject: SubjectId,
        #[arg(long)]
        door: String,
        /// Which way.
        #[arg(long, value_enum, default_value_t = Way::Entry)]
        passage: Way,
        /// When: 2026-11-23T08:30:00+01:00 or 2026-11-23T08:30[Europe/Brussels] [default: now].
        #[arg(long, value_parser = time)]
        at: Option<Timestamp>,
        #[command(flatten)]
        tenant: Tenant,
    },
    /// List who is where.
    Presence {
        /// Only those in this area.
        #[arg(long)]
        area: Option<String>,
        #[command(flatten)]
        tenant: Tenant,
    },
    /// Forget where somebody is: anti-passback lets them pass anywhere once.
    Forgive {
        #[arg(required_unless_present = "all")]
        subject: Option<SubjectId>,
        /// Everybody of the tenant.
        #[arg(long, conflicts_with = "subject")]
        all: bool,
        #[command(flatten)]
        tenant: Tenant,
    },
}

/// A kind of thing.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Thing {
    Calendar,
    Schedule,
    Area,
    Door,
    Interlock,
    Group,
    Subject,
}

/// Which way somebody goes through a door.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Way {
    Entry,
    Exit,
}

impl From<Way> for Passage {
    fn from(way: Way) -> Self {
        match way {
            Way::Entry => Self::Entry,
            Way::Exit => Self::Exit,
        }
    }
}

fn time(text: &str) -> std::result::Result<Timestamp, String> {
    let zoned = |_| text.parse::<Zoned>().map(|zoned| zoned.timestamp());
    text.parse::<Timestamp>().or_else(zoned).map_err(|_| "no time with its offset or zone".to_owned())
}

pub fn run(context: &Context, command: Command) -> Result<Answer> {
    let config = context.load()?;
    let of = |tenant: Tenant| -> Result<(Gallery, TenantId)> { Ok((open(&config)?, tenant.or_the_doors(&config)?)) };
    match command {
        Command::Show { kind: None, tenant, .. } => {
            let (gallery, tenant) = of(tenant)?;
            let stored = gallery.rules_without_subjects(&tenant)?;
            let subjects = gallery.access(&tenant).book().subjects();
            summary(context, &tenant, stored.as_ref(), subjects);
        }
        Command::Show { kind: Some(kind), name, tenant } => {
            let (gallery, tenant) = of(tenant)?;
            show(context, &gallery, &tenant, kind, name.as_deref())?;
        }
        Command::Export { file, tenant } => {
            let (gallery, tenant) = of(tenant)?;
            let stored = gallery.rules(&tenant)?.ok_or_else(|| {
                Error::new(Kind::NotFound, format!("tenant {tenant} has no rules"))
                    .help("facegate access import makes them")
            })?;
            export(context, &stored.rules, file.as_deref())?;
        }
        Command::Import { file, tenant } => {
            let (gallery, tenant) = of(tenant)?;
            let text = if file == Path::new("-") { standard_input()? } else { read_file(&file)? };
            let rules: Rules = parse(&text).map_err(|error| error.within(&file.display().to_string()))?;
            gallery.ensure_tenant(&tenant)?;
            gallery.replace_rules(&tenant, &rules, Expected::Any)?;
            let subjects = rules.subjects.len();
            summary(context, &tenant, gallery.rules_without_subjects(&tenant)?.as_ref(), subjects);
        }
        Command::Set { kind, name, given, tenant } => {
            let (gallery, tenant) = of(tenant)?;
            let text = if given == "-" { standard_input()? } else { given.into_bytes() };
            gallery.ensure_tenant(&tenant)?;
            let set = set(&gallery, &tenant, kind, &name, parse(&text)?)?;
            context.out.result(&set, |_| format!("{GOOD}set{GOOD:#} {} '{name}'", word(kind)));
        }
        Command::Remove { kind, name, tenant } => {
            let (gallery, tenant) = of(tenant)?;
            remove(&gallery, &tenant, kind, &name)?;
            context.out.result(&json!({ "removed": name }), |_| format!("{} '{name}' is removed", word(kind)));
        }
        Command::Clear { tenant, .. } => {
            let (gallery, tenant) = of(tenant)?;
            let existed = gallery.delete_rules(&tenant, Expected::Any)?;
            context.out.result(&json!({ "cleared": existed }), |_| {
                format!("{WARN}there are no rules{WARN:#}: whoever is enrolled for {tenant} may pass at any time")
            });
        }
        Command::Explain { subject, door, passage, at, tenant } => {
            let (gallery, tenant) = of(tenant)?;
            let reader = config.doors.iter().find(|other| other.name == door && other.tenant == tenant);
            let reader = reader.and_then(Doorway::reader);
            let asked = Asked { subject: &subject, door: &door, passage: passage.into(), at, reader };
            let explanation = explain(&gallery, &tenant, asked)?;
            context.out.result(&explanation, told);
            return Ok(if explanation.allowed { Answer::Yes } else { Answer::No });
        }
        Command::Presence { area, tenant } => {
            let (gallery, tenant) = of(tenant)?;
            for (subject, known) in gallery.presence(&tenant)? {
                if area.is_none() || known.place.as_ref().and_then(Place::area) == area.as_deref() {
                    let line = json!({
                        "subject": &*subject, "place": known.place, "pending": known.pending,
                        "door": &*known.door, "at": known.at,
                    });
                    context.out.result(&line, |_| whereabouts(&subject, &known));
                }
            }
        }
        Command::Forgive { subject, tenant, .. } => {
            let (gallery, tenant) = of(tenant)?;
            let forgiven = gallery.forgive(&tenant, subject.as_ref())?;
            context.out.result(&json!({ "forgiven": forgiven }), |_| format!("forgiven: {forgiven}"));
            return Ok(if forgiven > 0 { Answer::Yes } else { Answer::No });
        }
    }
    Ok(Answer::Yes)
}

fn show(context: &Context, gallery: &Gallery, tenant: &TenantId, kind: Thing, name: Option<&str>) -> Result<()> {
    let mut rules = match kind {
        Thing::Subject => gallery.rules(tenant)?,
        _ => gallery.rules_without_subjects(tenant)?,
    }
    .map(|stored| stored.rules)
    .unwrap_or_default();
    let print = |items: Vec<(String, Value)>| {
        let found: Vec<_> = items.into_iter().filter(|(other, _)| name.is_none_or(|name| name == other)).collect();
        if found.is_empty() && name.is_some() {
            return Err(Error::new(Kind::NotFound, format!("there is no {} of this name", word(kind))));
        }
        for (_, item) in found {
            context.out.result(&item, Value::to_string);
        }
        Ok(())
    };
    fn items<T: Item>(rules: &mut Rules) -> Vec<(String, Value)> {
        T::all(rules).iter().map(|item| (item.name().to_owned(), json!(item))).collect()
    }
    print(match kind {
        Thing::Calendar => items::<Calendar>(&mut rules),
        Thing::Schedule => items::<Schedule>(&mut rules),
        Thing::Area => items::<Area>(&mut rules),
        Thing::Door => items::<Door>(&mut rules),
        Thing::Interlock => items::<Interlock>(&mut rules),
        Thing::Group => items::<Group>(&mut rules),
        Thing::Subject => rules.subjects.iter().map(|subject| (subject.id.clone(), json!(subject))).collect(),
    })
}

fn export(context: &Context, rules: &Rules, file: Option<&Path>) -> Result<()> {
    let Some(file) = file else {
        context.out.result(rules, |rules| serde_json::to_string_pretty(rules).unwrap_or_default());
        return Ok(());
    };
    let text = serde_json::to_string_pretty(rules).context(Kind::Internal, || "the rules have no form in JSON")?;
    std::fs::write(file, text + "\n").context(Kind::Io, || format!("cannot write {}", file.display()))
}

fn set(gallery: &Gallery, tenant: &TenantId, kind: Thing, name: &str, given: Map<String, Value>) -> Result<Value> {
    match kind {
        Thing::Calendar => set_item::<Calendar>(gallery, tenant, name, given),
        Thing::Schedule => set_item::<Schedule>(gallery, tenant, name, given),
        Thing::Area => set_item::<Area>(gallery, tenant, name, given),
        Thing::Door => set_item::<Door>(gallery, tenant, name, given),
        Thing::Interlock => set_item::<Interlock>(gallery, tenant, name, given),
        Thing::Group => set_item::<Group>(gallery, tenant, name, given),
        Thing::Subject => {
            let subject: SubjectRules = named("id", name, given)?;
            let stored = gallery.change_subject(tenant, &name.parse()?, |_| Ok(Some(subject)))?;
            Ok(json!(stored))
        }
    }
}

fn set_item<T: Item>(gallery: &Gallery, tenant: &TenantId, name: &str, given: Map<String, Value>) -> Result<Value> {
    let item: T = named("name", name, given)?;
    let answer = json!(item);
    gallery.change_rules(tenant, |rules| {
        item.put(rules);
        Ok(())
    })?;
    Ok(answer)
}

/// A thing whose name is given apart from the rest of it.
fn named<T: DeserializeOwned>(key: &str, name: &str, mut given: Map<String, Value>) -> Result<T> {
    if given.get(key).is_some_and(|given| *given != *name) {
        return Err(
            Error::new(Kind::InvalidField, format!("{key} in the JSON is not '{name}'")).help("leave it out there")
        );
    }
    given.insert(key.into(), name.into());
    serde_json::from_value(given.into()).map_err(unfit)
}

fn remove(gallery: &Gallery, tenant: &TenantId, kind: Thing, name: &str) -> Result<()> {
    let not_found = || Error::new(Kind::NotFound, format!("there is no {} of this name", word(kind)));
    if let Thing::Subject = kind {
        let change = |before: Option<&SubjectRules>| before.map(|_| None).ok_or_else(not_found);
        return gallery.change_subject(tenant, &name.parse()?, change).map(drop);
    }
    let change = |rules: &mut Rules| {
        let removed = match kind {
            Thing::Calendar => Calendar::remove(rules, name),
            Thing::Schedule => Schedule::remove(rules, name),
            Thing::Area => Area::remove(rules, name),
            Thing::Door => Door::remove(rules, name),
            Thing::Interlock => Interlock::remove(rules, name),
            Thing::Group | Thing::Subject => Group::remove(rules, name),
        };
        removed.then_some(()).ok_or_else(not_found)
    };
    gallery.change_rules(tenant, change).map(drop)
}

/// What is asked of the rules.
struct Asked<'a> {
    subject: &'a SubjectId,
    door: &'a str,
    passage: Passage,
    at: Option<Timestamp>,
    /// How the door sends cards, by its configuration.
    reader: Option<CardFormat>,
}

/// Decides as the door would: the same rules, the same code. What only a running daemon knows, how long ago by its own clock
/// somebody came in, is told by the wall clock here.
fn explain(gallery: &Gallery, tenant: &TenantId, asked: Asked<'_>) -> Result<Explanation> {
    let Asked { subject, door, passage, at, reader } = asked;
    let wall = gallery.clock().wall();
    // Far enough from the clock's start for everything that is not long past.
    let now = Moment::from_start(Duration::from_hours(24 * 365));
    let access = gallery.access(tenant);
    let known: HashMap<_, _> =
        gallery.presence(tenant)?.into_iter().filter(|(id, _)| **id == *subject.as_str()).collect();
    let mut presence = Presence::restore_since(known, |known| {
        now - Duration::try_from(wall.duration_since(known.at)).unwrap_or_default()
    });
    if access.is_unreadable(subject.as_str()) {
        presence.set_unreadable(subject.as_str().into());
    }
    let request =
        Request { subject: subject.as_str(), door, passage, at: at.unwrap_or(wall), now, reader, clock_set: true };
    Ok(access.book().explain(&request, &presence))
}

fn word(kind: Thing) -> &'static str {
    match kind {
        Thing::Calendar => Calendar::ONE,
        Thing::Schedule => Schedule::ONE,
        Thing::Area => Area::ONE,
        Thing::Door => Door::ONE,
        Thing::Interlock => Interlock::ONE,
        Thing::Group => Group::ONE,
        Thing::Subject => "subject",
    }
}

fn standard_input() -> Result<Vec<u8>> {
    /// As much as the API takes with room to spare.
    const MOST: u64 = 256 << 20;
    let mut bytes = Vec::new();
    std::io::stdin().take(MOST).read_to_end(&mut bytes).context(Kind::Io, || "standard input cannot be read")?;
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    rulebook::read(text).map_err(unfit)
}

fn unfit(error: serde_json::Error) -> Error {
    Error::new(Kind::InvalidRules, "this is not what docs/access.md describes").source(error)
}
