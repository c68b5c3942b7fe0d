//! `facegate demo`: the whole daemon on a replayed camera. Somebody is enrolled from one photograph; other photographs of
//! that person and of a stranger are then shown to the camera, and what the door does is said in plain words.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    Answer, Context,
    output::{BAD, DIM, GOOD, read_file},
};
use crate::{
    access::Outcome,
    clock::SystemClock,
    config::Config,
    daemon::{Daemon, events::Event},
    error::{Context as _, Kind, Result},
    gallery::{NewEnrolment, SubjectId},
    recognition::Recogniser,
};

/// Both must have happened by then.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder with the packs.
    #[arg(long, default_value = "models")]
    models: PathBuf,
    /// The pack.
    #[arg(long, default_value = "starter")]
    pack: String,
    /// A photograph of the person who is enrolled.
    #[arg(long, default_value = "models/photos/obama.jpg")]
    enrolled: PathBuf,
    /// Another photograph of that person, shown to the camera.
    #[arg(long, default_value = "models/photos/obama2.jpg")]
    genuine: PathBuf,
    /// A photograph of somebody else, shown to the camera.
    #[arg(long, default_value = "models/photos/biden.jpg")]
    stranger: PathBuf,
}

pub fn run(context: &Context, args: Args) -> Result<Answer> {
    let data = Scratch::new()?;
    let config = Config::parse(&configuration(&args, &data.0)?, "the demo's configuration", std::iter::empty())?;
    let out = context.out;
    out.say(format_args!("facegate demo: pack '{}', camera and relay simulated, all else as at a door.\n", args.pack));

    let daemon = Daemon::start(config.clone(), Arc::new(SystemClock::new()))?;
    let events = daemon.listen();
    let subject = SubjectId::try_from("the-enrolled-person")?;
    let probe = Recogniser::new(daemon.engine(), &config.api.recognition)?.enrolment(&read_file(&args.enrolled)?)?;
    let quality_score = probe.quality_score();
    daemon.gallery().enroll(
        &config.doors[0].tenant,
        NewEnrolment {
            subject,
            liveness_score: probe.liveness_score(),
            embedding: probe.embedding,
            quality_score,
            source: Some("demo".into()),
            metadata: None,
            photograph: None,
        },
    )?;
    out.say(format_args!("  enrolled   {} (quality {:.2})", args.enrolled.display(), quality_score));
    out.say(format_args!("  the camera shows by turns {} and {}\n", args.genuine.display(), args.stranger.display()));

    let begun = Instant::now();
    let mut seen = Seen::default();
    while !seen.everything() && begun.elapsed() < PATIENCE {
        let Ok(event) = events.recv_timeout(Duration::from_millis(200)) else { continue };
        let at = begun.elapsed().as_secs_f64();
        match &event {
            Event::Decision { decision, latency, .. } => {
                let latency_ms = latency.as_secs_f64() * 1e3;
                let granted = matches!(decision.outcome, Outcome::Granted { .. });
                let (style, word) = if granted { (GOOD, "OPENS     ") } else { (BAD, "STAYS SHUT") };
                let line =
                    json!({ "at_s": at, "granted": granted, "said": decision.describe(), "latency_ms": latency_ms });
                out.result(&line, |_| {
                    format!(
                        "{at:6.2} s  the door {style}{word}{style:#}  {}  {DIM}camera to decision {latency_ms:.0} ms{DIM:#}",
                        decision.describe()
                    )
                });
                seen.take(decision);
            }
            Event::Happened { .. } => {}
            Event::Edge { energised, latency, .. } => {
                let latency_ms = latency.map(|latency| latency.as_secs_f64() * 1e3);
                let line = json!({ "at_s": at, "relay": energised, "latency_ms": latency_ms });
                out.result(&line, |_| {
                    let latency = latency_ms.map(|ms| format!("camera to relay {ms:.0} ms")).unwrap_or_default();
                    let word = if *energised { "on " } else { "off" };
                    format!("{at:6.2} s  relay {word}                        {DIM}{latency}{DIM:#}")
                });
                seen.opened |= *energised;
                seen.shut_again |= seen.opened && !*energised;
            }
        }
    }
    daemon.stop();
    let verdict = if seen.everything() && !seen.wrong {
        "the door opened for the one who is enrolled and stayed shut for the one who is not"
    } else if seen.wrong {
        "WRONG: the door opened for somebody who is not enrolled"
    } else {
        "WRONG: not everything happened in time; is this machine very slow?"
    };
    let well = seen.everything() && !seen.wrong;
    let style = if well { GOOD } else { BAD };
    out.say(format_args!("\n{style}{verdict}{style:#}"));
    Ok(if well { Answer::Yes } else { Answer::No })
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Seen {
    granted: bool,
    opened: bool,
    shut_again: bool,
    stranger_denied: bool,
    wrong: bool,
}

impl Seen {
    fn everything(&self) -> bool {
        self.granted && self.opened && self.shut_again && self.stranger_denied
    }

    fn take(&mut self, decision: &crate::access::Decision) {
        match &decision.outcome {
            Outcome::Granted { subject, .. } => {
                self.granted = true;
                self.wrong |= subject.as_str() != "the-enrolled-person";
            }
            // The enrolled person's own cooldown is no stranger.
            Outcome::Denied { subject, similarity, .. } => {
                self.stranger_denied |= subject.is_none() && similarity.is_some();
            }
        }
    }
}

/// The configuration, as an installer would write it.
fn configuration(args: &Args, data: &Path) -> Result<String> {
    let path = |path: &Path| -> Result<String> {
        let found = path.canonicalize().map_err(|error| {
            crate::error::Error::new(Kind::NotFound, format!("{} is not there", path.display())).source(error).help(
                "`make demo` fetches networks and photographs; or name your own with --enrolled, --genuine, --stranger",
            )
        })?;
        Ok(toml::Value::String(found.display().to_string()).to_string())
    };
    Ok(format!(
        r#"
        [models]
        dir = {models}
        pack = "{pack}"
        [gallery]
        dir = {gallery}
        [journal]
        dir = {journal}
        [api]
        listen = "127.0.0.1:0"
        [[door]]
        name = "demo"
        tenant = "demo"
        pulse_ms = 2000
        [door.camera]
        source = "replay"
        stills = [{genuine}, {stranger}]
        hold_frames = 40
        gap_frames = 15
        pan = 0.05
        zoom = 0.05
        rotation_degrees = 3.0
        noise = 3.0
        brightness = 0.1
        "#,
        models = path(&args.models)?,
        pack = args.pack,
        gallery = toml::Value::String(data.join("gallery").display().to_string()),
        journal = toml::Value::String(data.join("journal").display().to_string()),
        genuine = path(&args.genuine)?,
        stranger = path(&args.stranger)?,
    ))
}

/// A folder for the demo's data that goes with it.
pub(super) struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("facegate-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&dir).context(Kind::Io, || format!("cannot make the folder {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind in the system's folder for temporary files does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
