//! A daemon of its own process with a full gallery: how soon it is ready, what it keeps in memory, what it does while nobody
//! is in view.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{super::demo::Scratch, Args};
use crate::{
    cli::output::Output,
    clock::SystemClock,
    error::{Context, Error, Kind, Result},
    gallery::{self, Gallery, NewEnrolment, SubjectId, TenantId},
    vision::{DIMENSION, Embedding, models::Pack},
};

const IDLE_FPS: u32 = 10;
/// How long the daemon is watched while nobody is in view.
const IDLE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize)]
pub struct Report {
    pub faces: u32,
    /// From the start of the process to ready.
    pub ready_s: f64,
    /// Resident memory after the time of idling.
    pub resident_mb: f64,
    pub idle_fps: u32,
    /// Processor time over that time.
    pub idle_core_percent: f64,
    /// Frames that the motion gate let through to the detector, of those that came.
    pub idle_searched: u64,
    pub idle_frames: u64,
}

pub fn measure(out: Output, args: &Args) -> Result<Report> {
    let data = Scratch::new()?;
    fill(out, args, &data.0)?;
    let config = data.0.join("facegate.toml");
    // An empty corridor: a still picture without anybody, with a sensor's noise.
    let corridor = data.0.join("corridor.png");
    image::RgbImage::from_fn(640, 480, |x, y| image::Rgb([(60 + x / 8) as u8, (70 + y / 6) as u8, 90]))
        .save(&corridor)
        .context(Kind::Io, || format!("cannot write {}", corridor.display()))?;
    let text = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
    let models = args.models.canonicalize().context(Kind::Io, || "the folder of the packs cannot be found")?;
    fs::write(&config, format!(
        "[models]\ndir = {}\npack = \"{}\"\n[gallery]\ndir = {}\n[journal]\ndir = {}\n[api]\nlisten = \"127.0.0.1:0\"\n\
         [[door]]\nname = \"bench\"\ntenant = \"bench\"\n[door.camera]\nsource = \"replay\"\nstills = {}\nrate_fps = {IDLE_FPS}\nnoise = 3.0\n",
        text(&models), args.pack, text(&data.0.join("gallery")), text(&data.0.join("journal")), text(&corridor),
    ))
    .context(Kind::Io, || format!("cannot write {}", config.display()))?;

    let program = std::env::current_exe().context(Kind::Io, || "this program cannot be found")?;
    let begun = Instant::now();
    let child = Command::new(program)
        .args(["run", "--json", "--log", "error,facegate::daemon::doorway=debug", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(Kind::Io, || "the daemon cannot be started")?;
    let mut child = Ended(child);
    let mut line = String::new();
    if let Some(stdout) = child.0.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).context(Kind::Io, || "the daemon says nothing")?;
    }
    if !line.contains("\"ready\":true") {
        return Err(Error::new(Kind::NotReady, "the daemon did not become ready"));
    }
    let ready_s = begun.elapsed().as_secs_f64();
    // What it does first is no idling.
    thread::sleep(Duration::from_secs(3));
    let pid = child.0.id();
    let (before, from) = (processor_time(pid)?, Instant::now());
    thread::sleep(IDLE);
    let used = processor_time(pid)? - before;
    let passed = from.elapsed().as_secs_f64();
    let resident_mb = status_kb(pid, "VmRSS:")? / 1024.0;
    let (idle_searched, idle_frames) = child.gate_counts()?;
    Ok(Report {
        faces: args.faces,
        ready_s,
        resident_mb,
        idle_fps: IDLE_FPS,
        idle_core_percent: 100.0 * used / passed,
        idle_searched,
        idle_frames,
    })
}

/// A child that does not outlive the measurement.
struct Ended(Child);

impl Ended {
    /// Ends the daemon and reads from its log how many frames the gate let through, of how many.
    fn gate_counts(&mut self) -> Result<(u64, u64)> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .context(Kind::Io, || "the daemon cannot be ended")?;
        let stderr = self.0.stderr.take().ok_or_else(|| Error::new(Kind::Internal, "the daemon's log is not there"))?;
        let mut counts = None;
        for line in BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
            let Ok(entry) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            let field = |name: &str| entry.get("fields")?.get(name)?.as_u64();
            counts = field("searched").zip(field("frames")).or(counts);
        }
        counts.ok_or_else(|| Error::new(Kind::Internal, "the daemon did not say how many frames it searched"))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Enrols as many people as asked for, with templates of nobody.
fn fill(out: Output, args: &Args, data: &Path) -> Result<()> {
    let pack = Pack::describe(&args.models, &args.pack)?;
    let model = pack.manifest().recogniser.id.clone().unwrap_or_default();
    let settings = gallery::Settings { dir: data.join("gallery"), ..gallery::Settings::default() };
    let gallery = Gallery::open(&settings, &model, Arc::new(SystemClock::new()))?;
    let tenant = TenantId::try_from("bench")?;
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
        gallery.enroll(
            &tenant,
            NewEnrolment {
                subject: SubjectId::try_from(format!("person-{face}"))?,
                embedding,
                quality_score: 0.9,
                liveness_score: None,
                source: None,
                metadata: None,
                photograph: None,
            },
        )?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Processor time of the process so far, user and system, in seconds.
fn processor_time(pid: u32) -> Result<f64> {
    let failed = || "the daemon's processor time cannot be read";
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context(Kind::Io, failed)?;
    // The name, in parentheses, may hold spaces; utime and stime are the 14th and 15th fields of all.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

fn status_kb(pid: u32, key: &str) -> Result<f64> {
    let failed = || "the daemon's memory cannot be read";
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context(Kind::Io, failed)?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).ok_or_else(|| Error::new(Kind::Io, failed()))
}
