//! A daemon of its own process over a full gallery, for as long as something is measured.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Instant,
};

use super::{super::demo::Scratch, Args};
use crate::{
    cli::output::Output,
    clock::SystemClock,
    error::{Context, Error, Kind, Result},
    gallery::{self, Gallery, NewEnrolment, Rights, SubjectId, TenantId},
    vision::{DIMENSION, Embedding, models::Pack},
};

/// Whose everything is.
pub const TENANT: &str = "bench";

/// A folder with a gallery and what a configuration begins with. It goes when this does.
pub struct Board {
    data: Scratch,
    head: String,
    /// An API key with the usual rights.
    pub key: String,
}

impl Board {
    /// Enrols as many people as asked for, with templates of nobody.
    pub fn filled(out: Output, args: &Args) -> Result<Self> {
        let data = Scratch::new()?;
        let key = fill(out, args, &data.0)?;
        let models = args.models.canonicalize().context(Kind::Io, || "the folder of the packs cannot be found")?;
        let head = format!(
            "[models]\ndir = {}\npack = \"{}\"\n[gallery]\ndir = {}\n[journal]\ndir = {}\nmax_mb = 1024\n",
            quoted(&models),
            args.pack,
            quoted(&data.0.join("gallery")),
            quoted(&data.0.join("journal")),
        );
        Ok(Self { data, head, key })
    }

    /// A place in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.data.0.join(name)
    }

    /// Starts the daemon with `sections` in its configuration, and waits until it is ready. Where `log` says what is logged,
    /// the log has to be read.
    pub fn start(&self, sections: &str, log: Option<&str>) -> Result<Running> {
        let config = self.path("facegate.toml");
        fs::write(&config, format!("{}{sections}", self.head))
            .context(Kind::Io, || format!("cannot write {}", config.display()))?;
        let program = std::env::current_exe().context(Kind::Io, || "this program cannot be found")?;
        let begun = Instant::now();
        let child = Command::new(program)
            .args(["run", "--json", "--log", log.unwrap_or("error"), "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(if log.is_some() { Stdio::piped() } else { Stdio::inherit() })
            .spawn()
            .context(Kind::Io, || "the daemon cannot be started")?;
        let mut running = Running { child, ready_s: 0.0, address: None };
        let mut line = String::new();
        if let Some(stdout) = running.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).context(Kind::Io, || "the daemon says nothing")?;
        }
        let ready = serde_json::from_str::<serde_json::Value>(&line).unwrap_or_default();
        if ready["ready"] != true {
            return Err(Error::new(Kind::NotReady, "the daemon did not become ready"));
        }
        running.ready_s = begun.elapsed().as_secs_f64();
        running.address = ready["api"].as_str().and_then(|address| address.parse().ok());
        Ok(running)
    }
}

/// A path as it stands in a configuration.
pub fn quoted(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

/// A daemon that does not outlive the measurement.
pub struct Running {
    pub child: Child,
    /// From the start of the process to ready.
    pub ready_s: f64,
    address: Option<SocketAddr>,
}

impl Running {
    /// Where its API listens.
    pub fn address(&self) -> Result<SocketAddr> {
        self.address.ok_or_else(|| Error::new(Kind::Internal, "the daemon's API is off"))
    }

    /// Processor time so far, user and system, in seconds.
    pub fn processor_time(&self) -> Result<f64> {
        let failed = || "the daemon's processor time cannot be read";
        let stat = fs::read_to_string(self.proc("stat")).context(Kind::Io, failed)?;
        // The name, in parentheses, may hold spaces; utime and stime are the 14th and 15th fields of all.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Resident memory, in megabytes.
    pub fn resident_mb(&self) -> Result<f64> {
        self.status_mb("VmRSS:")
    }

    /// The most resident memory since [`Running::forget_peak`], in megabytes.
    pub fn peak_mb(&self) -> Result<f64> {
        self.status_mb("VmHWM:")
    }

    /// The peak begins anew: what is resident now.
    pub fn forget_peak(&self) -> Result<()> {
        // See proc(5), clear_refs.
        fs::write(self.proc("clear_refs"), "5").context(Kind::Io, || "the daemon's memory cannot be watched")
    }

    fn status_mb(&self, key: &str) -> Result<f64> {
        let failed = || "the daemon's memory cannot be read";
        let status = fs::read_to_string(self.proc("status")).context(Kind::Io, failed)?;
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kb.map(|kb| kb / 1024.0).ok_or_else(|| Error::new(Kind::Io, failed()))
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fill(out: Output, args: &Args, data: &Path) -> Result<String> {
    let pack = Pack::describe(&args.models, &args.pack)?;
    let model = pack.manifest().recogniser.id.clone().unwrap_or_default();
    let settings = gallery::Settings { dir: data.join("gallery"), ..gallery::Settings::default() };
    let gallery = Gallery::open(&settings, &model, Arc::new(SystemClock::new()))?;
    let tenant = TenantId::try_from(TENANT)?;
    let bar = out.progress(u64::from(args.faces), "enrolling");
    let mut random = 1u32;
    for face in 0..args.faces {
        let raw: Vec<f32> = (0..DIMENSION)
            .map(|_| {
                // Marsaglia's xorshift: the same people at every run.
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                random as f32 / u32::MAX as f32 - 0.5
            })
            .collect();
        let embedding = Embedding::normalised(&raw)
            .ok_or_else(|| Error::new(Kind::Internal, "512 random numbers gave no direction"))?;
        let enrolment = NewEnrolment {
            subject: SubjectId::try_from(format!("person-{face}"))?,
            embedding,
            quality_score: 0.9,
            liveness_score: None,
            source: None,
            metadata: None,
            photograph: None,
        };
        gallery.enroll(&tenant, enrolment)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(gallery.add_key(&tenant, None, Rights::default())?.secret)
}
