//! `facegate setup`: a board's first door. It finds cameras and GPIO chips, shows what the camera sees, lets the installer try the
//! relay, makes the first key, writes the configuration and has the service start.
//!
//! Every question has an option that answers it beforehand; with `--yes` nothing is asked at all. It never writes over a
//! configuration unless told to, and then keeps the old one.
//!
//! What would make all answers worthless is looked at before the first question. The configuration is put in its place when all
//! that needs it is done: whatever ends setup before, there is no door, and setup can be run again.

mod ask;
mod lock;
mod service;
mod view;
mod write;

use std::{
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use facegate_control::door::FailState;

use self::{
    ask::Asker,
    service::Service,
    write::{Answers, Place},
};
use super::{Answer, Context, output::GOOD};
use crate::{
    access::{OneIn, Policy},
    camera,
    error::{Context as _, Error, Kind, Result},
    gallery::TenantId,
    strictness::Strictness,
    vision::models::Pack,
};

/// How often a stranger who stands before the door may be let in, unless somebody says otherwise. A threshold alone would let in more
/// of them with everybody who is enrolled; less than this, photographs at hand cannot show for some hundreds of people
/// (docs/thresholds.md).
const FALSE_ACCEPT: &str = "1 in 1000";

/// Where the package and its unit have their data.
const DATA: &str = "/var/lib/facegate";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask nothing: what no option answers is answered by its default, and what has none is an error.
    #[arg(long)]
    yes: bool,
    /// Replace a configuration that is there; the old one is kept beside it, as FILE.old.
    #[arg(long)]
    replace: bool,
    /// The door's name [default: front].
    #[arg(long)]
    name: Option<String>,
    /// Whose people may pass [default: main].
    #[arg(long)]
    tenant: Option<TenantId>,
    /// The camera's device; or pictures, a file or a folder, to try facegate without a camera.
    #[arg(long, value_name = "DEVICE")]
    camera: Option<PathBuf>,
    /// Write a picture of what the camera sees here: a .jpg or .png file.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// `gpiochip`, a line of a GPIO chip, or `simulated`, no lock at all [default: gpiochip].
    #[arg(long, value_name = "KIND")]
    lock: Option<lock::Kind>,
    /// The chip's label, name or path, such as pinctrl-bcm2711.
    #[arg(long)]
    chip: Option<String>,
    /// The line's name, such as GPIO17, or its offset.
    #[arg(long)]
    line: Option<String>,
    /// With --lock simulated: where it writes down what it does, a line of JSON for each edge.
    #[arg(long, value_name = "FILE")]
    edges: Option<PathBuf>,
    /// The relay board switches on a low level.
    #[arg(long)]
    active_low: bool,
    /// Move the relay for half a second, whatever is wired to it.
    #[arg(long)]
    try_relay: bool,
    /// Without power the door stays locked (`secure`) or unlocks (`safe`) [default: secure].
    #[arg(long, value_name = "STATE", value_parser = fail_state)]
    fail: Option<FailState>,
    /// How long a grant unlocks, in milliseconds [default: 3000].
    #[arg(long, value_name = "MS")]
    pulse_ms: Option<u64>,
    /// How often a stranger may be let in: the door derives its threshold from it as more people are enrolled [default: "1 in 1000",
    /// where the pack has the curve for it].
    #[arg(long, value_name = "CHANCE")]
    false_accept: Option<OneIn>,
    /// Where enrolments and the journal are kept.
    #[arg(long, default_value = DATA)]
    data: PathBuf,
    /// The folder with one folder a pack of networks [default: models in the data's folder].
    #[arg(long)]
    models: Option<PathBuf>,
    /// The pack of networks [default: the first that is there whole, else starter].
    #[arg(long)]
    pack: Option<String>,
    /// Make no key of the REST API.
    #[arg(long)]
    no_key: bool,
    /// Leave the service as it is.
    #[arg(long)]
    no_service: bool,
}

fn fail_state(text: &str) -> Result<FailState, String> {
    match text {
        "secure" => Ok(FailState::Secure),
        "safe" => Ok(FailState::Safe),
        _ => Err("secure or safe".into()),
    }
}

pub fn run(context: &Context, args: Args) -> Result<Answer> {
    let ask = Asker::new(context.out, args.yes);
    let file = context.config.clone().unwrap_or_else(|| "/etc/facegate/facegate.toml".into());
    let place = Place::look(&file, args.replace)?;
    // The daemon runs elsewhere: what is written down must mean the same there.
    let data = absolute(&args.data)?;
    let models = args.models.as_deref().map_or_else(|| Ok(data.join("models")), absolute)?;
    let pack = args.pack.unwrap_or_else(|| write::pack_in(&models));
    let false_accept = chance(&networks(&models, &pack)?, args.false_accept)?;
    let service = Service::look();
    let runs = service.as_ref().is_some_and(Service::runs);
    if runs {
        service::warn(context);
    }

    let name = ask.text("--name", "What is the door called?", args.name, Some("front"))?;
    let tenant = match args.tenant {
        Some(tenant) => tenant,
        None => {
            let text = ask.text("--tenant", "Whose people may pass (a short name)?", None, Some("main"))?;
            text.parse().map_err(|error: Error| error.within("--tenant"))?
        }
    };
    let camera = choose_camera(&ask, args.camera)?;
    // A door that runs has its camera, and nobody else can look through it.
    let free = !runs || !matches!(camera, camera::Settings::V4l(_));
    if ask.yes_or_no("Look through it now?", free, free || args.snapshot.is_some())? {
        let seen = view::look(&camera, &models, &pack)?;
        context.out.result(&seen.report, |report| report.describe(&seen.sketch));
        let save = match args.snapshot {
            None if !ask.asks_nothing() => {
                ask.optional("Write this picture to a file (empty: no)?")?.map(PathBuf::from)
            }
            given => given,
        };
        if let Some(path) = save {
            seen.save(&path)?;
            context.out.say(format!("the picture is in {}", path.display()));
        }
    }
    let lock = lock::choose(
        &ask,
        lock::Given {
            kind: args.lock,
            chip: args.chip,
            line: args.line,
            active_low: args.active_low,
            edges: args.edges.as_deref().map(absolute).transpose()?,
        },
        runs,
    )?;
    lock::try_it(&ask, context, &lock, args.try_relay)?;
    let fail = match args.fail {
        Some(fail) => fail,
        None => {
            let question = "Without power, does the door stay locked (secure: a strike) or unlock (safe: a magnet)?";
            let text = ask.text("--fail", question, None, Some("secure"))?;
            fail_state(&text).map_err(|range| Error::new(Kind::InvalidField, format!("--fail {text}: {range}")))?
        }
    };
    let answers = Answers {
        name,
        tenant: tenant.clone(),
        camera,
        lock,
        fail,
        pulse_ms: args.pulse_ms.unwrap_or(3_000),
        false_accept,
        data: data.clone(),
        models,
        pack,
    };
    let written = place.write(&answers)?;
    if !args.no_key {
        make_key(context, written.path(), &tenant, &data)?;
    }
    written.put()?;
    context.out.result(&serde_json::json!({ "configuration": file }), |_| {
        format!("{GOOD}written{GOOD:#}  {}", file.display())
    });
    match (service, args.no_service) {
        (Some(service), false) => service.start(context)?,
        (Some(service), true) => service.leave(context),
        (None, false) => service::absent(context, place.replaces()),
        (None, true) => {}
    }
    context.out.say(
        "next: `facegate check`; then enrol somebody, `facegate enroll NAME PHOTOGRAPH…`, and stand before the camera",
    );
    Ok(Answer::Yes)
}

/// A path that means the same wherever it is read.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).context(Kind::InvalidField, || format!("no such place: '{}'", path.display()))
}

/// Without networks there would be a door that never starts.
fn networks(models: &Path, pack: &str) -> Result<Pack> {
    let packaged = models == Path::new(DATA).join("models");
    // In the package's folder they belong to the daemon's user.
    let user = if packaged { "sudo -u facegate " } else { "" };
    Pack::open(models, pack).map_err(|error| {
        error.help(format!(
            "nothing is set up yet. Get the networks first: {user}facegate-models fetch --models {} {pack} (without \
             internet: with --from FOLDER), then run setup again",
            models.display()
        ))
    })
}

/// The chance that the door is to keep: the one that is asked for, else the usual one, if the pack has the curve for it.
///
/// # Errors
/// [`Kind::Model`] where the pack is not calibrated at all; [`Kind::Config`] where it has no curve for the chance that is asked for.
fn chance(networks: &Pack, asked: Option<OneIn>) -> Result<Option<OneIn>> {
    let scale = networks.calibration()?;
    let kept = |chance| Strictness::of(&Policy { false_accept: Some(chance), ..Policy::default() }, scale, 1);
    match asked {
        Some(chance) => kept(chance).map(|_| asked).map_err(|error| error.within("--false-accept")),
        None => Ok(Some(FALSE_ACCEPT.parse().expect("it is a chance")).filter(|usual| kept(*usual).is_ok())),
    }
}

/// The camera that was named, or one of those that there are.
fn choose_camera(ask: &Asker, given: Option<PathBuf>) -> Result<camera::Settings> {
    let found = camera::v4l::devices(Path::new("/dev"));
    let chosen = match given {
        Some(path) => path,
        None => {
            let words: Vec<_> = found.iter().map(|device| (device.clone(), words_of(device))).collect();
            let question = "Which camera?";
            let none = "plug a camera in that gives pictures in a format that can be read (`v4l2-ctl --list-devices` shows what there is \
                        besides), or name pictures to try facegate without one; camera modules and cameras of the network are \
                        told by docs/cameras.md";
            ask.choice("--camera", question, &words, none)?
        }
    };
    Ok(view::settings_of(absolute(&chosen)?))
}

fn words_of(device: &Path) -> String {
    let settings = camera::v4l::Settings { device: device.to_owned(), ..Default::default() };
    camera::probe(&camera::Settings::V4l(settings)).unwrap_or_else(|error| format!("{}: {error}", device.display()))
}

/// By a process of its own, as the user whose data they are: what root makes there the daemon could not open.
fn make_key(context: &Context, config: &Path, tenant: &TenantId, data: &Path) -> Result<()> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["keys", "add", tenant.as_ref(), "--label", "setup", "--config"]).arg(config);
    if context.out.is_json() {
        command.arg("--json");
    }
    let folder = write::make_folder(data)?;
    if rustix::process::geteuid().is_root() && folder.uid() != 0 {
        command.uid(folder.uid()).gid(folder.gid());
    }
    let done = command.status().context(Kind::Io, || "the first key cannot be made")?;
    if done.success() {
        return Ok(());
    }
    Err(Error::new(Kind::Store, "the first key was not made; why stands above")
        .help("no configuration was written: mend what is wrong, then run setup again"))
}
