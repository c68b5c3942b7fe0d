//! `facegate setup`: a board's first door. It finds cameras and GPIO chips, shows what the camera sees, lets the installer try the
//! relay, writes the configuration, makes the first key and has the service start.
//!
//! Every question has an option that answers it beforehand; with `--yes` nothing is asked at all. It never writes over a
//! configuration unless told to, and then keeps the old one.

mod ask;
mod lock;
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
    write::{Answers, Place},
};
use super::{
    Answer, Context,
    output::{DIM, GOOD, WARN},
};
use crate::{
    camera,
    config::Config,
    error::{Context as _, Error, Kind, Result},
    gallery::TenantId,
};

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

    let name = ask.text("--name", "What is the door called?", args.name, Some("front"))?;
    let tenant = match args.tenant {
        Some(tenant) => tenant,
        None => {
            let text = ask.text("--tenant", "Whose people may pass (a short name)?", None, Some("main"))?;
            text.parse().map_err(|error: Error| error.within("--tenant"))?
        }
    };
    let camera = choose_camera(&ask, args.camera)?;
    let models = args.models.unwrap_or_else(|| args.data.join("models"));
    let pack = args.pack.unwrap_or_else(|| write::pack_in(&models));
    if ask.yes_or_no("Look through it now?", true, ask.asks_nothing())? {
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
    let lock = lock::choose(&ask, args.lock, args.chip, args.line, args.active_low)?;
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
        data: args.data.clone(),
        models,
        pack,
    };
    place.write(&answers)?;
    context.out.result(&serde_json::json!({ "configuration": file }), |_| {
        format!("{GOOD}written{GOOD:#}  {}", file.display())
    });
    // As whoever reads it next will: what the environment says counts, too.
    let config = Config::load(&file)?;
    if !args.no_key {
        make_key(context, &file, &tenant, &args.data)?;
    }
    if !args.no_service {
        start_service(context)?;
    }
    say_what_is_left(context, &config);
    Ok(Answer::Yes)
}

/// The camera that was named, or one of those that there are.
fn choose_camera(ask: &Asker, given: Option<PathBuf>) -> Result<camera::Settings> {
    let found = camera::v4l::devices(Path::new("/dev"));
    let chosen = match given {
        Some(path) => path,
        None => {
            let words: Vec<_> = found.iter().map(|device| (device.clone(), words_of(device))).collect();
            let question = "Which camera?";
            ask.choice("--camera", question, &words, "plug a camera in, or name pictures to try facegate without one")?
        }
    };
    Ok(view::settings_of(chosen))
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
        .help("the configuration is written: mend what is wrong, then run `facegate keys add`"))
}

/// Has the service start now and at every boot, where there is one to be had.
fn start_service(context: &Context) -> Result<()> {
    let unit = "facegate.service";
    let has = |folder: &str| Path::new(folder).join(unit).exists();
    let systemd = Path::new("/run/systemd/system").is_dir();
    if !systemd || !(has("/usr/lib/systemd/system") || has("/etc/systemd/system")) {
        context.out.say(format!(
            "{DIM}no service is started: {unit} is not installed here; `facegate run` runs the door{DIM:#}"
        ));
        return Ok(());
    }
    // It is ready once the camera is, which may take its time.
    let done = Command::new("systemctl").args(["--no-block", "enable", "--now", unit]).status();
    if done.context(Kind::Io, || "systemctl cannot be run")?.success() {
        context.out.say(format!("{GOOD}started{GOOD:#}  {unit}; `systemctl status facegate` tells how it does"));
        return Ok(());
    }
    Err(Error::new(Kind::Io, format!("systemctl could not enable {unit}"))
        .help("run setup as root: sudo facegate setup"))
}

fn say_what_is_left(context: &Context, config: &Config) {
    let models = &config.models;
    if !models.dir.join(&models.pack).join("manifest.toml").exists()
        || crate::vision::models::Pack::open(&models.dir, &models.pack).is_err()
    {
        context.out.say(format!(
            "{WARN}the networks are missing{WARN:#}: fetch them by `facegate-models fetch --models {} {}`",
            models.dir.display(),
            models.pack
        ));
    }
    context.out.say(
        "next: `facegate check`; then enrol somebody, `facegate enroll NAME PHOTOGRAPH…`, and stand before the camera",
    );
}
