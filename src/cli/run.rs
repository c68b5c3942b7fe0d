//! `facegate run`: the daemon, until a signal ends it.

use std::{os::unix::process::CommandExt as _, sync::Arc, thread, time::Duration};

use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::{Answer, Context, logging::Log};
use crate::{
    clock::SystemClock,
    config::Config,
    daemon::Daemon,
    error::{Context as _, Error, Kind, Result},
    fleet::configuring::{self, Trying},
    service::{self, Service, Sockets},
};

/// The signal that has the daemon stop and start anew: what the fleet's order to restart sends.
const AGAIN: &str = "SIGUSR1";

/// How long the daemon may take to stop.
const STOPPED: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is logged: error, warn, info, debug, trace, or by module as in `facegate::camera=debug,info`.
    #[arg(long, env = "FACEGATE_LOG", default_value = "info")]
    log: String,
}

/// Where it fails the service manager is told why, too.
pub fn run(context: &Context, args: Args) -> Result<Answer> {
    // Before anything else can open a file: what is passed are numbers of open ones.
    let sockets = Sockets::passed();
    let begin = || {
        let trying = configuring::start(&context.config_path())?.map(Arc::new);
        let served = context.load().and_then(|config| serve(context, args, sockets?, config, trying.clone()));
        match (served, trying) {
            (Err(error), Some(trying)) => Err(roll_back(&trying, error)),
            (served, _) => served,
        }
    };
    begin().inspect_err(service::failed)
}

/// The daemon cannot start with what is tried: the one before is back, by starting anew. Gives why not, where that fails.
fn roll_back(trying: &Trying, error: Error) -> Error {
    let why = match error.advice() {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    };
    match trying.give_up(&why) {
        Ok(true) => begin_again(),
        // Kept: what failed is something else. Not written: the next start gives it up.
        Ok(false) => error,
        Err(unwritten) => unwritten,
    }
}

/// Gives up what is tried, unless it is kept in time, and has the daemon start anew with the one before.
fn watch_over(trying: Arc<Trying>) -> Result<()> {
    let body = move || {
        thread::sleep(trying.patience);
        let seconds = trying.patience.as_secs();
        match trying.give_up(&format!("the device was not connected, with its doors working, within {seconds} s")) {
            Ok(false) => return,
            Ok(true) => tracing::error!("the ordered configuration is rolled back"),
            Err(error) => tracing::error!(%error, "the ordered configuration is rolled back by the next start"),
        }
        let told = kill_process(getpid(), Signal::USR1);
        thread::sleep(STOPPED);
        // It hangs, or was not told.
        tracing::error!(?told, error = %begin_again(), "the daemon does not start anew");
    };
    thread::Builder::new().name("trial".into()).spawn(body).context(Kind::Io, || "cannot start a thread").map(drop)
}

fn serve(
    context: &Context,
    args: Args,
    sockets: Sockets,
    config: Config,
    trying: Option<Arc<Trying>>,
) -> Result<Answer> {
    let _log = Log::start(&args.log, context.out.is_json())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(Kind::Io, || "signals cannot be waited for")?;
    // Before anything starts: a signal that comes meanwhile waits for its answer, where it would else kill the process.
    let caught = |kind| {
        let _inside = runtime.enter();
        signal(kind).context(Kind::Io, || "signals cannot be waited for")
    };
    let mut terminate = caught(SignalKind::terminate())?;
    let mut interrupt = caught(SignalKind::interrupt())?;
    let mut hangup = caught(SignalKind::hangup())?;
    let mut again = caught(SignalKind::user_defined1())?;

    tell_of_the_fleet(&config);
    if let Some(trying) = trying {
        watch_over(trying)?;
    }
    service::status("starting: networks, store and locks");
    let passed = !sockets.is_empty();
    let mut daemon = Daemon::start_on(sockets, config, Arc::new(SystemClock::new()))?;
    let service = Service::start(daemon.pulse())?;
    context.out.result(&serde_json::json!({ "ready": true, "api": daemon.api_address() }), |_| {
        match daemon.api_address() {
            Some(address) => format!("ready; the API listens on http://{address}"),
            None => "ready; the API is off".into(),
        }
    });
    let why = runtime.block_on(async {
        loop {
            tokio::select! {
                _ = terminate.recv() => return "SIGTERM",
                _ = interrupt.recv() => return "SIGINT",
                _ = again.recv() => return AGAIN,
                _ = hangup.recv() => reload(context, &mut daemon),
            }
        }
    });
    tracing::info!("stopping on {why}");
    drop(service);
    // Whoever passed sockets has them still, and starts the daemon with them again: in here they are closed.
    let anew = why == AGAIN && !passed;
    // A service manager that hears of a stop ends whatever goes on after it, such as the program that begins anew.
    if anew {
        service::status("starting anew")
    } else {
        service::stopping(why)
    }
    daemon.stop();
    if anew { Err(begin_again()) } else { Ok(Answer::Yes) }
}

/// The program anew in the same process, so that whoever started it, such as systemd, sees nothing of it. Gives why not, where
/// that fails.
fn begin_again() -> Error {
    let program = std::env::current_exe().unwrap_or_else(|_| "facegate".into());
    let error = std::process::Command::new(program).args(std::env::args_os().skip(1)).exec();
    Error::new(Kind::Io, "the daemon has stopped and cannot start again")
        .source(error)
        .help("start it by hand, and see that its program is there")
}

/// What of the configuration is not the file's.
fn tell_of_the_fleet(config: &Config) {
    let Some(origin) = &config.origin else { return };
    if let Some(revision) = &origin.revision {
        tracing::info!(revision, "the configuration that the fleet ordered is in force over {}", origin.path.display());
    }
    if let Some(fault) = &origin.fault {
        tracing::error!("what the fleet ordered is not in force, the device's own file is: {fault}");
    }
}

/// Takes over what can change while the doors are in use. A configuration that cannot be used changes nothing.
fn reload(context: &Context, daemon: &mut Daemon) {
    match context.load() {
        Err(error) => {
            tracing::error!(%error, help = error.advice(), "the configuration was not reloaded; the old one stays in force");
        }
        Ok(config) => {
            let needing = daemon.reload(&config);
            tracing::info!("reloaded access, quality, motion and region of every door");
            if !needing.is_empty() {
                tracing::warn!("changed as well, but only a restart takes it over: {}", needing.join(", "));
            }
        }
    }
}
